"""Fixtures that several parts of the suite share: real data, the real model, and quiet telemetry."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

# The servers are started once for the whole suite, whichever folder asks first.
from opensearch_servers import VERSIONS, indexing, opensearch, secure_opensearch, servers

__all__ = ["indexing", "opensearch", "secure_opensearch", "servers"]

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Threads of several processes that wait for each other on the same cores take twice the time: each gets its share.
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if PROCESSES > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // PROCESSES)))

# What a shell runs in the background ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
OFFLINE_MODEL = "offline:multilingual-e5-small"


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the shared data sets (XQuAD and the parallel training data)."""
    folder = Path(os.environ.get("CROSSALIGN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "xquad" / "xquad.en.json").is_file():
        pytest.fail(
            f"The tests need the XQuAD files under {folder / 'xquad'}: set CROSSALIGN_SHARED_DATA to the folder that "
            "holds xquad/ and train/."
        )
    return folder


@pytest.fixture(scope="session")
def offline_model() -> str:
    """Name of the 4-bit copy of multilingual-e5-small, unpacked into the cache."""
    from haystack_crossalign.models.offline import resolve_offline_model

    resolve_offline_model(OFFLINE_MODEL)
    return OFFLINE_MODEL


# Units that take minutes, the longest first: last, they would leave one process waiting for the other.
LONGEST = [*VERSIONS, "audit/test_reference_figures.py", "opensearch", "test_readme.py", "cli/test_commands.py"]


def unit_of(test: str) -> str:
    """What goes to one process: tests of one version of the server, which each process would start again; what else
    asks servers, above all the one with security; and each other file.

    :param test: id of a test, such as ``tests/opensearch/test_client.py::test_pages[3.4.0]``.
    """
    file, _, name = test.removeprefix("tests/").partition("::")
    versions = [one for one in (*VERSIONS, "external") if re.search(rf"\[(.*-)?{re.escape(one)}[-\]]", name)]
    return versions[0] if versions else "opensearch" if file.startswith("opensearch/") else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(unit_of(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of ``--dist loadfile``: files, but for the servers, in the order in which they were collected."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class UnitScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return UnitScheduling(config, log)
