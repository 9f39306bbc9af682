"""Searches through Haystack's OpenSearch store, of the real indices behind its alias.

With `opensearch_bulk` the only place that reaches into the store's private parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack import Document
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore

from haystack_crossalign.opensearch.model.serving import SERVING_PATHS, Serving

_DESCRIBED = {"filter_path": SERVING_PATHS}


def search_body(store: OpenSearchDocumentStore, vector: list[float], options: Mapping[str, Any]) -> dict[str, Any]:
    """The search that the stock embedding retriever sends.

    :param store: the store.
    :param vector: of the query.
    :param options: ``filters``, ``top_k``, ``custom_query``, ``efficient_filtering`` and ``search_kwargs``.
    """
    body: dict[str, Any] = store._prepare_embedding_search_request(query_embedding=vector, **options)
    return body


def found_documents(answer: Mapping[str, Any]) -> list[Document]:
    """The documents of an answer, with their scores."""
    documents: list[Document] = OpenSearchDocumentStore._deserialize_search_hits(answer["hits"]["hits"])
    return documents


def describe_indices(store: OpenSearchDocumentStore, names: str) -> dict[str, Any]:
    """The answer to ``GET /<names>``: what `read_serving` reads."""
    answer: dict[str, Any] = _client(store).indices.get(index=names, params=dict(_DESCRIBED))
    return answer


async def describe_indices_async(store: OpenSearchDocumentStore, names: str) -> dict[str, Any]:
    """`describe_indices` with the asynchronous client."""
    client = await _async_client(store)
    answer: dict[str, Any] = await client.indices.get(index=names, params=dict(_DESCRIBED))
    return answer


def search_serving(store: OpenSearchDocumentStore, serving: Serving, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of the real indices, with filter and routing of the alias."""
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
