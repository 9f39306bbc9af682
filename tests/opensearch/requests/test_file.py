"""Request files: what they may hold, what their placeholders become, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from production_requests import KINDS, queries

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.requests.file import RequestFile, read_request, read_requests
from haystack_crossalign.opensearch.requests.guard import clauses
from haystack_crossalign.opensearch.requests.placeholders import Template
from haystack_crossalign.opensearch.requests.traps import traps

MATCH = {"match": {"title": "{{query}}"}}
HYBRID = {"hybrid": {"queries": [MATCH, {"knn": {"embedding": {"vector": "{{vector}}", "k": 5}}}]}}
NASTY = 'a "b" \\ }} {{language}} {{vector}}\n\u2028'


def read(folder: Path, content: object, *, name: str = "own", size: int | None = None) -> RequestFile:
    path = folder / f"{name}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return read_request(path, size=size)


def test_a_placeholder_alone_becomes_the_value_and_one_within_a_text_its_text() -> None:
    template = Template(
        {
            "whole": "{{ vector }}",
            "count": "{{size}}",
            "within": "title_{{language}}^{{boost}} {{flag}}",
            "title_{{language}}": ["{{query}}", {"kept": [1, None, True, "{{"]}],
        }
    )
    filled = template.fill(
        {"vector": [0.5, -1.0], "size": 7, "language": "zh", "boost": 2.5, "flag": True, "query": NASTY}
    )
    assert filled == {
        "whole": [0.5, -1.0],
        "count": 7,
        "within": "title_zh^2.5 true",
        "title_zh": [NASTY, {"kept": [1, None, True, "{{"]}],
    }
    # Whatever the text of a query is, the body stays what it was around it.
    assert json.loads(json.dumps(filled))["title_zh"][0] == NASTY


def test_constants_stand_for_whole_clauses_and_for_words(tmp_path: Path) -> None:
    request = read(
        tmp_path,
        {
            "constants": {"tenant": {"term": {"tenant": "a"}}, "boost": 3, "field": "title"},
            "query": {
                "bool": {
                    "must": [{"multi_match": {"query": "{{query}}", "fields": ["{{field}}^{{boost}}"]}}],
                    "filter": ["{{tenant}}"],
                }
            },
        },
    )
    body = request.body.fill({"query": "word", "vector": None, "language": "en", "size": None})
    assert body == {
        "query": {
            "bool": {
                "must": [{"multi_match": {"query": "word", "fields": ["title^3"]}}],
                "filter": [{"term": {"tenant": "a"}}],
            }
        }
    }
    assert request.uses == {"query"}


def test_bodies_are_those_that_a_program_would_write(tmp_path: Path) -> None:
    query = queries(tmp_path / "queries.jsonl")[4]
    values = {"query": query["text"], "vector": query["embedding"], "language": query["language"], "size": 10}
    for name, kind in KINDS.items():
        if name not in ("template", "sparse"):
            assert read(tmp_path, kind.file, name=name).body.fill(values) == kind.body(query), name


@pytest.mark.parametrize(
    ("own", "flag", "expected"),
    [(None, None, None), (20, None, 20), (20, 30, 30), (None, 30, 30), ("{{size}}", 30, 30), ("{{rows}}", None, 5)],
)
def test_the_size_is_the_options_else_the_bodys(
    tmp_path: Path, own: Any, flag: int | None, expected: int | None
) -> None:
    body = {"constants": {"rows": 5}, "query": MATCH} | ({} if own is None else {"size": own})
    request = read(tmp_path, body, size=flag)
    assert request.size == expected
    filled = request.body.fill({"query": "", "size": request.size})
    assert filled.get("size") == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"query":\n {"match": {"title": "{{query}}",}}}', ["line 2", "not valid JSON"]),
        ('{"query":\n {"match":\n {"title": "{{query}} {{color}}"}}}', ["line 3", "query.match.title", "{{color}}"]),
        ('{"query":\n {"match": {"title_{{tongue}}": "{{query}}"}}}', ["line 2", "unknown placeholder", "{{tongue}}"]),
        ('{"query": {"match": {"title": "{{#toJson}}q{{/toJson}}"}}}', ["line 1", "unknown placeholder", "#toJson"]),
        ('{"query":\n {"match": {"title": "word"}}}', ["line 1", "the same search for every query"]),
        ('{"query":\n {"match": {"title": "{{language}}"}}}', ["the same search for every query"]),
        ('{"query": {"match": {"title":\n "near {{vector}}"}}}', ["within a text", "{{vector}}"]),
        ('{"constants": {"c": [1]},\n"query": {"match": {"title": "{{query}} {{c}}"}}}', ["line 2", "within a text"]),
        ('{"constants": {\n"size": 3}, "query": {"match": {"a": "{{query}}"}}}', ["line 2", "no name for a constant"]),
        ('{"constants": {\n"a": "{{query}}"}, "query": {"match": {"a": "{{a}}"}}}', ["line 2", "in a constant"]),
        ('{\n"size": "{{size}}", "query": {"match": {"a": "{{query}}"}}}', ["line 2", "--request-size"]),
        ('{\n"size": 0, "query": {"match": {"a": "{{query}}"}}}', ["line 2", "field 'size'", "seen: 0"]),
        ('{"query": {"match": {"a": "{{query}}"}}, "size": 1,\n"size": 2}', ["line 1", "duplicate key"]),
        ("[]", ["no search"]),
        ("", ["empty"]),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(InputError) as told:
        read(tmp_path, text)
    message = str(told.value)
    assert "\n" not in message
    assert "own.json" in message
    for part in parts:
        assert part in message, message


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "scroll": ({"scroll": "5m"}, "stays open"),
    "pit": ({"pit": {"id": "x"}}, "point in time of its own"),
    "slice": ({"slice": {"id": 0, "max": 2}}, "part of the list"),
    "search_after": ({"search_after": [1]}, "behind its first"),
    "from": ({"from": 10}, "behind its first"),
    "preference": ({"preference": "_local"}, "names copies of the shards"),
    "routing": ({"routing": "1"}, "an alias with that routing"),
    "request cache": ({"request_cache": True}, "changes no list"),
    "update by query": ({"script": {"source": "ctx._source.a = 1"}}, "change documents"),
    "update": ({"doc": {"a": 1}}, "change documents"),
    "reindex": ({"source": {"index": "a"}, "dest": {"index": "b"}}, "no place"),
    "rank_eval": ({"requests": [], "metric": {}}, "_rank_eval"),
    "anything else": ({"anything": 1}, "no place"),
    "conversation": ({"ext": {"generative_qa_parameters": {"memory_id": "m"}}}, "run something"),
    "generation": (
        {"search_pipeline": {"response_processors": [{"retrieval_augmented_generation": {}}]}},
        "retrieval_augmented_generation",
    ),
    "unknown part of a pipeline": ({"search_pipeline": {"processors": []}}, "not a part"),
    "no pipeline": ({"search_pipeline": 3}, "not a search pipeline"),
    "agent": ({"query": {"agentic": {"query_text": "{{query}}"}}}, "an agent would run"),
    "hidden agent": (
        {"query": {"bool": {"must": [MATCH], "should": [{"function_score": {"query": {"agentic": {}}}}]}}},
        "an agent would run",
    ),
    "wrapper": ({"rescore": {"query": {"rescore_query": {"wrapper": {"query": "e30="}}}}}, "hidden"),
    "no query": ({"query": "title:{{query}}"}, "not a query"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_body_that_does_more_than_search_is_refused(tmp_path: Path, name: str) -> None:
    more, told = REFUSED[name]
    with pytest.raises(InputError, match=r"own.json, line \d+") as error:
        read(tmp_path, {"query": MATCH, **more})
    assert told in str(error.value)


def test_a_field_may_be_named_like_a_query_that_is_refused(tmp_path: Path) -> None:
    body = {"query": {"bool": {"must": [{"match": {"wrapper": {"query": "{{query}}"}}}, {"term": {"agentic": "x"}}]}}}
    assert read(tmp_path, body).body.fill({"query": "a"})["query"]["bool"]["must"][0]["match"]["wrapper"]
    assert {kind for _, kind, _ in clauses(body)} == {"bool", "match", "term"}


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.json").write_text(json.dumps({"query": MATCH}), encoding="utf-8")
    with pytest.raises(InputError, match="two requests have one name"):
        read_requests([tmp_path / "a" / "own.json", tmp_path / "b" / "own.json"])


@pytest.mark.parametrize("name", ["knn", "multi", "[red]", "two words", ".hidden"])
def test_a_name_that_the_result_could_not_tell_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="calls the list by the name of the file"):
        read(tmp_path, {"query": MATCH}, name=name)


NORMALIZED = {"phase_results_processors": [{"normalization-processor": {}}]}
TRAPS: list[tuple[dict[str, Any], Any, list[str]]] = [
    ({"query": HYBRID}, NORMALIZED, []),
    ({"query": HYBRID}, "named, not readable", []),
    ({"query": HYBRID}, None, ["no search pipeline that fuses"]),
    ({"query": HYBRID}, {"response_processors": []}, ["no search pipeline that fuses"]),
    ({"query": HYBRID, "explain": True}, NORMALIZED, ["'explain' changes"]),
    ({"query": MATCH, "explain": True}, None, []),
    ({"query": {"bool": {"must": [HYBRID]}}}, NORMALIZED, ["in 'must'"]),
    ({"query": {"function_score": {"query": HYBRID}}}, NORMALIZED, ["in 'query'"]),
    ({"query": {"function_score": {"query": MATCH, "random_score": {}}}}, None, ["'random_score'"]),
    ({"query": {"function_score": {"functions": [{"random_score": {"seed": 1, "field": "_seq_no"}}]}}}, None, []),
    ({"query": MATCH, "terminate_after": 10, "timeout": "1s"}, None, ["'timeout'", "'terminate_after'"]),
]


@pytest.mark.parametrize(("body", "pipeline", "told"), TRAPS)
def test_what_misleads_is_told_and_nothing_else(body: dict[str, Any], pipeline: Any, told: list[str]) -> None:
    found = traps(body, pipeline)
    assert len(found) == len(told)
    for sentence, part in zip(found, told, strict=True):
        assert part in sentence
