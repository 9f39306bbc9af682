"""The verdict on a result: good, mixed or poor, by two measures of the language served worst in the mixed pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.content.views import main_view, views, weakest_row
from haystack_crossalign.report.content.words import joined, measure_value, plural

Level = Literal["good", "mixed", "poor"]

GOOD = {"Complete@10": 0.95, "Max@R_norm": 0.8}
"""Least values of a good result. Both must hold, since in a small pool everything stands in the top 10."""
POOR = 0.5
"""Below this value of either measure a result is poor."""
FEW_QUERIES = 30
"""Fewer queries than this in the language served worst are a small sample."""


@dataclass(frozen=True)
class Verdict:
    """A verdict.

    :param level: ``good``, ``mixed`` or ``poor``.
    :param row: index of the row that it is about.
    :param reason: the figures behind it.
    :param rule: the thresholds.
    :param caution: what else the figures allow, empty if nothing.
    """

    level: Level
    row: int
    reason: str
    rule: str
    caution: str

    @property
    def sentence(self) -> str:
        """The verdict in one line of text."""
        caution = f" {self.caution}" if self.caution else ""
        return f"Verdict: {self.level}. {self.reason}{caution} {self.rule}"


def verdict(result: Mapping[str, Any]) -> Verdict | None:
    """Judge a result by the language served worst in its mixed pool.

    Good if Complete@10 and Max@R_norm both reach `GOOD`, poor if one of them is below `POOR`, else mixed. A measure
    that the row lacks is left out. Where equal scores leave a range, its worse end counts.

    :param result: an audit result, schema ``crossalign.audit/1``.
    :returns: None if there is no mixed pool, if neither measure is known, and for a partial result.
    """
    all_views = views(result) if result["rows"] else []
    if not all_views or (result.get("live") or {}).get("partial") is not None:
        return None
    view = main_view(result, all_views)
    place = weakest_row(result, view.rows)
    row = result["rows"][place]
    if not view.mixed or len(row["pool_languages"]) < 2:
        return None
    values = {name: value for name in GOOD if (value := _worst(row, name)) is not None}
    if not values:
        return None
    level = _level(values)
    figures = joined([f"{name} is {_shown(name, value, row['queries'])}" for name, value in values.items()])
    good = joined([f"{100 * GOOD[name]:.0f}\u00a0% of {name}" for name in values])
    return Verdict(
        level,
        place,
        f"For {display_name(row['query_language'])} queries, served worst, {figures}.",
        f"(Good: at least {good}; poor: below {100 * POOR:.0f}\u00a0% of {'either' if len(values) > 1 else 'it'}.)",
        _caution(row, values, level),
    )


def _worst(row: Mapping[str, Any], name: str) -> float | None:
    """The value of a measure, at the worse end of what equal scores leave open."""
    value: float | None = row["measures"].get(name)
    if value is None:
        return None
    end = ((row.get("ties") or {}).get(name) or {}).get("pessimistic")
    return value if end is None else min(value, end)


def _shown(name: str, value: float, queries: int) -> str:
    """The value, with as many decimals as it takes to see on which side of a threshold it lies."""
    near = min((POOR, GOOD[name]), key=lambda bound: abs(value - bound))
    return measure_value(name, value, queries, limit=near)


def _level(values: Mapping[str, float]) -> Level:
    if min(values.values()) < POOR:
        return "poor"
    return "good" if all(value >= GOOD[name] for name, value in values.items()) else "mixed"


def _caution(row: Mapping[str, Any], values: Mapping[str, float], level: Level) -> str:
    """The size of the sample, and the other verdicts within the confidence intervals."""
    bounds = {name: row["intervals"].get(name) or (value, value) for name, value in values.items()}
    ends = [_level({name: float(bound[end]) for name, bound in bounds.items()}) for end in (0, 1)]
    allowed = [other for other in dict.fromkeys(ends) if other != level]
    few = row["queries"] < FEW_QUERIES
    if not few and not allowed:
        return ""
    small = f"Small sample: {plural(row['queries'], 'query', 'queries')}" if few else ""
    also = f"the 95 % intervals also allow {joined(allowed)}" if allowed else ""
    text = "; ".join(part for part in (small, also) if part)
    return f"{text[0].upper()}{text[1:]}."
