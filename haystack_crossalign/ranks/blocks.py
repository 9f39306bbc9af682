"""Cut a pool into blocks of documents, one language per block and all chunks of a version in the same block; and what a
fast product leaves open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 4080
_LEAST_ROWS = 510


@dataclass(frozen=True, eq=False)
class Block:
    """Documents of one language, ordered by the position of the chunk in its version.

    First the first chunk of every version, then the second chunk of those that have one, and so on; versions with more
    chunks come first. The best chunk of each version is then the maximum over whole slabs, without any index.

    :param language: code of the language.
    :param documents: int64 [B], document indices.
    :param slabs: number of versions with more than j chunks, for j = 0, 1, ...; they sum to B, and ``slabs[0]``
        is the number of versions.
    """

    language: int
    documents: NDArray[np.int64]
    slabs: tuple[int, ...]

    def chunks(self, version: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All documents of the listed versions, and for each the position of its version in the list.

        :param version: int64 [n], ascending, below ``slabs[0]``.
        """
        counts = [int(np.searchsorted(version, count)) for count in self.slabs]  # the longest versions come first
        starts = np.cumsum((0, *self.slabs[:-1]))
        documents = [self.documents[start + version[:count]] for start, count in zip(starts, counts, strict=True)]
        return np.concatenate(documents), np.concatenate([np.arange(count) for count in counts])


def cut_pool(
    document_languages: NDArray[np.int32], versions: NDArray[np.int32] | None, threads: int, rows: int = BLOCK_ROWS
) -> list[Block]:
    """Cut a pool into blocks of about `rows` documents; a version with more chunks than that makes a longer block.

    Blocks of a small pool are smaller, so that every thread gets several.

    :param document_languages: int32 [N], code of each document's language; equal within a version.
    :param versions: int32 [N], version of each document, or None if each document is its own version.
    :param threads: number of threads that will process the blocks; the cuts do not change any rank.
    :param rows: documents per block.
    """
    blocks: list[Block] = []
    rows = min(rows, max(_LEAST_ROWS, -(-len(document_languages) // (4 * threads))))
    for language in np.flatnonzero(np.bincount(document_languages)):
        members = np.flatnonzero(document_languages == language)
        if versions is None:
            parts = [members[start : start + rows] for start in range(0, len(members), rows)]
            blocks += [Block(int(language), part, (len(part),)) for part in parts]
        else:
            blocks += _blocks_of_versions(int(language), members, versions[members], rows)
    return blocks


def _blocks_of_versions(
    language: int, members: NDArray[np.int64], versions: NDArray[np.int32], rows: int
) -> list[Block]:
    _, version, chunks = np.unique(versions, return_inverse=True, return_counts=True)
    by_size = np.argsort(-chunks, kind="stable")
    place = np.empty_like(by_size)
    place[by_size] = np.arange(len(by_size))
    order = np.argsort(place[version], kind="stable")  # documents version by version, the longest version first
    sizes = chunks[by_size]
    ends = np.cumsum(sizes)
    blocks = []
    first = 0
    while first < len(sizes):
        begin = int(ends[first] - sizes[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + rows, side="right")))
        documents = members[order[begin : int(ends[last - 1])]]
        blocks.append(_slabbed(language, documents, sizes[first:last]))
        first = last
    return blocks


def _slabbed(language: int, documents: NDArray[np.int64], sizes: NDArray[np.int64]) -> Block:
    """Reorder documents that lie version by version, with sizes descending, slab by slab."""
    starts = np.cumsum(sizes) - sizes
    chunk = np.arange(len(documents)) - np.repeat(starts, sizes)
    order = np.argsort(chunk, kind="stable")
    slabs = np.bincount(chunk)
    return Block(language, documents[order], tuple(int(count) for count in slabs))


class OpenPairs:
    """Pairs of versions and queries that only exact scores can decide, collected over the blocks of a language."""

    def __init__(self) -> None:
        self._parts: dict[int, list[tuple[NDArray[Any], ...]]] = {}
        self.documents = 0

    def add(
        self, block: Block, version: NDArray[np.int64], query: NDArray[np.int64], undecided: NDArray[np.bool_]
    ) -> None:
        """Add pairs of a block, in ascending order of versions; `undecided` is bool [R, pairs]."""
        document, pair = block.chunks(version)
        self._parts.setdefault(block.language, []).append((query, undecided, document, pair))
        self.documents += len(document)

    def add_documents(
        self,
        language: int,
        document: NDArray[np.int64],
        query: NDArray[np.int64],
        undecided: NDArray[np.bool_],
    ) -> None:
        """Add pairs of documents that are versions of their own, in any order: int64 [pairs] and bool [R, pairs]."""
        self._parts.setdefault(language, []).append((query, undecided, document, np.arange(len(document))))
        self.documents += len(document)

    def taken(self) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]]:
        """Remove and return everything: for each language the queries [pairs], undecided [R, pairs], documents and
        their pairs.
        """
        parts, self._parts, self.documents = self._parts, {}, 0
        for language, entries in parts.items():
            query, undecided, document, pair = zip(*entries, strict=True)
            starts = np.cumsum([0] + [len(part) for part in query[:-1]])
            pairs = [part + start for part, start in zip(pair, starts, strict=True)]
            yield (
                language,
                np.concatenate(query),
                np.concatenate(undecided, axis=1),
                np.concatenate(document),
                np.concatenate(pairs),
            )


