"""Collections on which the measures have no meaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries

VECTORS = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)


@pytest.fixture
def collection() -> JudgedCollection:
    return JudgedCollection(
        name="small",
        documents=Documents(("d1", "d2", "d3"), ("en", "zh", "en"), ("a", "a", "b"), ("one", "一", "two"), VECTORS),
        queries=Queries(("q1",), ("en",), ("x",), VECTORS[:1]),
        relevant=((0, 1),),
    )


def test_a_sound_collection_passes(collection: JudgedCollection) -> None:
    check_judgments(collection, multi=True)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("ids", ("d1", "d1", "d3"), {"problem": "duplicate document id", "field": "id", "seen": "d1"}),
        ("texts", ("one", " ", "two"), {"problem": "empty text of document 'd2'", "field": "text", "seen": " "}),
    ],
)
def test_documents_are_checked(collection, refused, field, value, expected) -> None:
    bad = replace(collection, documents=replace(collection.documents, **{field: value}))
    refused(lambda: check_judgments(bad), source="small", **expected)


@pytest.mark.parametrize(
    ("relevant", "expected"),
    [
        (((),), {"problem": "query without relevant document", "seen": "q1", "allowed": "at least one document"}),
        (((0, 3),), {"problem": "unknown document of query 'q1'", "seen": 3, "allowed": "indices 0 to 2"}),
        (
            ((0, 1, 2),),
            {"problem": "the relevant documents of query 'q1' are the whole pool", "seen": "3 of 3 versions"},
        ),
    ],
)
def test_judgments_are_checked(collection, refused, relevant, expected) -> None:
    bad = replace(collection, relevant=relevant)
    refused(
        lambda: check_judgments(bad, source="q.jsonl", query_lines=[4]),
        source="q.jsonl",
        line=4,
        field="relevant",
        **expected,
    )


def test_chunks_of_all_versions_are_the_whole_pool_too(collection, refused) -> None:
    chunked = replace(collection.documents, groups=("a", "a", "a"))
    refused(
        lambda: check_judgments(replace(collection, documents=chunked, relevant=((1, 2),))),
        problem="are the whole pool",
        seen="2 of 2 versions",
    )


def test_a_pool_of_one_language_is_refused_under_multi_only(collection, refused) -> None:
    part = collection.restrict(["en"])
    check_judgments(part)
    refused(
        lambda: check_judgments(part, multi=True),
        problem="needs more than one language in the pool",
        source="small",
        field="language",
        seen="en",
        allowed="two or more languages",
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([0, 0], "vector of document 'd2' is zero"),
        ([np.nan, 1], "vector of document 'd2' is not finite"),
        ([1, -np.inf], "vector of document 'd2' is not finite"),
    ],
)
def test_vectors_are_checked(collection, refused, row, problem) -> None:
    vectors = VECTORS.copy()
    vectors[1] = row
    bad = replace(collection, documents=replace(collection.documents, vectors=vectors))
    refused(lambda: check_judgments(bad), problem=problem, source="small", field="embedding")


def test_queries_of_another_dimension_are_refused(collection, refused) -> None:
    bad = replace(collection, queries=replace(collection.queries, vectors=np.ones((1, 3), dtype=np.float32)))
    refused(
        lambda: check_judgments(bad),
        problem="dimension mismatch",
        field="embedding",
        seen="3 numbers per query",
        allowed="2 numbers",
    )


def test_a_restriction_that_leaves_nothing_is_refused(collection, refused) -> None:
    refused(lambda: check_judgments(collection.restrict(["th"])), problem="no document left", source="small")
    refused(lambda: check_judgments(collection.restrict(None, ["th"])), problem="no query left", source="small")
