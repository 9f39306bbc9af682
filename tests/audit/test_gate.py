"""Conditions of the gate: how they are read and what they decide."""

from __future__ import annotations

from typing import Any

import pytest

from haystack_crossalign.audit.gate import TIE_CHOICES, check_conditions, evaluate_gate, failed, parse_condition
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.errors import InputError


@pytest.mark.parametrize(
    ("text", "scenario", "measure", "language", "operator", "limit"),
    [
        ("Max@R_norm<80%", "multi", "Max@R_norm", None, "<", 0.8),
        ("Max@R_norm < 0.8", "multi", "Max@R_norm", None, "<", 0.8),
        ("Max@R_norm[zh]<0.8", "multi", "Max@R_norm", "zh", "<", 0.8),
        ("Max@R_norm[Chinese]<=.8", "multi", "Max@R_norm", "zh", "<=", 0.8),
        ("mono-same:NDCG@1<90%", "mono-same", "NDCG@1", None, "<", 0.9),
        ("Max@R>20", "multi", "Max@R", None, ">", 20.0),
        ("Rank[en]>=1e2", "multi", "Rank[en]", None, ">=", 100.0),
        ("Rank[en][zh_CN]>100", "multi", "Rank[en]", "zh", ">", 100.0),
        ("Intrusion[en][zh]>5", "multi", "Intrusion[en]", "zh", ">", 5.0),
        ("mono-cross:nDCG@10[ar]<50%", "mono-cross", "NDCG@10", "ar", "<", 0.5),
        ("Complete@10<1", "multi", "Complete@10", None, "<", 1.0),
    ],
)
def test_a_condition_names_scenario_measure_language_and_limit(
    text: str, scenario: str, measure: str, language: str | None, operator: str, limit: float
) -> None:
    condition = parse_condition(text)
    assert (condition.scenario, condition.measure, condition.query_language) == (scenario, measure, language)
    assert condition.operator == operator
    assert condition.limit == pytest.approx(limit, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a condition"),
        ("Max@R_norm", "not a condition"),
        ("Max@R_norm==1", "not a condition"),
        ("Max@R_norm<80%%", "not a condition"),
        ("Max@R_norm<", "not a condition"),
        ("Max@R_norm<80", "lies in 0..1"),
        ("Max@R_norm<800%", "lies in 0..1"),
        ("NDCG@10<-0.1", "lies in 0..1"),
        ("Max@R<80%", "has no percentage"),
        ("MaxR<80", "unknown measure"),
        ("Max@R[klingonish]<80", "klingonish"),
        ("single:Max@R<80", "unknown scenario"),
        ("Rank>10", "needs a bracket"),
        ("Max@R[en][zh]>10", "too many brackets"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_was_seen(text: str, part: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_condition(text)
    assert part in str(raised.value)


@pytest.mark.parametrize(
    ("text", "retrieval"),
    [
        ("knn:MRR<1", "knn"),
        ("hybrid:MRR<1", "hybrid:rrf"),
        ("hybrid:rrf:MRR<1", "hybrid:rrf"),
        ("hybrid:native-minmax : MRR<1", "hybrid:native-minmax"),
        ("Shop_v1.2:MRR<1", "Shop_v1.2"),
        ("MRR<1", None),
        ("mono-same:MRR<1", None),
    ],
)
def test_a_condition_may_name_a_list(text: str, retrieval: str | None) -> None:
    condition = parse_condition(text, lists=["Shop_v1.2"])
    assert condition.retrieval == retrieval
    assert condition.scenario == ("mono-same" if text.startswith("mono") else "multi")


def test_the_name_of_a_list_comes_before_the_short_name_of_another() -> None:
    assert parse_condition("hybrid:MRR<1", lists=["hybrid"]).retrieval == "hybrid"
    assert parse_condition("hybrid:Parity[MRR]<1", lists=["hybrid"]).retrieval == "hybrid"


def test_the_gate_fails_where_a_condition_holds_and_looks_at_every_query_language(
    make_row: Any, make_result: Any
) -> None:
    rows = [make_row("en", {"Max@R_norm": 0.9}), make_row("zh", {"Max@R_norm": 0.79})]
    result = make_result(rows, [{"Max@R_norm": [0.9]}, {"Max@R_norm": [0.79]}])
    outcomes = evaluate_gate([parse_condition("Max@R_norm<80%")], result)
    assert [(o.query_language, o.value, o.failed) for o in outcomes] == [("en", 0.9, False), ("zh", 0.79, True)]
    assert failed(outcomes)
    assert not failed(evaluate_gate([parse_condition("Max@R_norm[en]<80%")], result))


@pytest.mark.parametrize(("operator", "fails"), [("<", False), ("<=", True), (">", False), (">=", True)])
def test_a_limit_that_is_met_exactly_decides_as_the_operator_says(
    make_row: Any, make_result: Any, operator: str, fails: bool
) -> None:
    result = make_result([make_row("zh", {"Complete@10": 0.5})], [{"Complete@10": [0.5]}])
    assert failed(evaluate_gate([parse_condition(f"Complete@10{operator}50%")], result)) is fails


def test_a_condition_on_one_documents_language_skips_pools_without_it(make_row: Any, make_result: Any) -> None:
    rows = [make_row("zh", {"Rank[zh]": 3.0}), make_row("ar", {"Rank[ar]": 9.0}, pool_languages=["ar", "en"])]
    result = make_result(rows, [{"Rank[zh]": [3.0]}, {"Rank[ar]": [9.0]}])
    assert [o.query_language for o in evaluate_gate([parse_condition("Rank[ar]>5")], result)] == ["ar"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Max@R_norm[fr]<80%", "matches no row"),
        ("mono-same:Max@R_norm<80%", "matches no row"),
        ("NDCG@7<80%", "matches no row"),
        ("Complete@10<80%", "has no value for queries in zh (no such version)"),
    ],
)
def test_a_condition_without_a_value_is_bad_input_and_no_pass(
    make_row: Any, make_result: Any, text: str, part: str
) -> None:
    rows = [make_row("zh", {"Max@R_norm": 0.9, "Complete@10": None})]
    result = make_result(rows, [{"Max@R_norm": [0.9], "Complete@10": [None]}])
    with pytest.raises(InputError) as raised:
        evaluate_gate([parse_condition(text)], result)
    assert part in str(raised.value)


def test_conditions_that_can_match_nothing_are_found_before_the_work() -> None:
    plan = [Scenario("multi", ("en", "zh"), "zh")]
    check_conditions([parse_condition(text) for text in ("Max@R_norm[zh]<80%", "Rank[en]>9", "NDCG@7<1")], plan)
    for text in ("Max@R_norm[en]<80%", "mono-same:MRR<1", "Rank[ar]>9"):
        with pytest.raises(InputError, match="matches no row"):
            check_conditions([parse_condition(text)], plan)


@pytest.mark.parametrize("tenths", range(1, 1000, 7))
def test_a_percentage_is_the_number_that_a_count_of_queries_gives(tenths: int) -> None:
    # 11 of 1,000 queries are exactly 1.1 %, so "<1.1%" must not hold for them.
    condition = parse_condition(f"Complete@10<{tenths // 10}.{tenths % 10}%")
    assert condition.limit == tenths / 1000
    assert not condition.holds(tenths / 1000)


def test_the_gate_reads_what_the_file_says(make_row: Any, make_result: Any) -> None:
    almost = 1 / 2 - 1e-16  # a mean that rounding errors kept below one half; the file says 0.5
    result = make_result([make_row("zh", {"Recall@10": almost})], [{"Recall@10": [almost]}])
    assert not failed(evaluate_gate([parse_condition("Recall@10<0.5")], result))


TIED = {
    "queries": 3,
    "Max@R": {"optimistic": 2.0, "pessimistic": 8.0, "expected": 6.0},
    "Complete@10": {"optimistic": 0.9, "pessimistic": 0.3, "expected": 0.6},
}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        # The end of the range that makes the condition hold is the worse one: a matter of the operator.
        ("Max@R>5", {"pessimistic": 8.0, "expected": 6.0, "optimistic": 2.0, "order": 4.0}),
        ("Max@R>=5", {"pessimistic": 8.0, "expected": 6.0, "optimistic": 2.0, "order": 4.0}),
        ("Max@R<5", {"pessimistic": 2.0, "expected": 6.0, "optimistic": 8.0, "order": 4.0}),
        ("Complete@10<50%", {"pessimistic": 0.3, "expected": 0.6, "optimistic": 0.9, "order": 0.7}),
        ("Complete@10>=50%", {"pessimistic": 0.9, "expected": 0.6, "optimistic": 0.3, "order": 0.7}),
    ],
)
def test_a_condition_looks_at_the_worse_end_of_ties_unless_told_otherwise(
    make_row: Any, make_result: Any, text: str, held: dict[str, float]
) -> None:
    row = make_row("zh", {"Max@R": 4.0, "Complete@10": 0.7}, ties=TIED)
    result = make_result([row], [{"Max@R": [4.0], "Complete@10": [0.7]}])
    assert set(held) == set(TIE_CHOICES)
    for choice, value in held.items():
        condition = parse_condition(text, ties=choice)
        (outcome,) = evaluate_gate([condition], result)
        assert (outcome.value, outcome.failed) == (value, condition.holds(value))
        assert outcome.ties == ((2.0, 8.0) if text.startswith("Max@R") else (0.3, 0.9))
    assert evaluate_gate([parse_condition(text)], result)[0].value == held["pessimistic"]


