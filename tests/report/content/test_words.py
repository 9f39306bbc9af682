"""Numbers and languages as they are written."""

from __future__ import annotations

from fractions import Fraction

import pytest

from haystack_crossalign.measures.meanings import best_value, direction, is_share, ordered_names
from haystack_crossalign.report.content.words import (
    difference,
    in_language,
    interval,
    joined,
    measure_value,
    p_value,
    percent_decimals,
    plural,
    quantity,
    shorten,
)

NBSP = "\u00a0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.394, "1.39"),
        (63.28, "63.3"),
        (186.4, "186"),
        (2380.0, "2,380"),
        (5.5, "5.5"),
        (40.01, "40"),
        (0.0, "0"),
        (9.996, "10"),
        (99.96, "100"),
        (None, "–"),
    ],
)
def test_quantities_keep_three_digits_and_no_trailing_zeros(value: float | None, text: str) -> None:
    assert quantity(value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("Complete@10", 0.0193, f"1.93{NBSP}%"),
        ("Max@R_norm", 0.4126, f"41.3{NBSP}%"),
        ("MRR", 1.0, f"100{NBSP}%"),
        ("Recall@10", 0.0, f"0{NBSP}%"),
        ("Max@R", 186.4, "186"),
        ("Intrusion[en]", 0.25, "0.25"),
        ("NDCG@1", None, "–"),
    ],
)
def test_shares_are_in_percent_and_ranks_are_not(name: str, value: float | None, text: str) -> None:
    assert measure_value(name, value) == text


def decimals(text: str) -> int:
    return len(text.removesuffix(f"{NBSP}%").partition(".")[2])


def number(text: str) -> Fraction:
    return Fraction(text.removesuffix(f"{NBSP}%"))


