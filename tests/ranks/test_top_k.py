from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import SIMILARITIES, exact_ranks, exact_top_k
from haystack_crossalign.ranks import distances as distances_module
from haystack_crossalign.ranks import topk as topk_module

PRECISIONS = ("bf16", "fp32")


def _sorted_whole(queries, documents, k, tie_order, score):
    """The definition: all scores, sorted."""
    scores = np.array([[score(query, document) for document in documents] for query in queries], dtype=np.float32)
    order = np.array([np.lexsort((tie_order, -row)) for row in scores])[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_case_by_hand_with_a_tie(precision):
    documents = np.array([[1, 0], [3, 0], [3, 5], [-2, 2]], dtype=np.float32)
    indices, scores = exact_top_k(
        np.array([[1, 0]], dtype=np.float32),
        documents,
        3,
        tie_order=np.array([0, 3, 1, 2]),
        similarity="dot",
        precision=precision,
    )
    assert indices.tolist() == [[2, 1, 0]]
    assert scores.tolist() == [[3, 3, 1]]
    assert indices.dtype == np.int32
    assert scores.dtype == np.float32


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 200),
    k=st.integers(1, 220),
    spread=st.sampled_from([1, 3, 1000]),
    rows=st.sampled_from([7, 64, 4096]),
    similarity=st.sampled_from(SIMILARITIES),
    precision=st.sampled_from(PRECISIONS),
)
def test_equal_to_sorting_everything(seed, count, k, spread, rows, similarity, precision, slow_score):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-spread, spread + 1, (count + 5, 6)).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = 1
    queries, documents, tie_order = vectors[:5], vectors[5:], rng.permutation(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk_module, "_ROWS", rows)
        patch.setattr(topk_module, "_QUERIES", 2)
        patch.setattr(distances_module, "_ROWS", rows)
        patch.setattr(distances_module, "_QUERIES", 2)
        indices, scores = exact_top_k(
            queries, documents, k, tie_order=tie_order, similarity=similarity, precision=precision
        )
    expected, expected_scores = _sorted_whole(
        queries, documents, k, tie_order, partial(slow_score, similarity=similarity)
    )
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_places_agree_with_exact_ranks_on_clustered_vectors(precision):
    rng = np.random.default_rng(11)
    vectors = rng.standard_normal((9050, 32)) / 32**0.5 + 2
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    queries, documents = vectors[:50], vectors[50:]
    documents[4000:4400] = documents[:400]  # duplicates in another block
    tie_order = rng.permutation(len(documents))
    indices, _ = exact_top_k(queries, documents, 40, tie_order=tie_order, precision=precision)
    table = exact_ranks(
        queries,
        documents,
        document_languages=np.zeros(len(documents), dtype=np.int32),
        languages=("en",),
        query_languages=np.zeros(50, dtype=np.int32),
        relevant=indices,
        tie_order=tie_order,
        precision=precision,
    )
    assert table.ranks.tolist() == [list(range(1, 41))] * 50


def test_bad_input_is_named():
    vectors = np.eye(2, dtype=np.float32)
    with pytest.raises(InputError, match="too few documents asked for; seen: 0"):
        exact_top_k(vectors, vectors, 0, tie_order=np.arange(2))
    with pytest.raises(InputError, match="'tie_order' must be integers"):
        exact_top_k(vectors, vectors, 1, tie_order=np.arange(3))
    with pytest.raises(InputError, match="vector 1 of documents is zero"):
        exact_top_k(vectors, np.array([[1, 0], [0, 0]]), 1, tie_order=np.arange(2))
