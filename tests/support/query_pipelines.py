"""Pipelines that ask the index of the tests of query pipelines."""

from __future__ import annotations

from typing import Any

DIMENSION = 8
INDEX = "lists-pipeline"
TEXTS = ["river garden", "silver bridge window"]
WORDS = ["river", "mountain", "window", "garden", "letter", "winter", "silver", "bridge"]
RETRIEVERS = "haystack_integrations.components.retrievers.opensearch"
STORE = "haystack_integrations.document_stores.opensearch.document_store.OpenSearchDocumentStore"
MEMORY_STORE = "haystack.document_stores.in_memory.document_store.InMemoryDocumentStore"
BM25_KIND = f"{RETRIEVERS}.bm25_retriever.OpenSearchBM25Retriever"
KNN_KIND = f"{RETRIEVERS}.embedding_retriever.OpenSearchEmbeddingRetriever"
JOINER = {
    "type": "haystack.components.joiners.document_joiner.DocumentJoiner",
    "init_parameters": {"join_mode": "reciprocal_rank_fusion", "top_k": 4},
}
WRITER_KIND = "haystack.components.writers.document_writer.DocumentWriter"


def store_of(**options: Any) -> dict[str, Any]:
    return {"type": STORE, "init_parameters": {"index": INDEX, **options}}


def bm25(**options: Any) -> dict[str, Any]:
    return {"type": BM25_KIND, "init_parameters": {"top_k": 3, **options, "document_store": store_of()}}


def knn() -> dict[str, Any]:
    return {"type": KNN_KIND, "init_parameters": {"top_k": 3, "document_store": store_of()}}


def join(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"sender": sender, "receiver": receiver} for sender, receiver in pairs]
