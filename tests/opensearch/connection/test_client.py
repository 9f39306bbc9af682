"""How the client meets busy, broken and returning servers; a proxy only for what a real server cannot be made to do."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from fault_proxy import Fault, Proxy, reset, status

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.credentials import Credentials
from haystack_crossalign.opensearch.connection.failures import PointInTimeLostError
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView

DIMENSION = 8
SHORT = Patience(total=20.0, first=0.01, longest=0.05)


def _reason(error: urllib.error.HTTPError) -> str:
    """Why a server refused; the assembled one's `request` has read the answer already."""
    return " ".join([*getattr(error, "__notes__", ()), error.fp.read().decode(errors="replace")])


def refuse_item(number: int) -> Fault:
    """Turn one item of a multi-search into a refusal, as an overloaded server does."""

    def answer(_: Any, content: bytes) -> bytes:
        parsed = json.loads(content)
        error = {"type": "circuit_breaking_exception", "reason": "data too large"}
        parsed["responses"][number] = {"status": 429, "error": error}
        return json.dumps(parsed).encode()

    return answer


def change_item(**changes: Any) -> Fault:
    def answer(_: Any, content: bytes) -> bytes:
        parsed = json.loads(content)
        parsed["responses"][0] |= changes
        return json.dumps(parsed).encode()

    return answer


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    rng = np.random.default_rng(9)
    documents = {
        f"d{n}": {"embedding": rng.normal(size=DIMENSION).tolist(), "language": "en" if n % 2 else "zh"}
        for n in range(40)
    }
    indexing.create(opensearch, "faults", documents, indexing.mapping(DIMENSION))
    return "faults"


@pytest.fixture
def proxy(opensearch: Any) -> Iterator[Proxy]:
    proxy = Proxy(opensearch.url)
    yield proxy
    proxy.close()


def ranks(client: ReadOnlyClient, index: str, before: Callable[[], None] = lambda: None) -> list[list[int]]:
    fields = read_fields(client, index, vector="embedding", language="language")
    view = IndexView(client, index, fields)
    view.pool()
    before()
    queries = np.eye(DIMENSION)[:4]
    counted = count_ranks(view, queries, [["d1", "d2"]] * 4, query_languages=["en"] * 4)
    result: list[list[int]] = counted.table.ranks.tolist()
    return result


@pytest.mark.parametrize(
    "faults",
    [
        [status(429, "rejected_execution_exception")] * 3,
        [status(503, "no_shard_available_action_exception")] * 3,
        [reset, reset],
        [refuse_item(0), refuse_item(0)],
        [refuse_item(2), status(503, "x"), reset, refuse_item(0)],
    ],
)
def test_a_busy_server_delays_and_does_not_change_the_ranks(
    opensearch: Any, proxy: Proxy, index: str, faults: list[Fault]
) -> None:
    expected = ranks(ReadOnlyClient(opensearch.url), index)
    client = ReadOnlyClient(proxy.url, patience=SHORT)
    assert ranks(client, index, before=lambda: proxy.faults.extend(faults)) == expected
    assert proxy.faults == []


def test_patience_ends_with_what_the_server_said(proxy: Proxy, index: str) -> None:
    proxy.faults += [status(429, "circuit_breaking_exception")] * 1000
    client = ReadOnlyClient(proxy.url, patience=Patience(total=0.3, first=0.01, longest=0.05))
    with pytest.raises(ExternalError, match=r"still refused after waiting \(status 429\): because of circuit"):
        client.mapping(index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timed_out": True}, "its numbers are incomplete"),
        ({"_shards": {"total": 2, "successful": 1, "skipped": 0, "failed": 1}}, "not all shards answered"),
        ({"_shards": {"total": 2, "successful": 1, "skipped": 0, "failed": 0}}, "not all shards answered"),
    ],
)
def test_incomplete_answers_are_never_counted(proxy: Proxy, index: str, changes: dict[str, Any], message: str) -> None:
    client = ReadOnlyClient(proxy.url, patience=SHORT)
    with pytest.raises(ExternalError, match=message):
        ranks(client, index, before=lambda: proxy.faults.append(change_item(**changes)))


