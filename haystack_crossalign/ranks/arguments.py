"""Arrays that describe queries and documents: checks, and tables of rows of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError


def padded(rows: Sequence[Sequence[Any]], fill: float, dtype: type, width: int | None = None) -> NDArray[Any]:
    """Make a table [rows, width] of rows of different lengths, padded on the right.

    :param rows: the rows.
    :param fill: the padding.
    :param dtype: dtype of the table.
    :param width: number of columns; None for the length of the longest row.
    """
    longest = max(map(len, rows), default=0)
    table: NDArray[Any] = np.full((len(rows), longest if width is None else width), fill, dtype=dtype)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def integer_table(values: ArrayLike, rows: int, name: str) -> NDArray[np.int64]:
    """Return integers as int64 [rows, any]; raise `InputError` naming the argument for anything else."""
    table = np.asarray(values)
    if table.ndim != 2 or len(table) != rows or not np.issubdtype(table.dtype, np.integer):
        raise InputError(
            f"'{name}' must be a table of integers with one row for each query",
            field=name,
            seen=(str(table.dtype), table.shape),
            allowed=f"{rows} rows",
        )
    return table.astype(np.int64)


def integer_column(values: ArrayLike, count: int, name: str) -> NDArray[np.int64]:
    """Return integers as int64 [count]; raise `InputError` naming the argument for anything else."""
    array = np.asarray(values)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"'{name}' must be integers, one for each row",
            field=name,
            seen=(str(array.dtype), array.shape),
            allowed=f"{count} integers",
        )
    return array.astype(np.int64)


def language_codes(values: ArrayLike, count: int, languages: int, name: str) -> NDArray[np.int32]:
    """Return language codes as int32 [count]; raise `InputError` unless each is 0 to `languages` - 1."""
    codes = integer_column(values, count, name).astype(np.int32)
    wrong = np.flatnonzero((codes < 0) | (codes >= languages))
    if len(wrong):
        raise InputError(
            f"unknown language code in row {wrong[0]}",
            field=name,
            seen=int(codes[wrong[0]]),
            allowed=f"0 to {languages - 1}",
        )
    return codes


def relevant_versions(values: ArrayLike, rows: int, version_languages: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return relevant versions as int64 [rows, R]; raise `InputError` unless each is a version with documents,
    named once, or -1.

    :param version_languages: int32 [V], code of each version's language, -1 if a version has no documents.
    """
    wanted = integer_table(values, rows, "relevant")
    known = (wanted >= 0) & (wanted < len(version_languages))
    known[known] = version_languages[wanted[known]] >= 0
    wrong = np.argwhere(~known & (wanted != -1))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"a relevant version of query {row} is not among the documents",
            field="relevant",
            seen=int(wanted[row, column]),
            allowed=f"0 to {len(version_languages) - 1}, or -1 for none",
        )
    ordered = np.sort(wanted, axis=1)
    twice = np.argwhere((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != -1))
    if len(twice):
        row, column = twice[0]
        raise InputError(
            f"a relevant version of query {row} is named twice, and would count twice",
            field="relevant",
            seen=int(ordered[row, column]),
            allowed="each version once",
        )
    return wanted
