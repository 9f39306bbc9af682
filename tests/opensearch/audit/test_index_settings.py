"""What index, alias and cluster are set up to do to searches: exact ranks stay those of numpy, or the audit refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_proxy import Proxy
from live_audit import LANGUAGES
from live_judged import INDEX, audit, grouped, judged, mapping_of, ranks_in_numpy, ranks_in_result

PIPELINE = "audit-pipeline"
Documents = dict[str, dict[str, Any]]
Queries = list[dict[str, Any]]


def ordered(documents: Documents, query: dict[str, Any]) -> list[str]:
    """Ids by cosine, best first."""
    matrix = np.array([one["embedding"] for one in documents.values()])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    names = list(documents)
    return [names[place] for place in np.argsort(-(matrix @ np.array(query["embedding"])))]


def ranks_in_lists(
    documents: Documents, queries: Queries, served: Callable[[list[str]], list[str]]
) -> dict[str, list[tuple[str, int | None]]]:
    """Language and rank of each relevant document by query, in what is served of its ordered documents."""
    found = {}
    for query in queries:
        places = {name: place for place, name in enumerate(served(ordered(documents, query)), start=1)}
        ranks = [(documents[name]["language"], places.get(name)) for name in query["relevant"]]
        found[query["id"]] = sorted(ranks, key=repr)
    return found


@pytest.fixture(scope="module")
def documents() -> Documents:
    return grouped("some", 1)


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any, documents: Documents) -> Iterator[str]:
    indexing.create(opensearch, INDEX, documents, mapping_of(indexing, "some"))
    yield INDEX
    opensearch.request("DELETE", f"/{INDEX}")


@pytest.fixture
def queries(tmp_path: Path, documents: Documents) -> Queries:
    return judged(tmp_path / "queries.jsonl", documents)


@pytest.fixture
def setting(opensearch: Any) -> Iterator[Callable[..., None]]:
    """Sets something of an index or the cluster until the test ends."""
    undo: list[tuple[str, dict[str, Any]]] = []

    def put(values: dict[str, Any], name: str | None = None) -> None:
        path, body = (f"/{name}/_settings", values) if name else ("/_cluster/settings", {"transient": values})
        undo.append((path, dict.fromkeys(values) if name else {"transient": dict.fromkeys(values)}))
        opensearch.request("PUT", path, body)

    yield put
    for path, body in reversed(undo):
        opensearch.request("PUT", path, body)


@pytest.fixture
def pipeline(opensearch: Any) -> Iterator[Callable[..., None]]:
    """Makes a search pipeline that goes when the test ends, after the settings that name it."""
    names: list[str] = []

    def put(definition: dict[str, Any], name: str = PIPELINE) -> None:
        names.append(name)
        opensearch.request("PUT", f"/_search/pipeline/{name}", definition)

    yield put
    for name in names:
        opensearch.request("DELETE", f"/_search/pipeline/{name}")


def first_of_each_language(documents: Documents, names: list[str]) -> list[str]:
    firsts: dict[str, str] = {}
    for name in names:
        firsts.setdefault(documents[name]["language"], name)
    return list(firsts.values())


SCRIPT = {"lang": "painless", "source": "ctx._source['size'] = 3"}
PROCESSORS: dict[str, tuple[str, dict[str, Any], Callable[[Documents, list[str]], list[str]]]] = {
    "truncate_hits": ("response", {"target_size": 20}, lambda _, names: names[:20]),
    "collapse": ("response", {"field": "language"}, first_of_each_language),
    "rename_field": ("response", {"field": "language", "target_field": "tongue"}, lambda _, names: names),
    "script": ("request", SCRIPT, lambda _, names: names[:3]),
    "filter_query": (
        "request",
        {"query": {"term": {"language": "en"}}},
        lambda documents, names: [name for name in names if documents[name]["language"] == "en"],
    ),
}


@pytest.mark.parametrize("kind", list(PROCESSORS))
def test_a_default_pipeline_shapes_the_lists_and_no_exact_rank(
    opensearch: Any,
    index: str,
    documents: Documents,
    queries: Queries,
    pipeline: Callable[..., None],
    setting: Callable[..., None],
    tmp_path: Path,
    kind: str,
) -> None:
    phase, options, served = PROCESSORS[kind]
    pipeline({f"{phase}_processors": [{kind: options}]})
    setting({"index.search.default_pipeline": PIPELINE}, index)
    finished = audit(opensearch, tmp_path, "--quiet")
    assert (finished.code, finished.message) == (0, "")
    result = finished.result
    assert result is not None
    assert ranks_in_result(result, "exact") == ranks_in_numpy(documents, queries)
    assert ranks_in_result(result, "live") == ranks_in_lists(documents, queries, lambda names: served(documents, names))
    (note,) = result["live"]["warnings"]
    assert f"searches of '{index}' pass through the default search pipeline '{PIPELINE}' ({kind})" in note
    assert ("repeat it with --filter" in note) == (kind == "filter_query")
    (retrieval,) = result["live"]["retrievals"]
    assert retrieval["search_pipelines"] == {index: PIPELINE}


def test_what_users_see_through_a_filter_is_a_pool_that_can_be_asked_for(
    opensearch: Any,
    index: str,
    documents: Documents,
    pipeline: Callable[..., None],
    setting: Callable[..., None],
    tmp_path: Path,
) -> None:
    hidden = {"term": {"tenant": "b"}}
    seen = {"bool": {"must_not": [hidden]}}
    pipeline({"request_processors": [{"filter_query": {"query": seen}}]})
    setting({"index.search.default_pipeline": PIPELINE}, index)
    pool = {name: one for name, one in documents.items() if one["tenant"] != "b"}
    path = tmp_path / "queries.jsonl"
    queries = [query for query in judged(path, pool) if query["relevant"]]
    path.write_text("".join(json.dumps(query) + "\n" for query in queries), encoding="utf-8")
    finished = audit(opensearch, tmp_path, "--quiet", "--no-expand-groups", "--filter", json.dumps(seen))
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    expected = ranks_in_numpy(pool, queries)
    assert ranks_in_result(finished.result, "exact") == ranks_in_result(finished.result, "live") == expected
    assert {row["pool_size"] for row in finished.result["rows"]} == {len(pool)}


def test_a_default_pipeline_that_reranks_by_a_stored_field_shapes_the_lists_alone(
    opensearch: Any,
    indexing: Any,
    documents: Documents,
    queries: Queries,
    pipeline: Callable[..., None],
    tmp_path: Path,
) -> None:
    # Stars in an order of their own, which no vector knows.
    stars = np.random.default_rng(5).permutation(len(documents)) + 1
    rated = {name: {**one, "stars": int(star)} for (name, one), star in zip(documents.items(), stars, strict=True)}
    pipeline({"response_processors": [{"rerank": {"by_field": {"target_field": "stars"}}}]})
    indexing.create(opensearch, "audit-rated", rated, mapping_of(indexing, "some"))
    opensearch.request("PUT", "/audit-rated/_settings", {"index.search.default_pipeline": PIPELINE})
    finished = audit(opensearch, tmp_path, "--quiet", "--index", "audit-rated")
    opensearch.request("DELETE", "/audit-rated")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert ranks_in_result(finished.result, "exact") == ranks_in_numpy(documents, queries)
    assert ranks_in_result(finished.result, "live") == ranks_in_lists(
        documents, queries, lambda names: sorted(names, key=lambda name: -rated[name]["stars"])
    )


@pytest.mark.parametrize("pipelines", [("cut5", None), ("cut5", "cut7"), ("_none", "cut5"), ("cut5", "_none")])
def test_an_alias_over_indices_with_pipelines_has_the_ranks_of_all_documents(
    opensearch: Any,
    indexing: Any,
    documents: Documents,
    queries: Queries,
    pipeline: Callable[..., None],
    tmp_path: Path,
    pipelines: tuple[str | None, str | None],
) -> None:
    parts = [{name: one for place, (name, one) in enumerate(documents.items()) if place % 2 == half} for half in (0, 1)]
    for size in (5, 7):
        pipeline({"response_processors": [{"truncate_hits": {"target_size": size}}]}, f"cut{size}")
    actions = []
    for name, part, default in zip(("audit-half-1", "audit-half-2"), parts, pipelines, strict=True):
        indexing.create(opensearch, name, part, mapping_of(indexing, "some"))
        opensearch.request("PUT", f"/{name}/_settings", {"index.search.default_pipeline": default})
        actions.append({"add": {"index": name, "alias": "audit-halves"}})
    opensearch.request("POST", "/_aliases", {"actions": actions})
    finished = audit(opensearch, tmp_path, "--quiet", "--index", "audit-halves")
    shown = len(opensearch.request("POST", "/audit-halves/_search", {"size": 20})["hits"]["hits"])
    for name in ("audit-half-1", "audit-half-2"):
        opensearch.request("DELETE", f"/{name}")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert ranks_in_result(finished.result, "exact") == ranks_in_numpy(documents, queries)
    # The lists are as long as those of a search of the alias, whichever pipeline the server takes.
    assert ranks_in_result(finished.result, "live") == ranks_in_lists(
        documents, queries, lambda names: names[:shown] if shown < 20 else names
    )
    assert "the indices have different default search pipelines" in finished.result["live"]["warnings"][-1]


@pytest.mark.parametrize("alias", [{"filter": {"term": {"tenant": "a"}}}, {"routing": "1"}])
def test_an_alias_with_filter_or_routing_is_the_pool(
    opensearch: Any, index: str, documents: Documents, tmp_path: Path, alias: dict[str, Any]
) -> None:
    action = {"index": index, "alias": "audit-narrow", **alias}
    opensearch.request("POST", "/_aliases", {"actions": [{"add": action}]})
    hits = opensearch.request("POST", "/audit-narrow/_search", {"size": 100})["hits"]["hits"]
    seen = {name: documents[name] for name in sorted(hit["_id"] for hit in hits)}
    assert 0 < len(seen) < len(documents)
    path = tmp_path / "queries.jsonl"
    queries = [query for query in judged(path, seen) if query["relevant"]]
    path.write_text("".join(json.dumps(query) + "\n" for query in queries), encoding="utf-8")
    finished = audit(opensearch, tmp_path, "--quiet", "--no-expand-groups", "--index", "audit-narrow")
    opensearch.request("POST", "/_aliases", {"actions": [{"remove": {"index": index, "alias": "audit-narrow"}}]})
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    expected = ranks_in_numpy(seen, queries)
    assert ranks_in_result(finished.result, "exact") == ranks_in_result(finished.result, "live") == expected


@pytest.mark.parametrize(
    "values",
    [
        {"index.requests.cache.enable": True},
        {"index.search.concurrent_segment_search.mode": "all"},
        {"index.max_result_window": 50},
        {"index.max_docvalue_fields_search": 2},
        {"search.default_allow_partial_results": True},
        {"search.default_search_timeout": "10m"},
        {"search.cancel_after_time_interval": "10m"},
        {"search.keyword_index_or_doc_values_enabled": True},
        {"search.max_buckets": 6000},
    ],
    ids=lambda values: next(iter(values)),
)
def test_limits_that_leave_room_change_no_rank(
    opensearch: Any,
    index: str,
    documents: Documents,
    queries: Queries,
    setting: Callable[..., None],
    tmp_path: Path,
    values: dict[str, Any],
) -> None:
    setting(values, index if next(iter(values)).startswith("index.") else None)
    for _ in range(2):  # the second time the shards may answer from their cache
        finished = audit(opensearch, tmp_path, "--quiet", "--depth", "50")
        assert (finished.code, finished.message) == (0, "")
        assert finished.result is not None
        assert ranks_in_result(finished.result, "exact") == ranks_in_numpy(documents, queries)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"index.max_result_window": 50}, "field 'depth': no such depth of a list; seen: 200; allowed: 1 to 50"),
        ({"index.max_docvalue_fields_search": 1}, "index.max_docvalue_fields_search"),
        ({"search.max_buckets": 2}, "search.max_buckets"),
        ({"search.allow_expensive_queries": False}, "search.allow_expensive_queries"),
        ({"index.max_terms_count": 2}, "index.max_terms_count"),
        ({"index.blocks.read": True}, "is blocked, whoever asks: index [audit-judged] blocked by"),
        ({"search.max_open_pit_context": 0}, "search.max_open_pit_context"),
        ({"search.default_search_timeout": "1ms"}, "search.default_search_timeout limits its time"),
        ({"search.cancel_after_time_interval": "1ms"}, "search.cancel_after_time_interval"),
    ],
    ids=lambda values: next(iter(values)) if isinstance(values, dict) else None,
)
def test_limits_that_leave_no_room_are_refused_by_name(
    opensearch: Any,
    index: str,
    queries: Queries,
    setting: Callable[..., None],
    tmp_path: Path,
    values: dict[str, Any],
    named: str,
) -> None:
    assert queries
    setting(values, index if next(iter(values)).startswith("index.") else None)
    arguments = ["--patience", "1"]
    if "1ms" in values.values():
        # A condition that takes the server much longer than that.
        source = "long sum = 0; for (int i = 0; i < 900000; i++) { sum += i % 7 } return sum > 0"
        arguments += ["--filter", json.dumps({"script": {"script": {"lang": "painless", "source": source}}})]
    finished = audit(opensearch, tmp_path, "--quiet", *arguments)
    assert finished.code in {2, 3}
    assert finished.result is None
    (message,) = finished.message.splitlines()
    assert named in message


def test_an_index_sorted_by_a_field_has_the_same_ranks(
    opensearch: Any, indexing: Any, documents: Documents, queries: Queries, tmp_path: Path
) -> None:
    settings = {"index.knn": True, "number_of_shards": 2, "number_of_replicas": 0, "index.sort.field": "language"}
    opensearch.request("PUT", "/audit-sorted", {"settings": settings, "mappings": mapping_of(indexing, "some")})
    lines = [line for name, one in documents.items() for line in ({"index": {"_id": name}}, one)]
    assert not opensearch.request("POST", "/audit-sorted/_bulk?refresh=true", lines)["errors"]
    finished = audit(opensearch, tmp_path, "--quiet", "--index", "audit-sorted")
    opensearch.request("DELETE", "/audit-sorted")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert ranks_in_result(finished.result, "exact") == ranks_in_numpy(documents, queries)


def test_fields_may_be_aliases(
    opensearch: Any, indexing: Any, documents: Documents, queries: Queries, tmp_path: Path
) -> None:
    mapping = mapping_of(indexing, "some")
    for field in ("language", "parallel_id"):
        mapping["properties"][f"{field}_alias"] = {"type": "alias", "path": field}
    indexing.create(opensearch, "audit-aliases", documents, mapping)
    fields = ["--language-field", "language_alias", "--group-field", "parallel_id_alias", "--index", "audit-aliases"]
    finished = audit(opensearch, tmp_path, "--quiet", *fields)
    opensearch.request("DELETE", "/audit-aliases")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert ranks_in_result(finished.result, "exact") == ranks_in_numpy(documents, queries)
    assert [row["query_language"] for row in finished.result["rows"][::2]] == list(LANGUAGES)


@pytest.fixture
def old_server(opensearch: Any) -> Iterator[Proxy]:
    """A server that does not know ``search_pipeline`` in a search's body, as before 2.18."""

    def refuse(handler: Any, body: bytes) -> None:
        del body
        reason = "Unknown key for a VALUE_STRING in [search_pipeline]."
        handler.reply(
            400, json.dumps({"status": 400, "error": {"type": "parsing_exception", "reason": reason}}).encode()
        )

    proxy = Proxy(opensearch.url)
    searches = [0]

    def before(request: str) -> None:
        if request.endswith("/_msearch"):
            searches[0] += 1
            proxy.faults += [refuse] if searches[0] == 1 else []

    proxy.before = before
    yield proxy
    proxy.close()


def test_a_server_that_cannot_leave_pipelines_out_is_asked_without(
    old_server: Proxy, index: str, documents: Documents, queries: Queries, tmp_path: Path
) -> None:
    assert index == INDEX
    finished = audit(old_server, tmp_path, "--quiet")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert ranks_in_result(finished.result, "exact") == ranks_in_numpy(documents, queries)


def test_a_server_that_cannot_leave_out_the_pipeline_there_is_refused(
    old_server: Proxy,
    index: str,
    queries: Queries,
    pipeline: Callable[..., None],
    setting: Callable[..., None],
    tmp_path: Path,
) -> None:
    assert queries
    pipeline({"response_processors": [{"truncate_hits": {"target_size": 20}}]})
    setting({"index.search.default_pipeline": PIPELINE}, index)
    finished = audit(old_server, tmp_path, "--quiet")
    assert (finished.code, finished.result) == (2, None)
    assert f"{index}, field 'index.search.default_pipeline': this server cannot leave" in finished.message
