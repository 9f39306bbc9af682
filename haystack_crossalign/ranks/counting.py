"""Counting, block by block, how many versions stand ahead of each relevant version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from haystack_crossalign.ranks.blocks import Block
from haystack_crossalign.ranks.bounds import DocumentOperand, QueryOperand, Spread, Thresholds
from haystack_crossalign.ranks.scores import PairScorer

__all__ = ["Counter", "Counts", "Targets"]

_Near = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16] | NDArray[np.int32]]

# Results of one product: with their masks they just fit the second-level cache of one core.
_TILE_ROWS = 510
_TILE_CELLS = _TILE_ROWS * 1024


@dataclass(frozen=True, eq=False)
class Targets:
    """What to count for a group of queries: the relevant versions' exact scores and ids.

    :param scores: float32 [R, Q], +inf where there is no version.
    :param ids: int64 [R, Q], smallest id (as its position in ascending order) of a document with that score.
    """

    scores: NDArray[np.float32]
    ids: NDArray[np.int64]


@dataclass(eq=False)
class Counts:
    """Versions counted against each relevant version, per language: int64 [L, R, Q] each.

    :param greater: with a greater score.
    :param ahead: with an equal score and a smaller id.
    :param tied: with an equal score, the version itself left out.
    """

    greater: NDArray[np.int64]
    ahead: NDArray[np.int64]
    tied: NDArray[np.int64]

    @classmethod
    def zero(cls, languages: int, relevant: int, queries: int) -> Counts:
        """Nothing counted yet."""
        shape = (languages, relevant, queries)
        return cls(*(np.zeros(shape, dtype=np.int64) for _ in range(3)))

    def add(self, other: Counts) -> None:
        """Add what another thread counted."""
        self.greater += other.greater
        self.ahead += other.ahead
        self.tied += other.tied


class Counter:
    """Counts for one group of queries; `count` is what each thread runs over its share of the blocks.

    :param documents: float32 [N, dim].
    :param scorer: scores of pairs with these queries.
    :param operand: the same queries as an operand of the fast product.
    :param targets: what to count for each query.
    :param id_order: int64 [N], position of each document's id in ascending order.
    :param centres: for every language code with documents, a point near them, float32 [dim].
    :param languages: number of languages.
    :param largest: most documents in a block.
    """

    def __init__(
        self,
        documents: torch.Tensor,
        scorer: PairScorer,
        operand: QueryOperand,
        targets: Targets,
        id_order: NDArray[np.int64],
        centres: dict[int, torch.Tensor],
        languages: int,
        largest: int,
    ) -> None:
        self._documents, self._scorer, self._operand, self._targets = documents, scorer, operand, targets
        self._ids, self._centres, self._languages, self._largest = id_order, centres, languages, largest
        self._offsets = {code: operand.offsets(centre) for code, centre in centres.items()}
        self._centre_lengths = {code: float(torch.linalg.vector_norm(m.double())) for code, m in centres.items()}

    def count(self, blocks: Iterator[Block]) -> Counts:
        """Count over blocks, with scratch memory of its own."""
        counts = Counts.zero(self._languages, *self._targets.scores.shape)
        scratch = _Scratch(self._largest, self._operand)
        for block in blocks:
            self._count_block(block, scratch, counts)
        return counts

    def _count_block(self, block: Block, scratch: _Scratch, counts: Counts) -> None:
        language = block.language
        vectors = scratch.documents.gather(self._documents, block.documents)
        spread = scratch.documents.centre(vectors, self._centres[language])
        scratch.documents.add_query_centre(self._operand.centre)
        thresholds = scratch.thresholds_for(language, spread, self._thresholds)
        rows, columns = _tiles(block, self._operand.width)
        for queries in columns:
            near: list[_Near] = []
            for part in rows:
                values = scratch.multiply(part, queries)
                _keep_best_chunk(values, block.slabs)
                values = values[: block.slabs[0]]
                cells = scratch.count_certain(values, thresholds, queries, counts.greater[language])
                version = cells // values.shape[1]
                query = cells - version * values.shape[1] + queries.start
                near.append((version + part.start, query, values.reshape(-1)[cells]))
            version, query, fast = (np.concatenate(parts) for parts in zip(*near, strict=True))
            if len(version):
                self._count_near(version, query, fast, thresholds, block, vectors, counts)

    def _thresholds(self, language: int, spread: Spread, queries: torch.Tensor) -> Thresholds:
        error = self._operand.error(spread, self._centre_lengths[language])
        return self._operand.thresholds(self._targets.scores, self._offsets[language], error, queries)

    def _count_near(
        self,
        version: NDArray[np.int64],
        query: NDArray[np.int64],
        fast: NDArray[np.int16] | NDArray[np.int32],
        thresholds: Thresholds,
        block: Block,
        vectors: torch.Tensor,
        counts: Counts,
    ) -> None:
        """Compare what the fast product left open by score, then id.

        :param version: int64 [pairs], ascending, as the place in the block.
        :param query: int64 [pairs].
        :param fast: results of the fast product for them.
        """
        targets, language = self._targets, block.language
        scores, ids = self._best_chunks(version, query, block, vectors, exact=False)
        slack = self._scorer.slack(query)
        nearest = np.abs(scores - targets.scores[:, query].astype(np.float64)).min(axis=0)
        close = np.flatnonzero(nearest <= slack)
        scores[close], ids[close] = self._best_chunks(version[close], query[close], block, vectors, exact=True)
        queries = counts.greater.shape[2]
        for r in range(len(targets.scores)):
            undecided = fast < thresholds.above[r][query]
            greater = query[undecided & (scores > targets.scores[r][query])]
            counts.greater[language, r] += np.bincount(greater, minlength=queries)
            equal = close[undecided[close] & (scores[close] == targets.scores[r][query[close]])]
            equal = equal[ids[equal] != targets.ids[r][query[equal]]]
            np.add.at(counts.tied[language, r], query[equal], 1)
            np.add.at(counts.ahead[language, r], query[equal[ids[equal] < targets.ids[r][query[equal]]]], 1)

    def _best_chunks(
        self,
        version: NDArray[np.int64],
        query: NDArray[np.int64],
        block: Block,
        vectors: torch.Tensor,
        *,
        exact: bool,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Score of listed (version, query) pairs and the smallest id of a chunk that has it."""
        score = self._scorer.exact if exact else self._scorer.near
        scores = np.full(len(version), -np.inf, dtype=np.float32)
        ids = np.zeros(len(version), dtype=np.int64)
        first = 0
        for count in block.slabs:
            pairs = int(np.searchsorted(version, count))  # the longest versions come first
            if pairs == 0:
                break
            chunk = score(vectors[first : first + count], version[:pairs], query[:pairs])
            chunk_ids = self._ids[block.documents[first + version[:pairs]]]
            better = (chunk > scores[:pairs]) | ((chunk == scores[:pairs]) & (chunk_ids < ids[:pairs]))
            np.copyto(scores[:pairs], chunk, where=better)
            np.copyto(ids[:pairs], chunk_ids, where=better)
            first += count
        return scores, ids


