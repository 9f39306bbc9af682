"""The parts of a result that a history needs, checked by hand: the JSON Schema would take most of the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST = 1e12
"""No measure is larger; sums over queries stay exact."""


def text(value: object) -> str:
    """A text, in valid Unicode.

    :raises ValueError: if it is none; likewise the other functions.
    """
    if not isinstance(value, str):
        raise ValueError(f"not a text: {value!r:.80}")
    value.encode("utf-8")
    return value


def optional_text(value: object) -> str | None:
    """A text or null."""
    return None if value is None else text(value)


def whole_number(value: object) -> int:
    """An integer from 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise ValueError(f"not a whole number: {value!r:.80}")
    return value


def number(value: object) -> float | None:
    """A finite number of plausible size, or null."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LARGEST:
        raise ValueError(f"not a number: {value!r:.80}")
    return float(value)


def numbers(values: object) -> NDArray[np.float64]:
    """A column of numbers, NaN for null: float64 [Q]."""
    if not isinstance(values, list):
        raise ValueError(f"not a column of numbers: {values!r:.80}")
    if not {*map(type, values)} <= {float, int, type(None)}:
        raise ValueError("a column with something else than numbers")
    column = np.array(values, dtype=np.float64)
    known = column[~np.isnan(column)]
    if len(known) + values.count(None) != len(column) or (np.abs(known) > _LARGEST).any():
        raise ValueError("a column with numbers that are not finite or too large")
    return column


def followed_part(row: Mapping[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    """Size, pool, values, intervals, counts and ties of a row, for some measures.

    :param row: a row of a result.
    :param measures: names of the measures.
    """
    intervals: dict[str, list[float | None] | None] = {}
    for name in measures:
        bounds = row["intervals"].get(name)
        if bounds is not None:
            low, high = bounds
            intervals[name] = [number(low), number(high)]
    ties = {name: row["ties"][name] for name in measures if name in row["ties"]}
    return {
        "queries": max(1, whole_number(row["queries"])),
        "pool_languages": [text(tag) for tag in row["pool_languages"]],
        "measures": {name: number(row["measures"][name]) for name in measures if name in row["measures"]},
        "intervals": intervals,
        "counts": {name: whole_number(row["counts"][name]) for name in measures if name in row["counts"]},
        "ties": {
            name: {end: number(ends.get(end)) for end in ("optimistic", "pessimistic")} for name, ends in ties.items()
        },
    }
