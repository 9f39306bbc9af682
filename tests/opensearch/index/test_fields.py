"""What is read off real mappings, and which fields are refused."""

from __future__ import annotations

from typing import Any

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import VectorField, read_fields


@pytest.fixture(scope="module")
def client(opensearch: Any) -> Any:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    lucene = {"name": "hnsw", "engine": "lucene"}
    mapping = indexing.mapping(4, "innerproduct")
    mapping["properties"] |= {
        "plain": {"type": "knn_vector", "dimension": 4, "method": lucene},
        "top": {"type": "knn_vector", "dimension": 4, "space_type": "cosinesimil", "method": lucene},
        "bits": {"type": "knn_vector", "dimension": 8, "data_type": "binary", "space_type": "hamming"},
        "numbers": {"type": "float"},
        "year": {"type": "integer"},
        "hidden": {"type": "keyword", "doc_values": False},
        "tongue": {"type": "alias", "path": "language"},
        "parts": {
            "type": "nested",
            "properties": {
                "vector": mapping["properties"]["embedding"],
                "language": {"type": "keyword"},
            },
        },
        "object": {"properties": {"vector": mapping["properties"]["embedding"]}},
    }
    indexing.create(opensearch, "fields", {}, mapping)
    other = indexing.mapping(4, "l2")
    indexing.create(opensearch, "fields-other", {}, other)
    return "fields"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("embedding", VectorField("embedding", 4, "innerproduct", "float", None)),
        ("plain", VectorField("plain", 4, "l2", "float", None)),
        ("top", VectorField("top", 4, "cosinesimil", "float", None)),
        ("bits", VectorField("bits", 8, "hamming", "binary", None)),
        ("parts.vector", VectorField("parts.vector", 4, "innerproduct", "float", "parts")),
        ("object.vector", VectorField("object.vector", 4, "innerproduct", "float", None)),
    ],
)
def test_the_space_of_a_vector_field_is_its_own(
    client: ReadOnlyClient, index: str, name: str, expected: VectorField
) -> None:
    assert read_fields(client, index, vector=name).vector == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("numbers", "field 'numbers': cannot be scored exactly: it is not a vector field; seen: 'float'"),
        ("nowhere", "field 'nowhere': no such field in the mapping; allowed: bits, embedding, object.vector"),
    ],
)
def test_a_field_that_cannot_be_scored_exactly_is_refused_by_name(
    client: ReadOnlyClient, index: str, name: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_fields(client, index, vector=name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("content", "documents cannot be counted by it; use 'content.raw'; seen: 'text'"),
        ("year", "documents cannot be counted by it; seen: 'integer'"),
        ("hidden", "documents cannot be counted by it"),
        ("parts.language", "lies in a nested object"),
        ("nowhere", "no such field"),
    ],
)
def test_a_field_that_documents_cannot_be_counted_by_is_refused_by_name(
    client: ReadOnlyClient, index: str, name: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_fields(client, index, vector="embedding", language=name)
    assert f"field '{name}'" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["language", "content.raw", "tongue"])
def test_keyword_fields_sub_fields_and_field_aliases_are_taken(client: ReadOnlyClient, index: str, name: str) -> None:
    assert read_fields(client, index, vector="embedding", language=name).language == name


def test_indices_that_score_differently_are_refused(client: ReadOnlyClient, index: str) -> None:
    with pytest.raises(InputError, match="'fields' and 'fields-other' define it differently"):
        read_fields(client, f"{index},fields-other", vector="embedding")


def test_an_index_that_does_not_exist_is_an_input_error(client: ReadOnlyClient) -> None:
    with pytest.raises(InputError, match="no such index"):
        read_fields(client, "nowhere", vector="embedding")
