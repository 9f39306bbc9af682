"""OpenVINO, which these tests need, and a cache of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from requirements import require
from tiny_models import tiny_model_folder


@pytest.fixture(scope="session")
def openvino() -> Any:
    """The package, imported as the encoder does."""
    require("openvino")
    from haystack_crossalign.models.openvino.package import import_openvino

    return import_openvino()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for converted models."""
    monkeypatch.setenv("CROSSALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


__all__ = ["cache", "openvino", "tiny_model_folder"]
