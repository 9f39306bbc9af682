"""Consistency over languages and exposure of languages, against hand computations and scipy's Spearman correlation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from haystack_crossalign.measures.exposure import language_exposure, mean_rank_correlation, rank_correlation


def test_lists_with_the_same_documents_reduce_to_the_textbook_formula() -> None:
    # 1 - 6 * sum d^2 / (n (n^2 - 1)) , d the differences of ranks.
    left, right = np.array([1, 2, 3, 4, 5]), np.array([2, 1, 5, 3, 4])
    differences = np.array([1, 1, 1, 1, 2])
    expected = 1 - 6 * int((differences**2).sum()) / (5 * 24)
    assert rank_correlation(left, right) == pytest.approx(expected)


def test_documents_of_one_list_only_share_the_places_behind_the_other() -> None:
    # Union {1, 2, 3}: ranks (1, 2, 3) and, with 2 absent, (1, 3, 2).
    assert rank_correlation(np.array([1, 2]), np.array([1, 3])) == pytest.approx(0.5)
    # Union {1, 2, 3, 4}: ranks (1, 2, 3.5, 3.5) and (3.5, 3.5, 1, 2); centered products sum to -4, squares to 4.5.
    assert rank_correlation(np.array([1, 2]), np.array([3, 4])) == pytest.approx(-4 / 4.5)


def test_equal_lists_agree_fully_and_an_empty_list_has_no_correlation() -> None:
    assert rank_correlation(np.array([7, -1]), np.array([7, -1])) == 1.0
    assert np.isnan(rank_correlation(np.array([-1, -1]), np.array([7, 3])))


def test_it_is_scipys_spearman_with_absent_documents_at_rank_k_plus_one() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        cutoff = int(rng.integers(2, 12))
        left, right = (rng.permutation(15)[: int(rng.integers(1, cutoff + 1))] for _ in range(2))
        union = sorted({*left.tolist(), *right.tolist()})
        if len(union) == 1 or left.tolist() == right.tolist():
            continue
        ranks = [
            [row.index(one) + 1 if one in row else cutoff + 1 for one in union] for row in map(list, (left, right))
        ]
        assert rank_correlation(left, right) == pytest.approx(spearmanr(*ranks).statistic, abs=1e-12)


def test_the_mean_runs_over_pairs_of_languages_within_groups() -> None:
    lists = np.array([[1, 2], [1, 3], [1, 2], [5, 6], [5, 6], [9, 8], [-1, -1], [4, 3]])
    languages = np.array([0, 1, 2, 0, 1, 2, 1, 0])
    groups = np.array([7, 7, 7, 3, 3, -1, 4, 4])
    result = mean_rank_correlation(lists, languages, groups)
    # Group 7: (0,1) 0.5, (0,2) 1, (1,2) 0.5; group 3: (0,1) 1; group 4 has an empty list.
    assert dict(result.by_pair) == pytest.approx({(0, 1): 0.75, (0, 2): 1.0, (1, 2): 0.5})
    assert dict(result.pairs) == {(0, 1): 2, (0, 2): 1, (1, 2): 1}
    assert result.mean == pytest.approx(3 / 4)
    assert result.groups.tolist() == [3, 4, 7]
    assert result.by_group == pytest.approx([1.0, np.nan, 2 / 3], nan_ok=True)
    assert result.undefined == 1


def test_without_parallel_queries_there_is_no_mean() -> None:
    result = mean_rank_correlation(np.array([[1, 2]]), np.array([0]), np.array([-1]))
    assert np.isnan(result.mean)
    assert result.by_group.shape == (0,)


def test_two_queries_of_a_group_in_one_language_are_refused() -> None:
    with pytest.raises(ValueError, match="group 4 has two queries in one language"):
        mean_rank_correlation(np.array([[1], [2]]), np.array([0, 0]), np.array([4, 4]))


@pytest.mark.parametrize(
    ("lists", "languages"), [([[-1, 3]], [0]), ([[1, 3]], [0, 1])], ids=["padding inside", "another number of queries"]
)
def test_arrays_that_do_not_fit_are_refused(lists: list[list[int]], languages: list[int]) -> None:
    with pytest.raises(ValueError, match=r"padding|one row"):
        mean_rank_correlation(np.array(lists), np.array(languages), np.array(languages))


def test_exposure_is_the_share_of_positions_plain_and_discounted() -> None:
    # Weights 1, 1/log2(3), 1/2; sums are taken over the positions that hold a document.
    second = 1 / np.log2(3)
    documents = np.array([[0, 1, 1], [0, 0, -1], [2, 2, 2], [-1, -1, -1]])
    exposure = language_exposure(documents, np.array([0, 0, 1, 1]), np.array([30, 10, 0, 60]))
    assert exposure.query_languages.tolist() == [0, 1]
    assert exposure.queries.tolist() == [2, 1]
    assert exposure.plain == pytest.approx(np.array([[(1 / 3 + 1) / 2, (2 / 3) / 2, 0, 0], [0, 0, 1, 0]]))
    first = 1 / (1.5 + second)
    assert exposure.discounted == pytest.approx(np.array([[(first + 1) / 2, (1 - first) / 2, 0, 0], [0, 0, 1, 0]]))
    assert exposure.pool == pytest.approx([0.3, 0.1, 0.0, 0.6])


def test_a_query_language_with_only_empty_lists_has_no_shares() -> None:
    exposure = language_exposure(np.array([[-1], [0]]), np.array([0, 1]), np.array([5]))
    assert exposure.queries.tolist() == [0, 1]
    assert np.isnan(exposure.plain[0, 0])
    assert exposure.plain[1, 0] == 1


def test_a_language_outside_of_the_pool_is_refused() -> None:
    with pytest.raises(ValueError, match=r"-1\.\.1"):
        language_exposure(np.array([[2]]), np.array([0]), np.array([5, 5]))
