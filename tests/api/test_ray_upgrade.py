"""An upgrade by the workers of a real Ray on this machine, one of which is killed in the middle.

They run where the extra is installed (`pip install --constraint constraints.txt --editable '.[ray]'`).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upgrading import BASE, KEPT, Bed, check_moved, everything, ledger_entries

from haystack_crossalign.api.ray_upgrade import (
    SharedUpgrade,
    WorkerFailedError,
    Workers,
    connection_secrets,
    upgrade_on_ray,
)
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import write_matrix_file
from haystack_crossalign.upgrade.front import open_way
from haystack_crossalign.upgrade.options import UpgradeOptions

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="needs Ray: pip install 'haystack-crossalign[ray]'")
OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=20, lease=2.0)
DOCUMENTS = 300


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One Ray for all tests of this file: to start it takes longer than they do."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False, logging_level="error"
    )
    yield
    ray.shutdown()


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=DOCUMENTS)


def shared(bed: Bed, **changes: Any) -> SharedUpgrade:
    settings = LiveSettings(hosts=(bed.server.url,), index=bed.alias)
    return SharedUpgrade(settings, open_way(bed.matrix, None, OPTIONS), replace(OPTIONS, **changes))


def a_worker_that_copies(bed: Bed) -> int:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for name, entry in ledger_entries(bed.server).items():
            if name.startswith("unit-") and entry["state"] == "held":
                return int(entry["owner"]["pid"])
        time.sleep(0.02)
    raise AssertionError("no worker began to copy")


@needs_ray
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(bed: Bed) -> None:
    old = everything(bed.server, bed.index)
    done: list[Any] = []
    # Slow enough that the first worker found at work is in the middle of it.
    work = threading.Thread(target=lambda: done.append(upgrade_on_ray(shared(bed, max_load=60.0), Workers(2))))
    work.start()
    killed = a_worker_that_copies(bed)
    os.kill(killed, signal.SIGKILL)
    work.join(240)
    assert not work.is_alive()
    (result,) = done
    assert (result.outcome.state, result.outcome.follows, result.lost) == ("switched", False, ())
    # Two ended well, and the one that was killed is neither of them: Ray has put another one in its place.
    assert len(result.processes) == 2
    assert killed not in {int(process.rpartition(":")[2]) for process in result.processes}
    units = [one for name, one in ledger_entries(bed.server).items() if name.startswith("unit-")]
    assert {one["state"] for one in units} == {"done"}
    assert sum(one["documents"] for one in units) == DOCUMENTS
    check_moved(old, everything(bed.server, bed.behind()), bed.weights)


@needs_ray
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_what_stands_in_the_way_is_one_message_with_its_exit_code(bed: Bed) -> None:
    bed.server.request("PUT", f"/{bed.index}/_settings", {"index.blocks.write": True})
    with pytest.raises(WorkerFailedError, match="somebody lets nobody write to this index") as caught:
        upgrade_on_ray(shared(bed), Workers(2))
    assert caught.value.exit_code == InputError.exit_code
    bed.server.request("PUT", f"/{bed.index}/_settings", {"index.blocks.write": None})
    assert bed.behind() == bed.index


@needs_ray
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_an_interrupted_upgrade_gives_its_leases_back_and_goes_on_later(bed: Bed) -> None:
    calls: list[int] = []

    def tell(*_: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upgrade_on_ray(shared(bed, max_load=20.0), Workers(2), tell=tell)
    assert [name for name, entry in ledger_entries(bed.server).items() if entry["state"] == "held"] == []
    result = upgrade_on_ray(shared(bed), Workers(2))
    assert (result.outcome.state, result.lost) == ("switched", ())


@pytest.mark.parametrize("wrong", [{"count": 0}, {"cpus": -1.0}, {"gpus": -0.5}])
def test_workers_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="Ray workers: out of range"):
        Workers(**wrong)


def test_ray_that_is_not_installed_is_said_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = tmp_path / "matrix.safetensors"
    write_matrix_file(AffineMap(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)), path, base=BASE)
    upgrade = SharedUpgrade(LiveSettings(hosts=("http://localhost:1",)), open_way(path, None, OPTIONS), OPTIONS)
    with pytest.raises(InputError, match=r"needs Ray; install it: pip install 'haystack-crossalign\[ray\]'"):
        upgrade_on_ray(upgrade, Workers(2))


def test_secrets_of_the_connection_are_sent_and_never_shown() -> None:
    found = connection_secrets({"CROSSALIGN_PASSWORD": "pw-1", "CROSSALIGN_TOKEN": "", "HOME": "/root"})
    assert found == {"CROSSALIGN_PASSWORD": "pw-1"}
    new: Any = None
    assert "pw-1" not in repr(SharedUpgrade(LiveSettings(), new, OPTIONS, environment=found))
