"""Intrusion, LPR, Lang-nDCG and the four-way split of rank 1, by hand."""

import math

import numpy as np
import pytest

from haystack_crossalign.measures import (
    NDCG,
    Intrusion,
    LangNDCG,
    LanguagePreferenceRate,
    Top1,
    intrusion_matrix,
)

NAN = math.nan


def test_intrusion_counts_strangers_of_a_language_above_the_version_in_the_querys_language(table_of):
    # Above the relevant zh stand: en, relevant en, zh, en -> 2 English strangers, 1 Chinese one.
    table = table_of(["en en* zh en zh* en"], ["zh"])
    np.testing.assert_array_equal(Intrusion("en").per_query(table).values, [2])
    np.testing.assert_array_equal(Intrusion("zh").per_query(table).values, [1])


def test_intrusion_stops_at_the_best_version_in_the_querys_language(table_of):
    table = table_of(["en zh* en en zh* en*"], ["zh"])
    np.testing.assert_array_equal(Intrusion("en").per_query(table).values, [1])


def test_intrusion_is_null_without_a_version_in_the_querys_language(table_of):
    values = Intrusion("en").per_query(table_of(["en en* zh", "en zh* en*"], ["zh", "zh"]))
    np.testing.assert_array_equal(values.values, [NAN, 1])
    assert values.reason == "no relevant version in the query's language"


@pytest.mark.parametrize("language", ["ar", "th"])
def test_intrusion_of_a_language_outside_the_pool_is_null_and_not_zero(table_of, language):
    values = Intrusion(language).per_query(table_of(["en zh* en*"], ["zh"]))
    np.testing.assert_array_equal(values.values, [NAN])
    assert values.reason == f"the pool holds no document in {language}"


def test_intrusion_is_hidden_where_the_version_in_the_querys_language_was_not_found(table_of):
    table = table_of(["en en* zh en zh*", "en zh* en en*"], ["zh", "zh"], depths=[3, 3])
    values = Intrusion("en").per_query(table)
    np.testing.assert_array_equal(values.values, [NAN, 1])
    np.testing.assert_array_equal(values.censored, [True, False])


def test_intrusion_matrix_takes_relevant_versions_out_of_the_counts(table_of):
    table = table_of(["en en* zh en zh* ar"], ["zh"])
    # Languages ar, en, zh; versions in ranking order: en at 2, zh at 5.
    np.testing.assert_array_equal(intrusion_matrix(table), [[[0, 1, 0], [0, 2, 1]]])


def test_intrusion_matrix_of_a_censored_version_counts_the_strangers_of_the_whole_list(table_of):
    table = table_of(["en en* zh en zh* ar"], ["zh"], depths=[3])
    np.testing.assert_array_equal(intrusion_matrix(table), [[[0, 1, 0], [0, 1, 1]]])


def test_intrusion_matrix_is_zero_where_a_version_is_absent(table_of):
    table = table_of(["en en* zh zh*", "en zh* en zh"], ["zh", "zh"])
    np.testing.assert_array_equal(intrusion_matrix(table)[1, 1], [0, 0, 0])


def test_preference_rate_asks_for_the_language_of_the_first_relevant_version(table_of):
    table = table_of(["en zh* en* zh", "en* zh zh* en"], ["zh", "zh"])
    np.testing.assert_array_equal(LanguagePreferenceRate().per_query(table).values, [1, 0])


def test_preference_rate_leaves_out_queries_without_a_choice(table_of):
    rankings = ["zh* en zh* en", "en* ar* zh en", "zh* en* en zh"]
    values = LanguagePreferenceRate().per_query(table_of(rankings, ["zh"] * 3))
    np.testing.assert_array_equal(values.values, [NAN, NAN, 1])
    assert not values.censored.any()


def test_preference_is_known_from_one_found_version(table_of):
    rankings = ["en en* zh zh*", "en zh* zh en*", "en en zh* en*"]
    values = LanguagePreferenceRate().per_query(table_of(rankings, ["zh"] * 3, depths=[2, 2, 2]))
    np.testing.assert_array_equal(values.values, [0, 1, NAN])
    np.testing.assert_array_equal(values.censored, [False, False, True])


def test_lang_ndcg_gains_two_for_the_querys_language_and_one_for_others(table_of):
    table = table_of(["en* zh* en", "zh* en* en", "en zh en* zh*"], ["zh", "zh", "zh"])
    second = 1 / math.log2(3)
    ideal = 2 + second
    expected = [(1 + 2 * second) / ideal, 1, (1 / 2 + 2 / math.log2(5)) / ideal]
    np.testing.assert_allclose(LangNDCG(10).per_query(table).values, expected, rtol=1e-15)


def test_the_ideal_of_lang_ndcg_has_no_more_places_than_the_cutoff(table_of):
    table = table_of(["en* zh* ar*"], ["zh"])
    np.testing.assert_allclose(LangNDCG(1).per_query(table).values, [1 / 2])


def test_lang_ndcg_is_ndcg_where_all_versions_gain_the_same(table_of):
    for language in ("en", "zh"):
        table = table_of(["zh en* zh zh en*"], [language])
        np.testing.assert_allclose(LangNDCG(10).per_query(table).values, NDCG(10).per_query(table).values, rtol=1e-15)


def test_rank_one_is_split_four_ways(table_of):
    rankings = ["zh* en* en", "en* zh* zh", "zh en* zh*", "en zh* en*"]
    table = table_of(rankings, ["zh"] * 4)
    split = {
        name: Top1(*name).per_query(table).values.tolist()
        for name in [("relevant", "same"), ("relevant", "other"), ("other", "same"), ("other", "other")]
    }
    assert split == {
        ("relevant", "same"): [1, 0, 0, 0],
        ("relevant", "other"): [0, 1, 0, 0],
        ("other", "same"): [0, 0, 1, 0],
        ("other", "other"): [0, 0, 0, 1],
    }


def test_an_empty_list_has_nothing_at_rank_one(table_of):
    table = table_of(["zh* en en*"], ["zh"], depths=[0])
    for relevance in ("relevant", "other"):
        for language in ("same", "other"):
            np.testing.assert_array_equal(Top1(relevance, language).per_query(table).values, [0])


def test_the_split_is_null_where_the_language_on_top_was_not_recorded(table_of):
    values = Top1("relevant", "same").per_query(table_of(["zh* en"], ["zh"], top_language=False))
    np.testing.assert_array_equal(values.values, [NAN])
    assert "not recorded" in values.reason
