"""People write through the alias all the while: what was acknowledged is there after the switch, and deletes last."""

from __future__ import annotations

import threading
import time
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upgrading import KEPT, Bed, check_moved, document, everything

from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=5.0, small=50)


class Writer(threading.Thread):
    """Inserts, changes and deletes documents of its own through the alias until it is stopped.

    `there` holds the text of every document whose write was acknowledged, None for those whose delete was.
    """

    def __init__(self, bed: Bed, number: int) -> None:
        super().__init__(daemon=True)
        self.bed, self.number = bed, number
        self.there: dict[str, str | None] = {}
        self.refused = self.written = 0
        self.stop = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        rng = np.random.default_rng([7, self.number])
        try:
            while not self.stop.is_set():
                self._write(rng)
        except BaseException as error:  # noqa: BLE001 - raised again by `join`
            self.failure = error

    def join(self, timeout: float | None = None) -> None:
        self.stop.set()
        super().join(timeout)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure

    def _write(self, rng: np.random.Generator) -> None:
        name = f"w{self.number}-{int(rng.integers(0, 40))}"
        path = f"/{self.bed.alias}/_doc/{name}"
        text: str | None = f"version {time.monotonic_ns()}"
        if self.there.get(name) is not None and rng.random() < 0.3:
            text = None
        try:
            if text is None:
                self.bed.server.request("DELETE", path)
            else:
                self.bed.server.request("PUT", path, document(1, rng) | {"content": text})
        except urllib.error.HTTPError as error:
            # Blocked for the seconds of the switch: the writer is told, and would send it again.
            if error.code != 403:
                raise
            self.refused += 1
            time.sleep(0.05)
            return
        self.written += 1
        self.there[name] = text


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=1000)


def test_no_acknowledged_write_is_lost_and_no_deleted_document_comes_back(bed: Bed) -> None:
    writers = [Writer(bed, number) for number in range(2)]
    for writer in writers:
        writer.start()
    try:
        outcome = run_upgrade(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS)
        blocked = everything(bed.server, bed.index)
        time.sleep(0.5)
    finally:
        for writer in writers:
            writer.join(30)
    assert outcome.state == "switched"
    assert sum(writer.written for writer in writers) > 50
    new = everything(bed.server, bed.behind())
    # Nobody writes to the old index after the switch.
    assert everything(bed.server, bed.index) == blocked
    for writer in writers:
        for name, text in writer.there.items():
            found = new.get((name, None))
            assert (None if found is None else found["source"]["content"]) == text, name
    old_only = {key: one for key, one in blocked.items() if not key[0].startswith("w")}
    check_moved(old_only, {key: one for key, one in new.items() if key in old_only}, bed.weights)


def test_a_document_deleted_and_made_again_is_the_new_one_although_its_version_is_lower(bed: Bed) -> None:
    """Versions begin anew once the server has forgotten a delete."""
    server = bed.server
    for number in range(4):
        server.request("PUT", f"/{bed.index}/_doc/again", {"content": f"first life {number}"})

    def make_again(*_: Any) -> bool:
        server.request("PUT", f"/{bed.index}/_settings", {"index.gc_deletes": "0s"})
        server.request("DELETE", f"/{bed.index}/_doc/again")
        deadline = time.monotonic() + 20
        while True:
            server.request("POST", f"/{bed.index}/_refresh")
            path = f"/{bed.index}/_doc/again?version=1&version_type=external"
            try:
                server.request("PUT", path, {"content": "second life"})
            except urllib.error.HTTPError as error:
                if error.code != 409 or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return True

    outcome = run_upgrade(
        bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS, before_switch=make_again
    )
    assert outcome.state == "switched"
    found = everything(server, bed.behind())["again", None]
    assert found == {"version": 1, "source": {"content": "second life"}}
