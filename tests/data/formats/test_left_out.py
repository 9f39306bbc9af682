"""One odd row does not refuse everything: harmless rows are counted, invalid ones as well where that is asked for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from haystack_crossalign.data.formats.beir import read_beir, write_beir
from haystack_crossalign.data.formats.read import read_collection
from haystack_crossalign.data.reading_log import Omission, ReadingLog
from haystack_crossalign.errors import InputError

DOCUMENTS: list[dict[str, object]] = [
    {"id": "d1", "text": "one", "language": "en", "parallel_id": "a"},
    {"id": "d2", "text": "一", "language": "zh", "parallel_id": "a"},
    {"id": "d3", "text": "three", "language": "en"},
]
QUERIES: list[dict[str, object]] = [
    {"id": "q1", "text": "which?", "language": "en"},
    {"id": "q2", "text": "哪个？", "language": "zh"},
    {"id": "q3", "text": "where?", "language": "en"},
]
QRELS = "q1 0 d1 1\nq2 0 d2 1\nq3 0 d3 1\n"


def collect(write, *, documents=DOCUMENTS, queries=QUERIES, qrels=QRELS, skip=False, **options):
    log = ReadingLog(skip_invalid=skip)
    judgments = None if qrels is None else write("qrels.txt", qrels)
    return read_collection(
        write("pool.jsonl", documents), write("queries.jsonl", queries), qrels=judgments, log=log, **options
    )


@pytest.mark.parametrize(
    ("change", "omission"),
    [
        ("q1 0 d1 1\n", Omission("judgment", "repeated with the same grade", 1, ("line 4",))),
        ("q1 0 d1 1.0\n", Omission("judgment", "repeated with the same grade", 1, ("line 4",))),
        ("q9 0 d1 1\nq9 0 d2 1\nq8 0 d1 1\n", Omission("judgment", "query not among the queries", 3, ("q9", "q8"))),
        ("q1 0 gone 0\n", Omission("judgment", "document not in the pool, and not relevant", 1, ("q1 gone",))),
    ],
)
def test_harmless_judgments_are_counted(write, change: str, omission: Omission) -> None:
    collection = collect(write, qrels=QRELS + change)
    assert collection.relevant == ((0,), (1,), (2,))
    assert collection.omissions == (omission,)


@pytest.mark.parametrize("grade", ["0", "-1", "0.0"])
def test_a_query_with_judgments_of_nothing_relevant_is_left_out_and_counted(write, grade: str) -> None:
    collection = collect(write, qrels=QRELS.replace("q2 0 d2 1", f"q2 0 d2 {grade}"))
    assert collection.queries.ids == ("q1", "q3")
    assert collection.omissions == (Omission("query", "no document of grade 1 or more", 1, ("q2",)),)


@pytest.mark.parametrize(
    ("changes", "omissions"),
    [
        (
            {"qrels": QRELS + "q1 0 gone 2\n"},
            [Omission("judgment", "document not in the pool", 1, ("q1 gone",))],
        ),
        (
            {"qrels": QRELS + "q1 0 d1 2\n"},
            [Omission("judgment", "judged twice with different grades in 'grade'", 1, ("line 4",))],
        ),
        ({"qrels": QRELS + "q1 0 d2\n"}, [Omission("judgment", "wrong columns", 1, ("line 4",))]),
        ({"qrels": QRELS + "q1 0 d2 high\n"}, [Omission("judgment", "not a whole number in 'grade'", 1, ("line 4",))]),
        (
            {"queries": [*QUERIES, {"id": "q4", "text": "when?", "language": "en"}]},
            [Omission("query", "no judgment", 1, ("q4",))],
        ),
        (
            {"queries": [{"id": "q0", "text": " ", "language": "en"}, *QUERIES]},
            [Omission("query", "empty text in 'text'", 1, ("line 1",))],
        ),
        (
            {"documents": [{"id": "d0", "text": "", "language": "en"}, *DOCUMENTS, {"id": "d1"}]},
            [
                Omission("document", "empty text in 'text'", 1, ("line 1",)),
                Omission("document", "duplicate id in 'id'", 1, ("line 5",)),
            ],
        ),
        (
            {"documents": '{"id": "d0", "text": "a\n' + "".join(json.dumps(row) + "\n" for row in DOCUMENTS)},
            [Omission("document", "not valid JSON", 1, ("line 1",))],
        ),
        (
            {"documents": b'{"id": "\xff"}\n' + "".join(json.dumps(row) + "\n" for row in DOCUMENTS).encode()},
            [Omission("document", "not valid UTF-8", 1, ("line 1",))],
        ),
        (
            {"documents": [*DOCUMENTS[:2], {**DOCUMENTS[2], "language": "xx"}, {**DOCUMENTS[2]}]},
            [Omission("document", "unknown language in 'language'", 1, ("line 3",))],
        ),
    ],
)
def test_invalid_rows_are_an_error_unless_they_are_to_be_left_out(write, changes, omissions) -> None:
    with pytest.raises(InputError):
        collect(write, **changes)
    collection = collect(write, skip=True, **changes)
    assert (collection.documents.ids, collection.queries.ids) == (("d1", "d2", "d3"), ("q1", "q2", "q3"))
    assert collection.relevant == ((0,), (1,), (2,))
    assert list(collection.omissions) == omissions


def test_a_document_that_is_left_out_takes_its_judgments_and_queries_along(write) -> None:
    documents = [*DOCUMENTS[:2], {**DOCUMENTS[2], "text": None}]
    collection = collect(write, documents=documents, skip=True)
    assert collection.queries.ids == ("q1", "q2")
    assert [(one.what, one.reason) for one in collection.omissions] == [
        ("document", "missing field in 'text'"),
        ("judgment", "document not in the pool"),
        ("query", "no document of grade 1 or more"),
    ]


@pytest.mark.parametrize("odd", [[1.0], None])
def test_the_vector_that_is_unlike_most_is_left_out_wherever_it_stands(write, odd: object) -> None:
    rows = [{**row, "embedding": [1.0, 2.0]} for row in DOCUMENTS]
    collection = collect(write, documents=[{**DOCUMENTS[0], "id": "d0", "embedding": odd}, *rows], skip=True)
    assert collection.documents.ids == ("d1", "d2", "d3")
    assert collection.documents.vectors is not None
    assert collection.documents.vectors.shape == (3, 2)
    assert collection.omissions == (Omission("document", "vector missing or of another length than most", 1, ("d0",)),)


def test_the_error_names_what_can_be_done(write) -> None:
    log = ReadingLog(remedy="or --skip-invalid")
    with pytest.raises(InputError, match="unique; or --skip-invalid"):
        read_collection(write("p.jsonl", [*DOCUMENTS, DOCUMENTS[0]]), write("q.jsonl", QUERIES), log=log)


def test_nothing_left_is_an_error(write) -> None:
    with pytest.raises(InputError, match="no document left"):
        collect(write, documents=[{"id": "d1"}], skip=True)


def test_judgments_beside_queries_may_carry_grades(write) -> None:
    queries = [
        {**QUERIES[0], "relevant": {"d1": 2, "d3": 0}},
        {**QUERIES[1], "relevant": ["d2"]},
        {**QUERIES[2], "relevant": {"d3": 0}},
    ]
    collection = collect(write, queries=queries, qrels=None)
    assert collection.grades == ({0: 2, 2: 0}, {1: 1})
    assert collection.relevant == ((0,), (1,))
    with pytest.raises(InputError, match="not a grade of 'd1'"):
        collect(write, queries=[{**QUERIES[0], "relevant": {"d1": "much"}}], qrels=None)


def test_the_relevance_level_decides_what_is_relevant_and_not_what_is_kept(write) -> None:
    collection = collect(write, qrels="q1 0 d1 2\nq1 0 d2 1\nq2 0 d2 1\nq3 0 d3 3\n", relevance_level=2)
    assert collection.queries.ids == ("q1", "q3")
    assert collection.relevant == ((0,), (2,))
    assert collection.grades == ({0: 2, 1: 1}, {2: 3})
    part = collection.restrict(["en"], ["en"])
    assert (part.relevant, part.grades) == (((0,), (1,)), ({0: 2}, {1: 3}))


def test_versions_of_a_relevant_document_get_its_grade_where_theirs_is_lower(write) -> None:
    collection = collect(write, qrels="q1 0 d1 2\nq1 0 d2 1\nq1 0 d3 0\nq2 0 d2 3\nq3 0 d3 1\n", expand_groups=True)
    assert collection.grades == ({0: 2, 1: 2, 2: 0}, {1: 3, 0: 3}, {2: 1})


def test_a_version_gains_the_highest_grade_of_its_chunks(write) -> None:
    documents = [*DOCUMENTS, {"id": "d4", "text": "one more", "language": "en", "parallel_id": "a"}]
    collection = collect(write, documents=documents, qrels="q1 0 d1 1\nq1 0 d4 3\nq1 0 d2 2\nq2 0 d2 1\nq3 0 d3 1\n")
    gained = collection.gained_versions(collection.documents.versions())
    assert gained is not None
    assert gained[0].tolist() == [[0, 1], [1, -1], [2, -1]]
    assert gained[1].tolist() == [[3, 2], [1, 0], [1, 0]]


def test_titles_are_joined_as_in_beir_and_either_may_be_missing(write) -> None:
    rows = [
        {**DOCUMENTS[0], "title": "T"},
        {**DOCUMENTS[1], "title": " ", "text": "一"},
        {**DOCUMENTS[2], "title": "Only", "text": ""},
        {"id": "d4", "language": "en", "meta": {"title": "In meta"}},
    ]
    collection = collect(write, documents=rows)
    assert collection.documents.texts == ("T one", "一", "Only", "In meta")
    assert collection.titles == ("title", 3)
    beir = [{("_id" if key == "id" else key): value for key, value in row.items()} for row in rows]
    write("b/corpus.jsonl", beir)
    write("b/queries.jsonl", [{"_id": row["id"], **row} for row in QUERIES])
    folder = write("b/qrels/test.tsv", QRELS.replace(" 0 ", "\t").replace(" ", "\t")).parent.parent
    assert read_beir(folder).documents.texts == collection.documents.texts
    with pytest.raises(InputError, match="empty text"):
        collect(write, documents=rows, title_field=None)
    assert collect(
        write, documents=[{**row, "heading": "H"} for row in DOCUMENTS], title_field="heading"
    ).documents.texts == (
        "H one",
        "H 一",
        "H three",
    )


def test_a_beir_folder_keeps_its_grades_and_counts_what_has_none(write, tmp_path: Path) -> None:
    write("b/corpus.jsonl", [{"_id": row["id"], **row} for row in DOCUMENTS])
    write("b/queries.jsonl", [{"_id": row["id"], **row} for row in QUERIES])
    lines = ["q1\td1\t3", "q1\td2\t0", "q2\td2\t0"]
    folder = write("b/qrels/test.tsv", "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n").parent.parent
    collection = read_beir(folder)
    assert collection.queries.ids == ("q1",)
    assert collection.grades == ({0: 3, 1: 0},)
    assert collection.omissions == (
        Omission("query", "no judgment in test.tsv", 1, ("q3",)),
        Omission("query", "no document of grade 1 or more", 1, ("q2",)),
    )
    write_beir(tmp_path / "out", read_beir(folder, keep_unanswerable=True))
    assert (tmp_path / "out" / "qrels" / "test.tsv").read_text().splitlines()[1:] == lines


def test_every_file_may_be_gzip(write) -> None:
    def packed(name: str, content: str) -> Path:
        return write(name, gzip.compress(content.encode()))

    documents = packed("pool.jsonl.gz", "".join(json.dumps(row) + "\n" for row in DOCUMENTS))
    queries = packed("queries.tsv.gz", "q1\ten\twhich?\n")
    collection = read_collection(documents, queries, qrels=packed("qrels.gz", "q1 0 d1 1\n"))
    assert (collection.name, collection.queries.ids, collection.relevant) == ("pool", ("q1",), ((0,),))
    packed("b/corpus.jsonl.gz", "".join(json.dumps({"_id": row["id"], **row}) + "\n" for row in DOCUMENTS))
    packed("b/queries.jsonl.gz", json.dumps({"_id": "q1", "text": "which?", "language": "en"}))
    folder = packed("b/qrels/test.tsv.gz", "query-id\tcorpus-id\tscore\nq1\td1\t1\n").parent.parent
    assert read_beir(folder).relevant == ((0,),)
    with pytest.raises(InputError, match="no such split") as caught:
        read_beir(folder, split="dev")
    assert caught.value.allowed == "test"
