"""Number formats of the fast product. Matrices are numpy arrays in both; torch is imported for bf16 alone."""

from __future__ import annotations

import sys
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.precision import resolve_precision

Bits = NDArray[np.int16] | NDArray[np.int32]
Name = Literal["fp32", "bf16"]
Integer = type[np.int16] | type[np.int32]

_WORTH_TORCH = 1 << 38
"""Multiplications of a product in float32 that take longer than importing torch does."""


class Format(Protocol):
    """How the operands of the fast product are held, and what multiplies them."""

    name: Name
    columns: int
    """Columns beside the vectors: the documents' term and c, each as one float32 or as a sum of two bf16."""
    integer: Integer
    """Type of the bit patterns of results."""

    def zeros(self, rows: int, columns: int) -> NDArray[Any]:
        """A matrix of zeros."""

    def put(self, into: NDArray[Any], values: NDArray[np.floating]) -> None:
        """Write float32 or float64 values into a part of a matrix, each rounded to the nearest."""

    def get(self, matrix: NDArray[Any]) -> NDArray[np.float32]:
        """The values of a part of a matrix."""

    def multiply(self, documents: NDArray[Any], queries: NDArray[Any], out: NDArray[Any]) -> Bits:
        """Bit patterns of all dot products, [B, Q]; ``out`` is a matrix of that shape."""


class Float32:
    """float32 by numpy's BLAS."""

    name: Name = "fp32"
    columns = 2
    integer: Integer = np.int32

    def zeros(self, rows: int, columns: int) -> NDArray[np.float32]:
        """A matrix of zeros."""
        return np.zeros((rows, columns), dtype=np.float32)

    def put(self, into: NDArray[Any], values: NDArray[np.floating]) -> None:
        """Write values, rounded to float32."""
        into[...] = values

    def get(self, matrix: NDArray[Any]) -> NDArray[np.float32]:
        """The values themselves."""
        return matrix

    def multiply(self, documents: NDArray[Any], queries: NDArray[Any], out: NDArray[Any]) -> Bits:
        """Bit patterns of all dot products."""
        np.matmul(documents, queries.T, out=out)
        return out.view(np.int32)


class BFloat16:
    """bf16 by torch; arrays hold the bit patterns."""

    name: Name = "bf16"
    columns = 4
    integer: Integer = np.int16

    def __init__(self) -> None:
        import torch

        self._torch = torch

    def zeros(self, rows: int, columns: int) -> NDArray[np.int16]:
        """A matrix of zeros."""
        return np.zeros((rows, columns), dtype=np.int16)

    def put(self, into: NDArray[Any], values: NDArray[np.floating]) -> None:
        """Write values, rounded to bf16."""
        self._tensor(into).copy_(self._torch.from_numpy(values))

    def get(self, matrix: NDArray[Any]) -> NDArray[np.float32]:
        """The values, which float32 holds exactly."""
        values: NDArray[np.float32] = self._tensor(matrix).float().numpy()
        return values

    def multiply(self, documents: NDArray[Any], queries: NDArray[Any], out: NDArray[Any]) -> Bits:
        """Bit patterns of all dot products."""
        with self._torch.inference_mode():
            self._torch.mm(self._tensor(documents), self._tensor(queries).T, out=self._tensor(out))
        return out

    def _tensor(self, matrix: NDArray[Any]) -> Any:
        return self._torch.from_numpy(matrix).view(self._torch.bfloat16)


def format_of(precision: str, multiplications: int) -> Format:
    """The format of the fast product; ranks are the same in each.

    :param precision: ``"bf16"``, ``"fp32"``, or ``"auto"``: bf16 where the processor multiplies it, and torch is there
        already or there is enough to do.
    :param multiplications: how many the product takes.
    :raises InputError: for any other precision.
    """
    if precision == "auto" and "torch" not in sys.modules and multiplications < _WORTH_TORCH:
        return Float32()
    return BFloat16() if resolve_precision(precision) == "bf16" else Float32()
