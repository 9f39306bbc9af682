"""Ranks counted here on real servers: the same, to the last count, as those that the server counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.exact.ranked import Counted
from haystack_crossalign.opensearch.exact.versions import Version, count_version_ranks, version_pool
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.exact_top import exact_top
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.local.counting import LocalCounter, LocalRanks
from haystack_crossalign.opensearch.local.pool import LocalPool, read_pool, reason_against
from haystack_crossalign.opensearch.local.table import counted_locally

DIMENSION, DOCUMENTS, QUERIES, RELEVANT, TOP = 24, 900, 40, 5, 10
FAISS = {"engine": "faiss", "name": "hnsw"}
FIELDS: dict[str, dict[str, Any]] = {
    "cosine": {"method": {"engine": "lucene", "name": "hnsw", "space_type": "cosinesimil"}},
    "inner": {"method": {"engine": "lucene", "name": "hnsw", "space_type": "innerproduct"}},
    "distance": {"method": {"engine": "lucene", "name": "hnsw", "space_type": "l2"}},
    "byte_cosine": {"data_type": "byte", "method": {"engine": "lucene", "name": "hnsw", "space_type": "cosinesimil"}},
    "byte_inner": {"data_type": "byte", "method": {"engine": "lucene", "name": "hnsw", "space_type": "innerproduct"}},
    "byte_distance": {"data_type": "byte", "method": {"engine": "lucene", "name": "hnsw", "space_type": "l2"}},
    "faiss_inner": {"method": FAISS | {"space_type": "innerproduct"}},
    "faiss_distance": {"method": FAISS | {"space_type": "l2"}},
}
LANGUAGES = ["en", "zh", "ar", "es", None]


class Corpus:
    """Clustered documents with copies and near copies, of several languages and groups, some deleted or bare."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        center = rng.normal(size=DIMENSION) * 30
        base = center + rng.normal(size=(DOCUMENTS, DIMENSION)) * 20
        base[600:] = base[:300]
        base[850:] = base[:50]
        vectors = np.clip(np.rint(base), -128, 127)
        self.ids = [f"{'é' if number % 7 == 0 else 'd'}{number}" for number in rng.permutation(DOCUMENTS)]
        languages = rng.integers(0, len(LANGUAGES), DOCUMENTS)
        groups = rng.integers(0, 120, DOCUMENTS)
        bare = set(rng.choice(DOCUMENTS, 30, replace=False).tolist())
        self.documents: dict[str, dict[str, Any]] = {}
        for number, identifier in enumerate(self.ids):
            document: dict[str, Any] = {"tenant": f"t{number % 3}"}
            if LANGUAGES[languages[number]] is not None:
                document["language"] = LANGUAGES[languages[number]]
            if number % 11:
                document["group"] = f"g{groups[number]}"
            if number not in bare:
                # Near copies: apart in the last bits of single precision, which is what servers round.
                near = vectors[number] / 37 * (1 + 1e-7 * rng.normal(size=DIMENSION) * (number % 2))
                for field, definition in FIELDS.items():
                    whole = definition.get("data_type") == "byte"
                    document[field] = [int(x) for x in vectors[number]] if whole else [float(x) for x in near]
            self.documents[identifier] = document
        self.deleted = tuple(self.ids[number] for number in range(0, DOCUMENTS, 23))
        near = vectors[rng.integers(0, DOCUMENTS, QUERIES)]
        self.queries = np.clip(np.rint(near * 0.7 + center * 0.3 + rng.normal(size=near.shape) * 8), -128, 127)
        self.relevant = [
            [self.ids[number] for number in rng.choice(DOCUMENTS, RELEVANT, replace=False)] for _ in range(QUERIES)
        ]

    def asked(self, field: str) -> np.ndarray:
        return (self.queries / (1 if field.startswith("byte") else 37)).astype(np.float32)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus()


@pytest.fixture(scope="module")
def index(opensearch: Any, corpus: Corpus, indexing: Any) -> str:
    mapping = indexing.mapping(DIMENSION)
    del mapping["properties"]["embedding"]
    for field, definition in FIELDS.items():
        mapping["properties"][field] = {"type": "knn_vector", "dimension": DIMENSION, **definition}
    settings = {"index.knn": True, "index.knn.advanced.approximate_threshold": -1, "number_of_replicas": 0}
    indexing.create(opensearch, "local-counts", corpus.documents, mapping, shards=3, settings=settings,
                    delete=tuple(map(quote, corpus.deleted)))  # fmt: skip
    return "local-counts"


