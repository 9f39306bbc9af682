"""Pipelines as a source of live lists: what they return."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from query_pipelines import (
    BM25_KIND,
    DIMENSION,
    INDEX,
    JOINER,
    KNN_KIND,
    TEXTS,
    bm25,
    join,
    knn,
)

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.traffic import Exchange
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.live.hybrid import HybridRetrieval
from haystack_crossalign.opensearch.live.lists import Bm25Retrieval, KnnRetrieval
from haystack_crossalign.pipelines.retriever import QueryPipeline


@pytest.fixture
def view(client: ReadOnlyClient) -> IndexView:
    fields = read_fields(client, INDEX, vector="embedding", language="language", group="group")
    return IndexView(client, INDEX, fields, language_of=lambda tag: tag[:2])


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return np.random.default_rng(6).normal(size=(len(TEXTS), DIMENSION)).astype(np.float32)


def comparable(lists: list[list[Hit]]) -> list[list[tuple[Any, ...]]]:
    return [[(hit.id, float(np.float32(hit.score)), hit.language, hit.group) for hit in row] for row in lists]


def test_a_retriever_is_asked_to_the_depth_and_sends_nothing_but_reads(
    opensearch: Any, client: ReadOnlyClient, view: IndexView, seen: list[Exchange], written: Callable[..., Path]
) -> None:
    expected = Bm25Retrieval(view).retrieve(TEXTS, None, 12, INDEX)
    totals = f"/{INDEX}/_stats/docs,indexing"
    before = opensearch.request("GET", totals)["_all"]
    mapping = opensearch.request("GET", f"/{INDEX}")
    pipeline = QueryPipeline.from_yaml(written({"retriever": bm25()}), client=client, view=view, group_field="group")
    assert not pipeline.needs_vectors
    seen.clear()
    lists = pipeline.retrieve(TEXTS, None, 12, INDEX)
    pipeline.close()
    assert comparable(lists) == comparable(expected)
    assert {len(row) for row in lists} == {12}
    assert pipeline.asked_depth(12) == 12
    sent = {exchange.operation for exchange in seen}
    assert {"exists", "mapping", "search"} <= sent <= {"exists", "mapping", "search", "msearch"}
    assert opensearch.request("GET", totals)["_all"] == before
    assert opensearch.request("GET", f"/{INDEX}") == mapping


def test_joined_lists_are_those_of_the_hybrid_retrieval(
    client: ReadOnlyClient, view: IndexView, written: Callable[..., Path], vectors: np.ndarray
) -> None:
    # In the order in which the joiner gets them: that of the components' names.
    path = written(
        {"bm25": bm25(), "knn": knn(), "joiner": JOINER},
        join(("bm25.documents", "joiner.documents"), ("knn.documents", "joiner.documents")),
    )
    pipeline = QueryPipeline.from_yaml(path, client=client, view=view, group_field="group")
    assert pipeline.needs_vectors
    lists = pipeline.retrieve(TEXTS, vectors, 10, INDEX)
    expected = HybridRetrieval(KnnRetrieval(view), Bm25Retrieval(view)).retrieve(TEXTS, vectors, 10, INDEX)
    assert comparable(lists) == comparable(expected)
    assert pipeline.provenance() == {
        "name": "pipeline",
        "file": "query.yaml",
        "sha256": pipeline.provenance()["sha256"],
        "components": {
            "bm25": BM25_KIND,
            "joiner": "haystack.components.joiners.document_joiner.DocumentJoiner",
            "knn": KNN_KIND,
        },
        "output": "joiner.documents",
        "depth_set_on": ["bm25.top_k", "joiner.top_k", "knn.top_k"],
        "id_field": None,
    }
    for wrong in (None, vectors[:1]):
        with pytest.raises(InputError, match="vector for each query"):
            pipeline.retrieve(TEXTS, wrong, 10, INDEX)


def test_what_comes_behind_a_ranker_is_as_long_as_it_is_set_up(
    client: ReadOnlyClient, view: IndexView, written: Callable[..., Path]
) -> None:
    ranker = {
        "type": "haystack.components.rankers.meta_field.MetaFieldRanker",
        "init_parameters": {"meta_field": "year", "top_k": 2},
    }
    prompt = {
        "type": "haystack.components.builders.prompt_builder.PromptBuilder",
        "init_parameters": {"template": "{{ documents }} {{ query }}", "required_variables": ["documents", "query"]},
    }
    path = written(
        {"retriever": bm25(), "ranker": ranker, "prompt": prompt},
        join(("retriever.documents", "ranker.documents"), ("ranker.documents", "prompt.documents")),
    )
    pipeline = QueryPipeline.from_yaml(path, client=client, view=view)
    lists = pipeline.retrieve(TEXTS, None, 12, INDEX)
    three = Bm25Retrieval(view).retrieve(TEXTS, None, 3, INDEX)
    for row, found in zip(lists, three, strict=True):
        assert len(row) == 2
        assert {hit.id for hit in row} <= {hit.id for hit in found}
    assert pipeline.asked_depth(12) is None
    # The prompt behind the documents is not built.
    assert sorted(pipeline.provenance()["components"]) == ["ranker", "retriever"]
    assert pipeline.provenance()["depth_set_on"] == []


def test_languages_that_documents_do_not_tell_come_from_the_index(
    client: ReadOnlyClient, view: IndexView, written: Callable[..., Path]
) -> None:
    path = written({"retriever": bm25()})
    pipeline = QueryPipeline.from_yaml(path, client=client, view=view, language_field="nowhere", group_field="none")
    with client.point_in_time(INDEX) as frozen:
        view.target = frozen
        pipeline.retrieve(TEXTS, None, 3, frozen)
    # A point in time that is closed by now does not matter.
    lists = pipeline.retrieve(TEXTS, None, 20, INDEX)
    expected = Bm25Retrieval(view).retrieve(TEXTS, None, 20, INDEX)
    shown = [[(hit.id, hit.language) for hit in row] for row in lists]
    assert shown == [[(hit.id, hit.language) for hit in row] for row in expected]
    assert {language for row in shown for _, language in row} == {"en", "zh", "ar", "und"}
    alone = QueryPipeline.from_yaml(path, client=client, group_field=None).retrieve(TEXTS, None, 20, INDEX)
    assert {(hit.language, hit.group) for row in alone for hit in row} == {
        ("en", None), ("zh", None), ("ar", None), ("und", None)
    }  # fmt: skip


def test_documents_are_joined_by_a_meta_field_and_strangers_refused(
    client: ReadOnlyClient, view: IndexView, written: Callable[..., Path]
) -> None:
    path = written({"retriever": bm25()})
    stranger = QueryPipeline.from_yaml(path, client=client, view=view, id_field="own")
    with pytest.raises(InputError, match=r"none of the documents.*xd"):
        stranger.retrieve(TEXTS, None, 5, INDEX)
    named = QueryPipeline.from_yaml(path, client=client, id_field="meta.own").retrieve(TEXTS, None, 5, INDEX)
    own = Bm25Retrieval(view).retrieve(TEXTS, None, 5, INDEX)
    assert [[hit.id for hit in row] for row in named] == [[f"x{hit.id}" for hit in row] for row in own]
    with pytest.raises(InputError, match="lacks the id"):
        QueryPipeline.from_yaml(path, client=client, id_field="absent").retrieve(TEXTS, None, 5, INDEX)
