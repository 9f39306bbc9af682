"""The parallel sample that ships with the package: a part of XQuAD in English, Chinese, Arabic and Spanish."""

from __future__ import annotations

from pathlib import Path

__all__ = ["sample_folder"]


def sample_folder() -> Path:
    """Folder of the sample, in the layout that `xquad.read_xquad` reads. Its licence lies in it (CC BY-SA 4.0)."""
    return Path(__file__).resolve().parent.parent / "sample"
