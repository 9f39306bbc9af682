"""The verdict: its level from two thresholds, at the worse end of ties, with the size of the sample."""

from __future__ import annotations

from typing import Any

import pytest
from one_row import Result, result

from haystack_crossalign.report.advice.verdict import verdict


@pytest.mark.parametrize(
    ("complete", "norm", "level"),
    [
        (0.95, 0.8, "good"),
        (0.949, 0.8, "mixed"),
        (0.95, 0.799, "mixed"),
        (0.5, 0.5, "mixed"),
        (0.499, 1.0, "poor"),
        (1.0, 0.499, "poor"),
        (None, 0.8, "good"),
        (None, 0.3, "poor"),
        (0.7, None, "mixed"),
    ],
)
def test_the_level_follows_from_both_thresholds(complete: float | None, norm: float | None, level: str) -> None:
    judged = verdict(result(complete, norm))
    assert judged is not None
    assert judged.level == level
    assert judged.caution == ""
    assert judged.sentence.startswith(f"Verdict: {level}. For Chinese queries, served worst, ")


def test_the_sentence_names_figures_and_thresholds() -> None:
    judged = verdict(result(0.801, 0.257, queries=1000))
    assert judged is not None
    assert (
        judged.reason == "For Chinese queries, served worst, Complete@10 is 80.1\u00a0% and Max@R_norm is 25.7\u00a0%."
    )
    assert judged.rule == (
        "(Good: at least 95\u00a0% of Complete@10 and 80\u00a0% of Max@R_norm; poor: below 50\u00a0% of either.)"
    )
    alone = verdict(result(None, 0.257))
    assert alone is not None
    assert alone.rule == "(Good: at least 80\u00a0% of Max@R_norm; poor: below 50\u00a0% of it.)"


@pytest.mark.parametrize(
    ("count", "queries", "text"), [(18, 19, "94.7"), (19, 20, "95"), (74, 149, "49.7"), (1, 2, "50")]
)
def test_what_is_shown_lies_on_the_side_of_the_threshold_that_is_judged(count: int, queries: int, text: str) -> None:
    data = result(count / queries, 1.0)
    data["rows"][0]["queries"] = queries
    judged = verdict(data)
    assert judged is not None
    assert f"Complete@10 is {text}\u00a0%" in judged.reason
    share = count / queries
    assert judged.level == ("good" if share >= 0.95 else "poor" if share < 0.5 else "mixed")


def test_of_what_ties_leave_open_the_worse_end_counts() -> None:
    ties = {"Complete@10": {"optimistic": 1.0, "pessimistic": 0.4}}
    judged = verdict(result(0.97, 0.9, ties=ties))
    assert judged is not None
    assert judged.level == "poor"
    assert "Complete@10 is 40\u00a0%" in judged.reason


def test_the_language_served_worst_decides() -> None:
    both = result(0.3, 0.3)
    best = result(1.0, 1.0)["rows"][0] | {"query_language": "en"}
    both["rows"].insert(0, best)
    judged = verdict(both)
    assert judged is not None
    assert (judged.level, judged.row) == ("poor", 1)


@pytest.mark.parametrize(
    ("queries", "intervals", "caution"),
    [
        (29, {}, "Small sample: 29 queries."),
        (1, {}, "Small sample: 1 query."),
        (30, {}, ""),
        (100, {"Complete@10": [0.9, 0.98], "Max@R_norm": [0.7, 0.9]}, "The 95 % intervals also allow mixed."),
        (9, {"Complete@10": [0.4, 1.0]}, "Small sample: 9 queries; the 95 % intervals also allow poor."),
    ],
)
def test_what_else_the_figures_allow_is_said(queries: int, intervals: dict[str, Any], caution: str) -> None:
    judged = verdict(result(0.96, 0.85, queries=queries, intervals=intervals))
    assert judged is not None
    assert (judged.level, judged.caution) == ("good", caution)


@pytest.mark.parametrize(
    "unknown",
    [
        {"rows": [], "provenance": {}},
        result(None, None),
        result(1.0, 1.0, scenario="mono-same"),
        result(1.0, 1.0, tags=("zh",)),
        result(1.0, 1.0) | {"live": {"partial": {"queries": 1}}},
    ],
)
def test_without_a_mixed_pool_or_figures_there_is_no_verdict(unknown: Result) -> None:
    assert verdict(unknown) is None
