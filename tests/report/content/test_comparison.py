"""Before and after, in words and tables."""

from __future__ import annotations

from typing import Any

import pytest

from haystack_crossalign.report.content.comparison import changes, comparison_context, comparison_finding, one_sided
from haystack_crossalign.report.markdown import render_markdown_comparison


def entry(a: float, b: float, p: float, **more: Any) -> dict[str, Any]:
    return {"a": a, "b": b, "difference": b - a, "interval": [b - a - 0.01, b - a + 0.01], "p": p, "queries": 9, **more}


def row(scenario: str, pool: list[str], query: str, measures: dict[str, Any]) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "query_language": query,
        "pool_languages": pool,
        "kind": "exact",
        "queries": 9,
        "measures": measures,
    }


@pytest.fixture
def comparison() -> dict[str, Any]:
    provenance = {"model": {"name": "base"}, "data": {"name": "xquad"}}
    return {
        "schema": "crossalign.comparison/1",
        "a": provenance,
        "b": {**provenance, "model": {"name": "aligned"}},
        "rows": [
            row("multi", ["en", "zh"], "en", {"Complete@10": entry(0.64, 0.66, 0.4)}),
            row(
                "multi",
                ["en", "zh"],
                "zh",
                {
                    "LPR": entry(0.9, 0.6, 0.0001),
                    "Max@R": entry(186.0, 23.0, 0.0001),
                    "Complete@10": entry(0.0193, 0.5583, 0.0001),
                    "Top1[other,same]": entry(0.2, 0.3, 0.01),
                },
            ),
            row("mono-same", ["en"], "en", {"Complete@10": entry(0.98, 0.99, 0.5)}),
        ],
        "unmatched": [],
        "notes": [],
    }


def test_the_row_that_was_weakest_before_is_told_first(comparison: dict[str, Any]) -> None:
    assert comparison_finding(comparison) == [
        "For Chinese queries over en+zh, the share with every version in the top 10 (Complete@10) rises from "
        "2\u00a0% to 56\u00a0% (+54 points, p < 0.001); to see every version one reads to rank 23 instead of 186.",
        "For English queries over en+zh, the share with every version in the top 10 (Complete@10) shows no significant "
        "change (64\u00a0% before, 66\u00a0% after, p = 0.400).",
        "The price for Chinese queries over en+zh: the version in Chinese leads the other versions for 60\u00a0% "
        "instead of 90\u00a0% of them (LPR, −30 points).",
        "Also significantly worse: Top1[other,same] from 20\u00a0% to 30\u00a0%, for Chinese queries over en+zh.",
        "Ordinary retrieval (one-language pools, 1 row) did not get significantly worse.",
    ]


def test_too_few_queries_do_not_show_that_ordinary_retrieval_kept(comparison: dict[str, Any]) -> None:
    """With five queries no loss, however large, could be significant."""
    plain = comparison["rows"][-1]["measures"]
    plain["Complete@10"] = entry(1.0, 0.2, 1.0, queries_needed=7)
    assert comparison_finding(comparison)[-1] == (
        "Whether ordinary retrieval (one-language pools, 1 row) got worse cannot be told from so few queries: it takes "
        "7 queries in each."
    )
    comparison["rows"].append(row("mono-same", ["zh"], "zh", {"Complete@10": entry(0.98, 0.99, 0.5)}))
    assert comparison_finding(comparison)[-1] == (
        "Ordinary retrieval (one-language pools, 2 rows) did not get significantly worse; 1 of the rows has too few "
        "queries to tell: it takes 7 queries in each."
    )


def test_a_loss_at_rank_1_in_the_own_language_is_said_first(comparison: dict[str, Any]) -> None:
    row = comparison["rows"][0]["measures"]
    row["Top1[relevant,same]"] = entry(0.73, 0.47, 0.0001)
    assert comparison_finding(comparison)[0] == (
        "The price for English queries over en+zh: a relevant version in English is the first hit for 47\u00a0% "
        "instead of 73\u00a0% of them (Top1[relevant,same], −26 points)."
    )
    for harmless in (entry(0.73, 0.47, 0.2), entry(0.73, 0.83, 0.0001), entry(0.73, 0.47, 0.001, within_ties=True)):
        row["Top1[relevant,same]"] = harmless
        assert "English is the first hit" not in " ".join(comparison_finding(comparison))


def test_every_significant_loss_of_ordinary_retrieval_is_said(comparison: dict[str, Any]) -> None:
    comparison["rows"][2]["measures"]["NDCG@1"] = entry(0.9, 0.8, 0.01)
    assert comparison_finding(comparison)[-1] == (
        "Ordinary retrieval got worse: NDCG@1 from 90\u00a0% to 80\u00a0%, for English queries over en."
    )


def test_harm_to_ordinary_retrieval_is_said(comparison: dict[str, Any]) -> None:
    comparison["rows"][2]["measures"]["Complete@10"] = entry(0.98, 0.9, 0.001)
    assert comparison_finding(comparison)[-1] == (
        "Ordinary retrieval got worse: For English queries over en, the share with the relevant version in the top "
        "10 (Complete@10) falls from 98\u00a0% to 90\u00a0% "
        "(−8 points, p = 0.001)."
    )


