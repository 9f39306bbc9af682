"""Ranks of versions of chunked documents, against sets of scores in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.ranked import Unranked
from haystack_crossalign.opensearch.exact.versions import Version, count_version_ranks, version_pool
from haystack_crossalign.opensearch.index import buckets
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.ranks.ties import tie_key

DIMENSION = 16
QUERIES = 60
LANGUAGES = ["en", "zh", "ar"]


class Chunks:
    """Chunks of 150 groups in up to three languages, some of them copies, and 40 documents without a group, or with an
    empty one. Each query has relevant documents of both kinds."""

    def __init__(self) -> None:
        rng = np.random.default_rng(21)
        self.ids: list[str] = []
        self.versions: list[Version] = []
        vectors: list[np.ndarray] = []
        for group in range(150):
            for language in LANGUAGES[: 1 + group % 3]:
                for _ in range(int(rng.integers(1, 5))):
                    self._add(f"g{group}", language)
                    copy = len(vectors) > 10 and rng.random() < 0.3
                    vectors.append(vectors[int(rng.integers(len(vectors)))] if copy else rng.normal(size=DIMENSION))
        for number in range(40):
            self._add("", "en" if number % 2 else "und")
            vectors.append(vectors[number * 3] if number % 3 == 0 else rng.normal(size=DIMENSION))
        order = rng.permutation(len(vectors))
        self.ids = [f"c{number:04}" for number in order]
        self.versions = [
            version if version.group else Version(identifier, version.language, single=True)
            for version, identifier in zip(self.versions, self.ids, strict=True)
        ]
        self.vectors = np.array(vectors, dtype=np.float32)
        self.documents: dict[str, dict[str, Any]] = {}
        for identifier, version, vector in zip(self.ids, self.versions, self.vectors, strict=True):
            document: dict[str, Any] = {"embedding": [float(x) for x in vector]}
            if not version.single:
                document["group"] = version.group
            elif identifier.endswith(("3", "7")):
                document["group"] = ""
            if version.language != "und":
                document["language"] = version.language
            self.documents[identifier] = document
        self.queries = rng.normal(size=(QUERIES, DIMENSION)).astype(np.float32)
        groups = rng.integers(0, 150, (QUERIES, 2))
        known = sorted(set(self.versions))
        singles = [version for version in known if version.single]
        drawn = rng.integers(0, len(singles), (QUERIES, 2)).tolist()
        self.relevant = [
            [one for one in known if one.group in {f"g{g}" for g in row}] + sorted({singles[place] for place in places})
            for row, places in zip(groups.tolist(), drawn, strict=True)
        ]

    def _add(self, group: str, language: str) -> None:
        self.ids.append("")
        self.versions.append(Version(group, language))

    def ordered(self, query: int) -> tuple[list[Version], dict[Version, float]]:
        """Versions by (score of the best chunk, first of its best chunks in the order of ties), and those scores."""
        vectors = self.vectors.astype(np.float64)
        left = self.queries[query].astype(np.float64)
        # The same row gives the same number, so that copies tie exactly.
        scores = [float((row * left).sum() / np.sqrt((row**2).sum() * (left**2).sum())) for row in vectors]
        best: dict[Version, tuple[float, bytes]] = {}
        for identifier, version, score in zip(self.ids, self.versions, scores, strict=True):
            entry = (-score, tie_key(identifier))
            best[version] = min(best.get(version, entry), entry)
        return sorted(best, key=best.__getitem__), {version: -entry[0] for version, entry in best.items()}


@pytest.fixture(scope="session")
def chunks() -> Chunks:
    return Chunks()


@pytest.fixture
def client(opensearch: Any) -> Any:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def index(opensearch: Any, chunks: Chunks, indexing: Any) -> str:
    indexing.create(opensearch, "chunks", chunks.documents, indexing.mapping(DIMENSION), shards=2)
    return "chunks"


@pytest.fixture
def view(client: ReadOnlyClient, index: str) -> Any:
    fields = read_fields(client, index, vector="embedding", language="language", group="group")
    with client.point_in_time(index) as view_id:
        yield IndexView(client, view_id, fields)


@pytest.mark.parametrize("page", [5000, 7])
def test_versions_stand_at_the_rank_of_their_best_chunk(
    view: IndexView, chunks: Chunks, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(buckets, "PAGE", page)
    count = QUERIES if page == 5000 else 4
    counted = count_version_ranks(
        view,
        chunks.queries[:count],
        chunks.relevant[:count],
        query_languages=["en"] * count,
        top_language=True,
    )
    table = counted.table
    assert counted.unranked == ()
    assert table.languages == ("ar", "en", "und", "zh")
    assert table.pool_size == len(set(chunks.versions))
    ties = 0
    for query in range(count):
        order, scores = chunks.ordered(query)
        place = {version: rank for rank, version in enumerate(order, start=1)}
        assert table.languages[table.top_language[query]] == order[0].language
        for column, version in enumerate(chunks.relevant[query]):
            higher = sum(score > scores[version] for score in scores.values())
            reaching = sum(score >= scores[version] for score in scores.values())
            near = sum(abs(score - scores[version]) <= 1e-6 for score in scores.values())
            ties += reaching - higher > 1
            if near > reaching - higher:
                continue
            assert table.ranks[query, column] == place[version]
            assert table.optimistic[query, column] == higher + 1
            assert table.pessimistic[query, column] == reaching
            above = [one.language for one in order[: place[version] - 1]]
            assert table.above[query, column].tolist() == [above.count(tag) for tag in table.languages]
            higher_tags = [one.language for one in order if scores[one] > scores[version]]
            tied_tags = [one.language for one in order if scores[one] == scores[version] and one != version]
            assert table.higher[query, column].tolist() == [higher_tags.count(tag) for tag in table.languages]
            assert table.tied[query, column].tolist() == [tied_tags.count(tag) for tag in table.languages]
    assert ties > (20 if page == 5000 else 0)


def test_the_pool_of_versions_is_counted_exactly(view: IndexView, chunks: Chunks) -> None:
    pool = version_pool(view)
    languages = [version.language for version in set(chunks.versions)]
    assert pool.versions == len(languages)
    assert pool.by_language == {tag: languages.count(tag) for tag in ("ar", "en", "und", "zh")}


def test_relevant_versions_that_do_not_exist_are_named(view: IndexView) -> None:
    counted = count_version_ranks(
        view,
        np.ones((1, DIMENSION)),
        [[Version("g0", "en"), Version("g0", "ar"), Version("c9999", "ar", single=True)]],
        query_languages=["en"],
    )
    assert counted.unranked == (
        Unranked(0, "g0 (ar)", "no such version in the pool"),
        Unranked(0, "c9999", "not in the index"),
    )
    assert (counted.table.ranks[0] > 0).tolist() == [True, False, False]


def test_documents_in_two_groups_are_refused(client: ReadOnlyClient, opensearch: Any, indexing: Any) -> None:
    documents = {"a": {"embedding": [1.0] * DIMENSION, "group": ["g1", "g2"], "language": "en"}}
    indexing.create(opensearch, "two-groups", documents, indexing.mapping(DIMENSION))
    fields = read_fields(client, "two-groups", vector="embedding", language="language", group="group")
    with pytest.raises(InputError, match="several groups"):
        version_pool(IndexView(client, "two-groups", fields))


def test_versions_need_a_group_field(client: ReadOnlyClient, index: str) -> None:
    view = IndexView(client, index, read_fields(client, index, vector="embedding", language="language"))
    with pytest.raises(InputError, match="need the field that holds the parallel group"):
        version_pool(view)
