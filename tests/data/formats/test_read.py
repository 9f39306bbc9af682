"""Judged collections from a user's files, and every kind of bad input in them."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from haystack_crossalign.data.formats.jsonl import read_documents, read_queries
from haystack_crossalign.data.formats.read import read_collection
from haystack_crossalign.errors import InputError

DOCUMENTS = [
    {"id": "d1", "text": "one", "language": "eng_Latn", "parallel_id": "a"},
    {"id": "d2", "text": "一", "language": "zh_CN", "parallel_id": "a"},
    {"id": "d3", "text": "two", "language": "English"},
]
QUERIES = [
    {"id": "q1", "text": "which?", "language": "en", "relevant": ["d2", "d1", "d2"]},
    {"id": "q2", "text": "哪个？", "language": "zh-Hans", "parallel_id": "a"},
    {"id": "q3", "text": "what?", "language": "en", "parallel_id": "d3"},
]


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_documents_and_queries_are_joined(write) -> None:
    documents, queries = write("pool.jsonl", DOCUMENTS), write("queries.jsonl", QUERIES)
    collection = read_collection(documents, queries)
    assert collection.name == "pool"
    assert collection.documents.ids == ("d1", "d2", "d3")
    assert collection.documents.languages == ("en", "zh", "en")
    assert collection.documents.groups == ("a", "a", "d3")
    assert collection.documents.texts == ("one", "一", "two")
    assert collection.documents.vectors is None
    assert collection.queries.ids == ("q1", "q2", "q3")
    assert collection.queries.languages == ("en", "zh", "en")
    assert collection.relevant == ((0, 1), (0, 1), (2,))
    assert [(source.name, source.sha256) for source in collection.sources] == [
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in (documents, queries)
    ]


def test_byte_order_mark_windows_line_ends_and_blank_lines_are_tolerated(write) -> None:
    text = "\ufeff" + lines(*DOCUMENTS).replace("\n", "\r\n\r\n")
    documents, _ = read_documents(write("pool.jsonl", text))
    assert documents.texts == ("one", "一", "two")


def test_line_separators_inside_a_text_do_not_end_the_line(write) -> None:
    documents, _ = read_documents(write("pool.jsonl", [{"id": 1, "text": "a\u2028b\x85c", "language": "en"}]))
    assert documents.ids == ("1",)
    assert documents.texts == ("a\u2028b\x85c",)


def test_fields_of_haystack_documents_are_understood(write) -> None:
    from haystack import Document

    document = Document(id="d", content="one", meta={"lang": "deu", "group": 7}, embedding=[1.0, 2.0])
    for flatten in (True, False):
        path = write("pool.jsonl", [document.to_dict(flatten=flatten)])
        documents, _ = read_documents(path, language_field="meta.lang", group_field="group")
        assert (documents.ids, documents.texts) == (("d",), ("one",))
        assert (documents.languages, documents.groups) == (("de",), ("7",))
        assert documents.vectors is not None
        assert documents.vectors.tolist() == [[1, 2]]


def test_queries_are_read_by_the_plain_names_besides_those_of_the_documents(write) -> None:
    rows = [
        {"id": "q1", "text": "museum", "language": "es", "parallel_id": "g1"},
        {"id": "q2", "text": "museum", "language.keyword": "zh", "parallel_id.keyword": "g2"},
        {"id": "q3", "text": "museum", "meta": {"language": "ar"}, "language.keyword": None, "relevant": ["d1"]},
        # The names asked for come first.
        {"id": "q4", "text": "museum", "language": "fr", "language.keyword": "de", "parallel_id": "no"}
        | {"parallel_id.keyword": "g4"},
    ]
    file = read_queries(
        write("queries.jsonl", rows), language_field="language.keyword", group_field="parallel_id.keyword"
    )
    assert [row.language for row in file.rows] == ["es", "zh", "ar", "de"]
    assert [row.group for row in file.rows] == ["g1", "g2", None, "g4"]


def test_a_title_is_put_before_the_text_only_when_asked_for(write) -> None:
    path = write("pool.jsonl", [{"id": "d", "title": "T", "text": "one", "language": "en"}])
    assert read_documents(path)[0].texts == ("one",)
    assert read_documents(path, title_field="title")[0].texts == ("T one",)


def test_titles_and_addresses_are_kept_for_reports(write) -> None:
    rows = [
        {"id": "a", "title": "T", "text": "one", "language": "en", "meta": {"link": " https://example.org/a "}},
        {"id": "b", "title": " ", "text": "two", "language": "en", "link": None},
    ]
    path = write("pool.jsonl", rows)
    documents, _ = read_documents(path, title_field="title", url_field="link")
    assert (documents.titles, documents.urls) == (("T", ""), ("https://example.org/a", ""))
    expected = {"language": "en", "group": "a", "text": "T one", "title": "T", "url": "https://example.org/a"}
    assert documents.describe("a") == expected
    assert documents.describe("b") == {"language": "en", "group": "b", "text": "two"}
    assert documents.select(np.array([1, 0])).describe("a") == expected
    bare, _ = read_documents(path)
    assert (bare.titles, bare.urls) == (None, None)


def test_an_address_field_that_no_document_has_is_refused(write) -> None:
    path = write("pool.jsonl", DOCUMENTS)
    with pytest.raises(InputError, match=r"pool\.jsonl, field 'link': no document has this field"):
        read_documents(path, url_field="link")
    path = write("pool.jsonl", [{**DOCUMENTS[0], "link": 7}])
    with pytest.raises(InputError, match="line 1, field 'link': not a text"):
        read_documents(path, url_field="link")


def test_a_title_field_that_no_document_has_is_refused(write) -> None:
    """A misspelled name would leave the titles out of every embedding."""
    path = write("pool.jsonl", [{**row, "heading": "H"} for row in DOCUMENTS])
    with pytest.raises(InputError, match=r"pool\.jsonl, field 'haeding': no document has this field"):
        read_documents(path, title_field="haeding")
    assert read_documents(path, title_field="heading")[0].titles == ("H",) * len(DOCUMENTS)
    one = write("pool.jsonl", [{**DOCUMENTS[0], "heading": "H"}, *DOCUMENTS[1:]])
    assert read_documents(one, title_field="heading")[0].titles == ("H", *[""] * (len(DOCUMENTS) - 1))
    assert read_documents(one, title_field="title")[0].titles is None  # the default of the commands


def test_vectors_are_read_as_float32(write) -> None:
    rows = [{**row, "embedding": [0.1, number, 0]} for number, row in enumerate(DOCUMENTS)]
    documents, _ = read_documents(write("pool.jsonl", rows))
    assert documents.vectors is not None
    assert documents.vectors.dtype == np.float32
    assert np.array_equal(documents.vectors, np.array([[0.1, 0, 0], [0.1, 1, 0], [0.1, 2, 0]], dtype=np.float32))


def test_judgments_of_one_version_can_be_widened_to_its_group(write) -> None:
    documents = write("pool.jsonl", DOCUMENTS)
    queries = write("queries.jsonl", [{"id": "q1", "text": "which?", "language": "en", "relevant": ["d2"]}])
    assert read_collection(documents, queries).relevant == ((1,),)
    assert read_collection(documents, queries, expand_groups=True).relevant == ((0, 1),)


def test_qrels_take_the_place_of_judgments_in_the_queries(write) -> None:
    documents, queries = write("pool.jsonl", DOCUMENTS), write("queries.jsonl", QUERIES)
    qrels = write("qrels.txt", "q1 0 d3 1\nq2\t0\td1\t2\nq2 0 d2 0\nq3 0 d1 1\n")
    collection = read_collection(documents, queries, qrels=qrels)
    assert collection.relevant == ((2,), (0,), (0,))
    assert [source.name for source in collection.sources] == ["pool.jsonl", "queries.jsonl", "qrels.txt"]


def document(**changes: object) -> dict[str, object]:
    row = {"id": "d9", "text": "nine", "language": "en", **changes}
    return {key: value for key, value in row.items() if value is not ...}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            document(id="d1"),
            {"problem": "duplicate id (first on line 1)", "field": "id", "seen": "d1", "allowed": "unique"},
        ),
        (document(id=...), {"problem": "missing field", "field": "id", "allowed": "a text"}),
        (document(id=1.5), {"problem": "wrong type of id", "field": "id", "seen": 1.5, "allowed": "whole number"}),
        (document(id=" "), {"problem": "empty id", "field": "id", "seen": " ", "allowed": "not empty"}),
        (document(text=""), {"problem": "empty text", "field": "text", "seen": "", "allowed": "not empty"}),
        (document(text=" \t"), {"problem": "empty text", "field": "text", "seen": " \t", "allowed": "not empty"}),
        (document(text=["x"]), {"problem": "not a text", "field": "text", "seen": ["x"], "allowed": "a text"}),
        (document(text=...), {"problem": "missing field", "field": "text", "allowed": "a text"}),
        (document(text="\ud800"), {"problem": "not valid Unicode", "field": "text", "allowed": "Unicode"}),
        (document(language="\ud800"), {"problem": "not valid Unicode", "field": "language", "allowed": "Unicode"}),
        (
            document(language="xx-foo"),
            {"problem": "unknown language", "field": "language", "seen": "xx-foo", "allowed": "BCP-47"},
        ),
        (
            document(language="und"),
            {"problem": "unknown language", "field": "language", "seen": "und", "allowed": "BCP-47"},
        ),
        (document(language=""), {"problem": "unknown language", "field": "language", "seen": "", "allowed": "BCP-47"}),
        (
            document(language="nan"),
            {"problem": "a missing value as text", "field": "language", "seen": "nan", "allowed": "'nan-Hant'"},
        ),
        (document(language=5), {"problem": "unknown language", "field": "language", "seen": 5, "allowed": "BCP-47"}),
        (document(language=...), {"problem": "missing field", "field": "language", "allowed": "--detect-languages"}),
        (
            document(parallel_id=[]),
            {"problem": "wrong type of id", "field": "parallel_id", "seen": [], "allowed": "a text"},
        ),
        ([1], {"problem": "not a JSON object", "field": None, "seen": [1], "allowed": "jq -c '.[]' FILE"}),
    ],
)
def test_a_bad_document_is_named_by_file_line_field_and_value(write, refused, row, expected) -> None:
    path = write("pool.jsonl", lines(*DOCUMENTS) + "\n" + json.dumps(row))
    refused(lambda: read_documents(path), source=str(path), line=5, **expected)


@pytest.mark.parametrize(
    ("text", "command"),
    [("[\n{}\n]\n", "jq -c '.[]' FILE"), ('[{"id": 1}]', "jq -c '.[]' FILE"), ('{\n"id": 1}\n', "jq -c . FILE")],
)
def test_json_that_is_not_one_object_per_line_is_refused_with_the_way_there(write, refused, text, command) -> None:
    path = write("pool.jsonl", text)
    refused(
        lambda: read_documents(path),
        source=str(path),
        line=1,
        allowed=f'one JSON object per line, such as {{"id": …}}; {command}',
    )


@pytest.mark.parametrize("missing", [None, float("nan"), "", "nan", "NA", "None", "n/a", "-", "unknown"])
def test_a_missing_value_takes_the_default_language(write, missing) -> None:
    rows = [document(language=missing, parallel_id="1"), document(id="d8", language="na")]
    documents, _ = read_documents(write("pool.jsonl", lines(*rows)), default_language="fr")
    assert documents.languages == ("fr", "na")


VECTOR = [1.0, 2.0]


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        ([1.0, float("nan")], {"problem": "not a finite number at position 2", "allowed": "finite"}),
        (
            [float("inf"), 1],
            {"problem": "not a finite number at position 1", "seen": float("inf"), "allowed": "finite"},
        ),
        ([1e39, 1], {"problem": "not a finite number at position 1", "seen": 1e39, "allowed": "finite"}),
        ([10**400, 1], {"problem": "number too large", "allowed": "finite"}),
        ([0, 0.0], {"problem": "zero vector", "seen": [0, 0.0], "allowed": "not all zero"}),
        ([1], {"problem": "dimension mismatch", "seen": "1 numbers", "allowed": "2 numbers, as in the first record"}),
        (["1", "2"], {"problem": "not a vector", "seen": ["1", "2"], "allowed": "finite"}),
        ([True, 1], {"problem": "not a vector", "seen": [True, 1], "allowed": "finite"}),
        ("x", {"problem": "not a vector", "seen": "x", "allowed": "finite"}),
        ([], {"problem": "not a vector", "seen": [], "allowed": "finite"}),
        (None, {"problem": "vector missing", "allowed": "in every record or in none"}),
    ],
)
def test_a_bad_vector_is_named_by_file_line_field_and_value(write, refused, vector, expected) -> None:
    for read, name in ((read_documents, "pool.jsonl"), (read_queries, "queries.jsonl")):
        path = write(name, [document(embedding=VECTOR), document(id="d10", embedding=vector)])
        refused(lambda read=read, path=path: read(path), source=str(path), line=2, field="embedding", **expected)


def test_a_vector_in_some_records_only_is_refused(write, refused) -> None:
    path = write("pool.jsonl", [document(), document(id="d10", embedding=VECTOR)])
    refused(lambda: read_documents(path), source=str(path), line=2, field="embedding", problem="in some records only")


def test_vectors_of_queries_and_documents_must_have_one_dimension(write, refused) -> None:
    documents = write("pool.jsonl", [{**row, "embedding": VECTOR} for row in DOCUMENTS])
    queries = write("queries.jsonl", [{**row, "embedding": [1, 2, 3]} for row in QUERIES])
    refused(
        lambda: read_collection(documents, queries),
        problem="dimension mismatch between queries and documents",
        source=str(queries),
        field="embedding",
        seen="3 numbers per query",
        allowed="2 numbers",
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"relevant": ["d1", "d7"]},
            {"problem": "unknown document", "field": "relevant", "seen": "d7", "allowed": "'d1'"},
        ),
        ({"relevant": []}, {"problem": "query without relevant document", "field": "relevant", "seen": "q9"}),
        (
            {},
            {
                "problem": "query without relevant document",
                "field": "relevant",
                "seen": "q9",
                "allowed": "'parallel_id'",
            },
        ),
        ({"relevant": "d1"}, {"problem": "not a list of ids", "field": "relevant", "seen": "d1", "allowed": "a list"}),
        ({"relevant": [None]}, {"problem": "wrong type of id", "field": "relevant", "seen": None, "allowed": "a text"}),
        (
            {"parallel_id": "zz"},
            {"problem": "no document belongs", "field": "parallel_id", "seen": "zz", "allowed": "'a'"},
        ),
        (
            {"relevant": ["d1", "d2", "d3"]},
            {"problem": "are the whole pool", "field": "relevant", "seen": "3 of 3 versions"},
        ),
        ({"id": "q2", "relevant": ["d1"]}, {"problem": "duplicate id (first on line 2)", "field": "id", "seen": "q2"}),
        ({"language": "klingonish"}, {"problem": "unknown language", "field": "language", "seen": "klingonish"}),
        ({"text": ""}, {"problem": "empty text", "field": "text", "seen": ""}),
    ],
)
def test_a_bad_query_is_named_by_file_line_field_and_value(write, refused, row, expected) -> None:
    documents = write("pool.jsonl", DOCUMENTS)
    queries = write("queries.jsonl", [*QUERIES, {"id": "q9", "text": "nine", "language": "en", **row}])
    refused(lambda: read_collection(documents, queries), source=str(queries), line=4, **expected)


def unreadable(write, name: str):
    if name == "missing":
        return write("x", "").parent / "nowhere.jsonl"
    if name == "directory":
        return write("folder/x", "").parent
    return write("bad.jsonl", {"empty": "", "blank": "\n \r\n", "truncated": lines(*DOCUMENTS)[:-30]}[name])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing", {"problem": "no such file", "line": None, "allowed": "a file that exists"}),
        ("directory", {"problem": "is a directory, not a file", "line": None, "allowed": "a file"}),
        ("empty", {"problem": "the file is empty", "line": None, "allowed": "at least one line"}),
        ("blank", {"problem": "the file is empty", "line": None, "allowed": "at least one line"}),
        ("truncated", {"problem": "not valid JSON", "line": 3, "allowed": "one JSON object per line"}),
    ],
)
def test_an_unusable_file_is_named(write, refused, name, expected) -> None:
    path = unreadable(write, name)
    refused(lambda: read_documents(path), source=str(path), **expected)
    refused(lambda: read_queries(path), source=str(path), **expected)


def test_invalid_utf8_is_named_by_line_and_bytes(write, refused) -> None:
    path = write("pool.jsonl", lines(DOCUMENTS[0]).encode() + b'{"id": "d2", "text": "caf\xe9"}')
    refused(
        lambda: read_documents(path),
        source=str(path),
        line=2,
        problem="not valid UTF-8 (byte 26 of the line)",
        seen=b'\xe9"}',
        allowed="UTF-8",
    )


@pytest.mark.parametrize("text", ["[" * 100_000, '{"id": ' + "9" * 5000 + "}"])
def test_json_that_no_parser_takes_is_one_message(write, refused, text) -> None:
    path = write("pool.jsonl", text)
    refused(lambda: read_documents(path), source=str(path), line=1, problem="JSON")
