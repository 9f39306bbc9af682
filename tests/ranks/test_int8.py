"""Ranks by 8-bit products are those of the definition, whatever the vectors, the panels and the room for open pairs."""

from __future__ import annotations

import numpy as np
import pytest
from requirements import require

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import exact_ranks
from haystack_crossalign.ranks import int8 as int8_module
from haystack_crossalign.ranks.int8 import counts_by_int8

pytestmark = pytest.mark.usefixtures("_kernel")


@pytest.fixture(params=int8_module.KERNELS)
def _kernel(request, monkeypatch):
    require("native")
    if request.param not in int8_module.kernels():
        pytest.skip(f"this machine has no {request.param}")
    monkeypatch.setenv(int8_module.KERNEL_VARIABLE, request.param)


def _pool(queries, documents, relevant, **changes):
    count = len(documents)
    pool = {
        "queries": np.asarray(queries, dtype=np.float32),
        "documents": np.asarray(documents, dtype=np.float32),
        "document_languages": np.arange(count) % 2,
        "languages": ("en", "zh"),
        "query_languages": np.zeros(len(queries), dtype=np.int32),
        "relevant": np.asarray(relevant, dtype=np.int32),
        "tie_order": np.random.default_rng(1).permutation(count),
        "similarity": "dot",
    }
    return pool | changes


def _by_sorting(pool):
    """Ranks, their bounds and counts by language from all scores in float64, rounded once."""
    scores = (pool["queries"].astype(np.float64) @ pool["documents"].astype(np.float64).T).astype(np.float32)
    order, languages = pool["tie_order"], pool["document_languages"]
    shape = pool["relevant"].shape
    ranks, best, worst = (np.zeros(shape, dtype=np.int32) for _ in range(3))
    above = np.zeros((*shape, 2), dtype=np.int32)
    for query, row in enumerate(pool["relevant"]):
        for column, target in enumerate(row):
            greater = scores[query] > scores[query, target]
            equal = scores[query] == scores[query, target]
            ahead = greater | (equal & (order < order[target]))
            ranks[query, column] = 1 + ahead.sum()
            best[query, column] = 1 + greater.sum()
            worst[query, column] = greater.sum() + equal.sum()
            above[query, column] = np.bincount(languages[ahead], minlength=2)
    return ranks, best, worst, above


