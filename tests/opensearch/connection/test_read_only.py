"""The connection refuses whatever could change a cluster, and counting changes nothing on a real one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from opensearchpy import OpenSearch, helpers

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.read_only import ReadOnlyConnection, WriteRefusedError, operation_of
from haystack_crossalign.opensearch.connection.traffic import Exchange, Traffic
from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.exact.versions import Version, count_version_ranks
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView

DIMENSION = 8


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/", "info"),
        ("HEAD", "/prod", "exists"),
        ("GET", "/prod", "index"),
        ("GET", "/prod/_mapping", "mapping"),
        ("GET", "/prod,other-*/_settings", "settings"),
        ("GET", "/_alias/prod", "alias"),
        ("GET", "/prod/_alias", "alias"),
        ("GET", "/prod/_stats/docs,indexing", "stats"),
        ("GET", "/_cluster/health/prod", "health"),
        ("POST", "/prod/_count", "count"),
        ("POST", "/prod/_search", "search"),
        ("POST", "/_all/_search", "search"),
        ("POST", "/_search", "search"),
        ("POST", "/_msearch", "msearch"),
        ("POST", "/prod/_search/point_in_time", "open point in time"),
        ("DELETE", "/_search/point_in_time", "close point in time"),
    ],
)
def test_the_reads_pass(method: str, path: str, operation: str) -> None:
    assert operation_of(method, path) == operation


@pytest.mark.parametrize(
    ("method", "path", "passes"),
    [
        ("POST", "/_plugins/_ml/_predict/text_embedding/m1", True),
        ("POST", "/_plugins/_ml/_predict/text_embedding/a%2Fb", True),
        ("POST", "/_plugins/_ml/_predict/text_embedding/a/b", False),
        ("GET", "/_plugins/_ml/_predict/text_embedding/m1", False),
        ("POST", "/_plugins/_ml/_predict/text_embedding/m2", False),
        ("POST", "/_plugins/_ml/_predict/text_embedding/m1/..", False),
        ("POST", "/_plugins/_ml/_predict/kmeans/m1", False),
        ("POST", "/_plugins/_ml/models/m1/_predict", False),
        ("POST", "/_plugins/_ml/models/m1/_deploy", False),
    ],
)
def test_only_a_named_model_of_the_cluster_embeds(method: str, path: str, passes: bool) -> None:
    with pytest.raises(WriteRefusedError):
        operation_of(method, path)
    if passes:
        assert operation_of(method, path, models={"m1", "a/b"}) == "embed"
    else:
        with pytest.raises(WriteRefusedError):
            operation_of(method, path, models={"m1", "a/b"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/prod"),
        ("DELETE", "/prod"),
        ("POST", "/prod"),
        ("PUT", "/prod/_doc/1"),
        ("POST", "/prod/_doc"),
        ("GET", "/prod/_doc/1"),
        ("DELETE", "/prod/_doc/1"),
        ("POST", "/prod/_update/1"),
        ("POST", "/_bulk"),
        ("POST", "/prod/_bulk"),
        ("POST", "/_reindex"),
        ("POST", "/prod/_delete_by_query"),
        ("POST", "/prod/_update_by_query"),
        ("PUT", "/prod/_mapping"),
        ("POST", "/prod/_mapping"),
        ("PUT", "/prod/_settings"),
        ("POST", "/_aliases"),
        ("PUT", "/prod/_alias/live"),
        ("DELETE", "/prod/_alias/live"),
        ("POST", "/prod/_refresh"),
        ("POST", "/prod/_flush"),
        ("POST", "/prod/_forcemerge"),
        ("POST", "/prod/_close"),
        ("PUT", "/_cluster/settings"),
        ("POST", "/_cluster/reroute"),
        ("PUT", "/_search/pipeline/p"),
        ("POST", "/_search/scroll"),
        ("DELETE", "/_search/scroll"),
        ("DELETE", "/_search/point_in_time/_all"),
        ("GET", "/_search/point_in_time/_all"),
        ("POST", "/prod/_search/template"),
        ("PUT", "/_scripts/s"),
        ("POST", "/_scripts/painless/_execute"),
        ("PUT", "/_plugins/_security/api/roles/r"),
        ("POST", "/_plugins/_knn/models/m/_train"),
        ("POST", "/_tasks/_cancel"),
        ("PUT", "/_snapshot/s"),
        ("DELETE", "/"),
        ("POST", "/"),
        ("DELETE", "/_all"),
        ("DELETE", "/prod/_search/point_in_time"),
        ("POST", "/prod/../other/_search"),
        ("POST", "/prod/_search?scroll=1m"),
        ("POST", "/_bulk/_search"),
        ("post", "/prod/_search"),
        ("POST", "//prod/_search"),
        ("POST", "/prod/_search\n"),
        ("POST", "http://elsewhere/prod/_search"),
    ],
)
def test_everything_else_is_refused(method: str, path: str) -> None:
    with pytest.raises(WriteRefusedError, match="this connection only reads"):
        operation_of(method, path)


def test_a_scroll_is_refused() -> None:
    with pytest.raises(WriteRefusedError):
        operation_of("POST", "/prod/_search", {"scroll": "1m"})


def test_no_method_of_the_underlying_client_gets_past_the_guard(opensearch: Any) -> None:
    exchanges: list[Exchange] = []
    guarded = OpenSearch(
        opensearch.url, connection_class=ReadOnlyConnection, traffic=Traffic(exchanges.append), max_retries=3
    )
    writes = [
        lambda: guarded.index(index="guarded", body={"a": 1}),
        lambda: guarded.indices.create(index="guarded"),
        lambda: guarded.indices.delete(index="*"),
        lambda: guarded.indices.put_alias(index="*", name="guarded"),
        lambda: guarded.delete_by_query(index="*", body={"query": {"match_all": {}}}),
        lambda: guarded.cluster.put_settings(body={}),
        lambda: helpers.bulk(guarded, [{"_index": "guarded", "a": 1}]),
        lambda: list(helpers.scan(guarded, index="*")),
    ]
    for write in writes:
        with pytest.raises(WriteRefusedError):
            write()
    assert exchanges == []
    assert not guarded.indices.exists(index="guarded")
    assert [one.operation for one in exchanges] == ["exists"]
    guarded.close()


def test_a_document_store_with_the_guard_reads_and_cannot_write(opensearch: Any, indexing: Any) -> None:
    from haystack import Document
    from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore

    stored = {"a": {"embedding": [1.0] * DIMENSION, "content": "text", "language": "en"}}
    indexing.create(opensearch, "guarded-store", stored, indexing.mapping(DIMENSION))
    store = OpenSearchDocumentStore(
        hosts=opensearch.url,
        index="guarded-store",
        embedding_dim=DIMENSION,
        create_index=False,
        connection_class=ReadOnlyConnection,
    )
    assert store.count_documents() == 1
    with pytest.raises(WriteRefusedError):
        store.write_documents([Document(id="b", content="more", embedding=[2.0] * DIMENSION)])
    with pytest.raises(WriteRefusedError):
        store.delete_documents(["a"])
    assert opensearch.request("GET", "/guarded-store/_count")["count"] == 1


def state(server: Any, index: str) -> dict[str, Any]:
    """Whatever a write would change: counts, totals, sequence numbers, mapping, settings, aliases, list of indices."""
    # Not all statistics, and no _cat/indices: OpenSearch 3.4 refuses to tell sizes of memory that it has counted
    # below zero, as happens to a server that has seen many indices go.
    stats = server.request("GET", f"/{index}/_stats/docs,indexing,flush?level=shards")
    shards = [
        (name, number, shard["seq_no"], shard["docs"], shard["indexing"]["index_total"], shard["commit"]["id"])
        for name, one in sorted(stats["indices"].items())
        for number, copies in sorted(one["shards"].items())
        for shard in copies
    ]
    totals = stats["_all"]["primaries"]
    # Refreshes and merges are left out: the server makes them by itself, also when an idle index is searched.
    kept = {name: totals[name] for name in ("docs", "indexing", "flush")}
    parts = {name: server.request("GET", f"/{index}/{name}") for name in ("_mapping", "_settings", "_alias", "_count")}
    indices = sorted(server.request("GET", "/_alias?expand_wildcards=all"))
    return {"shards": shards, "totals": kept, "indices": indices, **parts}


def test_counting_changes_nothing_and_sends_only_reads(opensearch: Any, indexing: Any) -> None:
    rng = np.random.default_rng(2)
    documents = {
        f"d{n}": {
            "embedding": [float(x) for x in rng.integers(-2, 3, DIMENSION) + 0.5],
            "language": "en" if n % 2 else "zh",
            "group": f"g{n // 2}",
        }
        for n in range(200)
    }
    indexing.create(opensearch, "untouched-1", documents, indexing.mapping(DIMENSION), shards=3, delete=("d5", "d6"))
    opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": "untouched-1", "alias": "untouched"}}]})
    opensearch.request("POST", "/untouched/_flush?force=true")
    before = state(opensearch, "untouched")
    exchanges: list[Exchange] = []
    traffic = Traffic(exchanges.append)
    client = ReadOnlyClient(opensearch.url, traffic=traffic)
    queries = rng.normal(size=(20, DIMENSION))
    client.info(), client.health("untouched"), client.aliases("untouched"), client.stats("untouched", shards=True)
    assert client.count("untouched") == 198
    fields = read_fields(client, "untouched", vector="embedding", language="language", group="group")
    with client.point_in_time("untouched") as view_id:
        view = IndexView(client, view_id, fields)
        names = [[f"d{n}", f"d{n + 20}"] for n in range(20, 40)]
        count_ranks(view, queries, names, query_languages=["en"] * 20, top_language=True)
        versions = [[Version(f"g{n}", "en"), Version(f"g{n}", "zh")] for n in range(20, 40)]
        count_version_ranks(view, queries, versions, query_languages=["en"] * 20)
    client.close()
    assert state(opensearch, "untouched") == before
    assert {one.operation for one in exchanges} == {
        *("info", "health", "alias", "stats", "count", "mapping", "settings", "msearch"),
        *("open point in time", "close point in time"),
    }
    assert {one.method for one in exchanges if one.operation not in ("close point in time",)} <= {"GET", "POST"}
    assert all(one.status == 200 for one in exchanges)
    totals = traffic.totals
    assert sum(total.requests for total in totals.values()) == len(exchanges)
    assert totals["msearch"].bytes_in == sum(one.bytes_in for one in exchanges if one.operation == "msearch")
    assert totals["msearch"].server_ms >= 0
    assert client.notes == []
