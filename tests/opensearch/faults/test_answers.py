"""Storms of refusals, broken connections and slow answers in the middle of an audit."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fault_proxy import Fault, Proxy, reset, status
from live_faults import audit, documents

from haystack_crossalign.opensearch.connection.patient import Patience


@pytest.fixture(scope="module")
def expected(opensearch: Any, indexing: Any) -> list[list[int]]:
    indexing.create(opensearch, "bench-answers", documents(), indexing.mapping(8))
    outcome = audit(opensearch.url, "bench-answers")
    assert outcome.ranks is not None
    return outcome.ranks


@pytest.fixture
def proxy(opensearch: Any) -> Iterator[Proxy]:
    proxy = Proxy(opensearch.url)
    yield proxy
    proxy.close()


def untouched(_: Any, content: bytes) -> bytes:
    return content


def cut_short(handler: Any, content: bytes) -> None:
    """Announce the whole answer, send half of it, and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.close_connection = True


STORMS: dict[str, list[Fault]] = {
    "429": [status(429, "rejected_execution_exception")],
    "503": [status(503, "no_shard_available_action_exception")],
    "502 and 504": [status(502, "bad_gateway"), status(504, "gateway_timeout")],
    "circuit breaker": [status(429, "circuit_breaking_exception")],
    "resets": [reset],
    "answers cut off": [cut_short],
}


@pytest.mark.parametrize("storm", list(STORMS))
def test_a_storm_that_passes_leaves_the_ranks_as_they_are(proxy: Proxy, expected: Any, storm: str) -> None:
    pattern = [*STORMS[storm], *STORMS[storm], untouched]
    # Opening the point in time is not repeated where the connection broke, so the storm begins after it.
    proxy.before = lambda request: proxy.faults.extend(
        pattern if request.endswith("/_msearch") and not proxy.faults else []
    )
    outcome = audit(proxy.url, "bench-answers")
    assert (outcome.code, outcome.message) == (0, "")
    assert outcome.ranks == expected
    searches = sum(request.endswith("/_msearch") for request in proxy.requests)
    assert searches >= len(pattern) * 9  # the pool, and twice for each of four batches


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(429, "rejected_execution_exception"), r"still refused after waiting \(status 429\): because of"),
        (status(503, "cluster_block_exception"), r"still refused after waiting \(status 503\): because of"),
        (reset, r"no connection"),
        (status(500, "null_pointer_exception"), r"failed with status 500: because of null_pointer_exception"),
    ],
)
def test_a_storm_that_does_not_pass_ends_with_one_message(proxy: Proxy, fault: Fault, message: str) -> None:
    proxy.before = lambda request: proxy.faults.append(fault) if request.endswith("/_msearch") else None
    outcome = audit(proxy.url, "bench-answers", patience=Patience(total=0.5, first=0.01, longest=0.05))
    assert outcome.code == 3
    assert outcome.ranks is None
    assert re.search(message, outcome.message)
    assert "\n" not in outcome.message
    assert "Traceback" not in outcome.message


def test_slow_answers_within_the_limit_are_waited_for(proxy: Proxy, expected: Any) -> None:
    proxy.before = lambda request: time.sleep(0.2) if request.endswith("/_msearch") else None
    assert audit(proxy.url, "bench-answers", timeout=5.0).ranks == expected


@pytest.mark.usefixtures("expected")
def test_slow_answers_beyond_the_limit_name_what_to_change(proxy: Proxy) -> None:
    proxy.before = lambda request: time.sleep(1.0) if request.endswith("/_msearch") else None
    outcome = audit(proxy.url, "bench-answers", timeout=0.3)
    assert outcome.code == 3
    assert "in time; raise the time limit or lower the batch size" in outcome.message
    assert [one for one in proxy.requests if one.endswith("/_msearch")] == ["POST /_msearch"]


@pytest.mark.usefixtures("expected")
def test_an_answer_that_is_no_json_is_one_message(proxy: Proxy) -> None:
    def page(handler: Any, _: bytes) -> None:
        handler.reply(200, b"<html>welcome to the proxy</html>")

    proxy.before = lambda request: proxy.faults.append(page) if request.endswith("/_msearch") else None
    outcome = audit(proxy.url, "bench-answers")
    assert outcome.code == 3
    assert outcome.ranks is None
