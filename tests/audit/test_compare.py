"""Comparison of two results: joined by query id, tested in pairs, honest about what does not match."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.table import Table

from haystack_crossalign.audit.compare import compare_results, compare_with_baseline
from haystack_crossalign.errors import InputError
from haystack_crossalign.report.content.comparison import changes, comparison_finding
from haystack_crossalign.report.markdown import render_markdown_comparison
from haystack_crossalign.report.terminal import comparison_tables


def one_row(make_row: Any, make_result: Any, values: list[float | None], **changes: Any) -> Any:
    known = [value for value in values if value is not None]
    row = make_row("zh", {"Max@R": float(np.mean(known)) if known else None}, **changes)
    return make_result([row], [{"Max@R": values}])


def test_differences_are_after_minus_before_and_small_samples_are_tested_exactly(
    make_row: Any, make_result: Any
) -> None:
    before = one_row(make_row, make_result, [10.0, 20.0, 30.0])
    after = one_row(make_row, make_result, [5.0, 10.0, 15.0])
    (row,) = compare_results(before, after).to_dict()["rows"]
    entry = row["measures"]["Max@R"]
    assert (entry["a"], entry["b"], entry["difference"], entry["queries"]) == (20.0, 10.0, -10.0, 3)
    # Three differences of one sign: of the 8 sign patterns only the one seen and its mirror are as far from 0.
    assert entry["p"] == pytest.approx(2 / 8)
    assert entry["interval"][0] <= -10 <= entry["interval"][1]


def test_parity_of_the_query_languages_is_told_before_and_after(make_row: Any, make_result: Any) -> None:
    def result(en: list[float], zh: list[float]) -> Any:
        values = [{"Complete@10": one, "LPR": one} for one in (en, zh)]
        rows = [
            make_row(tag, {"Complete@10": float(np.mean(one)), "LPR": 0.5}) for tag, one in (("en", en), ("zh", zh))
        ]
        return make_result(rows, values)

    # Means 1 and 0.5 before: the worst has half of the best. After 0.25 and 1.
    comparison = compare_results(
        result([1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]), result([1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    ).to_dict()
    (entry,) = comparison["parity"]
    assert (entry["scenario"], entry["kind"], entry["pool_languages"]) == ("multi", "exact", ["en", "zh"])
    assert list(entry["measures"]) == ["Complete@10"]  # of LPR neither direction is better
    found = entry["measures"]["Complete@10"]
    assert found["a"] == {"value": 0.5, "best": "en", "worst": "zh"}
    assert found["b"] == {"value": 0.25, "best": "zh", "worst": "en"}
    sentence = comparison_finding(comparison)[-1]
    assert sentence.startswith(
        "Parity of query languages over en+zh, the lowest mean Complete@10 as a share of the highest"
    )
    assert sentence.endswith("before, 25\u00a0% after (served worst: English).")
    shown = [str(part) for part in comparison_tables(comparison)]
    assert sentence in shown
    assert sentence.replace("\u00a0", " ") in render_markdown_comparison(comparison).replace("\u00a0", " ")
    even = compare_results(result([1.0, 1.0], [1.0, 0.0]), result([1.0, 0.0], [0.0, 1.0])).to_dict()
    assert comparison_finding(even)[-1].endswith("100\u00a0% after.")
    alone = one_row(make_row, make_result, [1.0, 2.0])
    assert "parity" not in compare_results(alone, alone).to_dict()


def test_p_values_are_adjusted_over_the_rows_of_a_measure(make_row: Any, make_result: Any) -> None:
    def result(values: list[float]) -> Any:
        rows = [
            make_row("en", {"Max@R": 1.0, "MRR": 1.0}),
            make_row("zh", {"Max@R": 1.0}),
        ]
        return make_result(rows, [{"Max@R": values, "MRR": values}, {"Max@R": values}])

    rows = compare_results(result([1.0, 2.0, 3.0]), result([2.0, 4.0, 5.0])).rows
    # Three differences of one sign: p = 2/8 each. Max@R is tested in two rows, MRR in one.
    assert [row["measures"]["Max@R"]["p_holm"] for row in rows] == pytest.approx([0.5, 0.5])
    assert rows[0]["measures"]["MRR"]["p_holm"] == pytest.approx(0.25)


def test_p_values_of_several_results_are_adjusted_together(make_row: Any, make_result: Any) -> None:
    before = one_row(make_row, make_result, [1.0] * 8)
    others = [one_row(make_row, make_result, [2.0] * 8), one_row(make_row, make_result, [1.0] * 7 + [2.0])]
    entries = [
        comparison.rows[0]["measures"]["Max@R"]
        for comparison in compare_with_baseline(before, others, names=("a", "b", "c"))
    ]
    # Eight differences of one sign: 2 of 2**8 patterns. One difference: both patterns are as far from 0.
    assert [entry["p"] for entry in entries] == pytest.approx([2 / 256, 1.0])
    assert [entry["p_holm"] for entry in entries] == pytest.approx([4 / 256, 1.0])


@pytest.mark.parametrize(("queries", "others", "needed"), [(5, 0, 6), (6, 0, None), (6, 1, 7), (7, 1, None)])
def test_a_test_that_cannot_be_significant_says_how_many_queries_it_takes(
    make_row: Any, make_result: Any, queries: int, others: int, needed: int | None
) -> None:
    # m tests over n queries that all change alike: the smallest adjusted p is m * 2 / 2**n, below 0.05 from 6 and 7 on.
    before = one_row(make_row, make_result, [1.0] * queries)
    after = one_row(make_row, make_result, [2.0] * queries)
    names = [f"{number}" for number in range(2 + others)]
    comparisons = compare_with_baseline(before, [after] * (1 + others), names=names)
    for comparison in comparisons:
        entry = comparison.rows[0]["measures"]["Max@R"]
        assert entry.get("queries_needed") == needed
        assert (entry["p_holm"] < 0.05) is (needed is None)


def test_too_few_permutations_are_said(make_row: Any, make_result: Any) -> None:
    before, after = (one_row(make_row, make_result, [value] * 30) for value in (1.0, 2.0))
    assert compare_with_baseline(before, [after] * 5, names="abcdef", permutations=99)[0].notes == [
        "With 99 permutations no change can be significant among 5 tests of a measure: it takes --permutations 101."
    ]
    assert compare_with_baseline(before, [after] * 5, names="abcdef", permutations=101)[0].notes == []


def test_measures_of_one_result_only_are_listed(make_row: Any, make_result: Any) -> None:
    before = make_result([make_row("zh", {"Max@R": 1.0, "MRR": 1.0})], [{"Max@R": [1.0], "MRR": [1.0]}])
    after = one_row(make_row, make_result, [1.0])
    assert compare_results(before, after).rows[0]["one_sided"] == {"a": ["MRR"], "b": []}
    assert "one_sided" not in compare_results(after, after).rows[0]


def test_queries_are_joined_by_id_in_whatever_order(make_row: Any, make_result: Any) -> None:
    before = one_row(make_row, make_result, [1.0, 2.0, 3.0])
    after = one_row(make_row, make_result, [3.0, 2.0, 1.0])
    after = replace(after, queries={**after.queries, "id": ["q2", "q1", "q0"]})
    (row,) = compare_results(before, after).rows
    assert row["measures"]["Max@R"]["difference"] == 0.0
    assert row["measures"]["Max@R"]["p"] == 1.0


def test_queries_and_pools_that_differ_are_said(make_row: Any, make_result: Any) -> None:
    before = one_row(make_row, make_result, [1.0, 2.0, 3.0])
    after = one_row(make_row, make_result, [1.0, 2.0], pool_size=240)
    comparison = compare_results(before, after)
    assert comparison.rows[0]["queries"] == 2
    assert any("the 2 queries that both have, of 3 and 2" in note for note in comparison.notes)
    assert any("pools differ in size (480 and 240)" in note for note in comparison.notes)


def test_a_null_measure_stays_null_with_its_reason(make_row: Any, make_result: Any) -> None:
    before = one_row(make_row, make_result, [None, None, None])
    after = one_row(make_row, make_result, [1.0, 2.0, 3.0])
    entry = compare_results(before, after).rows[0]["measures"]["Max@R"]
    assert (entry["a"], entry["b"], entry["difference"], entry["p"]) == (None, 2.0, None, None)
    assert entry["reason"] == "no such version"


def test_rows_of_one_result_only_are_listed_and_none_in_common_is_an_error(make_row: Any, make_result: Any) -> None:
    before = make_result(
        [make_row("zh", {"Max@R": 1.0}), make_row("en", {"Max@R": 1.0})], [{"Max@R": [1.0]}, {"Max@R": [1.0]}]
    )
    after = one_row(make_row, make_result, [1.0])
    assert compare_results(before, after).unmatched == [
        {"result": "a", "scenario": "multi", "query_language": "en", "pool_languages": ["en", "zh"], "kind": "exact"}
    ]
    with pytest.raises(InputError, match="share no row"):
        compare_results(after, one_row(make_row, make_result, [1.0], kind="live"))


def test_results_over_other_queries_are_refused(make_row: Any, make_result: Any) -> None:
    before, after = one_row(make_row, make_result, [1.0]), one_row(make_row, make_result, [1.0])
    after = replace(after, queries={**after.queries, "id": ["other"]})
    with pytest.raises(InputError, match="share no query"):
        compare_results(before, after, names=("a.json", "b.json"))


def test_the_same_comparison_gives_the_same_bytes(make_row: Any, make_result: Any) -> None:
    values = np.random.default_rng(3).integers(1, 400, size=(2, 60)).astype(float).tolist()
    before, after = (one_row(make_row, make_result, list(column)) for column in values)
    assert compare_results(before, after, seed=5).to_json() == compare_results(before, after, seed=5).to_json()


def test_one_id_with_two_texts_is_refused(make_row: Any, make_result: Any) -> None:
    before, after = one_row(make_row, make_result, [1.0]), one_row(make_row, make_result, [1.0])
    after = replace(after, queries={**after.queries, "text": ["another question"]})
    with pytest.raises(InputError, match=r"'q0' has another text.*another question"):
        compare_results(before, after)
    without = [result.without_texts() for result in (before, after)]
    assert compare_results(*without).rows[0]["queries"] == 1


def test_other_relevant_versions_are_noted(make_row: Any, make_result: Any) -> None:
    before, after = one_row(make_row, make_result, [1.0, 2.0]), one_row(make_row, make_result, [1.0, 2.0])
    after = replace(after, queries={**after.queries, "versions": [["zh", "en"], ["ar", "en"]]})
    assert any("1 of 2 queries have other relevant versions" in note for note in compare_results(before, after).notes)


def tied_row(make_row: Any, make_result: Any, values: list[float], low: float, high: float) -> Any:
    mean = float(np.mean(values))
    ties = {"queries": len(values), "Max@R": {"optimistic": low, "pessimistic": high, "expected": (low + high) / 2}}
    row = make_row("zh", {"Max@R": mean}, queries=len(values), ties=ties)
    return make_result([row], [{"Max@R": values}])


@pytest.mark.parametrize(
    ("bounds_b", "undone"), [((4.0, 9.0), False), ((4.0, 10.0), True), ((4.0, 12.0), True), ((5.0, 5.0), False)]
)
def test_a_change_that_another_order_of_ties_undoes_is_said(
    make_row: Any, make_result: Any, bounds_b: tuple[float, float], undone: bool
) -> None:
    before = tied_row(make_row, make_result, [10.0, 20.0, 30.0] * 4, 10.0, 40.0)
    after = tied_row(make_row, make_result, [4.0, 5.0, 6.0] * 4, *bounds_b)
    comparison = compare_results(before, after).to_dict()
    entry = comparison["rows"][0]["measures"]["Max@R"]
    assert entry["ties"] == {"a": [10.0, 40.0], "b": list(bounds_b)}
    assert entry["within_ties"] is undone
    assert entry["p"] < 0.05
    (change,) = changes(comparison["rows"][0])
    assert (change.verdict, change.reading) == (("even", "within the ties") if undone else ("better", "better"))
    assert ("within the ties" in comparison_finding(comparison)[0]) is undone
    written = [str(part.caption) for part in comparison_tables(comparison) if isinstance(part, Table)]
    assert any("lies within the ties" in caption for caption in written) is undone


def test_ranges_are_wide_enough_over_the_queries_that_both_have(make_row: Any, make_result: Any) -> None:
    # Before, all 3 queries: 20 within 14 to 23. Both have the first 2: 15, and at most all of the 3 * 6 ranks down and
    # 3 * 3 up are theirs: 15 - 9 to 15 + 4.5.
    before = tied_row(make_row, make_result, [10.0, 20.0, 30.0], 14.0, 23.0)
    after = one_row(make_row, make_result, [11.0, 21.0], queries=2)
    entry = compare_results(before, after).rows[0]["measures"]["Max@R"]
    assert (entry["ties"]["a"], entry["ties"]["b"]) == ([6.0, 19.5], [16.0, 16.0])
    assert entry["within_ties"] is True


def test_without_ties_nothing_is_said_of_them(make_row: Any, make_result: Any) -> None:
    before = one_row(make_row, make_result, [10.0, 20.0, 30.0])
    after = one_row(make_row, make_result, [5.0, 10.0, 15.0])
    assert not {"ties", "within_ties"} & compare_results(before, after).rows[0]["measures"]["Max@R"].keys()


def test_results_that_order_ties_by_different_rules_are_noted(make_row: Any, make_result: Any) -> None:
    before = tied_row(make_row, make_result, [10.0, 20.0], 10.0, 40.0)
    after = replace(before, provenance={**before.provenance, "ties": "crossalign.ties/1"})
    (note,) = compare_results(before, after).notes
    assert "(document id before, crossalign.ties/1 after)" in note
    assert compare_results(after, after).notes == []
    free = one_row(make_row, make_result, [10.0, 20.0], queries=2)
    assert compare_results(free, replace(free, provenance=after.provenance)).notes == []


def test_other_gains_and_levels_are_said(make_row: Any, make_result: Any) -> None:
    def result(gain: str, level: int) -> Any:
        plain = one_row(make_row, make_result, [1.0, 2.0])
        judgments = {"relevance_level": level, "gain": gain, "grades": {"1": 1, "2": 1}}
        data = {**plain.provenance["data"], "judgments": judgments}
        return replace(plain, provenance={**plain.provenance, "data": data})

    assert compare_results(result("linear", 1), result("linear", 1)).notes == []
    assert compare_results(result("binary", 1), result("linear", 2)).notes == [
        "A document counts as relevant from grade 1 before and from grade 2 after.",
        "The gains of NDCG are binary before and linear after.",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b": {}}, "is not a result; seen: 'dict'"),
        ({"names": ("A",)}, "field 'names': wrong number of names; seen: 1; allowed: 2"),
        ({"samples": 0}, "field 'samples': is too small; seen: 0; allowed: 1 or more"),
        ({"permutations": 1.5}, "field 'permutations': is not a whole number; seen: 1.5"),
        ({"seed": -1}, "field 'seed': is too small; seen: -1; allowed: 0 or more"),
    ],
)
def test_wrong_arguments_are_named(make_row: Any, make_result: Any, changes: dict[str, Any], message: str) -> None:
    before, after = one_row(make_row, make_result, [1.0, 2.0, 3.0]), one_row(make_row, make_result, [2.0, 2.0, 1.0])
    with pytest.raises(InputError, match=re.escape(message)):
        compare_results(**{"a": before, "b": after, **changes})
