"""The score that defines ranks, and the checks that ensure it is a number."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks.similarity import Similarity

LONGEST = 2.0**40
"""Length of the longest vector accepted; 1 / LONGEST is the shortest. No product or square within these limits
overflows float32.
"""

_BATCH = 256
"""Number of documents converted to float64 at a time; they stay in the second-level cache."""

_UNIT = 2.0**-21
"""A length at most this far from 1 counts as 1: scaling to unit length in float32 is more precise than that."""


def comparable_vectors(
    queries: ArrayLike, documents: ArrayLike, similarity: Similarity
) -> tuple[torch.Tensor, torch.Tensor]:
    """Check both sets of vectors and transform them for the similarity.

    For cosine, rows are scaled to unit length; it is a dot product from then on.

    :param queries: [Q, dim].
    :param documents: [N, dim].
    :param similarity: name of the similarity.
    :raises InputError: as `checked_vectors`.
    """
    query_tensor, document_tensor = checked_vectors(queries, documents)
    if similarity == "cosine":
        return unit_rows(query_tensor), unit_rows(document_tensor)
    return query_tensor, document_tensor


def unit_rows(vectors: torch.Tensor) -> torch.Tensor:
    """Rows scaled to unit length, float32; the tensor itself, without a copy, if all of them already have it.

    A row whose length is within 2**-21 of 1 is unchanged. Any other is divided by its length in float64 and rounded
    once to float32, which brings it within that tolerance. Each row depends only on itself, so equal rows stay equal.

    :param vectors: float32 [n, dim], no zero row.
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
    """Check both sets of vectors and return them as contiguous float32 tensors (without a copy if they already are).

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
    wrong = torch.logical_not((lengths >= 1 / LONGEST) & (lengths <= LONGEST))  # also catches NaN
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
    """Exact scores of listed pairs of queries and documents.

    A score is float32(float64 dot product of the float32 vectors). Products of float32 are exact in float64, and every
    pair is summed by the same routine (torch's sampled product), so a score depends only on its two vectors: not on the
    block, the other pairs, the number of threads or the fast first pass. Equal vectors tie exactly.

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
    """Dot products of listed pairs, in the dtype of the vectors: [pairs].

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
    """Suppress torch's warning that its sparse layout is in beta, which it gives on the first use in a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.zeros(1, 1).to_sparse_csr()


_call_off_beta_warning()
