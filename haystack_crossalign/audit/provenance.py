"""Provenance: what a result was made with, so that it can be reproduced and challenged."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign._version import __version__
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.judgments import Grade
from haystack_crossalign.data.reading_log import Omission
from haystack_crossalign.ranks.ties import TIE_SEED
from haystack_crossalign.ranks.workers import available_threads

if TYPE_CHECKING:
    from haystack_crossalign.audit.similarity import RankedBy, RankedByIndex

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
    ranked_by: RankedBy | RankedByIndex | None = None,
) -> dict[str, Any]:
    """Everything needed to reproduce an audit, as a JSON-ready mapping; equal for all runs on one machine.

    :param command: what was run: "audit", "benchmark", "demo", ...
    :param data: description of the data, see `describe_data`.
    :param model: description of the embedder, or None if the vectors came with the data.
    :param options: the user's options, without the names of output files.
    :param seed: seed of the bootstrap.
    :param ranked_by: similarity that defines the ranks; None if lists were audited.
    """
    return {
        "tool": {"name": "haystack-crossalign", "version": __version__},
        "command": command,
        "model": None if model is None else dict(model),
        **({} if ranked_by is None else {"similarity": ranked_by.to_dict()}),
        "data": dict(data),
        "options": dict(options),
        "seed": seed,
        "ties": TIE_SEED,
        "environment": {
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "cpu": _processor(),
            "threads": _threads(model=model is not None),
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
    if collection.graded:
        grades = [grade for row in collection.grades or () for grade in row.values()]
        data["judgments"] = describe_judgments(grades, collection.relevance_level)
    if collection.titles is not None:
        field, documents = collection.titles
        data["titles"] = {"field": field, "documents": documents}
    if collection.omissions:
        data["left_out"] = describe_omissions(collection.omissions)
    return data


def describe_judgments(grades: Iterable[Grade], level: int) -> dict[str, Any]:
    """Grades of judgments as a JSON-ready mapping; the gain of NDCG is the grade.

    :param grades: the grade of every judgment.
    :param level: least grade of a relevant document.
    """
    counts = Counter(grades)
    return {
        "relevance_level": level,
        "gain": "linear",
        "grades": {f"{grade:g}": counts[grade] for grade in sorted(counts)},
    }


def describe_omissions(omissions: Iterable[Omission]) -> list[dict[str, Any]]:
    """Rows left out during reading, as a JSON-ready list: kind, reason, count, and the first of them."""
    return [{**asdict(omission), "first": list(omission.first)} for omission in omissions]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    # platform.processor() is empty on most Linux systems, so the name is read from the kernel.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _threads(*, model: bool) -> int:
    if not model:
        return available_threads()
    # torch's count is what changes the last bits of the vectors that a model computes.
    try:
        import torch
    except ImportError:
        return available_threads()
    return int(torch.get_num_threads())
