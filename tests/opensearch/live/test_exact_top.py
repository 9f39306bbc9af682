"""The exact top k, against scores in memory."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live import exact_top as module
from haystack_crossalign.opensearch.live.exact_top import exact_top
from haystack_crossalign.ranks.ties import tie_key

DIMENSION = 6
INDEX = "lists-exact"
LANGUAGES = ["ar", "en", "zh"]
GROUPS = 30
QUERIES = 9
COPIES = 20


class Corpus:
    """Two chunks of each of 90 versions, and 20 copies of one document that belong to no group."""

    def __init__(self) -> None:
        rng = np.random.default_rng(8)
        versions = [(f"g{group:02}", language) for group in range(GROUPS) for language in LANGUAGES for _ in range(2)]
        self.versions: list[tuple[str | None, str]] = [*versions, *[(None, "en")] * COPIES]
        self.vectors = rng.normal(size=(len(self.versions), DIMENSION)).astype(np.float32)
        self.vectors[-COPIES:] = self.vectors[-1]
        self.vectors[4] = self.vectors[90]  # two versions whose best chunks may tie
        # A multiple that leaves the documents in an order that has nothing to do with their ids.
        self.ids = [f"d{number * 67 % len(self.versions):03}" for number in range(len(self.versions))]
        self.queries = rng.normal(size=(QUERIES, DIMENSION)).astype(np.float32)
        self.queries[0] = self.vectors[-1] + 0.1
        self.queries[1] = self.vectors[4] * 2

    def documents(self) -> dict[str, dict[str, Any]]:
        rows = {}
        for name, (group, language), vector in zip(self.ids, self.versions, self.vectors, strict=True):
            rows[name] = {"embedding": [float(x) for x in vector], "language": language, "tenant": name[-1]}
            if group is not None:
                rows[name]["group"] = group
        return rows

    def ordered(self, query: int, keep: Any = lambda _: True) -> list[tuple[float, bytes, int]]:
        """(minus score, tie key, number) of all documents, best first."""
        left = self.queries[query].astype(np.float64)
        rows = []
        for number, (name, vector) in enumerate(zip(self.ids, self.vectors.astype(np.float64), strict=True)):
            # The same row gives the same number, so that copies tie exactly.
            score = float((vector * left).sum() / np.sqrt((vector**2).sum() * (left**2).sum()))
            if keep(name):
                rows.append((-score, tie_key(name), number))
        return sorted(rows)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return Corpus()


@pytest.fixture(scope="session")
def index(opensearch: Any, indexing: Any, corpus: Corpus) -> str:
    indexing.create(opensearch, INDEX, corpus.documents(), indexing.mapping(DIMENSION))
    return INDEX


@pytest.fixture
def client(opensearch: Any) -> Any:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


@pytest.fixture
def view(client: ReadOnlyClient, index: str) -> IndexView:
    return IndexView(client, index, read_fields(client, index, vector="embedding", language="language", group="group"))


def with_ties(rows: list[Any], k: int) -> list[Any]:
    return [row for row in rows if row[0] <= rows[min(k, len(rows)) - 1][0]]


@pytest.mark.parametrize("k", [1, 5, 25])
def test_the_best_documents_come_in_order_with_all_that_tie_with_the_last(
    view: IndexView, corpus: Corpus, k: int
) -> None:
    tops = exact_top(view, corpus.queries, k, view.target, batch=4)
    lengths = []
    for query, top in enumerate(tops):
        expected = with_ties(corpus.ordered(query), k)
        assert [hit.id for hit in top] == [corpus.ids[number] for _, _, number in expected]
        shown = [(hit.group, hit.language) for hit in top]
        assert shown == [corpus.versions[number] for _, _, number in expected]
        assert all(first.score >= second.score for first, second in itertools.pairwise(top))
        lengths.append(len(top))
    assert lengths[0] == max(k, COPIES)  # the first query finds the copies first
    assert all(length in {k, k + 1} or length >= COPIES for length in lengths)


@pytest.mark.parametrize("k", [1, 7, 60])
def test_versions_stand_with_their_best_document(view: IndexView, corpus: Corpus, k: int) -> None:
    tops = exact_top(view, corpus.queries, k, view.target, by_version=True)
    for query, top in enumerate(tops):
        best: dict[Any, Any] = {}
        for row in corpus.ordered(query):
            group, language = corpus.versions[row[2]]
            best.setdefault((group, language) if group else row[1], row)
        expected = with_ties(list(best.values()), k)
        assert [hit.id for hit in top] == [corpus.ids[number] for _, _, number in expected]
    assert len(tops[1]) == max(k, 2)  # the second query finds two versions of one score first


def test_a_pool_smaller_than_k_comes_whole_and_the_filter_holds(client: ReadOnlyClient, corpus: Corpus) -> None:
    fields = read_fields(client, INDEX, vector="embedding", language="language", group="group")
    view = IndexView(client, INDEX, fields, user_filter={"term": {"tenant": "3"}})
    for query, top in enumerate(exact_top(view, corpus.queries, 50, INDEX)):
        expected = corpus.ordered(query, lambda name: name.endswith("3"))
        assert [hit.id for hit in top] == [corpus.ids[number] for _, _, number in expected]


def test_too_many_ties_are_named(view: IndexView, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HITS", COPIES)
    with pytest.raises(InputError, match="too many score the same"):
        exact_top(view, corpus.queries[:1], 3, view.target)
    monkeypatch.setattr(module, "MOST_HITS", COPIES + 1)
    assert len(exact_top(view, corpus.queries[:1], 3, view.target)[0]) == COPIES


@pytest.mark.parametrize("k", [0, 10_000])
def test_numbers_that_servers_refuse_are_refused(view: IndexView, corpus: Corpus, k: int) -> None:
    with pytest.raises(InputError, match="k"):
        exact_top(view, corpus.queries, k, view.target)
