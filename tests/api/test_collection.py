"""The model that embeds what lacks vectors is that of the vectors there are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import WORDS, write_tiny_model

from haystack_crossalign.api.collection import audit_collection
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.read import read_collection
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.encoder import Encoder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(str(write_tiny_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(str(write_tiny_model(tmp_path_factory.mktemp("other"), seed=1)))


@pytest.fixture
def collection(tmp_path: Path) -> JudgedCollection:
    documents = [
        {"id": f"{tag}{group}", "parallel_id": str(group), "language": tag,
         "content": f"{WORDS[group]} {WORDS[group + 9]} {WORDS[30 * place + group]}"}
        for group in range(20) for place, tag in enumerate(("en", "zh"))
    ]  # fmt: skip
    queries = [
        {"id": f"q{group}", "text": f"{WORDS[group]} {WORDS[group + 9]}", "language": "en", "parallel_id": str(group)}
        for group in range(20)
    ]
    for name, rows in (("d", documents), ("q", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return read_collection(tmp_path / "d.jsonl", tmp_path / "q.jsonl")


def with_vectors(collection: JudgedCollection, part: str, encoder: Encoder) -> JudgedCollection:
    """The collection with vectors of its documents, or of its queries."""
    if part == "documents":
        vectors = encoder.encode_documents(collection.documents.texts)
        return replace(collection, documents=replace(collection.documents, vectors=vectors))
    return replace(
        collection, queries=replace(collection.queries, vectors=encoder.encode_queries(collection.queries.texts))
    )


@pytest.mark.parametrize("part", ["documents", "queries"])
def test_another_model_than_that_of_the_vectors_is_refused(
    collection: JudgedCollection, model: Encoder, other: Encoder, part: str
) -> None:
    given = with_vectors(collection, part, model)
    alone = audit_collection(collection, model).rows
    assert [row["measures"] for row in audit_collection(given, model).rows] == [row["measures"] for row in alone]
    with pytest.raises(InputError, match=rf"--model: does not seem .*: 16 {part} embedded again"):
        audit_collection(given, other)
    accepted = audit_collection(given, other, accept_model=True)
    assert accepted.provenance["options"]["accept_model"] is True
    assert "accept_model" not in audit_collection(given, model).provenance["options"]


@pytest.mark.parametrize(("cosine", "accepted"), [(0.95, False), (0.989, False), (0.991, True)])
def test_the_median_cosine_decides(collection: JudgedCollection, model: Encoder, cosine: float, accepted: bool) -> None:
    vectors = model.encode_documents(collection.documents.texts).astype(np.float64)
    beside = np.random.default_rng(0).normal(size=vectors.shape)
    beside -= (beside * vectors).sum(axis=1, keepdims=True) * vectors
    beside /= np.linalg.norm(beside, axis=1, keepdims=True)
    # Each at this cosine from the model's own, whichever are drawn; lengths do not matter.
    moved = 3 * (cosine * vectors + np.sqrt(1 - cosine**2) * beside)
    given = replace(collection, documents=replace(collection.documents, vectors=moved.astype(np.float32)))
    if accepted:
        assert audit_collection(given, model).rows
        return
    with pytest.raises(InputError, match="does not seem to be the model of the vectors") as refused:
        audit_collection(given, model)
    assert refused.value.seen == cosine


def test_the_dimension_is_compared_first(collection: JudgedCollection, model: Encoder) -> None:
    vectors = np.eye(len(collection.documents), 24, dtype=np.float32) + 0.1
    given = replace(collection, documents=replace(collection.documents, vectors=vectors))
    with pytest.raises(InputError, match="makes vectors of 16 dimensions, those of the documents have 24"):
        audit_collection(given, model)


def test_texts_of_the_sample_do_not_count_as_cut(collection: JudgedCollection, model: Encoder) -> None:
    texts = tuple(f"{text} " * 40 for text in collection.documents.texts)
    long = replace(collection, documents=replace(collection.documents, texts=texts))
    assert audit_collection(long, model).provenance["model"]["cut_texts"]["documents"] == len(texts)
    given = with_vectors(long, "documents", model)
    assert audit_collection(given, model).provenance["model"]["cut_texts"]["documents"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenarios": "multi"}, "field 'scenarios': is a text and not a list; seen: 'multi'; allowed: a list"),
        ({"languages": "zh"}, "field 'languages': is a text and not a list; seen: 'zh'"),
        ({"measures": "MRR"}, "field 'measures': is a text and not a list; seen: 'MRR'"),
        ({"measures": []}, "field 'measures': no measure; allowed: names of measures, or None"),
        ({"measures": [10]}, "field 'measures': is not a measure; seen: 10"),
        ({"samples": -1}, "field 'samples': is too small; seen: -1; allowed: 0 or more"),
        ({"seed": -1}, "field 'seed': is too small; seen: -1; allowed: 0 or more"),
    ],
)
def test_wrong_arguments_are_named(
    collection: JudgedCollection, model: Encoder, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        audit_collection(collection, model, **changes)
