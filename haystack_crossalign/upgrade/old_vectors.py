"""The end of a transition with both vectors in an index: the old ones are taken out of its documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.upgrade.copy.writing import Refused, copy_item, write_items
from haystack_crossalign.upgrade.documents.reading import Hit, cut_into_units, read_unit
from haystack_crossalign.upgrade.documents.source import Source, read_source, sequence_numbers
from haystack_crossalign.upgrade.documents.vectors import document_text, vector_places, without_vectors
from haystack_crossalign.upgrade.follow import refuse_final_pipeline
from haystack_crossalign.upgrade.records.job import SWITCHED, Job, holders, lease_name, read_job
from haystack_crossalign.upgrade.records.leases import Leases
from haystack_crossalign.upgrade.records.ledger import Ledger
from haystack_crossalign.upgrade.records.owner import this_owner
from haystack_crossalign.upgrade.writes.grants import Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient

_PAGE, _UNIT, _PASSES = 200, 5000, 20


@dataclass
class OldVectors:
    """Old vectors that lie beside new ones.

    :param index: the index.
    :param old: fields that hold them.
    :param new: fields of the new ones, in the same order.
    :param removed: number of documents from which they were taken.
    :param kept: ids of documents that keep them, since they have no new one.
    :param refused: documents that could not be written.
    """

    index: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    removed: int = 0
    kept: set[str] = field(default_factory=set)
    refused: list[Refused] = field(default_factory=list)


def kept_vectors(reader: ReadOnlyClient, alias: str) -> OldVectors:
    """The old vectors that the last upgrade of an alias kept.

    :param reader: connection.
    :param alias: the alias.
    :raises InputError: it kept none, or is not switched.
    """
    return _described(_job(reader, Ledger(WriteClient(reader, Grant())), alias))


def remove_old_vectors(
    reader: ReadOnlyClient, alias: str, *, lease: float = 30.0, tell: Callable[[int], None] = lambda _: None
) -> OldVectors:
    """Take the old vectors out of all documents that have a new one, while they are searched and written.

    Each document is written once more, with its version. One that is changed in the same moment is read again. The
    mapping keeps the fields, since a server cannot forget one, without anything in them.

    :param reader: connection.
    :param alias: the alias.
    :param lease: seconds without a sign of life after which the work of another process is taken over.
    :param tell: called with the number of documents done.
    :raises InputError: the last upgrade kept none, is not switched, or the index has a final pipeline.
    :raises ExternalError: an application goes on writing them.
    """
    client = WriteClient(reader, Grant())
    ledger = Ledger(client)
    try:
        with Leases(ledger, this_owner(), seconds=lease) as leases:
            if leases.take(lease_name(alias)) is None:
                raise InputError(
                    f"is worked on by {leases.holder(lease_name(alias)) or 'another process'}", source=alias
                )
            job = _job(reader, ledger, alias)
            source = read_source(reader, alias, job.data["way"]["fields"])
            refuse_final_pipeline(source)
            client.grant = job.grant()
            vectors = _described(job)
            since: dict[int, int] = {}
            for _ in range(_PASSES):
                numbers = sequence_numbers(reader, vectors.index)
                client.refresh(vectors.index)
                before = vectors.removed
                # What this pass writes gets higher numbers, and is looked at by the next one.
                for unit in cut_into_units(since, {shard: high for shard, (_, high) in numbers.items()}, _UNIT):
                    leases.check()
                    for hits in read_unit(reader, vectors.index, unit, page=_PAGE):
                        _take_out(client, vectors, source, job.beside, hits)
                        tell(vectors.removed)
                since = {shard: held for shard, (held, _) in numbers.items()}
                if vectors.removed == before:
                    client.refresh(vectors.index)
                    job.update(old_vectors={"removed": vectors.removed, "kept": len(vectors.kept)})
                    return vectors
            raise ExternalError(
                f"{client.host}: an application goes on writing old vectors to '{alias}'; let it write new ones only, "
                "then run the same command again"
            )
    finally:
        client.close()


def _take_out(client: WriteClient, vectors: OldVectors, source: Source, beside: str, hits: Sequence[Hit]) -> None:
    items = []
    for hit in hits:
        document = hit["_source"]
        old = {vector.name: len(vector_places(0, document, vector.name)) for vector in source.vectors}
        if not any(old.values()):
            continue
        if any(len(vector_places(0, document, name + beside)) < count for name, count in old.items()):
            vectors.kept.add(str(hit["_id"]))
            continue
        text = document_text(without_vectors(document, list(old)))
        if text is None:
            vectors.kept.add(str(hit["_id"]))
            continue
        vectors.kept.discard(str(hit["_id"]))
        items.append(copy_item(hit, text, pipeline="_none"))
    result = write_items(client, vectors.index, items)
    vectors.refused += result.refused
    vectors.removed += result.documents


def _described(job: Job) -> OldVectors:
    old = tuple(job.data["way"]["fields"])
    return OldVectors(job.target.name, old, tuple(name + job.beside for name in old))


def _job(reader: ReadOnlyClient, ledger: Ledger, alias: str) -> Job:
    job = read_job(ledger, alias)
    if job is None or not job.beside or job.state != SWITCHED or holders(reader, alias) != {job.target.name}:
        raise InputError(
            "has no old vectors beside new ones",
            source=alias,
            seen=None if job is None else job.state,
            allowed="an alias whose last upgrade kept them (--keep-old-vectors) and is switched",
        )
    return job
