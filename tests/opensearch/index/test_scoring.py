"""Query vectors on their way into requests: short, exact, and made one after the other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.opensearch.index.scoring import checked_queries, exact_double, next_above

COSINE = VectorField("embedding", 64, "cosinesimil", "float", None)


def test_vectors_are_the_shortest_decimals_that_are_the_same_float32() -> None:
    rng = np.random.default_rng(2)
    vectors = (rng.normal(size=(50, 64)) * 10.0 ** rng.integers(-30, 30, (50, 64))).astype(np.float32)
    queries = checked_queries(vectors, COSINE)
    assert len(queries) == 50
    for row, vector in zip(queries, vectors, strict=True):
        text = json.dumps(row)
        assert (np.array(json.loads(text), dtype=np.float64).astype(np.float32) == vector).all()
        # Nine significant digits always tell one float32 from another; repr of the double takes up to 17.
        assert all(len(repr(value).split("e")[0].replace(".", "").strip("-0")) <= 9 for value in row)
    assert queries[3:5] == [queries[3], queries[4]]


def test_vectors_become_numbers_only_when_they_are_asked_for() -> None:
    vectors = np.ones((2, 64), dtype=np.float32)
    queries = checked_queries(vectors, COSINE)
    vectors[1, 0] = 0.1
    assert queries[1][:2] == [0.1, 1.0]


@pytest.mark.parametrize(
    ("vectors", "field", "message"),
    [
        (np.ones((2, 3)), COSINE, "64 components each"),
        (np.full((2, 64), np.nan), COSINE, "no numbers"),
        (np.eye(3, 64) * [[1], [1], [0]], COSINE, "'query 2'"),
        (np.full((1, 64), 0.5), VectorField("v", 64, "l2", "byte", None), "whole numbers from -128 to 127"),
        (np.full((1, 3), 200), VectorField("v", 24, "hamming", "binary", None), "whole numbers from -128 to 127"),
        (np.ones((1, 24)), VectorField("v", 24, "hamming", "binary", None), "3 components each of eight bits"),
    ],
)
def test_vectors_that_the_field_cannot_be_asked_with_are_refused(
    vectors: np.ndarray, field: VectorField, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        checked_queries(vectors, field)


def test_scores_are_read_as_the_float32_that_they_are() -> None:
    score = 0.8779691
    assert exact_double(score) == float(np.float32(score)) != score
    above = next_above(exact_double(score))
    assert np.float32(above) > np.float32(score)
    assert np.nextafter(np.float32(above), np.float32(0)) == np.float32(score)
