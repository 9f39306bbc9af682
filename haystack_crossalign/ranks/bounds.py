"""Operands of the fast product, how far its values can be from the exact ones, and what that makes of a threshold.

With q and d the vectors, m a centre near the documents and k one near the queries, q' = q - k and d' = d - m:

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

__all__ = ["DocumentOperand", "QueryOperand", "Spread", "Thresholds", "centre_of", "extra_columns"]

_LANES = 64
"""Queries are padded to a multiple of this: whole registers, and whole 8-byte words of their masks."""

_FLOAT32 = 2.0**-24
"""Unit roundoff: a value rounded to nearest float32 is off by at most this share of itself."""

_TINY = 2.0**-62
"""Values whose squares or products may be flushed to zero are below this."""

_STEP = math.log(1.02)

_SAMPLE = 1024


def extra_columns(dtype: torch.dtype) -> int:
    """Columns beside the vectors: the documents' term and c, each as one float32 or as a sum of two bf16."""
    return 4 if dtype == torch.bfloat16 else 2


def centre_of(vectors: torch.Tensor, rows: NDArray[np.int64] | None = None) -> torch.Tensor:
    """A point near the vectors, float32 [dim]. Any point would do for exactness; a near one makes errors small.

    The mean direction of an even sample, times the median length, so that a few very long vectors cannot pull it away.
    """
    step = max(1, (len(vectors) if rows is None else len(rows)) // _SAMPLE)
    sample = vectors[::step] if rows is None else vectors[torch.from_numpy(rows[::step])]
    lengths = torch.linalg.vector_norm(sample, dim=1, keepdim=True)
    centre: torch.Tensor = (sample / lengths).mean(dim=0) * lengths.median()
    return centre


def _longest(vectors: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(vectors, dim=1).max())


def _lengths(vectors: torch.Tensor) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64).numpy()
    return lengths


