"""Audits whose exact ranks are counted here: the results of those that the server counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from fault_proxy import Proxy, status
from live_audit import assert_same_but_for_last_bits, parallel_documents, run_audit, write_queries

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.audit import plan as plans
from haystack_crossalign.opensearch.audit import run as audits
from haystack_crossalign.opensearch.audit import vectors
from haystack_crossalign.opensearch.audit.options import AuditOptions
from haystack_crossalign.opensearch.audit.plan import Plan
from haystack_crossalign.opensearch.audit.run import IndexAudit
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.live.queries import read_live_queries
from haystack_crossalign.opensearch.local.counting import LocalCounter

INDEX = "audit-local"
LOCAL = {"exact": "local"}


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    indexing.create(opensearch, INDEX, parallel_documents(), indexing.mapping(12), shards=3)
    return INDEX


@pytest.fixture(scope="module")
def chunks(opensearch: Any, indexing: Any) -> str:
    indexing.create(opensearch, f"{INDEX}-chunks", parallel_documents(chunks=3), indexing.mapping(12))
    return f"{INDEX}-chunks"


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_queries(tmp_path_factory.mktemp("queries") / "queries.jsonl")


def assert_same_result(local: AuditResult, server: AuditResult) -> None:
    """The same but for who counted."""
    texts = []
    for result, exact in ((local, "local"), (server, "server")):
        data = json.loads(result.to_json())
        assert data["live"].pop("exact") == exact
        texts.append(json.dumps(data))
    assert_same_but_for_last_bits(*texts)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scenarios": ("multi", "mono-same", "mono-cross")},
        {"languages": ("en", "zh"), "user_filter": {"term": {"tenant": "a"}}},
        {"pairs": "en"},
    ],
    ids=["multi", "scenarios", "filter", "pairs"],
)
def test_an_audit_that_counts_here_gives_the_servers_result(
    opensearch: Any, index: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    judged = write_queries(tmp_path / "judged.jsonl", judged=True)
    server = run_audit(opensearch.url, index, judged, **options).result
    assert_same_result(run_audit(opensearch.url, index, judged, settings=LOCAL, **options).result, server)


@pytest.mark.parametrize("count", ["versions", "hits"])
def test_chunks_are_ranked_as_versions_here_too(opensearch: Any, chunks: str, queries: Path, count: str) -> None:
    server = run_audit(opensearch.url, chunks, queries, count=count).result
    assert_same_result(run_audit(opensearch.url, chunks, queries, settings=LOCAL, count=count).result, server)


def test_vectors_are_read_page_by_page_once_for_all_pools(
    opensearch: Any, index: str, queries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haystack_crossalign.opensearch.local.pool._MOST_ROWS", 7)
    steps: list[tuple[str, int, int]] = []
    run_audit(opensearch.url, index, queries, settings=LOCAL, retrievals=lambda *_: [],
              scenarios=("multi", "mono-same"), progress=lambda *step: steps.append(step))  # fmt: skip
    read = [done for name, done, total in steps if name == "Reading vectors"]
    # Pages of seven that end between the numbers of three shards, up to the 45 documents, once for both scenarios.
    assert read == sorted(set(read))
    assert read[-1] == 45
    assert len(read) > 45 / 7


def test_an_audit_that_was_stopped_goes_on_with_the_same_ranks(
    opensearch: Any, index: str, queries: Path, tmp_path: Path
) -> None:
    whole = run_audit(opensearch.url, index, queries, settings=LOCAL).result
    state = tmp_path / "state.jsonl"

    def stop(step: str, done: int, _: int) -> None:
        if (step, done) == ("Auditing", 5):
            raise KeyboardInterrupt

    partial = run_audit(opensearch.url, index, queries, settings=LOCAL, state=state, progress=stop)
    assert partial.stopped == "interrupted"
    steps: list[str] = []
    resumed = run_audit(opensearch.url, index, queries, settings=LOCAL, state=state, resume=True,
                        progress=lambda step, *_: steps.append(step))  # fmt: skip
    assert "Reading vectors" in steps
    assert_same_but_for_last_bits(resumed.result.to_json(), whole.to_json())
    with pytest.raises(InputError, match="belongs to another audit: options differ"):
        run_audit(opensearch.url, index, queries, state=state, resume=True)
    steps.clear()
    run_audit(opensearch.url, index, queries, settings=LOCAL, state=state, resume=True,
              progress=lambda step, *_: steps.append(step))  # fmt: skip
    assert "Reading vectors" not in steps


@pytest.fixture
def proxy(opensearch: Any) -> Iterator[Proxy]:
    proxy = Proxy(opensearch.url)
    yield proxy
    proxy.close()


def test_a_page_that_a_busy_cluster_refuses_is_asked_for_again(proxy: Proxy, index: str, queries: Path) -> None:
    refused = []

    def refuse(request: str) -> None:
        if request.endswith("_msearch") and steps and steps[-1] == "Reading vectors" and not refused:
            refused.append(request)
            proxy.faults.append(status(429, "rejected_execution_exception"))

    steps: list[str] = []
    proxy.before = refuse
    result = run_audit(proxy.url, index, queries, settings=LOCAL, progress=lambda step, *_: steps.append(step)).result
    assert len(refused) == 1
    assert result.live["partial"] is None


def test_a_cluster_without_points_in_time_counts_itself(proxy: Proxy, index: str, queries: Path) -> None:
    def refuse(request: str) -> None:
        if request.endswith("/point_in_time"):
            proxy.faults.append(status(400, "illegal_argument_exception"))

    proxy.before = refuse
    with pytest.raises(InputError, match="no points in time"):
        run_audit(proxy.url, index, queries, settings=LOCAL)


@pytest.mark.parametrize(
    ("source", "vector", "message"),
    [
        ({"excludes": ["embedding"]}, {}, "'embedding' is not in the stored document"),
        ({"enabled": False}, {}, "does not store its documents"),
        ({}, {"compression_level": "2x"}, "kept in lower precision (compression_level 2x)"),
        ({}, {"space_type": "l1"}, "the space of 'embedding' is l1"),
    ],
    ids=["excluded", "no source", "compressed", "l1"],
)
def test_vectors_that_may_be_others_than_the_server_scores_are_refused(
    opensearch: Any, indexing: Any, queries: Path, source: dict[str, Any], vector: dict[str, Any], message: str
) -> None:
    mapping = indexing.mapping(12)
    if vector:
        mapping["properties"]["embedding"] = {"type": "knn_vector", "dimension": 12, "space_type": "l2", **vector}
    if source:
        mapping["_source"] = source
    settings = {"index.knn": "space_type" not in vector, "index.knn.advanced.approximate_threshold": -1}
    indexing.create(opensearch, f"{INDEX}-refused", parallel_documents(), mapping, settings=settings)
    with pytest.raises(InputError, match="the vectors cannot be counted here") as caught:
        run_audit(opensearch.url, f"{INDEX}-refused", queries, settings=LOCAL)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def audited(url: str, index: str, queries: Path, **settings: Any) -> tuple[Plan, AuditResult]:
    """Plan and result of an audit of nearest neighbors."""
    client = ReadOnlyClient(url)
    chosen = LiveSettings(hosts=(url,), index=index, group_field="group", batch=4, depth=10, **settings)
    try:
        audit = IndexAudit(client, chosen, AuditOptions(samples=100))
        audit.open()
        found = read_live_queries(queries, audit.view(), group_field="group")
        plan = audit.plan(found)
        return plan, audit.run(found, plan=plan).result
    finally:
        client.close()


def test_what_costs_less_is_chosen_and_planned(
    opensearch: Any, index: str, queries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, few = audited(opensearch.url, index, queries)
    # 45 queries, each scored twice against 45 documents: less than 800 for each document.
    assert (plan.exact, plan.documents_scored, plan.documents_read) == ("server", 2 * 45 * 45, 0)
    assert (few.live["exact"], few.live["plan"]["documents_scored"]) == ("server", 2 * 45 * 45)
    monkeypatch.setattr(vectors, "READING", 2 * 45)
    plan, many = audited(opensearch.url, index, queries)
    assert (plan.exact, plan.documents_scored, plan.documents_read) == ("local", 0, 45)
    assert plan.memory == 45 * 12 * 4
    # A document has twelve numbers of some six digits.
    assert plan.bytes_in > 45 * 12 * 6
    assert (many.live["exact"], many.live["plan"]["documents_read"]) == ("local", 45)
    assert many.rows == few.rows
    assert many.queries == few.queries
    monkeypatch.setattr(vectors, "MOST_BYTES", plan.memory - 1)
    assert audited(opensearch.url, index, queries)[0].exact == "server"


def test_the_pages_name_the_limits_of_the_rule(project_root: Path) -> None:
    readme, page = ((project_root / name).read_text(encoding="utf-8") for name in ("README.md", "docs/exact.md"))
    # Each query takes two looks at every document.
    for text in (readme, page):
        assert f"from {vectors.READING // 2} queries" in text
        assert f"{vectors.MOST_BYTES >> 30} GiB" in text
    assert f"at least {vectors.READING} documents" in page


def test_the_plan_takes_the_pass_over_the_pool_for_one(
    opensearch: Any, index: str, queries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts hundreds of queries at once: its time is not that of the few queries that the plan tries."""
    passed = [0.0]
    count = LocalCounter.count

    def slow(counter: LocalCounter, places: Sequence[int]) -> None:
        passed[0] += 0 if counter._counted else 1000
        count(counter, places)

    monkeypatch.setattr(LocalCounter, "count", slow)
    monkeypatch.setattr(audits, "make_plan", partial(plans.make_plan, clock=lambda: perf_counter() + passed[0]))
    plan, _ = audited(opensearch.url, index, queries, exact="local")
    assert passed[0] >= 1000
    assert plan.seconds < 1000


