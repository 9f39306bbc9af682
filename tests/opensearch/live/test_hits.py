"""Hits of many answers, read at once: the same values as one by one, and what is no hit is refused."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fault_proxy import Fault, Proxy

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import NO_VECTORS, Fields
from haystack_crossalign.opensearch.index.pool import MULTIPLE, IndexView
from haystack_crossalign.opensearch.live.hits import Hit, read_lists

INDEX = "hits-own"


def view_of(
    *, language: str | None = "language", group: str | None = "group", indices: tuple[str, ...] = (INDEX,)
) -> IndexView:
    # Nobody listens there: hits that are as they should be are read without another request.
    client = ReadOnlyClient("http://127.0.0.1:9")
    return IndexView(client, INDEX, Fields(NO_VECTORS, language, group, indices), language_of=lambda tag: tag[:2])


def hit(name: str, score: Any = 1.5, **fields: list[Any]) -> dict[str, Any]:
    return {"_id": name, "_score": score} | ({"fields": fields} if fields else {})


def answers(*rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"hits": {"hits": row}} for row in rows]


WHOLE = hit("a", language=["zh-cn"], group=["g1"])


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (WHOLE, Hit("a", 1.5, "zh", "g1")),
        (hit("b", language=["en"]), Hit("b", 1.5, "en", None)),
        (hit("b", group=["g"]), Hit("b", 1.5, UNDETERMINED, "g")),
        (hit("b"), Hit("b", 1.5, UNDETERMINED, None)),
        (hit("b", language=["en"], group=[""]), Hit("b", 1.5, "en", None)),
        (hit("b", language=[""], group=["g"]), Hit("b", 1.5, UNDETERMINED, "g")),
        (hit("b", language=["en", "fr"], group=["g"]), Hit("b", 1.5, MULTIPLE, "g")),
        (hit("b", language=["en"], group=[17]), Hit("b", 1.5, "en", "17")),
        (hit("b", language=["en", "en"], group=["g", "g"]), Hit("b", 1.5, "en", "g")),
        (hit("b", language=[], group=["g"]), Hit("b", 1.5, UNDETERMINED, "g")),
        ({**WHOLE, "sort": [3], "_index": INDEX}, Hit("a", 1.5, "zh", "g1")),
    ],
)
def test_every_kind_of_hit_is_read_alone_and_among_others(one: dict[str, Any], expected: Hit) -> None:
    others = [hit(f"o{number}", language=["en"], group=[f"g{number}"]) for number in range(3)]
    read = [Hit(f"o{number}", 1.5, "en", f"g{number}") for number in range(3)]
    given = answers([one], [], [*others, one], others)
    before = copy.deepcopy(given)
    assert read_lists(view_of(), given) == [[expected], [], [*read, expected], read]
    assert given == before


def test_fields_that_nobody_named_are_not_read() -> None:
    given = answers([hit("a"), hit("b", language=["en"], group=["g"])])
    neither = [[Hit("a", 1.5, UNDETERMINED, None), Hit("b", 1.5, UNDETERMINED, None)]]
    assert read_lists(view_of(language=None, group=None), given) == neither
    assert read_lists(view_of(language=None), answers([WHOLE])) == [[Hit("a", 1.5, UNDETERMINED, "g1")]]
    assert read_lists(view_of(), []) == []


def test_scores_are_the_float32_that_the_server_printed() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=500).astype(np.float32)
    given = answers([hit(f"d{place}", float(str(score))) for place, score in enumerate(scores)])
    (read,) = read_lists(view_of(), given)
    assert [one.score for one in read] == scores.astype(np.float64).tolist()
    (sorted_by_field,) = read_lists(view_of(), answers([hit("a", None), WHOLE]))
    assert math.isnan(sorted_by_field[0].score)
    assert sorted_by_field[1] == Hit("a", 1.5, "zh", "g1")


def test_a_document_in_several_groups_is_named() -> None:
    with pytest.raises(InputError, match="document 'b' has several values"):
        read_lists(view_of(), answers([WHOLE, hit("b", group=["g1", "g2"])]))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("text", "'responses.hits.hits.1' is 'text'"),
        ({"_score": 1.0}, "'responses.hits.hits.1._id' is missing"),
        (hit("b", "high"), "'responses.hits.hits.1._score'"),
        (hit("b", True), "'responses.hits.hits.1._score'"),
        (hit("b", math.inf), "'responses.hits.hits.1._score'"),
        (hit("b", math.nan), "'responses.hits.hits.1._score'"),
        ({"_id": 3, "_score": 1.0}, "'responses.hits.hits.1._id' is 3"),
        ({"_id": "b", "_score": 1.0, "fields": ["en"]}, "'responses.hits.hits.1.fields'"),
        ({"_id": "b", "_score": 1.0, "fields": None}, "'responses.hits.hits.1.fields'"),
    ],
)
def test_what_is_no_hit_is_one_message(wrong: Any, told: str) -> None:
    with pytest.raises(ExternalError) as error:
        read_lists(view_of(), answers([WHOLE], [WHOLE, wrong]))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_documents_of_several_indices_are_named_by_index_and_id() -> None:
    view = view_of(indices=("docs-de", "docs-en"))
    assert (view.lean, view_of().lean) == ("ids and indices", "ids")
    of_two = [{**hit(name, language=["en"], group=["g"]), "_index": f"docs-{tongue}"} for name, tongue in
              (("a", "en"), ("b", "de"), ("b", "en"), ("a", "en"))]  # fmt: skip
    names = ["docs-en/a", "docs-de/b", "docs-en/b", "docs-en/a"]
    assert [[one.id for one in row] for row in read_lists(view, answers(of_two, of_two[:1]))] == [names, names[:1]]
    # One by one as well, which a document with two languages requires.
    odd = [{**of_two[1], "fields": {"language": ["en", "de"]}}]
    assert [[one.id for one in row] for row in read_lists(view, answers(of_two, odd))] == [names, names[1:2]]
    with pytest.raises(ExternalError, match=r"hits.1._id' is 3"):
        read_lists(view, answers([of_two[0], {**of_two[1], "_id": 3}]))


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    documents = {
        "d1": {"language": "en", "group": "g", "embedding": [1.0, 0.0], "content": "river"},
        "d2": {"language": "zh", "embedding": [0.0, 1.0], "content": "river garden"},
    }
    indexing.create(opensearch, INDEX, documents, indexing.mapping(2))
    return INDEX


@pytest.fixture
def proxy(opensearch: Any) -> Iterator[Proxy]:
    proxy = Proxy(opensearch.url)
    yield proxy
    proxy.close()


def test_lean_searches_give_the_hits_of_others_without_their_index(opensearch: Any, index: str) -> None:
    client = ReadOnlyClient(opensearch.url)
    bodies = [{"query": {"match": {"content": word}}, "_source": False} for word in ("river", "nothing", "garden")]
    whole = client.search_all(bodies, index, as_served=True)
    lean = client.search_all([json.dumps(body) for body in bodies], index, as_served=True, lean="ids")
    assert [len(answer["hits"]["hits"]) for answer in whole] == [2, 0, 1]
    for one, other in zip(lean, whole, strict=True):
        expected = [{key: value for key, value in hit.items() if key != "_index"} for hit in other["hits"]["hits"]]
        assert one["hits"]["hits"] == expected
    client.close()


def without(part: str) -> Fault:
    def answer(_: Any, content: bytes) -> bytes:
        parsed = json.loads(content)
        del parsed["responses"][0]["hits"][part]
        return json.dumps(parsed).encode()

    return answer


def test_an_answer_that_lost_its_hits_is_no_empty_list(proxy: Proxy, index: str) -> None:
    client = ReadOnlyClient(proxy.url)
    body = {"query": {"match": {"content": "river"}}}
    proxy.faults.append(without("hits"))
    with pytest.raises(ExternalError, match=r"'responses.0.hits.hits' is missing"):
        client.search_all([body], index, as_served=True, lean="ids")
    client.close()
