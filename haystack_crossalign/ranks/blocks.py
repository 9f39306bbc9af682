"""Cut a pool into blocks of documents: one language per block, all chunks of a version in the same block."""

from __future__ import annotations

from dataclasses import dataclass

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
    for language in np.unique(document_languages):
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
