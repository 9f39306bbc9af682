"""An upgrade in a process of its own, killed (SIGKILL) at one of its requests to the cluster.

A kill before a request is one during reading, computing or what the ledger was to be told; one after it loses the
answer to what the cluster has carried out.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from upgrading import KEPT, Bed, check_moved, document, everything, fill, ledger_entries

from haystack_crossalign.opensearch.connection.read_only import ReadOnlyConnection
from haystack_crossalign.upgrade.front import already_done, open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.rollback import roll_back
from haystack_crossalign.upgrade.writes.writer import GrantedConnection

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=60, lease=1.5, small=20)


def upgrade(bed: Bed, options: UpgradeOptions = OPTIONS) -> None:
    """As the command does it."""
    reader, new = bed.reader(), open_way(bed.matrix, None, options)
    if already_done(reader, bed.alias, new, options) is None:
        outcome = run_upgrade(reader, bed.alias, new, options)
        assert outcome.state == "switched", outcome


def go_back(bed: Bed) -> None:
    """As the command does it."""
    roll_back(bed.reader(), bed.alias, lease=OPTIONS.lease)


def run_killed(work: Callable[[Bed], None], bed: Bed, kill_at: int | None, *, before: bool) -> tuple[bool, int]:
    """Run some work in a child process.

    :param kill_at: number of the request, from 1, at which it is killed; None kills nothing.
    :param before: before the request is sent, else once it is answered.
    :returns: whether it was killed, and how many requests it made.
    """
    context = multiprocessing.get_context("fork")
    # Without a lock of its own: the child may be killed while it holds it, and nobody would ever give it back.
    made = context.RawValue("i", 0)

    def child() -> None:
        count = threading.Lock()
        for connection in (ReadOnlyConnection, GrantedConnection):
            _counted(connection, made, count, kill_at, before=before)
        work(bed)

    process = context.Process(target=child, daemon=True)
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError("the upgrade hangs")
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0, made.value


def _counted(connection: Any, made: Any, lock: Any, kill_at: int | None, *, before: bool) -> None:
    send = connection.perform_request

    def perform_request(self: Any, *arguments: Any, **named: Any) -> Any:
        with lock:
            made.value += 1
            number = made.value
        if number == kill_at and before:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = send(self, *arguments, **named)
        if number == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    connection.perform_request = perform_request


def trial(
    bed: Bed, rng: np.random.Generator, requests: int, *, kills: int, options: UpgradeOptions = OPTIONS
) -> list[str]:
    """An upgrade that is killed at random points, goes on, and ends; changes to the index are made at each kill.

    :returns: state of the upgrade at each kill.
    """
    work = partial(upgrade, options=options)
    states = []
    later = 900
    for _ in range(kills):
        done = _finished_units(bed)
        killed, _ = run_killed(work, bed, int(rng.integers(1, requests + 1)), before=bool(rng.integers(2)))
        if not killed:
            break
        after = _finished_units(bed)
        assert all(after[name] == facts for name, facts in done.items()), "a finished unit was done again"
        states.append(_state(bed))
        if bed.behind() == bed.index:
            later += 1
            _change(bed, rng, later)
    run_killed(work, bed, None, before=True)
    old, new = everything(bed.server, bed.index), everything(bed.server, bed.behind())
    assert bed.behind() != bed.index
    if options.keep_old_vectors:
        _require_both(old, new, f"embedding_{open_way(bed.matrix, None, options).sha256[:8]}")
    check_moved(old, new, bed.weights)
    return states


def _require_both(old: dict[Any, Any], new: dict[Any, Any], name: str) -> None:
    """The old vectors are as they were; the new ones take their place in ``new``, for `check_moved`."""
    for key, one in new.items():
        assert one["source"].get("embedding") == old[key]["source"].get("embedding"), key
        assert (name in one["source"]) == ("embedding" in one["source"]), key
        if name in one["source"]:
            one["source"]["embedding"] = one["source"].pop(name)


def trial_back(bed: Bed, rng: np.random.Generator, requests: int) -> list[str]:
    """A rollback that is killed at a random point and done again; what was written since the switch is carried over."""
    new = bed.behind()
    bed.server.request("PUT", f"/{new}/_doc/d-990?refresh=true", {"content": "since"})
    bed.server.request("DELETE", f"/{new}/_doc/d-3?refresh=true")
    states = []
    killed, _ = run_killed(go_back, bed, int(rng.integers(1, requests + 1)), before=bool(rng.integers(2)))
    if killed:
        states.append(_state(bed))
        if states[-1] != "rolled back":
            run_killed(go_back, bed, None, before=True)
    assert bed.behind() == bed.index
    now = everything(bed.server, bed.index)
    assert now["d-990", None]["source"] == {"content": "since"}
    assert ("d-3", None) not in now
    bed.server.request("PUT", f"/{bed.alias}/_doc/d-991", {"content": "writable again"})
    return states


def _change(bed: Bed, rng: np.random.Generator, number: int) -> None:
    """One document more, one changed, one less; a write block that a killed run left is part of the game."""
    try:
        fill(bed.server, bed.index, {f"d-{number}": document(number, rng), "d-7": document(7, rng)})
        bed.server.request("DELETE", f"/{bed.index}/_doc/d-{number - 880}")
    except (AssertionError, OSError):
        assert "index.blocks.write" in bed.settings(bed.index)


def _state(bed: Bed) -> str:
    entry = ledger_entries(bed.server).get(f"upgrade-{bed.alias}")
    return "not begun" if entry is None else str(entry["state"])


def _finished_units(bed: Bed) -> dict[str, Any]:
    entries = ledger_entries(bed.server)
    return {name: one for name, one in entries.items() if name.startswith("unit-") and one["state"] == "done"}
