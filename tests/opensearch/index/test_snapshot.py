"""What an index was before and after, from the answers of a real server, and what is said about the difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.snapshot import IndexState, Snapshot, changes_between, take_snapshot

STATE = IndexState("uuid-1", 10, 12)
BEFORE = Snapshot("prod", {"prod-1": STATE}, {"prod-1": ["prod"]})


def test_a_snapshot_names_uuid_documents_writes_and_aliases(opensearch: Any, indexing: Any) -> None:
    documents = {f"d{n}": {"embedding": [1.0, float(n)]} for n in range(6)}
    indexing.create(opensearch, "audit-snapshot-1", documents, indexing.mapping(2), shards=1, delete=("d0",))
    actions = [{"add": {"index": "audit-snapshot-1", "alias": name}} for name in ("audit-snapshot", "also")]
    opensearch.request("POST", "/_aliases", {"actions": actions})
    client = ReadOnlyClient(opensearch.url)
    before = take_snapshot(client, "audit-snapshot")
    settings = opensearch.request("GET", "/audit-snapshot-1/_settings")["audit-snapshot-1"]["settings"]["index"]
    # Six writes and one delete have the numbers 0 to 6.
    assert before.indices == {"audit-snapshot-1": IndexState(settings["uuid"], 5, 6)}
    assert before.aliases == {"audit-snapshot-1": ["also", "audit-snapshot"]}
    assert changes_between(before, take_snapshot(client, "audit-snapshot")) == []
    opensearch.request("PUT", "/audit-snapshot-1/_doc/d0?refresh=true", documents["d0"])
    (change,) = changes_between(before, take_snapshot(client, "audit-snapshot"))
    assert "5 documents before, 6 after; sequence number 6 before, 7 after" in change
    client.close()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (BEFORE, []),
        (replace(BEFORE, indices={"prod-1": replace(STATE, uuid="uuid-2")}), ["was deleted and created again"]),
        (replace(BEFORE, indices={"prod-1": replace(STATE, sequence_number=13)}), ["was written to"]),
        (replace(BEFORE, indices={"prod-1": replace(STATE, documents=11)}), ["shows 10 documents before"]),
        (replace(BEFORE, aliases={"prod-1": ["prod", "more"]}), ["the aliases of the index 'prod-1' were changed"]),
        (Snapshot("prod", {"prod-2": STATE}, {"prod-2": ["prod"]}), ["'prod' stood for prod-1 before the audit and"]),
        (Snapshot("prod", {}, {}), ["stands for no index now"]),
    ],
)
def test_each_change_is_named(after: Snapshot, said: list[str]) -> None:
    changes = changes_between(BEFORE, after)
    assert len(changes) == len(said)
    for change, part in zip(changes, said, strict=True):
        assert part in change
