"""TREC qrels and queries in columns."""

from __future__ import annotations

import pytest

from haystack_crossalign.data.formats.read import read_collection
from haystack_crossalign.data.formats.trec import read_qrels, read_query_tsv

DOCUMENTS = [
    {"id": "d1", "text": "one", "language": "en"},
    {"id": "d2", "text": "一", "language": "zh"},
    {"id": "d3", "text": "two", "language": "en"},
]


def test_qrels_are_read_with_tabs_or_spaces(write) -> None:
    qrels = read_qrels(write("qrels.txt", "q1 0 d1 1\r\n\nq1\t0\td2\t0\nq2  Q0  d1  -1\n"))
    found = [(one.query, one.document, one.grade, one.line) for one in qrels.judgments]
    assert found == [("q1", "d1", 1, 1), ("q1", "d2", 0, 3), ("q2", "d1", -1, 4)]


def test_queries_have_three_columns_or_two_with_a_default_language(write) -> None:
    three = read_query_tsv(write("queries.tsv", "qid\tlanguage\ttext\nq1\tzho_Hans\t哪个？\nq2\ten\twhich one?\n"))
    assert [(row.id, row.language, row.text, row.line) for row in three.rows] == [
        ("q1", "zh", "哪个？", 2),
        ("q2", "en", "which one?", 3),
    ]
    two = read_query_tsv(write("queries.tsv", "q1\twhich one?\n"), default_language="English")
    assert [(row.id, row.language, row.text) for row in two.rows] == [("q1", "en", "which one?")]


def test_a_collection_is_read_from_columns_and_qrels(write) -> None:
    collection = read_collection(
        write("pool.jsonl", DOCUMENTS),
        write("queries.tsv", "q1\ten\twhich?\nq2\tzh\t哪个？\n"),
        qrels=write("qrels.txt", "q1 0 d3 1\nq1 0 d1 2\nq2 0 d1 0\nq2 0 d2 1\nq2 0 gone 0\n"),
    )
    assert collection.relevant == ((0, 2), (1,))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("q1 0 d1", {"problem": "wrong columns", "seen": "q1 0 d1", "allowed": "query, iteration, document, grade"}),
        ("q1 0 d1 1 x", {"problem": "wrong columns", "seen": "q1 0 d1 1 x", "allowed": "4 columns"}),
        ("q1 0 d1 yes", {"problem": "not a whole number", "field": "grade", "seen": "yes", "allowed": "above 0"}),
        ("q1 0 d1 1.5", {"problem": "not a whole number", "field": "grade", "seen": "1.5", "allowed": "above 0"}),
        ("q1 0 d1 1e400", {"problem": "not a whole number", "field": "grade", "seen": "1e400"}),
        ("q1 0 d1 12345678901", {"problem": "not a whole number", "field": "grade", "seen": "12345678901"}),
        (
            "q2 0 d2 0",
            {
                "problem": "judged twice with different grades (first on line 1)",
                "field": "grade",
                "seen": "q2 d2 0, before 1",
            },
        ),
    ],
)
def test_bad_qrels_are_named_by_line_and_value(write, refused, line, expected) -> None:
    path = write("qrels.txt", "q2 0 d2 1\n" + line)
    refused(lambda: read_qrels(path), source=str(path), line=2, **expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("q1 0 d9 1", {"problem": "unknown document", "field": "document", "seen": "d9", "allowed": "such as 'd1'"}),
    ],
)
def test_qrels_that_do_not_fit_the_files_are_refused(write, refused, line, expected) -> None:
    documents, queries = write("pool.jsonl", DOCUMENTS), write("queries.tsv", "q1\ten\twhich?\n")
    qrels = write("qrels.txt", "q1 0 d1 1\n\n" + line)
    refused(lambda: read_collection(documents, queries, qrels=qrels), source=str(qrels), line=3, **expected)


def test_qrels_of_other_queries_altogether_are_refused(write, refused) -> None:
    documents, queries = write("pool.jsonl", DOCUMENTS), write("queries.tsv", "q1\ten\twhich?\n")
    qrels = write("qrels.txt", "\nq9 0 d1 1\n")
    refused(
        lambda: read_collection(documents, queries, qrels=qrels),
        problem="unknown query",
        source=str(qrels),
        line=2,
        field="query",
        seen="q9",
        allowed="such as 'q1'",
    )


def test_a_query_without_judgment_is_refused(write, refused) -> None:
    documents, queries = write("pool.jsonl", DOCUMENTS), write("queries.tsv", "q1\ten\ta\nq2\ten\tb\n")
    refused(
        lambda: read_collection(documents, queries, qrels=write("qrels.txt", "q1 0 d1 1\n")),
        problem="query without judgment in qrels.txt",
        source=str(queries),
        line=2,
        field="id",
        seen="q2",
    )


def test_no_query_with_a_relevant_document_is_refused(write, refused) -> None:
    documents, queries = write("pool.jsonl", DOCUMENTS), write("queries.tsv", "q1\ten\ta\n")
    qrels = write("qrels.txt", "q1 0 d1 1\n")
    refused(
        lambda: read_collection(documents, queries, qrels=qrels, relevance_level=2),
        problem="no query has a document of grade 2 or more",
        source=str(qrels),
        field="grade",
        seen="grades up to 1",
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("q2\twhich?", {"problem": "wrong columns", "seen": "q2\twhich?", "allowed": "id, language, text"}),
        ("q2\ten\ta\tb", {"problem": "wrong columns", "seen": "q2\ten\ta\tb", "allowed": "3 columns"}),
        ("q2\txx\twhich?", {"problem": "unknown language", "field": "language", "seen": "xx", "allowed": "BCP-47"}),
        ("q2\ten\t ", {"problem": "empty text", "field": "text", "seen": ""}),
        ("\ten\twhich?", {"problem": "empty id", "field": "id", "seen": ""}),
        ("q1\ten\twhich?", {"problem": "duplicate id (first on line 1)", "field": "id", "seen": "q1"}),
    ],
)
def test_bad_query_columns_are_named_by_line_and_value(write, refused, line, expected) -> None:
    path = write("queries.tsv", "q1\ten\twhich?\n" + line)
    refused(lambda: read_query_tsv(path), source=str(path), line=2, **expected)


def test_two_columns_without_a_language_and_headers_without_rows_are_refused(write, refused) -> None:
    path = write("queries.tsv", "q1\twhich?\n")
    refused(lambda: read_query_tsv(path), problem="wrong columns", line=1, allowed="only with a default language")
    path = write("queries.tsv", "id\tlanguage\ttext\n")
    refused(lambda: read_query_tsv(path), problem="no queries", source=str(path))