def _tiles(block: Block, width: int) -> tuple[list[slice], list[slice]]:
    """Cut a block's product into document rows and query columns (in multiples of 64) that fit a cache."""
    total = len(block.documents)
    rows = min(total, _TILE_ROWS) if len(block.slabs) == 1 else total  # all chunks of a version must meet
    columns = min(width, max(64, _TILE_CELLS // rows // 64 * 64))
    return (
        [slice(top, min(top + rows, total)) for top in range(0, total, rows)],
        [slice(left, min(left + columns, width)) for left in range(0, width, columns)],
    )


class _Scratch:
    """Memory of one thread: fresh memory for every block would cost more than the counting."""

    def __init__(self, rows: int, operand: QueryOperand) -> None:
        self.documents = DocumentOperand(rows, operand.dim, operand.dtype)
        self._queries = operand.matrix.clone()
        self._integer = torch.int16 if operand.dtype == torch.bfloat16 else torch.int32
        cells = max(rows * 64, min(_TILE_CELLS, rows * operand.width))
        self._values = torch.empty(cells, dtype=operand.dtype)
        self._masks = np.empty((3, cells), dtype=np.bool_)
        self._key: tuple[int, tuple[int, int]] | None = None
        self._thresholds: Thresholds | None = None

    def thresholds_for(
        self, language: int, spread: Spread, make: Callable[[int, Spread, torch.Tensor], Thresholds]
    ) -> Thresholds:
        """Thresholds for a block; made anew only where they differ from those of the block before.

        The spread is rounded up a little, so that most blocks of a language share their thresholds.
        """
        key = (language, spread.key())
        if self._thresholds is None or key != self._key:
            self._key = key
            self._thresholds = make(language, Spread.rounded_up(key[1]), self._queries)
        return self._thresholds

    def multiply(self, rows: slice, columns: slice) -> NDArray[np.int16] | NDArray[np.int32]:
        """Fast product of documents of the present block and some queries, as bit patterns [rows, columns]."""
        documents, queries = self.documents.matrix[rows], self._queries[columns]
        out = self._values[: len(documents) * len(queries)].view(len(documents), len(queries))
        torch.mm(documents, queries.T, out=out)
        bits: NDArray[np.int16] | NDArray[np.int32] = out.view(self._integer).numpy()
        return bits

    def count_certain(
        self,
        values: NDArray[np.int16] | NDArray[np.int32],
        thresholds: Thresholds,
        columns: slice,
        greater: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Add what is certainly above each threshold to `greater` [R, Q] and return the cells that are near one."""
        mask, other, near = (part[: values.size].reshape(values.shape) for part in self._masks)
        into = greater[:, columns]
        kept = into.shape[1]
        for r in range(len(thresholds.above)):
            np.greater_equal(values, thresholds.above[r, columns], out=mask)
            into[r] += _column_sums(mask)[:kept]
            np.greater_equal(values, thresholds.within[r, columns], out=other)
            if r == 0:
                np.logical_xor(mask, other, out=near)
            else:
                np.logical_xor(mask, other, out=mask)
                np.logical_or(near, mask, out=near)
        return np.flatnonzero(near)


def _column_sums(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of True in each column, eight columns to a machine word; width is a multiple of 8."""
    words = mask.view(np.uint64)
    total = np.zeros(mask.shape[1], dtype=np.int64)
    for first in range(0, len(words), 255):  # a byte counts to 255
        total += np.add.reduce(words[first : first + 255], axis=0).view(np.uint8)
    return total


def _keep_best_chunk(values: NDArray[np.int16] | NDArray[np.int32], slabs: tuple[int, ...]) -> None:
    """Raise the first chunk's value of every version to that of its best chunk.

    Bit patterns of negative numbers are in reverse order, but all are below every threshold, as their maximum is.
    """
    first = slabs[0]
    for count in slabs[1:]:
        np.maximum(values[:count], values[first : first + count], out=values[:count])
        first += count
