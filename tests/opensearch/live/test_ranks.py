"""Ranks in live lists and recall, by hand and on a real server."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.exact.versions import Version, count_version_ranks
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.groups import Member, members_by_name
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.exact_top import exact_top
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.live.lists import KnnRetrieval
from haystack_crossalign.opensearch.live.queries import LiveQueries
from haystack_crossalign.opensearch.live.ranks import list_recall, live_table
from haystack_crossalign.ranks.table import ABSENT, CENSORED

DIMENSION = 24
INDEX = "lists-graph"
DOCUMENTS = 1500
QUERIES = 12


def queries_of(relevant: list[list[str]], languages: list[str], versions: Any = None) -> LiveQueries:
    count = len(relevant)
    return LiveQueries(
        ids=tuple(f"q{number}" for number in range(count)),
        languages=tuple(languages),
        texts=("text",) * count,
        judged=tuple(tuple(row) for row in relevant),
        versions=tuple(versions or [()] * count),
        groups=(None,) * count,
        kind="judged",
    )


def hits(*rows: tuple[str, float, str, str | None]) -> list[Hit]:
    return [Hit(*row) for row in rows]


def members(*rows: tuple[str, str, str | None]) -> dict[str, Member]:
    return {name: Member(name, language, group, {}) for name, language, group in rows}


def test_what_a_list_does_not_hold_is_censored_below_its_end() -> None:
    lists = [
        hits(("a", 0.9, "en", None), ("b", 0.8, "zh", None), ("c", 0.7, "en", None)),
        hits(("d", 0.5, "zh", None)),
        [],
    ]
    known = members(("b", "zh", None), ("x", "ar", None), ("d", "zh", None))
    queries = queries_of([["b", "x"], ["d"], ["x"]], ["en", "zh", "en"])
    table = live_table(lists, queries, members=known, asked=3, pool_languages=["fr"], pool_size=50)
    assert table.languages == ("ar", "en", "fr", "zh")
    assert table.pool_languages == (0, 1, 2, 3)
    assert table.ranks.tolist() == [[2, CENSORED], [1, ABSENT], [CENSORED, ABSENT]]
    assert table.relevant_languages.tolist() == [[3, 0], [3, -1], [0, -1]]
    # The first list was cut at three; the others ended, so that nothing follows them however far one reads.
    assert table.ended is not None
    assert table.ended.tolist() == [False, True, True]
    assert table.depth is not None
    assert table.depth.tolist() == [3, 3, 3]
    assert table.top_language is not None
    assert table.top_language.tolist() == [1, 3, -1]
    assert table.above[0].tolist() == [[0, 1, 0, 0], [0, 2, 0, 1]]
    assert table.pool_size == 50


def test_lists_of_unknown_depth_ended_only_where_another_is_longer() -> None:
    lists = [hits(("a", 0.9, "en", None), ("b", 0.8, "en", None)), hits(("a", 0.9, "en", None))]
    table = live_table(lists, queries_of([["x"], ["x"]], ["en", "en"]), members=members(("x", "en", None)), asked=None)
    assert table.ended is not None
    assert table.ended.tolist() == [False, True]


def test_equal_scores_are_ordered_by_hash_and_bounded() -> None:
    lists = [hits(("b", 0.9, "en", None), ("c", 0.8, "en", None), ("e", 0.8, "zh", None))]
    table = live_table(lists, queries_of([["c", "e"]], ["en"]), members=members(("e", "zh", None), ("c", "en", None)))
    # The keyed BLAKE2b hashes by openssl: c5e1… for c, c0ee… for e.
    assert table.ranks.tolist() == [[3, 2]]
    assert table.optimistic.tolist() == [[2, 2]]
    assert table.pessimistic.tolist() == [[3, 3]]


def test_chunks_rank_as_versions_in_the_order_of_the_exact_ranks() -> None:
    lists = [
        hits(
            ("a1", 0.9, "en", "g1"),
            ("a2", 0.8, "en", "g1"),
            ("z1", 0.7, "zh", "g1"),
            ("b1", 0.6, "en", "g2"),
            ("s", 0.5, "zh", None),
            ("r", 0.4, "en", None),
        )
    ]
    known = members(
        ("r", "en", None),
        ("b1", "en", "g2"),
        ("z1", "zh", "g1"),
        ("z2", "zh", "g1"),
        ("a3", "en", "g1"),
        ("y", "ar", "g1"),
    )
    versions = (Version("g1", "ar"), Version("g1", "en"), Version("g1", "zh"), Version("g2", "en"))
    queries = queries_of([["a3", "b1", "r", "y", "z1", "z2"]], ["en"], [versions])
    table = live_table(lists, queries, members=known, asked=6)
    # g1/ar is missing, g1/en stands first by its chunk a1, g1/zh second, g2/en third, and behind s the document r.
    assert table.ranks.tolist() == [[CENSORED, 1, 2, 3, 5]]
    assert [table.languages[code] for code in table.relevant_languages[0]] == ["ar", "en", "zh", "en", "en"]
    assert table.depth is not None
    assert table.depth.tolist() == [5]
    assert table.ended is not None
    assert table.ended.tolist() == [False]
    alone = live_table(lists, queries, members=known, asked=6, by_version=False)
    assert alone.ranks.tolist() == [[CENSORED, 4, 6, CENSORED, 3, CENSORED]]


def test_pipelines_that_tell_nothing_are_filled_in_from_the_index() -> None:
    nan = float("nan")
    lists = [hits(("b", nan, "und", None), ("a", nan, "und", None))]
    known = members(("a", "zh", "g1"), ("c", "zh", "g1"))
    queries = queries_of([["a", "c"]], ["en"], [(Version("g1", "zh"),)])
    table = live_table(lists, queries, members=known, asked=2)
    assert table.languages == ("en", "und", "zh")
    assert table.ranks.tolist() == [[2]]
    assert table.optimistic.tolist() == table.pessimistic.tolist() == [[2]]


def test_relevant_documents_of_unknown_language_are_named() -> None:
    with pytest.raises(InputError, match=r"query 'q0'.*'x'") as caught:
        live_table([[]], queries_of([["x"]], ["en"]), members={})
    assert caught.value.exit_code == 2
    with pytest.raises(InputError, match="lists"):
        live_table([], queries_of([["x"]], ["en"]), members=members(("x", "en", None)))


def named(names: str, scores: list[float]) -> list[Hit]:
    return [Hit(name, score, "en", None) for name, score in zip(names, scores, strict=True)]


@pytest.mark.parametrize(
    ("live", "recall"),
    [
        ("abc", 1.0),
        ("cba", 1.0),  # the order is not compared
        ("abd", 1.0),  # d scores what c scores
        ("bcd", 2 / 3),  # a is lost, though all that was found scores no less than the third
        ("abx", 2 / 3),
        ("xyz", 0.0),
        ("ab", 2 / 3),
        ("", 0.0),
        ("xyzabc", 0.0),  # only the first three are compared
        ("aab", 2 / 3),  # the same one twice is one
    ],
)
def test_recall_counts_ties_at_the_end_as_found(live: str, recall: float) -> None:
    exact = [named("abcde", [0.9, 0.8, 0.7, 0.7, 0.7])]
    assert list_recall([named(live, [1.0] * len(live))], exact, 3).tolist() == pytest.approx([recall])


def test_recall_of_small_and_empty_pools() -> None:
    exact = [named("ab", [0.9, 0.8]), []]
    found = list_recall([named("b", [1.0]), named("a", [1.0])], exact, 10)
    assert found[0] == 0.5
    assert math.isnan(found[1])
    with pytest.raises(InputError, match="k"):
        list_recall([], [], 0)


def test_recall_of_chunks_counts_versions() -> None:
    exact = [hits(("a1", 0.9, "en", "g"), ("z1", 0.8, "zh", "g"), ("b1", 0.7, "en", "h"))]
    live = [hits(("a2", 0.5, "en", "g"), ("a1", 0.4, "en", "g"), ("b9", 0.3, "en", "h"))]
    assert list_recall(live, exact, 3, by_version=True).tolist() == pytest.approx([2 / 3])
    # A list that was cut had no room for three versions: of the exact top two it holds one.
    assert list_recall(live, exact, 3, by_version=True, asked=3).tolist() == [0.5]
    assert list_recall(live, exact, 3, by_version=True, asked=4).tolist() == pytest.approx([2 / 3])


@pytest.fixture
def client(opensearch: Any) -> Any:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return np.random.default_rng(12).normal(size=(DOCUMENTS, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="session")
def graph(opensearch: Any, indexing: Any, vectors: np.ndarray) -> str:
    """An index that searches vectors of 7 bits a component, the outermost tenth of their values cut off."""
    mapping = indexing.mapping(DIMENSION)
    encoder = {"name": "sq", "parameters": {"bits": 7, "confidence_interval": 0.9}}
    mapping["properties"]["embedding"]["method"]["parameters"] = {"encoder": encoder}
    documents = {
        f"d{number:04}": {
            "embedding": [float(x) for x in vector],
            "language": ["ar", "en", "zh"][number % 3],
            "group": f"g{number // 6}",
        }
        for number, vector in enumerate(vectors)
    }
    indexing.create(opensearch, INDEX, documents, mapping)
    return INDEX


@pytest.fixture
def view(client: ReadOnlyClient, graph: str) -> IndexView:
    return IndexView(client, graph, read_fields(client, graph, vector="embedding", language="language", group="group"))


@pytest.mark.parametrize("depth", [10, DOCUMENTS])
def test_recall_tells_what_the_index_loses(view: IndexView, vectors: np.ndarray, graph: str, depth: int) -> None:
    asked = np.random.default_rng(13).normal(size=(QUERIES, DIMENSION)).astype(np.float32)
    exact = exact_top(view, asked, 10, graph)
    assert list_recall(exact, exact, 10).tolist() == [1.0] * QUERIES
    live = KnnRetrieval(view).retrieve([""] * QUERIES, asked, depth, graph)
    scores = asked @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
    best = [{f"d{number:04}" for number in row} for row in np.argsort(-scores)[:, :10].tolist()]
    expected = [len({hit.id for hit in found[:10]} & names) / 10 for found, names in zip(live, best, strict=True)]
    assert list_recall(live, exact, 10).tolist() == pytest.approx(expected)
    assert 0.1 < np.mean(expected) < 0.95


def test_lists_of_the_whole_pool_give_the_exact_ranks(view: IndexView, graph: str) -> None:
    asked = np.random.default_rng(14).normal(size=(QUERIES, DIMENSION)).astype(np.float32)
    groups = [f"g{number * 7}" for number in range(QUERIES)]
    relevant = [[f"d{number * 42 + place:04}" for place in range(6)] for number in range(QUERIES)]
    versions = [tuple(Version(group, tag) for tag in ("ar", "en", "zh")) for group in groups]
    queries = queries_of(relevant, ["en"] * QUERIES, versions)
    known = members_by_name(view, {name for row in relevant for name in row})
    whole = exact_top(view, asked, DOCUMENTS, graph)
    by_document = count_ranks(view, asked, relevant, query_languages=queries.languages, top_language=True).table
    by_version = count_version_ranks(view, asked, versions, query_languages=queries.languages, top_language=True).table
    for chunks, exact in ((False, by_document), (True, by_version)):
        live = live_table(whole, queries, members=known, asked=DOCUMENTS, by_version=chunks)
        assert live.languages == exact.languages
        for name in (
            "ranks",
            "optimistic",
            "pessimistic",
            "above",
            "higher",
            "tied",
            "relevant_languages",
            "top_language",
        ):
            np.testing.assert_array_equal(getattr(live, name), getattr(exact, name), err_msg=name)
        cut = live_table([row[:200] for row in whole], queries, members=known, asked=200, by_version=chunks)
        assert cut.depth is not None
        deep = exact.ranks > cut.depth[:, None]
        assert deep.any()
        assert not deep.all()
        np.testing.assert_array_equal(cut.ranks, np.where(deep, CENSORED, exact.ranks))
