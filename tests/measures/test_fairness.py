"""PEER and TLR against scipy's distribution, the test written out in loops, and hand computations."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from scipy.stats import chi2, kruskal

from haystack_crossalign.measures import parse_measure, tie_values
from haystack_crossalign.measures.fairness import chi_square_tail
from haystack_crossalign.measures.parse import known_measure


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 11, 40])
def test_the_tail_of_chi_square_is_scipys(degrees: int) -> None:
    for value in (0.0, 1e-9, 0.3, 1.0, 2.5, 11.0, 60.0, 900.0):
        assert chi_square_tail(value, degrees) == pytest.approx(chi2.sf(value, degrees), rel=1e-9, abs=1e-300)


def slow(ranking: str, cutoff: int) -> float:
    """The test in loops: Kruskal and Wallis with the ranks as they are, K + 1 for those below K."""
    groups: dict[str, list[float]] = {}
    for place, part in enumerate(ranking.split(), start=1):
        if part.endswith("*"):
            groups.setdefault(part[:-1], []).append(float(place if place <= cutoff else cutoff + 1))
    every = [rank for ranks in groups.values() for rank in ranks]
    mean = sum(every) / len(every)
    total = sum((rank - mean) ** 2 for rank in every)
    if len(groups) < 2 or not total:
        return 1.0
    between = sum(len(ranks) * (sum(ranks) / len(ranks) - mean) ** 2 for ranks in groups.values())
    return float(chi2.sf((len(every) - 1) * between / total, len(groups) - 1))


@pytest.mark.parametrize("cutoff", [1, 3, 5, 100])
def test_peer_is_the_test_written_out(table_of, cutoff: int) -> None:
    rng = np.random.default_rng(cutoff)
    rankings = []
    for _ in range(40):
        parts = [str(tag) + "*" * int(rng.random() < 0.5) for tag in rng.choice(["ar", "en", "zh"], size=9)]
        rankings.append(
            " ".join(["en*", "en*", "zh*", *parts]) if rng.random() < 0.5 else " ".join([*parts, "ar* ar*"])
        )
    rankings = [one for one in rankings if len(one.split()) == len(rankings[0].split())]
    values = parse_measure(f"PEER@{cutoff}").per_query(table_of(rankings, ["en"] * len(rankings), pool_size=50)).values
    assert values == pytest.approx([slow(ranking, cutoff) for ranking in rankings], abs=1e-12)


def test_where_only_relevant_versions_are_ranked_it_is_scipys_kruskal(table_of) -> None:
    # Ranks 1 to 6 without gaps are the ranks that scipy assigns.
    for order in set(permutations(["en*", "en*", "en*", "zh*", "zh*", "zh*"])):
        table = table_of([" ".join(order)], ["en"], pool_size=100)
        ranks = {tag: [place for place, one in enumerate(order) if one == tag] for tag in ("en*", "zh*")}
        assert parse_measure("PEER@10").per_query(table).values[0] == pytest.approx(kruskal(*ranks.values()).pvalue)


def test_peer_by_hand(table_of) -> None:
    # en at 1 and 2, zh at 3 and 4: mean 2.5, between 2 (1.5 - 2.5)^2 + 2 (3.5 - 2.5)^2 = 4, total 5, H = 3 * 4 / 5;
    # interleaved (1, 4 and 2, 3) the means are equal; below rank 2 all share a rank.
    table = table_of(["en* en* zh* zh*", "en* zh* zh* en*", "ar ar en* zh*"], ["en", "en", "en"], pool_size=50)
    found = parse_measure("PEER@10").per_query(table)
    assert found.values[:2] == pytest.approx([chi2.sf(12 / 5, 1), 1.0])
    assert np.isnan(found.values[2])
    assert "one relevant version" in (found.reason or "")
    below = table_of(["ar ar en* en* zh* zh*"], ["en"], pool_size=50)
    assert parse_measure("PEER@2").per_query(below).values[0] == 1.0
    single = table_of(["en* ar en*"], ["zh"], pool_size=50)
    assert parse_measure("PEER@10").per_query(single).values[0] == 1.0


def test_peer_is_unknown_where_a_short_list_lacks_a_version(table_of) -> None:
    table = table_of(["en* en* zh* ar zh*"], ["en"], depths=[4], pool_size=50)
    assert parse_measure("PEER@4").per_query(table).values[0] == pytest.approx(slow("en* en* zh* ar zh*", 4))
    assert parse_measure("PEER@5").per_query(table).censored[0]


def test_target_language_recall_by_hand(table_of) -> None:
    rankings = ["en* zh* ar ar*", "zh* ar en* ar*", "zh* ar ar en"]
    table = table_of(rankings, ["en", "en", "zh"])
    found = parse_measure("TLR@2").per_query(table)
    assert found.values[:2] == pytest.approx([1 / 2, 1 / 2])
    assert np.isnan(found.values[2])
    assert "another language" in (found.reason or "")
    assert np.isnan(parse_measure("TLR@4").per_query(table).values).all()  # the whole pool fits into it


def test_target_language_recall_is_unknown_only_where_another_language_is_hidden(table_of) -> None:
    table = table_of(["zh* ar en* ar", "en* ar zh* ar"], ["en", "en"], depths=[2, 2], pool_size=50)
    found = parse_measure("TLR@3").per_query(table)
    assert found.censored.tolist() == [False, True]
    assert found.values[0] == 1.0


@pytest.mark.parametrize("seed", range(30))
def test_bounds_of_target_language_recall_are_those_of_all_orders(build_table, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranking = [(str(rng.choice(["ar", "en", "zh"])), bool(rng.random() < 0.5)) for _ in range(5)] + [("zh", True)]
    groups = [0, 0, 0, 1, 1, 1] if seed % 2 else [0, 0, 0, 0, 0, 1]
    ends = [0, 3, 6] if seed % 2 else [0, 5, 6]
    orders: list[list[tuple[str, bool]]] = [[]]
    for low, high in pairwise(ends):
        orders = [head + list(tail) for head in orders for tail in permutations(ranking[low:high])]
    measure = parse_measure("TLR@2")
    table = build_table([ranking], ["en"], groups=[groups], pool_size=50)
    bounds = tie_values(table, measure, measure.per_query(table))
    every = measure.per_query(build_table(orders, ["en"] * len(orders), pool_size=50)).values
    assert (bounds.lowest[0], bounds.highest[0], bounds.expected[0]) == pytest.approx(
        (every.min(), every.max(), every.mean())
    )


def test_the_new_names_are_read_back() -> None:
    for name in ("PEER@20", "TLR@10", "MRC@10", "Exposure@10[zh]", "Exposure@5[und]"):
        measure = known_measure(name)
        assert measure is not None
        assert measure.name == name
        assert measure.definition.endswith(".")
        assert measure.unit == ("correlation" if name.startswith("MRC") else "share")
        assert measure.direction == (0 if name.startswith("Exposure") else 1)
