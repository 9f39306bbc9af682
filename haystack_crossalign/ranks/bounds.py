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
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.ranks.formats import Format
from haystack_crossalign.ranks.scores import pair_products, row_products

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


def center_of(vectors: NDArray[np.float32], rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """A point near the vectors, float32 [dim]. Any point gives exact ranks; a near one makes the errors small.

    The mean direction of an evenly spaced sample, times the median length, so that a few very long vectors do not move
    it.
    """
    step = max(1, (len(vectors) if rows is None else len(rows)) // _SAMPLE)
    sample = vectors[::step] if rows is None else vectors[rows[::step]]
    lengths = np.sqrt(row_products(sample, sample))
    center: NDArray[np.float32] = (sample / lengths[:, None]).mean(axis=0) * np.median(lengths)
    return center


def _longest(vectors: NDArray[np.float32]) -> float:
    return math.sqrt(row_products(vectors, vectors).max())


def vector_length(vector: NDArray[np.float32]) -> float:
    """Length of one vector, in float64."""
    return float(np.linalg.norm(vector.astype(np.float64)))


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), _STRIPE):
        part = vectors[start : start + _STRIPE].astype(np.float64)
        lengths[start : start + _STRIPE] = np.sqrt(row_products(part, part))
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
    :param form: number format of the product.
    :param slack: float64 [R, Q], how far on either side of a score it leaves pairs undecided; None for not at all.
    """

    def __init__(self, queries: NDArray[np.float32], form: Format, *, slack: NDArray[np.float64] | None = None) -> None:
        count, dim = queries.shape
        self._slack = slack
        self.count, self.dim, self.form = count, dim, form
        self.width = -(-count // _LANES) * _LANES
        self._queries = queries
        length = _lengths(queries)
        self.scale: NDArray[np.float64] = np.ldexp(1.0, -np.frexp(length)[1])
        # Scaling a query by a power of two changes neither order nor digits.
        scaled = queries * self.scale.astype(np.float32)[:, None]
        self.center = center_of(scaled)
        self.centered: NDArray[np.float32] = np.subtract(scaled, self.center, out=scaled)
        self.length: NDArray[np.float64] = length * self.scale
        self._center_length = vector_length(self.center)

    # What follows is made when it is first asked for, by the first thread: 8-bit products ask for none of it.

    @cached_property
    def matrix(self) -> NDArray[Any]:
        """The queries as the product reads them, [width, dim + extra]."""
        form, count, dim = self.form, self.count, self.dim
        matrix = form.zeros(self.width, dim + form.columns)
        form.put(matrix[:count, :dim], self.centered)
        form.put(matrix[:count, dim : dim + form.columns // 2], np.ones((count, form.columns // 2)))
        return matrix

    @cached_property
    def _centered_length(self) -> NDArray[np.float64]:
        return _lengths(self.centered)

    @cached_property
    def _rounded_length(self) -> NDArray[np.float64]:
        return _lengths(self.form.get(self.matrix[: self.count, : self.dim]))

    @cached_property
    def _residual(self) -> NDArray[np.float64]:
        # Exact: both have few digits, of like magnitude.
        return _lengths(self.form.get(self.matrix[: self.count, : self.dim]) - self.centered)

    def offsets(self, center: NDArray[np.float32]) -> NDArray[np.float64]:
        """Product of each query with a document center, q.m, in the query's own scale: float64 [Q]."""
        products = np.empty(self.count)
        wide = center.astype(np.float64)
        for start in range(0, self.count, _STRIPE):
            part = slice(start, start + _STRIPE)
            products[part] = self._queries[part].astype(np.float64) @ wide
        return products * self.scale

    def error(self, spread: Spread, center_length: float) -> NDArray[np.float64]:
        """Bound of |fast - exact| for any document, before c is subtracted and the result is rounded: float64 [Q].

        Cauchy-Schwarz bounds the effect of what rounding removed, whose length is measured. The rounding of sums is
        bounded by gamma times the sum of magnitudes, the classic bound for a float32 sum of products in any order.

        :param spread: lengths of the d' of the block and of what rounding took from them.
        :param center_length: length of the documents' center m.
        """
        inputs = self._residual * spread.longest + self._rounded_length * spread.residual  # q' and d' rounded
        split = _FLOAT32 if self.form.name == "fp32" else _TWO_BFLOAT16
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
        documents: NDArray[np.float32],
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
        products = pair_products(documents, self.centered, document_rows, query_rows)
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
        if self._slack is not None:
            error = error + self._slack * self.scale
        lower = np.nextafter(known, -infinity).astype(np.float64) * self.scale - offsets - error
        upper = np.nextafter(known, infinity).astype(np.float64) * self.scale - offsets + error
        return np.where(absent, np.inf, lower), np.where(absent, np.inf, upper)

    def thresholds(
        self,
        scores: NDArray[np.float32],
        offsets: NDArray[np.float64],
        error: NDArray[np.float64],
        operand: NDArray[Any],
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
        move = self._subtract(lowest - 2 * error - 2.0**-15 * np.abs(lowest), operand)
        absent = np.isposinf(scores)
        shape = (len(scores), self.width)
        integer = self.form.integer
        within = np.full(shape, np.iinfo(integer).max, dtype=integer)
        above = within.copy()
        np.copyto(
            within[:, : self.count], _bits_below(lower - error - move, integer), casting="same_kind", where=~absent
        )
        np.copyto(
            above[:, : self.count], _bits_above(upper + error - move, integer), casting="same_kind", where=~absent
        )
        return Thresholds(within, above)

    def _subtract(self, wanted: NDArray[np.float64], operand: NDArray[Any]) -> NDArray[np.float64]:
        """Write -c into the columns of `operand` that subtract it, in as many parts as there are; return c."""
        left, shift = wanted, np.zeros_like(wanted)
        for column in range(self.dim + self.form.columns // 2, self.dim + self.form.columns):
            self.form.put(operand[: self.count, column], -left)
            part = -self.form.get(operand[: self.count, column]).astype(np.float64)
            left, shift = left - part, shift + part
        return shift

    def _gamma(self) -> float:
        # Hardware that multiplies bf16 may truncate its float32 sums, which doubles the error of each.
        units: int = (self.dim + 8) * (2 if self.form.name == "bf16" else 1)
        return units * _FLOAT32


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
    :param form: number format of the product.
    """

    def __init__(self, rows: int, dim: int, form: Format) -> None:
        self.dim, self.form = dim, form
        self._gathered: NDArray[np.float32] | None = None
        self._centered = np.empty((rows, dim), dtype=np.float32)
        self._double = np.empty((min(rows, _STRIPE), dim))
        self._terms = np.empty(rows)
        self._matrix = form.zeros(rows, dim + form.columns)
        form.put(self._matrix[:, dim:], np.ones((rows, form.columns)))
        self.count = 0

    @property
    def matrix(self) -> NDArray[Any]:
        """The filled rows, [B, dim + extra]."""
        return self._matrix[: self.count]

    @property
    def centered(self) -> NDArray[np.float32]:
        """Their d', float32 [B, dim]."""
        return self._centered[: self.count]

    @property
    def terms(self) -> NDArray[np.float64]:
        """Their k.d', float64 [B]."""
        return self._terms[: self.count]

    def gather(self, documents: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The documents of a block, float32 [B, dim]; a view if they are contiguous."""
        self.count = len(rows)
        if (block := contiguous(documents, rows)) is not None:
            return block
        if self._gathered is None:
            self._gathered = np.empty_like(self._centered)
        return np.take(documents, rows, axis=0, out=self._gathered[: len(rows)], mode="clip")

    def fill(
        self, block: NDArray[np.float32], center: NDArray[np.float32], query_center: NDArray[np.float32]
    ) -> Spread:
        """Fill in d' = d - m and the column of k.d', and measure them.

        :param block: what `gather` returned.
        :param center: m, float32 [dim].
        :param query_center: k, float32 [dim].
        """
        form, narrow = self.form, self.form.name == "bf16"
        longest = residual = 0.0
        wide_center = query_center.astype(np.float64)
        for start in range(0, self.count, _STRIPE):
            rows = slice(start, min(start + _STRIPE, self.count))
            centered, matrix = self._centered[rows], self._matrix[rows, : self.dim]
            np.subtract(block[rows], center, out=centered)
            form.put(matrix, centered)
            longest = max(longest, _longest(centered))
            if narrow:
                residual = max(residual, _longest(form.get(matrix) - centered))  # exact
            double = self._double[: len(centered)]
            double[...] = centered
            np.matmul(double, wide_center, out=self._terms[rows])
        terms, column = self.terms, self.matrix[:, self.dim]
        form.put(column, terms)
        if narrow:
            form.put(self.matrix[:, self.dim + 1], terms - form.get(column))
        longest = 1.001 * longest + math.sqrt(self.dim) * _TINY
        residual = 1.001 * residual + longest * _FLOAT32 if narrow else 0.0
        return Spread(longest, residual, 1.001 * float(np.abs(terms).max()) + _TINY)


def contiguous(documents: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """A view of documents that are contiguous in that order; None for any others."""
    first = int(rows[0])
    if int(rows[-1]) - first == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
        return documents[first : first + len(rows)]
    return None
