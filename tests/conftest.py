"""Fixtures that several parts of the suite share: real data, the real model; and what holds for every process of it."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest

# Helpers in tests/support and tools/, which pyproject.toml puts on the path. The servers are started once for the whole
# suite, whichever folder asks first.
from model_cluster import model_cluster
from opensearch_servers import indexing, opensearch, secure_opensearch, servers
from quick_python import quick_programs, quick_python
from requirements import SHARED_DATA, pytest_terminal_summary, require
from scheduling import pytest_collection_modifyitems, pytest_testnodedown, pytest_xdist_make_scheduler
from signal_stack import handle_signals_on_the_usual_stack

__all__ = [
    "indexing",
    "model_cluster",
    "opensearch",
    "pytest_collection_modifyitems",
    "pytest_terminal_summary",
    "pytest_testnodedown",
    "pytest_xdist_make_scheduler",
    "quick_programs",
    "quick_python",
    "secure_opensearch",
    "servers",
]

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


def pytest_collection_finish() -> None:
    """What all test modules have imported stays: else each training run, whose libraries collect garbage, and each full
    collection on the way, would go through a million objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _usual_stack() -> None:
    """A signal in a process that has computed by OpenVINO with AMX does not end it."""
    handle_signals_on_the_usual_stack()


@pytest.fixture(autouse=True)
def _no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine changes nothing that a command prints: lines of progress have their own tests."""
    monkeypatch.setattr("haystack_crossalign.cli.shared.progress._SILENCE", 3600.0)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the shared data sets (XQuAD and the parallel training data)."""
    require("data")
    return SHARED_DATA


@pytest.fixture(scope="session")
def offline_model() -> str:
    """Name of the 4-bit copy of multilingual-e5-small, unpacked into the cache."""
    from haystack_crossalign.models.offline import resolve_offline_model

    resolve_offline_model(OFFLINE_MODEL)
    return OFFLINE_MODEL
