"""Formatting of numbers: the only place that decides how a figure is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.measures.meanings import is_share

DASH = "–"
"""Shown for a measure without a value."""

_NBSP = "\u00a0"
_MOST_DECIMALS = 2
_EXACT = 9
"""Decimals beyond which a value counts as equal to the bound it is judged by."""


def mean_decimals(queries: int) -> int:
    """Number of decimals that a mean of whole numbers bears: it moves in steps of 1 / queries.

    As many as it takes to tell two values apart that are one step from each other, and no more: the least d with
    10^-d <= 1 / queries.

    :param queries: number of queries behind the mean, at least 1.

    >>> [mean_decimals(number) for number in (1, 2, 10, 11, 100, 1190)]
    [0, 1, 1, 2, 2, 4]
    """
    decimals = 0
    while 10**decimals < queries:
        decimals += 1
    return decimals


def percent_decimals(queries: int) -> int:
    """Number of decimals that a percentage bears, at most two: a share of queries moves in steps of 100 / queries.

    As `mean_decimals`: the least d with 10^-d <= 100 / queries.

    :param queries: number of queries behind the share, at least 1.

    >>> [percent_decimals(number) for number in (30, 100, 101, 1000, 1190, 100_000)]
    [0, 0, 1, 1, 2, 2]
    """
    return min(mean_decimals(-(-queries // 100)), _MOST_DECIMALS)


def quantity(value: float | None, queries: int | None = None) -> str:
    """A rank or a count: three significant digits without trailing zeros, thousands separated.

    :param value: the value.
    :param queries: number of queries that it is the mean of, which may bear fewer decimals; None for any other value.

    >>> quantity(1.394), quantity(63.28), quantity(186.4), quantity(2380.0), quantity(5.5), quantity(40.01)
    ('1.39', '63.3', '186', '2,380', '5.5', '40')
    >>> quantity(3.3333333, 3), quantity(1.394, 30)
    ('3.3', '1.39')
    """
    if value is None:
        return DASH
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}".replace("-", "−")
    decimals = 1 if size >= 9.995 else 2
    if queries is not None:
        decimals = min(decimals, mean_decimals(queries))
    text = f"{value:.{decimals}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: int) -> str:
    """An integer with thousands separators."""
    return f"{value:,d}"


def measure_value(name: str, value: float | None, queries: int | None = None, *, limit: float | None = None) -> str:
    """A value of a measure: shares in percent, ranks and counts as `quantity`.

    :param name: the measure.
    :param value: its value.
    :param queries: number of queries that it is the mean of, which decides the decimals; None if it is not known.
    :param limit: a bound that the value is judged by: it is written with as many decimals as it takes to show on which
        side of the bound it lies.

    >>> measure_value("Complete@10", 0.0193), measure_value("Max@R_norm", 0.4126), measure_value("Max@R", 186.4)
    ('1.93\\xa0%', '41.3\\xa0%', '186')
    >>> measure_value("Complete@10", 1 / 3, 30), measure_value("Complete@10", 18 / 19, 19, limit=0.95)
    ('33\\xa0%', '94.7\\xa0%')
    """
    if value is None:
        return DASH
    if not is_share(name):
        text = quantity(value, queries)
        decimals = len(text.partition(".")[2])
        while (
            limit is not None
            and decimals < _EXACT
            and _side(float(text.replace(",", "").replace("−", "-")), limit) != _side(value, limit)
        ):
            decimals += 1
            text = f"{value:,.{decimals}f}".replace("-", "−")
        return text
    percent = 100 * value
    if percent in (0, 100):
        return f"{percent:.0f}{_NBSP}%"
    decimals = (2 if abs(percent) < 9.995 else 1) if queries is None else percent_decimals(queries)
    # What is not nothing, or not all, does not look like it.
    while decimals < _MOST_DECIMALS and round(percent, decimals) in (0, 100):
        decimals += 1
    if limit is not None:
        while decimals < _EXACT and _side(round(percent, decimals), 100 * limit) != _side(percent, 100 * limit):
            decimals += 1
    return f"{percent:.{decimals}f}{_NBSP}%"


def _side(value: float, limit: float) -> int:
    """-1 below a limit, 1 above it, 0 on it, where the last bits of a float do not count."""
    return 0 if math.isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12) else 1 if value > limit else -1


def difference(name: str, value: float | None, queries: int | None = None) -> str:
    """A difference of two values of a measure with its sign: shares in percentage points.

    :param name: the measure.
    :param value: after minus before.
    :param queries: number of queries that both are means of; None if it is not known.
    """
    if value is None:
        return DASH
    size = abs(value)
    if is_share(name):
        decimals = (2 if size < 0.09995 else 1) if queries is None else percent_decimals(queries)
        while decimals < _MOST_DECIMALS and size and not round(100 * size, decimals):
            decimals += 1
        written = f"{100 * size:.{decimals}f} points"
    else:
        written = quantity(size, queries)
    sign = "±" if not written.strip("0. points") else "+" if value > 0 else "−"
    return f"{sign}{written}"


def difference_interval(name: str, bounds: Sequence[float], queries: int | None = None) -> str:
    """A confidence interval of a difference, ``low to high``.

    :param name: the measure.
    :param bounds: its ends.
    :param queries: as for `difference`.
    """
    low, high = (difference(name, bound, queries) for bound in bounds)
    return f"{low.removesuffix(' points')} to {high}"


def interval(name: str, bounds: Sequence[float | None] | None, queries: int | None = None) -> str:
    """A confidence interval, ``low to high``; empty if there is none.

    :param name: the measure.
    :param bounds: its ends.
    :param queries: as for `measure_value`.
    """
    if bounds is None or bounds[0] is None or bounds[1] is None:
        return ""
    low, high = measure_value(name, bounds[0], queries), measure_value(name, bounds[1], queries)
    return f"{low.removesuffix(f'{_NBSP}%')} to {high}"


def p_value(value: float | None) -> str:
    """A p-value in the usual form.

    >>> p_value(0.00002), p_value(0.0312), p_value(1.0)
    ('< 0.001', '0.031', '1.000')
    """
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def joined(parts: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def nothing_found(censored: Mapping[str, Any]) -> str:
    """Number of queries with an empty list, as an addition to a sentence on cut lists; empty if there are none.

    :param censored: the ``censored`` block of a row.
    """
    number = censored.get("nothing_found", 0)
    return f", {count(number)} of them with an empty list" if number else ""


def plural(number: int, singular: str, form: str | None = None) -> str:
    """A count with its noun: ``1 query``, ``1,190 queries``."""
    return f"{count(number)} {singular if number == 1 else form or f'{singular}s'}"


def in_language(tag: str, noun: str) -> str:
    """A noun with its language: ``Chinese version``, ``version in an undetermined language``."""
    return f"{noun} in an {display_name(tag)}" if tag == UNDETERMINED else f"{display_name(tag)} {noun}"


def shorten(text: str, limit: int) -> str:
    """The beginning of a text, cut at a nearby space if there is one, with an ellipsis."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    cut = text.rfind(" ", int(limit * 0.8), limit)
    return f"{text[: cut if cut > 0 else limit].rstrip()}…"
