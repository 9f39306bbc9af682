"""Rollback: point the alias to the old index again, and carry over or list later writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.upgrade.copy.catch_up import catch_up, remove_deleted
from haystack_crossalign.upgrade.copy.copying import Copy
from haystack_crossalign.upgrade.documents.reading import Hit, cut_into_units, find_documents, key_of, read_unit
from haystack_crossalign.upgrade.documents.source import Source, read_source, refuse_write_block, sequence_numbers
from haystack_crossalign.upgrade.documents.vectors import ModelWay, Way, lacks_old, vector_places
from haystack_crossalign.upgrade.old_model import require_old_model
from haystack_crossalign.upgrade.records.job import (
    ROLLED_BACK,
    ROLLING_BACK,
    SWITCHED,
    Job,
    holders,
    lease_name,
    read_job,
)
from haystack_crossalign.upgrade.records.leases import Leases
from haystack_crossalign.upgrade.records.ledger import Ledger
from haystack_crossalign.upgrade.records.owner import this_owner
from haystack_crossalign.upgrade.switch import move_aliases
from haystack_crossalign.upgrade.writes.grants import UNBLOCK, Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient

_UNIT = 5000


@dataclass
class RolledBack:
    """The result of a rollback.

    :param alias: the alias.
    :param index: the index to which it points again.
    :param left: the index to which it pointed before.
    :param carried: documents written since the switch that were carried over.
    :param removed: documents deleted since the switch that were deleted in the old index too.
    :param left_behind: ids of documents written since that stay in the other index only.
    :param changed: aliases that are not as they were before the upgrade: they were added, removed or given other
        options since the switch, and stay so.
    """

    alias: str
    index: str
    left: str
    carried: int = 0
    removed: int = 0
    left_behind: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Since:
    """Writes to the new index since the switch.

    :param with_vectors: ids of documents with a vector, which the old index needs from the old model; where both are
        kept, of those without an old one.
    :param others: number of documents without one.
    """

    with_vectors: tuple[str, ...]
    others: int


def written_since(reader: ReadOnlyClient, job: Mapping[str, Any], fields: tuple[VectorField, ...]) -> Since:
    """Documents that were written to the new index since the switch.

    :param reader: connection.
    :param job: the ledger's entry.
    :param fields: fields that got new vectors.
    """
    index, beside = job["target"]["name"], job["way"].get("beside", "")
    since = {int(shard): int(number) for shard, number in job["at_switch"].items()}
    ids, others = [], 0
    upto = {shard: highest for shard, (_, highest) in sequence_numbers(reader, index).items()}
    for unit in cut_into_units(since, upto, _UNIT):
        for hits in read_unit(reader, index, unit, page=500):
            needing = [
                hit for hit in hits if any(_needs_old(hit["_source"], vector_field, beside) for vector_field in fields)
            ]
            if beside and needing:
                needing = _changed(reader, job["source"]["name"], needing)
            ids += [str(hit["_id"]) for hit in needing]
            others += len(hits) - len(needing)
    return Since(tuple(ids), others)


def _changed(reader: ReadOnlyClient, old: str, hits: Sequence[Hit]) -> list[Hit]:
    """Those of some documents that the old index does not have in this version.

    The others were written without their old vectors by `remove_old_vectors`, which keeps versions.
    """
    there = find_documents(reader, old, [key_of(hit) for hit in hits], source=False)
    return [hit for hit in hits if key_of(hit) not in there or there[key_of(hit)]["_version"] < hit["_version"]]


def _needs_old(source: dict[str, Any], one: VectorField, beside: str) -> bool:
    return lacks_old(source, one, beside) if beside else bool(vector_places(0, source, one.name))


def switched_job(reader: ReadOnlyClient, alias: str) -> Job:
    """The upgrade that can be rolled back.

    :raises InputError: if there is none, or it was not switched.
    """
    ledger = Ledger(WriteClient(reader, Grant()))
    job = read_job(ledger, alias)
    if job is None:
        raise InputError("no upgrade of this alias is in the ledger", source=alias)
    if job.state not in (SWITCHED, ROLLING_BACK):
        raise InputError(
            "has no upgrade that was switched", source=alias, seen=job.state, allowed="an upgrade that was switched"
        )
    return job


def roll_back(
    reader: ReadOnlyClient, alias: str, *, way: Way | None = None, leave_behind: bool = False, lease: float = 30.0
) -> RolledBack:
    """Point the alias to the old index again.

    :param reader: connection that reads.
    :param alias: the alias.
    :param way: gives documents written since the switch the vectors of the old model; None if it is not at hand.
    :param leave_behind: go back although such documents stay in the other index only.
    :param lease: seconds without a sign of life after which the work of another process is taken over.
    :raises InputError: nothing to take back, somebody else is at it, another model than that of the old index, or
        documents would be left behind unasked.
    :raises ExternalError: the old index is gone, or the alias was moved by somebody else.
    """
    client = WriteClient(reader, Grant())
    ledger = Ledger(client)
    job = switched_job(reader, alias)
    try:
        with Leases(ledger, this_owner(), seconds=lease) as leases:
            if leases.take(lease_name(alias)) is None:
                raise InputError(
                    f"is worked on by {leases.holder(lease_name(alias)) or 'another process'}", source=alias
                )
            job.reload()
            client.grant = job.grant(fill_source=True)
            return _roll_back(reader, client, job, leases, way, leave_behind=leave_behind)
    finally:
        client.close()


def _roll_back(
    reader: ReadOnlyClient, client: WriteClient, job: Job, leases: Leases, way: Way | None, *, leave_behind: bool
) -> RolledBack:
    old, new = job.source.name, job.target.name
    _old_index_is_there(reader, job)
    result = RolledBack(job.alias, old, new)
    if holders(reader, job.alias) == {old} and job.state == ROLLING_BACK:
        # Cut off between the switch and the ledger.
        client.settings(old, UNBLOCK)
        job.update(state=ROLLED_BACK)
        result.left_behind = list(job.data.get("left_behind", []))
        result.changed = _changed_aliases(reader, job)
        return result
    if not holders(reader, job.alias):
        raise ExternalError(
            f"{client.host}: the alias '{job.alias}' was removed by somebody else since the switch; give it to '{new}' "
            "again (POST /_aliases) and run the same command"
        )
    source = read_source(reader, job.alias, job.data["way"]["fields"])
    if way is not None and job.beside:
        raise InputError(
            f"'{new}' holds the old vectors too, and they are carried over as they are", source="--model",
            allowed="no model",
        )  # fmt: skip
    if isinstance(way, ModelWay):
        require_old_model(reader, old, source.vectors[0].name, way)
    if job.state == SWITCHED and source.index == new:
        refuse_write_block(source.settings, new)
    client.refresh(new)
    _refuse_losses(reader, job, source, way, leave_behind=leave_behind)
    job.update(state=ROLLING_BACK)
    try:
        client.block_writes(new)
        client.refresh(new)
        since = _refuse_losses(reader, job, source, way, leave_behind=leave_behind)
        client.settings(old, UNBLOCK)
        copy = Copy(reader, client, new, old, source.vectors, way or _Nothing(), drop=job.beside)
        last_pass = catch_up(copy, job.checkpoints("at_switch"), unit=_UNIT, check=leases.check)
        result.carried = last_pass.documents
        result.removed = remove_deleted(copy, spare=_written_past_the_switch(job), check=leases.check)
        result.left_behind = list(since.with_vectors) if way is None else [one for one, _, _ in last_pass.refused]
        leases.check()
        job.update(left_behind=result.left_behind[:1000], left_behind_count=len(result.left_behind))
        move_aliases(client, reader, job, back=True)
    except BaseException:
        if holders(reader, job.alias) != {old}:
            client.settings(new, UNBLOCK)
            client.block_writes(old)
            job.update(state=SWITCHED)
        raise
    job.update(state=ROLLED_BACK)
    result.changed = _changed_aliases(reader, job)
    return result


def _written_past_the_switch(job: Job) -> dict[int, tuple[int, int]]:
    """What a switch without a write block missed is in the old index only, and was not deleted."""
    read = job.checkpoints("read")
    ends = (job.data.get("missed") or {}).get("upto", {})
    return {int(shard): (read.get(int(shard), -1), int(end)) for shard, end in ends.items()}


def _changed_aliases(reader: ReadOnlyClient, job: Job) -> list[str]:
    now = reader.aliases(job.source.name)[job.source.name].get("aliases", {})
    return sorted(name for name in now.keys() | job.aliases.keys() if now.get(name) != job.aliases.get(name))


class _Nothing:
    """The way without a model: documents with a vector cannot be carried over."""

    def vectors(self, sources: Any, field: VectorField, places: Any) -> Any:  # noqa: ARG002 - the shape of a way
        """A problem for each document that has a vector."""
        import numpy as np

        problems = {place.document: "no model for its vector" for place in places}
        return np.zeros((len(places), field.dimension), dtype=np.float32), problems


def _refuse_losses(reader: ReadOnlyClient, job: Job, source: Source, way: Way | None, *, leave_behind: bool) -> Since:
    since = written_since(reader, job.data, source.vectors)
    if since.with_vectors and job.beside and not leave_behind:
        raise InputError(
            f"{len(since.with_vectors)} documents written since the switch have no vector of the old model, first "
            f"'{since.with_vectors[0]}'",
            source=job.alias,
            field=", ".join(vector.name for vector in source.vectors),
            allowed=f"to write it beside the new one; or --leave-behind, and they stay in {job.target.name}",
        )
    if since.with_vectors and way is None and not leave_behind:
        raise InputError(
            f"{len(since.with_vectors)} documents were written since the switch, with vectors of the new model; in the "
            f"old index they need vectors of the old one, first '{since.with_vectors[0]}'",
            source=job.alias,
            allowed="--model with the old model, to carry them over; or --leave-behind, and they stay in "
            f"{job.target.name}",
        )
    return since


def _old_index_is_there(reader: ReadOnlyClient, job: Job) -> None:
    try:
        uuid = str(reader.settings(job.source.name)[job.source.name]["settings"]["index.uuid"])
    except InputError:
        uuid = ""
    if uuid != job.source.uuid:
        raise ExternalError(f"{reader.hosts[0]}: the old index '{job.source.name}' is gone, so there is no way back")
