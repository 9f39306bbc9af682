"""Lists of an index whose documents are chunks, counted in hits: against a ranking in numpy, and in the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from live_audit import LANGUAGES
from live_judged import INDEX, audit, grouped, judged, mapping_of, ranks_in_numpy, ranks_in_result

from haystack_crossalign.audit.result import audit_schema

SIZE = 10
# A list in which every document is scored, so that its hits are known.
REQUEST = {
    "size": SIZE,
    "query": {
        "script_score": {
            "query": {"match_all": {}},
            "script": {
                "lang": "knn",
                "source": "knn_score",
                "params": {"field": "embedding", "query_value": "{{vector}}", "space_type": "cosinesimil"},
            },
        }
    },
}
GATE, EXPOSURE = "scored:Complete@10<0%", "scored:Exposure@10[en]<0%"
DISCOUNTS = 1 / np.log2(np.arange(2, SIZE + 2))


@pytest.fixture(scope="module")
def documents(opensearch: Any, indexing: Any) -> dict[str, dict[str, Any]]:
    found = grouped("all", 3)
    indexing.create(opensearch, INDEX, found, mapping_of(indexing, "all"))
    return found


@pytest.fixture
def folder(documents: dict[str, dict[str, Any]], tmp_path: Path) -> Path:
    judged(tmp_path / "queries.jsonl", documents)
    (tmp_path / "scored.json").write_text(json.dumps(REQUEST), encoding="utf-8")
    return tmp_path


def read_queries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]


def hits_of(documents: dict[str, dict[str, Any]], query: dict[str, Any]) -> list[tuple[str, str]]:
    """Language and group of the first ten documents by cosine."""
    matrix = np.array([one["embedding"] for one in documents.values()])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    order = np.argsort(-(matrix @ np.array(query["embedding"])))[:SIZE]
    rows = list(documents.values())
    return [(rows[place]["language"], rows[place]["parallel_id"]) for place in order]


def test_ranks_and_intruders_are_those_among_the_hits(
    opensearch: Any, documents: dict[str, dict[str, Any]], folder: Path
) -> None:
    request, report = folder / "scored.json", folder / "report.md"
    arguments = ["--request", str(request), "--count", "hits", "--fail-on", GATE, "--fail-on", EXPOSURE]
    finished = audit(opensearch, folder, *arguments, "--markdown", str(report))
    assert finished.code == 0, finished.message
    result = finished.result
    assert result is not None
    Draft202012Validator(audit_schema()).validate(result)
    queries = read_queries(folder)
    lists = {query["id"]: hits_of(documents, query) for query in queries}
    groups = {query["id"]: f"g{query['id'][1:].partition('-')[0]}" for query in queries}
    columns, further = result["queries"], 0
    for place, row in enumerate(columns["row"]):
        if result["rows"][row]["kind"] != "live":
            continue
        name, own = columns["id"][place], columns["language"][place]
        hits, group = lists[name], groups[name]
        first = {tag: hits.index((tag, group)) + 1 if (tag, group) in hits else None for tag in LANGUAGES}
        assert dict(zip(columns["versions"][place], columns["ranks"][place], strict=True)) == first
        assert columns["depth"][place] == SIZE
        english = DISCOUNTS[[tag == "en" for tag, _ in hits]].sum() / DISCOUNTS.sum()
        assert columns["measures"]["Exposure@10[en]"][place] == pytest.approx(english, abs=1e-6)
        for version, above in zip(columns["versions"][place], columns["above"][place], strict=True):
            ahead = hits[: (first[version] or SIZE + 1) - 1]
            intruders = [sum(one == tag and other != group for one, other in ahead) for tag in LANGUAGES]
            assert above == intruders
            further += sum((tag, group) in ahead and ahead.count((tag, group)) > 1 for tag in LANGUAGES)
            if version == own:
                values = [columns["measures"][f"Intrusion[{tag}]"][place] for tag in LANGUAGES]
                assert values == ([None] * 3 if first[own] is None else intruders)
    assert further > 0
    # Exact ranks count versions whatever lists count.
    assert ranks_in_result(result, "exact") == ranks_in_numpy(documents, queries)
    fewest = min(len(set(hits)) for hits in lists.values())
    merged = {"retrieval": "scored", "hits": SIZE, "versions": fewest, "counted": "hits"}
    assert result["live"]["merged"] == [merged]
    assert {row["kind"]: row["pool_size"] for row in result["rows"]} == {"exact": 45, "live": len(documents)}
    assert result["provenance"]["options"]["count"] == "hits"
    sentence = f"Scored: Lists of 10 hits hold as few as {fewest} versions, because several hits are chunks of one; "
    for text in (finished.out, report.read_text("utf-8")):
        assert f"{sentence}ranks count all hits" in " ".join(text.replace("> ", "").split())


def test_a_gate_on_lists_of_versions_names_the_way_out(
    opensearch: Any, documents: dict[str, dict[str, Any]], folder: Path
) -> None:
    request = folder / "scored.json"
    finished = audit(opensearch, folder, "--request", str(request), "--fail-on", GATE, "--quiet")
    assert finished.code == 2
    fewest = min(len(set(hits_of(documents, query))) for query in read_queries(folder))
    assert "Complete@10 has no value" in finished.message
    assert f"or --count hits: lists of 10 hits hold as few as {fewest} versions" in finished.message


def test_a_state_of_another_way_of_counting_is_refused(opensearch: Any, folder: Path) -> None:
    arguments = ["--request", str(folder / "scored.json"), "--quiet"]
    state = str(folder / "state.jsonl")
    assert audit(opensearch, folder, *arguments, "--state", state).code == 0
    finished = audit(opensearch, folder, *arguments, "--resume", state, "--count", "hits")
    assert finished.code == 2
    assert "options" in finished.message
