"""What the similarities are, by hand and as torch has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import SIMILARITIES, exact_ranks, exact_top_k, parse_similarity
from haystack_crossalign.ranks.scores import unit_rows

# Against (3, 0): a direction of its own for cosine, a length for dot, a near one for the distances.
DOCUMENTS = np.array([[0.5, 0], [9, 9], [3, -2], [1.5, 1.4]], dtype=np.float32)
QUERY = np.array([[3, 0]], dtype=np.float32)
SCORES = {
    "cosine": [1, math.sqrt(0.5), 3 / math.sqrt(13), 1.5 / math.sqrt(1.5**2 + 1.4**2)],
    "dot": [1.5, 27, 9, 4.5],
    "euclidean": [-2.5, -math.sqrt(36 + 81), -2, -math.sqrt(1.5**2 + 1.4**2)],
    "manhattan": [-2.5, -15, -2, -2.9],
}
ORDERS = {"cosine": [0, 2, 3, 1], "dot": [1, 2, 3, 0], "euclidean": [2, 3, 0, 1], "manhattan": [2, 0, 3, 1]}


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_each_similarity_orders_a_case_by_hand_in_its_own_way(similarity):
    order, scores = exact_top_k(QUERY, DOCUMENTS, 4, tie_order=np.arange(4), similarity=similarity)
    assert order[0].tolist() == ORDERS[similarity]
    assert scores[0] == pytest.approx([SCORES[similarity][place] for place in ORDERS[similarity]], rel=1e-6)
    table = _ranks(QUERY, DOCUMENTS, [[0, 1, 2, 3]], similarity)
    assert table.ranks[0].tolist() == [ORDERS[similarity].index(place) + 1 for place in range(4)]
    assert table.top_language.tolist() == [ORDERS[similarity][0] % 2]


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_copies_tie_exactly_wherever_they_stand(similarity):
    rng = np.random.default_rng(2)
    for dim in (1, 3, 17, 384):
        one = rng.standard_normal((5, dim)).astype(np.float32) * 3
        documents = one[np.arange(1003) % 5]
        table = _ranks(one[:1] * 0.7 + 1, documents, [[1, 6, 1001]], similarity)
        assert len({tuple(row) for row in (table.optimistic.T.tolist())}) == 1
        assert (table.pessimistic - table.optimistic >= 199).all()


def test_distances_far_from_the_origin_do_not_cancel():
    # The expansion |q|^2 - 2qd + |d|^2 has nothing left of these in float32, and little in float64.
    base = np.full((1, 8), 2.0**20, dtype=np.float32)
    documents = np.repeat(base, 4, axis=0)
    documents[np.arange(4), 0] += np.array([0.5, 0.25, 0.375, 0.125], dtype=np.float32)
    order, scores = exact_top_k(base, documents, 4, tie_order=np.arange(4), similarity="euclidean")
    assert order.tolist() == [[3, 1, 2, 0]]
    assert scores.tolist() == [[-0.125, -0.25, -0.375, -0.5]]


@pytest.mark.parametrize("dim", [1, 7, 384, 1024, 4096])
def test_vectors_of_unit_length_are_not_copied_and_rank_as_by_dot(dim):
    rng = np.random.default_rng(dim)
    vectors = rng.standard_normal((300, dim)) * 10.0 ** rng.uniform(-3, 3, (300, 1))
    for unit in (
        torch.nn.functional.normalize(torch.from_numpy(vectors.astype(np.float32)), dim=1).numpy(),
        (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
        unit_rows(vectors.astype(np.float32)),
    ):
        assert unit_rows(unit) is unit
        ranks = [_ranks(unit[:9], unit[9:], [[0, 1, 2]] * 9, name).ranks for name in ("cosine", "dot")]
        assert ranks[0].tolist() == ranks[1].tolist()


def test_rows_of_other_lengths_alone_are_scaled():
    rows = np.array([[1, 0], [3, 4], [0.6, 0.8], [1 + 2**-20, 0]], dtype=np.float32)
    scaled = unit_rows(rows)
    assert scaled.tolist() == np.array([[1, 0], [0.6, 0.8], [0.6, 0.8], [1, 0]], dtype=np.float32).tolist()
    assert rows[1].tolist() == [3, 4]


def test_cosine_does_not_depend_on_lengths():
    rng = np.random.default_rng(4)
    documents = rng.standard_normal((500, 24)).astype(np.float32)
    queries = rng.standard_normal((20, 24)).astype(np.float32)
    relevant = rng.integers(0, 500, (20, 3))
    expected = _ranks(queries, documents, relevant, "cosine")
    # Powers of two move no digit.
    longer = documents * (2.0 ** rng.integers(-9, 9, (500, 1))).astype(np.float32)
    other = _ranks(queries * np.float32(4), longer, relevant, "cosine")
    assert other.ranks.tolist() == expected.ranks.tolist()
    assert _ranks(queries, longer, relevant, "dot").ranks.tolist() != expected.ranks.tolist()


def test_an_unknown_similarity_is_named():
    message = "--similarity: unknown similarity; seen: 'cos'; allowed: cosine, dot, euclidean, manhattan"
    with pytest.raises(InputError, match=message):
        parse_similarity("cos", source="--similarity")


def _ranks(queries, documents, relevant, similarity):
    count = len(documents)
    return exact_ranks(
        queries,
        documents,
        document_languages=np.arange(count) % 2,
        languages=("en", "zh"),
        query_languages=np.zeros(len(queries), dtype=np.int32),
        relevant=np.asarray(relevant),
        tie_order=np.arange(count),
        similarity=similarity,
        top_language=True,
    )
