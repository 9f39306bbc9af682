"""Lists of an index whose documents are chunks, counted in hits: against a ranking in numpy, and in the gate."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from live_audit import LANGUAGES
from live_judged import INDEX, audit, grouped, judged, mapping_of, ranks_in_numpy, ranks_in_result
from scipy.stats import spearmanr

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


def names_of(documents: dict[str, dict[str, Any]], query: dict[str, Any]) -> list[str]:
    """The first ten documents by cosine."""
    matrix = np.array([one["embedding"] for one in documents.values()])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    order = np.argsort(-(matrix @ np.array(query["embedding"])))[:SIZE]
    return [list(documents)[place] for place in order]


def hits_of(documents: dict[str, dict[str, Any]], query: dict[str, Any]) -> list[tuple[str, str]]:
    """Their language and group."""
    return [(documents[name]["language"], documents[name]["parallel_id"]) for name in names_of(documents, query)]


def correlation(left: list[Any], right: list[Any]) -> float:
    """Spearman's correlation of two lists on their union; what a list lacks ties behind it."""
    union = list(dict.fromkeys([*left, *right]))
    places = [[one.index(name) if name in one else len(union) for name in union] for one in (left, right)]
    return float(spearmanr(*places).statistic)


def test_ranks_and_intruders_are_those_among_the_hits(
    opensearch: Any, documents: dict[str, dict[str, Any]], folder: Path
) -> None:
    request, report = folder / "scored.json", folder / "report.md"
    first = read_queries(folder)[0]
    with (folder / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(first | {"id": f"{first['id']}-again"}) + "\n")
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
        places = {tag: hits.index((tag, group)) + 1 if (tag, group) in hits else None for tag in LANGUAGES}
        assert dict(zip(columns["versions"][place], columns["ranks"][place], strict=True)) == places
        assert columns["depth"][place] == SIZE
        english = DISCOUNTS[[tag == "en" for tag, _ in hits]].sum() / DISCOUNTS.sum()
        assert columns["measures"]["Exposure@10[en]"][place] == pytest.approx(english, abs=1e-6)
        for version, above in zip(columns["versions"][place], columns["above"][place], strict=True):
            ahead = hits[: (places[version] or SIZE + 1) - 1]
            intruders = [sum(one == tag and other != group for one, other in ahead) for tag in LANGUAGES]
            assert above == intruders
            further += sum((tag, group) in ahead and ahead.count((tag, group)) > 1 for tag in LANGUAGES)
            if version == own:
                values = [columns["measures"][f"Intrusion[{tag}]"][place] for tag in LANGUAGES]
                assert values == ([None] * 3 if places[own] is None else intruders)
    assert further > 0
    block = next(one for one in result["live"]["parallel"] if one["retrieval"] == "scored")
    names = {query["id"]: names_of(documents, query) for query in queries}
    asked = {query["id"]: query["language"] for query in queries}
    values = [
        correlation(names[one], names[other])
        for one, other in combinations(sorted(asked), 2)
        if groups[one] == groups[other] != groups[first["id"]]
    ]
    # A group with two queries in one language: which is the translation of which?
    assert block["ambiguous"] == sum(group == groups[first["id"]] for group in groups.values())
    assert block["mrc"] == pytest.approx(np.mean(values), abs=1e-6)
    assert sum(pair["queries"] for pair in block["pairs"]) == len(values)
    for exposure in block["exposure"]:
        own = [lists[query] for query, tag in asked.items() if tag == exposure["query_language"]]
        for tag, shares in exposure["shares"].items():
            plain = np.mean([np.mean([one == tag for one, _ in hits]) for hits in own])
            discounted = np.mean([DISCOUNTS[[one == tag for one, _ in hits]].sum() for hits in own]) / DISCOUNTS.sum()
            documents_of = sum(document["language"] == tag for document in documents.values())
            pool = documents_of / len(documents)
            assert shares == pytest.approx({"plain": plain, "discounted": discounted, "pool": pool}, abs=1e-6)
    exact = next(one for one in result["live"]["parallel"] if one["kind"] == "exact")
    pools = [entry["pool"] for one in exact["exposure"] for entry in one["shares"].values()]
    assert pools == pytest.approx([1 / 3] * len(pools))
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
