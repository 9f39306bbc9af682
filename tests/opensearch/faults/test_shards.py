"""Shards that go away: numbers of what is left of an index would be wrong, so there are none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fault_proxy import Proxy
from live_faults import Outcome, at_search, audit, documents

from haystack_crossalign.opensearch.connection.patient import Patience

NAME, OTHER = "bench-shards", "bench-shards-missing"


@pytest.fixture
def expected(opensearch: Any, indexing: Any) -> list[list[int]]:
    indexing.create(opensearch, NAME, documents(), indexing.mapping(8))
    outcome = audit(opensearch.url, NAME)
    assert outcome.ranks is not None
    return outcome.ranks


@pytest.fixture
def disturbed(opensearch: Any) -> Iterator[Callable[..., Outcome]]:
    """Audits while something happens before the fourth search."""
    proxy = Proxy(opensearch.url)

    def run(action: Callable[[], object], index: str = NAME, **options: Any) -> Outcome:
        done: list[object] = []
        proxy.before = at_search(3, lambda: done.append(action()))
        outcome = audit(proxy.url, index, **options)
        assert len(done) == 1
        return outcome

    yield run
    proxy.close()


def test_a_shard_that_is_taken_away_and_recovers_leaves_the_ranks_right(
    opensearch: Any, disturbed: Callable[..., Outcome], expected: Any
) -> None:
    node = next(iter(opensearch.request("GET", "/_nodes/_local/http")["nodes"].values()))["name"]
    cancel = {"index": NAME, "shard": 1, "node": node, "allow_primary": True}
    outcome = disturbed(lambda: opensearch.request("POST", "/_cluster/reroute", {"commands": [{"cancel": cancel}]}))
    assert outcome.ranks == expected or (outcome.code == 3 and re.search(r"shard|point in time", outcome.message))


@pytest.mark.parametrize("per_node", [1, 0], ids=["a shard missing", "no shard at all"])
def test_shards_that_are_missing_are_never_counted_as_empty(opensearch: Any, indexing: Any, per_node: int) -> None:
    where = {"total_shards_per_node": 1} if per_node else {"require._name": "nowhere"}
    settings = {f"index.routing.allocation.{key}": value for key, value in where.items()}
    settings |= {"index.knn": True, "number_of_shards": 2, "number_of_replicas": 0}
    opensearch.request("DELETE", f"/{OTHER}?ignore_unavailable=true")
    body = {"settings": settings, "mappings": indexing.mapping(8)}
    opensearch.request("PUT", f"/{OTHER}?wait_for_active_shards=0", body)
    try:
        # There the number is of all shards; at the creation it would be of the copies of each.
        health = opensearch.request("GET", f"/_cluster/health/{OTHER}?wait_for_active_shards={per_node}&timeout=30s")
        assert (health["status"], health["active_primary_shards"]) == ("red", per_node)
        lines: list[dict[str, Any]] = []
        for identifier, document in documents().items():
            lines += [{"index": {"_id": identifier}}, document]
        opensearch.request("POST", f"/{OTHER}/_bulk?refresh=true&timeout=100ms", lines)
        outcome = audit(opensearch.url, OTHER, patience=Patience(total=0.5, first=0.01, longest=0.1))
        assert outcome.code == 3
        assert outcome.ranks is None
        missing = f"[{OTHER}][1]" if per_node else f"[{OTHER}][0], [{OTHER}][1]"
        assert f"shards of the index are missing ({missing})" in outcome.message
        assert "\n" not in outcome.message
    finally:
        opensearch.request("DELETE", f"/{OTHER}")
