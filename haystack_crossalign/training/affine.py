"""An affine map on unit-length embeddings, and the matrix file that carries it to vectors already in an index."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from haystack_crossalign.errors import ExternalError, InputError

__all__ = ["FORMAT", "AffineMap", "read_matrix_file", "write_matrix_file"]

FORMAT = "crossalign.affine/1"

_SMALLEST_NORM = 1e-12  # that of torch.nn.functional.normalize, so that arrays and model folders agree


@dataclass(frozen=True)
class AffineMap:
    """``x -> unit(matrix @ unit(x) + bias)`` with ``unit(x) = x / |x|``.

    :param matrix: float32 ``[dim, dim]``.
    :param bias: float32 ``[dim]``.
    :param metadata: where the map comes from, in words; written to the matrix file.
    """

    matrix: NDArray[np.float32]
    bias: NDArray[np.float32]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[0] != self.matrix.shape[1]:
            raise InputError("the matrix must be square", field="matrix", seen=self.matrix.shape)
        if self.bias.shape != self.matrix.shape[:1]:
            raise InputError("the bias must fit the matrix", field="bias", seen=self.bias.shape)
        if not (np.isfinite(self.matrix).all() and np.isfinite(self.bias).all()):
            raise InputError("matrix and bias must be finite", field="matrix, bias")

    @property
    def dimension(self) -> int:
        """Dimension of the embeddings."""
        return int(self.matrix.shape[0])

    def apply(
        self, vectors: ArrayLike, *, out: NDArray[np.float32] | None = None, block: int = 16384
    ) -> NDArray[np.float32]:
        """Move embeddings, each on its own: an index can be moved without embedding a text again.

        Computed in double precision and rounded once, so that equal vectors stay equal wherever they stand.

        :param vectors: ``[n, dim]``; of any length, also memory-mapped.
        :param out: float32 ``[n, dim]`` to write to, which may be ``vectors`` itself; None makes a new array.
        :param block: rows at a time.
        :returns: float32 ``[n, dim]`` of unit length (``out`` where it was given).
        :raises InputError: for a wrong shape, and for vectors that are not finite; nothing after their block is
            written.
        """
        source = np.asanyarray(vectors)
        if source.ndim != 2 or source.shape[1] != self.dimension:
            raise InputError(
                "the vectors must have the dimension of the map",
                field="vectors",
                seen=source.shape,
                allowed=f"[n, {self.dimension}]",
            )
        moved = np.empty(source.shape, np.float32) if out is None else out
        if moved.shape != source.shape or moved.dtype != np.float32:
            raise InputError(
                "the output must be float32 of the input's shape", field="out", seen=(moved.shape, str(moved.dtype))
            )
        matrix, bias = self.matrix.T.astype(np.float64), self.bias.astype(np.float64)
        for start in range(0, len(source), block):
            part = source[start : start + block].astype(np.float64)
            if not np.isfinite(part).all():
                row = start + int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])
                raise InputError("a vector is not finite", field="vectors", seen=f"row {row}")
            moved[start : start + block] = unit(unit(part) @ matrix + bias)
        return moved


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows scaled to length 1; a zero row stays zero.

    :param vectors: float64 ``[n, dim]``.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _SMALLEST_NORM), dtype=np.float64)


def write_matrix_file(repair: AffineMap, path: Path | str) -> None:
    """Write a map as safetensors: tensors ``matrix`` and ``bias``, metadata beside them.

    The file appears whole or not at all.

    :param repair: the map.
    :param path: the file; its folder must exist.
    :raises ExternalError: when it cannot be written.
    """
    path = Path(path)
    tensors = {"matrix": np.ascontiguousarray(repair.matrix), "bias": np.ascontiguousarray(repair.bias)}
    data = _in_order(save(tensors, metadata=dict(repair.metadata) | {"format": FORMAT}))
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ExternalError(f"{path}: cannot be written: {error.strerror}") from error


def _in_order(data: bytes) -> bytes:
    """The same file with the keys of its header sorted: safetensors leaves their order to chance."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return data[:8] + header.encode().ljust(end - 8) + data[end:]


def read_matrix_file(path: Path | str) -> AffineMap:
    """Read a file that :func:`write_matrix_file` wrote.

    :param path: the file.
    :raises InputError: when it is missing, damaged or something else.
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
    if metadata.pop("format", None) != FORMAT or tensors.keys() != {"matrix", "bias"}:
        raise InputError("not a matrix file", source=path, seen=sorted(tensors), allowed=f"format {FORMAT}")
    return AffineMap(tensors["matrix"].astype(np.float32), tensors["bias"].astype(np.float32), metadata)
