"""Vectors of a pool as rows whose dot products order documents as their space does, and what the server makes of these.

A value is the dot product of two rows:

- ``cosine``: of the vectors at unit length;
- ``dot``: of the vectors;
- ``euclidean``: q.d - |d|^2 / 2 = (|q|^2 - distance^2) / 2, from two further columns.

The server's score rises with the value. Its error is that of a sum in single precision, so it is measured in terms of a
size: 1 for the cosine, 1 + |q||d| for the dot product, (1 + distance^2) / 2 for the distance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.ranks.scores import unit_rows

LOCAL = ("cosine", "dot", "euclidean")
"""Similarities that dot products can order documents by."""

_SQUARES = 2


def columns(field: VectorField) -> int:
    """Number of columns of a row."""
    return field.dimension + (_SQUARES if field.similarity == "euclidean" else 0)


def document_rows(vectors: NDArray[np.float32], field: VectorField) -> NDArray[np.float32]:
    """Rows of documents, float32 [n, columns].

    :param vectors: float32 [n, dimension], none of them zero.
    :param field: the field that holds them.
    """
    if field.similarity == "cosine":
        return unit_rows(vectors)
    if field.similarity == "dot":
        return vectors
    halves = -np.square(vectors.astype(np.float64)).sum(axis=1) / 2
    first = halves.astype(np.float32)
    return np.column_stack([vectors, first, (halves - first).astype(np.float32)])


def query_rows(vectors: NDArray[np.float32], field: VectorField) -> NDArray[np.float32]:
    """Rows of queries, float32 [n, columns].

    :param vectors: float32 [n, dimension].
    :param field: the field that they are compared with.
    """
    if field.similarity == "cosine":
        return unit_rows(vectors)
    if field.similarity == "dot":
        return vectors
    return np.column_stack([vectors, np.ones((len(vectors), _SQUARES), dtype=np.float32)])


def values_of_scores(scores: NDArray[np.float64], squares: NDArray[np.float64], field: VectorField) -> NDArray[Any]:
    """The values that scores of the server stand for, float64 [n].

    :param scores: float64 [n].
    :param squares: squared length of the query of each, float64 [n].
    :param field: the field that was scored.
    """
    if field.similarity == "cosine":
        # Bytes are scored as 1 + cosine, floats as (1 + cosine) / 2.
        return scores - 1 if field.data_type == "byte" else 2 * scores - 1
    with np.errstate(divide="ignore"):
        inverse = 1 / scores
    if field.similarity == "dot":
        return np.where(scores >= 1, scores - 1, 1 - inverse)
    return (squares - (inverse - 1)) / 2


def sizes(
    values: NDArray[np.float64], squares: NDArray[np.float64], lengths: NDArray[np.float64], field: VectorField
) -> NDArray[np.float64]:
    """What the error of each value is measured in, float64 [n].

    :param values: float64 [n].
    :param squares: squared length of the query of each, float64 [n].
    :param lengths: length of the document of each, float64 [n].
    :param field: the field.
    """
    if field.similarity == "cosine":
        return np.ones_like(values)
    if field.similarity == "dot":
        return 1 + np.sqrt(squares) * lengths
    return (1 + np.maximum(squares - 2 * values, 0)) / 2
