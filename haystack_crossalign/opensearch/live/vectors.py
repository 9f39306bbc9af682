"""Vectors for the queries of an audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from haystack_crossalign.audit.run import Embedder
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.live.queries import LiveQueries

__all__ = ["with_vectors"]


def with_vectors(
    queries: LiveQueries, encoder: Embedder | None, progress: Callable[[int, int], None] | None = None
) -> tuple[LiveQueries, dict[str, Any] | None]:
    """The queries with vectors, and the provenance of the model where one made them.

    :raises InputError: there are no vectors, and nothing to make them.
    """
    if queries.vectors is not None:
        return queries, None
    if encoder is None:
        raise InputError("the queries have no vectors", field="embedding", allowed="a model, or a vector each")
    return replace(queries, vectors=encoder.encode_queries(queries.texts, progress=progress)), encoder.provenance()
