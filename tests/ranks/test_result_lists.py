from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import ABSENT, CENSORED, ranks_from_lists


def _table(retrieved, relevant, **changes):
    arguments = {
        "document_languages": np.array([0, 1, 0, 1, 0, 1]),
        "languages": ("en", "zh"),
        "query_languages": np.zeros(len(retrieved), dtype=np.int32),
        "tie_order": np.arange(6),
    }
    return ranks_from_lists(np.array(retrieved), relevant=np.array(relevant), **(arguments | changes))


def test_ranks_depth_and_censoring_by_hand():
    table = _table([[3, 0, 2, -1], [5, 4, 1, 0]], [[2, 1, -1], [1, 4, 5]])
    assert table.ranks.tolist() == [[3, CENSORED, ABSENT], [3, 2, 1]]
    assert table.optimistic.tolist() == table.pessimistic.tolist() == table.ranks.tolist()
    assert table.depth.tolist() == [3, 4]
    # Query 0 sees zh, en before document 2; for the censored one the whole list counts: 2 en, 1 zh.
    assert table.above.tolist() == [[[1, 1], [2, 1], [0, 0]], [[1, 1], [0, 1], [0, 0]]]
    assert table.relevant_languages.tolist() == [[0, 1, -1], [1, 0, 1]]
    assert table.top_language.tolist() == [1, 1]
    assert table.pool_size is None
    assert table.pool_languages == (0, 1)


def test_a_version_stands_at_its_first_chunk_and_depth_counts_versions():
    # Versions: documents 0, 2, 4 are version 0 (en), 1 and 3 version 1 (zh), 5 version 2 (zh).
    table = _table([[2, 0, 3, 4, 1, 5]], [[0, 1, 2]], versions=np.array([0, 1, 0, 1, 0, 2]))
    assert table.ranks.tolist() == [[1, 2, 3]]
    assert table.depth.tolist() == [3]
    assert table.above.tolist() == [[[0, 0], [1, 0], [1, 1]]]


def test_equal_scores_are_put_in_the_order_of_ties_with_bounds():
    # Scores 9, 5, 5, 5, 1 in a list whose tie stands against the order.
    table = _table([[0, 4, 3, 1, 2]], [[1, 4, 2]], scores=[[9, 5, 5, 5, 1]])
    assert table.ranks.tolist() == [[2, 4, 5]]
    assert table.optimistic.tolist() == [[2, 2, 5]]
    assert table.pessimistic.tolist() == [[4, 4, 5]]
    assert table.above.tolist() == [[[1, 0], [1, 2], [2, 2]]]


def test_a_list_with_an_order_of_its_own_keeps_it_and_has_the_same_bounds():
    table = _table([[0, 4, 3, 1, 2]], [[1, 4, 2]], scores=[[9, 5, 5, 5, 1]], tie_order=None)
    assert table.ranks.tolist() == [[4, 2, 5]]
    assert table.optimistic.tolist() == [[2, 2, 5]]
    assert table.pessimistic.tolist() == [[4, 4, 5]]


@pytest.mark.parametrize("scores", [[1, 5, 5, 5, 9], [9, 5, 5, float("nan"), 1]])
def test_the_given_order_counts_where_scores_do_not_explain_it(scores):
    table = _table([[0, 4, 3, 1, 2]], [[1, 4, 2]], scores=[scores])
    assert table.ranks.tolist() == table.optimistic.tolist() == table.pessimistic.tolist() == [[4, 2, 5]]


def test_scores_of_padding_are_not_read():
    table = _table([[4, 3, -1]], [[3]], scores=[[5, 5, 99]])
    assert table.ranks.tolist() == [[1]]


def test_empty_lists_are_censored_at_depth_zero():
    for retrieved in (np.full((2, 3), -1), np.empty((2, 0), dtype=np.int64)):
        table = _table(retrieved, [[1], [-1]], scores=np.zeros(retrieved.shape))
        assert table.ranks.tolist() == [[CENSORED], [ABSENT]]
        assert table.depth.tolist() == [0, 0]
        assert table.above.tolist() == [[[0, 0]], [[0, 0]]]
        assert table.top_language.tolist() == [-1, -1]


def test_a_document_listed_twice_counts_once():
    table = _table([[3, 3, 0, 3, 1]], [[0, 1]])
    assert table.ranks.tolist() == [[2, 3]]
    assert table.depth.tolist() == [3]


def test_what_is_known_of_the_pool_is_kept():
    table = _table([[0]], [[0]], pool_size=480, pool_languages=(1, 0), languages=("en", "zh", "und"))
    assert table.pool_size == 480
    assert table.pool_languages == (0, 1)


