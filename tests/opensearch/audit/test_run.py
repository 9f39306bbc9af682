"""A whole audit of a real index: the numbers of an audit in memory, those of the live lists beside them, no trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Proxy, status
from live_audit import GROUPS, LANGUAGES, assert_same_but_for_last_bits, parallel_documents, run_audit, write_queries

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.run import audit_vectors
from haystack_crossalign.audit.scenarios import plan_scenarios
from haystack_crossalign.data.formats.read import read_collection
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.connection.traffic import Exchange, Traffic
from haystack_crossalign.opensearch.live.hybrid import HybridRetrieval
from haystack_crossalign.opensearch.live.lists import Bm25Retrieval, KnnRetrieval

INDEX = "audit-whole"


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    indexing.create(opensearch, f"{INDEX}-1", parallel_documents(), indexing.mapping(12), shards=3)
    opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": f"{INDEX}-1", "alias": INDEX}}]})
    return INDEX


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_queries(tmp_path_factory.mktemp("queries") / "queries.jsonl")


@pytest.fixture(scope="module")
def whole(opensearch: Any, index: str, queries: Path) -> AuditResult:
    finished = run_audit(opensearch.url, index, queries)
    assert finished.stopped is None
    return finished.result


@pytest.fixture(scope="module")
def in_memory(queries: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("documents") / "documents.jsonl"
    lines = []
    for name, one in parallel_documents().items():
        kept = {key: one[key] for key in ("language", "group")}
        lines.append({"id": name, "text": one["content"], "embedding": one["embedding"], **kept})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return read_collection(file, queries, group_field="group")


@pytest.mark.parametrize("scenario", ["multi", "mono-same", "mono-cross"])
def test_the_exact_rows_are_those_of_an_audit_in_memory(
    opensearch: Any, index: str, queries: Path, in_memory: Any, scenario: str
) -> None:
    live = run_audit(opensearch.url, index, queries, scenarios=(scenario,)).result
    assert live.provenance["similarity"] == {"name": "cosine", "from": "index"}
    assert_exact_rows_of_memory(live, in_memory, scenario, "cosine")


@pytest.mark.parametrize(("space", "similarity"), [("l2", "euclidean"), ("innerproduct", "dot")])
def test_an_index_of_another_space_agrees_with_an_audit_in_memory_by_its_similarity(
    opensearch: Any, indexing: Any, queries: Path, in_memory: Any, space: str, similarity: Any
) -> None:
    name = f"{INDEX}-{space}"
    indexing.create(opensearch, name, parallel_documents(), indexing.mapping(12, space=space))
    live = run_audit(opensearch.url, name, queries).result
    assert live.provenance["similarity"] == {"name": similarity, "from": "index"}
    assert_exact_rows_of_memory(live, in_memory, "multi", similarity)


def assert_exact_rows_of_memory(live: AuditResult, in_memory: Any, scenario: str, similarity: Any) -> None:
    plan = plan_scenarios([scenario], LANGUAGES, LANGUAGES)
    expected = audit_vectors(in_memory, plan, provenance=live.provenance, samples=100, similarity=similarity)

    def keyed(result: AuditResult) -> dict[Any, Any]:
        return {
            (row["query_language"], tuple(row["pool_languages"])): {
                name: row[name] for name in ("pool_size", "queries", "relevant", "measures", "intervals", "medians")
            }
            for row in result.rows
            if row["kind"] == "exact"
        }

    assert keyed(live) == keyed(expected)
    assert len(keyed(live)) == len(plan)


def test_measures_of_fairness_and_of_whole_lists_are_those_of_an_audit_in_memory(
    opensearch: Any, index: str, queries: Path, in_memory: Any
) -> None:
    names = ("MRC@10", "MRC@3", *(f"Exposure@10[{tag}]" for tag in LANGUAGES), "TLR@10", "PEER@10", "MRC@11")
    also = tuple(map(parse_measure, names))
    live = run_audit(opensearch.url, index, queries, also=also).result
    plan = plan_scenarios(["multi"], LANGUAGES, LANGUAGES)
    expected = audit_vectors(in_memory, plan, provenance={}, also=also, samples=100)
    for row, wanted in zip((row for row in live.rows if row["kind"] == "exact"), expected.rows, strict=True):
        for name in names[:-2]:
            assert row["measures"][name] == pytest.approx(wanted["measures"][name], abs=1e-9), name
        assert "one relevant version" in row["reasons"]["PEER@10"]
        assert "to rank 10 only" in row["reasons"]["MRC@11"]
    # The block of the live audit and the measures of its rows agree, for exact and for retrieved lists.
    for entry in live.live["parallel"]:
        for row in (row for row in live.rows if row.get("retrieval") == entry["retrieval"]):
            own = [pair["mrc"] for pair in entry["pairs"] if row["query_language"] in pair["languages"]]
            assert row["measures"]["MRC@10"] == pytest.approx(sum(own) / len(own))
            shares = next(one for one in entry["exposure"] if one["query_language"] == row["query_language"])["shares"]
            for tag in LANGUAGES:
                assert row["measures"][f"Exposure@10[{tag}]"] == pytest.approx(shares[tag]["discounted"])


def test_every_exact_row_has_the_live_list_and_its_recall_beside_it(whole: AuditResult) -> None:
    kinds = [(row["query_language"], row["kind"], row.get("retrieval")) for row in whole.rows]
    assert kinds == [one for tag in LANGUAGES for one in ((tag, "exact", None), (tag, "live", "knn"))]
    for row in whole.rows[1::2]:
        # The whole graph of so small an index is searched: nothing is lost, and that is measured and not assumed.
        assert row["recall"] == {"k": 10, "value": 1.0, "interval": [1.0, 1.0], "queries": GROUPS}
        assert row["censored"]["depth_max"] == 10
    exact = whole.row_queries(0)
    live = whole.row_queries(1)
    for one, other in zip(exact, live, strict=True):
        assert whole.queries["id"][one] == whole.queries["id"][other]
        ranks = [rank if rank <= 10 else None for rank in whole.queries["ranks"][one]]
        assert whole.queries["ranks"][other] == ranks


def test_all_lists_have_rows_of_their_own(opensearch: Any, index: str, queries: Path) -> None:
    def lists(view: Any, _: bool) -> list[Any]:
        knn, bm25 = KnnRetrieval(view), Bm25Retrieval(view)
        return [knn, bm25, HybridRetrieval(knn, bm25)]

    result = run_audit(opensearch.url, index, queries, retrievals=lists).result
    assert [row.get("retrieval") for row in result.rows[:4]] == [None, "knn", "bm25", "hybrid:rrf"]
    assert [one["name"] for one in result.live["retrievals"]] == ["knn", "bm25", "hybrid:rrf"]
    by_name = {row["retrieval"]: row["recall"]["value"] for row in result.rows[1:4]}
    assert by_name["knn"] == 1.0 > by_name["bm25"]
    assert {one["retrieval"] for one in result.live["parallel"]} == {None, "knn", "bm25", "hybrid:rrf"}


def test_the_result_holds_the_state_of_the_index_and_keeps_to_the_schema(whole: AuditResult) -> None:
    data = json.loads(whole.to_json())
    assert AuditResult.from_dict(data).to_json() == whole.to_json()
    live = data["live"]
    assert live["snapshot"]["before"] == live["snapshot"]["after"]
    (state,) = live["snapshot"]["before"]["indices"].values()
    assert state["documents"] == GROUPS * len(LANGUAGES)
    assert state["sequence_number"] == GROUPS * len(LANGUAGES) - 3  # three shards count from 0
    assert live["snapshot"]["before"]["aliases"] == {f"{INDEX}-1": [INDEX]}
    assert live["pool"]["by_language"] == dict.fromkeys(LANGUAGES, GROUPS)
    assert live["queries"]["kind"] == "group"
    assert live["point_in_time"] is True
    assert (live["partial"], live["warnings"], live["unranked"]["count"]) == (None, [], 0)
    exact = next(one for one in live["parallel"] if one["kind"] == "exact")
    assert {tuple(pair["languages"]) for pair in exact["pairs"]} == {("ar", "en"), ("ar", "zh"), ("en", "zh")}
    for one in exact["exposure"]:
        assert sum(share["discounted"] for share in one["shares"].values()) == pytest.approx(1.0)


def test_the_same_index_and_queries_give_the_same_result(
    opensearch: Any, index: str, queries: Path, whole: AuditResult
) -> None:
    assert_same_but_for_last_bits(run_audit(opensearch.url, index, queries).result.to_json(), whole.to_json())
    shown = [score for example in whole.examples for score in example["scores"]]
    assert len(shown) > 0
    assert shown == [float(f"{score:.5g}") for score in shown]


def test_a_whole_audit_sends_only_reads_and_changes_nothing(opensearch: Any, index: str, queries: Path) -> None:
    def state() -> dict[str, Any]:
        stats = opensearch.request("GET", f"/{index}/_stats?level=shards")
        totals = {name: stats["_all"]["primaries"][name] for name in ("docs", "indexing", "flush")}
        shards = [
            (number, copy["seq_no"], copy["docs"], copy["indexing"]["index_total"], copy["indexing"]["delete_total"])
            for one in stats["indices"].values()
            for number, copies in sorted(one["shards"].items())
            for copy in copies
        ]
        parts = {part: opensearch.request("GET", f"/{index}/{part}") for part in ("_mapping", "_settings", "_alias")}
        names = sorted(opensearch.request("GET", f"/{INDEX}*/_alias?expand_wildcards=all"))
        return {"totals": totals, "shards": shards, "names": names, **parts}

    opensearch.request("POST", f"/{index}/_flush?force=true")
    before = state()
    exchanges: list[Exchange] = []
    client = ReadOnlyClient(opensearch.url, traffic=Traffic(exchanges.append))
    run_audit(opensearch.url, index, queries, client=client)
    assert state() == before
    assert {one.operation for one in exchanges} == {
        *("info", "health", "alias", "stats", "mapping", "settings", "msearch"),
        *("open point in time", "close point in time"),
    }
    operations = [one.operation for one in exchanges]
    assert operations.count("open point in time") == operations.count("close point in time") == 1
    assert client.notes == []


def test_an_interrupted_audit_is_partial_and_goes_on_to_the_same_result(
    opensearch: Any, index: str, queries: Path, whole: AuditResult, tmp_path: Path
) -> None:
    def interrupt(_: str, done: int, __: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    exchanges: list[Exchange] = []
    client = ReadOnlyClient(opensearch.url, traffic=Traffic(exchanges.append))
    state = tmp_path / "state.jsonl"
    finished = run_audit(opensearch.url, index, queries, progress=interrupt, client=client, state=state)
    assert finished.stopped == "interrupted"
    partial = finished.result
    assert partial.live["partial"] == {"reason": "interrupted by the user", "queries": 20, "of": 45}
    # Languages take turns, so that even a partial result compares them.
    assert [row["queries"] for row in partial.rows if row["kind"] == "exact"] == [7, 7, 6]
    assert exchanges[-1].operation == "stats"
    assert "close point in time" in [one.operation for one in exchanges]
    rest: list[int] = []
    resumed = run_audit(
        opensearch.url, index, queries, state=state, resume=True, progress=lambda _, done, __: rest.append(done)
    )
    assert resumed.stopped is None
    assert_same_but_for_last_bits(resumed.result.to_json(), whole.to_json())
    # A partial result's ranks are those of the whole one.
    ranks = {
        (q, r): x for q, r, x in zip(whole.queries["id"], whole.queries["row"], whole.queries["ranks"], strict=True)
    }
    for query, row, rank in zip(*(partial.queries[name] for name in ("id", "row", "ranks")), strict=True):
        assert ranks[query, row] == rank


def test_an_interruption_before_anything_is_done_leaves_no_result(opensearch: Any, index: str, queries: Path) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_audit(opensearch.url, index, queries, progress=interrupt)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "options"),
        ({"settings": {"depth": 9}}, "options"),
        ({"pairs": "en"}, "options"),
        ({"queries": True}, "queries, vectors of the queries"),
        ({"write": True}, "index"),
    ],
)
def test_the_state_of_another_audit_is_refused(
    opensearch: Any, indexing: Any, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    change = dict(change)
    indexing.create(opensearch, "audit-state", parallel_documents(), indexing.mapping(12))
    few = write_queries(tmp_path / "few.jsonl", groups=2)
    state = tmp_path / "state.jsonl"
    run_audit(opensearch.url, "audit-state", few, state=state)
    if change.pop("write", False):
        opensearch.request("PUT", "/audit-state/_doc/new?refresh=true", parallel_documents()["en-1"])
    other = write_queries(tmp_path / "other.jsonl", groups=3) if change.pop("queries", False) else few
    with pytest.raises(InputError, match="belongs to another audit") as caught:
        run_audit(opensearch.url, "audit-state", other, state=state, resume=True, **change)
    assert f"another audit: {named}" in str(caught.value)


def test_a_users_filter_makes_the_pool(opensearch: Any, index: str, tmp_path: Path) -> None:
    judged = write_queries(tmp_path / "judged.jsonl", judged=True)
    result = run_audit(opensearch.url, index, judged, user_filter={"term": {"tenant": "a"}}).result
    inside = [group for group in range(GROUPS) if group % 3]
    assert result.live["pool"]["documents"] == len(inside) * len(LANGUAGES)
    # Relevant documents outside of the filter are counted and named, and not dropped.
    missing = result.live["unranked"]
    assert missing["reasons"] == {"outside of the filter": 5 * 3 * 3}
    assert missing["first"][0] == {"query": "q0-ar", "name": "ar-0", "reason": "outside of the filter"}
    assert all(row["relevant"] == len(inside) * 3 for row in result.rows)


@pytest.fixture
def proxy(opensearch: Any) -> Iterator[Proxy]:
    proxy = Proxy(opensearch.url)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("code", [400, 404, 405])
def test_a_cluster_without_points_in_time_is_audited_with_a_warning(
    proxy: Proxy, index: str, queries: Path, whole: AuditResult, code: int
) -> None:
    def refuse(request: str) -> None:
        if request.endswith("/point_in_time"):
            proxy.faults.append(status(code, "illegal_argument_exception"))

    proxy.before = refuse
    result = run_audit(proxy.url, index, queries).result
    assert result.live["point_in_time"] is False
    assert f"this cluster has no points in time (status {code})" in result.live["warnings"][0]
    assert result.rows == whole.rows


def test_chunks_are_ranked_as_versions(opensearch: Any, indexing: Any, queries: Path) -> None:
    indexing.create(opensearch, "audit-chunks", parallel_documents(chunks=3), indexing.mapping(12))
    result = run_audit(opensearch.url, "audit-chunks", queries, settings={"depth": 40}).result
    assert [row["pool_size"] for row in result.rows] == [GROUPS * len(LANGUAGES)] * 6
    assert all(row["relevant"] == GROUPS * 3 for row in result.rows)
    exact = [result.queries["ranks"][place] for place in result.row_queries(0)]
    assert all(1 <= rank <= GROUPS * len(LANGUAGES) for row in exact for rank in row)
    assert all(len(set(row)) == 3 for row in exact)
    with pytest.raises(InputError, match="samples are of single documents"):
        run_audit(opensearch.url, "audit-chunks", queries, sample=0.5)


@pytest.mark.parametrize(("chunks", "count"), [(1, "versions"), (3, "versions"), (3, "hits")])
def test_words_find_what_has_no_vector_and_it_counts_there(
    opensearch: Any, indexing: Any, tmp_path: Path, chunks: int, count: str
) -> None:
    """Keyword search reads no vector: its figures are those of the same index in which every document has one."""
    documents = parallel_documents(chunks=chunks)
    part = "-0" if chunks > 1 else ""
    lines = []
    for group in range(GROUPS):
        for language in LANGUAGES:
            vector = documents[f"{language}-{group}{part}"]["embedding"]
            lines.append({"id": f"{language}{group}", "text": f"number {group} in {language}", "language": language,
                          "relevant": [f"{tag}-{group}{part}" for tag in LANGUAGES], "embedding": vector})  # fmt: skip
    path = tmp_path / "queries.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    lacking = [name for name in documents if name.startswith("zh-") and int(name.split("-")[1]) < 5]
    fewer = {name: {k: v for k, v in one.items() if k != "embedding" or name not in lacking}
             for name, one in documents.items()}  # fmt: skip
    rows, without = {}, None
    for name, kept in (("all", documents), ("some", fewer)):
        indexing.create(opensearch, f"audit-bare-{name}", kept, indexing.mapping(12))
        result = run_audit(
            opensearch.url,
            f"audit-bare-{name}",
            path,
            retrievals=lambda view, _: [KnnRetrieval(view), Bm25Retrieval(view, fields=["content"])],
            settings={"depth": len(documents)},
            count=count,
        ).result
        rows[name] = {(row.get("retrieval"), row["query_language"]): row for row in result.rows}
        without = result.live["unranked"] if result.live else None
    assert without is not None
    assert (without["reasons"], without["counted_in"]) == ({"no vector": 15}, ["bm25"])
    merged = chunks > 1 and count == "versions"
    for language in LANGUAGES:
        row, whole = rows["some"]["bm25", language], rows["all"]["bm25", language]
        assert row["pool_size"] == (None if merged else whole["pool_size"])
        assert row["relevant"] == whole["relevant"] == GROUPS * 3
        unknown = {"Max@R_norm"} if merged else set()
        measured = {key: value for key, value in row["measures"].items() if key not in unknown}
        assert measured == {key: value for key, value in whole["measures"].items() if key not in unknown}
        assert measured["MRR"] > 0.9
        exact, near = rows["some"][None, language], rows["some"]["knn", language]
        assert exact["relevant"] == near["relevant"] == GROUPS * 3 - 5
        assert near["pool_size"] == (len(documents) - len(lacking) if count == "hits" else exact["pool_size"])


def test_a_sample_is_marked_as_such_and_estimates_the_exact_mean(
    opensearch: Any, index: str, queries: Path, whole: AuditResult
) -> None:
    means = []
    for seed in range(8):
        result = run_audit(opensearch.url, index, queries, sample=0.5, seed=seed * 1000).result
        row = result.rows[0]
        sampled = row["sampled"]
        assert sampled["probability"] == 0.5
        low, high = sampled["Max@R"]["interval"]
        assert low <= sampled["Max@R"]["value"] <= high
        assert sampled["Max@R"]["value"] == pytest.approx(row["measures"]["Max@R"])
        means.append(row["measures"]["Max@R"])
    exact = whole.rows[0]["measures"]["Max@R"]
    # 15 queries, 8 draws, some ten documents above: the standard error of the mean is about sqrt(10 / 120) = 0.3.
    assert sum(means) / len(means) == pytest.approx(exact, abs=1.0)
    assert len(set(means)) > 4
    assert result.live["sample"] == 0.5
    # Ten queries of each language have their recall measured, and those alone.
    assert result.rows[1]["recall"]["queries"] == 10


def test_bounds_of_a_sampled_rank_hold_what_the_live_list_proves(opensearch: Any, index: str, queries: Path) -> None:
    result = run_audit(opensearch.url, index, queries, sample=0.2, settings={"depth": 45}).result
    exact, live = result.rows[0], result.rows[1]
    deepest = {result.queries["id"][place]: max(result.queries["ranks"][place]) for place in result.row_queries(1)}
    ids = [result.queries["id"][place] for place in result.row_queries(0)]
    # Each query's list holds the whole index here, so that the lowest version's rank in it bounds the rank from below.
    found = [low >= deepest[query] for query, low in zip(ids, exact["sampled"]["per_query"]["low"], strict=True)]
    assert sum(found) >= len(found) * 0.9  # the estimate may name another version as the lowest of two
    assert live["recall"]["value"] is not None


def test_what_happens_to_the_index_is_reported_and_changes_no_number(
    opensearch: Any, indexing: Any, queries: Path
) -> None:
    indexing.create(opensearch, "audit-moves-1", parallel_documents(), indexing.mapping(12))
    indexing.create(opensearch, "audit-moves-2", parallel_documents(seed=5), indexing.mapping(12))
    add = {"add": {"index": "audit-moves-1", "alias": "audit-moves"}}
    opensearch.request("POST", "/_aliases", {"actions": [add]})
    quiet = run_audit(opensearch.url, "audit-moves", queries).result

    def during(action: Any) -> AuditResult:
        def act(_: str, done: int, __: int) -> None:
            if done == 4:
                action()

        return run_audit(opensearch.url, "audit-moves", queries, progress=act).result

    written = during(
        lambda: opensearch.request("PUT", "/audit-moves-1/_doc/new?refresh=true", parallel_documents()["en-3"])
    )
    assert written.rows == quiet.rows
    assert (
        "'audit-moves-1' was written to while the audit ran: 45 documents before, 46 after"
        in written.live["warnings"][0]
    )
    opensearch.request("DELETE", "/audit-moves-1/_doc/new?refresh=true")
    switch = [{"remove": {"index": "audit-moves-1", "alias": "audit-moves"}},
              {"add": {"index": "audit-moves-2", "alias": "audit-moves"}}]  # fmt: skip
    switched = during(lambda: opensearch.request("POST", "/_aliases", {"actions": switch}))
    assert switched.rows == quiet.rows
    assert "the alias was switched while the audit ran" in switched.live["warnings"][0]
    assert "point in time at its start" in switched.live["warnings"][0]


def test_an_index_without_points_in_time_that_is_replaced_gives_no_result(
    opensearch: Any, indexing: Any, proxy: Proxy, queries: Path
) -> None:
    from haystack_crossalign.errors import ExternalError

    def create(seed: int) -> None:
        indexing.create(opensearch, "audit-replaced", parallel_documents(seed=seed), indexing.mapping(12))

    create(0)

    def refuse(request: str) -> None:
        if request.endswith("/point_in_time"):
            proxy.faults.append(status(400, "illegal_argument_exception"))

    proxy.before = refuse
    with pytest.raises(ExternalError, match="would be of two indices"):
        run_audit(proxy.url, "audit-replaced", queries, progress=lambda _, done, __: create(7) if done == 4 else None)


def test_an_index_without_languages_or_vectors_is_one_clear_message(
    opensearch: Any, indexing: Any, queries: Path
) -> None:
    bare = {name: {k: v for k, v in one.items() if k != "language"} for name, one in parallel_documents().items()}
    indexing.create(opensearch, "audit-bare", bare, indexing.mapping(12))
    with pytest.raises(InputError, match="no document of the index has a language"):
        run_audit(opensearch.url, "audit-bare", queries)


def test_a_point_in_time_lives_longer_where_the_load_limit_makes_long_pauses(
    opensearch: Any, index: str, queries: Path
) -> None:
    asked: list[str] = []

    class Watched(ReadOnlyClient):
        def point_in_time(self, index: str, *, keep_alive: str = "5m") -> Any:
            asked.append(keep_alive)
            return super().point_in_time(index, keep_alive=keep_alive)

    class Stop(Exception):  # noqa: N818
        pass

    def stop(*_: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        run_audit(
            opensearch.url,
            index,
            queries,
            client=Watched(opensearch.url),
            settings={"max_load": 0.05},
            progress=stop,
        )
    # 90 documents scored for a query at one in twenty seconds: half an hour, and what is waited for anyway.
    assert asked == ["37m"]
    assert PointInTime("x", asked[0]).keep_alive == "37m"
