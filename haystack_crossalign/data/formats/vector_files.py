"""Vectors in a file of their own, one for each document or query, in their order.

By the end of the file's name:

- ``.parquet``: a column of lists of numbers, see `vector_columns`;
- ``.fbin``: the number of vectors and of dimensions (two little-endian 32-bit integers), then float32 numbers, as in
  https://big-ann-benchmarks.com/neurips21.html;
- else a numpy table (``.npy``): https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Tables of
  Python objects, which are pickles, are not read.

Numpy tables of float32 and ``.fbin`` files are mapped into memory, so that only the rows in use are read; float16 and
float64 are converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.data.formats.vector_columns import parquet_vectors
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, source_of, unreadable

_TYPES = (np.float16, np.float32, np.float64)
_ROWS = 4096
"""Number of rows checked at a time."""
_HEAD = 8
"""Bytes before the numbers of an ``.fbin`` file."""


def read_vectors(
    path: str | Path, ids: Sequence[str], kind: str, *, given: bool = False, log: ReadingLog | None = None
) -> tuple[NDArray[np.float32], Source]:
    """Vectors from a numpy table, an ``.fbin`` or a Parquet file.

    :param path: the file: float16, float32 or float64 [count, dim]; ``.fbin`` has float32 only.
    :param ids: ids of the documents or queries [count]. A Parquet file with a column ``id`` must have the same.
    :param kind: ``document`` or ``query``, for messages and the log.
    :param given: whether the records have vectors of their own.
    :param log: what was left out when the records were read: rows and records must match one by one.
    :returns: float32 [count, dim], not writable, and where they came from.
    :raises InputError: for a file that cannot be read or holds no vectors, another number of rows, other ids, a row
        that is not finite or all zero, records that have vectors themselves, and records that were left out.
    :raises ExternalError: for a Parquet file without the extra ``datasets``.
    """
    path = Path(path)
    records = "queries" if kind == "query" else "documents"
    if given:
        raise InputError(
            f"the {records} have vectors of their own", source=path, allowed="vectors in the records or in a file"
        )
    omissions = () if log is None else log.omissions()
    left_out = sum(omission.count for omission in omissions if omission.what == kind)
    if left_out:
        raise InputError(
            f"{records} were left out, so the rows of the vectors are not theirs",
            source=path,
            seen=f"{left_out} left out",
            allowed=f"{records} that are all valid",
        )
    suffix = path.suffix.lower()
    stored_ids: list[str] | None = None
    if suffix == ".parquet":
        vectors, stored_ids = parquet_vectors(path)
    else:
        vectors = _float32(_binary(path) if suffix == ".fbin" else _mapped(path), path)
    if len(vectors) != len(ids):
        raise InputError(
            f"the number of vectors is not that of the {records}",
            source=path,
            seen=f"{len(vectors):,} vectors for {len(ids):,} {records}",
            allowed=f"one vector for each of the {records}, in their order",
        )
    if stored_ids is not None:
        _check_ids(stored_ids, ids, kind, path)
    _check_values(vectors, path)
    vectors.flags.writeable = False
    return vectors, source_of(path)


def _float32(table: NDArray[np.generic], path: Path) -> NDArray[np.float32]:
    if table.ndim != 2 or table.dtype.type not in _TYPES or 0 in table.shape[1:]:
        raise InputError(
            "not a table of vectors",
            source=path,
            seen=f"{table.dtype} {list(table.shape)}",
            allowed="float32 (or float16, float64) with two dimensions: vectors and their numbers",
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(table, dtype=np.float32)


def _binary(path: Path) -> NDArray[np.generic]:
    try:
        size = path.stat().st_size
        count, dim = (int(number) for number in np.fromfile(path, "<u4", 2)) if size >= _HEAD else (0, 0)
        if not dim or size != _HEAD + 4 * count * dim:
            raise InputError(
                "not an .fbin file, or cut off",
                source=path,
                seen=f"{count:,} vectors of {dim:,} numbers in {size:,} bytes",
                allowed="two 32-bit integers (vectors, numbers in each), then float32 numbers",
            )
        if not count:
            return np.empty((0, dim), np.float32)
        return np.memmap(path, dtype="<f4", mode="r", offset=_HEAD, shape=(count, dim))
    except OSError as error:
        raise unreadable(path, error) from error


def _mapped(path: Path) -> NDArray[np.generic]:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, TypeError, KeyError, OverflowError, SyntaxError, TokenError, EOFError, MemoryError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"not a numpy table, or cut off ({reason})",
            source=path,
            allowed="a file that numpy.save wrote; or one whose name ends in .parquet or .fbin",
        ) from error


def _check_values(vectors: NDArray[np.float32], path: Path) -> None:
    for start in range(0, len(vectors), _ROWS):
        part = vectors[start : start + _ROWS]
        # The largest magnitude is NaN if any number is, infinite if any is, and 0 for a zero vector.
        largest = np.abs(part).max(axis=1)
        bad = np.flatnonzero(~(np.isfinite(largest) & (largest > 0)))
        if len(bad):
            row = int(bad[0])
            zero = largest[row] == 0
            raise InputError(
                "zero vector" if zero else "not a finite number",
                source=path,
                field=f"row {start + row + 1}",
                seen=0.0 if zero else float(part[row][~np.isfinite(part[row])][0]),
                allowed="finite numbers that are not all zero",
            )


def _check_ids(stored: Sequence[str], ids: Sequence[str], kind: str, path: Path) -> None:
    for row, (seen, wanted) in enumerate(zip(stored, ids, strict=True), start=1):
        if seen != wanted:
            raise InputError(
                f"the vectors are not in the order of the {'queries' if kind == 'query' else 'documents'}",
                source=path,
                field=f"row {row}, id",
                seen=seen,
                allowed=f"{wanted!r}, the id of {kind} {row}",
            )
