"""Count with 8-bit products, if the optional package haystack-crossalign-native and the processor support it.

A centered row x is written as x = s (a + b / 254) + c with its own scale s and digits a and b in -127 ... 127. The
product of two rows of digits is an exact integer in each of the `KERNELS`: AMX multiplies signed digits by signed ones;
AVX512-VNNI takes those of queries as a + 128, unsigned, and subtracts 128 times the sum of the document's; and neither
exceeds 32 bits (see `_MOST_DIMENSIONS`). So the only error is what the digits leave out. With r = x - s a and
Cauchy-Schwarz,

    |q'.d' - s_q s_d <a_q, a_d>|  <=  |r_q| |d'| + |q' - r_q| |r_d|

since q'.d' = (q' - r_q).(d' - r_d) + r_q.d' + (q' - r_q).r_d, with every length measured and rounded up: a bound for
each pair, not for the block. Results within the bound of a threshold are summed again with both digits (bounds about
254 times smaller), pair by pair, or with AMX all of a panel of queries of which many are near; those still undecided
are scored exactly, as after any other product. So the ranks are exact. q' and d' are as in
`haystack_crossalign.ranks.bounds`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.native import native_library
from haystack_crossalign.ranks.blocks import Block, OpenPairs
from haystack_crossalign.ranks.bounds import contiguous
from haystack_crossalign.ranks.counting import PENDING, Counter, Counts

KERNELS = ("amx", "avx512-vnni")
"""Names of the sets of instructions that the library has products for, the fastest first."""

KERNEL_VARIABLE = "CROSSALIGN_KERNEL"
"""Environment variable that chooses one of them; ``none`` for none."""

_NUMBERS = {"avx512-vnni": 0, "amx": 1}
_MOST_TARGETS = 64
_MOST_DIMENSIONS = 16384
"""With more, a sum of 8-bit products could overflow 32 bits: 2 x 255 x 127 x 16384 is below 2**31."""

_ROOM = 1 << 18
"""Capacity for undecided pairs per call; if it does not suffice, fewer documents are counted at a time."""

_STEPS = 2.0**-21
"""Thresholds are compared in float32: the relative amount by which they are widened."""

_LEAST = 2.0**-120


@dataclass(frozen=True)
class Kernel:
    """Products of the compiled library in one set of instructions.

    :param name: one of `KERNELS`.
    :param library: the compiled library.
    :param panel: queries are padded to a multiple of this.
    """

    name: str
    library: ctypes.CDLL
    panel: int

    @property
    def number(self) -> int:
        """The kernel's number in the library's functions."""
        return _NUMBERS[self.name]


@cache
def kernels() -> dict[str, Kernel]:
    """By name, the kernels that this processor and its operating system support, the fastest first; none if the
    library is not installed or has another version.
    """
    library = native_library()
    if library is None:
        return {}
    pointer, wide, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    library.crossalign_panel.restype = number
    library.crossalign_panel.argtypes = [number]
    library.crossalign_queries.restype = pointer
    library.crossalign_queries.argtypes = [number, pointer, pointer, number, number]
    library.crossalign_free.restype = None
    library.crossalign_free.argtypes = [pointer]
    library.crossalign_count.restype = wide
    library.crossalign_count.argtypes = [
        *(pointer, pointer, wide, number, pointer, pointer, pointer, pointer, number, pointer, wide),
        *(pointer, pointer, pointer, wide, pointer, pointer),
    ]  # fmt: skip
    panels = {name: library.crossalign_panel(_NUMBERS[name]) for name in KERNELS}
    return {name: Kernel(name, library, panel) for name, panel in panels.items() if panel}


def chosen_kernel() -> Kernel | None:
    """The fastest kernel, or the one that the environment variable ``CROSSALIGN_KERNEL`` names; None if there is none.

    :raises InputError: if the variable names a kernel that is not available here.
    """
    wanted, available = os.environ.get(KERNEL_VARIABLE, ""), kernels()
    if not wanted:
        return next(iter(available.values()), None)
    if wanted == "none":
        return None
    if wanted not in available:
        raise InputError(
            "8-bit products in these instructions are not available here",
            field=KERNEL_VARIABLE,
            seen=wanted,
            allowed=", ".join((*available, "none")),
        )
    return available[wanted]


def counts_by_int8(dim: int, targets: int) -> bool:
    """Whether 8-bit products can count here.

    :param dim: dimension of the vectors.
    :param targets: maximum number of relevant versions of a query.
    """
    return dim <= _MOST_DIMENSIONS and targets <= _MOST_TARGETS and chosen_kernel() is not None


@dataclass(frozen=True, eq=False)
class _Thresholds:
    """Thresholds for results of 8-bit products in one language: float32 [R, width] each, and [width].

    :param lower: results below are certainly less than the score; +inf if there is none.
    :param upper: results from here on are certainly greater.
    :param rounding: error of centering, as a share of the length of d'.
    """

    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    rounding: NDArray[np.float32]


class Int8Counter(Counter):
    """A `Counter` with 8-bit products; blocks of versions in several chunks use the other product.

    :raises MemoryError: if the library cannot allocate memory.
    :raises RuntimeError: if there is no library, or none for this processor.
    """

    measures_lengths = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        kernel = chosen_kernel()
        if kernel is None:
            raise RuntimeError("8-bit products are not available here, see counts_by_int8")
        operand = self._operand
        self._library = library = kernel.library
        self._width = -(-operand.count // kernel.panel) * kernel.panel
        centered, center = (np.ascontiguousarray(part) for part in (operand.centered, operand.center))
        self._queries = library.crossalign_queries(
            kernel.number, centered.ctypes.data, center.ctypes.data, operand.count, operand.dim
        )
        if not self._queries:
            raise MemoryError
        self._thresholds = {code: self._of_language(code) for code in self._centers}

    def __del__(self) -> None:
        if getattr(self, "_queries", None):
            self._library.crossalign_free(self._queries)

    def count(self, blocks: Iterator[Block]) -> Counts:
        """Count over blocks, with separate memory for undecided pairs."""
        counts = Counts.zero(self._languages, *self._targets.scores.shape)
        room, close = _Room(max(_ROOM, self._operand.count)), OpenPairs()
        chunked = []
        for block in blocks:
            if len(block.slabs) > 1:
                chunked.append(block)
                continue
            self._count_digits(block, room, close, counts)
            if self.lengths is not None and not self.lengths.hold:
                return counts  # of no use: they are counted again, or one of the vectors is refused
            if close.documents > PENDING:
                self._count_close(close, counts)
        self._count_close(close, counts)
        if chunked:
            counts.add(super().count(iter(chunked)))
        return counts

    def _of_language(self, code: int) -> _Thresholds:
        operand, center_length = self._operand, self._center_lengths[code]
        offsets, scores = self._offsets[code], self._targets.scores
        share, fixed = operand.centering_error(center_length)
        lower, upper = operand.score_bounds(scores, offsets, fixed)
        filled = np.full((2, len(scores), self._width), np.inf, dtype=np.float32)
        for place, (values, sign) in enumerate(((lower, -1), (upper, 1))):
            known = np.where(np.isposinf(values), 0.0, values)
            moved = _outward(known + sign * (_STEPS * np.abs(known) + _LEAST), sign)
            np.copyto(filled[place, :, : operand.count], moved, where=~np.isposinf(values))
        rounding = np.zeros(self._width, dtype=np.float32)
        rounding[: operand.count] = _outward(share, 1)
        return _Thresholds(filled[0], filled[1], rounding)

    def _count_digits(self, block: Block, room: _Room, close: OpenPairs, counts: Counts) -> None:
        vectors = contiguous(self._documents, block.documents)
        if vectors is None:
            vectors = self._documents[block.documents]
        limits, center = self._thresholds[block.language], np.ascontiguousarray(self._centers[block.language])
        greater = counts.greater[block.language]
        start, rows = 0, len(vectors)
        measured = None if self.lengths is None else ctypes.c_int(0)
        while start < len(vectors):
            rows = min(rows, len(vectors) - start)
            part = vectors[start : start + rows]
            pairs = self._library.crossalign_count(
                self._queries, part.ctypes.data, part.strides[0] // part.itemsize, rows, center.ctypes.data,
                limits.lower.ctypes.data, limits.upper.ctypes.data, limits.rounding.ctypes.data, len(greater),
                greater.ctypes.data, greater.strides[0] // greater.itemsize,
                room.document.ctypes.data, room.query.ctypes.data, room.targets.ctypes.data, len(room.query),
                None if self.lengths is None else self.lengths.limits.ctypes.data,
                None if measured is None else ctypes.byref(measured),
            )  # fmt: skip
            if pairs < 0:
                raise MemoryError
            if pairs > len(room.query):
                rows = max(1, rows // 2)  # one document has at most as many pairs as there are queries, which fit
                continue
            if self.lengths is not None and measured is not None:
                self.lengths.add(measured.value, rows)
            if pairs:
                document, query, undecided = room.listed(pairs, len(greater))
                close.add_documents(block.language, block.documents[document + start], query, undecided)
            start += rows


class _Room:
    """Memory for undecided pairs."""

    def __init__(self, pairs: int) -> None:
        self.document = np.empty(pairs, dtype=np.int32)
        self.query = np.empty(pairs, dtype=np.int32)
        self.targets = np.empty(pairs, dtype=np.uint64)

    def listed(self, pairs: int, targets: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Documents and queries, int64 [pairs], and which of their targets are undecided, bool [R, pairs]."""
        shifts = np.arange(targets, dtype=np.uint64)[:, None]
        undecided = (self.targets[:pairs] >> shifts & np.uint64(1)).astype(np.bool_)
        return self.document[:pairs].astype(np.int64), self.query[:pairs].astype(np.int64), undecided


def _outward(values: NDArray[np.float64], sign: int) -> NDArray[np.float32]:
    """The nearest float32 that is not below (sign 1) or not above (-1) each value."""
    near = values.astype(np.float32)
    wide = near.astype(np.float64)
    beyond = wide < values if sign > 0 else wide > values
    rounded: NDArray[np.float32] = np.where(beyond, np.nextafter(near, np.float32(sign * np.inf)), near)
    return rounded
