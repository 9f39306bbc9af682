"""A server that freezes, dies or forgets in the middle of an audit; it is this file's own, and started once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Proxy
from live_command import run_audit
from live_faults import Outcome, at_search, audit, documents
from opensearch_server import OpenSearchServer
from requirements import require

from haystack_crossalign.opensearch.connection.patient import Patience

pytestmark = pytest.mark.server

NAME = "bench-server"


@pytest.fixture(scope="module")
def server() -> Iterator[OpenSearchServer]:
    require("server")
    with OpenSearchServer("3.6.0", heap="512m", quick=True) as server:
        yield server


@pytest.fixture(scope="module")
def expected(server: OpenSearchServer, indexing: Any) -> list[list[int]]:
    indexing.create(server, NAME, documents(), indexing.mapping(8))
    outcome = audit(server.url, NAME)
    assert outcome.ranks is not None
    return outcome.ranks


@pytest.fixture
def disturbed(server: OpenSearchServer) -> Iterator[Callable[..., Outcome]]:
    """Audits while something happens before the fourth search."""
    proxy = Proxy(server.url)

    def run(action: Callable[[], object], **options: Any) -> Outcome:
        proxy.before = at_search(3, action)
        return audit(proxy.url, NAME, **options)

    yield run
    proxy.close()


def test_a_server_that_freezes_for_a_moment_is_waited_for(
    server: OpenSearchServer, disturbed: Callable[..., Outcome], expected: Any
) -> None:
    def freeze() -> None:
        server.pause()
        threading.Timer(1.0, server.resume).start()

    assert disturbed(freeze, timeout=60.0).ranks == expected


@pytest.mark.usefixtures("expected")
def test_a_server_that_stays_frozen_is_one_message(server: OpenSearchServer, disturbed: Callable[..., Outcome]) -> None:
    try:
        outcome = disturbed(server.pause, timeout=1.0)
    finally:
        server.resume()
    assert outcome.code == 3
    assert outcome.ranks is None
    assert "no answer to POST /_msearch in time" in outcome.message


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("how", ["the point in time expires", "the server is killed and restarted"])
def test_an_audit_that_lost_its_point_in_time_goes_on_with_the_same_numbers(
    server: OpenSearchServer, tmp_path: Path, how: str
) -> None:
    whole = run_audit(server.url, NAME, tmp_path)
    assert whole.code == 0
    proxy = Proxy(server.url)
    restart = threading.Thread(target=server.start)
    state, patient = tmp_path / "state.jsonl", {"CROSSALIGN_PATIENCE": "180"}

    def lose() -> None:
        if how == "the point in time expires":
            server.request("DELETE", "/_search/point_in_time/_all")
        else:
            server.kill()
            restart.start()

    proxy.before = at_search(12, lose)
    try:
        stopped = run_audit(proxy.url, NAME, tmp_path, "--state", str(state), environment=patient)
    finally:
        if restart.ident is not None:
            restart.join()
        proxy.close()
    assert stopped.code == 3
    assert "the point in time is gone (it expired, or the server restarted)" in stopped.message
    assert stopped.result is not None
    assert 0 < stopped.result["live"]["partial"]["queries"] < stopped.result["live"]["partial"]["of"] == 12
    resumed = run_audit(server.url, NAME, tmp_path, "--resume", str(state), environment=patient)
    assert resumed.code == 0
    assert resumed.numbers == whole.numbers
    assert resumed.result is not None
    assert resumed.result["live"]["partial"] is None


@pytest.mark.usefixtures("expected")
def test_a_server_that_does_not_come_back_is_one_message(
    server: OpenSearchServer, disturbed: Callable[..., Outcome]
) -> None:
    try:
        outcome = disturbed(server.kill, patience=Patience(total=1.0, first=0.05, longest=0.2))
        assert outcome.code == 3
        assert outcome.ranks is None
        assert "no connection" in outcome.message
        assert "\n" not in outcome.message
    finally:
        server.start()