def test_each_change_is_read_in_the_direction_of_its_measure(comparison: dict[str, Any]) -> None:
    read = {change.name: change.verdict for change in changes(comparison["rows"][1])}
    assert read == {"Max@R": "better", "Complete@10": "better", "LPR": "neutral", "Top1[other,same]": "worse"}
    assert changes(comparison["rows"][0])[0].verdict == "even"


def test_adjusted_p_values_decide_where_there_are_any(comparison: dict[str, Any]) -> None:
    comparison["rows"][1]["measures"]["Max@R"]["p_holm"] = 0.2
    (change,) = [change for change in changes(comparison["rows"][1]) if change.name == "Max@R"]
    assert (change.verdict, change.p) == ("even", "0.200")


def test_a_measure_without_a_value_says_why(comparison: dict[str, Any]) -> None:
    comparison["rows"][0]["measures"] = {
        "Max@R": {"a": None, "b": 3.0, "difference": None, "interval": None, "p": None, "reason": "censored"}
    }
    (change,) = changes(comparison["rows"][0])
    assert (change.a, change.difference, change.reading) == ("–", "–", "censored")
    assert comparison_finding(comparison)


def test_differences_have_signs_and_shares_have_points(comparison: dict[str, Any]) -> None:
    written = {change.name: (change.difference, change.interval) for change in changes(comparison["rows"][1])}
    assert written["Max@R"] == ("−163", "−163 to −163")
    assert written["Top1[other,same]"] == ("+10 points", "+9 to +11 points")


def test_markdown_shows_before_and_after(comparison: dict[str, Any]) -> None:
    text = render_markdown_comparison(comparison)
    assert text.startswith("## Language bias, before and after\n\nbase on xquad → aligned on xquad\n\n**For Chinese")
    assert "| Complete@10 | 2\u00a0% | 56\u00a0% | +54 points [+53 to +55 points] | \\< 0.001 | ✅ better |" in text


def test_the_headline_is_a_significant_change_if_there_is_one(comparison: dict[str, Any]) -> None:
    weakest, other = comparison["rows"][1]["measures"], comparison["rows"][0]["measures"]
    weakest["Complete@10"], weakest["Max@R"] = entry(0.0193, 0.05, 0.3), entry(186.0, 150.0, 0.3)
    other["Complete@10"] = entry(0.64, 0.9, 0.001)
    first, second, *_ = comparison_finding(comparison)
    assert first.startswith(
        "For English queries over en+zh, the share with every version in the top 10 (Complete@10) rises"
    )
    assert "shows no significant change" in second


def test_of_the_measures_of_a_row_one_that_changed_significantly_is_told(comparison: dict[str, Any]) -> None:
    comparison["rows"][1]["measures"]["Complete@10"] = entry(0.0193, 0.0193, 1.0)
    assert (
        comparison_finding(comparison)[0]
        == "For Chinese queries over en+zh, Max@R falls from 186 to 23 (−163, p < 0.001)."
    )


def test_the_depth_is_called_a_change_only_by_its_own_test(comparison: dict[str, Any]) -> None:
    comparison["rows"][1]["measures"]["Max@R"] = entry(186.0, 23.0, 0.2)
    assert "rank 23" not in " ".join(comparison_finding(comparison))


def test_too_few_queries_are_said_with_the_number_needed(comparison: dict[str, Any]) -> None:
    measures = comparison["rows"][1]["measures"]
    measures["Complete@10"], measures["Max@R"] = entry(0.1, 0.6, 0.25, queries_needed=12), entry(186.0, 23.0, 0.25)
    (change,) = [change for change in changes(comparison["rows"][1]) if change.name == "Complete@10"]
    assert (change.verdict, change.reading) == ("even", "too few queries: 12 needed")
    told = " ".join(comparison_finding(comparison))
    assert "too few queries to tell a change (10\u00a0% before, 60\u00a0% after; 9 queries, and it takes 12" in told
    assert "rises from 10.0" not in told


def test_exact_and_retrieved_rankings_are_named_apart(comparison: dict[str, Any]) -> None:
    served = {**comparison["rows"][1], "kind": "live", "retrieval": "bm25"}
    comparison["rows"].append(served)
    told = comparison_finding(comparison)
    assert len(set(told)) == len(told)
    assert any("en+zh, exact ranks, the share" in sentence for sentence in told)
    assert any("en+zh, results as served by BM25, the share" in sentence for sentence in told)
    empty: dict[str, Any] = {"rows": [], "queries": {"row": []}, "provenance": comparison["a"]}
    lines = comparison_context(comparison, empty, empty)["data"]["changes"]["Complete@10"]
    assert len({line["label"] for line in lines}) == len(lines) == 4


def test_what_only_one_side_has_is_said(comparison: dict[str, Any]) -> None:
    comparison["unmatched"] = [
        {"result": "b", "scenario": "multi", "query_language": "zh", "pool_languages": ["en", "zh"], "kind": "live"}
    ]
    comparison["rows"][0]["one_sided"] = {"a": ["MRR"], "b": []}
    assert one_sided(comparison) == [
        "Measured only before: MRR, for English queries over English and Chinese documents (multi, exact ranks).",
        "Only after: Chinese queries over English and Chinese documents (multi, results as served).",
    ]
    assert "Only after: Chinese queries" in render_markdown_comparison(comparison)
