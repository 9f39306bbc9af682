"""Search the real indices behind an alias through Haystack's OpenSearch store.

Only this module and `opensearch_bulk` use private attributes of the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack import Document
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.opensearch.model.serving import SERVING_PATHS, Serving
from haystack_crossalign.redaction import redacted

_DESCRIBED = {"filter_path": SERVING_PATHS}


EMBEDDING = "embedding"
"""The vector field of Haystack's store."""


def search_body(store: OpenSearchDocumentStore, vector: list[float], options: Mapping[str, Any]) -> dict[str, Any]:
    """The search request of the stock embedding retriever.

    :param store: the store.
    :param vector: of the query.
    :param options: ``filters``, ``top_k``, ``custom_query``, ``efficient_filtering`` and ``search_kwargs``; also
        ``embedding_field``. The store knows one field only, and a custom query names its own.
    """
    given = dict(options)
    field = given.pop("embedding_field", EMBEDDING)
    body: dict[str, Any] = store._prepare_embedding_search_request(query_embedding=vector, **given)
    if field == EMBEDDING or options.get("custom_query"):
        return body
    for clause in body["query"]["bool"]["must"]:
        clause["knn"][field] = clause["knn"].pop(EMBEDDING)
    if "_source" in body:
        body["_source"]["excludes"].append(field)
    return body


def found_documents(answer: Mapping[str, Any]) -> list[Document]:
    """The documents of a response, with their scores."""
    documents: list[Document] = OpenSearchDocumentStore._deserialize_search_hits(answer["hits"]["hits"])
    return documents


@dataclass(frozen=True)
class Batch:
    """Searches for one vector with different filters, sent as one request.

    :param store: the store.
    :param bodies: one search each.
    """

    store: OpenSearchDocumentStore
    bodies: list[dict[str, Any]]

    @classmethod
    def of(cls, retriever: Any, inputs: Mapping[str, Any], filters: Sequence[dict[str, Any]], top_k: int) -> Batch:
        """The requests of the stock embedding retriever for several filters, applied within the approximate search.

        If they were applied afterwards, as in that retriever by default, the hits of a language would be limited to
        those among the nearest of all languages.

        :param retriever: an ``OpenSearchEmbeddingRetriever``.
        :param inputs: of its ``run``, without filters and ``top_k``.
        """
        values = {name: value for name, value in inputs.items() if value is not None}
        store = values.get("document_store", retriever._document_store)
        options = {
            "top_k": top_k,
            "custom_query": values.get("custom_query", retriever._custom_query),
            "efficient_filtering": True,
            "search_kwargs": values.get("search_kwargs", retriever._search_kwargs),
        }
        return cls(
            store, [search_body(store, values["query_embedding"], {**options, "filters": wanted}) for wanted in filters]
        )

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The body of ``_msearch``."""
        return [line for body in self.bodies for line in ({}, body)]


def search_many(batch: Batch) -> list[list[Document]]:
    """The hits of each search of a batch.

    :param batch: the searches.
    :raises ExternalError: one of them failed.
    """
    return _all_found(_client(batch.store).msearch(index=batch.store._index, body=batch.lines))


async def search_many_async(batch: Batch) -> list[list[Document]]:
    """`search_many` with the asynchronous client."""
    client = await _async_client(batch.store)
    return _all_found(await client.msearch(index=batch.store._index, body=batch.lines))


def _all_found(answer: Mapping[str, Any]) -> list[list[Document]]:
    for one in answer["responses"]:
        if "error" in one:
            reason = one["error"].get("reason") if isinstance(one["error"], dict) else one["error"]
            raise ExternalError(redacted(f"a search of a batch failed ({one.get('status')}): {reason}"))
        if one.get("timed_out") or one["_shards"]["failed"]:
            raise ExternalError("a search of a batch is not complete: it ran out of time, or a shard failed")
    return [found_documents(response) for response in answer["responses"]]


def describe_indices(store: OpenSearchDocumentStore, names: str) -> dict[str, Any]:
    """The response to ``GET /<names>``, for `read_serving`."""
    answer: dict[str, Any] = _client(store).indices.get(index=names, params=dict(_DESCRIBED))
    return answer


async def describe_indices_async(store: OpenSearchDocumentStore, names: str) -> dict[str, Any]:
    """`describe_indices` with the asynchronous client."""
    client = await _async_client(store)
    answer: dict[str, Any] = await client.indices.get(index=names, params=dict(_DESCRIBED))
    return answer


def search_serving(store: OpenSearchDocumentStore, serving: Serving, body: Mapping[str, Any]) -> dict[str, Any]:
    """The response of the real indices, with filter and routing of the alias."""
    answer: dict[str, Any] = _client(store).search(
        index=serving.names, body=serving.restrict(body), params=_routing(serving)
    )
    return answer


async def search_serving_async(
    store: OpenSearchDocumentStore, serving: Serving, body: Mapping[str, Any]
) -> dict[str, Any]:
    """`search_serving` with the asynchronous client."""
    client = await _async_client(store)
    answer: dict[str, Any] = await client.search(
        index=serving.names, body=serving.restrict(body), params=_routing(serving)
    )
    return answer


def _client(store: OpenSearchDocumentStore) -> Any:
    store._ensure_initialized()
    return store._client


async def _async_client(store: OpenSearchDocumentStore) -> Any:
    await store._ensure_initialized_async()
    return store._async_client


def _routing(serving: Serving) -> dict[str, str]:
    return {} if serving.search_routing is None else {"routing": serving.search_routing}
