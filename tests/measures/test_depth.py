"""Max@R, Max@R_norm, Complete@K and Rank[L], by hand."""

import math

import numpy as np
import pytest

from haystack_crossalign.measures import Complete, MaxAtR, MaxAtRNorm, RankOf, Recall, max_at_r_lower_bound, tie_values

NAN = math.nan


def test_max_at_r_is_the_rank_of_the_last_relevant_version(table_of):
    table = table_of(["zh* en en en* zh", "en* zh* en zh en"], ["zh", "en"])
    np.testing.assert_array_equal(MaxAtR().per_query(table).values, [4, 2])


def test_max_at_r_of_queries_with_fewer_versions_ignores_the_padding(table_of):
    table = table_of(["en en* zh", "zh* en en*"], ["en", "zh"])
    np.testing.assert_array_equal(MaxAtR().per_query(table).values, [2, 3])


def test_max_at_r_is_null_where_a_version_lies_below_the_list(table_of):
    values = MaxAtR().per_query(table_of(["zh* en en*", "zh* en* en"], ["zh", "zh"], depths=[2, 2]))
    np.testing.assert_array_equal(values.values, [NAN, 2])
    np.testing.assert_array_equal(values.censored, [True, False])
    assert "1 of 2 queries" in values.reason
    assert "depth 2" in values.reason


def test_the_lower_bound_of_max_at_r_is_one_below_the_list(table_of):
    table = table_of(["zh* en en*", "zh* en* en", "en zh* en*"], ["zh", "zh", "zh"], depths=[2, 2, 0])
    np.testing.assert_array_equal(max_at_r_lower_bound(table), [3, 2, 1])


def test_normalized_max_at_r_is_one_for_a_perfect_and_zero_for_the_worst_ranking(table_of):
    rankings = ["zh* en* en zh en zh en zh", "zh* en zh en zh en zh en*", "zh* en zh en* zh en zh en"]
    table = table_of(rankings, ["zh"] * 3)
    # D = 8, R = 2: (3 - log2 Max@R) / (3 - 1) with Max@R = 2, 8, 4.
    np.testing.assert_allclose(MaxAtRNorm().per_query(table).values, [1, 0, 0.5], atol=1e-15)


def test_normalized_max_at_r_is_null_where_the_pool_is_the_relevant_set(table_of):
    values = MaxAtRNorm().per_query(table_of(["zh* en*"], ["zh"]))
    assert np.isnan(values.values).all()
    assert not values.censored.any()
    assert "nothing but the relevant versions" in values.reason


def test_normalized_max_at_r_needs_the_size_of_the_pool(table_of):
    values = MaxAtRNorm().per_query(table_of(["zh* en* en"], ["zh"], pool_size=None))
    assert np.isnan(values.values).all()
    assert "size of the pool" in values.reason


@pytest.mark.parametrize(("cutoff", "expected"), [(2, [0, 1]), (3, [0, 1]), (4, [1, 1])])
def test_complete_asks_whether_all_versions_stand_in_the_top(table_of, cutoff, expected):
    table = table_of(["zh* en en en* zh", "en* zh* en zh en"], ["zh", "en"])
    np.testing.assert_array_equal(Complete(cutoff).per_query(table).values, expected)


@pytest.mark.parametrize("measure", [Complete, Recall])
def test_a_share_of_the_top_is_null_where_the_whole_pool_fits_into_it(table_of, measure):
    table = table_of(["zh* en en en* zh", "en* zh* en zh en"], ["zh", "en"])
    values = measure(5).per_query(table)
    assert np.isnan(values.values).all()
    assert not values.censored.any()
    assert values.reason == "the pool holds 5 versions, and any ranking has all of them in the top 5"
    # One place fewer, and a ranking can fail; a list may lack what the pool holds; a pool of unknown size may be large.
    assert not np.isnan(measure(4).per_query(table).values).any()
    lists = table_of(["zh* en en en* zh"], ["zh"], depths=[5])
    np.testing.assert_array_equal(measure(5).per_query(lists).values, [1])
    np.testing.assert_array_equal(measure(5).per_query(table_of(["zh* en*"], ["zh"], pool_size=None)).values, [1])


