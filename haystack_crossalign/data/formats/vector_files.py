"""Vectors in a file of their own: a numpy table (``.npy``) with one row for each document or query, in their order.

A table of float32 is mapped into memory, so that only the rows in use are read; float16 and float64 are converted.
The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Tables of Python objects, which are
pickles, are not read.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, source_of, unreadable

_TYPES = (np.float16, np.float32, np.float64)
_ROWS = 4096
"""Number of rows checked at a time."""


def read_vectors(
    path: str | Path, count: int, kind: str, *, given: bool = False, log: ReadingLog | None = None
) -> tuple[NDArray[np.float32], Source]:
    """Vectors from a numpy table.

    :param path: the table: float16, float32 or float64 [count, dim].
    :param count: number of documents or queries.
    :param kind: ``document`` or ``query``, for messages and the log.
    :param given: whether the records have vectors of their own.
    :param log: what was left out when the records were read: rows and records must match one by one.
    :returns: float32 [count, dim], not writable, and where they came from.
    :raises InputError: for a file that cannot be read or is no such table, another number of rows, a row that is not
        finite or all zero, records that have vectors themselves, and records that were left out.
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
    table = _mapped(path)
    if table.ndim != 2 or table.dtype.type not in _TYPES or 0 in table.shape[1:]:
        raise InputError(
            "not a table of vectors",
            source=path,
            seen=f"{table.dtype} {list(table.shape)}",
            allowed="float32 (or float16, float64) with two dimensions: vectors and their numbers",
        )
    if len(table) != count:
        raise InputError(
            f"the number of vectors is not that of the {records}",
            source=path,
            seen=f"{len(table):,} vectors for {count:,} {records}",
            allowed=f"one vector for each of the {records}, in their order",
        )
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(table, dtype=np.float32)
    _check_values(vectors, path)
    vectors.flags.writeable = False
    return vectors, source_of(path)


def _mapped(path: Path) -> NDArray[np.generic]:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, TypeError, KeyError, OverflowError, SyntaxError, TokenError, EOFError, MemoryError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"not a numpy table, or cut off ({reason})", source=path, allowed="a file that numpy.save wrote (.npy)"
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
