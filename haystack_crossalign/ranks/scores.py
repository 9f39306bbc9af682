"""The score that ranks are defined by, and the checks on vectors that make it a number."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks.similarity import Similarity

LONGEST = 2.0**40
"""Longest vector accepted; 1 / LONGEST is the shortest. No product or square inside overflows float32."""

_BATCH = 256
"""Documents held as float64 at a time; they stay in the second-level cache."""

_UNIT = 2.0**-21
"""A length that is no further from 1 is taken as 1: scaling to unit length in float32 leaves it closer than that."""


def comparable_vectors(
    queries: ArrayLike, documents: ArrayLike, similarity: Similarity
) -> tuple[torch.Tensor, torch.Tensor]:
    """Check both sets of vectors and bring them to the form in which the similarity compares them.

    Cosine is the dot product of rows of unit length; everything after this takes it as that.

    :param queries: [Q, dim].
    :param documents: [N, dim].
    :param similarity: what they are compared by.
    :raises InputError: as `checked_vectors`.
    """
    query_tensor, document_tensor = checked_vectors(queries, documents)
    if similarity == "cosine":
        return unit_rows(query_tensor), unit_rows(document_tensor)
    return query_tensor, document_tensor


def unit_rows(vectors: torch.Tensor) -> torch.Tensor:
    """Rows scaled to unit length, float32; the tensor itself, without a copy, where all of them have it already.

    A row of length 1 within 2**-21 stays as it is. Any other is divided by its length in float64 and rounded to float32
    once, after which it has unit length in that sense. Each row depends on itself alone: equal rows stay equal.

    :param vectors: float32 [n, dim], no row zero.
    """
    rows = vectors.numpy()
    scaled: NDArray[np.float32] | None = None
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH].astype(np.float64)
        lengths = np.sqrt(np.einsum("nd,nd->n", part, part))
        other = np.flatnonzero(np.abs(lengths - 1) > _UNIT)
        if len(other):
            if scaled is None:
                scaled = rows.copy()
            scaled[start + other] = part[other] / lengths[other, None]
    return vectors if scaled is None else torch.from_numpy(scaled)


def checked_vectors(queries: ArrayLike, documents: ArrayLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Check both sets of vectors and return them as contiguous float32 tensors (without a copy where they are).

    :param queries: [Q, dim].
    :param documents: [N, dim].
    :raises InputError: for a wrong shape, no rows, different dimensions, NaN or infinite values, zero vectors and
        lengths outside 2**-40 to 2**40; the message names the row.
    """
    query_tensor = _checked(queries, "queries")
    document_tensor = _checked(documents, "documents")
    if query_tensor.shape[1] != document_tensor.shape[1]:
        raise InputError(
            "queries and documents have vectors of different dimension",
            seen=(query_tensor.shape[1], document_tensor.shape[1]),
            allowed="one dimension for both",
        )
    return query_tensor, document_tensor


def _checked(vectors: ArrayLike, name: str) -> torch.Tensor:
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"the vectors of {name} must be a table",
            field=name,
            seen=array.shape,
            allowed="two dimensions, both at least 1",
        )
    with warnings.catch_warnings():  # torch warns about read-only arrays; nothing here writes to them
        warnings.simplefilter("ignore", UserWarning)
        tensor = torch.from_numpy(array)
    lengths = torch.linalg.vector_norm(tensor, dim=1)
    wrong = torch.logical_not((lengths >= 1 / LONGEST) & (lengths <= LONGEST))  # NaN is wrong as well
    if not bool(wrong.any()):
        return tensor
    row = int(wrong.nonzero()[0, 0])
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


class PairScorer:
    """Scores of listed pairs of a set of queries and any block of documents.

    A score is float32(float64 dot product of the float32 vectors). Products of float32 are exact in float64, and every
    pair is summed by one routine (torch's sampled product), so that a score depends on its two vectors alone: not on
    the block, the other pairs, the number of threads or the fast pass before. Equal vectors tie exactly.

    :param queries: float32 [Q, dim].
    """

    def __init__(self, queries: torch.Tensor) -> None:
        self._queries = queries.double()

    def exact(
        self, documents: torch.Tensor, document_rows: NDArray[np.int64], query_rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Exact scores, float32 [pairs].

        :param documents: float32 [B, dim].
        :param document_rows: int64 [pairs].
        :param query_rows: int64 [pairs].
        """
        order = np.argsort(document_rows, kind="stable")
        listed, place = np.unique(document_rows[order], return_inverse=True)
        scores = np.empty(len(query_rows), dtype=np.float32)
        for first in range(0, len(listed), _BATCH):
            part = slice(*np.searchsorted(place, (first, first + _BATCH)))
            rows = torch.from_numpy(listed[first : first + _BATCH])
            pairs = order[part]
            products = sampled_products(documents[rows].double(), self._queries, place[part] - first, query_rows[pairs])
            scores[pairs] = products.float().numpy()
        return scores


def sampled_products(
    documents: torch.Tensor, queries: torch.Tensor, document_rows: NDArray[np.int64], query_rows: NDArray[np.int64]
) -> torch.Tensor:
    """Dot products of listed pairs in the format of the vectors, one sum each: [pairs].

    :param documents: [B, dim].
    :param queries: [Q, dim].
    :param document_rows: int64 [pairs], ascending.
    :param query_rows: int64 [pairs].
    """
    starts = np.searchsorted(document_rows, np.arange(len(documents) + 1))
    wanted = torch.sparse_csr_tensor(
        torch.from_numpy(starts),
        torch.from_numpy(query_rows),
        torch.zeros(len(query_rows), dtype=queries.dtype),
        size=(len(documents), len(queries)),
        check_invariants=False,
    )
    products: torch.Tensor = torch.sparse.sampled_addmm(wanted, documents, queries.T, beta=0.0).values()
    return products


def _call_off_beta_warning() -> None:
    """Let torch say once, unheard, that its sparse layout is a beta: it does so per process, on first use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.zeros(1, 1).to_sparse_csr()


_call_off_beta_warning()
