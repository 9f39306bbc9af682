"""What a figure was made on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch


def machine_line() -> str:
    """The machine and the versions of a table that has no times, in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "sentence-transformers"))
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def machine() -> dict:
    cpus = Path("/proc/cpuinfo")
    flags = cpus.read_text(encoding="utf-8").split() if cpus.is_file() else []
    return {
        "processor": platform.machine(),
        "bf16": [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags],  # two-fold in time
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "sentence-transformers": version("sentence-transformers"),
        "load": round(os.getloadavg()[0], 1),
    }
