"""Measures over lists in which every hit counts: by hand, and against each order of tied hits in small lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations, product

import numpy as np
import pytest

from haystack_crossalign.measures import Intrusion, default_measures, intrusion_matrix, parse_measure, tie_values
from haystack_crossalign.ranks import ranks_from_lists
from haystack_crossalign.ranks.table import RankTable, with_gains

LANGUAGES = ("ar", "en", "zh")
# Documents 0, 1, 2 are chunks of the English answer, 3, 4 of the Chinese one, 5 and 6 of another English content,
# 7 is Chinese, 8 Arabic.
VERSIONS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
CODES = np.array([1, 1, 1, 2, 2, 1, 1, 2, 0])


def table_of(
    lists: Sequence[Sequence[int]],
    *,
    query: str = "zh",
    relevant: Sequence[int] = (0, 1),
    scores: Sequence[Sequence[float]] | None = None,
) -> RankTable:
    return ranks_from_lists(
        np.array(lists),
        document_languages=CODES,
        languages=LANGUAGES,
        query_languages=np.full(len(lists), LANGUAGES.index(query)),
        relevant=np.array([relevant] * len(lists)),
        tie_order=np.arange(len(CODES)),
        versions=VERSIONS,
        scores=scores,
        pool_size=len(CODES),
        merged=False,
    )


def test_ranks_count_every_hit_and_further_chunks_of_answers_are_known() -> None:
    # English answer at hits 1, 3, 6, the Chinese one at 5 and 7; other English hits at 2 and 4.
    table = table_of([[1, 5, 0, 6, 3, 2, 4, 8]])
    assert table.ranks.tolist() == [[1, 5]]
    assert table.depth is not None
    assert table.depth.tolist() == [8]
    assert table.above.tolist() == [[[0, 0, 0], [0, 4, 0]]]
    assert table.further is not None
    assert table.further.tolist() == [[[0, 0], [1, 0]]]


def test_further_chunks_of_an_answer_are_read_but_do_not_intrude() -> None:
    table = table_of([[1, 5, 0, 6, 3, 2, 4, 8]])
    # Five hits must be read to have seen both; of the four English ones above the Chinese answer two are chunks of the
    # English answer, and two are of a content that does not answer.
    assert parse_measure("Max@R").per_query(table).values.tolist() == [5]
    assert Intrusion("en").per_query(table).values.tolist() == [2]
    assert intrusion_matrix(table).tolist() == [[[0, 0, 0], [0, 2, 0]]]


def test_a_version_below_the_end_has_the_intruders_of_the_whole_list() -> None:
    # The Chinese answer is missing. Of five English hits three are of the English answer.
    table = table_of([[1, 0, 5, 6, 2, 7]])
    assert table.further is not None
    assert table.further.tolist() == [[[0, 0], [2, 0]]]
    assert intrusion_matrix(table).tolist() == [[[0, 0, 0], [0, 2, 1]]]


def test_chunks_of_a_version_below_the_relevance_level_intrude() -> None:
    table = table_of([[1, 0, 5, 6, 3, 4, 7]], relevant=(0, 1, 2))
    graded = with_gains(table, np.array([[1.0, 2.0, 2.0]]), level=2)
    # Only the Chinese answer and the other English content are relevant: two English chunks stand above each.
    assert graded.ranks.tolist() == [[5, 3]]
    assert graded.further is not None
    assert graded.further.tolist() == [[[0, 1], [0, 0]]]
    assert intrusion_matrix(graded).tolist() == [[[0, 2, 0], [0, 2, 0]]]
    assert Intrusion("en").per_query(graded).values.tolist() == [2]


def test_hits_that_tie_with_a_further_chunk_keep_the_order_of_the_list() -> None:
    # 5, 0 and 3 tie, and 0 is a further chunk of the answer at 1; so the list's order counts, without bounds.
    apart = table_of([[1, 5, 0, 3, 7]], scores=[[9, 5, 5, 5, 1]])
    assert apart.ranks.tolist() == apart.optimistic.tolist() == apart.pessimistic.tolist() == [[1, 4]]
    # Without the further chunk the hash, here the number of the document, orders 3 before 5.
    tied = table_of([[1, 5, 3, 7, 8]], scores=[[9, 5, 5, 1, 1]])
    assert (tied.ranks.tolist(), tied.optimistic.tolist(), tied.pessimistic.tolist()) == ([[1, 2]], [[1, 2]], [[1, 3]])


def orders(hits: list[int], scores: list[float], relevant: Sequence[int]) -> list[list[int]]:
    """Every order that the scores allow; a run of equal scores with a further chunk of an answer stays as it is."""
    ends = [0, *(place for place in range(1, len(hits)) if scores[place] != scores[place - 1]), len(hits)]
    parts: list[list[tuple[int, ...]]] = []
    seen: set[int] = set()
    for low, high in pairwise(ends):
        answers = [int(VERSIONS[hit]) for hit in hits[low:high] if VERSIONS[hit] in relevant]
        fixed = len(set(answers)) < len(answers) or bool(seen & set(answers))
        parts.append([tuple(hits[low:high])] if fixed else list(permutations(hits[low:high])))
        seen |= set(answers)
    return [[hit for part in one for hit in part] for one in product(*parts)]


def slow_intrusion(hits: list[int], language: int, query: int, relevant: Sequence[int]) -> float:
    own = [place for place, hit in enumerate(hits) if VERSIONS[hit] in relevant and CODES[hit] == query]
    if not own:
        return float("nan")
    ahead = hits[: own[0]]
    return float(sum(CODES[hit] == language and VERSIONS[hit] not in relevant for hit in ahead))


@pytest.mark.parametrize("seed", range(40))
def test_measures_and_their_bounds_are_those_of_all_orders(seed: int) -> None:
    generator = np.random.default_rng(seed)
    hits = generator.permutation(len(CODES))[: int(generator.integers(3, 8))].tolist()
    scores = [-float(group) for group in np.cumsum(generator.random(len(hits)) < 0.5)]
    relevant = generator.permutation(5)[: int(generator.integers(1, 4))].tolist()
    query = str(generator.choice(LANGUAGES))
    table = table_of([hits], query=query, relevant=relevant, scores=[scores])
    possible = orders(hits, scores, relevant)
    every = table_of(possible, query=query, relevant=relevant)
    for language in ("ar", "en", "zh"):
        code, own = LANGUAGES.index(language), LANGUAGES.index(query)
        by_hand = [slow_intrusion(one, code, own, relevant) for one in possible]
        np.testing.assert_array_equal(Intrusion(language).per_query(every).values, by_hand)
    for measure in default_measures(LANGUAGES):
        values = measure.per_query(table)
        found, slow = tie_values(table, measure, values), measure.per_query(every).values
        if np.isnan(values.values[0]):
            assert np.isnan(slow).all(), measure.name
            continue
        got = (found.lowest[0], found.highest[0], found.expected[0])
        np.testing.assert_allclose(got, (slow.min(), slow.max(), slow.mean()), atol=1e-12, err_msg=measure.name)
