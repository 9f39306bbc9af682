"""The score that defines ranks, and the checks that ensure it is a number."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.native import native_library
from haystack_crossalign.ranks.similarity import Similarity, parse_similarity

LONGEST = 2.0**40
"""Length of the longest vector accepted; 1 / LONGEST is the shortest. No product or square within these limits
overflows float32.
"""

_BATCH = 256
"""Number of rows converted to float64 at a time; they stay in the second-level cache."""

_PAIRS = 128
"""The same for pairs of rows."""

_PIECE = 4096
"""Number of components summed at a time: within numpy's buffers, which hold more, its order of a sum is fixed."""

_UNIT = 2.0**-21
"""A length at most this far from 1 counts as 1: scaling to unit length in float32 is more precise than that."""


_ALL_UNIT = 2
"""What the compiled check of lengths returns if all of them count as 1."""


class LengthCheck:
    """The check of `comparable_vectors` for documents that are checked while they are counted, which reads them once.

    :param documents: float32 [N, dim].
    :param similarity: name of the similarity; with cosine all lengths must count as 1.
    """

    def __init__(self, documents: NDArray[np.float32], similarity: Similarity) -> None:
        self.limits = np.array([1 / LONGEST, LONGEST, _UNIT])
        """For the compiled library: the least and the greatest length, and how far from 1 counts as 1."""
        first = documents[:_BATCH].astype(np.float64)
        with np.errstate(all="ignore"):
            unit = np.abs(np.sqrt(row_products(first, first)) - 1) <= _UNIT
        self.hold = similarity != "cosine" or bool(unit.all())
        """Whether no length seen so far, among them the first ones, is uncertain or not allowed."""
        self._least = _ALL_UNIT if similarity == "cosine" else 1
        # Appended to by several threads.
        self._rows: list[int] = []

    def add(self, known: int, rows: int) -> None:
        """Add what the library returned for so many documents."""
        self._rows.append(rows)
        if known < self._least:
            self.hold = False

    def covers(self, documents: int) -> bool:
        """Whether so many documents were seen, all with lengths that are allowed."""
        return self.hold and sum(self._rows) == documents


def comparable_vectors(
    queries: ArrayLike, documents: ArrayLike, similarity: Similarity, *, unchecked_documents: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Check both sets of vectors and transform them for the similarity.

    They are returned as contiguous float32 arrays, without a copy if they are already that. For cosine, rows are scaled
    to unit length; it is a dot product from then on.

    :param queries: [Q, dim].
    :param documents: [N, dim].
    :param similarity: name of the similarity.
    :param unchecked_documents: return the documents as they are, with only their shape checked, see `LengthCheck`.
    :raises InputError: for an unknown similarity, a wrong shape, no rows, different dimensions, NaN or infinite values,
        zero vectors and lengths outside 2**-40 to 2**40; the message names the row.
    """
    parse_similarity(similarity, field="similarity")
    (query_rows, queries_unit), (document_rows, documents_unit) = (
        _checked(queries, "queries"),
        (_table(documents, "documents"), True) if unchecked_documents else _checked(documents, "documents"),
    )
    if query_rows.shape[1] != document_rows.shape[1]:
        raise InputError(
            "queries and documents have vectors of different dimension",
            seen=(query_rows.shape[1], document_rows.shape[1]),
            allowed="one dimension for both",
        )
    if similarity == "cosine":
        return (
            query_rows if queries_unit else unit_rows(query_rows),
            document_rows if documents_unit else unit_rows(document_rows),
        )
    return query_rows, document_rows


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to unit length, float32; the array itself, without a copy, if all of them already have it.

    A row whose length is within 2**-21 of 1 is unchanged. Any other is divided by its length in float64 and rounded
    once to float32, which brings it within that tolerance. Each row depends only on itself, so equal rows stay equal.

    :param vectors: float32 [n, dim], no zero row.
    """
    scaled: NDArray[np.float32] | None = None
    for start in range(0, len(vectors), _BATCH):
        part = vectors[start : start + _BATCH].astype(np.float64)
        lengths = np.sqrt(row_products(part, part))
        other = np.flatnonzero(np.abs(lengths - 1) > _UNIT)
        if len(other):
            if scaled is None:
                scaled = vectors.copy()
            scaled[start + other] = part[other] / lengths[other, None]
    return vectors if scaled is None else scaled


def _table(vectors: ArrayLike, name: str) -> NDArray[np.float32]:
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"the vectors of {name} must be a table",
            field=name,
            seen=array.shape,
            allowed="two dimensions, both at least 1",
        )
    return array


