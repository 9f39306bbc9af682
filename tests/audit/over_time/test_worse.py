"""Worse than an earlier result: judged in pairs where queries are the same, and said where they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from haystack_crossalign.audit.over_time.worse import worse_than
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.errors import InputError

NAMES = ("last.json", "this result")


def result(make_row: Any, make_result: Any, name: str, values: list[float], **changes: Any) -> AuditResult:
    mean = sum(values) / len(values)
    return make_result([make_row("zh", {name: mean}, queries=len(values), **changes)], [{name: values}])  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("before", "after", "failed"),
    [
        # Of 8 queries that all change alike, 2 of 2**8 sign patterns are as far from 0: p = 0.0078.
        ([0.9] * 8, [0.8] * 8, True),
        ([0.8] * 8, [0.9] * 8, False),
        # 4 queries changed alike: p = 2 / 2**4 = 0.125.
        ([0.9] * 8, [0.9] * 4 + [0.1] * 4, False),
    ],
)
def test_a_paired_test_decides(
    make_row: Any, make_result: Any, before: list[float], after: list[float], failed: bool
) -> None:
    last, now = (result(make_row, make_result, "NDCG@10", values) for values in (before, after))
    verdict = worse_than(last, now, names=NAMES)
    (outcome,) = verdict.outcomes
    assert outcome.failed is failed
    assert outcome.condition == "NDCG@10 worse than in last.json"
    assert "paired test" in (outcome.judged_by or "")


def test_lower_is_worse_only_where_higher_is_better(make_row: Any, make_result: Any) -> None:
    deep, shallow = (result(make_row, make_result, "Max@R", [value] * 8) for value in (9.0, 3.0))
    assert worse_than(shallow, deep, names=NAMES, measures=["Max@R"]).outcomes[0].failed
    assert not worse_than(deep, shallow, names=NAMES, measures=["Max@R"]).outcomes[0].failed
    preferred = [result(make_row, make_result, "LPR", [value] * 8) for value in (1.0, 0.0)]
    assert worse_than(preferred[0], preferred[1], names=NAMES, measures=["LPR"]).outcomes == ()


def test_all_tests_are_adjusted_together(make_row: Any, make_result: Any) -> None:
    names = ["Max@R_norm", "Complete@10", "NDCG@10", "Top1[relevant,same]"]

    def all_of(value: float) -> AuditResult:
        rows = [make_row(tag, dict.fromkeys(names, value), queries=8) for tag in ("en", "zh")]
        return make_result(rows, [dict.fromkeys(names, [value] * 8)] * 2)  # type: ignore[no-any-return]

    verdict = worse_than(all_of(1.0), all_of(0.0), names=NAMES)
    # Eight tests of p = 2 / 2**8: adjusted 8 * 0.0078 = 0.0625. With 9 queries it would be 0.031.
    assert len(verdict.outcomes) == 8
    assert not any(outcome.failed for outcome in verdict.outcomes)
    assert "Rows of 8 queries are too small for 8 tests: it takes 9 to find a measure worse." in verdict.notes


def test_within_the_ties_nothing_is_worse(make_row: Any, make_result: Any) -> None:
    ties = {"queries": 8, "NDCG@10": {"optimistic": 0.95, "pessimistic": 0.5, "expected": 0.7}}
    last = result(make_row, make_result, "NDCG@10", [0.9] * 8)
    now = result(make_row, make_result, "NDCG@10", [0.8] * 8, ties=ties)
    assert not worse_than(last, now, names=NAMES).outcomes[0].failed


@pytest.mark.parametrize(("interval", "failed"), [([0.1, 0.4], True), ([0.1, 0.6], False)])
def test_other_queries_are_judged_by_intervals_and_that_is_said(
    make_row: Any, make_result: Any, interval: list[float], failed: bool
) -> None:
    last = result(make_row, make_result, "NDCG@10", [0.8] * 8, intervals={"NDCG@10": [0.5, 0.9]})
    now = result(make_row, make_result, "NDCG@10", [0.3] * 8, intervals={"NDCG@10": interval})
    now = replace(now, queries={**now.queries, "id": [f"new{number}" for number in range(8)]})
    verdict = worse_than(last, now, names=NAMES)
    assert [outcome.failed for outcome in verdict.outcomes] == [failed]
    assert any("no query in common with last.json" in note for note in verdict.notes)
    assert verdict.outcomes[0].judged_by == "by their intervals"


def test_what_cannot_be_compared_is_said(make_row: Any, make_result: Any) -> None:
    last = make_result(
        [make_row("zh", {"NDCG@10": 0.5}), make_row("en", {"NDCG@10": 0.5})],
        [{"NDCG@10": [0.5] * 3}, {"NDCG@10": [0.5] * 3}],
    )
    now = result(make_row, make_result, "NDCG@10", [0.5] * 3)
    notes = worse_than(last, now, names=NAMES).notes
    assert "multi en+zh asked in en (exact) is only in last.json." in notes
    with pytest.raises(InputError, match="share no row"):
        worse_than(last, result(make_row, make_result, "NDCG@10", [0.5] * 3, kind="live"), names=NAMES)


def test_measures_may_be_spelled_in_any_way_and_named_twice(make_row: Any, make_result: Any) -> None:
    last, now = (result(make_row, make_result, "NDCG@10", [value] * 8) for value in (0.9, 0.1))
    (outcome,) = worse_than(last, now, names=NAMES, measures=["nDCG@10", "ndcg@10", "NDCG@10"]).outcomes
    assert outcome.failed
    assert outcome.measure == "NDCG@10"
    with pytest.raises(InputError, match="unknown measure"):
        worse_than(last, now, names=NAMES, measures=["NDCG10"])


def test_a_measure_that_one_result_lacks_is_named(make_row: Any, make_result: Any) -> None:
    last = result(make_row, make_result, "NDCG@10", [0.9] * 8)
    now = make_result(
        [make_row("zh", {"NDCG@10": 0.9, "Recall@3": 0.1}, queries=8)], [{"NDCG@10": [0.9] * 8, "Recall@3": [0.1] * 8}]
    )
    verdict = worse_than(last, now, names=NAMES, measures=["NDCG@10", "Recall@3", "MRR"])
    assert [outcome.measure for outcome in verdict.outcomes] == ["NDCG@10"]
    assert verdict.notes == ("Recall@3 is only in this result, so it is not judged.",)
    assert worse_than(now, last, names=NAMES, measures=["Recall@3"]).notes == (
        "Recall@3 is only in last.json, so it is not judged.",
    )


def test_queries_of_which_none_has_a_value_in_both_are_judged_by_intervals(make_row: Any, make_result: Any) -> None:
    def half(values: list[float | None], mean: float, interval: list[float]) -> AuditResult:
        row = make_row("zh", {"NDCG@10": mean}, queries=8, intervals={"NDCG@10": interval})
        return make_result([row], [{"NDCG@10": values}])  # type: ignore[no-any-return]

    last = half([0.9, None] * 4, 0.9, [0.8, 1.0])
    now = half([None, 0.2] * 4, 0.2, [0.1, 0.3])
    verdict = worse_than(last, now, names=NAMES)
    assert [(outcome.failed, outcome.judged_by) for outcome in verdict.outcomes] == [(True, "by their intervals")]
    assert any("no query has a value in both: worse only if the 95 % intervals" in note for note in verdict.notes)
