"""Translation gaps of a real index, and documents of results that a real server takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import synthetic_result

import haystack_crossalign as ca
from haystack_crossalign.api.gaps import gaps_of_index
from haystack_crossalign.errors import InputError
from haystack_crossalign.report.export.bulk import bulk_documents

INDEX, CONTENTS = "gaps", 8


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    """Contents in English and Chinese with dates: the Chinese version of a0 is missing, that of a1 is older, and a2 has
    a newer second chunk. Every document leans towards its language."""
    documents = {}
    for group in range(CONTENTS):
        content = np.eye(CONTENTS)[group]
        for language, side in (("en", [2.0, 0.0]), ("zh", [0.0, 2.0])):
            if (language, group) == ("zh", 0):
                continue
            date = "2024-01-01T00:00:00Z" if language == "zh" and group in (1, 2) else "2025-01-01T00:00:00Z"
            entry = {"language": language, "group": f"a{group}", "content": f"Text {group} in {language}. More of it.",
                     "updated": date, "embedding": [*content, *side]}  # fmt: skip
            documents[f"{language}{group}"] = entry
    documents["zh2-b"] = {**documents["zh2"], "updated": "2025-06-01T00:00:00Z"}
    mapping = indexing.mapping(CONTENTS + 2)
    mapping["properties"]["updated"] = {"type": "date"}
    indexing.create(opensearch, INDEX, documents, mapping)
    return INDEX


@pytest.fixture
def request_of(opensearch: Any, index: str, tmp_path: Path) -> ca.IndexRequest:
    lines = [
        {
            "id": f"q{group}",
            "text": f"Question {group}",
            "language": "zh",
            "parallel_id": f"a{group}",
            "embedding": [*np.eye(CONTENTS)[group], 0.0, 2.0],
        }
        for group in range(CONTENTS)
    ]
    path = tmp_path / "queries.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    settings = ca.opensearch.LiveSettings(hosts=(opensearch.url,), index=index, group_field="group", patience=0.1)
    return ca.IndexRequest(settings=settings, queries=path, measured=ca.Measured(samples=100))


def test_missing_and_older_versions_of_an_index_are_found(opensearch: Any, request_of: ca.IndexRequest) -> None:
    before = opensearch.request("GET", f"/{INDEX}/_stats/indexing")
    data = gaps_of_index(request_of, date_field="updated", source="en")
    assert [(gap["content"], gap["language"], gap["kind"], gap["demand"]) for gap in data["gaps"]] == [
        ("a0", "zh", "missing", 1),
        ("a1", "zh", "older", 1),
    ]
    missing, older = data["gaps"]
    assert (older["date"], older["source_date"]) == ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z")
    # Seven Chinese versions stand above the English one of either content.
    assert (missing["rank"], older["rank"]) == (8, 8)
    assert (data["contents"], data["complete"]) == (CONTENTS, CONTENTS - 2)
    after = opensearch.request("GET", f"/{INDEX}/_stats/indexing")
    assert before["_all"]["total"]["indexing"]["index_total"] == after["_all"]["total"]["indexing"]["index_total"]


@pytest.fixture
def files_request(tmp_path: Path) -> ca.FilesRequest:
    """Two contents, the second of which has no Chinese version."""
    rows = [("en0", "en", "a0", [1.0, 0.0]), ("zh0", "zh", "a0", [0.9, 0.1]), ("en1", "en", "a1", [0.0, 1.0])]
    (tmp_path / "d.jsonl").write_text(
        "".join(
            json.dumps({"id": name, "text": name, "language": tag, "parallel_id": group, "embedding": vector}) + "\n"
            for name, tag, group, vector in rows
        )
    )
    query = {"id": "q", "text": "q", "language": "zh", "parallel_id": "a1", "embedding": [0.0, 1.0]}
    (tmp_path / "q.jsonl").write_text(json.dumps(query) + "\n")
    return ca.FilesRequest(documents=tmp_path / "d.jsonl", queries=tmp_path / "q.jsonl")


@pytest.mark.parametrize("languages", [["zh"], ["Chinese"], ["ZH"], ["zh-CN", "zh"]])
def test_languages_are_taken_in_any_spelling(files_request: ca.FilesRequest, languages: list[str]) -> None:
    data = ca.gaps_of_files(files_request, languages=languages, source="English")
    assert [(gap["content"], gap["language"], gap["demand"]) for gap in data["gaps"]] == [("a1", "zh", 1)]
    assert (data["languages"], data["source"]) == (["zh"], "en")


@pytest.mark.parametrize(
    ("options", "changes", "told"),
    [
        ({"languages": "zh"}, {}, "not a list of languages; seen: 'zh'"),
        ({"languages": []}, {}, "not a list of languages"),
        ({"languages": ["klingonish"]}, {}, "unknown language"),
        ({}, {"results": Path("a.run")}, "measured by exact ranks, not by lists"),
        ({}, {"pipeline": Path("a.yaml")}, "measured by exact ranks, not by lists"),
        ({}, {"measured": ca.Measured(pairs="en")}, "in the pool of all languages; seen: 'en'"),
        ({}, {"measured": ca.Measured(scenarios=["mono-cross"])}, "in the pool of all languages; seen: .*mono-cross"),
    ],
)
def test_what_gaps_do_not_take_is_refused(
    files_request: ca.FilesRequest, options: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        ca.gaps_of_files(replace(files_request, **changes), **options)


def test_a_version_without_a_vector_is_not_missing(opensearch: Any, indexing: Any, request_of: ca.IndexRequest) -> None:
    documents: dict[str, Any] = {
        f"{tag}{group}": {"language": tag, "group": f"a{group}", "content": f"Text {group}.", "embedding": [1.0, group]}
        for group in (0, 1, 2)
        for tag in ("en", "zh")
    }
    del documents["zh0"]["embedding"], documents["zh2"]
    indexing.create(opensearch, "gaps-unembedded", documents, indexing.mapping(2))
    queries = request_of.queries
    assert queries is not None
    line = {"id": "q", "text": "Question", "language": "zh", "parallel_id": "a0", "embedding": [1.0, 0.0]}
    queries.write_text(json.dumps(line) + "\n")
    settings = replace(request_of.settings, index="gaps-unembedded")
    data = gaps_of_index(replace(request_of, settings=settings))
    assert [(gap["content"], gap["language"]) for gap in data["gaps"]] == [("a2", "zh")]


@pytest.mark.parametrize(("field", "told"), [("changed", "no such field"), ("content", "does not hold dates")])
def test_a_field_without_dates_is_refused(request_of: ca.IndexRequest, field: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        gaps_of_index(request_of, date_field=field)


@pytest.fixture
def results_index(opensearch: Any) -> Iterator[str]:
    """The index that docs/over-time.md names."""
    yield "crossalign-results"
    opensearch.request("DELETE", "/crossalign-results")


def test_documents_of_results_are_taken_once_and_their_fields_can_be_aggregated(
    opensearch: Any, results_index: str
) -> None:
    result = synthetic_result(("en", "zh"), 6)
    result["provenance"]["stamp"] = "2026-11-29T08:30:00Z"
    body = [json.loads(line) for line in bulk_documents(result).splitlines()]
    for _ in range(2):
        assert not opensearch.request("POST", f"/{results_index}/_bulk?refresh=true", body)["errors"]
    aggregations = {
        "days": {
            "date_histogram": {"field": "@timestamp", "calendar_interval": "day"},
            "aggs": {
                "series": {
                    "terms": {"field": "series.keyword"},
                    "aggs": {"mean": {"avg": {"field": "measures.Complete@10"}}},
                }
            },
        }
    }
    query = {"term": {"scenario.keyword": "multi"}}
    answer = opensearch.request("POST", f"/{results_index}/_search", {"size": 0, "query": query, "aggs": aggregations})
    (day,) = answer["aggregations"]["days"]["buckets"]
    found = {bucket["key"]: bucket["mean"]["value"] for bucket in day["series"]["buckets"]}
    rows = [row for row in result["rows"] if row["scenario"] == "multi"]
    assert found == {
        f"{row['query_language']} queries, en+zh, exact": pytest.approx(row["measures"]["Complete@10"]) for row in rows
    }
