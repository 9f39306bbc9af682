"""Triplets as JSON lines, as :func:`~haystack_crossalign.data.formats.triplets.read_triplets` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.files.writing import write_atomically

__all__ = ["triplet_line", "write_triplets"]


def triplet_line(triplet: Triplet) -> str:
    """One triplet as one line of JSON, languages in the order of their tags."""
    values: dict[str, object] = {
        "id": triplet.id,
        "group": triplet.group,
        "language": triplet.language,
        "query": triplet.query,
        "passage": triplet.passage,
        "targets": dict(sorted(triplet.targets.items())),
    }
    if triplet.target_queries:
        values["target_queries"] = dict(sorted(triplet.target_queries.items()))
    return json.dumps(values, ensure_ascii=False)


def write_triplets(path: str | Path, triplets: Iterable[Triplet]) -> None:
    """Write a file of triplets, whole or not at all.

    :param path: the file, ``.jsonl``.
    :param triplets: with unique ids.
    :raises InputError: where the folder is missing, or the path is no regular file.
    :raises ExternalError: where the file cannot be written.
    """
    write_atomically(path, "".join(f"{triplet_line(triplet)}\n" for triplet in triplets))
