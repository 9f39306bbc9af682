"""Judgment lists and query sets of the Search Relevance Workbench, by the examples of its documentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.formats.relevance_workbench import (
    format_judgments,
    format_query_set,
    judgments_as_qrels,
    merged_queries,
    read_judgments,
)
from haystack_crossalign.data.judgments import QueryFile, QueryRow, grades_from_qrels
from haystack_crossalign.data.reading_log import Omission, ReadingLog
from haystack_crossalign.errors import InputError

DOCUMENTED: dict[str, Any] = {
    "name": "Imported Judgments",
    "description": "Judgments generated outside SRW",
    "type": "IMPORT_JUDGMENT",
    "judgmentRatings": [
        {
            "query": "red dress",
            "ratings": [{"docId": "B077ZJXCTS", "rating": "3.000"}, {"docId": "B07QRCGL3G", "rating": "0.000"}],
        },
        {"query": "blue jeans", "ratings": [{"docId": "B07L9V4Y98", "rating": "0.500"}]},
    ],
}


@pytest.fixture
def collection() -> JudgedCollection:
    return JudgedCollection(
        name="small",
        documents=Documents(
            ids=("en:1", "zh:1", "en:2"), languages=("en", "zh", "en"), groups=("1", "1", "2"), texts=("a", "b", "c")
        ),
        queries=Queries(ids=("q1", "q2", "q3"), languages=("en", "zh", "de"), texts=("Taxi", "出租车", "Taxi")),
        relevant=((0, 1), (1,), (2,)),
    )


def test_judgments_are_written_as_documented(collection: JudgedCollection) -> None:
    # Both queries "Taxi" are one there, with the relevant documents of both.
    assert json.loads(format_judgments(collection, description="ours")) == {
        "name": "small",
        "description": "ours",
        "type": "IMPORT_JUDGMENT",
        "judgmentRatings": [
            {
                "query": "Taxi",
                "ratings": [
                    {"docId": "en:1", "rating": "1.000"},
                    {"docId": "en:2", "rating": "1.000"},
                    {"docId": "zh:1", "rating": "1.000"},
                ],
            },
            {"query": "出租车", "ratings": [{"docId": "zh:1", "rating": "1.000"}]},
        ],
    }


def test_queries_of_one_text_are_told_with_the_grades_that_they_dispute(collection: JudgedCollection) -> None:
    merged = merged_queries(collection)
    assert (merged.queries, merged.texts, merged.conflicts) == (("q1", "q3"), 1, ())
    graded = replace(collection, grades=({0: 1, 1: 2}, {1: 1}, {1: 0, 2: 1}))
    assert merged_queries(graded).conflicts == (("zh:1", "q1"),)
    # Texts that nobody judged are in no list.
    unjudged = replace(collection, relevant=((), (1,), ()))
    assert merged_queries(unjudged).queries == ()


def test_judgments_round_trip(write: Callable[..., Path], collection: JudgedCollection) -> None:
    single = replace(
        collection,
        queries=replace(collection.queries, texts=("Taxi", "出租车", "Bus")),
    )
    judgments = read_judgments(write("judgments.json", format_judgments(single)))
    qrels = judgments_as_qrels(judgments, single.queries)
    rows = zip(single.queries.ids, single.queries.languages, single.queries.texts, strict=True)
    file = QueryFile(
        rows=tuple(QueryRow(id=one, language=language, text=text, line=0) for one, language, text in rows),
        path=judgments.path,
        source=judgments.source,
    )
    assert grades_from_qrels(file, single.documents, qrels).relevant() == single.relevant


@pytest.mark.parametrize("envelope", ["request", "stored", "answer"])
def test_the_documented_forms_are_read(write: Callable[..., Path], envelope: str) -> None:
    stored = {"_index": "search-relevance-judgment", "_id": "b54f", "_source": {"id": "b54f", **DOCUMENTED}}
    content = {
        "request": DOCUMENTED,
        "stored": stored,
        "answer": {"took": 36, "timed_out": False, "hits": {"total": {"value": 1}, "hits": [stored]}},
    }[envelope]
    judgments = read_judgments(write("judgments.json", content))
    assert judgments.name == "Imported Judgments"
    assert judgments.ratings == (
        ("red dress", (("B077ZJXCTS", 3.0), ("B07QRCGL3G", 0.0))),
        ("blue jeans", (("B07L9V4Y98", 0.5),)),
    )


def test_ratings_become_grades_of_all_queries_of_the_text(write: Callable[..., Path]) -> None:
    judgments = read_judgments(write("judgments.json", DOCUMENTED))
    queries = Queries(ids=("a", "b", "c"), languages=("en", "en", "en"), texts=("red dress", "blue jeans", "red dress"))

    found = judgments_as_qrels(judgments, queries).judgments
    assert sorted((one.query, one.document, one.grade) for one in found) == [
        ("a", "B077ZJXCTS", 3),
        ("a", "B07QRCGL3G", 0),
        ("b", "B07L9V4Y98", 0.5),
        ("c", "B077ZJXCTS", 3),
        ("c", "B07QRCGL3G", 0),
    ]


def test_grades_and_fractions_round_trip(write: Callable[..., Path], collection: JudgedCollection) -> None:
    grades = ({0: 3, 1: 0, 2: 0.125}, {1: 2.0625}, {0: -1})
    graded = replace(collection, queries=replace(collection.queries, texts=("Taxi", "出租车", "Bus")), grades=grades)
    ratings = dict(read_judgments(write("judgments.json", format_judgments(graded))).ratings)
    ids = graded.documents.ids
    assert ratings == {
        text: tuple(sorted((ids[index], grade) for index, grade in row.items()))
        for text, row in zip(graded.queries.texts, grades, strict=True)
    }


def test_queries_that_the_collection_lacks_are_counted_unless_all_are(
    write: Callable[..., Path], refused: Callable[..., InputError]
) -> None:
    judgments = read_judgments(write("judgments.json", DOCUMENTED))
    log = ReadingLog()
    found = judgments_as_qrels(judgments, Queries(ids=("a",), languages=("en",), texts=("red dress",)), log=log)
    assert [one.document for one in found.judgments] == ["B077ZJXCTS", "B07QRCGL3G"]
    assert log.omissions() == (Omission("judgment", "query not among the queries", 1, ("judgmentRatings[1]",)),)
    queries = Queries(ids=("a",), languages=("en",), texts=("shoes",))
    refused(lambda: judgments_as_qrels(judgments, queries), problem="unknown query", seen="red dress")


def _with(rating: object) -> dict[str, Any]:
    return {"judgmentRatings": [{"query": "q", "ratings": [{"docId": "d", "rating": rating}]}]}


@pytest.mark.parametrize(
    ("content", "problem", "field"),
    [
        ({"name": "x"}, "not a list of objects", "judgmentRatings"),
        ({"judgmentRatings": [{"ratings": []}]}, "missing field", "judgmentRatings[0].query"),
        ({"judgmentRatings": [{"query": "q", "ratings": []}]}, "not a list of objects", "judgmentRatings[0].ratings"),
        (_with(None), "not a rating", "judgmentRatings[0].ratings[0].rating"),
        (_with("high"), "not a rating", "judgmentRatings[0].ratings[0].rating"),
        (_with("nan"), "not a rating", "judgmentRatings[0].ratings[0].rating"),
        (_with(True), "not a rating", "judgmentRatings[0].ratings[0].rating"),
        (
            {
                "judgmentRatings": [
                    {"query": "q", "ratings": [{"docId": "d", "rating": 1}, {"docId": "d", "rating": 0}]}
                ]
            },
            "document rated twice",
            "judgmentRatings[0].ratings[1].docId",
        ),
        (
            {"judgmentRatings": [{"query": "q", "ratings": [{"docId": "d", "rating": 1}]}] * 2},
            "duplicate query",
            "judgmentRatings[1].query",
        ),
        ({"hits": {"hits": []}}, "not one judgment list", "hits.hits"),
    ],
)
def test_a_broken_list_is_refused_with_its_field(
    write: Callable[..., Path], refused: Callable[..., InputError], content: dict[str, Any], problem: str, field: str
) -> None:
    path = write("judgments.json", content)
    refused(lambda: read_judgments(path), problem=problem, field=field, source=str(path))


@pytest.mark.parametrize(
    ("name", "description"), [("", ""), ("n" * 51, ""), ('a "name"', ""), ("name", "d" * 251), ("name", "<b>")]
)
def test_headings_that_the_plugin_refuses_are_refused(
    collection: JudgedCollection, name: str, description: str
) -> None:
    with pytest.raises(InputError, match="Search Relevance Workbench refuses it"):
        format_judgments(collection, name=name, description=description)


def test_a_query_set_holds_distinct_texts_and_names_what_it_leaves_out() -> None:
    texts = ("Taxi", 'the "best" taxi', "Taxi", "a\nb", "x" * 2001, "TV")
    queries = Queries(ids=tuple("abcdef"), languages=("en",) * 6, texts=texts)
    query_set = format_query_set(queries, name="TVs", description="TV queries")
    assert json.loads(query_set.text) == {
        "name": "TVs",
        "description": "TV queries",
        "sampling": "manual",
        "querySetQueries": [{"queryText": "Taxi"}, {"queryText": "TV"}],
    }
    assert query_set.left_out == ("b", "d", "e")


def test_a_query_set_without_queries_is_refused() -> None:
    queries = Queries(ids=("a",), languages=("en",), texts=("<b>",))
    with pytest.raises(InputError, match="accepts none of the queries"):
        format_query_set(queries, name="TVs")
