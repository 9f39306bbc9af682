"""Queries of a live audit: their judgments are joined to what a real index holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.versions import Version
from haystack_crossalign.opensearch.index import groups as members_module
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.groups import members_by_name
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.undetermined import detect_missing_languages
from haystack_crossalign.opensearch.live.queries import read_live_queries

ENGLISH = "The harbour of the old town was built by merchants three hundred years ago."
SPANISH = "El puerto de la ciudad vieja fue construido por comerciantes hace trescientos años."


def _documents() -> dict[str, dict[str, Any]]:
    """Ten groups in en, es and zh; group g1 in chunks; three documents without group, five without language."""
    documents: dict[str, dict[str, Any]] = {}
    rng = np.random.default_rng(3)

    def add(identifier: str, **fields: Any) -> None:
        documents[identifier] = {"embedding": rng.normal(size=4).tolist(), "content": "text", **fields}

    for number in range(10):
        for language in ("en", "es", "zh"):
            for chunk in range(2 if number == 1 and language != "zh" else 1):
                add(f"{language}-{number}-{chunk}", group=f"g{number}", language=language, tenant=f"t{number % 2}")
    add("single-1", language="en", tenant="t0")
    add("unknown-1", content=ENGLISH)
    add("unknown-2", content=ENGLISH, group="g8")
    add("unknown-3", content=SPANISH)
    add("unknown-4", content="12345")
    add("unknown-5", content="Saya suka makan nasi dan ikan di rumah ibu saya")
    documents["bare"] = {"language": "es", "group": "g9"}
    return documents


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    indexing.create(opensearch, "judge-queries", _documents(), indexing.mapping(4), shards=2)
    return "judge-queries"


@pytest.fixture
def view(opensearch: Any, index: str) -> Any:
    client = ReadOnlyClient(opensearch.url)
    fields = read_fields(client, index, vector="embedding", language="language", group="group")
    with client.point_in_time(index) as target:
        yield IndexView(client, target, fields)
    client.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: dict[str, Any], name: str = "queries.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"text": "a question", **row}) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_a_relevant_id_stands_for_all_versions_and_chunks_of_its_group(view: IndexView, write: Any) -> None:
    path = write(
        {"id": "q1", "language": "en", "relevant": ["en-1-0"]},
        {"id": "q2", "language": "zh", "relevant": ["single-1", "zh-2-0"]},
    )
    queries = read_live_queries(path, view)
    assert queries.kind == "judged"
    assert queries.relevant == (
        ("en-1-0", "en-1-1", "es-1-0", "es-1-1", "zh-1-0"),
        ("en-2-0", "es-2-0", "single-1", "zh-2-0"),
    )
    assert queries.versions[0] == (Version("g1", "en"), Version("g1", "es"), Version("g1", "zh"))
    assert queries.versions[1] == (
        *(Version("g2", tag) for tag in ("en", "es", "zh")),
        Version("single-1", "en", single=True),
    )
    assert queries.groups == ("g1", "g2")
    assert queries.chunked


def test_without_expansion_only_the_named_documents_are_relevant(view: IndexView, write: Any) -> None:
    path = write({"id": "q1", "language": "en", "relevant": ["zh-2-0", "es-3-0"]})
    queries = read_live_queries(path, view, expand_groups=False)
    assert queries.relevant == (("es-3-0", "zh-2-0"),)
    assert queries.versions == ((Version("g2", "zh"), Version("g3", "es")),)
    assert queries.groups == (None,)
    assert not queries.chunked


def test_a_group_of_a_query_stands_for_the_documents_of_the_pool_only(view: IndexView, write: Any) -> None:
    path = write({"id": "q9", "language": "en", "parallel_id": "g9"})
    queries = read_live_queries(path, view)
    assert queries.kind == "group"
    assert queries.relevant == (("en-9-0", "es-9-0", "zh-9-0"),)  # not 'bare', which has no vector
    assert not queries.chunked


def test_a_filter_cuts_the_groups(view: IndexView, write: Any) -> None:
    filtered = IndexView(view.client, view.target, view.fields, user_filter={"term": {"tenant": "t0"}})
    with pytest.raises(InputError, match=r"no document of the pool belongs to the group of query 'q'.*'g3'"):
        read_live_queries(write({"id": "q", "language": "en", "parallel_id": "g3"}), filtered)


def test_judgments_of_a_qrels_file_take_the_place_of_those_in_the_queries(view: IndexView, tmp_path: Path) -> None:
    path = tmp_path / "queries.tsv"
    path.write_text("q1\ten\ta question\nq2\tes\tuna pregunta\n", encoding="utf-8")
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q1 0 en-4-0 1\nq1 0 en-5-0 0\nq2 0 es-4-0 2\n", encoding="utf-8")
    queries = read_live_queries(path, view, qrels=qrels)
    assert queries.relevant == (("en-4-0", "es-4-0", "zh-4-0"),) * 2
    assert queries.parallel().tolist() == [0, 0]


def test_grades_decide_what_is_relevant_and_what_is_left_out_is_counted(view: IndexView, tmp_path: Path) -> None:
    path = tmp_path / "queries.tsv"
    path.write_text("".join(f"q{number}\ten\ta question\n" for number in range(1, 6)), encoding="utf-8")
    qrels = tmp_path / "qrels.txt"
    qrels.write_text(
        "q1 0 en-4-0 2\nq1 0 en-5-0 1\nq1 0 gone 0\nq2 0 en-6-0 1\nq3 0 gone 3\nq3 0 es-7-0 2\nq4 0 gone 2\n"
        "q9 0 en-4-0 2\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError, match="query without judgment"):
        read_live_queries(path, view, qrels=qrels, relevance_level=2)
    log = ReadingLog(skip_invalid=True)
    queries = read_live_queries(path, view, qrels=qrels, expand_groups=False, relevance_level=2, log=log)
    assert (queries.ids, queries.relevant) == (("q1", "q3"), (("en-4-0",), ("es-7-0",)))
    # What is below the level is ranked too, since it has a gain.
    assert queries.judged == (("en-4-0", "en-5-0"), ("es-7-0",))
    assert queries.gains(members_by_name(view, ["en-4-0", "en-5-0", "es-7-0"]), by_version=False) == [[2, 1], [2]]
    assert queries.described["judgments"] == {
        "relevance_level": 2, "gain": "linear", "grades": {"0": 1, "1": 1, "2": 2},
    }  # fmt: skip
    assert [(one["what"], one["reason"], one["first"]) for one in queries.described["left_out"]] == [
        ("judgment", "query not among the queries", ["q9"]),
        ("query", "no judgment", ["q5"]),
        ("judgment", "document not in the index", ["q3 gone", "q4 gone"]),
        ("query", "no relevant document in the index", ["q4"]),
        ("query", "no document of grade 2 or more", ["q2"]),
    ]


def test_a_grade_holds_for_the_group_unless_a_document_has_a_higher_one(view: IndexView, write: Any) -> None:
    grades = {"en-4-0": 1, "es-4-0": 3, "zh-4-0": 0, "en-5-0": 2, "single-1": 1, "zh-6-0": 0}
    queries = read_live_queries(write({"id": "q", "language": "en", "relevant": grades}), view)
    expected = {"en-4-0": 3, "es-4-0": 3, "zh-4-0": 3, "en-5-0": 2, "es-5-0": 2, "zh-5-0": 2, "single-1": 1}
    assert queries.grades == ({**expected, "zh-6-0": 0},)
    assert dict.fromkeys(queries.judged[0]) == dict.fromkeys(sorted(expected))
    members = members_by_name(view, expected)
    assert queries.gains(members, by_version=False) == [[expected[name] for name in sorted(expected)]]
    by_version = queries.gains(members, by_version=True)
    assert by_version is not None
    assert dict(zip(queries.versions[0], by_version[0], strict=True)) == {
        Version.of(name, members[name].language, members[name].group): grade for name, grade in expected.items()
    }


def test_the_gain_of_a_version_is_the_highest_grade_of_its_chunks(view: IndexView, write: Any) -> None:
    path = write({"id": "q", "language": "en", "relevant": {"en-1-0": 1, "en-1-1": 3, "es-1-0": 2}})
    queries = read_live_queries(path, view, expand_groups=False)
    assert queries.chunked
    assert queries.versions == ((Version("g1", "en"), Version("g1", "es")),)
    assert queries.gains(members_by_name(view, queries.judged[0]), by_version=True) == [[3, 2]]


def test_plain_judgments_have_no_gains(view: IndexView, write: Any) -> None:
    for row in ({"relevant": {"en-4-0": 1, "en-5-0": 0}}, {"relevant": ["en-4-0"]}, {"parallel_id": "g4"}):
        queries = read_live_queries(write({"id": "q", "language": "en", **row}), view)
        assert queries.gains(members_by_name(view, queries.judged[0]), by_version=False) is None
        assert "judgments" not in queries.described


def test_a_level_that_no_judgment_reaches_is_one_message(view: IndexView, write: Any) -> None:
    # Documents of a group that a query names have grade 1, as in files.
    for row in ({"parallel_id": "g4"}, {"relevant": {"en-4-0": 1}}, {"relevant": {"en-4-0": 1}, "parallel_id": "g5"}):
        with pytest.raises(InputError, match=r"no query has a document of grade 2 or more.*grades up to 1"):
            read_live_queries(write({"id": "q", "language": "en", **row}), view, relevance_level=2)


def test_queries_of_one_group_and_language_have_no_known_partners(view: IndexView, write: Any) -> None:
    path = write(
        {"id": "a", "language": "en", "parallel_id": "g4"},
        {"id": "b", "language": "en", "parallel_id": "g4"},
        {"id": "c", "language": "es", "parallel_id": "g4"},
        {"id": "d", "language": "es", "parallel_id": "g5"},
        {"id": "e", "language": "en", "relevant": ["en-5-0"]},
        {"id": "f", "language": "en", "relevant": ["en-6-0", "es-7-0"]},
    )
    assert read_live_queries(path, view).parallel().tolist() == [-1, -1, -1, 0, 0, -1]


def test_ids_that_the_index_lacks_are_named_and_counted(
    view: IndexView, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_module, "IDS_PER_REQUEST", 2)
    path = write(
        {"id": "q1", "language": "en", "relevant": ["en-1-0", "en-2-0"]},
        {"id": "q2", "language": "en", "relevant": ["en-3-0", "gone-1"]},
        {"id": "q3", "language": "en", "relevant": ["gone-1", "gone-2"]},
    )
    with pytest.raises(InputError) as caught:
        read_live_queries(path, view)
    text = str(caught.value)
    assert "line 2" in text
    assert "query 'q2'" in text
    assert "'gone-1'" in text
    assert "2 other judged documents" in text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "q", "language": "en"}, "nothing says which documents are relevant"),
        ({"id": "q", "language": "en", "parallel_id": "nowhere"}, "no document of the pool belongs to the group"),
    ],
)
def test_queries_without_judgments_say_what_can_be_done(
    view: IndexView, write: Any, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_live_queries(write(row), view)


def test_one_query_without_judgment_is_named(view: IndexView, write: Any) -> None:
    path = write({"id": "q1", "language": "en", "parallel_id": "g1"}, {"id": "q2", "language": "en"})
    with pytest.raises(InputError, match=r"line 2.*query without relevant document; seen: 'q2'"):
        read_live_queries(path, view)


def test_a_group_needs_the_group_field_of_the_index(view: IndexView, index: str, write: Any) -> None:
    fields = read_fields(view.client, index, vector="embedding", language="language")
    with pytest.raises(InputError, match="query 'q' names a parallel group, but the documents' group field"):
        read_live_queries(
            write({"id": "q", "language": "en", "parallel_id": "g1"}), IndexView(view.client, index, fields)
        )


def test_judged_ids_work_without_a_group_field(view: IndexView, index: str, write: Any) -> None:
    fields = read_fields(view.client, index, vector="embedding", language="language")
    queries = read_live_queries(
        write({"id": "q", "language": "en", "relevant": ["en-1-0", "zh-1-0"]}), IndexView(view.client, index, fields)
    )
    assert queries.relevant == (("en-1-0", "zh-1-0"),)
    # Each document is a version of its own.
    assert queries.versions == ((Version("en-1-0", "en", single=True), Version("zh-1-0", "zh", single=True)),)
    assert not queries.chunked


def test_languages_of_queries_are_detected_and_unclear_queries_are_left_out(view: IndexView, write: Any) -> None:
    path = write(
        {"id": "q1", "text": ENGLISH, "parallel_id": "g1", "embedding": [1, 0, 0, 0]},
        {"id": "q2", "text": "2024 / 17", "parallel_id": "g2", "embedding": [0, 1, 0, 0]},
        {"id": "q3", "text": SPANISH, "parallel_id": "g3", "embedding": [0, 0, 1, 0]},
        {"id": "q4", "text": "?", "language": "zh", "parallel_id": "g3", "embedding": [0, 0, 0, 1]},
    )
    queries = read_live_queries(path, view)
    assert queries.ids == ("q1", "q3", "q4")
    assert queries.languages == ("en", "es", "zh")
    assert queries.vectors is not None
    assert queries.vectors.argmax(axis=1).tolist() == [0, 2, 3]
    assert queries.notes[0] == "the language of 2 queries was detected"
    assert "1 queries are left out" in queries.notes[1]
    assert "'q2'" in queries.notes[1]


def test_a_group_of_too_many_documents_is_refused_and_large_answers_are_split(
    view: IndexView, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_module, "MOST_HITS", 5)
    path = write(*({"id": f"q{n}", "language": "en", "parallel_id": f"g{n}"} for n in range(4)))
    assert [len(one) for one in read_live_queries(path, view).relevant] == [3, 5, 3, 3]
    monkeypatch.setattr(members_module, "MOST_HITS", 4)
    with pytest.raises(InputError, match=r"does not hold parallel groups; seen: \"5 documents in 'g1'\""):
        read_live_queries(path, view)


def test_documents_without_a_language_are_counted_exactly_and_detected_in_a_sample(view: IndexView) -> None:
    missing = detect_missing_languages(view, content_field="content")
    assert missing is not None
    assert missing.documents == 5
    assert missing.sampled == 5
    assert dict(missing.by_language) == {"en": 2, "es": 1, "und": 2}
    assert dict(missing.between) == {"id, ms": 1}
    assert "5 documents have no language (field 'language' is missing or is empty)" in missing.note
    assert "2 en, 1 es, 2 unclear (1 may be in one of id, ms)" in missing.note
    assert detect_missing_languages(view, content_field="content", sample=2).sampled == 2


def test_an_index_where_every_document_has_a_language_needs_no_note(view: IndexView) -> None:
    known = IndexView(view.client, view.target, view.fields, user_filter={"exists": {"field": "language"}})
    assert detect_missing_languages(known, content_field="content") is None