def _checked(vectors: ArrayLike, name: str) -> tuple[NDArray[np.float32], bool]:
    """The vectors as float32, and whether all of them are known to have unit length."""
    array = _table(vectors, name)
    lengths_known = _known_lengths()
    if lengths_known is not None:
        known = lengths_known(array.ctypes.data, len(array), array.shape[1], 1 / LONGEST, LONGEST, _UNIT)
        if known:
            return array, known == _ALL_UNIT
    with np.errstate(all="ignore"):
        lengths = np.sqrt(row_products(array, array))
        wrong = np.flatnonzero(~((lengths >= 1 / LONGEST) & (lengths <= LONGEST)))  # also catches NaN
    if not len(wrong):
        return array, False
    row = int(wrong[0])
    values = array[row]
    if not np.isfinite(values).all():
        seen: object = float(values[~np.isfinite(values)][0])
        raise InputError(f"vector {row} of {name} holds a value that is not a number", field=name, seen=seen)
    if not values.any():
        raise InputError(f"vector {row} of {name} is zero", field=name, allowed="vectors with a direction")
    raise InputError(
        f"vector {row} of {name} is too long or too short",
        field=name,
        seen=float(np.linalg.norm(values.astype(np.float64))),
        allowed="a length between 2**-40 and 2**40",
    )


@cache
def _known_lengths() -> Callable[[int, int, int, float, float, float], int] | None:
    """The compiled check of lengths, which reads the vectors once; None where it is not installed.

    It returns 0 for vectors that it is not certain of, which are then checked as without it.
    """
    # A library that was built before has none.
    function: Any = getattr(native_library(), "crossalign_lengths", None)
    if function is None:
        return None
    number, wide = ctypes.c_double, ctypes.c_int64
    function.restype = ctypes.c_int
    function.argtypes = [ctypes.c_void_p, wide, wide, number, number, number]
    return function  # type: ignore[no-any-return]


class PairScorer:
    """Exact scores of listed pairs of queries and documents.

    A score is float32(float64 dot product of the float32 vectors). Products of float32 are exact in float64, and every
    pair is summed by the same routine, `row_products`, so a score depends only on its two vectors: not on the
    block, the other pairs, the number of threads or the fast first pass. Equal vectors tie exactly.

    :param queries: float32 [Q, dim].
    """

    def __init__(self, queries: NDArray[np.float32]) -> None:
        self._queries = queries.astype(np.float64)

    def exact(
        self, documents: NDArray[np.float32], document_rows: NDArray[np.int64], query_rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Exact scores, float32 [pairs].

        :param documents: float32 [B, dim].
        :param document_rows: int64 [pairs].
        :param query_rows: int64 [pairs].
        """
        return pair_products(documents, self._queries, document_rows, query_rows).astype(np.float32)


def pair_products(
    documents: NDArray[np.float32],
    queries: NDArray[Any],
    document_rows: NDArray[np.int64],
    query_rows: NDArray[np.int64],
) -> NDArray[Any]:
    """Dot products of listed pairs, in the dtype of the queries: [pairs].

    :param documents: [B, dim].
    :param queries: float32 or float64 [Q, dim].
    :param document_rows: int64 [pairs].
    :param query_rows: int64 [pairs].
    """
    products = np.empty(len(query_rows), dtype=queries.dtype)
    for start in range(0, len(products), _PAIRS):
        part = slice(start, start + _PAIRS)
        left = documents[document_rows[part]].astype(queries.dtype, copy=False)
        products[part] = row_products(left, queries[query_rows[part]])
    return products


def row_products(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Dot product of each row with the same row of another table: [n]. It depends only on the two rows.

    :param left: [n, dim], row by row in memory.
    :param right: the same.
    """
    total: NDArray[Any] = np.einsum("nd,nd->n", left[:, :_PIECE], right[:, :_PIECE])
    for start in range(_PIECE, left.shape[1], _PIECE):
        columns = slice(start, start + _PIECE)
        total = total + np.einsum("nd,nd->n", left[:, columns], right[:, columns])
    return total
