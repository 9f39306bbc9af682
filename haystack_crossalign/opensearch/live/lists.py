"""Result lists as a deployment returns them: nearest neighbors as configured in the index, and BM25.

The requests are those of Haystack's retrievers for OpenSearch, so that the lists are what users see; but stored
documents are left out, and searches are sent as multi-searches of limited size in one point in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.answers import paused_collector
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import Query, checked_queries
from haystack_crossalign.opensearch.live.hits import Hit, as_stored, checked_depth, read_lists, served_through


class Retrieval(Protocol):
    """A source of result lists.

    `name` is one of `haystack_crossalign.audit.gate.LIVE_LISTS`, or that of a request; `needs_vectors` says whether
    `retrieve` reads vectors.
    """

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def needs_vectors(self) -> bool:
        """Whether it needs vectors of the queries."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences for the result on what a reader must know about its lists; complete after all lists were
        retrieved.
        """

    def retrieve(
        self,
        texts: Sequence[str],
        vectors: NDArray[np.float32] | None,
        depth: int,
        target: str | PointInTime,
        *,
        languages: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """Result lists, best first.

        :param texts: Q texts of queries.
        :param vectors: float32 [Q, dimension], the queries' vectors; None if `needs_vectors` is False.
        :param depth: maximum documents in each list.
        :param target: index or alias, or a point in time of it.
        :param languages: normalized languages of the Q queries, for lists that depend on them.
        """

    def asked_depth(self, depth: int) -> int | None:
        """Length below which a list from `retrieve` has ended by itself; None if that is unknown."""

    def provenance(self) -> dict[str, Any]:
        """Name and options, as JSON values."""


class KnnRetrieval:
    """Nearest neighbors as configured in the index, with the request of Haystack's ``OpenSearchEmbeddingRetriever``.

    Each shard searches for as many neighbors as the depth of the list. By default the retriever filters the found
    documents, so that lists may be short, as its users see them.

    :param view: index, its fields and the user's filter.
    :param efficient_filtering: whether to filter during the search, like the retriever's option of that name.
    :param search_kwargs: further options of the ``knn`` query, as the retriever's ``search_kwargs``.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once; None leaves it to the server.
    """

    name = "knn"
    needs_vectors = True
    notes = ()

    def __init__(
        self,
        view: IndexView,
        *,
        efficient_filtering: bool = False,
        search_kwargs: Mapping[str, Any] | None = None,
        batch: int = 16,
        concurrent: int | None = None,
    ) -> None:
        self._view = view
        self._efficient_filtering = efficient_filtering
        self._search_kwargs = dict(search_kwargs or {})
        self._batch = batch
        self._concurrent = concurrent

    def retrieve(
        self,
        texts: Sequence[str],
        vectors: NDArray[np.float32] | None,
        depth: int,
        target: str | PointInTime,
        *,
        languages: Sequence[str] = (),  # noqa: ARG002  the protocol's
    ) -> list[list[Hit]]:
        """Result lists, see `Retrieval.retrieve`; the texts are not read.

        :raises InputError: no vectors, vectors that do not fit the field, or a depth that servers refuse.
        :raises ExternalError: the cluster refuses, fails, or gives an incomplete answer.
        """
        checked_depth(depth, self._view.fields.most_hits)
        if vectors is None or len(vectors) != len(texts):
            raise InputError(
                "the queries need a vector each", field="vectors", seen=None if vectors is None else len(vectors)
            )
        asked = checked_queries(vectors, self._view.fields.vector)
        return search_lists(
            self._view,
            lambda row: {"query": self.query(asked[row], depth)},
            len(asked),
            depth,
            target,
            self._batch,
            self._concurrent,
        )

    def asked_depth(self, depth: int) -> int | None:
        """The depth."""
        return depth

    def provenance(self) -> dict[str, Any]:
        """Name, field and options; k is the depth of the lists."""
        return {
            "name": self.name,
            "field": self._view.fields.vector.name,
            "efficient_filtering": self._efficient_filtering,
            "search_kwargs": self._search_kwargs,
            **served_through(self._view),
        }

    def query(self, vector: Sequence[float], depth: int) -> dict[str, Any]:
        """The query for a vector's neighbors among documents that match the user's filter.

        :param vector: components, from `haystack_crossalign.opensearch.index.scoring.checked_queries`.
        :param depth: neighbours that each shard looks for.
        """
        field = self._view.fields.vector
        inner: dict[str, Any] = {"vector": list(vector), "k": depth, **self._search_kwargs}
        user_filter = self._view.user_filter
        if user_filter is not None and self._efficient_filtering:
            inner["filter"] = user_filter
        nearest: dict[str, Any] = {"knn": {field.name: inner}}
        if field.nested_path is not None:
            nearest = {"nested": {"path": field.nested_path, "score_mode": "max", "query": nearest}}
        return _bool(nearest, None if self._efficient_filtering else user_filter)


class Bm25Retrieval:
    """Keyword search with the request of Haystack's ``OpenSearchBM25Retriever``.

    :param view: index, its fields and the user's filter.
    :param fields: the fields to search, with optional boosts (``title^2``); None for all fields, as in the retriever.
    :param fuzziness: edit distance between words, like the retriever's option.
    :param all_terms_must_match: whether documents must contain all words, like the retriever's option.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once; None leaves it to the server.
    """

    name = "bm25"
    needs_vectors = False
    notes = ()

    def __init__(
        self,
        view: IndexView,
        *,
        fields: Sequence[str] | None = None,
        fuzziness: int | str = 0,
        all_terms_must_match: bool = False,
        batch: int = 16,
        concurrent: int | None = None,
    ) -> None:
        self._view = view
        self._fields = None if fields is None else list(fields)
        self._fuzziness = fuzziness
        self._operator = "AND" if all_terms_must_match else "OR"
        self._batch = batch
        self._concurrent = concurrent

    def retrieve(
        self,
        texts: Sequence[str],
        vectors: NDArray[np.float32] | None,  # noqa: ARG002  the protocol's
        depth: int,
        target: str | PointInTime,
        *,
        languages: Sequence[str] = (),  # noqa: ARG002  the protocol's
    ) -> list[list[Hit]]:
        """Result lists, see `Retrieval.retrieve`; the vectors are not read.

        :raises InputError: a depth that servers refuse.
        :raises ExternalError: the cluster refuses, fails, or gives an incomplete answer.
        """
        checked_depth(depth, self._view.fields.most_hits)
        return search_lists(
            self._view,
            lambda row: {"query": self.query(texts[row])},
            len(texts),
            depth,
            target,
            self._batch,
            self._concurrent,
        )

    def asked_depth(self, depth: int) -> int | None:
        """The depth."""
        return depth

    def provenance(self) -> dict[str, Any]:
        """Name, fields (None for all of them) and options."""
        return {
            "name": self.name,
            "fields": self._fields,
            "fuzziness": self._fuzziness,
            "operator": self._operator,
            **served_through(self._view),
        }

    def query(self, text: str) -> dict[str, Any]:
        """The query for a text's words among documents that match the user's filter."""
        match: dict[str, Any] = {
            "query": text,
            "fuzziness": self._fuzziness,
            "type": "most_fields",
            "operator": self._operator,
        }
        if self._fields is not None:
            match["fields"] = self._fields
        return _bool({"multi_match": match}, self._view.user_filter)


def _bool(must: Query, user_filter: Query | None) -> dict[str, Any]:
    clauses: dict[str, Any] = {"must": [must]}
    if user_filter is not None:
        clauses["filter"] = user_filter
    return {"bool": clauses}


def search_lists(
    view: IndexView,
    search: Callable[[int], Mapping[str, Any]],
    count: int,
    depth: int,
    target: str | PointInTime,
    batch: int,
    concurrent: int | None,
) -> list[list[Hit]]:
    """Retrieve the lists of some queries, through the search pipelines of the index.

    :param view: index and its fields.
    :param search: returns the query with a number, and other parts of the body that affect its list.
    :param count: number of queries.
    :param depth: documents in each list.
    :param target: index or alias, or a point in time of it.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once; None leaves it to the server.
    """
    # A processor may read the stored documents, or fail without the number of hits. Haystack's retrievers request both.
    wanted: dict[str, Any] = {"track_total_hits": False, **view.hit_fields()}
    if view.fields.search_pipelines:
        excluded = [view.fields.vector.name] if view.fields.has_vectors else []
        wanted = {**view.hit_fields(), "_source": {"excludes": excluded}}
    lists: list[list[Hit]] = []
    for start in range(0, count, batch):
        bodies = [{"size": depth, **search(row), **wanted} for row in range(start, min(start + batch, count))]
        with paused_collector():
            lists += read_lists(
                view, view.client.search_all(bodies, target, concurrent=concurrent, as_served=True, lean=view.lean)
            )
    return as_stored(view, lists, target, batch * depth) if view.fields.search_pipelines else lists
