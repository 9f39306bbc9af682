"""Count, block by block, how many versions rank ahead of each relevant version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.ranks.blocks import Band, Block, OpenPairs
from haystack_crossalign.ranks.bounds import DocumentOperand, QueryOperand, Spread, Thresholds, vector_length
from haystack_crossalign.ranks.formats import Bits
from haystack_crossalign.ranks.scores import LengthCheck, PairScorer

_Near = tuple[NDArray[np.int64], NDArray[np.int64], Bits]

# Number of results of one product. Tiles that fit the second-level cache would count faster, but every product first
# copies its query operand into another layout, too often for small tiles. 2040 is a multiple of 255, see
# `_column_sums`.
_TILE_ROWS = 2040
_TILE_BYTES = _TILE_ROWS * 1024

PENDING = 1 << 16
"""Number of documents whose exact scores are deferred, to be computed together."""

_FEW = 0.01
"""If no larger share of a tile reaches its lowest threshold, cells are listed instead of counted by columns."""

_EVERY = 16
"""One in this many rows of a tile is sampled to decide that."""


@dataclass(frozen=True, eq=False)
class Targets:
    """What to count for a group of queries: the relevant versions' exact scores and positions in the tie order.

    :param scores: float32 [R, Q], +inf if there is no version.
    :param places: int64 [R, Q], smallest `tie_order` of the version's documents with that score.
    """

    scores: NDArray[np.float32]
    places: NDArray[np.int64]

    def reordered(self, order: NDArray[np.int64]) -> Targets:
        """The same for the queries in another order."""
        return Targets(self.scores[:, order], self.places[:, order])


@dataclass(eq=False)
class Counts:
    """Versions counted against each relevant version, per language: int64 [L, R, Q] each.

    :param greater: with a greater score.
    :param ahead: with an equal score and earlier in the tie order.
    :param tied: with an equal score, without the version itself.
    """

    greater: NDArray[np.int64]
    ahead: NDArray[np.int64]
    tied: NDArray[np.int64]

    @classmethod
    def zero(cls, languages: int, relevant: int, queries: int) -> Counts:
        """Counts of zero."""
        shape = (languages, relevant, queries)
        return cls(*(np.zeros(shape, dtype=np.int64) for _ in range(3)))

    def reordered(self, order: NDArray[np.int64]) -> Counts:
        """The same for the queries in another order."""
        return Counts(self.greater[:, :, order], self.ahead[:, :, order], self.tied[:, :, order])

    def add(self, other: Counts) -> None:
        """Add the counts of another thread."""
        self.greater += other.greater
        self.ahead += other.ahead
        self.tied += other.tied


class Counter:
    """Counts for one group of queries; each thread calls `count` on its share of the blocks.

    :param documents: float32 [N, dim].
    :param scorer: scores of pairs with these queries.
    :param operand: the same queries as an operand of the fast product.
    :param targets: what to count for each query.
    :param tie_order: int64 [N], position of each document in the tie order.
    :param centers: by language code, a point near the language's documents, float32 [dim].
    :param languages: number of languages.
    :param largest: most documents in a block.
    :param band: what is counted apart.
    :param lengths: to which a counter that ``measures_lengths`` adds those of documents that are versions of their own.
    """

    measures_lengths = False

    def __init__(
        self,
        documents: NDArray[np.float32],
        scorer: PairScorer,
        operand: QueryOperand,
        targets: Targets,
        tie_order: NDArray[np.int64],
        centers: dict[int, NDArray[np.float32]],
        languages: int,
        largest: int,
        band: Band | None = None,
        lengths: LengthCheck | None = None,
    ) -> None:
        self._band, self.lengths = band, lengths
        self._documents, self._scorer, self._operand, self._targets = documents, scorer, operand, targets
        self._tie_order, self._centers, self._languages, self._largest = tie_order, centers, languages, largest
        self._offsets = {code: operand.offsets(center) for code, center in centers.items()}
        self._center_lengths = {code: vector_length(m) for code, m in centers.items()}

    def count(self, blocks: Iterator[Block]) -> Counts:
        """Count over blocks, with separate scratch memory."""
        counts = Counts.zero(self._languages, *self._targets.scores.shape)
        scratch = _Scratch(self._largest, self._operand)
        for block in blocks:
            self._count_block(block, scratch, counts)
            if scratch.close.documents > PENDING:
                self._count_close(scratch.close, counts)
        self._count_close(scratch.close, counts)
        return counts

    def _count_block(self, block: Block, scratch: _Scratch, counts: Counts) -> None:
        language = block.language
        vectors = scratch.documents.gather(self._documents, block.documents)
        spread = scratch.documents.fill(vectors, self._centers[language], self._operand.center)
        limits = scratch.limits_for(language, spread, self._limits)
        rows, columns = _tiles(block, self._operand)
        for queries in columns:
            near: list[_Near] = []
            for part in rows:
                values = scratch.multiply(part, queries)
                _keep_best_chunk(values, block.slabs)
                values = values[: block.slabs[0]]
                cells = scratch.count_certain(values, limits.fast, queries, counts.greater[language])
                version = cells // values.shape[1]
                query = cells - version * values.shape[1] + queries.start
                near.append((version + part.start, query, values.reshape(-1)[cells]))
            version, query, fast = (np.concatenate(parts) for parts in zip(*near, strict=True))
            if len(version):
                undecided = fast < limits.fast.above[:, query]
                self._count_near(version, query, undecided, limits, block, scratch, counts)

    def _limits(self, language: int, spread: Spread, queries: NDArray[Any]) -> _Limits:
        operand, scores, offsets = self._operand, self._targets.scores, self._offsets[language]
        center_length = self._center_lengths[language]
        fast = operand.thresholds(scores, offsets, operand.error(spread, center_length), queries)
        lower, upper = operand.score_bounds(scores, offsets, operand.float32_error(spread, center_length))
        return _Limits(spread, fast, lower, upper)

    def _count_near(
        self,
        version: NDArray[np.int64],
        query: NDArray[np.int64],
        undecided: NDArray[np.bool_],
        limits: _Limits,
        block: Block,
        scratch: _Scratch,
        counts: Counts,
    ) -> None:
        """Compare the pairs that the fast product did not decide: by float32 sums where these suffice; the others are
        deferred.

        :param version: int64 [pairs], ascending positions in the block.
        :param query: int64 [pairs].
        :param undecided: bool [R, pairs], whether the pair is not already counted as above.
        """
        greater_counts = counts.greater[block.language]
        if self._operand.form.name == "bf16":  # a float32 product has already decided what float32 sums can
            scores = self._near_scores(version, query, block, scratch.documents)
            close = np.zeros(len(version), dtype=np.bool_)
            for r in range(len(undecided)):
                greater = scores >= limits.upper[r].take(query)
                np.logical_and(greater, undecided[r], out=greater)
                greater_counts[r] += np.bincount(query[greater], minlength=greater_counts.shape[1])
                undecided[r] &= ~greater
                undecided[r] &= scores > limits.lower[r].take(query)
                close |= undecided[r]
            kept = np.flatnonzero(close)
            version, query, undecided = version[kept], query[kept], undecided[:, kept]
        if len(version):
            scratch.close.add(block, version, query, undecided)

    def _near_scores(
        self, version: NDArray[np.int64], query: NDArray[np.int64], block: Block, operand: DocumentOperand
    ) -> NDArray[np.float64]:
        """Best float32 score of the listed (version, query) pairs."""
        scores: NDArray[np.float64] | None = None
        first = 0
        for count in block.slabs:
            pairs = int(np.searchsorted(version, count))  # the longest versions come first
            if pairs == 0:
                break
            part = slice(first, first + count)
            chunk = self._operand.near(operand.centered[part], operand.terms[part], version[:pairs], query[:pairs])
            if scores is None:
                scores = chunk
            else:
                np.maximum(scores[:pairs], chunk, out=scores[:pairs])
            first += count
        return np.empty(0) if scores is None else scores

    def _count_close(self, close: OpenPairs, counts: Counts) -> None:
        """Compare by exact score and tie order."""
        targets = self._targets
        queries = counts.greater.shape[2]
        for language, query, undecided, document, pair in close.taken():
            score = self._scorer.exact(self._documents, document, query[pair])
            if self._band is not None:
                self._band.count(query, undecided, document, pair, score, targets.scores, counts.greater[language])
                continue
            order = np.lexsort((self._tie_order[document], -score, pair))
            best = order[np.searchsorted(pair[order], np.arange(len(query)))]
            scores, places = score[best], self._tie_order[document[best]]
            for r in range(len(targets.scores)):
                wanted = targets.scores[r].take(query)
                greater = query[undecided[r] & (scores > wanted)]
                counts.greater[language, r] += np.bincount(greater, minlength=queries)
                equal = np.flatnonzero(undecided[r] & (scores == wanted))
                equal = equal[places[equal] != targets.places[r][query[equal]]]
                ahead = equal[places[equal] < targets.places[r][query[equal]]]
                counts.tied[language, r] += np.bincount(query[equal], minlength=queries)
                counts.ahead[language, r] += np.bincount(query[ahead], minlength=queries)


@dataclass(frozen=True, eq=False)
class _Limits:
    """Limits that the scores of a block are compared with.

    :param spread: the spread for which they hold.
    :param fast: for results of the fast product.
    :param lower: for float32 sums, float64 [R, Q]: a sum not above it is certainly below the score.
    :param upper: float64 [R, Q]: a sum not below it is certainly above the score.
    """

    spread: Spread
    fast: Thresholds
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


def _tiles(block: Block, operand: QueryOperand) -> tuple[list[slice], list[slice]]:
    """Cut a block's product into document rows and query columns (in multiples of 64) that fit a cache."""
    total = len(block.documents)
    rows = min(total, _TILE_ROWS) if len(block.slabs) == 1 else total  # all chunks of a version must be in one tile
    width = operand.width
    columns = min(width, max(64, _TILE_BYTES // operand.matrix.itemsize // rows // 64 * 64))
    return (
        [slice(top, min(top + rows, total)) for top in range(0, total, rows)],
        [slice(left, min(left + columns, width)) for left in range(0, width, columns)],
    )


class _Scratch:
    """Reusable buffers of one thread: allocating memory for every block would cost more than counting."""

    def __init__(self, rows: int, operand: QueryOperand) -> None:
        self._form = operand.form
        self.documents = DocumentOperand(rows, operand.dim, operand.form)
        self._queries = operand.matrix.copy()
        cells = max(rows * 64, min(_TILE_BYTES // operand.matrix.itemsize, rows * operand.width))
        self._values = np.empty(cells, dtype=operand.matrix.dtype)
        self._masks = np.empty((3, cells), dtype=np.bool_)
        self.close = OpenPairs()
        self._language = -1
        self._limits: _Limits | None = None

    def limits_for(
        self, language: int, spread: Spread, make: Callable[[int, Spread, NDArray[Any]], _Limits]
    ) -> _Limits:
        """Limits for a block; recomputed only if those of the previous block do not hold or are far too wide."""
        limits = self._limits
        if limits is None or language != self._language or limits.spread.longest > 1.1 * spread.longest:
            limits = make(language, spread, self._queries)
        elif not limits.spread.covers(spread):
            limits = make(language, limits.spread.joined(spread), self._queries)
        self._language, self._limits = language, limits
        return limits

    def multiply(self, rows: slice, columns: slice) -> Bits:
        """Fast product of some documents of the current block and some queries, as bit patterns [rows, columns]."""
        documents, queries = self.documents.matrix[rows], self._queries[columns]
        out = self._values[: len(documents) * len(queries)].reshape(len(documents), len(queries))
        return self._form.multiply(documents, queries, out)

    def count_certain(
        self,
        values: Bits,
        thresholds: Thresholds,
        columns: slice,
        greater: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Add to `greater` [R, Q] the number of results certainly above each threshold; return the cells near a
        threshold.
        """
        mask, other, near = (part[: values.size].reshape(values.shape) for part in self._masks)
        into = greater[:, columns]
        above, within = thresholds.above[:, columns], thresholds.within[:, columns]
        kept = into.shape[1]
        lowest = within.min(axis=0)
        sample = values[::_EVERY] >= lowest
        if np.count_nonzero(sample) <= _FEW * sample.size:
            np.greater_equal(values, lowest, out=mask)
            return _count_listed(values, np.flatnonzero(mask), above, within, into)
        for r in range(len(above)):
            np.greater_equal(values, above[r], out=mask)
            into[r] += _column_sums(mask)[:kept]
            np.greater_equal(values, within[r], out=other)
            if r == 0:
                np.logical_xor(mask, other, out=near)
            else:
                np.logical_xor(mask, other, out=mask)
                np.logical_or(near, mask, out=near)
        return np.flatnonzero(near)


def _count_listed(
    values: Bits, cells: NDArray[np.int64], above: Bits, within: Bits, into: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The same if only the listed cells can be above or near a threshold."""
    listed = values.reshape(-1).take(cells)
    query = cells % values.shape[1]
    near = np.zeros(len(cells), dtype=np.bool_)
    for r in range(len(above)):
        is_above = listed >= above[r].take(query)
        into[r] += np.bincount(query[is_above], minlength=into.shape[1])
        near |= ~is_above & (listed >= within[r].take(query))
    return cells[near]


def _column_sums(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of True in each column, eight columns to a machine word; width is a multiple of 8."""
    words = mask.view(np.uint64)
    total = np.zeros(mask.shape[1], dtype=np.int64)
    for first in range(0, len(words), 255):  # a byte holds counts up to 255
        total += np.add.reduce(words[first : first + 255], axis=0).view(np.uint8)
    return total


def _keep_best_chunk(values: Bits, slabs: tuple[int, ...]) -> None:
    """Set the value of every version's first chunk to that of its best chunk.

    Bit patterns of negative numbers are in reverse order, but these are all below every threshold, and so is their
    maximum.
    """
    first = slabs[0]
    for count in slabs[1:]:
        np.maximum(values[:count], values[first : first + count], out=values[:count])
        first += count
