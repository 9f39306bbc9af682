"""NDCG@K, MRR and Recall@K: by hand, and against ir_measures."""

import math

import ir_measures
import numpy as np
import pytest

from haystack_crossalign.measures import MRR, NDCG, Recall

NAN = math.nan


def test_ndcg_discounts_by_the_logarithm_of_the_rank(table_of):
    table = table_of(["zh* en en* zh", "en zh en* zh*"], ["zh", "en"])
    ideal = 1 + 1 / math.log2(3)
    expected = [(1 + 1 / math.log2(4)) / ideal, (1 / math.log2(4) + 1 / math.log2(5)) / ideal]
    np.testing.assert_allclose(NDCG(10).per_query(table).values, expected, rtol=1e-15)


def test_ndcg_at_one_asks_only_for_a_relevant_version_on_top(table_of):
    table = table_of(["zh* en en* zh", "en zh en* zh*"], ["zh", "en"])
    np.testing.assert_array_equal(NDCG(1).per_query(table).values, [1, 0])


def test_reciprocal_rank_is_that_of_the_first_relevant_version(table_of):
    table = table_of(["zh* en en* zh", "en zh en* zh*"], ["zh", "en"])
    np.testing.assert_allclose(MRR().per_query(table).values, [1, 1 / 3])
    np.testing.assert_allclose(MRR(2).per_query(table).values, [1, 0])


def test_recall_is_the_share_of_relevant_versions_in_the_top(table_of):
    table = table_of(["zh* en en* zh ar*", "en zh en* zh* ar"], ["zh", "en"])
    np.testing.assert_allclose(Recall(3).per_query(table).values, [2 / 3, 1 / 2])


@pytest.mark.parametrize("measure", [NDCG(3), Recall(3)])
def test_a_list_at_least_as_long_as_the_cutoff_hides_nothing(table_of, measure):
    whole = table_of(["zh* en en zh*", "en zh* en zh*"], ["zh", "en"])
    cut = table_of(["zh* en en zh*", "en zh* en zh*"], ["zh", "en"], depths=[3, 3])
    np.testing.assert_array_equal(measure.per_query(cut).values, measure.per_query(whole).values)


@pytest.mark.parametrize("measure", [NDCG(4), Recall(4)])
def test_a_shorter_list_hides_the_value_unless_all_was_found(table_of, measure):
    table = table_of(["zh* en en zh*", "zh* zh* en en"], ["zh", "en"], depths=[3, 3])
    values = measure.per_query(table)
    np.testing.assert_array_equal(values.values, [NAN, 1])
    np.testing.assert_array_equal(values.censored, [True, False])
    assert "needs lists of depth 4" in values.reason


def test_reciprocal_rank_is_hidden_only_where_nothing_was_found(table_of):
    table = table_of(["en zh* en zh*", "en en en zh*"], ["zh", "zh"], depths=[3, 3])
    values = MRR().per_query(table)
    np.testing.assert_array_equal(values.values, [1 / 2, NAN])
    np.testing.assert_array_equal(values.censored, [False, True])
    assert "MRR@K" in values.reason
    np.testing.assert_array_equal(MRR(3).per_query(table).values, [1 / 2, 0])
    np.testing.assert_array_equal(MRR(4).per_query(table).values, [1 / 2, NAN])


def test_a_query_without_relevant_versions_has_no_value(table_of):
    values = NDCG(10).per_query(table_of(["zh* en", "en zh"], ["zh", "zh"]))
    np.testing.assert_array_equal(values.values, [1, NAN])
    assert "no relevant version" in values.reason
    assert not values.censored.any()


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_ir_measures_on_random_runs(build_table, seed):
    generator = np.random.default_rng(seed)
    rankings, qrels, run = [], {}, {}
    for query in range(40):
        relevant = np.zeros(30, dtype=bool)
        relevant[generator.choice(30, size=generator.integers(1, 6), replace=False)] = True
        rankings.append([("en", bool(flag)) for flag in relevant])
        qrels[f"q{query}"] = {f"d{place}": int(flag) for place, flag in enumerate(relevant)}
        run[f"q{query}"] = {f"d{place}": float(100 - place) for place in range(30)}
    table = build_table(rankings, ["en"] * 40)
    pairs = {
        ir_measures.nDCG @ 1: NDCG(1),
        ir_measures.nDCG @ 10: NDCG(10),
        ir_measures.RR: MRR(),
        ir_measures.RR @ 5: MRR(5),
        ir_measures.R @ 3: Recall(3),
        ir_measures.R @ 10: Recall(10),
    }
    expected = {(m.measure, m.query_id): m.value for m in ir_measures.iter_calc(list(pairs), qrels, run)}
    for theirs, ours in pairs.items():
        reference = [expected[theirs, f"q{query}"] for query in range(40)]
        np.testing.assert_allclose(ours.per_query(table).values, reference, atol=1e-12)
