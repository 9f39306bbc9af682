"""Tables through the records of an audit: what a checkpoint keeps is what the measures read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from haystack_crossalign.measures import aggregate, default_measures
from haystack_crossalign.opensearch.audit.records import part_table, relevant_part, table_parts
from haystack_crossalign.ranks import exact_ranks, ranks_from_lists
from haystack_crossalign.ranks.table import RankTable, with_gains

LANGUAGES = ("ar", "en", "zh")
QUERIES = 12


def tables(spread: int) -> list[RankTable]:
    """Exact ranks and ranks in lists of 12, over 30 documents; a spread of 1 gives many ties, a large one none."""
    rng = np.random.default_rng(spread)
    documents = rng.integers(-spread, spread + 1, (30, 3)) * 2 + 1
    queries = rng.integers(-spread, spread + 1, (QUERIES, 3)) * 2 + 1
    codes = np.arange(30, dtype=np.int32) % 3
    common = {
        "document_languages": codes,
        "languages": LANGUAGES,
        "query_languages": rng.integers(0, 3, QUERIES),
        "relevant": np.array([rng.permutation(30)[:2] for _ in range(QUERIES)]),
        "tie_order": rng.permutation(30),
    }
    exact = exact_ranks(queries, documents, top_language=True, **common)
    scores = queries @ documents.T
    lists = np.argsort(-scores, axis=1, kind="stable")[:, :12]
    live = ranks_from_lists(lists, scores=np.take_along_axis(scores, lists, axis=1), pool_size=30, **common)
    return [exact, live]


@pytest.mark.parametrize("spread", [1, 10_000])
@pytest.mark.parametrize("kind", [0, 1])
def test_records_keep_ties_and_everything_else(spread: int, kind: int) -> None:
    table = tables(spread)[kind]
    assert (table.tied is not None) is (spread == 1)
    parts = json.loads(json.dumps(table_parts(table)))
    tags = [table.languages[code] for code in table.query_languages]
    found = part_table(parts, tags, pool_languages=LANGUAGES, pool_size=30)
    names = ("ranks", "optimistic", "pessimistic", "above", "higher", "tied", "top_language", "top_versions", "depth")
    for name in names:
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name), err_msg=name)
    measures = default_measures(LANGUAGES)
    assert (
        aggregate(found, measures, samples=0, seed=0)["ties"] == aggregate(table, measures, samples=0, seed=0)["ties"]
    )


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("kind", [0, 1])
def test_records_keep_gains(kind: int, level: int) -> None:
    table = tables(1)[kind]
    gains = np.random.default_rng(level).integers(1, 4, table.ranks.shape).astype(np.float64)
    parts = json.loads(json.dumps(table_parts(table, gains.tolist())))
    tags = [table.languages[code] for code in table.query_languages]
    found = part_table(parts, tags, pool_languages=LANGUAGES, pool_size=30, level=level)
    expected = with_gains(table, gains, level)
    for name in ("ranks", "relevant_languages", "above", "higher", "tied", "gain_ranks", "gains", "gain_pessimistic"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    for query, part in enumerate(parts):
        kept = relevant_part(part, level)
        ranks = [rank if rank > 0 else None for rank in expected.ranks[query].tolist() if rank]
        assert kept["ranks"] == ranks
        assert kept["top"] == part["top"]
        assert len(kept["above"]) == len(kept["gains"]) == len(ranks)


@pytest.mark.parametrize("level", [1, 2])
def test_records_keep_the_further_chunks_of_answers(level: int) -> None:
    rng = np.random.default_rng(level)
    table = ranks_from_lists(
        np.array([rng.permutation(12) for _ in range(QUERIES)]),
        document_languages=np.arange(12) // 3 % 3,
        languages=LANGUAGES,
        query_languages=rng.integers(0, 3, QUERIES),
        relevant=np.array([rng.permutation(4)[:3] for _ in range(QUERIES)]),
        tie_order=None,
        versions=np.arange(12) // 3,
        merged=False,
    )
    assert table.further is not None
    gains = rng.integers(1, 4, table.ranks.shape).astype(np.float64)
    parts = json.loads(json.dumps(table_parts(table, gains.tolist())))
    tags = [table.languages[code] for code in table.query_languages]
    found = part_table(parts, tags, pool_languages=LANGUAGES, pool_size=12, level=level)
    expected = with_gains(table, gains, level)
    np.testing.assert_array_equal(found.further, expected.further)
    for query, part in enumerate(parts):
        kept = np.flatnonzero(gains[query] >= level)
        assert relevant_part(part, level)["further"] == table.further[query][np.ix_(kept, kept)].tolist()
