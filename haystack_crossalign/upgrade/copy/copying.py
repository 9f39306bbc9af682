"""Copy documents: read, compute and write concurrently, connected by short queues so that memory is bounded."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.upgrade.copy.writing import Refused, copy_item, write_items
from haystack_crossalign.upgrade.documents.reading import Key, Unit, key_of, read_unit
from haystack_crossalign.upgrade.documents.vectors import Moved, Way, move, only_old
from haystack_crossalign.upgrade.writes.writer import WriteClient

_QUEUED = 2
_WRITERS = 2
_END = None


@dataclass
class UnitFacts:
    """The result of copying a unit.

    :param documents: number written.
    :param counts: vectors and documents without one, by field.
    :param newer: documents of which the new index has a higher version.
    :param refused: documents that cannot be written, or not be given new vectors.
    :param repeated: bulk items sent again.
    """

    documents: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    newer: list[Key] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    repeated: int = 0


@dataclass
class _Open:
    """A unit in progress: number of pages read but not yet written, and whether all were read."""

    facts: UnitFacts = field(default_factory=UnitFacts)
    pages: int = 0
    is_read: bool = False


@dataclass(frozen=True)
class Copy:
    """Source, target and options of a copy.

    :param reader: connection that reads.
    :param client: connection that writes.
    :param source: the old index.
    :param target: the new index.
    :param fields: vector fields that get new vectors.
    :param way: source of the new vectors.
    :param hidden: fields that are not in ``_source``.
    :param dimension: of the new vectors, 0 for that of the fields.
    :param page: documents of a page, at most.
    :param pace: documents per second, at most.
    :param beside: what is put after a field's name for the new vectors, so that the old ones stay; see `move`.
    :param drop: for the way back from an index with both vectors: what was put after the names there. The old ones are
        taken, and the new ones left out.
    """

    reader: ReadOnlyClient
    client: WriteClient
    source: str
    target: str
    fields: Sequence[VectorField]
    way: Way
    hidden: Sequence[str] = ()
    dimension: int = 0
    page: int = 500
    pace: Pace = field(default_factory=lambda: Pace(None))
    beside: str = ""
    drop: str = ""

    def move(self, sources: Sequence[dict[str, Any]]) -> Moved:
        """Documents as the target is to have them; the sources are modified."""
        if self.drop:
            return only_old(sources, self.fields, self.drop)
        return move(sources, self.fields, self.way, hidden=self.hidden, beside=self.beside)


def copy_units(
    copy: Copy,
    units: Iterable[Unit],
    *,
    done: Callable[[Unit, UnitFacts], None],
    written: Callable[[int], None] = lambda _: None,
) -> None:
    """Copy units, several concurrently; a unit is done once all its documents are written.

    :param copy: from where to where.
    :param units: iterated one by one in the reading thread.
    :param done: called for each unit, in the calling thread.
    :param written: called with the number of documents of each page that was written.
    :raises CrossAlignError: as reading, computing or writing; what was done stays done.
    """
    work = _Pipeline(copy)
    threads = [threading.Thread(target=work.guarded, args=(work.read, units), daemon=True)]
    threads += [threading.Thread(target=work.guarded, args=(work.write,), daemon=True) for _ in range(_WRITERS)]
    threads.append(threading.Thread(target=work.guarded, args=(work.compute,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        for unit, facts, documents in work.finished():
            if documents:
                written(documents)
            if facts is not None:
                done(unit, facts)
    finally:
        work.stop.set()
        for thread in threads:
            thread.join()


class _Pipeline:
    """The queues between the threads, and their shared state."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.stop = threading.Event()
        self._read: queue.Queue[Any] = queue.Queue(_QUEUED)
        self._computed: queue.Queue[Any] = queue.Queue(_QUEUED)
        self._told: queue.Queue[Any] = queue.Queue()
        self._open: dict[Unit, _Open] = {}
        self._lock = threading.Lock()

    def guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        """Run the work of a thread; its error is raised when `finished` is iterated."""
        try:
            work(*arguments)
        except _StoppedError:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            self._told.put(error)

    def read(self, units: Iterable[Unit]) -> None:
        """Read the pages of unit after unit."""
        copy = self.copy
        for unit in units:
            with self._lock:
                self._open[unit] = _Open()
            for hits in read_unit(copy.reader, copy.source, unit, page=copy.page):
                copy.pace.spend(len(hits))
                with self._lock:
                    self._open[unit].pages += 1
                self._put(self._read, (unit, hits))
            self._settle(unit, read=True)
        self._put(self._read, _END)

    def compute(self) -> None:
        """Give the documents of each page their vectors."""
        copy = self.copy
        while (entry := self._get(self._read)) is not _END:
            unit, hits = entry
            moved = copy.move([hit["_source"] for hit in hits])
            items = [copy_item(hit, text) for hit, text in zip(hits, moved.texts, strict=True) if text is not None]
            with self._lock:
                facts = self._open[unit].facts
                facts.counts += moved.counts
                facts.refused += [(*key_of(hits[number]), reason) for number, reason in sorted(moved.problems.items())]
            self._put(self._computed, (unit, items))
        for _ in range(_WRITERS):
            self._put(self._computed, _END)

    def write(self) -> None:
        """Write the documents of page after page."""
        copy = self.copy
        while (entry := self._get(self._computed)) is not _END:
            unit, items = entry
            result = write_items(copy.client, copy.target, items)
            with self._lock:
                facts = self._open[unit].facts
                facts.documents += result.documents
                facts.newer += result.newer
                facts.refused += result.refused
                facts.repeated += result.repeated
            self._settle(unit, documents=len(items))
        self._told.put(_END)

    def finished(self) -> Iterator[tuple[Unit, UnitFacts | None, int]]:
        """Each unit with its facts once it is done, and before that the documents of each page.

        :raises BaseException: what a thread failed with.
        """
        writers = _WRITERS
        while writers:
            entry = self._told.get()
            if entry is _END:
                writers -= 1
            elif isinstance(entry, BaseException):
                raise entry
            else:
                yield entry

    def _settle(self, unit: Unit, *, read: bool = False, documents: int = 0) -> None:
        with self._lock:
            one = self._open[unit]
            if read:
                one.is_read = True
            else:
                one.pages -= 1
            is_done = one.is_read and one.pages == 0
            if is_done:
                del self._open[unit]
        self._told.put((unit, one.facts if is_done else None, documents))

    def _put(self, target: queue.Queue[Any], entry: object) -> None:
        while not self.stop.is_set():
            try:
                return target.put(entry, timeout=0.1)
            except queue.Full:
                continue
        raise _StoppedError

    def _get(self, source: queue.Queue[Any]) -> Any:
        while not self.stop.is_set():
            try:
                return source.get(timeout=0.1)
            except queue.Empty:
                continue
        raise _StoppedError


class _StoppedError(Exception):
    """Another thread failed, or the caller left."""