class Band:
    """Scores so near to a target that somebody else decides how they compare.

    A version whose best document scores within the slack of a target is not counted for it: its documents within the
    slack are collected instead. The slack of a pair is ``base`` of the target plus ``per_length`` of the query times
    the document's length.

    :param base: float64 [R, Q].
    :param per_length: float64 [Q].
    :param lengths: float64 [N].
    :param languages: codes of the languages that are counted.
    """

    def __init__(
        self,
        base: NDArray[np.float64],
        per_length: NDArray[np.float64],
        lengths: NDArray[np.float64],
        languages: Collection[int],
    ) -> None:
        self.languages = frozenset(languages)
        self._base, self._per_length, self._lengths = base, per_length, lengths
        self._order = np.arange(base.shape[1])
        # Appended to by several threads.
        self._open: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []

    @property
    def widest(self) -> NDArray[np.float64]:
        """The slack of the longest document, float64 [R, Q]."""
        slack: NDArray[np.float64] = self._base + self._per_length * self._lengths.max(initial=0.0)
        return slack

    def reorder(self, order: NDArray[np.int64]) -> None:
        """Take the queries in another order from now on; `open` gives their first numbers."""
        self._order, self._base, self._per_length = order, self._base[:, order], self._per_length[order]

    def count(
        self,
        query: NDArray[np.int64],
        undecided: NDArray[np.bool_],
        document: NDArray[np.int64],
        pair: NDArray[np.int64],
        scores: NDArray[np.float32],
        targets: NDArray[np.float32],
        greater: NDArray[np.int64],
    ) -> None:
        """Count the versions above the band, of those that the fast product did not decide; collect the documents
        within.

        :param query: int64 [pairs], for each pair of a version and a query.
        :param undecided: bool [R, pairs].
        :param document: int64 [documents], all documents of these versions.
        :param pair: int64 [documents], the pair of each.
        :param scores: float32 [documents], their exact scores.
        :param targets: float32 [R, Q].
        :param greater: int64 [R, Q], to which the versions are added.
        """
        asked = query[pair]
        further = self._per_length[asked] * self._lengths[document]
        for r, wanted in enumerate(targets):
            difference = scores.astype(np.float64) - wanted[asked]
            slack = self._base[r][asked] + further
            concerned = undecided[r][pair]
            above = np.bincount(pair[concerned & (difference > slack)], minlength=len(query)) > 0
            greater[r] += np.bincount(query[above], minlength=greater.shape[1])
            near = np.flatnonzero(concerned & ~above[pair] & (np.abs(difference) <= slack))
            if len(near):
                self._open.append((self._order[asked[near]], np.full(len(near), r), document[near]))

    @property
    def open(self) -> NDArray[np.int64]:
        """The documents within the band: int64 [n, 3] of query, target and document, sorted."""
        if not self._open:
            return np.empty((0, 3), dtype=np.int64)
        columns = [np.concatenate(parts) for parts in zip(*self._open, strict=True)]
        rows: NDArray[np.int64] = np.stack(columns, axis=1)
        return rows[np.lexsort(rows.T[::-1])]