def test_a_language_that_was_cut_off_is_never_ignored(proxy: Proxy, index: str) -> None:
    def cut(_: Any, content: bytes) -> bytes:
        return content.replace(b'"sum_other_doc_count":0', b'"sum_other_doc_count":1', 1)

    client = ReadOnlyClient(proxy.url, patience=SHORT)
    with pytest.raises(InputError, match="too many different values to be the language"):
        IndexView(client, index, read_fields_through(client, proxy, index, cut)).pool()


def read_fields_through(client: ReadOnlyClient, proxy: Proxy, index: str, fault: Fault) -> Any:
    fields = read_fields(client, index, vector="embedding", language="language")
    proxy.faults.append(fault)
    return fields


def test_a_broken_connection_does_not_open_a_second_view(proxy: Proxy, index: str) -> None:
    proxy.faults.append(reset)
    client = ReadOnlyClient(proxy.url, patience=SHORT)
    with pytest.raises(ExternalError, match="no connection"), client.point_in_time(index):
        pass
    assert proxy.requests == [f"POST /{index}/_search/point_in_time"]


def test_a_request_that_ran_out_of_time_is_not_sent_again(proxy: Proxy, index: str) -> None:
    def slow(_: Any, content: bytes) -> bytes:
        time.sleep(1.0)
        return content

    proxy.faults.append(slow)
    client = ReadOnlyClient(proxy.url, patience=SHORT, timeout=0.3)
    with pytest.raises(ExternalError, match="raise the time limit or lower the batch size"):
        client.mapping(index)
    assert len(proxy.requests) == 1


def test_a_view_that_is_gone_is_named(opensearch: Any, index: str) -> None:
    client = ReadOnlyClient(opensearch.url, patience=SHORT)
    with client.point_in_time(index) as view_id:
        pass
    with pytest.raises(PointInTimeLostError, match="the point in time is gone"):
        client.search({"size": 0}, view_id)


def test_a_closed_index_is_named(opensearch: Any, indexing: Any) -> None:
    indexing.create(opensearch, "closed-one", {}, indexing.mapping(DIMENSION))
    opensearch.request("POST", "/closed-one/_close")
    with pytest.raises(InputError, match="index 'closed-one' is closed"):
        ReadOnlyClient(opensearch.url, patience=SHORT).stats("closed-one")
    opensearch.request("DELETE", "/closed-one")


def test_copies_of_a_shard_are_named_where_no_view_names_them(opensearch: Any, index: str) -> None:
    """A view keeps to one copy of each shard, so that a server refuses a preference with it."""
    client = ReadOnlyClient(opensearch.url, patience=SHORT)
    body = {"size": 0, "track_total_hits": True}
    with client.point_in_time(index) as view_id:
        pit = {"id": view_id.identifier}
        with pytest.raises(urllib.error.HTTPError) as refused:
            opensearch.request("POST", "/_search?preference=crossalign", {**body, "pit": pit})
        assert "cannot be used with point in time" in _reason(refused.value)
        frozen = client.search(body, view_id)
        assert frozen["hits"]["total"] == client.search(body, index)["hits"]["total"]
    # There is one copy here, and node by this name there is none: the server reads it.
    with pytest.raises(CrossAlignError, match=r"_only_nodes|nobody"):
        client.search_all([body], index, preference="_only_nodes:nobody")


def test_an_index_deleted_meanwhile_is_an_error(opensearch: Any, indexing: Any) -> None:
    documents = {"a": {"embedding": [1.0] * DIMENSION, "language": "en"}}
    indexing.create(opensearch, "short-lived", documents, indexing.mapping(DIMENSION))
    client = ReadOnlyClient(opensearch.url, patience=Patience(total=0.2))
    fields = read_fields(client, "short-lived", vector="embedding", language="language")
    with client.point_in_time("short-lived") as view_id:
        opensearch.request("DELETE", "/short-lived")
        with pytest.raises((InputError, ExternalError), match=r"no such index|point in time is gone"):
            IndexView(client, view_id, fields).pool()


