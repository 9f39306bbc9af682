"""An upgrade that is killed at any moment goes on, and ends as one that was left alone.

Run as a script it makes as many kills as it is told, on a server that is there already::

    PYTHONPATH=.:tools:tests/support python tests/upgrade/test_kill.py URL 100
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import OPTIONS, go_back, run_killed, trial, trial_back, upgrade
from upgrading import Bed

DOCUMENTS = 240


def requests_of(server: Any, folder: Path) -> tuple[int, int]:
    """How many requests an upgrade and a rollback make when they are left alone."""
    bed = Bed(server, folder, documents=DOCUMENTS)
    _, there = run_killed(upgrade, bed, None, before=True)
    _, back = run_killed(go_back, bed, None, before=True)
    return there, back


@pytest.mark.parametrize(("seed", "keep_old_vectors"), [(0, False), (1, True), (2, False)])
def test_a_killed_upgrade_goes_on_and_loses_nothing(
    opensearch: Any, tmp_path: Path, seed: int, keep_old_vectors: bool
) -> None:
    rng = np.random.default_rng(seed)
    there, back = requests_of(opensearch, tmp_path)
    bed = Bed(opensearch, tmp_path, documents=DOCUMENTS)
    trial(bed, rng, there, kills=3, options=replace(OPTIONS, keep_old_vectors=keep_old_vectors))
    trial_back(bed, rng, back)


def main() -> None:
    """Kill until there were enough, and say in which states; every other upgrade keeps the old vectors."""

    class Server:
        def __init__(self, url: str) -> None:
            from opensearch_servers import Server as Plain

            self.url, self.request = url, Plain(url).request

    server, wanted = Server(sys.argv[1]), int(sys.argv[2])
    rng = np.random.default_rng(0)
    states: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        there, back = requests_of(server, Path(folder))
        print(f"an upgrade makes {there} requests, a rollback {back}", flush=True)
        trials = 0
        while states.total() < wanted:
            bed = Bed(server, Path(folder), documents=DOCUMENTS)
            options = replace(OPTIONS, keep_old_vectors=trials % 2 == 1)
            states.update(trial(bed, rng, there, kills=4, options=options))
            states.update(f"rollback: {one}" for one in trial_back(bed, rng, back))
            trials += 1
            print(f"{trials} upgrades, {states.total()} kills: {dict(states)}", flush=True)


if __name__ == "__main__":
    main()
