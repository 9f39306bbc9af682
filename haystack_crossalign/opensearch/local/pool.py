"""Read a pool with its vectors, page by page, in one point in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.answers import paused_collector
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.exact.versions import Version
from haystack_crossalign.opensearch.index.groups import stored_entry
from haystack_crossalign.opensearch.index.mapped_fields import flatten_mapping
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.local.spaces import LOCAL, columns, document_rows
from haystack_crossalign.ranks.exact import PoolArrays
from haystack_crossalign.ranks.scores import LONGEST
from haystack_crossalign.ranks.ties import tie_order

_PAGE_NUMBERS = 1 << 19
_MOST_ROWS = 2000
"""A page holds about half a million numbers, 5 MB of JSON, and at most this many documents."""


EXACT = "--exact"
"""Source of the errors that leave the counting to the server."""

_IMPOSSIBLE = "the vectors cannot be counted here: "


def impossible(why: str) -> InputError:
    """The error for a pool that cannot be counted here.

    :param why: the reason.
    """
    return InputError(f"{_IMPOSSIBLE}{why}", source=EXACT, seen="local", allowed="server")


def reason_against(view: IndexView) -> str | None:
    """Why the vectors of an index cannot be read, or may not be what the server scores; None if nothing is known.

    One document is read, since a mapping does not say for sure what is stored.

    :param view: the index.
    """
    fields, vector = view.fields, view.fields.vector
    if not fields.has_vectors:
        return "the index has none"
    if vector.nested_path is not None:
        return f"'{vector.name}' lies in a nested object"
    if vector.similarity not in LOCAL or vector.data_type == "binary":
        return f"the space of '{vector.name}' is {vector.space_type}"
    if not fields.keeps_source:
        return "an index does not store its documents (_source)"
    for index in fields.indices:
        mapping = view.client.mapping(index)[index]["mappings"]
        definition = dict(flatten_mapping(mapping.get("properties", {})))[vector.name].definition
        if (reduced := reduced_precision(definition)) is not None:
            return f"'{vector.name}' is kept in lower precision ({reduced})"
    try:
        read_some(view, 1)
    except InputError as error:
        if error.source != EXACT:
            raise
        return error.problem.removeprefix(_IMPOSSIBLE)
    return None


def reduced_precision(definition: Mapping[str, Any]) -> str | None:
    """What in the definition of a vector field makes the index keep other numbers than the documents; None for nothing.

    :param definition: of the field, in the mapping.
    """
    encoder = (definition.get("method", {}).get("parameters") or {}).get("encoder")
    if encoder is not None:
        name = encoder.get("name") if isinstance(encoder, Mapping) else encoder
        return None if name == "flat" else f"encoder {name}"
    if definition.get("mode") == "on_disk":
        return "mode on_disk"
    level = definition.get("compression_level")
    return None if level in (None, "1x") else f"compression_level {level}"


@dataclass(frozen=True, eq=False)
class LocalPool:
    """The documents of a pool, language by language.

    :param names: their names.
    :param languages: normalized tags, sorted.
    :param language: code of each document's language, an index into `languages`: int32 [N], ascending.
    :param groups: parallel group of each document, None if it has none.
    :param rows: see `haystack_crossalign.opensearch.local.spaces`, float32 [N, columns].
    :param lengths: length of each vector, float64 [N].
    :param order: position of each document in the tie order, int64 [N].
    """

    names: Sequence[str]
    languages: tuple[str, ...]
    language: NDArray[np.int32]
    groups: Sequence[str | None]
    rows: NDArray[np.float32]
    lengths: NDArray[np.float64]
    order: NDArray[np.int64]
    place: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", {name: number for number, name in enumerate(self.names)})

    def part(self, code: int) -> slice:
        """The documents of a language."""
        return slice(*np.searchsorted(self.language, (code, code + 1)).tolist())

    @cached_property
    def version_codes(self) -> Mapping[Version, int]:
        """Numbers of the versions."""
        codes: dict[Version, int] = {}
        for name, code, group in zip(self.names, self.language.tolist(), self.groups, strict=True):
            codes.setdefault(Version.of(name, self.languages[code], group), len(codes))
        return codes

    @cached_property
    def versions(self) -> NDArray[np.int32]:
        """Version of each document, int32 [N]."""
        codes = self.version_codes
        entries = zip(self.names, self.language.tolist(), self.groups, strict=True)
        return np.array([codes[Version.of(n, self.languages[code], group)] for n, code, group in entries], np.int32)

    def arrays(self, *, by_version: bool) -> PoolArrays:
        """The pool for `haystack_crossalign.ranks.exact.count_against`.

        :param by_version: whether versions are ranked, not documents.
        """
        return PoolArrays(self.rows, self.language, self.languages, self.order, self.versions if by_version else None)


def read_pool(
    view: IndexView,
    *,
    spend: Callable[[int], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> LocalPool:
    """Read all documents of a pool with their vectors, in the order of their sequence numbers.

    It holds one float32 row for each document, and the names, languages and groups; besides that, one page.

    :param view: the pool, in a point in time.
    :param spend: called before each page with the number of documents that it may hold.
    :param progress: called with the number of documents read, and of all.
    :raises InputError: if the vectors are not to be had.
    :raises ExternalError: if the cluster fails or gives an incomplete answer.
    """
    if not isinstance(view.target, PointInTime):
        raise impossible("this cluster has no points in time, so the documents may change while they are read")
    reader, page = _Reader(view, view.pool().by_language), page_size(view)
    after: int | None = None
    with paused_collector():
        while True:
            progress(reader.read, reader.documents)
            spend(min(page, reader.documents - reader.read))
            hits = _page(view, page, after)
            whole = len(hits) == page
            if whole:
                # Shards number their documents independently: the next page begins with all of the last number.
                last = hits[-1]["sort"][0]
                hits = [hit for hit in hits if hit["sort"][0] != last]
                if not hits:
                    raise impossible(f"more than {page} shards share a sequence number")
                after = hits[-1]["sort"][0]
            reader.store(hits)
            if not whole:
                break
    progress(reader.read, reader.documents)
    return reader.pool()


def read_some(view: IndexView, most: int) -> LocalPool:
    """Read a few documents of a pool, to see what it takes.

    :param view: the pool, now or in a point in time.
    :param most: number of documents.
    :raises InputError: if the vectors are not to be had.
    """
    hits = _page(view, min(most, page_size(view)), None)
    reader = _Reader(view, dict(sorted(Counter(map(view.hit_language, hits)).items())))
    reader.store(hits)
    return reader.pool()


def page_size(view: IndexView) -> int:
    """Documents of one page."""
    return max(1, min(_MOST_ROWS, view.fields.most_hits, _PAGE_NUMBERS // view.fields.vector.dimension))


def _page(view: IndexView, size: int, after: int | None) -> list[Answer]:
    """Documents with their vectors, in the order of their sequence numbers."""
    body = {
        "size": size,
        "track_total_hits": False,
        "query": view.scoring.pool(),
        "sort": [{"_seq_no": "asc"}],
        **({} if after is None else {"search_after": [after]}),
        **view.hit_fields(),
        "_source": [view.fields.vector.name],
    }
    answer = view.client.search_all([body], view.target, lean=view.lean)[0]
    view.client.check_hits(answer)
    hits: list[Answer] = answer["hits"]["hits"]
    return hits


class _Reader:
    """Fills the arrays of a pool.

    :param view: the pool.
    :param counts: number of documents by language.
    """

    def __init__(self, view: IndexView, counts: Mapping[str, int]) -> None:
        self._view = view
        self.documents = sum(counts.values())
        self.read = 0
        self._counts = counts
        self._languages = tuple(counts)
        starts = [*accumulate(counts.values(), initial=0)]
        self._next = dict(zip(counts, starts, strict=False))
        self._end = dict(zip(counts, starts[1:], strict=True))
        self._names = [""] * self.documents
        self._groups: list[str | None] = [None] * self.documents
        self._rows = np.empty((self.documents, columns(view.fields.vector)), dtype=np.float32)
        self._lengths = np.empty(self.documents)

    def store(self, hits: Sequence[Answer]) -> None:
        """Put the documents of a page into their places."""
        if not hits:
            return
        view, vector = self._view, self._view.fields.vector
        values = view.single_values(hits)
        languages, groups = values or ([*map(view.hit_language, hits)], [*map(view.hit_group, hits)])
        places = [self._place(tag) for tag in languages]
        stored = [stored_entry(hit.get("_source") or {}, vector.name) for hit in hits]
        if lacking := next((hit for hit, document in zip(hits, stored, strict=True) if document is None), None):
            raise impossible(f"'{vector.name}' is not in the stored document '{view.names.of(lacking)}' (_source)")
        try:
            vectors = np.array(stored, dtype=np.float32)
        except (TypeError, ValueError):
            vectors = np.empty(0, dtype=np.float32)
        if vectors.shape != (len(hits), vector.dimension):
            raise impossible(f"'{vector.name}' is stored in another form than a list of {vector.dimension} numbers")
        wide = vectors.astype(np.float64)
        lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        if len(wrong := np.flatnonzero(~((lengths >= 1 / LONGEST) & (lengths <= LONGEST)))):
            raise impossible(f"the vector of '{view.names.of(hits[wrong[0]])}' is zero, too short or too long")
        self._rows[places] = document_rows(vectors, vector)
        self._lengths[places] = lengths
        for place, hit, group in zip(places, hits, groups, strict=True):
            self._names[place] = view.names.of(hit)
            self._groups[place] = group
        self.read += len(hits)

    def pool(self) -> LocalPool:
        """The pool, if all of it was read.

        :raises InputError: if documents share a name.
        """
        if self.read != self.documents:
            raise self._incomplete()
        if len(set(self._names)) != len(self._names):
            raise impossible("several documents share an id")
        sizes = self._counts.values()
        return LocalPool(
            self._names,
            self._languages,
            np.repeat(np.arange(len(self._languages), dtype=np.int32), [*sizes]),
            self._groups,
            self._rows,
            self._lengths,
            tie_order(self._names, key=self._view.names.tie_key),
        )

    def _place(self, tag: str) -> int:
        place = self._next.get(tag, -1)
        if place < 0 or place == self._end[tag]:
            raise self._incomplete()
        self._next[tag] = place + 1
        return place

    def _incomplete(self) -> ExternalError:
        host = self._view.client.hosts[0]
        return ExternalError(f"{host}: the pages of the pool do not hold the {self.documents} documents that it counts")