def test_nobody_at_the_address_is_one_message() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = ReadOnlyClient(f"http://127.0.0.1:{port}", patience=Patience(total=0.1))
    with pytest.raises(ExternalError, match=rf"http://127.0.0.1:{port}: no connection \(.*refused"):
        client.info()


def test_a_search_waits_for_a_server_that_was_killed_and_comes_back(secure_opensearch: Any, indexing: Any) -> None:
    rng = np.random.default_rng(10)
    documents = {f"d{n}": {"embedding": rng.normal(size=DIMENSION).tolist(), "language": "en"} for n in range(40)}
    indexing.create(secure_opensearch, "survivor", documents, indexing.mapping(DIMENSION))
    client = ReadOnlyClient(
        secure_opensearch.url,
        credentials=Credentials("basic", secure_opensearch.password, "admin"),
        ca_file=secure_opensearch.certificates.authority,
        patience=Patience(total=240.0, first=0.2, longest=1.0),
    )
    expected = ranks(client, "survivor")
    restart = threading.Thread(target=secure_opensearch.start)

    def kill() -> None:
        secure_opensearch.kill()
        restart.start()

    try:
        with client.point_in_time("survivor") as view_id:
            assert ranks(client, "survivor", before=kill) == expected
            with pytest.raises(PointInTimeLostError):
                client.search({"size": 0}, view_id)
    finally:
        restart.join()
    client.close()


@pytest.mark.parametrize("host", ["https://user:secret-1@example.org:9200", "ftp://example.org", "https://"])
def test_addresses_that_cannot_be_used_are_refused_without_showing_secrets(host: str) -> None:
    with pytest.raises(InputError) as caught:
        ReadOnlyClient(host)
    assert "secret-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        (Credentials("bearer", "token-1"), "Bearer token-1"),
        (Credentials("api_key", "key-1"), "ApiKey key-1"),
        (Credentials("basic", "password-1", "user"), "Basic dXNlcjpwYXNzd29yZC0x"),
    ],
)
def test_credentials_go_into_the_header_and_nowhere_else(credentials: Credentials, header: str) -> None:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = ReadOnlyClient(f"http://127.0.0.1:{server.server_address[1]}", credentials=credentials)
        client.info()
        server.shutdown()
    assert seen == [header]
    assert "-1" not in f"{credentials!r}{client!r}{client.traffic.totals}"


@pytest.mark.parametrize(("allowed", "hits"), [(False, 0), (True, 2)])
def test_repeated_requests_are_answered_from_the_cache_only_where_allowed(
    opensearch: Any, index: str, allowed: bool, hits: int
) -> None:
    def hit_count() -> int:
        stats = opensearch.request("GET", f"/{index}/_stats/request_cache")
        return int(stats["_all"]["primaries"]["request_cache"]["hit_count"])

    shards = len(opensearch.request("GET", f"/{index}/_stats?level=shards")["indices"][index]["shards"])
    client = ReadOnlyClient(opensearch.url, request_cache=allowed)
    body = {"size": 0, "query": {"term": {"language": "en"}}, "aggs": {"all": {"terms": {"field": "language"}}}}
    opensearch.request("POST", f"/{index}/_cache/clear?request=true")
    before = hit_count()
    for _ in range(3):
        client.search(body, index)
    assert hit_count() - before == hits * shards
    client.close()


def test_waits_grow_and_stay_within_their_bounds() -> None:
    patience = Patience(first=0.5, longest=4.0)
    for attempt, bound in ((0, 0.5), (1, 1.0), (3, 4.0), (2000, 4.0)):
        waits = [patience.wait(attempt) for _ in range(50)]
        assert 0.0 <= min(waits) < max(waits) <= bound