def _assert_as_sorted(pool):
    table = exact_ranks(**pool, precision="int8")
    for found, expected in zip(
        (table.ranks, table.optimistic, table.pessimistic, table.above), _by_sorting(pool), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def _relevant(rng, queries, documents, most):
    return np.stack([rng.permutation(documents)[:most] for _ in range(queries)])


# Integers of so few digits have one sum in float64, in whatever order it is made: the sort above is exact.
def _integers(rng, rows, dim, most=1000):
    values = rng.integers(-most, most + 1, (rows, dim)).astype(np.float32)
    values[~values.any(axis=1), 0] = 1
    return values


@pytest.mark.parametrize("dim", [1, 2, 3, 15, 16, 17, 63, 64, 65, 384, 1000, 1024, 4096])
def test_every_dimension(dim):
    rng = np.random.default_rng(dim)
    _assert_as_sorted(_pool(_integers(rng, 7, dim), _integers(rng, 300, dim), _relevant(rng, 7, 300, 2)))


@pytest.mark.parametrize("queries", [1, 15, 16, 17, 47, 48, 49, 96, 97, 200])
@pytest.mark.parametrize("documents", [1, 7, 8, 9, 511, 512, 513, 1030])
def test_every_filling_of_panels_tiles_and_stripes(queries, documents):
    rng = np.random.default_rng(queries * 10_000 + documents)
    pool = _pool(_integers(rng, queries, 24), _integers(rng, documents, 24), _relevant(rng, queries, documents, 3))
    _assert_as_sorted(pool)


@pytest.mark.parametrize("targets", [1, 2, 63, 64])
def test_as_many_targets_as_there_are_bits(targets):
    rng = np.random.default_rng(targets)
    relevant = _relevant(rng, 20, 400, targets)
    _assert_as_sorted(_pool(_integers(rng, 20, 8, 3), _integers(rng, 400, 8, 3), relevant))


def test_more_targets_than_bits_take_another_product():
    assert counts_by_int8(8, 64)
    assert not counts_by_int8(8, 65)
    rng = np.random.default_rng(65)
    pool = _pool(_integers(rng, 4, 8), _integers(rng, 200, 8), _relevant(rng, 4, 200, 65))
    with pytest.raises(InputError, match="8-bit products need"):
        exact_ranks(**pool, precision="int8")
    np.testing.assert_array_equal(exact_ranks(**pool).ranks, _by_sorting(pool)[0])


def _adversarial(kind, rng):
    documents = _integers(rng, 600, 40, 9)
    if kind == "one direction, lengths that differ by one":
        documents = np.outer(np.arange(1, 601), np.ones(40)).astype(np.float32)
    elif kind == "zeros but one":
        documents = np.zeros((600, 40), dtype=np.float32)
        documents[np.arange(600), np.arange(600) % 40] = rng.integers(1, 4, 600)
    elif kind == "one large component":  # the scale of each row leaves nothing of the others
        documents[:, 0] = 2.0**20
    elif kind == "equal rows":
        documents = np.repeat(documents[:3], 200, axis=0)
    elif kind == "two values a rounding step apart":
        documents[:] = 127
        documents[np.arange(600), np.arange(600) % 40] = 126
    elif kind == "opposite rows":
        documents[300:] = -documents[:300]
    return documents


KINDS = (
    "few values",
    "one direction, lengths that differ by one",
    "zeros but one",
    "one large component",
    "equal rows",
    "two values a rounding step apart",
    "opposite rows",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [2.0**-30, 1.0, 2.0**15])
def test_adversarial_pools(kind, scale):
    rng = np.random.default_rng(KINDS.index(kind))
    documents = _adversarial(kind, rng) * np.float32(scale)
    _assert_as_sorted(_pool(_integers(rng, 50, 40, 9), documents, _relevant(rng, 50, 600, 3)))


@pytest.mark.parametrize("targets", [1, 2, 5])
@pytest.mark.parametrize("spread", [2.0**-6, 2.0**-13, 2.0**-20])
def test_scores_that_differ_by_less_than_each_digit_tells(spread, targets):
    # Nearly equal rows: what the first digit, the second, and float64 leave open, in turn.
    rng = np.random.default_rng(int(1 / spread))
    steps = np.float32(spread) * rng.integers(-8, 9, (700, 48)).astype(np.float32)
    documents = _integers(rng, 1, 48, 8) + steps
    documents[200:230] = documents[:30]
    _assert_as_sorted(_pool(_integers(rng, 60, 48, 9), documents, _relevant(rng, 60, 700, targets)))


def test_components_below_the_normal_range_of_float32():
    rng = np.random.default_rng(11)
    documents = (_integers(rng, 300, 20, 50) * 2.0**-149).astype(np.float32)
    documents[:, 0] = 1
    _assert_as_sorted(_pool(_integers(rng, 30, 20, 5), documents, _relevant(rng, 30, 300, 2)))


@pytest.mark.parametrize("room", [1, 5, 60])
def test_open_pairs_beyond_the_room_for_them(room, monkeypatch):
    monkeypatch.setattr(int8_module, "_ROOM", room)
    rng = np.random.default_rng(room)
    documents = np.repeat(_integers(rng, 4, 16, 3), 300, axis=0)  # every pair with an equal row is open
    _assert_as_sorted(_pool(_integers(rng, 30, 16, 3), documents, _relevant(rng, 30, 1200, 2)))


def test_the_same_table_as_by_float32_products_where_scores_crowd():
    rng = np.random.default_rng(5)
    mean = 3 * rng.standard_normal(96)
    unit = [mean + rng.standard_normal((rows, 96)) for rows in (120, 5000)]
    queries, documents = ((part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float32) for part in unit)
    pool = _pool(queries, documents, _relevant(rng, 120, 5000, 2), similarity="cosine")
    tables = [exact_ranks(**pool, precision=precision, top_language=True) for precision in ("int8", "fp32")]
    for name in ("ranks", "optimistic", "pessimistic", "above", "top_language"):
        np.testing.assert_array_equal(*(getattr(table, name) for table in tables))


def _unit(rng, rows, dim=40):
    vectors = rng.standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("row", [0, 255, 300, 4999])
@pytest.mark.parametrize("length", [1 + 2.0**-20, 3.0])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_one_document_of_another_length(row, length, similarity):
    rng = np.random.default_rng(row)
    documents = _unit(rng, 5000)
    documents[row] *= np.float32(length)
    pool = _pool(_unit(rng, 30), documents, _relevant(rng, 30, 5000, 2), similarity=similarity)
    pool["relevant"][0, 0] = row
    tables = [exact_ranks(**pool, precision=precision) for precision in ("int8", "fp32")]
    for name in ("ranks", "optimistic", "pessimistic", "above"):
        np.testing.assert_array_equal(*(getattr(table, name) for table in tables))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("row", [0, 300, 4999])
@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "not a number"), (np.inf, "not a number"), (0, "is zero"), (2.0**60, "too long"), (1e-30, "too short")],
)
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_document_that_is_no_vector_is_refused(row, value, message, similarity):
    rng = np.random.default_rng(row)
    documents = _unit(rng, 5000)
    documents[row] = value
    pool = _pool(_unit(rng, 30), documents, _relevant(rng, 30, 5000, 2), similarity=similarity)
    pool["relevant"][0, 0] = row
    with pytest.raises(InputError, match=f"vector {row} of documents .*{message}"):
        exact_ranks(**pool, precision="int8")
