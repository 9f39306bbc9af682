"""Hybrid lists: fused here, and by the server; against each other, and against sums of the parts by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from production_requests import INDEX, clean, nearest, prepare, queries, served

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.live.hybrid import HybridRetrieval, NativeHybridRetrieval, fuse_min_max
from haystack_crossalign.opensearch.live.lists import Bm25Retrieval, KnnRetrieval
from haystack_crossalign.opensearch.live.text_fields import check_text_fields, require_text_fields

DEPTH = 10
FIELDS = ["title^2", "body"]


@pytest.fixture(scope="module", autouse=True)
def index(opensearch: Any, indexing: Any) -> Iterator[None]:
    """One shard: of several, the server brings to 0..1 what all of them return, which is more than one list."""
    prepare(opensearch, indexing, shards=1)
    yield
    clean(opensearch)


@pytest.fixture
def client(opensearch: Any) -> Iterator[ReadOnlyClient]:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


@pytest.fixture
def view(client: ReadOnlyClient) -> IndexView:
    return IndexView(client, INDEX, read_fields(client, INDEX, vector="embedding", language="language", group="group"))


def parts_by_hand(server: Any, query: dict[str, Any]) -> list[list[tuple[str, float]]]:
    words = {"multi_match": {"query": query["text"], "fields": FIELDS, "type": "most_fields"}}
    return [served(server, {"query": one, "size": DEPTH}) for one in (words, nearest(query["embedding"], DEPTH))]


def by_ranks(parts: list[list[tuple[str, float]]]) -> dict[str, float]:
    """The sum of 1 / (60 + rank)."""
    scores: dict[str, float] = {}
    for part in parts:
        for rank, (name, _) in enumerate(part, start=1):
            scores[name] = scores.get(name, 0.0) + 1 / (60 + rank)
    return scores


def by_scores(parts: list[list[tuple[str, float]]]) -> dict[str, float]:
    """The mean of the scores brought to 0..1, with 0.001 for the lowest."""
    scores: dict[str, float] = {}
    for part in parts:
        values = np.array([score for _, score in part])
        scaled = np.maximum((values - values.min()) / np.ptp(values), 0.001)
        for (name, _), value in zip(part, scaled.tolist(), strict=True):
            scores[name] = scores.get(name, 0.0) + value / 2
    return scores


@pytest.mark.parametrize(("fusion", "by_hand"), [("rrf", by_ranks), ("minmax", by_scores)])
def test_lists_fused_here_are_those_of_the_server_and_of_sums_by_hand(
    opensearch: Any, client: ReadOnlyClient, view: IndexView, tmp_path: Path, fusion: Any, by_hand: Any
) -> None:
    asked = queries(tmp_path / "queries.jsonl")
    knn, bm25 = KnnRetrieval(view), Bm25Retrieval(view, fields=FIELDS)
    texts = [query["text"] for query in asked]
    vectors = np.array([query["embedding"] for query in asked], dtype=np.float32)
    with client.point_in_time(INDEX) as frozen:
        own = HybridRetrieval(knn, bm25, fusion).retrieve(texts, vectors, DEPTH, frozen)
        native = NativeHybridRetrieval(view, knn, bm25, fusion).retrieve(texts, vectors, DEPTH, frozen)
    # Ours is the mean over the lists of 61 / (60 + rank), the server's the sum of 1 / (60 + rank).
    scale = 2 / 61 if fusion == "rrf" else 1.0
    held_by_both = 0
    for query, here, there in zip(asked, own, native, strict=True):
        expected = by_hand(parts_by_hand(opensearch, query))
        best = sorted(expected.values(), reverse=True)[:DEPTH]
        for hits, factor in ((here, scale), (there, 1.0)):
            scores = [hit.score * factor for hit in hits]
            assert scores == pytest.approx(best, rel=1e-5)
            assert all(before >= after for before, after in pairwise(scores))
            assert scores == pytest.approx([expected[hit.id] for hit in hits], rel=1e-5)
        # Which of several documents of equal score is cut off at the end is open.
        above = {hit.id for hit in here if hit.score * scale > best[-1] * (1 + 1e-5)}
        assert above <= {hit.id for hit in there}
        held_by_both += len(above)
    assert held_by_both > len(asked) * DEPTH / 2


def test_scores_are_brought_to_a_range_and_added() -> None:
    lists = [
        [Hit("a", 9.0, "en", None), Hit("b", 5.0, "en", None), Hit("c", 1.0, "en", None)],
        [Hit("c", 0.7, "en", None), Hit("d", 0.7, "en", None)],
        [],
    ]
    fused = [(hit.id, hit.score) for hit in fuse_min_max(lists)]
    assert fused == [
        ("c", pytest.approx((0.001 + 1) / 3)),
        ("a", pytest.approx(1 / 3)),
        ("d", pytest.approx(1 / 3)),
        ("b", pytest.approx(0.5 / 3)),
    ]
    assert fuse_min_max([]) == []


def test_keyword_search_looks_at_the_fields_with_their_boosts(opensearch: Any, view: IndexView, tmp_path: Path) -> None:
    asked = queries(tmp_path / "queries.jsonl")
    lists = Bm25Retrieval(view, fields=FIELDS).retrieve([query["text"] for query in asked], None, DEPTH, INDEX)
    assert [[(hit.id, hit.score) for hit in row] for row in lists] == [
        [(name, float(np.float32(score))) for name, score in parts_by_hand(opensearch, query)[0]] for query in asked
    ]


@pytest.mark.parametrize("name", ["", "title^", "title^0", "title^a", "a b", "title^2^3"])
def test_what_names_no_field_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="--live-fields: not a field to search"):
        check_text_fields(["body^0.5", name])


def test_a_field_that_the_index_lacks_is_named(client: ReadOnlyClient) -> None:
    require_text_fields(client, INDEX, ["title^2", "content.raw", "bod*"])
    with pytest.raises(InputError, match=r"seen: 'tilte'; allowed: .*title"):
        require_text_fields(client, INDEX, ["tilte^2"])


def test_a_cluster_without_hybrid_search_is_one_message(view: IndexView) -> None:
    """An index refuses a vector of another dimension as a cluster refuses a query that it does not know."""
    knn = KnnRetrieval(view, search_kwargs={"unknown": 1})
    hybrid = NativeHybridRetrieval(view, knn, Bm25Retrieval(view))
    with pytest.raises(InputError, match="--live: the cluster does not search like this"):
        hybrid.retrieve(["river"], np.ones((1, 12), dtype=np.float32), 5, INDEX)
