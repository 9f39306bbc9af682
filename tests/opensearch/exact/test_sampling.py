"""Ranks estimated in samples of a real index, against the exact ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.exact.sampling import estimate_ranks
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.ranks.table import RankTable

DIMENSION, DOCUMENTS, QUERIES, RELEVANT = 8, 600, 150, 3


@pytest.fixture(scope="module")
def view(opensearch: Any, indexing: Any) -> Any:
    rng = np.random.default_rng(31)
    # Half steps in few dimensions: many documents tie.
    vectors = rng.integers(-2, 3, (DOCUMENTS, DIMENSION)) + 0.5
    documents = {
        f"d{n}": {"embedding": vectors[n].tolist(), "language": ["en", "zh", "ar"][n % 3]} for n in range(DOCUMENTS)
    }
    indexing.create(opensearch, "sampled", documents, indexing.mapping(DIMENSION, "innerproduct"), shards=3)
    client = ReadOnlyClient(opensearch.url)
    yield IndexView(client, "sampled", read_fields(client, "sampled", vector="embedding", language="language"))
    client.close()


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return np.random.default_rng(32).integers(-2, 3, (QUERIES, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="module")
def relevant() -> list[list[str]]:
    rng = np.random.default_rng(33)
    return [[f"d{n}" for n in rng.choice(DOCUMENTS, RELEVANT, replace=False)] for _ in range(QUERIES)]


@pytest.fixture(scope="module")
def exact(view: IndexView, queries: np.ndarray, relevant: list[list[str]]) -> RankTable:
    return count_ranks(view, queries, relevant, query_languages=["en"] * QUERIES).table


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_estimates_are_unbiased_and_their_intervals_hold(
    view: IndexView, queries: np.ndarray, relevant: list[list[str]], exact: RankTable, probability: float
) -> None:
    sampled = estimate_ranks(view, queries, relevant, probability=probability, seed=7)
    # Standard deviation of one estimate (Bernoulli sampling), and of the mean of independent ones.
    deviation = np.sqrt((exact.ranks - 1) * (1 - probability) / probability)
    error = sampled.ranks - exact.ranks
    lowest = exact.ranks.argmax(axis=1)[:, None]
    mean_error = np.take_along_axis(error, lowest, axis=1).mean()
    mean_deviation = np.sqrt((np.take_along_axis(deviation, lowest, axis=1) ** 2).sum()) / QUERIES
    assert abs(mean_error) < 4 * mean_deviation
    assert (sampled.ranks.argmax(axis=1) == lowest[:, 0]).all()
    inside = (sampled.low <= exact.ranks) & (exact.ranks <= sampled.high)
    assert inside.mean() > 0.9
    assert (sampled.low <= sampled.ranks).all()
    assert (sampled.ranks >= 1).all()
    assert np.allclose(sampled.above.sum(axis=2), sampled.ranks - 1)
    names = [sampled.languages[code] for code in sampled.relevant_languages.ravel()]
    assert names == [exact.languages[code] for code in exact.relevant_languages.ravel()]


def test_the_order_of_the_relevant_documents_is_exact(
    view: IndexView, queries: np.ndarray, relevant: list[list[str]], exact: RankTable
) -> None:
    sampled = estimate_ranks(view, queries, relevant, probability=0.01, seed=1)
    assert (sampled.ranks.argsort(axis=1) == exact.ranks.argsort(axis=1)).all()


def test_a_seed_draws_the_same_sample_in_any_batches(
    view: IndexView, queries: np.ndarray, relevant: list[list[str]]
) -> None:
    whole = estimate_ranks(view, queries[:20], relevant[:20], probability=0.3, seed=5)
    parts = [
        estimate_ranks(view, queries[n : n + 10], relevant[n : n + 10], probability=0.3, seed=5, first_query=n, batch=3)
        for n in (0, 10)
    ]
    assert np.concatenate([part.ranks for part in parts]).tolist() == whole.ranks.tolist()
    other = estimate_ranks(view, queries[:20], relevant[:20], probability=0.3, seed=6_000)
    assert (other.ranks != whole.ranks).any()


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 5.0])
def test_a_share_outside_of_0_to_1_is_refused(view: IndexView, probability: float) -> None:
    with pytest.raises(InputError, match="allowed: more than 0, less than 1"):
        estimate_ranks(view, np.ones((1, DIMENSION)), [["d1"]], probability=probability)
