"""Vectors in a column of a Parquet file: lists of one length, as data frames and embedding jobs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.data.formats.tables import import_arrow
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import unreadable

_ROWS = 8192
"""Number of rows read at a time."""
_IDS = ("id", "_id")


def parquet_vectors(path: Path) -> tuple[NDArray[np.float32], list[str] | None]:
    """Vectors and, if it has any, the ids in a Parquet file.

    :param path: the file: one column of lists of float16, float32 or float64 numbers, all of one length (``list``,
        ``large_list`` or ``fixed_size_list``; if there are several such columns, the one named ``embedding``), and
        maybe a column ``id`` or ``_id``. Other columns are not read.
    :returns: float32 [rows, dim], and the ids [rows] as strings; None without such a column.
    :raises InputError: for a file that cannot be read, is not Parquet, has no such column or several, and for a row
        without a vector or with one of another length.
    :raises ExternalError: without the extra ``datasets``.
    """
    arrow, parquet = import_arrow(path)
    try:
        with parquet.ParquetFile(path, memory_map=True) as file:
            schema = file.schema_arrow
            column = _vector_column(arrow, schema, path)
            named = next((name for name in _IDS if name in schema.names), None)
            rows: int = file.metadata.num_rows
            vectors: NDArray[np.float32] | None = None
            ids: list[str] | None = None if named is None else []
            start = 0
            for batch in file.iter_batches(_ROWS, columns=[column] if named is None else [column, named]):
                part = _rows_of(arrow, batch.column(column), column, start, vectors, path)
                if vectors is None:
                    vectors = np.empty((rows, part.shape[1]), np.float32)
                with np.errstate(over="ignore"):
                    vectors[start : start + len(part)] = part
                start += len(part)
                if ids is not None:
                    ids.extend(map(str, batch.column(named).to_pylist()))
    except OSError as error:
        # Arrow's own errors of a damaged file are also OSErrors, without a number.
        if error.errno is None:
            raise _damaged(path, error) from error
        raise unreadable(path, error) from error
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    return np.empty((0, 1), np.float32) if vectors is None else vectors, ids


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:100]
    return InputError(f"not a Parquet file, or cut off ({reason})", source=path, allowed="a Parquet file")


def _vector_column(arrow: Any, schema: Any, path: Path) -> str:
    types = arrow.types
    lists: list[str] = [
        field.name
        for field in schema
        if (types.is_list(field.type) or types.is_large_list(field.type) or types.is_fixed_size_list(field.type))
        and types.is_floating(field.type.value_type)
    ]
    if len(lists) > 1 and "embedding" in lists:
        lists = ["embedding"]
    if len(lists) != 1 or schema.names.count(lists[0]) > 1:
        raise InputError(
            "not one column of vectors",
            source=path,
            seen=", ".join(f"{field.name}: {field.type}" for field in schema)[:200] or "no columns",
            allowed="one column of lists of float numbers, or one of several that is named 'embedding'",
        )
    return lists[0]


def _rows_of(
    arrow: Any, lists: Any, column: str, start: int, before: NDArray[np.float32] | None, path: Path
) -> NDArray[np.floating[Any]]:
    """The vectors of one batch [rows, dim], each as long as those before."""
    lengths = arrow.compute.list_value_length(lists).fill_null(-1).to_numpy(zero_copy_only=False)
    dim = int(lengths[0]) if before is None and len(lengths) else before.shape[1] if before is not None else 1
    wrong = np.flatnonzero((lengths != dim) | (lengths < 1))
    if len(wrong):
        length = int(lengths[wrong[0]])
        raise InputError(
            "no vector" if length < 0 else "empty vector" if length == 0 else "vector of another length",
            source=path,
            field=f"row {start + int(wrong[0]) + 1}, {column}",
            seen=None if length < 0 else f"{length} numbers",
            allowed=f"a list of {dim} float numbers" if dim > 0 else "a list of float numbers",
        )
    numbers = lists.flatten()
    if numbers.null_count:
        row = int(np.flatnonzero(numbers.is_null().to_numpy(zero_copy_only=False))[0]) // dim
        raise InputError(
            "missing number", source=path, field=f"row {start + row + 1}, {column}", allowed="finite numbers"
        )
    return np.asarray(numbers.to_numpy(zero_copy_only=False)).reshape(len(lengths), dim)