def test_complete_is_null_for_more_versions_than_places(table_of):
    values = Complete(2).per_query(table_of(["zh* en* ar* en", "en* zh* ar en"], ["zh", "en"]))
    np.testing.assert_array_equal(values.values, [NAN, 1])
    assert values.reason == "3 versions do not fit into the top 2"
    assert not values.censored.any()


def test_complete_of_a_cut_list_is_known_where_the_missing_versions_cannot_fit(table_of):
    ranking = "zh* en en ar* en* zh"
    table = table_of([ranking] * 4, ["zh"] * 4, depths=[6, 3, 2, 4])
    # K = 4: all found at 5 -> 0; two missing below 3 end at 5 or deeper -> 0; below 2 at 4 or deeper -> unknown;
    # one missing below 4 stands at 5 or deeper -> 0.
    values = Complete(4).per_query(table)
    np.testing.assert_array_equal(values.values, [0, 0, NAN, 0])
    np.testing.assert_array_equal(values.censored, [False, False, True, False])
    assert "lists of depth 4" in values.reason


def test_rank_of_a_language_is_that_of_its_best_version(table_of):
    table = table_of(["zh en* en* zh*", "zh* en zh en"], ["zh", "zh"])
    np.testing.assert_array_equal(RankOf("en").per_query(table).values, [2, NAN])
    np.testing.assert_array_equal(RankOf("zh").per_query(table).values, [4, 1])
    assert RankOf("en").per_query(table).reason == "no relevant version in en"
    assert RankOf("zh").per_query(table).reason is None


def test_rank_of_a_language_that_no_table_knows_is_null(table_of):
    values = RankOf("th").per_query(table_of(["zh* en*"], ["zh"]))
    assert np.isnan(values.values).all()
    assert values.reason == "no relevant version in th"


def test_rank_of_a_language_is_known_when_one_of_its_versions_was_found(table_of):
    table = table_of(["en* zh en* zh*"], ["zh"], depths=[2])
    np.testing.assert_array_equal(RankOf("en").per_query(table).values, [1])
    hidden = RankOf("zh").per_query(table)
    np.testing.assert_array_equal(hidden.values, [NAN])
    np.testing.assert_array_equal(hidden.censored, [True])


def test_bounds_of_max_at_r_enclose_ties_with_other_documents(table_of):
    # The relevant versions tie with one copy each: zh at 1..2, en at 3..4.
    table = table_of(["zh zh* en* en"], ["zh"], groups=[[0, 0, 1, 1]])
    ties = tie_values(table, MaxAtR(), MaxAtR().per_query(table))
    np.testing.assert_array_equal(ties.lowest, [3])
    np.testing.assert_array_equal(ties.highest, [4])
    np.testing.assert_array_equal(ties.expected, [3.5])


def test_relevant_versions_that_tie_with_each_other_do_not_share_a_rank(table_of):
    # zh, en and a stranger tie at 1..3: at best the two relevant ones take ranks 1 and 2.
    table = table_of(["zh* en en* ar"], ["zh"], groups=[[0, 0, 0, 1]])
    ties = tie_values(table, MaxAtR(), MaxAtR().per_query(table))
    np.testing.assert_array_equal(ties.lowest, [2])
    np.testing.assert_array_equal(ties.highest, [3])
    # The stranger is first, second or third alike: Max@R 3, 3 or 2.
    np.testing.assert_allclose(ties.expected, [8 / 3])


def test_bounds_are_null_where_max_at_r_is(table_of):
    table = table_of(["zh* en en*"], ["zh"], depths=[2])
    ties = tie_values(table, MaxAtR(), MaxAtR().per_query(table))
    for bound in (ties.lowest, ties.highest, ties.expected):
        np.testing.assert_array_equal(bound, [NAN])
