"""Which tests run in one process of ``pytest --numprocesses N --dist loadfile``, and in which order.

Not by xdist's own groups: with pytest 9.2 its ``loadgroup`` runs every test by itself, and says nothing.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from typing import Any

import pytest
from opensearch_servers import VERSIONS

# Units that take minutes, the longest first: last, they would leave one process waiting for the other.
LONGEST = [*VERSIONS, "audit/test_reference_figures.py", "opensearch", "test_readme.py", "cli/test_commands.py"]

# The mark of tests that use one of these fixtures, also through others. `make test-fast` leaves all of them out.
MARKS = {
    "server": {"servers", "opensearch", "secure_opensearch", "model_cluster"},
    "cluster_models": {"model_cluster"},
    "browser": {"browser"},
    "data": {"shared_data"},
    "model": {"offline_model"},
}

# What says nothing new on a second version of the server: these tests send it the requests that the tests of
# opensearch/ send to every version, and check what is made of the answers.
ONE_VERSION = (
    "api/",
    "cli/",
    "components/",
    # What is counted from answers whose form the other tests of these folders hold for every version.
    "opensearch/audit/test_counted_hits.py",
    "opensearch/audit/test_graded.py",
    "opensearch/audit/test_judged.py",
    "opensearch/audit/test_shared_ids.py",
    "opensearch/faults/",
    "opensearch/live/test_known_items.py",
    "opensearch/live/test_queries.py",
    "opensearch/model/test_newest.py",
    "pipelines/",
    "retrain/",
    # What goes wrong from outside; a whole upgrade runs on every version in upgrade/test_run.py.
    "upgrade/test_faults.py",
    "upgrade/test_follow.py",
    "upgrade/test_interference.py",
    "upgrade/test_kill.py",
    "upgrade/test_old_model.py",
    "upgrade/test_searching_clients.py",
    "upgrade/test_slices.py",
    "upgrade/test_writers.py",
)


def unit_of(test: str) -> str:
    """What goes to one process: tests of one version of the server, which each process would start again; what else
    asks servers, above all the one with security; and each other file.

    :param test: id of a test, such as ``tests/opensearch/connection/test_client.py::test_pages[3.6.0]``.
    """
    file, _, name = test.removeprefix("tests/").partition("::")
    versions = [one for one in (*VERSIONS, "external") if re.search(rf"\[(.*-)?{re.escape(one)}[-\]]", name)]
    return versions[0] if versions else "opensearch" if file.startswith("opensearch/") else file


def says_nothing_new(test: str) -> bool:
    """Whether a test asks an older version of the server what `ONE_VERSION` leaves to the newest.

    :param test: its id.
    """
    return test.removeprefix("tests/").startswith(ONE_VERSION) and unit_of(test) in VERSIONS[1:]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what says nothing new, mark what needs more than Python, and begin with what takes longest."""
    left_out = [item for item in items if says_nothing_new(item.nodeid)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not says_nothing_new(item.nodeid)]
    for item in items:
        for mark, fixtures in MARKS.items():
            if not fixtures.isdisjoint(getattr(item, "fixturenames", ())):
                item.add_marker(mark)
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(unit_of(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Units in place of files, in the order in which they were collected."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class UnitScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return UnitScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Say how a process of the tests ended that was not asked to: by which signal, or with which exit code."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if error is None or process is None:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    how = "still runs" if process.returncode is None else f"ended with {process.returncode}"
    print(f"\n{node.gateway.id}: process {process.pid} {how}", flush=True)
