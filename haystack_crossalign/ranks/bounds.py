"""Operands of the fast product, the bounds of its error, and thresholds that allow for them.

With q and d the vectors, m a center near the documents and k one near the queries, q' = q - k and d' = d - m:

    q.d = q'.d' + k.d' + q.m

The last term is one number per query, so it moves into the thresholds; the middle one is one number per document and
becomes a column of the product. What is left to round to bf16 is short: embeddings crowd around a mean (cosines of 0.7
to 0.95 for e5), and an error grows with the lengths of q' and d'. Another column subtracts, per query, a number c just
below the lowest threshold: a product near a threshold is then near zero, where bf16 is finest, and every threshold is
positive, so that the bit patterns of values compare like integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from haystack_crossalign.ranks.scores import sampled_products

_LANES = 8
"""Queries are padded to a multiple of this, so that their masks are whole 8-byte words."""

_FLOAT32 = 2.0**-24
"""Unit roundoff: the relative error of rounding to the nearest float32 is at most this."""

_TWO_BFLOAT16 = 2.0**-16
"""The same for a number stored as a sum of two bf16."""

_TINY = 2.0**-62
"""Values whose squares or products may be flushed to zero are below this."""

_SAMPLE = 1024

_STRIPE = 256
"""Number of documents prepared at a time, so that all their copies stay in the second-level cache."""


def extra_columns(dtype: torch.dtype) -> int:
    """Number of columns in addition to the vectors: the documents' term and c, each one float32 or a sum of two
    bf16.
    """
    return 4 if dtype == torch.bfloat16 else 2


def center_of(vectors: torch.Tensor, rows: NDArray[np.int64] | None = None) -> torch.Tensor:
    """A point near the vectors, float32 [dim]. Any point gives exact ranks; a near one makes the errors small.

    The mean direction of an evenly spaced sample, times the median length, so that a few very long vectors do not move
    it.
    """
    step = max(1, (len(vectors) if rows is None else len(rows)) // _SAMPLE)
    sample = vectors[::step] if rows is None else vectors[torch.from_numpy(rows[::step])]
    lengths = torch.linalg.vector_norm(sample, dim=1, keepdim=True)
    center: torch.Tensor = (sample / lengths).mean(dim=0) * lengths.median()
    return center


def _longest(vectors: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(vectors, dim=1).max())


def _lengths(vectors: torch.Tensor) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64).numpy()
    return lengths


@dataclass(frozen=True)
class Spread:
    """How far the centered documents of a block reach, for one group of queries.

    :param longest: at least the length of every d'.
    :param residual: at least the length of what rounding to the product's format removed from any d'.
    :param term: at least the magnitude of every k.d'.
    """

    longest: float
    residual: float
    term: float

    def covers(self, other: Spread) -> bool:
        """Whether error bounds for this spread also hold for a block with the other spread."""
        return self.longest >= other.longest and self.residual >= other.residual and self.term >= other.term

    def joined(self, other: Spread) -> Spread:
        """A spread that covers both."""
        pairs = ((self.longest, other.longest), (self.residual, other.residual), (self.term, other.term))
        return Spread(*(max(pair) for pair in pairs))


class QueryOperand:
    """A block of queries as the right-hand side of the product.

    :param queries: float32 [Q, dim].
    :param dtype: torch.bfloat16 or torch.float32.
    """

    def __init__(self, queries: torch.Tensor, dtype: torch.dtype) -> None:
        count, dim = queries.shape
        self.count, self.dim, self.dtype = count, dim, dtype
        self.width = -(-count // _LANES) * _LANES
        self._queries = queries
        length = torch.linalg.vector_norm(queries, dim=1, dtype=torch.float64)
        exponent = torch.frexp(length).exponent
        scale = torch.ldexp(torch.ones_like(length), -exponent)
        scaled = queries * scale.float()[:, None]  # scaling a query by a power of two changes neither order nor digits
        self.center = center_of(scaled)
        self.centered = scaled.sub_(self.center)
        self.matrix = torch.zeros(self.width, dim + extra_columns(dtype), dtype=dtype)
        self.matrix[:count, :dim] = self.centered
        self.matrix[:count, dim : dim + extra_columns(dtype) // 2] = 1
        rounded = self.matrix[:count, :dim].float()
        self.scale: NDArray[np.float64] = scale.numpy()
        self.length: NDArray[np.float64] = (length * scale).numpy()
        self._centered_length = _lengths(self.centered)
        self._rounded_length = _lengths(rounded)
        self._residual = _lengths(rounded - self.centered)  # exact: both have few digits, of like magnitude
        self._center_length = float(_lengths(self.center[None])[0])

    def offsets(self, center: torch.Tensor) -> NDArray[np.float64]:
        """Product of each query with a document center, q.m, in the query's own scale: float64 [Q]."""
        product: NDArray[np.float64] = (self._queries.double() @ center.double()).numpy()
        return product * self.scale

    def error(self, spread: Spread, center_length: float) -> NDArray[np.float64]:
        """Bound of |fast - exact| for any document, before c is subtracted and the result is rounded: float64 [Q].

        Cauchy-Schwarz bounds the effect of what rounding removed, whose length is measured. The rounding of sums is
        bounded by gamma times the sum of magnitudes, the classic bound for a float32 sum of products in any order.

        :param spread: lengths of the d' of the block and of what rounding took from them.
        :param center_length: length of the documents' center m.
        """
        inputs = self._residual * spread.longest + self._rounded_length * spread.residual  # q' and d' rounded
        split = _FLOAT32 if self.dtype == torch.float32 else _TWO_BFLOAT16
        return self._bound(inputs, split, self._gamma(), self._rounded_length, spread, center_length)

    def float32_error(self, spread: Spread, center_length: float) -> NDArray[np.float64]:
        """Bound of |near - exact| for any document, where near is a float32 sum q'.d' plus k.d': float64 [Q]."""
        gamma = (self.dim + 8) * _FLOAT32
        return self._bound(np.zeros(self.count), 0.0, gamma, self._centered_length, spread, center_length)

    def _bound(
        self,
        inputs: NDArray[np.float64],
        split: float,
        gamma: float,
        lengths: NDArray[np.float64],
        spread: Spread,
        center_length: float,
    ) -> NDArray[np.float64]:
        longest = spread.longest
        share, fixed = self.centering_error(center_length)
        sums = split * spread.term + 1.01 * gamma * (lengths * longest + spread.term)
        bound: NDArray[np.float64] = 1.01 * (inputs + sums) + share * longest + fixed
        return bound

    def centering_error(self, center_length: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Error of q'.d' + k.d' + q.m against q.d, from q', d' in float32 and sums in float64: float64 [Q] each.

        The error is at most the first times the length of d', plus the second.

        :param center_length: length of the documents' center m.
        """
        double = 1.01 * (self.dim + 2) * 2.0**-52 * (self.length + self._center_length)
        rounded = 1.01 * _FLOAT32 * (2 * self.length + self._center_length)  # q - k and d - m
        return rounded + double, double * 2 * center_length + _TINY**1.5

    def near(
        self,
        documents: torch.Tensor,
        terms: NDArray[np.float64],
        document_rows: NDArray[np.int64],
        query_rows: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Scores of the listed pairs in the product's scale, within `float32_error` of the exact ones: float64 [pairs].

        :param documents: d' of a block, float32 [B, dim].
        :param terms: their k.d', float64 [B].
        :param document_rows: int64 [pairs], ascending.
        :param query_rows: int64 [pairs].
        """
        products = sampled_products(documents, self.centered, document_rows, query_rows).numpy()
        scores: NDArray[np.float64] = products + terms.take(document_rows)
        return scores

    def score_bounds(
        self, scores: NDArray[np.float32], offsets: NDArray[np.float64], error: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Limits between which a result within `error` does not decide how it compares with a score: float64 [R, Q]
        each.

        A result of at most the first limit is certainly below the score; of at least the second, certainly above.

        :param scores: float32 [R, Q]; +inf if there is no version, so that every result is certainly below.
        """
        # A float64 dot product rounds to a greater float32 when it reaches the next one, to a smaller likewise.
        infinity = np.float32(np.inf)
        absent = np.isposinf(scores)
        known = np.where(absent, np.float32(0), scores)
        lower = np.nextafter(known, -infinity).astype(np.float64) * self.scale - offsets - error
        upper = np.nextafter(known, infinity).astype(np.float64) * self.scale - offsets + error
        return np.where(absent, np.inf, lower), np.where(absent, np.inf, upper)

    def thresholds(
        self,
        scores: NDArray[np.float32],
        offsets: NDArray[np.float64],
        error: NDArray[np.float64],
        operand: torch.Tensor,
    ) -> Thresholds:
        """Turn exact scores into the bit patterns that the product's results are compared with; writes c into
        `operand`.

        A result of at least `above` is certainly above the score, one below `within` certainly below it. Rounding is
        monotone, so it moves no result across a threshold that has itself been rounded away from the band.

        :param scores: float32 [R, Q]; +inf if there is none.
        :param offsets: float64 [Q], see `offsets`.
        :param error: float64 [Q], see `error`.
        :param operand: the query matrix of the thread that calls, [width, dim + extra].
        """
        lower, upper = self.score_bounds(scores, offsets, np.zeros(self.count))
        lowest = lower.min(axis=0, initial=np.inf)
        lowest[np.isposinf(lowest)] = 0.0
        error = 1.02 * (error + 2 * self._gamma() * np.abs(lowest))  # c's part of the sum
        wanted = torch.from_numpy(lowest - 2 * error - 2.0**-15 * np.abs(lowest))
        columns = extra_columns(self.dtype) // 2
        first = wanted.to(self.dtype).double()
        shift = first
        operand[: self.count, self.dim + columns] = -first.to(self.dtype)
        if columns == 2:
            second = (wanted - first).to(self.dtype).double()
            operand[: self.count, self.dim + 3] = -second.to(self.dtype)
            shift = first + second
        move = shift.numpy()
        absent = np.isposinf(scores)
        shape = (len(scores), self.width)
        integer = np.int16 if self.dtype == torch.bfloat16 else np.int32
        within = np.full(shape, np.iinfo(integer).max, dtype=integer)
        above = within.copy()
        np.copyto(
            within[:, : self.count], _bits_below(lower - error - move, integer), casting="same_kind", where=~absent
        )
        np.copyto(
            above[:, : self.count], _bits_above(upper + error - move, integer), casting="same_kind", where=~absent
        )
        return Thresholds(within, above)

    def _gamma(self) -> float:
        # Hardware that multiplies bf16 may truncate its float32 sums, which doubles the error of each.
        return (self.dim + 8) * _FLOAT32 * (2 if self.dtype == torch.bfloat16 else 1)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds as bit patterns, int16 (bf16) or int32 (float32) [R, width]; padded with the greatest value.

    :param within: results from here on, and below `above`, are within the error bound of the threshold.
    :param above: results from here on are certainly above the threshold.
    """

    within: NDArray[np.int16] | NDArray[np.int32]
    above: NDArray[np.int16] | NDArray[np.int32]


def _bits_below(values: NDArray[np.float64], integer: type[np.int16] | type[np.int32]) -> NDArray[np.int32]:
    """Bit pattern of the greatest representable number not above the value; values are positive."""
    near = values.astype(np.float32)
    bits = np.where(near > values, np.nextafter(near, np.float32(0)), near).view(np.int32)
    return bits >> 16 if integer is np.int16 else bits


def _bits_above(values: NDArray[np.float64], integer: type[np.int16] | type[np.int32]) -> NDArray[np.int32]:
    """Bit pattern after that of the least representable number not below the value; values are positive."""
    near = values.astype(np.float32)
    bits = np.where(near < values, np.nextafter(near, np.float32(np.inf)), near).view(np.int32)
    return ((bits + 0xFFFF) >> 16) + 1 if integer is np.int16 else bits + 1


class DocumentOperand:
    """Buffer for blocks of documents, the left-hand side of the product; one per thread, refilled for every block.

    :param rows: most documents in a block.
    :param dim: dimension of the vectors.
    :param dtype: torch.bfloat16 or torch.float32.
    """

    def __init__(self, rows: int, dim: int, dtype: torch.dtype) -> None:
        self.dim, self.dtype = dim, dtype
        self._gathered: torch.Tensor | None = None
        self._centered = torch.empty(rows, dim)
        self._removed = torch.empty(min(rows, _STRIPE), dim)
        self._double = torch.empty(min(rows, _STRIPE), dim, dtype=torch.float64)
        self._terms = torch.empty(rows, dtype=torch.float64)
        self._matrix = torch.ones(rows, dim + extra_columns(dtype), dtype=dtype)
        self.count = 0

    @property
    def matrix(self) -> torch.Tensor:
        """The filled rows, [B, dim + extra]."""
        return self._matrix[: self.count]

    @property
    def centered(self) -> torch.Tensor:
        """Their d', float32 [B, dim]."""
        return self._centered[: self.count]

    @property
    def terms(self) -> NDArray[np.float64]:
        """Their k.d', float64 [B]."""
        terms: NDArray[np.float64] = self._terms[: self.count].numpy()
        return terms

    def gather(self, documents: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
        """The documents of a block, float32 [B, dim]; a view if they are contiguous."""
        self.count = len(rows)
        first = int(rows[0])
        if int(rows[-1]) - first == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
            return documents[first : first + len(rows)]
        if self._gathered is None:
            self._gathered = torch.empty_like(self._centered)
        return torch.index_select(documents, 0, torch.from_numpy(rows), out=self._gathered[: len(rows)])

    def fill(self, block: torch.Tensor, center: torch.Tensor, query_center: torch.Tensor) -> Spread:
        """Fill in d' = d - m and the column of k.d', and measure them.

        :param block: what `gather` returned.
        :param center: m, float32 [dim].
        :param query_center: k, float32 [dim].
        """
        longest = residual = 0.0
        wide_center = query_center.double()
        for start in range(0, self.count, _STRIPE):
            rows = slice(start, min(start + _STRIPE, self.count))
            centered, matrix = self._centered[rows], self._matrix[rows, : self.dim]
            torch.sub(block[rows], center, out=centered)
            matrix.copy_(centered)
            longest = max(longest, _longest(centered))
            if self.dtype == torch.bfloat16:
                removed = self._removed[: len(centered)].copy_(matrix).sub_(centered)  # exact
                residual = max(residual, _longest(removed))
            torch.mv(self._double[: len(centered)].copy_(centered), wide_center, out=self._terms[rows])
        terms = self._terms[: self.count]
        self.matrix[:, self.dim] = terms
        if self.dtype == torch.bfloat16:
            self.matrix[:, self.dim + 1] = terms - self.matrix[:, self.dim]
        longest = 1.001 * longest + math.sqrt(self.dim) * _TINY
        residual = 1.001 * residual + longest * _FLOAT32 if self.dtype == torch.bfloat16 else 0.0
        return Spread(longest, residual, 1.001 * float(terms.abs().max()) + _TINY)