def test_vectors_that_are_not_to_be_had_are_left_to_the_server(
    opensearch: Any, indexing: Any, queries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "READING", 1)
    monkeypatch.setattr(plans, "READ", 4)
    mapping = indexing.mapping(12) | {"_source": {"excludes": ["embedding"]}}
    indexing.create(opensearch, f"{INDEX}-excluded", parallel_documents(), mapping, shards=3)
    plan, result = audited(opensearch.url, f"{INDEX}-excluded", queries)
    assert (plan.exact, result.live["exact"], result.live["warnings"]) == ("server", "server", [])
    # Only some documents lack it, which shows when they are read.
    documents = parallel_documents()
    for name in ("zh-13", "zh-14"):
        documents[name]["embedding"] = [0.0] * 12
    indexing.create(opensearch, f"{INDEX}-zeros", documents, indexing.mapping(12, space="l2"), shards=3)
    plan, result = audited(opensearch.url, f"{INDEX}-zeros", queries)
    assert result.live["exact"] == "server"
    (warning,) = (one for one in result.live["warnings"] if "counted" in one)
    assert "exact ranks were counted by the cluster" in warning
    assert "the vector of 'zh-1" in warning


def test_a_sample_is_not_counted_here(opensearch: Any, index: str, queries: Path) -> None:
    with pytest.raises(InputError, match="a sample is scored by the cluster"):
        run_audit(opensearch.url, index, queries, settings=LOCAL, sample=0.5)
