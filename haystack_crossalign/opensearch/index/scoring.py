"""Queries that score every document exactly, and lossless conversion of vectors and scores to and from JSON."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.index.fields import VectorField

Query = Mapping[str, Any]


class ExactScoring:
    """Builds search requests over the documents that have a vector and match the user's filter.

    :param field: the vector field; without a name the index has none, and documents need not have a vector.
    :param user_filter: OpenSearch query that documents must match, or None.
    """

    def __init__(self, field: VectorField, user_filter: Query | None = None) -> None:
        self.field = field
        self._user_filter = user_filter

    def pool(self, *more: Query) -> dict[str, Any]:
        """Query for the pool: documents with a vector that match the filter and all further conditions."""
        return {"bool": {"filter": [*self._filters(), self._has_vector(), *more]}}

    def without_vector(self) -> dict[str, Any]:
        """Query for the documents that match the filter and have no vector."""
        return {"bool": {"filter": self._filters(), "must_not": [self._has_vector()]}}

    def scored(self, vector: Sequence[float], *more: Query, minimum: float | None = None) -> dict[str, Any]:
        """Query that gives each document of the pool its exact score.

        :param vector: the query's vector, as `checked_queries` returns it.
        :param more: further conditions.
        :param minimum: leaves out documents that score less; a float32 in exact double form.
        """
        script = {
            "lang": "knn",
            "source": "knn_score",
            "params": {
                "field": self.field.name,
                "query_value": list(vector),
                "space_type": self.field.space_type,
            },
        }
        if self.field.nested_path is None:
            query: dict[str, Any] = {"script_score": {"query": self.pool(*more), "script": script}}
            if minimum is not None:
                query["script_score"]["min_score"] = minimum
            return query
        inner: dict[str, Any] = {"query": {"exists": {"field": self.field.name}}, "script": script}
        if minimum is not None:
            # A document whose best nested vector reaches the minimum keeps its score; only worse vectors are left out.
            inner["min_score"] = minimum
        best = {"nested": {"path": self.field.nested_path, "score_mode": "max", "query": {"script_score": inner}}}
        return {"bool": {"must": [best], "filter": [*self._filters(), *more]}}

    def _filters(self) -> list[Query]:
        return [] if self._user_filter is None else [self._user_filter]

    def _has_vector(self) -> dict[str, Any]:
        if not self.field.name:
            return {"match_all": {}}
        exists: dict[str, Any] = {"exists": {"field": self.field.name}}
        if self.field.nested_path is None:
            return exists
        return {"nested": {"path": self.field.nested_path, "query": exists}}


class QueryVectors(Sequence[list[float]]):
    """Vectors in the form needed for requests: the shortest decimals that equal the float32 values.

    They are converted on access, since as Python numbers they take eight times the memory of the array.

    :param vectors: float32 [Q, dimension].
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self._vectors)

    @overload
    def __getitem__(self, place: int) -> list[float]: ...

    @overload
    def __getitem__(self, place: slice) -> list[list[float]]: ...

    def __getitem__(self, place: int | slice) -> list[float] | list[list[float]]:
        if isinstance(place, slice):
            return [_shortest(vector) for vector in self._vectors[place]]
        return _shortest(self._vectors[place])


def checked_queries(queries: ArrayLike, field: VectorField) -> QueryVectors:
    """Check query vectors for a field.

    :param queries: float [Q, dimension]; whole numbers -128..127 for a byte field, [Q, dimension / 8] of them for a
        binary one.
    :param field: the field they are compared with.
    :raises InputError: for a wrong dimension, values that are not finite, a zero vector with cosine, or values that a
        byte or binary field cannot hold.
    """
    vectors = np.asarray(queries, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != field.numbers:
        raise InputError(
            "the query vectors do not fit the field",
            field=field.name,
            seen=vectors.shape,
            allowed=f"{field.numbers} components each" + (" of eight bits" if field.data_type == "binary" else ""),
        )
    if not np.isfinite(vectors).all():
        row = int(np.argwhere(~np.isfinite(vectors))[0][0])
        raise InputError("a query vector holds values that are no numbers", field=field.name, seen=f"query {row}")
    if field.space_type == "cosinesimil" and (zero := ~vectors.any(axis=1)).any():
        raise InputError(
            "a query vector is zero and has no direction", field=field.name, seen=f"query {int(zero.argmax())}"
        )
    if field.data_type != "float" and (vectors != np.clip(np.rint(vectors), -128, 127)).any():
        raise InputError("the field holds bytes", field=field.name, allowed="whole numbers from -128 to 127")
    return QueryVectors(vectors)


def exact_double(score: float) -> float:
    """The double that equals a score exactly.

    A score is a float32 that JSON shows in its shortest decimal form; read as a double, this is a different number, and
    a document would not reach its own score.
    """
    return float(np.float32(score))


def exact_doubles(scores: Sequence[float | None]) -> list[float]:
    """The doubles that equal scores exactly, see `exact_double`; NaN for those that are None."""
    return array("f", [math.nan if score is None else score for score in scores]).tolist()


def next_above(score: float) -> float:
    """The smallest float32 greater than a score, as the double that equals it."""
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))


def _shortest(vector: NDArray[np.float32]) -> list[float]:
    """The float32 values as doubles with a short decimal form that convert back to the same float32."""
    # str of a float32 has the fewest digits that distinguish it from adjacent values.
    short = [float(str(value)) for value in vector]
    exact: list[float] = vector.astype(np.float64).tolist()
    same = np.array(short, dtype=np.float64).astype(np.float32) == vector
    return (
        short if same.all() else [one if keep else other for one, keep, other in zip(short, same, exact, strict=True)]
    )
