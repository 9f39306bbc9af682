"""A server that gives a document another score the second time: asked again, and an error where it does not settle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.opensearch.connection.client import Answer, ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import ContradictionError
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.exact.sampling import estimate_ranks
from haystack_crossalign.opensearch.exact.versions import Version, count_version_ranks
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.ranks.ties import tie_key

DIMENSION, GROUPS, QUERIES = 12, 30, 6
LANGUAGES = ("en", "zh")


def _documents() -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    return {
        f"{language}-{group}": {
            "embedding": rng.normal(size=DIMENSION).round(4).tolist(),
            "language": language,
            "group": f"g{group}",
        }
        for group in range(GROUPS)
        for language in LANGUAGES
    }


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    indexing.create(opensearch, "contradictions", _documents(), indexing.mapping(DIMENSION, "innerproduct"))
    return "contradictions"


class Unsettled(ReadOnlyClient):
    """The scores of relevant documents are a last bit off, as of a server whose code is compiled in between.

    That happens within the first thousands of scores after a server's start, at no moment that a test could choose.
    """

    off = 0
    asked = 0

    def search_all(
        self, bodies: Sequence[Mapping[str, Any]], target: str | PointInTime, *, concurrent: int | None = None
    ) -> list[Answer]:
        answers = super().search_all(bodies, target, concurrent=concurrent)
        text = json.dumps(bodies)
        # The first request names the relevant documents or their groups, and counts nothing.
        if '"ranges"' not in text and '"sort"' not in text and ('"ids"' in text or '"terms": {"group"' in text):
            self.asked += 1
            if self.asked <= self.off:
                _nudge(answers)
        return answers


class Untied(ReadOnlyClient):
    """The documents that reach the highest score are said to be none, as of a server whose scores sank in between."""

    off = 0
    asked = 0

    def search_all(
        self, bodies: Sequence[Mapping[str, Any]], target: str | PointInTime, *, concurrent: int | None = None
    ) -> list[Answer]:
        answers = super().search_all(bodies, target, concurrent=concurrent)
        # Only the list of documents with one score has a minimum and counts nothing.
        if '"min_score"' in json.dumps(bodies) and not any("aggs" in body for body in bodies):
            self.asked += 1
            if self.asked <= self.off:
                for answer in answers:
                    answer["hits"]["hits"] = []
        return answers


def _nudge(part: Any) -> None:
    for entry in part if isinstance(part, list) else part.values():
        if isinstance(entry, dict | list):
            _nudge(entry)
    if isinstance(part, dict):
        if isinstance(part.get("_score"), float):
            part["_score"] = _next(part["_score"])
        if isinstance(part.get("best"), dict):
            part["best"]["value"] = _next(part["best"]["value"])


def _next(score: float) -> float:
    # As the server writes a float32: in the shortest decimals that are the same float32.
    return float(str(np.nextafter(np.float32(score), np.float32(np.inf))))


def _by_document(view: IndexView) -> Any:
    relevant = [[f"{language}-{number}" for language in LANGUAGES] for number in range(QUERIES)]
    return count_ranks(view, _queries(), relevant, query_languages=["en"] * QUERIES, top_language=True)


def _by_version(view: IndexView) -> Any:
    relevant = [[Version(f"g{number}", language) for language in LANGUAGES] for number in range(QUERIES)]
    return count_version_ranks(view, _queries(), relevant, query_languages=["en"] * QUERIES, top_language=True)


def _queries() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(QUERIES, DIMENSION)).astype(np.float32)


@pytest.fixture
def client(opensearch: Any) -> Any:
    client = Unsettled(opensearch.url)
    yield client
    client.close()


@pytest.fixture
def view(client: Unsettled, index: str) -> IndexView:
    return IndexView(client, index, read_fields(client, index, vector="embedding", language="language", group="group"))


@pytest.mark.parametrize("count", [_by_document, _by_version])
def test_scores_that_change_are_asked_for_anew(
    client: Unsettled, view: IndexView, count: Callable[[IndexView], Any]
) -> None:
    expected = count(view).table
    assert client.asked == 1
    client.asked, client.off = 0, 2
    found = count(view).table
    assert client.asked == 3
    for column in ("ranks", "optimistic", "pessimistic", "above", "top_language"):
        assert getattr(found, column).tolist() == getattr(expected, column).tolist(), column


@pytest.mark.parametrize("count", [_by_document, _by_version])
def test_a_server_that_does_not_settle_is_an_error(
    client: Unsettled, view: IndexView, count: Callable[[IndexView], Any]
) -> None:
    client.off = 1000
    with pytest.raises(ContradictionError, match=r"rounded a score another way.* start again") as caught:
        count(view)
    assert client.asked == 5
    assert isinstance(caught.value, ExternalError)
    assert caught.value.exit_code == 3


@pytest.fixture(scope="module")
def twins(opensearch: Any, indexing: Any) -> str:
    """As above, and for every query two documents of different groups and languages share the first place."""
    documents = _documents()
    for language in LANGUAGES:
        documents[f"twin-{language}"] = {
            "embedding": [100.0] * DIMENSION,
            "language": language,
            "group": f"twin-{language}",
        }
    indexing.create(opensearch, "contradicting-twins", documents, indexing.mapping(DIMENSION, "innerproduct"))
    return "contradicting-twins"


@pytest.mark.parametrize("by", ["documents", "versions"])
def test_a_first_place_whose_score_sinks_is_asked_for_anew(opensearch: Any, twins: str, by: str) -> None:
    queries = np.abs(_queries())
    with closing(Untied(opensearch.url)) as client:
        fields = read_fields(client, twins, vector="embedding", language="language", group="group")
        view = IndexView(client, twins, fields)

        def count() -> Any:
            common = {"query_languages": ["en"], "top_language": True}
            if by == "documents":
                return count_ranks(view, queries[:1], [["en-0", "zh-0"]], **common).table
            wanted = [[Version("g0", language) for language in LANGUAGES]]
            return count_version_ranks(view, queries[:1], wanted, **common).table

        expected = count()
        assert expected.top_language.tolist() == [
            LANGUAGES.index(min(LANGUAGES, key=lambda tag: tie_key(f"twin-{tag}")))
        ]
        assert client.asked == 1
        client.asked, client.off = 0, 2
        found = count()
        assert client.asked == 3
        for column in ("ranks", "optimistic", "pessimistic", "above", "top_language"):
            assert getattr(found, column).tolist() == getattr(expected, column).tolist(), column
        client.asked, client.off = 0, 1000
        with pytest.raises(ContradictionError, match="the document that scores highest"):
            count()
        assert client.asked == 5


def test_a_sample_without_the_relevant_documents_does_not_mind_their_last_bits(
    client: Unsettled, view: IndexView
) -> None:
    relevant = [[f"en-{number}", f"zh-{number}"] for number in range(QUERIES)]
    expected = estimate_ranks(view, _queries(), relevant, probability=0.5)
    client.asked, client.off = 0, 1000
    assert estimate_ranks(view, _queries(), relevant, probability=0.5).ranks.tolist() == expected.ranks.tolist()
    assert client.asked == 1
