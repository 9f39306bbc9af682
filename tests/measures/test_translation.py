"""Answered only in another language: which queries count, and at which rank they find something."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.measures import parse_measure, tie_values
from haystack_crossalign.ranks.table import ABSENT, CENSORED, RankTable


def table(queries: list[str], relevant: list[dict[str, int]], **changes: Any) -> RankTable:
    """Rank table over en, zh and de; ranks by language of each query."""
    languages = ("en", "zh", "de")
    width = max(len(ranks) for ranks in relevant)
    tags, ranks = np.full((len(queries), width), -1, dtype=np.int32), np.zeros((len(queries), width), dtype=np.int32)
    for row, found in enumerate(relevant):
        for column, (tag, rank) in enumerate(found.items()):
            tags[row, column], ranks[row, column] = languages.index(tag), rank
    values: dict[str, Any] = {
        "languages": languages,
        "query_languages": np.array([languages.index(tag) for tag in queries], dtype=np.int32),
        "relevant_languages": tags,
        "ranks": ranks,
        "optimistic": ranks,
        "pessimistic": ranks,
        "above": np.zeros((*ranks.shape, 3), dtype=np.int32),
        "pool_languages": (0, 1, 2),
        "pool_size": 60,
    }
    return RankTable(**(values | changes))


def test_only_queries_without_a_version_in_their_language_count() -> None:
    ranks = table(["zh", "zh", "zh"], [{"en": 12, "de": 9}, {"en": 3, "zh": 1}, {"en": 10}])
    rank, found = (parse_measure(name).per_query(ranks) for name in ("OtherOnly", "OtherOnly@10"))
    assert rank.values.tolist()[0::2] == [9, 10]
    assert found.values.tolist()[0::2] == [1, 1]
    assert np.isnan([rank.values[1], found.values[1]]).all()
    assert rank.reason == "every query has a relevant version in its own language"
    assert parse_measure("otheronly@9").per_query(ranks).values.tolist()[0::2] == [1, 0]


def test_what_a_cut_list_hides_is_unknown() -> None:
    cut = table(["zh", "zh"], [{"en": CENSORED}, {"en": 4}], depth=np.array([20, 20], dtype=np.int32))
    assert parse_measure("OtherOnly").per_query(cut).censored.tolist() == [True, False]
    # Below rank 20 it is not in the top 10, whatever its rank.
    assert parse_measure("OtherOnly@10").per_query(cut).values.tolist() == [0, 1]
    assert parse_measure("OtherOnly@30").per_query(cut).censored.tolist() == [True, False]


def test_ties_give_the_range_over_all_orders() -> None:
    # Three documents share ranks 3 to 5, two of them relevant: en and de. Counted over all orders of the three.
    ranks = table(["zh"], [{"en": 3, "de": 4}])
    tied = table(
        ["zh"],
        [{"en": 3, "de": 4}],
        optimistic=np.array([[3, 3]], dtype=np.int32),
        pessimistic=np.array([[5, 5]], dtype=np.int32),
    )
    firsts = [3 + min(order.index("en"), order.index("de")) for order in itertools.permutations(["en", "de", "x"])]
    measure = parse_measure("OtherOnly")
    bounds = tie_values(tied, measure, measure.per_query(ranks))
    assert (bounds.lowest[0], bounds.highest[0]) == (min(firsts), max(firsts))
    assert bounds.expected[0] == pytest.approx(np.mean(firsts))
    found = parse_measure("OtherOnly@3")
    bounds = tie_values(tied, found, found.per_query(ranks))
    assert (bounds.lowest[0], bounds.highest[0]) == (0, 1)
    assert bounds.expected[0] == pytest.approx(np.mean([first <= 3 for first in firsts]))


def test_absent_versions_are_no_answers() -> None:
    nothing = table(["zh", "zh"], [{"en": 2}, {}])
    assert nothing.ranks[1, 0] == ABSENT
    assert np.isnan(parse_measure("OtherOnly").per_query(nothing).values[1])
