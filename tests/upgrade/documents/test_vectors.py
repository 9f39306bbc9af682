"""Vectors within documents: found at any path, replaced, and the rest left as it is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.upgrade.documents.vectors import (
    MatrixWay,
    ModelWay,
    move,
    vector_places,
    vector_texts,
    without_vectors,
)

MATRIX = np.array([[0.0, 1.0], [2.0, 0.0]], dtype=np.float32)
WAY = MatrixWay(AffineMap(MATRIX, np.zeros(2, dtype=np.float32)))


def field(name: str = "embedding", data_type: str = "float", nested: str | None = None) -> VectorField:
    return VectorField(name, 2, "cosinesimil", data_type, nested)


def test_float32_numbers_survive_their_nine_digits() -> None:
    numbers = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32) * np.float32(1e-3)
    read = np.asarray([json.loads(text) for text in vector_texts(numbers)], dtype=np.float32)
    assert (read == numbers).all()


@pytest.mark.parametrize(
    ("source", "path", "count"),
    [
        ({"embedding": [1, 2]}, "embedding", 1),
        ({"embedding": None}, "embedding", 0),
        ({"embedding": []}, "embedding", 0),
        ({}, "embedding", 0),
        ({"a": {"b": {"v": [1, 2]}}}, "a.b.v", 1),
        ({"a.b": {"v": [1, 2]}}, "a.b.v", 1),
        ({"a": {"b.v": [1, 2]}}, "a.b.v", 1),
        ({"a": [{"v": [1, 2]}, {"w": 1}, {"v": [3, 4]}]}, "a.v", 2),
        ({"a": [[1, 2]], "a.v": [1, 2]}, "a.v", 1),
    ],
)
def test_vectors_are_found_wherever_a_source_may_hold_them(source: dict[str, Any], path: str, count: int) -> None:
    places = vector_places(3, source, path)
    assert len(places) == count
    assert all(place.document == 3 and len(place.holder[place.key]) == 2 for place in places)


def test_the_matrix_moves_vectors_and_leaves_the_rest_to_the_letter() -> None:
    sources = [
        {"embedding": [3.0, 4.0], "text": 'crossalign vector 0 "', "n": 2**63, "list": [1.5, None]},
        {"text": "none"},
        {"embedding": [0.0, 0.0]},
    ]
    moved = move(sources, [field()], WAY)
    first, second, third = (json.loads(text or "") for text in moved.texts)
    # unit((4, 6) / 5) = (2, 3) / sqrt(13)
    np.testing.assert_allclose(first.pop("embedding"), np.array([2, 3]) / np.sqrt(13), atol=1e-7)
    assert first == {"text": 'crossalign vector 0 "', "n": 2**63, "list": [1.5, None]}
    assert second == {"text": "none"}
    assert third == {"embedding": [0, 0]}
    assert moved.counts == {"embedding": 2, "without embedding": 1}
    assert moved.problems == {}


def test_bytes_stay_bytes_of_their_length() -> None:
    moved = move([{"embedding": [30, 40]}], [field(data_type="byte")], WAY)
    # 50 * (2, 3) / sqrt(13) = (27.7, 41.6)
    assert moved.texts == ['{"embedding":[28,42]}']


def test_several_fields_and_nested_ones_are_moved_together() -> None:
    source = {"a": [1, 0], "chunks": [{"v": [0, 1], "t": "x"}, {"v": [1, 0], "t": "y"}, {"t": "z"}]}
    moved = move([source], [field("a"), field("chunks.v", nested="chunks")], WAY)
    assert json.loads(moved.texts[0] or "") == {
        "a": [0, 1],
        "chunks": [{"v": [1, 0], "t": "x"}, {"v": [0, 1], "t": "y"}, {"t": "z"}],
    }
    assert moved.counts == {"a": 1, "chunks.v": 2, "without a": 0, "without chunks.v": 0}


def test_documents_that_cannot_be_moved_are_named_and_the_others_are_moved() -> None:
    sources = [{"embedding": [1, 2, 3]}, {"embedding": [1, 0]}, {"embedding": [1, 0], "n": float("inf")}]
    moved = move(sources, [field()], WAY)
    assert moved.texts == [None, '{"embedding":[0,1]}', None]
    assert moved.problems == {
        0: "the vector in 'embedding' has 3 numbers",
        2: "holds a number outside of the range of a double",
    }


class Lengths:
    """Embeds a text as its number of characters and of words."""

    def encode_documents(self, texts: Any) -> Any:
        return np.array([[len(text), len(text.split())] for text in texts], dtype=np.float32)


def test_texts_are_embedded_with_their_title_where_one_is_named() -> None:
    way = ModelWay(Lengths(), "content", "title")
    moved = move([{"embedding": [1, 2], "content": "ab c", "title": "T"}, {"content": "no vector"}], [field()], way)
    assert json.loads(moved.texts[0] or "")["embedding"] == [6, 3]
    assert moved.texts[1] == '{"content":"no vector"}'


def test_a_chunk_is_embedded_by_its_own_text() -> None:
    way = ModelWay(Lengths(), "chunks.content")
    source = {"content": "whole", "chunks": [{"v": [1, 1], "content": "a"}, {"v": [1, 1], "content": "b b"}]}
    moved = move([source], [field("chunks.v", nested="chunks")], way)
    assert [one["v"] for one in json.loads(moved.texts[0] or "")["chunks"]] == [[1, 1], [3, 2]]


def test_a_vector_without_a_text_is_a_problem_since_it_would_stay_the_old_models() -> None:
    moved = move([{"embedding": [1, 2], "content": " "}], [field()], ModelWay(Lengths(), "content"))
    assert moved.problems == {0: "no text in 'content' to embed"}


def test_fields_that_sources_leave_out_get_a_vector_for_every_text() -> None:
    moved = move([{"content": "a"}, {"n": 1}], [field()], ModelWay(Lengths(), "content"), hidden=["embedding"])
    assert moved.texts == ['{"content":"a","embedding":[1,1]}', '{"n":1}']


def test_sources_without_vectors_are_compared() -> None:
    source = {"a": {"v": [1, 2], "w": 1}, "v": [3], "c": [{"v": [1]}, {"x": 2}]}
    assert without_vectors(source, ["a.v", "v", "c.v"]) == {"a": {"w": 1}, "c": [{}, {"x": 2}]}
