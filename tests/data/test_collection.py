"""The arrays that an audit computes on."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries


def make_documents() -> Documents:
    return Documents(
        ids=("d3", "d1", "d2", "d4", "d5"),
        languages=("en", "zh", "en", "en", "zh"),
        groups=("a", "a", "a", "b", "b"),
        texts=("one", "一", "two", "three", "三"),
        vectors=np.arange(10, dtype=np.float32).reshape(5, 2) + 1,
    )


def make_collection() -> JudgedCollection:
    return JudgedCollection(
        name="small",
        documents=make_documents(),
        queries=Queries(ids=("q1", "q2", "q3"), languages=("en", "zh", "zh"), texts=("x", "y", "z")),
        relevant=((0, 1), (3,), (1, 2)),
    )


def test_documents_of_one_group_and_language_are_chunks_of_one_version() -> None:
    versions = make_documents().versions()
    assert versions.of_document.tolist() == [0, 1, 0, 2, 3]
    assert versions.of_document.dtype == np.int32
    assert list(zip(versions.groups, versions.languages, strict=True)) == [
        ("a", "en"),
        ("a", "zh"),
        ("b", "en"),
        ("b", "zh"),
    ]
    assert len(versions) == 4
    assert not versions.whole


def test_undetermined_documents_of_one_group_are_not_taken_for_chunks() -> None:
    documents = Documents(ids=("a", "b", "c"), languages=("und", "und", "en"), groups=("g",) * 3, texts=("x", "y", "z"))
    assert documents.versions().of_document.tolist() == [0, 1, 2]


def test_whole_documents_are_versions_of_their_own() -> None:
    documents = make_documents().select(np.array([0, 1, 3]))
    assert documents.versions().whole
    assert documents.versions().of_document.tolist() == [0, 1, 2]


def test_relevant_versions_are_padded_with_minus_one() -> None:
    collection = make_collection()
    table = collection.relevant_versions(collection.documents.versions())
    assert table.tolist() == [[0, 1], [2, -1], [0, 1]]
    assert table.dtype == np.int32


def test_languages_become_codes() -> None:
    documents = make_documents()
    assert documents.language_codes(("zh", "en")).tolist() == [1, 0, 1, 1, 0]
    assert documents.language_codes(("zh",)).tolist() == [-1, 0, -1, -1, 0]
    assert documents.in_languages(["zh"]).tolist() == [1, 4]
    assert make_collection().document_languages == ("en", "zh")
    assert make_collection().query_languages == ("en", "zh")


def test_restricting_the_pool_moves_judgments_and_drops_queries_without_any() -> None:
    part = make_collection().restrict(document_languages=["zh"])
    assert part.documents.ids == ("d1", "d5")
    assert part.queries.ids == ("q1", "q3")
    assert part.relevant == ((0,), (0,))
    assert part.documents.vectors is not None
    assert part.documents.vectors.tolist() == [[3, 4], [9, 10]]


def test_restricting_the_queries_keeps_the_pool() -> None:
    part = make_collection().restrict(query_languages=["zh"])
    assert len(part.documents) == 5
    assert part.queries.ids == ("q2", "q3")
    assert part.relevant == ((3,), (1, 2))


def test_the_order_of_ties_is_that_of_the_ids_hashes() -> None:
    ids = tuple(f"{tag}:{number}" for number in range(20) for tag in ("en", "zh"))
    documents = Documents(ids=ids, languages=("en", "zh") * 20, groups=ids, texts=("text",) * 40)
    hashes = sorted(hashlib.blake2b(one.encode(), digest_size=16, key=b"crossalign.ties/1").digest() for one in ids)
    assert documents.tie_order().tolist() == [
        hashes.index(hashlib.blake2b(one.encode(), digest_size=16, key=b"crossalign.ties/1").digest()) for one in ids
    ]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="texts has 0 entries for 1 ids"):
        Documents(ids=("d",), languages=("en",), groups=("d",), texts=())


def test_vectors_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors must be float32 \[1, dim\], not float64 \[1, 2\]"):
        Queries(ids=("q",), languages=("en",), texts=("x",), vectors=np.zeros((1, 2)))  # type: ignore[arg-type]
