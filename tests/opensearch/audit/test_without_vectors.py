"""Indices without vectors: their lists are audited as the server returns them, and the result says what it lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor_helpers import advice, examined, found
from live_audit import LANGUAGES
from live_command import run_command
from live_judged import ranks_in_result

from haystack_crossalign.opensearch.connection.settings import LiveSettings

INDEX = "audit-words"
WORDS = ("harbor", "ferry", "museum", "garden", "ticket", "winter", "bridge", "letter")
KINDS: dict[str, dict[str, Any]] = {
    "words": {},
    "rank features": {"topics": {"type": "rank_features"}},
    # As sparse encoders fill it; read by requests of the user's own.
    "rank feature": {"popularity": {"type": "rank_feature"}},
    # An index of clustered words, for which 2.19 has no type.
    "sparse vector": {"tokens": {"type": "sparse_vector", "method": {"name": "seismic"}}},
}
FEATURES: dict[str, dict[str, Any]] = {
    "words": {"match": {"content": {"query": "harbor", "boost": 3}}},
    "rank features": {"rank_feature": {"field": "topics.harbor", "linear": {}, "boost": 5}},
    "rank feature": {"rank_feature": {"field": "popularity", "log": {"scaling_factor": 2}}},
    "sparse vector": {"neural_sparse": {"tokens": {"query_tokens": {"1": 2.5, "5": 0.5}}}},
}
"""What a request adds to the words of each kind of index."""


def documents() -> dict[str, dict[str, Any]]:
    """Contents that hold some of the words, in three languages; every third belongs to no group."""
    made = {}
    for number in range(24):
        for code, language in enumerate(LANGUAGES):
            words = [WORDS[(number * 3 + code + step * (1 + number % 3)) % len(WORDS)] for step in range(3)]
            made[f"{language}-{number}"] = {
                "content": " ".join([*words, f"number{number}"]),
                "language": language,
                "topics": {words[0]: 1.5},
                "popularity": 1 + number,
                "tokens": {str(1 + WORDS.index(word)): 0.5 + place for place, word in enumerate(dict.fromkeys(words))},
                **({"parallel_id": f"g{number}"} if number % 3 else {}),
            }
    return made


@pytest.fixture(params=list(KINDS))
def index(request: pytest.FixtureRequest, opensearch: Any) -> Iterator[str]:
    kind = KINDS[request.param]
    sparse = request.param == "sparse vector"
    if sparse and opensearch.request("GET", "/")["version"]["number"].startswith("2."):
        pytest.skip("OpenSearch 2.x has no fields of type sparse_vector")
    properties = {
        "content": {"type": "text"},
        "language": {"type": "keyword"},
        "parallel_id": {"type": "keyword"},
        **kind,
    }
    mapping = {"dynamic": False, "properties": properties}
    settings = {"number_of_shards": 1, **({"index.sparse": True} if sparse else {})}
    opensearch.request("PUT", f"/{INDEX}", {"settings": settings, "mappings": mapping})
    lines: list[dict[str, Any]] = []
    for name, one in documents().items():
        lines += [{"index": {"_id": name}}, one]
    assert not opensearch.request("POST", f"/{INDEX}/_bulk?refresh=true", lines)["errors"]
    yield INDEX
    opensearch.request("DELETE", f"/{INDEX}")


def queries_of(path: Path) -> list[dict[str, Any]]:
    made = [
        {"id": f"q{number}-{language}", "language": language, "text": f"{WORDS[number]} {WORDS[number + 2]}",
         "relevant": [f"{tag}-{number}" for tag in LANGUAGES]}
        for number in range(5) for language in LANGUAGES
    ]  # fmt: skip
    path.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    return made


def ranks_served(server: Any, query: dict[str, Any], depth: int) -> list[tuple[str, tuple[int, int] | None]]:
    """Language and rank of the relevant documents in the list that the server returns; ties by order of the list."""
    body = {"size": depth, "query": {"multi_match": {"query": query["text"], "type": "most_fields", "operator": "OR"}}}
    return bounds_of(query, {hit["_id"]: hit["_score"] for hit in searched(server, body)})


def searched(server: Any, body: dict[str, Any]) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = server.request("POST", f"/{INDEX}/_search", body)["hits"]["hits"]
    return hits


def bounds_of(query: dict[str, Any], scores: dict[str, float]) -> list[tuple[str, tuple[int, int] | None]]:
    """Language, and the first and last place that the relevant documents can have; None where the list lacks them."""
    found: list[tuple[str, tuple[int, int] | None]] = []
    for name in query["relevant"]:
        own = scores.get(name)
        above = None if own is None else sum(other > own for other in scores.values())
        level = None if own is None else sum(other >= own for other in scores.values())
        found.append((name.split("-")[0], None if above is None or level is None else (1 + above, level)))
    return sorted(found, key=lambda one: one[0])


@pytest.mark.parametrize("index", ["words"], indirect=True)
def test_vectors_of_the_queries_change_nothing(opensearch: Any, index: str, tmp_path: Path) -> None:
    rows = []
    for vector in ({}, {"embedding": [0.6, 0.8]}):
        queries = [{**query, **vector} for query in queries_of(tmp_path / "queries.jsonl")]
        (tmp_path / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
        command = ["--queries", str(tmp_path / "queries.jsonl"), "--index", index, "--quiet"]
        finished = run_command(tmp_path, *command, environment={"CROSSALIGN_HOSTS": opensearch.url})
        assert (finished.code, finished.message) == (0, "")
        rows.append(finished.numbers)
    assert rows[0] == rows[1]


def test_lists_are_audited_and_the_result_says_that_there_are_no_exact_ranks(
    opensearch: Any, index: str, tmp_path: Path
) -> None:
    queries = queries_of(tmp_path / "queries.jsonl")
    report, markdown = tmp_path / "report.html", tmp_path / "report.md"
    command = ["--queries", str(tmp_path / "queries.jsonl"), "--index", index, "--depth", "100"]
    command += ["--report", str(report), "--markdown", str(markdown)]
    finished = run_command(tmp_path, *command, environment={"CROSSALIGN_HOSTS": opensearch.url})
    assert (finished.code, finished.message) == (0, "")
    result = finished.result
    assert result is not None
    assert {row["kind"] for row in result["rows"]} == {"live"}
    assert {row["retrieval"] for row in result["rows"]} == {"bm25"}
    ranks = ranks_in_result(result, "live")
    for query in queries:
        served = ranks_served(opensearch, query, 100)
        assert [language for language, _ in ranks[query["id"]]] == [language for language, _ in served]
        for (_, rank), (_, bounds) in zip(
            sorted(ranks[query["id"]], key=lambda one: one[0]), sorted(served, key=lambda one: one[0]), strict=True
        ):
            assert rank is None if bounds is None else bounds[0] <= rank <= bounds[1]
    told = "the index has no vectors: there are no exact ranks, and lists alone are audited"
    assert told in result["live"]["warnings"]
    assert "similarity" not in result["provenance"]
    for text in (finished.out, report.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")):
        assert told.capitalize() in re.sub(r"\s+", " ", text)


def test_what_the_pool_lacks_is_told(opensearch: Any, index: str, tmp_path: Path) -> None:
    queries_of(tmp_path / "queries.jsonl")
    outside = {"bool": {"must_not": [{"ids": {"values": ["zh-0", "zh-1"]}}]}}
    command = [
        "--queries",
        str(tmp_path / "queries.jsonl"),
        "--index",
        index,
        "--filter",
        json.dumps(outside),
        "--quiet",
    ]
    finished = run_command(tmp_path, *command, environment={"CROSSALIGN_HOSTS": opensearch.url})
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert finished.result["live"]["unranked"]["reasons"] == {"outside of the filter": 6}
    assert {row["pool_size"] for row in finished.result["rows"]} == {len(documents()) - 2}


def test_a_sample_of_nothing_is_refused(opensearch: Any, index: str, tmp_path: Path) -> None:
    queries_of(tmp_path / "queries.jsonl")
    command = ["--queries", str(tmp_path / "queries.jsonl"), "--index", index, "--sample", "0.5"]
    finished = run_command(tmp_path, *command, environment={"CROSSALIGN_HOSTS": opensearch.url})
    assert finished.code == 2
    assert "the index has no vectors, so that there is nothing to score a sample of" in finished.message


def test_a_field_of_vectors_that_is_asked_for_must_be_there(opensearch: Any, index: str, tmp_path: Path) -> None:
    queries_of(tmp_path / "queries.jsonl")
    command = ["--queries", str(tmp_path / "queries.jsonl"), "--index", index, "--embedding-field", "vector"]
    finished = run_command(tmp_path, *command, environment={"CROSSALIGN_HOSTS": opensearch.url})
    assert finished.code == 2
    assert "field 'vector': no such field in the mapping; allowed: no vector field there" in finished.message


def test_the_doctor_says_so_too(opensearch: Any, index: str) -> None:
    diagnosis = examined(LiveSettings(hosts=(opensearch.url,), index=index))
    assert found(diagnosis)["vector field"] == ("warning", "the index has no vectors")
    assert advice(diagnosis, "vector field") == "an audit has no exact ranks, only those in lists"
    assert found(diagnosis)["documents"] == ("ok", str(len(documents())))
    assert diagnosis.exit_code == 0


def test_requests_of_the_users_own_are_audited_as_they_are_served(
    opensearch: Any, index: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    queries = queries_of(tmp_path / "queries.jsonl")
    feature = FEATURES[request.node.callspec.params["index"]]

    def body(text: str) -> dict[str, Any]:
        return {"size": 100, "query": {"bool": {"must": [{"match": {"content": text}}], "should": [feature]}}}

    (tmp_path / "own.json").write_text(json.dumps(body("{{query}}")), encoding="utf-8")
    command = ["--queries", str(tmp_path / "queries.jsonl"), "--index", index, "--quiet"]
    finished = run_command(
        tmp_path, *command, "--request", str(tmp_path / "own.json"), environment={"CROSSALIGN_HOSTS": opensearch.url}
    )
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert {(row["kind"], row["retrieval"]) for row in finished.result["rows"]} == {("live", "own")}
    assert (
        "the index has no vectors: there are no exact ranks, and lists alone are audited"
        in (finished.result["live"]["warnings"])
    )
    ranks = ranks_in_result(finished.result, "live")
    for query in queries:
        scores = {hit["_id"]: hit["_score"] for hit in searched(opensearch, body(query["text"]))}
        assert len(scores) > 10
        assert [rank is None for _, rank in ranks[query["id"]]].count(False) == sum(
            name in scores for name in query["relevant"]
        )
        expected = bounds_of(query, scores)
        for (language, rank), (tag, bounds) in zip(ranks[query["id"]], expected, strict=True):
            assert language == tag
            assert rank is None if bounds is None else bounds[0] <= rank <= bounds[1]
