"""Formatting of numbers: the only place that decides how a figure is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.measures.meanings import is_share

DASH = "–"
"""Shown for a measure without a value."""

_NBSP = "\u00a0"


def quantity(value: float | None) -> str:
    """A rank or a count: at least three significant digits without trailing zeros, thousands separated.

    >>> quantity(1.394), quantity(63.28), quantity(186.4), quantity(2380.0), quantity(5.5), quantity(40.01)
    ('1.39', '63.3', '186', '2,380', '5.5', '40')
    """
    if value is None:
        return DASH
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.{1 if size >= 9.995 else 2}f}".rstrip("0").rstrip(".")


def count(value: int) -> str:
    """An integer with thousands separators."""
    return f"{value:,d}"


def measure_value(name: str, value: float | None) -> str:
    """A value of a measure: shares in percent, ranks and counts as `quantity`.

    >>> measure_value("Complete@10", 0.0193), measure_value("Max@R_norm", 0.4126), measure_value("Max@R", 186.4)
    ('1.93\\xa0%', '41.3\\xa0%', '186')
    """
    if value is None:
        return DASH
    if not is_share(name):
        return quantity(value)
    percent = 100 * value
    digits = 0 if percent in (0, 100) else 2 if abs(percent) < 9.995 else 1
    return f"{percent:.{digits}f}{_NBSP}%"


def interval(name: str, bounds: Sequence[float | None] | None) -> str:
    """A confidence interval, ``low to high``; empty if there is none."""
    if bounds is None or bounds[0] is None or bounds[1] is None:
        return ""
    low, high = measure_value(name, bounds[0]), measure_value(name, bounds[1])
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