@pytest.mark.parametrize("ties", [{"queries": 0}, {"queries": 0, "Max@R": dict.fromkeys(TIED["Max@R"], 4.0)}])
def test_a_condition_without_ties_looks_at_the_value(make_row: Any, make_result: Any, ties: Any) -> None:
    result = make_result([make_row("zh", {"Max@R": 4.0}, ties=ties)], [{"Max@R": [4.0]}])
    for choice in TIE_CHOICES:
        (outcome,) = evaluate_gate([parse_condition("Max@R>4", ties=choice)], result)
        assert (outcome.value, outcome.ties, outcome.failed) == (4.0, None, False)


def test_a_condition_on_parity_compares_the_languages_of_each_pool(make_row: Any, make_result: Any) -> None:
    rows = [make_row("en", {"Complete@10": 0.8, "MRR": 0.9}), make_row("zh", {"Complete@10": 0.4, "MRR": 0.9})]
    result = make_result(rows, [{"Complete@10": [0.8]}, {"Complete@10": [0.4]}])
    fails, passes = evaluate_gate(
        [parse_condition("Parity[Complete@10]<60%"), parse_condition("multi:Parity[MRR]<0.9")], result
    )
    assert (fails.measure, fails.value, fails.query_language, fails.failed) == ("Parity[Complete@10]", 0.5, "zh", True)
    assert (passes.value, passes.failed) == (1.0, False)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Parity[Complete@10][zh]<60%", "over all query languages"),
        ("Parity[Complete@10[zh]]<60%", "over all query languages"),
        ("Parity[Complete@10]<60", "over all query languages"),
        ("Parity[Nothing]<60%", "unknown measure"),
        ("Parity[Rank[en]]<60%", "has no parity"),
        ("Parity[LPR]<60%", "has no parity"),
    ],
)
def test_a_wrong_condition_on_parity_is_refused(text: str, part: str) -> None:
    with pytest.raises(InputError, match=part):
        parse_condition(text)


def test_a_condition_on_parity_that_no_pool_has_is_refused(make_row: Any, make_result: Any) -> None:
    result = make_result([make_row("en", {"MRR": 0.9})], [{"MRR": [0.9]}])
    with pytest.raises(InputError, match="matches no pool"):
        evaluate_gate([parse_condition("Parity[MRR]<60%")], result)
