"""MRC@K and Exposure@K[L] of tables with lists, against the functions on arrays and hand computations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from haystack_crossalign.measures import evaluate, parse_measure, select_queries
from haystack_crossalign.measures.exposure import language_exposure, mean_rank_correlation
from haystack_crossalign.measures.parse import recorded_depth
from haystack_crossalign.ranks.table import RankTable, parallel_groups, part_of, top_lists

LANGUAGES = ("ar", "en", "zh")


def with_lists(
    table: RankTable, lists: np.ndarray, languages: np.ndarray, parallel: list[int], complete: list[bool] | None = None
) -> RankTable:
    whole = np.ones(len(lists), dtype=bool) if complete is None else np.array(complete)
    tags = [LANGUAGES[code] for code in table.query_languages]
    return replace(
        table,
        top_lists=top_lists(lists.astype(np.int32), languages.astype(np.int32), whole, tags, np.array(parallel)),
    )


@pytest.fixture
def table(table_of) -> RankTable:
    return table_of(["en* zh ar", "zh* en ar", "ar* en zh", "en* ar zh"], ["en", "zh", "ar", "en"], pool_size=50)


def test_the_mean_rank_correlation_of_a_query_is_the_mean_over_its_translations(table: RankTable) -> None:
    lists = np.array([[1, 2, 3], [1, 3, 2], [4, 5, 1], [7, 8, 9]])
    listed = with_lists(table, lists, np.zeros_like(lists), [0, 0, 0, -1])
    pairs = mean_rank_correlation(lists, listed.query_languages, np.array([0, 0, 0, -1])).by_pair
    found = parse_measure("MRC@3").per_query(listed)
    # Codes: ar 0, en 1, zh 2; the first query is in English, the second in Chinese, the third in Arabic.
    assert found.values[:3] == pytest.approx(
        [
            (pairs[1, 2] + pairs[0, 1]) / 2,
            (pairs[1, 2] + pairs[0, 2]) / 2,
            (pairs[0, 1] + pairs[0, 2]) / 2,
        ]
    )
    assert np.isnan(found.values[3])
    assert "no translation" in (found.reason or "")
    # Cut at 1, equal lists agree fully, and two that share nothing have Spearman's -1 on two documents.
    assert parse_measure("MRC@1").per_query(listed).values[:3] == pytest.approx([0.0, 0.0, -1.0])


def test_a_part_of_the_queries_keeps_the_lists_of_the_translations(table: RankTable) -> None:
    lists = np.array([[1, 2, 3], [1, 3, 2], [4, 5, 1], [7, 8, 9]])
    listed = with_lists(table, lists, lists % 3, [0, 0, 0, -1])
    measures = [parse_measure(name) for name in ("MRC@3", "Exposure@3[zh]")]
    whole = evaluate(listed, measures)
    for chosen in (np.array([2, 0]), np.array([False, True, False, True])):
        part = evaluate(select_queries(listed, chosen), measures)
        for name, values in part.items():
            np.testing.assert_array_equal(values.values, whole[name].values[chosen])
    sliced = evaluate(part_of(listed, slice(1, 3), ("zh", "ar", "en")), measures)
    for name, values in sliced.items():
        np.testing.assert_array_equal(values.values, whole[name].values[1:3])


def test_exposure_is_that_of_the_function_on_arrays(table: RankTable) -> None:
    rng = np.random.default_rng(3)
    languages = rng.integers(0, 3, size=(4, 6))
    languages[1, 3:] = -1
    listed = with_lists(table, languages, languages, [-1] * 4)
    for cutoff in (1, 4, 6):
        for code, tag in enumerate(LANGUAGES):
            values = parse_measure(f"Exposure@{cutoff}[{tag}]").per_query(listed).values
            each = language_exposure(languages[:, :cutoff], np.arange(4), np.array([1, 1, 1])).discounted
            assert values == pytest.approx(each[:, code])


def test_a_language_without_documents_and_an_empty_list_have_no_exposure(table: RankTable) -> None:
    empty = np.full((4, 2), -1)
    found = parse_measure("Exposure@2[en]").per_query(with_lists(table, empty, empty, [-1] * 4))
    assert np.isnan(found.values).all()
    assert "empty" in (found.reason or "")
    assert "holds no document" in (
        parse_measure("Exposure@2[de]").per_query(with_lists(table, empty, empty, [-1] * 4)).reason or ""
    )


def test_a_list_that_was_cut_before_rank_k_hides_the_value(table: RankTable) -> None:
    lists = np.array([[1, 2, -1], [1, 2, -1], [1, 2, 3], [1, 2, -1]])
    cut = replace(table, depth=np.array([2, 2, 3, 2], dtype=np.int32))
    listed = with_lists(cut, lists, np.where(lists < 0, -1, 0), [0, 0, -1, -1], [False, True, False, True])
    found = parse_measure("MRC@3").per_query(listed)
    assert found.censored.tolist() == [True, True, False, False]
    assert parse_measure("MRC@2").per_query(listed).values[:2].tolist() == [1.0, 1.0]
    exposure = parse_measure("Exposure@3[ar]").per_query(listed)
    assert exposure.censored.tolist() == [True, False, False, False]
    assert exposure.values[1:].tolist() == [1.0, 1.0, 1.0]


def test_lists_that_were_not_recorded_so_deep_are_said(table: RankTable) -> None:
    assert "were not recorded" in (parse_measure("MRC@3").per_query(table).reason or "")
    lists = np.array([[1, 2], [1, 2], [1, 2], [1, 2]])
    reason = parse_measure("MRC@3").per_query(with_lists(table, lists, lists, [0, 0, 0, -1])).reason
    assert "to rank 2 only" in (reason or "")


def test_translations_are_those_of_a_name_that_no_language_has_twice() -> None:
    groups = parallel_groups(["a", "a", "b", "b", None, "c"], ["en", "zh", "en", "en", "en", "zh"])
    assert groups.tolist() == [0, 0, -1, -1, -1, 1]


def test_the_depth_to_record_is_the_largest_cut_off_of_a_measure_of_lists() -> None:
    measures = [parse_measure(name) for name in ("Complete@100", "MRC@5", "Exposure@20[en]")]
    assert recorded_depth(measures) == 20
    assert recorded_depth(measures[:1]) == 0
