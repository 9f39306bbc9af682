"""Bounds and means under ties against every order of the tied documents, one after the other, in small pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, permutations, product

import numpy as np
import pytest

from haystack_crossalign.measures import MRR, Complete, Measure, default_measures, parse_measure, tie_values
from haystack_crossalign.ranks.table import RankTable, with_gains

Version = tuple[str, bool]
LANGUAGES = ("ar", "en", "zh")
MEASURES = (
    *default_measures(LANGUAGES),
    *map(parse_measure, ("Complete@2", "Complete@4", "NDCG@3", "MRR@2", "Recall@2", "Lang-nDCG@2", "NDCG@100")),
)


def orders(ranking: Sequence[Version], groups: Sequence[int], depth: int) -> list[list[Version]]:
    """Every ranking that the scores allow: each group permuted on its own, what lies below the cut as it is."""
    ends = [0, *(place for place in range(1, depth) if groups[place] != groups[place - 1]), depth]
    parts = [list(permutations(ranking[low:high])) for low, high in pairwise(ends)]
    return [[one for part in parts_of_one for one in part] + list(ranking[depth:]) for parts_of_one in product(*parts)]


def drawn(generator: np.random.Generator, size: int) -> tuple[list[Version], list[int]]:
    """A pool with one relevant version or more, and groups of equal score."""
    ranking = [(str(generator.choice(LANGUAGES)), bool(generator.random() < 0.45)) for _ in range(size)]
    place = int(generator.integers(size))
    ranking[place] = (ranking[place][0], True)
    groups = np.cumsum(generator.random(size) < 0.35).tolist()
    return ranking, groups


def check(
    build_table: Callable[..., RankTable], ranking: list[Version], groups: list[int], query: str, depth: int | None
) -> None:
    cut = {} if depth is None else {"depths": [depth]}
    table = build_table([ranking], [query], groups=[groups], **cut)
    possible = orders(ranking, groups, len(ranking) if depth is None else depth)
    every = build_table(
        possible, [query] * len(possible), **({} if depth is None else {"depths": [depth] * len(possible)})
    )
    for measure in MEASURES:
        values = measure.per_query(table)
        found = tie_values(table, measure, values)
        slow = measure.per_query(every).values
        if np.isnan(values.values[0]):
            assert np.isnan([found.lowest[0], found.highest[0], found.expected[0]]).all()
            assert np.isnan(slow).all(), measure.name
            continue
        expected = (slow.min(), slow.max(), slow.mean())
        got = (found.lowest[0], found.highest[0], found.expected[0])
        np.testing.assert_allclose(got, expected, atol=1e-12, err_msg=f"{measure.name} {ranking} {groups} {query}")


@pytest.mark.parametrize("seed", range(60))
def test_bounds_and_means_are_those_of_all_orders(build_table: Callable[..., RankTable], seed: int) -> None:
    generator = np.random.default_rng(seed)
    ranking, groups = drawn(generator, int(generator.integers(2, 7)))
    check(build_table, ranking, groups, str(generator.choice(LANGUAGES)), None)


@pytest.mark.parametrize("seed", range(30))
def test_so_they_are_in_lists_that_were_cut(build_table: Callable[..., RankTable], seed: int) -> None:
    generator = np.random.default_rng(1000 + seed)
    ranking, groups = drawn(generator, 6)
    check(build_table, ranking, groups, str(generator.choice(LANGUAGES)), int(generator.integers(0, 6)))


@pytest.mark.parametrize("seed", range(6))
def test_so_they_are_where_all_scores_are_equal(build_table: Callable[..., RankTable], seed: int) -> None:
    generator = np.random.default_rng(2000 + seed)
    ranking, _ = drawn(generator, 6)
    check(build_table, ranking, [0] * 6, "zh", None)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("level", [1, 2])
def test_so_they_are_for_grades(build_table: Callable[..., RankTable], seed: int, level: int) -> None:
    generator = np.random.default_rng(3000 + seed)
    size = 6
    ranking = [(str(generator.choice(LANGUAGES)), int(generator.choice([0, 0, 1, 2, 3]))) for _ in range(size)]
    ranking[2] = (ranking[2][0], 3)
    groups = np.cumsum(generator.random(size) < 0.35).tolist()

    def graded(rankings: Sequence[Sequence[tuple[str, int]]], **options: object) -> RankTable:
        tables = [[(tag, grade > 0) for tag, grade in one] for one in rankings]
        gains = np.array([[grade for _, grade in one if grade] for one in rankings], dtype=np.float64)
        return with_gains(build_table(tables, ["zh"] * len(tables), **options), gains, level)

    table = graded([ranking], groups=[groups])
    every = graded(orders(ranking, groups, size))
    for name in ("NDCG@1", "NDCG@3", "NDCG@10", "Max@R", "MRR", "Intrusion[en]", "Top1[relevant,same]"):
        measure = parse_measure(name)
        values = measure.per_query(table)
        found = tie_values(table, measure, values)
        slow = measure.per_query(every).values
        got = (found.lowest[0], found.highest[0], found.expected[0])
        expected = (slow.min(), slow.max(), slow.mean())
        np.testing.assert_allclose(got, expected, atol=1e-12, err_msg=f"{name} {ranking} {groups}")


def test_the_paper_s_pool_of_questions_by_formula(table_of: Callable[..., RankTable]) -> None:
    # A perfect model where each of two versions stands in 5 copies, one of them relevant: copies of the Chinese
    # passage at 1 to 5, of the English one at 6 to 10. Max@R is 6 at best, 10 at worst, 8 on average; all 25 places of
    # the two are alike, and Complete@8 holds for the English copy at 6, 7 or 8.
    copies = "zh* zh zh zh zh en* en en en en"
    table = table_of([copies], ["zh"], groups=[[0] * 5 + [1] * 5])
    depth = tie_values(table, parse_measure("Max@R"), parse_measure("Max@R").per_query(table))
    assert (depth.lowest[0], depth.highest[0], depth.expected[0]) == (6, 10, 8)
    complete = tie_values(table, Complete(8), Complete(8).per_query(table))
    assert (complete.lowest[0], complete.highest[0]) == (0, 1)
    assert complete.expected[0] == pytest.approx(3 / 5)


def test_big_groups_have_the_limits_of_their_formulas(table_of: Callable[..., RankTable]) -> None:
    # 1 relevant version in a tie of n: E[1 / rank] is the harmonic number over n.
    size = 2000
    table = table_of([" ".join(["zh*"] + ["en"] * (size - 1))], ["zh"], groups=[[0] * size])
    found = tie_values(table, MRR(), MRR().per_query(table))
    assert found.expected[0] == pytest.approx((1 / np.arange(1, size + 1)).sum() / size)
    assert (found.lowest[0], found.highest[0]) == (1 / size, 1.0)


def test_a_measure_without_formulas_is_refused(table_of: Callable[..., RankTable]) -> None:
    class Other(Measure):
        name = "Other"

        def compute(self, facts: object) -> object:
            return MRR().compute(facts)  # type: ignore[arg-type]

    table = table_of(["zh* en"], ["zh"], groups=[[0, 0]])
    with pytest.raises(TypeError, match="Other"):
        tie_values(table, Other(), MRR().per_query(table))