@pytest.fixture
def client(opensearch: Any) -> Iterator[ReadOnlyClient]:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


_PARTS = ("ranked", "tops", "lists")


def differing(one: tuple[Counted, list[list[Hit]]], other: tuple[Counted, list[list[Hit]]]) -> list[str]:
    """What differs between two ways to count the same queries."""
    (counted, lists), (expected, other_lists) = one, other
    tables = [name for name, value in vars(expected.table).items()
              if not np.array_equal(getattr(counted.table, name), value)]  # fmt: skip
    return [*tables, *["unranked"] * (counted.unranked != expected.unranked), *["lists"] * (lists != other_lists)]


def assert_same(
    view: IndexView,
    pool: LocalPool,
    queries: np.ndarray,
    relevant: Sequence[Any],
    *,
    by_version: bool = False,
    top: int = TOP,
) -> LocalCounter:
    """Tables, missing documents and first documents, against those of the server."""
    languages = ["en", "de"] * (len(queries) // 2)
    counter = LocalCounter(
        view, pool, tuple(view.pool().by_language), queries, relevant, by_version=by_version, top=top, batch=16,
        concurrent=None, spend=lambda _: None,
    )  # fmt: skip
    places = list(range(len(queries)))
    by_language: Any = version_pool(view).by_language if by_version else view.pool().by_language

    def counted_here() -> tuple[Counted, list[list[Hit]]]:
        parts = [counter.measure(places[start : start + 15]) for start in range(0, len(places), 15)]
        ranked, tops, lists = ([one for part in parts for one in getattr(part, name)] for name in _PARTS)
        ranks = LocalRanks(ranked, tops, lists)
        return counted_locally(view, ranks, relevant, query_languages=languages, by_language=by_language), lists

    def counted_by_server() -> tuple[Counted, list[list[Hit]]]:
        count = count_version_ranks if by_version else count_ranks
        counted = count(view, queries, relevant, query_languages=languages, top_language=True)
        return counted, exact_top(view, queries, top, view.target, by_version=by_version)

    # Soon after its start, the server's code is compiled and its scores change in their last bits: only what it says
    # twice, before and after, is what it said in between.
    before = counted_by_server()
    for _ in range(10):
        here, expected = counted_here(), counted_by_server()
        if differing(before, expected) == []:
            break
        before = expected
    assert differing(here, expected) == []
    return counter


@pytest.mark.parametrize("field", FIELDS)
def test_ranks_bounds_counts_and_first_documents_are_the_servers(
    client: ReadOnlyClient, index: str, corpus: Corpus, field: str
) -> None:
    fields = read_fields(client, index, vector=field, language="language", group="group")
    with client.point_in_time(index) as target:
        view = IndexView(client, target, fields)
        assert reason_against(view) is None
        pool = read_pool(view)
        assert len(pool.names) == view.pool().documents
        counter = assert_same(view, pool, corpus.asked(field), corpus.relevant)
    # Copies and near copies were there for the server to decide.
    assert counter.settled_documents > QUERIES * TOP


@pytest.mark.parametrize("field", ["cosine", "inner", "distance"])
def test_versions_stand_where_the_server_puts_them(
    client: ReadOnlyClient, index: str, corpus: Corpus, field: str
) -> None:
    fields = read_fields(client, index, vector=field, language="language", group="group")
    rng = np.random.default_rng(2)
    with client.point_in_time(index) as target:
        view = IndexView(client, target, fields)
        pool = read_pool(view)
        known = sorted(pool.version_codes)
        relevant = [sorted({known[number] for number in rng.integers(0, len(known), RELEVANT)}) for _ in range(QUERIES)]
        relevant[0] = [Version("g1", "xx"), Version("nobody", "en", single=True), *relevant[0]]
        assert_same(view, pool, corpus.asked(field), relevant, by_version=True)


def test_a_filter_and_some_languages_make_the_pool(client: ReadOnlyClient, index: str, corpus: Corpus) -> None:
    fields = read_fields(client, index, vector="cosine", language="language", group="group")
    with client.point_in_time(index) as target:
        whole = IndexView(client, target, fields, user_filter={"term": {"tenant": "t1"}})
        pool = read_pool(whole)
        only = {"bool": {"filter": [{"term": {"tenant": "t1"}}, {"terms": {"language": ["en", "zh"]}}]}}
        part = IndexView(client, target, fields, user_filter=only)
        assert_same(part, pool, corpus.asked("cosine"), corpus.relevant)
