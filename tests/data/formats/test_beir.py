"""Folders in the format of BEIR."""

from __future__ import annotations

from pathlib import Path

import pytest

from haystack_crossalign import audit_collection
from haystack_crossalign.data.formats.beir import read_beir


@pytest.fixture
def folder(write) -> Path:
    write(
        "small/corpus.jsonl",
        [
            {"_id": "d1", "title": "One", "text": "first", "metadata": {"language": "en", "parallel_id": "a"}},
            {"_id": "d2", "title": "", "text": "第一", "metadata": {"language": "zho_Hans", "parallel_id": "a"}},
            {"_id": "d3", "text": "second", "language": "en"},
        ],
    )
    write(
        "small/queries.jsonl",
        [
            {"_id": "q0", "text": "not in the split", "metadata": {"language": "en"}},
            {"_id": "q1", "text": "which?", "metadata": {"language": "en"}},
            {"_id": "q2", "text": "哪个？", "language": "zh"},
        ],
    )
    write("small/qrels/dev.tsv", "query-id\tcorpus-id\tscore\nq0\td3\t1\n")
    return write("small/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t2\nq2\td2\t1\n").parent.parent


def test_a_split_is_read_with_titles_and_languages(folder) -> None:
    collection = read_beir(folder)
    assert collection.name == "small"
    assert collection.documents.ids == ("d1", "d2", "d3")
    assert collection.documents.texts == ("One first", "第一", "second")
    assert collection.documents.languages == ("en", "zh", "en")
    assert collection.documents.groups == ("a", "a", "d3")
    assert collection.queries.ids == ("q1", "q2")
    assert collection.relevant == ((0, 1), (1,))
    assert [source.name for source in collection.sources] == ["corpus.jsonl", "queries.jsonl", "test.tsv"]


def test_another_split_can_be_chosen(folder) -> None:
    assert read_beir(folder, split="dev").queries.ids == ("q0",)


def test_a_missing_language_can_be_given(folder, write, refused) -> None:
    corpus = write("small/corpus.jsonl", [{"_id": f"d{n}", "text": "some text"} for n in (1, 2, 3)])
    refused(lambda: read_beir(folder), problem="missing field", source=str(corpus), line=1, field="language")
    assert set(read_beir(folder, default_language="German").documents.languages) == {"de"}


def test_the_language_of_the_queries_is_not_given_to_documents(folder, write, refused) -> None:
    write("small/queries.jsonl", [{"_id": name, "text": "which?"} for name in ("q1", "q2")])
    read = read_beir(folder, query_language="en")
    assert (read.queries.languages, read.documents.languages) == (("en", "en"), ("en", "zh", "en"))
    texts = {
        "d1": "The ferry leaves at nine in the morning.",
        "d2": "渡轮每天早上九点从码头出发。",
        "d3": "第二个码头在城市的另一边。",
    }
    corpus = write("small/corpus.jsonl", [{"_id": name, "text": text} for name, text in texts.items()])
    refused(lambda: read_beir(folder, query_language="en"), problem="missing field", source=str(corpus), line=1,
            field="language")  # fmt: skip
    assert read_beir(folder, query_language="en", detect=True).documents.languages == ("en", "zh", "zh")


def test_a_missing_split_names_those_there_are(folder, refused) -> None:
    refused(
        lambda: read_beir(folder, split="train"),
        problem="no such split",
        source=str(folder / "qrels" / "train.tsv"),
        field="split",
        seen="train",
        allowed="dev, test",
    )


def test_a_missing_folder_and_wrong_columns_are_named(folder, write, refused) -> None:
    refused(lambda: read_beir(folder / "no"), problem="no such folder", source=str(folder / "no"))
    path = write("small/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1 0 d1 1\n")
    refused(
        lambda: read_beir(folder),
        problem="wrong columns",
        source=str(path),
        line=2,
        seen="q1 0 d1 1",
        allowed="3 columns: query, document, grade",
    )


def test_an_unknown_document_is_named(folder, write, refused) -> None:
    path = write("small/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td7\t1\n")
    refused(lambda: read_beir(folder), problem="unknown document", source=str(path), line=2, seen="d7", allowed="'d1'")


def test_a_first_judgment_with_a_wrong_grade_is_refused_and_not_taken_for_a_header(folder, write, refused) -> None:
    path = write("small/qrels/test.tsv", "q1\td1\tx\nq1\td2\t1\n")
    refused(lambda: read_beir(folder), problem="not a whole number", source=str(path), line=1, field="grade", seen="x")


def test_a_document_with_the_id_of_the_query_counts_like_any_other(write) -> None:
    """The package beir drops it from the results, relevant or not: see findings/."""
    rows = [("1", "en", [1.0, 0.0]), ("2", "zh", [0.9, 0.1]), ("3", "zh", [0.0, 1.0])]
    write("same/corpus.jsonl", [{"_id": i, "text": f"text {i}", "language": t, "embedding": v} for i, t, v in rows])
    write("same/queries.jsonl", [{"_id": "1", "text": "text", "language": "en", "embedding": [1.0, 0.0]}])
    folder = write("same/qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\t1\t1\n").parent.parent
    result = audit_collection(read_beir(folder), measures=["NDCG@10", "Max@R"], samples=100)
    (row,) = result.rows
    assert row["measures"] == {"NDCG@10": 1.0, "Max@R": 1.0}
