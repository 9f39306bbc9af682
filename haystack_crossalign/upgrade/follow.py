"""After the switch: documents that an application still writes with the old model are found and given new vectors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.opensearch.model.fit import OUTLIER
from haystack_crossalign.upgrade.copy.writing import Refused, copy_item, write_items
from haystack_crossalign.upgrade.documents.reading import Hit, Key, cut_into_units, key_of, read_unit
from haystack_crossalign.upgrade.documents.source import Source, read_source, sequence_numbers
from haystack_crossalign.upgrade.documents.vectors import ModelWay, Moved, Place, Way, move, vector_places
from haystack_crossalign.upgrade.records.job import SWITCHED, Job, holders, read_job
from haystack_crossalign.upgrade.records.leases import Leases
from haystack_crossalign.upgrade.records.ledger import Entry, Ledger
from haystack_crossalign.upgrade.records.owner import this_owner
from haystack_crossalign.upgrade.ways import NewVectors
from haystack_crossalign.upgrade.writes.grants import Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder

_PAGE, _UNIT = 200, 5000
_REMEMBERED = 100_000
_PIPELINE = "index.final_pipeline"


@dataclass(frozen=True)
class Sides:
    """What tells vectors of the old model from those of the new one, and where the texts stand.

    :param new: embeds documents as the new index has them.
    :param old: embeds documents as the old index had them; None where it is not at hand: then a vector is the old one's
        if its cosine with the new model's is below 0.97.
    :param content_field: field of the text.
    :param title_field: field whose value goes before it, None for none.
    """

    new: Embedder
    old: Embedder | None
    content_field: str = "content"
    title_field: str | None = None


@dataclass
class Followed:
    """What was found among the documents written since the switch.

    :param looked: number of documents with a vector that were looked at.
    :param converted: number of those that got new vectors.
    :param shown: ids of the first of them.
    :param unknown: ids of documents without a text, of which nobody can tell.
    :param refused: documents that could not be given new vectors, or not be written.
    :param ended: why it ended: ``idle``, or the state of an upgrade that is switched no more.
    """

    looked: int = 0
    converted: int = 0
    shown: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    ended: str = ""


def follow(
    reader: ReadOnlyClient,
    alias: str,
    new: NewVectors,
    sides: Sides | None,
    *,
    idle: float | None,
    pause: float = 2.0,
    lease: float = 30.0,
    pace: Pace | None = None,
    followed: Followed | None = None,
    tell: Callable[[Followed], None] = lambda _: None,
) -> Followed:
    """Convert what is written with the old model, pass after pass, until nothing has come for a while.

    A document that is changed again in the same moment stays as its application wrote it, and is looked at in the next
    pass. It keeps its version, so that applications with version numbers of their own go on.

    :param reader: connection.
    :param alias: the alias.
    :param new: where the new vectors come from, as for the upgrade.
    :param sides: what tells the vectors apart; None where the old ones are kept in a field of their own.
    :param idle: seconds without such a document after which it ends; None goes on for good, 0 looks once.
    :param pause: seconds between two passes.
    :param lease: seconds without a sign of life after which another process may follow.
    :param pace: documents per second that are read, at most; None for no limit.
    :param followed: is filled, for a caller that stops it (KeyboardInterrupt); None makes one.
    :param tell: called after each pass.
    :raises InputError: no upgrade of the alias to these vectors is switched, or somebody follows already.
    """
    client = WriteClient(reader, Grant())
    ledger = Ledger(client)
    try:
        job = _switched(ledger, reader, alias, new)
        with Leases(ledger, this_owner(), seconds=lease) as leases:
            name = f"follow-{alias}"
            if leases.take(name) is None:
                raise InputError(f"is followed by {leases.holder(name) or 'another process'} already", source=alias)
            client.grant = job.grant()
            source = read_source(reader, alias, job.data["way"]["fields"])
            _refuse(source)
            work = _Follower(reader, client, job, source, new.way, sides, followed or Followed(), pace or Pace(None))
            work.run(leases, idle=idle, pause=pause, tell=tell)
            return work.followed
    finally:
        client.close()


def _switched(ledger: Ledger, reader: ReadOnlyClient, alias: str, new: NewVectors) -> Job:
    job = read_job(ledger, alias)
    if job is None or job.state != SWITCHED or holders(reader, alias) != {job.target.name}:
        raise InputError(
            "has no upgrade that was switched, so there is nothing to follow",
            source=alias,
            seen=None if job is None else job.state,
            allowed="an upgrade that was switched",
        )
    if not new.describes(job.data["way"]):
        raise InputError(
            f"was upgraded by another {job.data['way']['kind']}, or with other settings of it",
            source=alias,
            seen=new.sha256[:12],
            allowed=f"that with {job.data['way']['sha256'][:12]}",
        )
    return job


def _refuse(source: Source) -> None:
    if source.hidden:
        raise InputError(
            "is left out of the sources (_source.excludes), so that nobody can tell whose vectors they are",
            source=source.index,
            field=", ".join(source.hidden),
        )
    refuse_final_pipeline(source)


def refuse_final_pipeline(source: Source) -> None:
    """Refuse an index with a final pipeline, which nothing can leave out.

    :raises InputError: if it has one.
    """
    if source.settings.get(_PIPELINE, "_none") != "_none":
        raise InputError(
            "documents that are converted would pass through the final pipeline a second time",
            source=source.index,
            field=_PIPELINE,
            seen=source.settings[_PIPELINE],
            allowed="no final pipeline; or let the application write with the new model",
        )


class _Follower:
    """The passes over what was written since the switch."""

    def __init__(
        self,
        reader: ReadOnlyClient,
        client: WriteClient,
        job: Job,
        source: Source,
        way: Way,
        sides: Sides | None,
        followed: Followed,
        pace: Pace,
    ) -> None:
        self.followed = followed
        self._pace = pace
        self._reader, self._client, self._job = reader, client, job
        self._fields: Sequence[VectorField] = source.vectors
        self._way = way
        self._tells: _Tells | None = None
        if not job.beside:
            if sides is None:
                raise TypeError("sides are None only where the old vectors are kept beside the new ones")
            self._tells = _Tells(sides)
        self._ours: dict[Key, int] = {}
        self._mark: Entry | None = None

    def run(self, leases: Leases, *, idle: float | None, pause: float, tell: Callable[[Followed], None]) -> None:
        """Pass after pass."""
        quiet_since = time.monotonic()
        upto = self._read_mark()
        while True:
            leases.check()
            self._job.reload()
            if self._job.state != SWITCHED:
                self.followed.ended = self._job.state
                return
            before = self.followed.converted
            try:
                upto = self._pass(upto)
            except RefusedRequestError as error:
                self._job.reload()
                if error.status != 403 or self._job.state == SWITCHED:
                    raise
                continue  # a rollback blocked it for writes
            tell(self.followed)
            if self.followed.converted > before:
                quiet_since = time.monotonic()
            elif idle is not None and time.monotonic() - quiet_since >= idle:
                self.followed.ended = "idle"
                return
            if idle != 0:
                time.sleep(pause)

    def _pass(self, since: dict[int, int]) -> dict[int, int]:
        """Look at what was written since some sequence numbers; gives those up to which nothing is left to see."""
        index = self._job.target.name
        numbers = sequence_numbers(self._reader, index)
        self._client.refresh(index)
        highest = {shard: high for shard, (_, high) in numbers.items()}
        for unit in cut_into_units(since, highest, _UNIT):
            for hits in read_unit(self._reader, index, unit, page=_PAGE):
                self._pace.spend(len(hits))
                fresh = [hit for hit in hits if self._ours.get(key_of(hit)) != hit["_version"]]
                if fresh:
                    self._convert(fresh)
        upto = {shard: held for shard, (held, _) in numbers.items()}
        if upto != since:
            self._write_mark(upto)
        return upto

    def _convert(self, hits: Sequence[Hit]) -> None:
        foreign, mute, moved = self._moved([hit["_source"] for hit in hits])
        done = self.followed
        done.looked += sum(moved.counts[vector_field.name] for vector_field in self._fields)
        done.unknown += [str(hits[number]["_id"]) for number in sorted(mute)]
        done.refused += [(*key_of(hits[number]), reason) for number, reason in sorted(moved.problems.items())]
        items = []
        for number in sorted(foreign):
            text = moved.texts[number]
            if text is not None:
                items.append(copy_item(hits[number], text, pipeline="_none"))
        result = write_items(self._client, self._job.target.name, items)
        done.refused += result.refused
        # Those that were changed in between are read again: their sequence numbers are higher now.
        skipped = {*result.newer, *((one, routing) for one, routing, _ in result.refused)}
        written = [item.key for item in items if item.key not in skipped]
        versions = {key_of(hit): int(hit["_version"]) for hit in hits}
        done.converted += len(written)
        done.shown += [identifier for identifier, _ in written][: max(0, 20 - len(done.shown))]
        if len(self._ours) > _REMEMBERED:
            self._ours.clear()
        self._ours |= {key: versions[key] for key in written}

    def _moved(self, sources: Sequence[dict[str, Any]]) -> tuple[set[int], set[int], Moved]:
        """Numbers of the documents to be written and of those of which nobody can tell; all with new vectors."""
        if self._tells is not None:
            tells = self._tells
            tells.foreign, tells.mute = set(), set()
            moved = move(sources, self._fields, self._way, select=tells.select)
            return tells.foreign, tells.mute, moved
        beside = self._job.beside
        before = [[_vectors(source, vector_field.name + beside) for vector_field in self._fields] for source in sources]
        moved = move(sources, self._fields, self._way, beside=beside)
        foreign = set()
        for number, text in enumerate(moved.texts):
            if text is None:
                continue
            source = json.loads(text)
            after = [_vectors(source, vector_field.name + beside) for vector_field in self._fields]
            if not all(map(_same, before[number], after)):
                foreign.add(number)
        return foreign, set(), moved

    def _read_mark(self) -> dict[int, int]:
        self._mark = self._job.ledger.read(self._mark_name)
        if self._mark is None:
            return self._job.checkpoints("at_switch")
        return {int(shard): int(number) for shard, number in self._mark.data["upto"].items()}

    def _write_mark(self, upto: Mapping[int, int]) -> None:
        """Keep how far it has come. Without it a follower only begins further back."""
        data = {"upto": {str(shard): number for shard, number in upto.items()}}
        ledger = self._job.ledger
        self._mark = (
            ledger.add(self._mark_name, data) if self._mark is None else ledger.change(self._mark, data)
        ) or ledger.read(self._mark_name)

    @property
    def _mark_name(self) -> str:
        return f"followed-{self._job.data['id']}"


class _Tells:
    """Tells vectors of the old model, by their texts.

    :param sides: both models.
    """

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        self._texts = ModelWay(sides.new, sides.content_field, sides.title_field)
        self.foreign: set[int] = set()
        self.mute: set[int] = set()

    def select(self, sources: Sequence[dict[str, Any]], one: VectorField, places: Sequence[Place]) -> list[Place]:
        """Of some places those that hold a vector of the old model."""
        texts = [self._texts.text(sources[place.document], place, one.name) for place in places]
        known = [row for row, text in enumerate(texts) if text.strip() and _fits(places[row], one)]
        self.mute |= {place.document for row, place in enumerate(places) if row not in set(known)}
        if not known:
            return []
        asked = [texts[row] for row in known]
        stored = np.asarray([places[row].holder[places[row].key] for row in known], dtype=np.float64)
        fit = _cosines(stored, self._sides.new.encode_documents(asked))
        if self._sides.old is None:
            foreign = fit < OUTLIER
        else:
            foreign = _cosines(stored, self._sides.old.encode_documents(asked)) > fit
        moved_places = [places[known[row]] for row in np.flatnonzero(foreign).tolist()]
        self.foreign |= {place.document for place in moved_places}
        return moved_places


def lacks_new(one: VectorField, beside: str) -> dict[str, Any]:
    """Query for documents that hold an old vector and no new one beside it."""
    query: dict[str, Any] = {
        "bool": {
            "filter": [{"exists": {"field": one.name}}],
            "must_not": [{"exists": {"field": one.name + beside}}],
        }
    }
    return query if one.nested_path is None else {"nested": {"path": one.nested_path, "query": query}}


def _vectors(source: dict[str, Any], path: str) -> list[list[float]]:
    return [place.holder[place.key] for place in vector_places(0, source, path)]


def _same(some: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> bool:
    """Whether some vectors are those that were made anew."""
    if [len(one) for one in some] != [len(one) for one in others]:
        return False
    return all((_cosines([one], [other]) >= OUTLIER).all() for one, other in zip(some, others, strict=True))


def _fits(place: Place, one: VectorField) -> bool:
    return len(place.holder[place.key]) == one.dimension


def _cosines(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Cosine of each row with the row of the same number; of vectors without length it is 0."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float64] = (a * b).sum(axis=1) / np.where(lengths == 0, 1.0, lengths)
    return cosines
