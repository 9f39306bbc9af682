"""An affine map on unit-length embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError

_SMALLEST_NORM = 1e-12  # as in torch.nn.functional.normalize, so that arrays and model folders agree


@dataclass(frozen=True)
class AffineMap:
    """``x -> unit(matrix @ unit(x) + bias)`` with ``unit(x) = x / |x|``.

    :param matrix: float32 ``[dim, dim]``.
    :param bias: float32 ``[dim]``.
    :param metadata: origin of the map, in words; written to the matrix file.
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
        if not self.matrix.any():
            raise InputError("the matrix is zero: all vectors would be the same", field="matrix")

    @property
    def dimension(self) -> int:
        """Dimension of the embeddings."""
        return int(self.matrix.shape[0])

    def apply(
        self, vectors: ArrayLike, *, out: NDArray[np.float32] | None = None, block: int = 16384
    ) -> NDArray[np.float32]:
        """Transform embeddings, each separately: an index can be converted without embedding its texts again.

        :param vectors: ``[n, dim]``; of any length, also memory-mapped.
        :param out: float32 ``[n, dim]`` to write to, which may be ``vectors`` itself; None makes a new array.
        :param block: rows at a time.
        :returns: float32 ``[n, dim]`` of unit length (``out`` where it was given).
        :raises InputError: for a wrong shape, and for vectors that are not finite; nothing after their block is
            written.
        """
        matrix, bias = self.matrix.T.astype(np.float64), self.bias.astype(np.float64)
        return apply_in_blocks(lambda part: part @ matrix + bias, vectors, self.dimension, out=out, block=block)


def apply_in_blocks(
    move: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    vectors: ArrayLike,
    dimension: int,
    *,
    out: NDArray[np.float32] | None,
    block: int,
) -> NDArray[np.float32]:
    """Scale vectors to unit length, transform them, and scale them again, block by block.

    Computed in double precision and rounded once, so that equal vectors stay equal regardless of their position.

    :param move: from float64 ``[b, dim]`` of unit length to the same shape.
    :param vectors: ``[n, dim]``; of any length, also memory-mapped.
    :param dimension: dim.
    :param out: float32 ``[n, dim]`` to write to, which may be ``vectors`` itself; None makes a new array.
    :param block: rows at a time.
    :raises InputError: for a wrong shape, and for vectors that are not finite; nothing after their block is written.
    """
    source = np.asanyarray(vectors)
    if source.ndim != 2 or source.shape[1] != dimension:
        raise InputError(
            "the vectors must have the dimension of the map",
            field="vectors",
            seen=source.shape,
            allowed=f"[n, {dimension}]",
        )
    moved = np.empty(source.shape, np.float32) if out is None else out
    if moved.shape != source.shape or moved.dtype != np.float32:
        raise InputError(
            "the output must be float32 of the input's shape", field="out", seen=(moved.shape, str(moved.dtype))
        )
    for start in range(0, len(source), block):
        part = source[start : start + block].astype(np.float64)
        if not np.isfinite(part).all():
            row = start + int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])
            raise InputError("a vector is not finite", field="vectors", seen=f"row {row}")
        moved[start : start + block] = unit(move(unit(part)))
    return moved


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows scaled to length 1; a zero row stays zero.

    :param vectors: float64 ``[n, dim]``.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _SMALLEST_NORM), dtype=np.float64)


def check_lengths(similarity: str, *, unit: bool) -> None:
    """Reject a repair that would remove lengths on which the similarity depends.

    A repair scales every vector to unit length. Cosine ignores lengths, and vectors of unit length do not change
    theirs.

    :param similarity: similarity of the vectors.
    :param unit: whether they all have unit length before the repair.
    :raises InputError: if lengths matter and differ.
    """
    if similarity != "cosine" and not unit:
        raise InputError(
            f"a repair brings vectors to unit length, and this model compares by {similarity} vectors of other lengths",
            field="similarity",
            seen=similarity,
            allowed="cosine (--similarity cosine, where the model is used with it), or a model that normalizes",
        )
