"""Vectors are checked and scaled alike with the compiled library and without it."""

from __future__ import annotations

import numpy as np
import pytest
from requirements import require

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import scores
from haystack_crossalign.ranks.scores import comparable_vectors

UNIT = 2.0**-21
LENGTHS = (
    *(2.0**-40, 2.0**-41, 2.0**40, 2.0**41, 2.0**-40 * (1 + 2.0**-12), 2.0**40 * (1 - 2.0**-12)),
    *(1.0, 1 + UNIT / 2, 1 + UNIT, 1 + 2 * UNIT, 1 - UNIT, 1 - 2 * UNIT, 3.0, np.inf, np.nan, 0.0),
)


@pytest.fixture
def _native():
    require("native")


def _result(rows, similarity):
    one = np.ones((1, rows.shape[1]), dtype=np.float32)
    try:
        return comparable_vectors(one, rows, similarity)[1]
    except InputError as error:
        return str(error)


@pytest.mark.usefixtures("_native")
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("dim", [1, 2, 15, 16, 17, 384, 1031])
def test_the_same_vectors_and_messages_without_the_library(dim, similarity, monkeypatch):
    rng = np.random.default_rng(dim)
    directions = rng.standard_normal((len(LENGTHS), dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        rows = (directions * np.array(LENGTHS)[:, None]).astype(np.float32)
    unit = np.repeat(directions[6:7], 40, axis=0).astype(np.float32)
    pools = [np.concatenate([unit, row[None], unit[:3]]) for row in rows]
    with_library = [_result(pool, similarity) for pool in (unit, *pools)]
    assert with_library[0] is unit
    asked = []
    monkeypatch.setattr(scores, "_known_lengths", lambda: asked.append(1))
    without = [_result(pool, similarity) for pool in (unit, *pools)]
    assert asked
    assert sum(isinstance(one, str) for one in without) >= 4
    for one, other in zip(with_library, without, strict=True):
        if isinstance(other, str):
            assert one == other
        else:
            np.testing.assert_array_equal(one, other)
