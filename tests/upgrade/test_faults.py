"""A cluster that refuses, fills up or restarts in the middle: the upgrade waits or stops, and goes on from there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_proxy import Proxy
from opensearch_server import OpenSearchServer
from requirements import require
from upgrading import KEPT, Bed, check_moved, everything, ledger_entries

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.upgrade.documents.source import deletes
from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.plan import make_plan
from haystack_crossalign.upgrade.records.leases import Leases
from haystack_crossalign.upgrade.records.ledger import Ledger
from haystack_crossalign.upgrade.records.owner import this_owner
from haystack_crossalign.upgrade.writes.grants import Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=1.5)
REFUSAL = {"type": "rejected_execution_exception", "reason": "too much"}


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=400)


@pytest.fixture
def proxy(bed: Bed) -> Iterator[Proxy]:
    made = Proxy(bed.server.url)
    yield made
    made.close()


def upgrade(bed: Bed, url: str | None = None, *, patience: float = 20.0, options: UpgradeOptions = OPTIONS) -> Any:
    """The plan looks past the proxy, so that the proxy sees no bulk request but those of the copy."""
    new = open_way(bed.matrix, None, options)
    direct = bed.reader()
    plan = make_plan(direct, bed.alias, new, options)
    direct.close()
    reader = bed.reader(url, patience=Patience(total=patience, first=0.05, longest=0.3))
    try:
        return run_upgrade(reader, bed.alias, new, options, plan=plan)
    finally:
        reader.close()


def test_items_that_are_refused_as_too_much_are_sent_again_and_nothing_else(bed: Bed, proxy: Proxy) -> None:
    rng = np.random.default_rng(2)
    sent: list[str] = []
    refused = [0]

    def storm(request: str, body: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
        if not request.endswith("_bulk"):
            return body, bytes
        lines = body.decode().rstrip("\n").split("\n")
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        keep = rng.random(len(pairs)) < 0.6
        keep[0] = True  # a bulk request may not be empty
        refused[0] += int((~keep).sum())
        sent.extend(json.loads(action)["index"]["_id"] for (action, _), kept in zip(pairs, keep, strict=True) if kept)

        def finish(content: bytes) -> bytes:
            answer = json.loads(content)
            items = iter(answer["items"])
            no = {"index": {"status": 429, "error": REFUSAL}}
            answer["items"] = [next(items) if kept else no for kept in keep]
            return json.dumps(answer).encode()

        return "".join(f"{a}\n{s}\n" for (a, s), kept in zip(pairs, keep, strict=True) if kept).encode(), finish

    proxy.rewrite = storm
    old = everything(bed.server, bed.index)
    assert upgrade(bed, proxy.url).state == "switched"
    assert refused[0] > 100
    assert sorted(sent) == sorted(name for name, _ in old)
    check_moved(old, everything(bed.server, bed.behind()), bed.weights)


def test_a_full_disk_stops_the_upgrade_and_it_goes_on_from_there(bed: Bed, proxy: Proxy) -> None:
    """The flood stage of a full disk sets this very block."""
    block = "index.blocks.read_only_allow_delete"
    bulks = [0]

    def fill_disk(request: str) -> None:
        if request.endswith("_bulk"):
            bulks[0] += 1
            if bulks[0] == 3:
                index = request.split("/")[1]
                bed.server.request("PUT", f"/{index}/_settings", {block: True})

    proxy.before = fill_disk
    with pytest.raises(ExternalError, match="the disk of the cluster is full"):
        upgrade(bed, proxy.url, patience=1.0)
    assert bed.behind() == bed.index
    (target,) = (name for name in bed.server.request("GET", "/up-2*/_settings"))
    bed.server.request("PUT", f"/{target}/_settings", {block: None})
    done = {name: one for name, one in ledger_entries(bed.server).items() if one.get("state") == "done"}
    outcome = upgrade(bed)
    assert outcome.state == "switched"
    now = ledger_entries(bed.server)
    assert all(now[name] == one for name, one in done.items())
    check_moved(everything(bed.server, bed.index), everything(bed.server, bed.behind()), bed.weights)


@pytest.mark.server
def test_a_node_that_restarts_in_the_middle_is_waited_for(tmp_path: Path) -> None:
    require("server")
    with OpenSearchServer("2.19.1", quick=True, heap="512m") as server:
        bed = Bed(server, tmp_path, documents=400)
        proxy = Proxy(server.url)
        bulks = [0]

        def restart(request: str) -> None:
            bulks[0] += request.endswith("_bulk")
            if bulks[0] == 3 and request.endswith("_bulk"):
                server.kill()
                server.start()

        proxy.before = restart
        try:
            old = everything(server, bed.index)
            assert upgrade(bed, proxy.url, patience=60.0).state == "switched"
        finally:
            proxy.close()
        check_moved(old, everything(server, bed.behind()), bed.weights)


@pytest.mark.server
def test_a_delete_after_a_restart_that_the_server_counts_as_the_one_before_is_not_undone(tmp_path: Path) -> None:
    require("server")
    with OpenSearchServer("2.19.1", quick=True, heap="512m") as server:
        bed = Bed(server, tmp_path, documents=60)
        # Both have the routing r1, so that they lie in one shard.
        server.request("DELETE", f"/{bed.index}/_doc/d-5?routing=r1")
        server.request("POST", f"/{bed.index}/_flush?force=true")
        before = deletes(bed.reader(), bed.index)

        def restart(*_: Any) -> bool:
            server.kill()
            server.start()
            server.request("GET", f"/_cluster/health/{bed.index}?wait_for_status=yellow&timeout=60s")
            server.request("DELETE", f"/{bed.index}/_doc/d-25?routing=r1&refresh=true")
            assert deletes(bed.reader(), bed.index) == before
            return True

        reader = bed.reader(patience=Patience(total=60.0, first=0.05, longest=0.3))
        new = open_way(bed.matrix, None, OPTIONS)
        # Without a write block no comparison of counts would stop it either.
        options = UpgradeOptions(keep_fields=KEPT, unit=100, lease=60.0, write_block=False)
        assert run_upgrade(reader, bed.alias, new, options, before_switch=restart).state == "switched"
        found = everything(server, bed.behind())
        assert ("d-25", "r1") not in found
        assert len(found) == 58


def test_a_second_upgrade_is_told_who_runs(bed: Bed) -> None:
    reader = bed.reader()
    client = WriteClient(reader, Grant())
    ledger = Ledger(client)
    ledger.create()
    with Leases(ledger, {**this_owner(), "id": "other"}, seconds=30.0) as theirs:
        assert theirs.take(f"lease-{bed.alias}") is not None
        with pytest.raises(InputError, match=r"up: is being upgraded by process \d+ on .*--slice i/n"):
            upgrade(bed)
    assert upgrade(bed).state == "switched"


def test_a_silent_owner_is_taken_over_and_finds_out(bed: Bed) -> None:
    reader = bed.reader()
    ledger = Ledger(WriteClient(reader, Grant()))
    ledger.create()
    # On another machine, where nobody here can see whether it lives; it has stopped beating.
    other = {**this_owner(), "id": "other", "host": "elsewhere"}
    silent = Leases(ledger, other, seconds=30.0)
    lease = silent.take(f"lease-{bed.alias}")
    assert lease is not None
    with Leases(ledger, this_owner(), seconds=0.3) as ours:
        assert ours.take(f"lease-{bed.alias}") is None
        assert ours.holder(f"lease-{bed.alias}") is not None
        deadline = time.monotonic() + 20
        while ours.take(f"lease-{bed.alias}") is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ledger.change(lease, lease.data) is None
    assert upgrade(bed).state == "switched"