@pytest.mark.parametrize(
    ("queries", "expected"), [(1, 0), (30, 0), (100, 0), (101, 1), (1000, 1), (1190, 2), (9999, 2)]
)
def test_a_percentage_has_the_decimals_that_its_sample_bears(queries: int, expected: int) -> None:
    """The least d with 10^-d <= 100 / queries: one query moves the last digit, and none before it is idle."""
    step = Fraction(100, queries)
    assert Fraction(1, 10**expected) <= step
    assert expected == 0 or Fraction(1, 10 ** (expected - 1)) > step
    assert percent_decimals(queries) == expected
    share = (queries // 2 + 1) / (queries + 2)
    assert decimals(measure_value("NDCG@10", share, queries)) == expected


@pytest.mark.parametrize("queries", [1, 2, 3, 7, 19, 30, 67, 99, 100, 101, 199, 300, 1000])
def test_shares_that_differ_by_one_query_are_written_differently(queries: int) -> None:
    texts = [measure_value("Complete@10", count / queries, queries) for count in range(queries + 1)]
    assert len(set(texts)) == queries + 1
    assert [number(text) in (0, 100) for text in texts] == [count in (0, queries) for count in range(queries + 1)]
    for count, text in enumerate(texts):
        assert abs(number(text) - Fraction(100 * count, queries)) <= Fraction(1, 2 * 10 ** decimals(text))


@pytest.mark.parametrize("limit", [Fraction(1, 2), Fraction(4, 5), Fraction(19, 20)])
def test_a_value_is_written_on_its_side_of_a_limit(limit: Fraction) -> None:
    for queries in range(1, 150):
        for count in range(queries + 1):
            shown = number(measure_value("Complete@10", count / queries, queries, limit=float(limit)))
            share = Fraction(count, queries)
            assert (shown < 100 * limit, shown == 100 * limit) == (share < limit, share == limit), (count, queries)
    assert measure_value("MRR", 0.9499999, 30, limit=0.95) == f"94.99999{NBSP}%"
    assert measure_value("MRR", 0.95, 30, limit=0.95) == f"95{NBSP}%"
    assert measure_value("Max@R", 3.004, 1000, limit=3) == "3.004"
    assert measure_value("Max@R", 1299.6, 1000, limit=1300) == "1,299.6"
    assert measure_value("Max@R", 3.004, 1000, limit=2) == "3"


@pytest.mark.parametrize(("queries", "text"), [(1, "3"), (3, "3.3"), (10, "3.3"), (11, "3.33"), (1000, "3.33")])
def test_a_mean_rank_has_the_decimals_that_its_sample_bears(queries: int, text: str) -> None:
    """Three significant digits, unless a step of 1 / queries is longer than the last of them."""
    assert quantity(10 / 3, queries) == text
    assert quantity(186.4, queries) == "186"


def test_a_difference_has_the_decimals_of_its_values() -> None:
    assert difference("Complete@10", -2 / 30, 30) == "−7 points"
    assert difference("Complete@10", 2 / 1000, 1000) == "+0.2 points"
    assert difference("NDCG@10", 0.001, 30) == "+0.1 points"
    assert difference("NDCG@10", 0.0, 30) == "±0 points"
    assert difference("Max@R", -12.64, 28) == "−12.6"
    assert difference("Max@R", None, 28) == "–"


def test_an_interval_names_its_unit_once() -> None:
    assert interval("Complete@10", [0.25, 0.5]) == f"25.0 to 50.0{NBSP}%"
    assert interval("Max@R", [180, 190.4]) == "180 to 190"
    assert interval("Max@R", None) == ""
    assert interval("Max@R", [None, None]) == ""


def test_small_p_values_are_a_bound() -> None:
    assert [p_value(p) for p in (0.0004, 0.0312, 1.0, None)] == ["< 0.001", "0.031", "1.000", "–"]


def test_what_is_in_a_language_is_named_by_it() -> None:
    assert in_language("zh-Hant", "version") == "Chinese (Traditional) version"
    assert in_language("und", "documents") == "documents in an undetermined language"


def test_lists_and_counts_read_as_sentences() -> None:
    assert [joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert [plural(1, "query", "queries"), plural(1190, "query", "queries")] == ["1 query", "1,190 queries"]


def test_texts_are_cut_at_a_space_where_one_is_near() -> None:
    assert shorten("one two three", 40) == "one two three"
    assert shorten("one\n two   three", 40) == "one two three"
    assert shorten("a" * 9 + " " + "b" * 9, 11) == "a" * 9 + "…"
    assert shorten("字" * 30, 10) == "字" * 10 + "…"


@pytest.mark.parametrize(
    ("name", "share", "better", "best"),
    [
        ("Max@R", False, -1, 2),
        ("Max@R_norm", True, 1, 1),
        ("Complete@10", True, 1, 1),
        ("Recall@1", True, 1, 0.5),
        ("Recall@10", True, 1, 1),
        ("Rank[zh-Hant]", False, -1, None),
        ("Intrusion[en]", False, -1, 0),
        ("LPR", True, 0, None),
        ("Lang-nDCG@10", True, 1, 1),
        ("Top1[relevant,same]", True, 1, 1),
        ("Top1[relevant,other]", True, 0, None),
        ("Top1[other,same]", True, -1, 0),
    ],
)
def test_every_measure_has_a_unit_a_direction_and_a_best_value(
    name: str, share: bool, better: int, best: float | None
) -> None:
    assert (is_share(name), direction(name), best_value(name, 2.0)) == (share, better, best)


def test_the_best_rank_in_a_pool_of_one_language_is_one() -> None:
    assert best_value("Rank[en]", 1.0) == 1.0


def test_measures_stand_in_the_order_of_the_glossary() -> None:
    assert ordered_names(["MRR", "Own", "Rank[en]", "Max@R_norm", "Max@R", "MRR"]) == [
        "Max@R",
        "Max@R_norm",
        "MRR",
        "Rank[en]",
        "Own",
    ]
