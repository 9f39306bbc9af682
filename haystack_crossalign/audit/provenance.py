"""Provenance: what a result was made with, so that it can be repeated and doubted."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from haystack_crossalign._version import __version__
from haystack_crossalign.data.collection import JudgedCollection

__all__ = ["build_provenance", "describe_data"]

_PACKAGES = (
    "haystack-ai",
    "opensearch-haystack",
    "opensearch-py",
    "sentence-transformers",
    "transformers",
    "tokenizers",
    "torch",
    "numpy",
    "langcodes",
)


def build_provenance(
    command: str,
    data: Mapping[str, Any],
    *,
    model: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Everything needed to repeat an audit, as a JSON-ready mapping; the same on every run on one machine.

    :param command: what was run: "audit", "benchmark", "demo", ...
    :param data: what the data says of itself, see `describe_data`.
    :param model: what the embedder says of itself, or None where the vectors came with the data.
    :param options: what the user chose, without the names of output files.
    :param seed: seed of the bootstrap.
    """
    return {
        "tool": {"name": "haystack-crossalign", "version": __version__},
        "command": command,
        "model": None if model is None else dict(model),
        "data": dict(data),
        "options": dict(options),
        "seed": seed,
        "environment": {
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "cpu": _processor(),
            "threads": _threads(),
            "packages": {name: metadata.version(name) for name in _PACKAGES if _installed(name)},
        },
    }


def describe_data(collection: JudgedCollection) -> dict[str, Any]:
    """Name, kind of pool and files (without their folders) of a collection, as a JSON-ready mapping."""
    data: dict[str, Any] = {
        "name": collection.name,
        "pool": collection.pool,
        "files": [{"name": source.name, "sha256": source.sha256} for source in collection.sources],
    }
    if collection.detection is not None:
        data["detection"] = asdict(collection.detection)
    return data


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    # platform.processor() is empty on most Linux systems; the kernel's own list has the name.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _threads() -> int:
    # torch is what computes; its count is what changes the last bits of a vector.
    try:
        import torch
    except ImportError:
        return os.cpu_count() or 1
    return int(torch.get_num_threads())