@dataclass(frozen=True)
class Spread:
    """How long the centred documents of a block are.

    :param longest: at least the length of every d'.
    :param residual: at least the length of what rounding to the product's format took from any d'.
    """

    longest: float
    residual: float

    def key(self) -> tuple[int, int]:
        """Equal for blocks of about the same spread; see `rounded_up`."""
        return math.ceil(math.log(self.longest) / _STEP), math.ceil(math.log(self.residual) / _STEP)

    @classmethod
    def rounded_up(cls, key: tuple[int, int]) -> Spread:
        """A spread that holds for every block with this key, at most 2 % above their own."""
        longest, residual = (1.0001 * math.exp(steps * _STEP) for steps in key)
        return cls(longest, residual)


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
        scaled = queries * scale.float()[:, None]  # a power of two per query changes neither order nor digits
        self.centre = centre_of(scaled)
        centred = scaled - self.centre
        self.matrix = torch.zeros(self.width, dim + extra_columns(dtype), dtype=dtype)
        self.matrix[:count, :dim] = centred
        self.matrix[:count, dim : dim + extra_columns(dtype) // 2] = 1
        rounded = self.matrix[:count, :dim].float()
        self.scale: NDArray[np.float64] = scale.numpy()
        self.length: NDArray[np.float64] = (length * scale).numpy()
        self.rounded_length = _lengths(rounded)
        self.residual = _lengths(rounded - centred)  # exact: both have few digits, of like magnitude
        self.centre_length = float(_lengths(self.centre[None])[0])

    def offsets(self, centre: torch.Tensor) -> NDArray[np.float64]:
        """Each query's share of a document centre, q.m in its own scale: float64 [Q]."""
        product: NDArray[np.float64] = (self._queries.double() @ centre.double()).numpy()
        return product * self.scale

    def error(self, spread: Spread, centre_length: float) -> NDArray[np.float64]:
        """Bound of |fast - exact| for any document, before c is subtracted and the result is rounded: float64 [Q].

        By Cauchy-Schwarz on what each rounding removes, with the lengths of what was removed as measured; gamma is the
        classic bound of a float32 sum of dim products in any order, doubled for sums that truncate.

        :param spread: lengths of the d' of the block and of what rounding took from them.
        :param centre_length: length of the documents' centre m.
        """
        gamma, longest = self._gamma(), spread.longest
        split = 0.0 if self.dtype == torch.float32 else 2.0**-16  # a number as a sum of two bf16
        inputs = self.residual * longest + self.rounded_length * spread.residual  # q' and d' rounded
        centring = _FLOAT32 * (2 * self.length + self.centre_length) * longest  # q - k and d - m rounded to float32
        column = (gamma + split) * self.centre_length * longest  # k.d' and its two bf16 parts
        sums = 1.01 * gamma * (self.rounded_length + self.centre_length) * longest
        double = (self.dim + 2) * 2.0**-52 * self.length * (2 * centre_length + longest)  # scores and q.m themselves
        bound: NDArray[np.float64] = 1.01 * (inputs + centring + column + sums + double) + _TINY**1.5
        return bound

    def thresholds(
        self,
        scores: NDArray[np.float32],
        offsets: NDArray[np.float64],
        error: NDArray[np.float64],
        operand: torch.Tensor,
    ) -> Thresholds:
        """Turn exact scores into bit patterns that the product's results are compared with; writes c into `operand`.

        A result of at least `above` is certainly above the score, one below `within` certainly below it. Rounding is
        monotone, so it moves no result across a threshold that has itself been rounded away from the band.

        :param scores: float32 [R, Q]; +inf where there is none.
        :param offsets: float64 [Q], see `offsets`.
        :param error: float64 [Q], see `error`.
        :param operand: the query matrix of the thread that calls, [width, dim + extra].
        """
        # A float64 dot product rounds to a greater float32 when it reaches the next one, to a smaller likewise.
        infinity = np.float32(np.inf)
        absent = np.isposinf(scores)
        known = np.where(absent, np.float32(0), scores)
        upper = np.nextafter(known, infinity).astype(np.float64) * self.scale - offsets
        lower = np.nextafter(known, -infinity).astype(np.float64) * self.scale - offsets
        lowest = lower.min(axis=0, where=~absent, initial=np.inf)
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
        return 2 * (self.dim + 8) * _FLOAT32


@dataclass(frozen=True)
class Thresholds:
    """Bit patterns of the product's results, int16 (bf16) or int32 (float32) [R, width]; padded with the greatest.

    :param within: results from here on, and below `above`, are within the error bound of the threshold.
    :param above: results from here on are certainly above the threshold.
    """

    within: NDArray[np.int16] | NDArray[np.int32]
    above: NDArray[np.int16] | NDArray[np.int32]


def _bits_below(values: NDArray[np.float64], integer: type[np.int16] | type[np.int32]) -> NDArray[np.int32]:
    """Bit pattern of the greatest number of the format that is at most the value; values are positive."""
    near = values.astype(np.float32)
    bits = np.where(near > values, np.nextafter(near, np.float32(0)), near).view(np.int32)
    return bits >> 16 if integer is np.int16 else bits


def _bits_above(values: NDArray[np.float64], integer: type[np.int16] | type[np.int32]) -> NDArray[np.int32]:
    """Bit pattern that follows the least number of the format that is at least the value; values are positive."""
    near = values.astype(np.float32)
    bits = np.where(near < values, np.nextafter(near, np.float32(np.inf)), near).view(np.int32)
    return ((bits + 0xFFFF) >> 16) + 1 if integer is np.int16 else bits + 1


class DocumentOperand:
    """Room for blocks of documents as the left-hand side of the product; one per thread, filled block by block.

    :param rows: most documents in a block.
    :param dim: dimension of the vectors.
    :param dtype: torch.bfloat16 or torch.float32.
    """

    def __init__(self, rows: int, dim: int, dtype: torch.dtype) -> None:
        self.dim, self.dtype = dim, dtype
        self._gathered = torch.empty(rows, dim)
        self._centred = torch.empty(rows, dim)
        self._removed = torch.empty(rows, dim) if dtype == torch.bfloat16 else self._centred
        self._matrix = torch.ones(rows, dim + extra_columns(dtype), dtype=dtype)
        self.count = 0

    @property
    def matrix(self) -> torch.Tensor:
        """The filled rows, [B, dim + extra]."""
        return self._matrix[: self.count]

    def gather(self, documents: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
        """The documents of a block, float32 [B, dim]; a view where they lie side by side."""
        self.count = len(rows)
        first = int(rows[0])
        if int(rows[-1]) - first == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
            return documents[first : first + len(rows)]
        return torch.index_select(documents, 0, torch.from_numpy(rows), out=self._gathered[: len(rows)])

    def centre(self, block: torch.Tensor, centre: torch.Tensor) -> Spread:
        """Fill in d' = d - m and measure it."""
        centred = self._centred[: self.count]
        torch.sub(block, centre, out=centred)
        self.matrix[:, : self.dim] = centred
        longest = 1.001 * _longest(centred) + math.sqrt(self.dim) * _TINY
        if self.dtype == torch.float32:
            return Spread(longest, longest * _FLOAT32)
        removed = torch.sub(centred, self.matrix[:, : self.dim], out=self._removed[: self.count])  # exact
        return Spread(longest, 1.001 * _longest(removed) + longest * _FLOAT32)

    def add_query_centre(self, centre: torch.Tensor) -> None:
        """Fill in the column of k.d', for the block of queries whose centre is k."""
        term = self._centred[: self.count] @ centre
        self.matrix[:, self.dim] = term
        if self.dtype == torch.bfloat16:
            self.matrix[:, self.dim + 1] = term - self.matrix[:, self.dim].float()
