"""Custom queries of retrievers: placeholders that would be sent as they stand are found before anything is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from query_pipelines import BM25_KIND, DIMENSION, INDEX, KNN_KIND, store_of

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.pipelines.retriever import QueryPipeline


def retriever(kind: str, query: Any) -> dict[str, Any]:
    return {"words": {"type": kind, "init_parameters": {"custom_query": query, "document_store": store_of()}}}


def match(text: str) -> dict[str, Any]:
    return {"query": {"bool": {"must": [{"match": {"content": text}}]}}}


def knn(vector: str, **more: Any) -> dict[str, Any]:
    return {"query": {"bool": {"must": [{"knn": {"embedding": {"vector": vector, "k": 5}}}], **more}}}


@pytest.mark.parametrize(
    ("kind", "query", "seen"),
    [
        (KNN_KIND, knn("$query_embedding", should=[{"match": {"content": "$query"}}]), "'$query'"),
        (KNN_KIND, knn("$query_embeddings"), "'$query_embeddings'"),
        (BM25_KIND, match("title: $query"), "'title: $query'"),
        (
            BM25_KIND,
            {"query": {"bool": {"must": [{"match": {"content": "$query"}}], "filter": ["$filters "]}}},
            "ers '",
        ),
    ],
)
def test_a_placeholder_that_stays_is_refused(
    nowhere: ReadOnlyClient, written: Callable[..., Path], kind: str, query: Any, seen: str
) -> None:
    with pytest.raises(
        InputError, match=r"'words' holds a placeholder that OpenSearch\w+ sends as it stands"
    ) as caught:
        QueryPipeline.from_yaml(written(retriever(kind, query)), client=nowhere)
    assert "field 'words.custom_query'" in str(caught.value)
    assert seen in str(caught.value)


@pytest.mark.parametrize(("kind", "query"), [(KNN_KIND, knn([0.0] * DIMENSION)), (BM25_KIND, match("river"))])
def test_a_query_without_a_place_for_the_query_is_refused(
    nowhere: ReadOnlyClient, written: Callable[..., Path], kind: str, query: Any
) -> None:
    with pytest.raises(InputError, match="has no place for the query"):
        QueryPipeline.from_yaml(written(retriever(kind, query)), client=nowhere)


def test_placeholders_that_are_filled_in_are_taken(client: ReadOnlyClient, written: Callable[..., Path]) -> None:
    pipeline = QueryPipeline.from_yaml(written(retriever(BM25_KIND, match("$query"))), client=client)
    (found,) = pipeline.retrieve(["river"], None, 5, INDEX)
    assert len(found) == 5
