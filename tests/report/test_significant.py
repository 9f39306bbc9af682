"""The comparison page opens with what is significant; all else is folded, with a count, and printed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from haystack_crossalign.measures.meanings import direction
from haystack_crossalign.report.html import render_html_comparison
from haystack_crossalign.report.significant import significant_changes

pytestmark = pytest.mark.model

Result = dict[str, Any]


def expected(comparison: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    """Row and measure of every significant change, by its reading."""
    found: dict[str, list[tuple[int, str]]] = {"worse": [], "better": [], "neutral": []}
    for number, row in enumerate(comparison["rows"]):
        for name, entry in row["measures"].items():
            p = entry.get("p_holm", entry.get("p"))
            if p is None or p >= 0.05 or not entry["difference"] or entry.get("within_ties"):
                continue
            sign = direction(name) * entry["difference"]
            found["neutral" if sign == 0 else "better" if sign > 0 else "worse"].append((number, name))
    return found


def test_every_significant_change_is_placed_once_losses_first(compared: Result) -> None:
    comparison = compared["comparison"]
    significant, wanted = significant_changes(comparison), expected(comparison)
    assert sum(map(len, wanted.values())) > 12
    placed = [change for groups in (significant.first, significant.others) for _, lines in groups for change in lines]
    assert [change.verdict for change in placed] == [
        verdict for verdict in ("worse", "better", "neutral") for _ in wanted[verdict]
    ]
    for verdict, pairs in wanted.items():
        names = [name for _, name in pairs]
        assert sorted(change.name for change in placed if change.verdict == verdict) == sorted(names)
    counted = (significant.worse, significant.better, significant.neutral)
    assert counted == tuple(len(wanted[verdict]) for verdict in ("worse", "better", "neutral"))
    assert sum(len(lines) for _, lines in significant.first) == 12
    assert significant.folded == len(placed) - 12
    differences = [entry["difference"] for row in comparison["rows"] for entry in row["measures"].values()]
    assert significant.tested == sum(difference is not None for difference in differences)


def test_the_page_folds_the_rest_and_says_how_much(compared: Result) -> None:
    comparison = compared["comparison"]
    page = render_html_comparison(comparison, compared["a"], compared["b"])
    wanted = expected(comparison)
    assert f"{sum(map(len, wanted.values())) - 12} more significant changes</summary>" in page
    for number, row in enumerate(comparison["rows"]):
        changed = sum(place == number for pairs in wanted.values() for place, _ in pairs)
        summary = f"{len(row['measures'])} measures, {changed} changed significantly</summary>"
        assert summary in page
    tables = page.index('id="tables"')
    assert not re.search(r"<details[^>]* open", page[tables:])
    assert page.index('id="changes"') < page.index('id="chart"') < tables


def test_without_a_significant_change_the_page_says_so(compared: Result) -> None:
    comparison = {**compared["comparison"]}
    comparison["rows"] = [
        {**row, "measures": {name: {**entry, "p": 1.0, "p_holm": 1.0} for name, entry in row["measures"].items()}}
        for row in comparison["rows"]
    ]
    page = render_html_comparison(comparison, compared["a"], compared["b"])
    assert re.search(r"None of the \d+ changes that could be tested\.", page)
    assert "more significant changes" not in page