def _slow(retrieved, relevant, languages, codes, ids, versions, scores):
    """One list at a time in pure Python. -> ranks, optimistic, pessimistic, above, higher, tied, depth, top"""
    rows = []
    for row, (documents, wanted) in enumerate(zip(retrieved.tolist(), relevant.tolist(), strict=True)):
        documents = [d for d in documents if d >= 0]
        values = [float(-place) for place in range(len(documents))]
        if scores is not None:
            given_scores = scores[row][: len(documents)].tolist()
            if given_scores == sorted(given_scores, reverse=True):
                values = given_scores
        order = sorted(range(len(documents)), key=lambda i: (-values[i], ids[documents[i]]))
        seen: dict[int, float] = {}
        for i in order:
            seen.setdefault(versions[documents[i]], values[i])
        places = list(seen)
        entry = []
        for version in wanted:
            ahead = places[: places.index(version)] if version in seen else places
            above = [sum(languages[v] == code for v in ahead) for code in codes]
            if version < 0:
                entry.append((ABSENT, ABSENT, ABSENT, *([0 for _ in codes] for _ in range(3))))
            elif version not in seen:
                entry.append((CENSORED, CENSORED, CENSORED, above, above, [0 for _ in codes]))
            else:
                own = seen[version]
                best = 1 + sum(value > own for value in seen.values())
                worst = sum(value >= own for value in seen.values())
                higher = [sum(languages[v] == code for v in seen if seen[v] > own) for code in codes]
                tied = [sum(languages[v] == code for v in seen if seen[v] == own and v != version) for code in codes]
                entry.append((len(ahead) + 1, best, worst, above, higher, tied))
        top = [sum(languages[v] == code for v in seen if seen[v] == max(seen.values())) for code in codes]
        rows.append((entry, len(places), top))
    return rows


def _some_of(rng, versions):
    """Up to three different versions, in any order, with -1 for what is missing."""
    chosen = rng.permutation(versions)[: rng.integers(0, 4)]
    return rng.permutation(np.concatenate([chosen, np.full(3 - len(chosen), -1)]))


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32 - 1), chunked=st.booleans(), scored=st.sampled_from(["no", "ordered", "any"]))
def test_equal_to_a_slow_walk_down_the_list(seed, chunked, scored):
    rng = np.random.default_rng(seed)
    count, depth, queries = int(rng.integers(1, 20)), int(rng.integers(1, 12)), int(rng.integers(1, 5))
    versions = rng.integers(0, max(1, count // 2), count) if chunked else np.arange(count)
    versions = np.unique(versions, return_inverse=True)[1]
    by_version = rng.integers(0, 3, versions.max() + 1)
    retrieved = rng.integers(0, count, (queries, depth))
    for row in retrieved:
        row[rng.integers(0, depth + 1) :] = -1
    relevant = np.stack([_some_of(rng, versions.max() + 1) for _ in range(queries)])
    ids = rng.permutation(count)
    scores = None
    if scored != "no":
        scores = rng.integers(0, 4, (queries, depth)).astype(np.float32)
        if scored == "ordered":
            scores = -np.sort(-scores, axis=1)
    table = ranks_from_lists(
        retrieved,
        document_languages=by_version[versions],
        languages=("en", "zh", "ar"),
        query_languages=np.zeros(queries, dtype=np.int32),
        relevant=relevant,
        tie_order=ids,
        versions=versions if chunked else None,
        scores=scores,
    )
    slow = _slow(retrieved, relevant, by_version, range(3), ids, versions, scores)
    higher = table.above if table.higher is None else table.higher
    tied = np.zeros_like(table.above) if table.tied is None else table.tied
    columns = (table.ranks, table.optimistic, table.pessimistic, table.above, higher, tied)
    for query, (entry, length, top) in enumerate(slow):
        assert [tuple(x) for x in zip(*(column[query].tolist() for column in columns), strict=True)] == entry
        assert table.depth[query] == length
        assert table.top_versions is not None or sum(top) <= 1
        assert table.top_versions is None or table.top_versions[query].tolist() == top


@pytest.mark.parametrize(
    ("retrieved", "relevant", "changes", "message"),
    [
        ([[0, 6]], [[0]], {}, "result 2 of query 0 is not a known document; seen: 6"),
        ([[0, -2]], [[0]], {}, "result 2 of query 0 is not a known document; seen: -2"),
        ([[0, -1, 1]], [[0]], {}, "result 2 of query 0 is missing, but the list goes on"),
        ([[0]], [[6]], {}, "a relevant version of query 0 is not among the documents; seen: 6"),
        ([[0]], [[2, -1, -1, 2]], {}, "a relevant version of query 0 is named twice, and would count twice; seen: 2"),
        ([[0]], [[0], [1]], {}, "'relevant' must be a table of integers with one row for each query"),
        ([[0.5]], [[0]], {}, "'retrieved' must be a table of integers"),
        ([[0, 1]], [[0]], {"scores": [[1]]}, "scores do not fit the lists"),
        (
            [[-1]],
            [[-1]],
            {"document_languages": np.empty(0, dtype=np.int32), "tie_order": np.empty(0, dtype=np.int32)},
            "no documents are described",
        ),
        ([[0]], [[0]], {"query_languages": np.array([2])}, "unknown language code in row 0; seen: 2"),
    ],
)
def test_bad_input_is_named(retrieved, relevant, changes, message):
    with pytest.raises(InputError, match=message):
        _table(retrieved, relevant, **changes)
