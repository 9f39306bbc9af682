"""The matrix file, by which a map is applied to vectors that are already in an index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.models.identity import describe_model
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.language_maps import LanguageMaps

VectorMap: TypeAlias = AffineMap | LanguageMaps
"""A map that transforms vectors, each separately."""

FORMATS = {
    "crossalign.affine/1": ("matrix", "bias"),
    "crossalign.language-maps/1": ("matrices", "biases", "detectors", "offsets"),
}
"""Tensors by format."""


BASE_MODEL = "base_model"
"""Metadata key: the model whose vectors the map transforms, as JSON (see `describe_model`)."""


def write_matrix_file(repair: VectorMap, path: Path | str, *, base: Mapping[str, Any] | None = None) -> None:
    """Write a map as safetensors: the tensors of :data:`FORMATS`, with metadata.

    The file is written atomically.

    :param repair: the map.
    :param path: the file; its folder must exist.
    :param base: provenance of the model whose vectors it transforms, so that it is not applied to others.
    :raises ExternalError: if it cannot be written.
    """
    path = Path(path)
    affine, several = FORMATS
    metadata = {"format": affine} if isinstance(repair, AffineMap) else {"format": several}
    if not isinstance(repair, AffineMap):
        metadata["languages"] = ",".join(repair.languages)
    if base is not None:
        metadata[BASE_MODEL] = json.dumps(describe_model(base), sort_keys=True, ensure_ascii=False)
    tensors = {name: np.ascontiguousarray(getattr(repair, name)) for name in FORMATS[metadata["format"]]}
    data = _in_order(save(tensors, metadata=dict(repair.metadata) | metadata))
    write_atomically(path, data)


def _in_order(data: bytes) -> bytes:
    """The same file with sorted header keys, since the order of safetensors is random."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return data[:8] + header.encode().ljust(end - 8) + data[end:]


def read_matrix_file(path: Path | str) -> VectorMap:
    """Read a file written by :func:`write_matrix_file`.

    :param path: the file.
    :raises InputError: if it is missing, damaged or not a matrix file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", source=path)
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise InputError(f"not a safetensors file: {error}", source=path) from error
    names = FORMATS.get(metadata.pop("format", ""), ())
    if not names or tensors.keys() != set(names):
        raise InputError("not a matrix file", source=path, seen=sorted(tensors), allowed=f"format {', '.join(FORMATS)}")
    arrays = [tensors[name].astype(np.float32) for name in names]
    languages = () if names == ("matrix", "bias") else tuple(metadata.pop("languages", "").split(","))
    try:
        if not languages:
            return AffineMap(arrays[0], arrays[1], metadata)
        return LanguageMaps(languages, arrays[0], arrays[1], arrays[2], arrays[3], metadata)
    except InputError as error:
        raise InputError(
            error.problem, source=path, field=error.field, seen=error.seen, allowed=error.allowed
        ) from error
