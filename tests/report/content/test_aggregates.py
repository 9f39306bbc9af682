"""Aggregates behind the charts, against figures worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.report.content.aggregates import (
    bin_labels,
    complete_curve,
    curve_grid,
    histogram,
    mean_rank,
    median_rank,
    row_ranks,
)
from haystack_crossalign.report.content.charts import curve_mark
from haystack_crossalign.report.content.views import main_view, views, weakest_row

INF = math.inf


def row(scenario: str, pool: list[str], query: str, **measures: float | None) -> dict[str, Any]:
    kind = "exact"
    return {
        "scenario": scenario,
        "pool_languages": pool,
        "query_language": query,
        "kind": kind,
        "measures": measures,
        "censored": None,
    }


@pytest.fixture
def small() -> dict[str, Any]:
    """Two queries in English; the second one lacks a Chinese version, and the first one's is censored."""
    return {
        "rows": [row("multi", ["en", "zh"], "en")],
        "queries": {
            "row": [0, 0, 0],
            "versions": [["en", "zh"], ["en"], ["en", "zh"]],
            "ranks": [[1, None], [4], [3, 2]],
            "above": [[[0, 0], [7, 9]], [[2, 1]], [[1, 0], [1, 0]]],
        },
    }


def test_ranks_are_taken_apart_by_document_language(small: dict[str, Any]) -> None:
    (ranks,) = row_ranks(small)
    assert sorted(ranks.by_language["en"].tolist()) == [1, 3, 4]
    assert sorted(ranks.by_language["zh"].tolist()) == [2, INF]
    assert ranks.deepest.tolist() == [INF, 4, 3]
    assert ranks.ahead == {
        "en": {"en": pytest.approx((0 + 2 + 1) / 3), "zh": pytest.approx(1 / 3)},
        "zh": {"en": (7 + 1) / 2, "zh": 9 / 2},
    }


def test_bins_are_octaves_and_hold_every_known_rank() -> None:
    assert bin_labels(1) == ["1"]
    assert bin_labels(2) == ["1", "2"]
    assert bin_labels(480) == ["1", "2", "3–4", "5–8", "9–16", "17–32", "33–64", "65–128", "129–256", "257–512"]
    ranks = np.array([1, 1, 2, 3, 4, 5, 8, 9, 480, INF])
    assert histogram(ranks, 10) == [2, 1, 2, 2, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("largest", [1, 2, 3, 16, 17, 480, 2880, 100_000])
def test_every_rank_falls_into_the_bin_whose_label_names_it(largest: int) -> None:
    labels = bin_labels(largest)
    for rank in {1, min(2, largest), largest, (largest + 1) // 2, max(largest - 1, 1)}:
        place = histogram(np.array([float(rank)]), len(labels)).index(1)
        low, _, high = labels[place].partition("–")
        assert int(low) <= rank <= int(high or low)


def test_the_curve_is_the_share_of_queries_complete_by_k() -> None:
    deepest = np.array([2.0, 3.0, 10.0, 11.0, INF])
    assert complete_curve(deepest, [1, 2, 3, 9, 10, 11, 480]) == [0, 0.2, 0.4, 0.4, 0.6, 0.8, 0.8]


def test_the_grid_of_a_curve_holds_the_round_cutoffs_and_ends_at_the_largest() -> None:
    grid = curve_grid(480)
    assert grid == sorted(set(grid))
    assert {1, 10, 20, 50, 100, 200, 480} <= set(grid)
    assert max(grid) == 480
    assert curve_grid(1) == [1]


def test_the_labelled_cutoff_can_hold_every_version() -> None:
    assert [curve_mark(best) for best in (1, 2, 10, 11, 12, 20, 21, 60, 123)] == [10, 10, 10, 20, 20, 20, 50, 100, 200]


def test_a_stated_median_goes_before_a_computed_one() -> None:
    ranks = np.array([1.0, 2.0, INF])
    assert median_rank({"medians": {"Rank[en]": {"value": 7}}}, "Rank[en]", ranks) == 7
    assert median_rank({"percentiles": {"Rank[en]": {"p50": 6}}}, "Rank[en]", ranks) == 6
    assert median_rank({}, "Rank[en]", ranks) == 2
    assert median_rank({}, "Rank[en]", np.array([1.0, INF, INF])) is None


def test_a_mean_that_was_not_asked_for_is_taken_from_known_ranks() -> None:
    known, cut = np.array([1.0, 2.0, 6.0]), np.array([1.0, INF])
    assert mean_rank({"measures": {"Rank[en]": 7.5}}, "Rank[en]", known) == 7.5
    assert mean_rank({"measures": {}}, "Rank[en]", known) == 3
    assert mean_rank({"measures": {}}, "Rank[en]", cut) is None
    assert mean_rank({"measures": {"Rank[en]": None}}, "Rank[en]", known) is None


def test_each_mixed_pool_is_a_view_and_one_language_pools_share_one() -> None:
    rows = [
        row("multi", ["en", "zh"], "en"),
        row("multi", ["en", "zh"], "zh"),
        row("multi", ["en", "ar"], "ar"),
        row("mono-same", ["en"], "en"),
        row("mono-same", ["zh"], "zh"),
        row("mono-cross", ["en"], "zh"),
    ]
    found = views({"rows": rows})
    assert [view.rows for view in found] == [(0, 1), (2,), (3, 4), (5,)]
    assert found[0].title == "Mixed pool: English and Chinese"
    assert found[2].document_languages == ("en", "zh")


def test_the_page_opens_with_the_mixed_pool_that_is_served_worst() -> None:
    rows = [
        row("mono-same", ["en"], "en", **{"Max@R_norm": 0.1}),
        row("multi", ["en", "zh"], "zh", **{"Max@R_norm": 0.6}),
        row("multi", ["en", "ar"], "ar", **{"Max@R_norm": 0.5}),
    ]
    result = {"rows": rows}
    assert main_view(result, views(result)).query_languages == ("ar",)


def test_the_weakest_row_is_found_without_max_at_r_norm() -> None:
    rows = [
        row("multi", ["en", "ar"], "en", **{"Max@R_norm": 0.9, "Complete@10": 0.9}),
        row("multi", ["en", "ar"], "ar", **{"Max@R_norm": None, "Complete@10": 0.2}),
    ]
    assert weakest_row({"rows": rows}, (0, 1)) == 1
    rows[0]["measures"] = {"Max@R": 5.0}
    rows[1]["measures"] = {"Max@R": None}
    rows[1]["censored"] = {"Max@R_lower_bound": 40.0}
    assert weakest_row({"rows": rows}, (0, 1)) == 1
