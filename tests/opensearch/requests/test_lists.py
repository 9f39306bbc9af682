"""Searches as teams send them: their lists, against plain searches of the same server and against numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from live_audit import run_audit
from production_requests import INDEX, KINDS, clean, documents, prepare, queries, served, write

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.requests.file import read_requests
from haystack_crossalign.opensearch.requests.retrieval import RequestRetrieval


@pytest.fixture(scope="module", autouse=True)
def index(opensearch: Any, indexing: Any) -> Iterator[None]:
    prepare(opensearch, indexing)
    yield
    clean(opensearch)


def lists_of(paths: list[Path], size: int | None = None) -> Callable[[IndexView, bool], list[RequestRetrieval]]:
    files = read_requests(paths, size=size)
    return lambda view, whole: [RequestRetrieval(view, one, batch=4) for one in files] if whole else []


def audit(server: Any, folder: Path, contents: dict[str, Any], **options: Any) -> AuditResult:
    """An audit of requests, whose files are written first."""
    paths = [write(folder, name, content) for name, content in contents.items()]
    url = options.pop("url", server.url)
    retrievals = lists_of(paths, options.pop("size", None))
    return run_audit(url, INDEX, folder / "queries.jsonl", retrievals=retrievals, **options).result


def live_rows(result: AuditResult, name: str) -> dict[str, list[tuple[str, int | None]]]:
    """Language and rank of each relevant document by query, in the list of a request."""
    columns = result.queries
    return {
        columns["id"][place]: list(zip(columns["versions"][place], columns["ranks"][place], strict=True))
        for place, row in enumerate(columns["row"])
        if result.rows[row].get("retrieval") == name
    }


def assert_ranks_as_listed(
    result: AuditResult, name: str, lists: dict[str, list[tuple[str, float]]], asked: list[dict[str, Any]]
) -> int:
    """That every rank in a result is the document's place in its list, or one among those of equal score.

    :returns: how many of the documents the lists hold.
    """
    languages = {name: one["language"] for name, one in documents().items()}
    found = live_rows(result, name)
    assert found.keys() == {query["id"] for query in asked}
    held = 0
    for query in asked:
        hits = lists[query["id"]]
        scores = [score for _, score in hits]
        ordered = all(before >= after for before, after in pairwise(scores))
        places = {hit: place for place, (hit, _) in enumerate(hits, start=1)}
        for relevant, (language, rank) in zip(sorted(query["relevant"]), found[query["id"]], strict=True):
            assert language == languages[relevant]
            if relevant not in places:
                assert rank is None
                continue
            held += 1
            score = scores[places[relevant] - 1]
            low = 1 + sum(other > score for other in scores) if ordered else places[relevant]
            high = sum(other >= score for other in scores) if ordered else places[relevant]
            assert low <= rank <= high, (name, query["id"], relevant)
    return held


def test_ranks_are_those_of_the_lists_that_plain_searches_return(opensearch: Any, tmp_path: Path) -> None:
    asked = queries(tmp_path / "queries.jsonl")
    result = audit(opensearch, tmp_path, {name: kind.file for name, kind in KINDS.items()})
    assert result.live is not None
    assert [one["name"] for one in result.live["retrievals"]] == list(KINDS)
    assert result.live["point_in_time"]
    assert not result.live["warnings"]
    for name, kind in KINDS.items():
        lists = {query["id"]: served(opensearch, kind.body(query)) for query in asked}
        # As many as chance would not find: the documents' own content is asked for.
        assert assert_ranks_as_listed(result, name, lists, asked) > len(asked) / 2, name


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.ranked is not None])
def test_ranks_are_those_of_numpy(opensearch: Any, tmp_path: Path, name: str) -> None:
    asked, pool = queries(tmp_path / "queries.jsonl"), documents()
    result = audit(opensearch, tmp_path, {name: KINDS[name].file})
    ranked = KINDS[name].ranked
    assert ranked is not None
    found = live_rows(result, name)
    for query in asked:
        places = {hit: place for place, hit in enumerate(ranked(pool, query), start=1)}
        expected = [places.get(relevant) for relevant in sorted(query["relevant"])]
        assert [rank for _, rank in found[query["id"]]] == expected


def test_two_runs_are_the_same_byte_for_byte(opensearch: Any, tmp_path: Path) -> None:
    queries(tmp_path / "queries.jsonl")
    contents = {name: kind.file for name, kind in KINDS.items()}
    results = [audit(opensearch, tmp_path, contents).to_json() for _ in range(2)]
    assert results[0] == results[1]


def test_a_document_that_a_list_holds_twice_is_told_and_counts_at_its_first_place(
    opensearch: Any, tmp_path: Path
) -> None:
    asked = queries(tmp_path / "queries.jsonl")
    hybrid = {key: value for key, value in KINDS["hybrid-ranks"].file.items() if key != "search_pipeline"}
    result = audit(opensearch, tmp_path, {"raw": hybrid})
    bodies = [{**KINDS["hybrid-ranks"].body(query)} for query in asked]
    held, distinct = [], {}
    for query, body in zip(asked, bodies, strict=True):
        del body["search_pipeline"]
        names = [name for name, _ in served(opensearch, body)]
        distinct[query["id"]] = list(dict.fromkeys(names))
        held += [(query["id"], name, names.count(name)) for name in distinct[query["id"]] if names.count(name) > 1]
    assert held
    assert result.live is not None
    (told,) = result.live["repeated"]
    assert (told["retrieval"], told["documents"]) == ("raw", len(held))
    assert told["queries"] == len({query for query, _, _ in held})
    assert [(one["query"], one["document"], one["times"]) for one in told["first"]] == held[:10]
    found = live_rows(result, "raw")
    for query in asked:
        places = {name: place for place, name in enumerate(distinct[query["id"]], start=1)}
        expected = [places.get(relevant) for relevant in sorted(query["relevant"])]
        assert [rank for _, rank in found[query["id"]]] == expected
    assert any("no search pipeline that fuses its parts" in warning for warning in result.live["warnings"])


def test_lists_that_are_empty_for_every_query_are_told(opensearch: Any, tmp_path: Path) -> None:
    asked = queries(tmp_path / "queries.jsonl")
    nothing = {"size": 10, "query": {"match": {"no_such_field": "{{query}}"}}}
    result = audit(opensearch, tmp_path, {"nothing": nothing, "words": KINDS["words"].file})
    assert result.live is not None
    assert result.live["warnings"] == [
        f"the lists of 'nothing' hold no document for any of {len(asked)} queries: check the fields that it searches"
    ]
    assert all(rank is None for row in live_rows(result, "nothing").values() for _, rank in row)
