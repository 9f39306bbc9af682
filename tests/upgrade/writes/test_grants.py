"""What may be written, and that nothing else leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from local_servers import INFO, Received, http_server

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.read_only import WriteRefusedError
from haystack_crossalign.upgrade.writes.grants import Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient

GRANT = Grant(target="new", source="old", aliases=frozenset({"prod"}), delete=frozenset({"gone"}))
BULK = '{"index": {"_id": "a", "version": 1, "version_type": "external_gte"}}\n{"x": 1}\n{"delete": {"_id": "b"}}\n'
SWITCH = {
    "actions": [
        {"remove": {"index": "old", "alias": "prod", "must_exist": True}},
        {"add": {"index": "new", "alias": "prod"}},
    ]
}

ALLOWED = [
    ("PUT", "/crossalign-ledger", (), "{}"),
    ("PUT", "/crossalign-ledger/_create/upgrade-prod", (), "{}"),
    ("PUT", "/crossalign-ledger/_doc/lease-prod", ("if_seq_no", "if_primary_term"), "{}"),
    ("GET", "/crossalign-ledger/_doc/lease-prod", (), None),
    ("POST", "/crossalign-ledger/_mget", (), "{}"),
    ("GET", "/crossalign-ledger/_mapping", (), None),
    ("PUT", "/new", (), "{}"),
    ("POST", "/new/_bulk", (), BULK),
    ("PUT", "/new/_settings", (), '{"index.refresh_interval": null}'),
    ("PUT", "/new/_mapping", (), '{"properties": {"a": {"type": "keyword"}}}'),
    ("POST", "/new/_refresh", (), None),
    ("PUT", "/new/_block/write", (), None),
    ("POST", "/old/_refresh", (), None),
    ("PUT", "/old/_block/write", (), None),
    ("PUT", "/old/_settings", (), '{"index.blocks.write": null}'),
    ("POST", "/_aliases", (), json.dumps(SWITCH)),
    ("DELETE", "/gone", (), None),
]


def _aliases(**changes: Any) -> str:
    return json.dumps({"actions": [{"add": {"index": "new", "alias": "prod"} | changes}]})


REFUSED = [
    # What belongs to somebody else.
    ("PUT", "/other", (), "{}"),
    ("POST", "/other/_bulk", (), BULK),
    ("DELETE", "/other", (), None),
    ("DELETE", "/new", (), None),
    ("DELETE", "/old", (), None),
    ("DELETE", "/gone*", (), None),
    ("DELETE", "/gone,old", (), None),
    ("DELETE", "/gone%2Cold", (), None),
    ("DELETE", "/_all", (), None),
    ("DELETE", "/gone", ("expand_wildcards",), None),
    ("DELETE", "/crossalign-ledger", (), None),
    ("DELETE", "/crossalign-ledger/_doc/a", (), None),
    ("POST", "/crossalign-ledger/_bulk", (), BULK),
    ("PUT", "/crossalign-ledger/_mapping", (), "{}"),
    # What the old index must not suffer.
    ("PUT", "/old", (), "{}"),
    ("POST", "/old/_bulk", (), BULK),
    ("PUT", "/old/_mapping", (), '{"_meta": {}}'),
    ("PUT", "/old/_settings", (), '{"index.blocks.write": null, "index.number_of_replicas": 0}'),
    ("PUT", "/old/_settings", (), '{"index.number_of_replicas": 0}'),
    ("PUT", "/old/_block/read", (), None),
    ("PUT", "/old/_doc/a", (), "{}"),
    ("POST", "/old/_delete_by_query", (), "{}"),
    ("POST", "/old/_update/a", (), "{}"),
    ("POST", "/old/_close", (), None),
    # What reaches elsewhere through an allowed path.
    ("POST", "/new/_bulk", (), '{"index": {"_index": "old", "_id": "a"}}\n{"x": 1}\n'),
    ("POST", "/new/_bulk", (), '{"index": {"_id": "a", "pipeline": "p"}}\n{"x": 1}\n'),
    ("POST", "/new/_bulk", (), '{"update": {"_id": "a"}}\n{"doc": {}}\n'),
    ("POST", "/new/_bulk", (), '{"index": {"_id": "a"}}\n'),
    ("POST", "/new/_bulk", ("pipeline",), BULK),
    ("POST", "/_bulk", (), BULK),
    ("PUT", "/new/_mapping", (), '{"_meta": {}, "properties": {}}'),
    ("PUT", "/new/_mapping", (), "{}"),
    ("POST", "/new/_open", (), None),
    ("POST", "/_aliases", (), _aliases(index="other")),
    ("POST", "/_aliases", (), _aliases(alias="other")),
    ("POST", "/_aliases", (), _aliases(indices=["other"])),
    ("POST", "/_aliases", (), _aliases(aliases=["other"])),
    ("POST", "/_aliases", (), '{"actions": [{"remove_index": {"index": "old"}}]}'),
    ("POST", "/_aliases", (), '{"actions": []}'),
    ("PUT", "/new/_alias/prod", (), None),
    ("PUT", "/_cluster/settings", (), "{}"),
    ("POST", "/_reindex", (), "{}"),
    ("PUT", "/_ingest/pipeline/p", (), "{}"),
    ("GET", "/_snapshot", (), None),
    ("PUT", "/new/../old", (), "{}"),
    ("PUT", "//old", (), "{}"),
]


@pytest.mark.parametrize(("method", "path", "parameters", "body"), ALLOWED)
def test_the_writes_of_an_upgrade_may_pass(method: str, path: str, parameters: tuple[str, ...], body: Any) -> None:
    assert GRANT.check(method, path, parameters, body)
    assert GRANT.check(method, path, parameters, body if body is None else body.encode())


@pytest.mark.parametrize(("method", "path", "parameters", "body"), REFUSED)
def test_all_else_is_refused(method: str, path: str, parameters: tuple[str, ...], body: Any) -> None:
    with pytest.raises(WriteRefusedError):
        GRANT.check(method, path, parameters, body)


@pytest.mark.parametrize(("method", "path", "parameters", "body"), [one for one in ALLOWED if "ledger" not in one[1]])
def test_without_a_job_only_the_ledger_may_be_written(
    method: str, path: str, parameters: tuple[str, ...], body: Any
) -> None:
    with pytest.raises(WriteRefusedError):
        Grant().check(method, path, parameters, body)


def test_the_way_back_alone_may_fill_the_old_index() -> None:
    back = Grant(target="new", source="old", fill_source=True)
    assert back.check("POST", "/old/_bulk", (), BULK) == "bulk"


def test_what_is_refused_is_not_sent() -> None:
    sent: list[str] = []

    def answer(received: Received) -> tuple[int, Any]:
        sent.append(f"{received.method} {received.target}")
        return 200, INFO

    with http_server(answer) as url:
        client = WriteClient(ReadOnlyClient(url), GRANT)
        for method, path, parameters, body in REFUSED:
            with pytest.raises(WriteRefusedError):
                client.request(method, path, parameters=dict.fromkeys(parameters, "a"), body=body)
        assert sent == []
        client.request("POST", "/new/_refresh")
        assert sent == ["POST /new/_refresh"]
