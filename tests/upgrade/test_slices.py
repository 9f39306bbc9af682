"""Several processes share one upgrade through the ledger, and one that dies is made up for by the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from upgrading import KEPT, Bed, check_moved, everything, ledger_entries

from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.plan import make_plan
from haystack_crossalign.upgrade.writes.writer import GrantedConnection

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=20, lease=2.0)


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=600)


def part(bed: Bed, number: int, of: int, told: Any, writes: Any, dies_at: int | None = None) -> None:
    """Process ``number`` of ``of``; counts its bulk requests in ``writes``; dies (SIGKILL) at the n-th if asked to.

    From its fourth on, the first waits until another has sent two, so that it cannot do everything before they
    begin. Only bulk requests wait: its leases stay alive, and what it has copied is recorded as its own.
    """
    options = replace(OPTIONS, part=(number, of))
    new = open_way(bed.matrix, None, options)
    # Its bulk request is none of the copy.
    plan = make_plan(bed.reader(), bed.alias, new, options)
    send, bulks = GrantedConnection.perform_request, [0]

    def perform_request(self: Any, method: str, url: str, *rest: Any, **named: Any) -> Any:
        if url.endswith("_bulk"):
            bulks[0] += 1
            writes[number] = min(bulks[0], 100)
            if bulks[0] == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            until = time.monotonic() + 60
            while number == 1 and bulks[0] >= 4 and max(writes[2:]) < 2 and time.monotonic() < until:
                time.sleep(0.01)
        return send(self, method, url, *rest, **named)

    GrantedConnection.perform_request = perform_request  # type: ignore[method-assign]
    outcome = run_upgrade(bed.reader(), bed.alias, new, options, plan=plan)
    told.put((number, outcome.state, outcome.follows))


@pytest.mark.parametrize("dies_at", [None, 1])
def test_processes_share_the_work_and_a_dead_one_is_made_up_for(bed: Bed, dies_at: int | None) -> None:
    old = everything(bed.server, bed.index)
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    # Flags without a lock, not events: one that dies while it sets an event leaves its lock taken for ever.
    deaths, writes = {1: dies_at}, context.RawArray("b", 4)
    processes = [
        context.Process(target=part, args=(bed, one, 3, told, writes, deaths.get(one)), daemon=True)
        for one in (1, 2, 3)
    ]
    processes[0].start()
    until = time.monotonic() + 60
    while not writes[1]:  # the others could be done before it has begun
        assert time.monotonic() < until
        assert processes[0].is_alive() or writes[1]
        time.sleep(0.01)
    for process in processes[1:]:
        process.start()
    for process in processes:
        process.join(120)
        assert not process.is_alive()
    codes = sorted(process.exitcode or 0 for process in processes)
    assert codes == ([0, 0, 0] if dies_at is None else [-signal.SIGKILL, 0, 0])
    states = [told.get(timeout=10) for code in codes if code == 0]
    assert any(state == "switched" for _, state, _ in states)
    assert all(follows or state == "switched" for _, state, follows in states)
    units = [one for name, one in ledger_entries(bed.server).items() if name.startswith("unit-")]
    assert all(one["state"] == "done" for one in units)
    assert sum(one["documents"] for one in units) == 600
    assert len({one["owner"]["pid"] for one in units}) > 1
    check_moved(old, everything(bed.server, bed.behind()), bed.weights)
