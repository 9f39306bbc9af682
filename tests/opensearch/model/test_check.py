"""The model of an index: what `_meta` says, and what documents embedded again tell, with a real model and server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.identity import compare_models, describe_model
from haystack_crossalign.models.prompts import Prompts
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.check import ModelCheck, check_index_model, read_index_model
from haystack_crossalign.opensearch.model.probe import sample_texts

INDEX = "model-owner"
TEXTS = {
    "en": [
        "Women aged 19 to 70 need 46 grams of protein a day.",
        "The bridge over the river was opened in 1894 after four years of work.",
        "Tickets can be returned until two days before the concert.",
    ],
    "de": [
        "Frauen zwischen 19 und 70 Jahren brauchen 46 Gramm Eiweiß am Tag.",
        "Die Brücke über den Fluss wurde 1894 nach vier Jahren Bauzeit eröffnet.",
        "Karten können bis zwei Tage vor dem Konzert zurückgegeben werden.",
    ],
    "zh": ["十九至七十岁的女性每天需要四十六克蛋白质。", "门票可在音乐会开始前两天退还。"],
}
CONTENTS = [(language, text) for language, texts in TEXTS.items() for text in texts]


@pytest.fixture(scope="module")
def encoder(offline_model: str) -> Encoder:
    return Encoder(offline_model, device="cpu")


@pytest.fixture(scope="module")
def client(opensearch: Any) -> ReadOnlyClient:
    return ReadOnlyClient(opensearch.url)


@pytest.fixture(scope="module")
def build(opensearch: Any, indexing: Any, encoder: Encoder, client: ReadOnlyClient) -> Callable[..., IndexView]:
    """Makes an index of `CONTENTS` whose vectors come from one way of embedding, and opens it."""

    def make(
        vectors: NDArray[np.float32] | None = None,
        *,
        name: str = INDEX,
        space: str = "cosinesimil",
        data_type: str = "float",
        **mapping: Any,
    ) -> IndexView:
        if vectors is None:
            vectors = encoder.encode_documents([text for _, text in CONTENTS])
        documents = {
            f"d{n}": {"content": text, "language": language, "embedding": vector.tolist()}
            for n, ((language, text), vector) in enumerate(zip(CONTENTS, vectors, strict=True))
        }
        made = indexing.mapping(vectors.shape[1], space, data_type) | mapping
        indexing.create(opensearch, name, documents, made)
        return IndexView(client, name, read_fields(client, name, vector="embedding", language="language"))

    return make


def embedded(encoder: Encoder, prompt: str) -> NDArray[np.float32]:
    other = encoder.with_prompts(Prompts("query: ", prompt, "option"))
    return other.encode_documents([text for _, text in CONTENTS])


def meta(encoder: Encoder, **changes: Any) -> dict[str, Any]:
    return {"_meta": {"owner": "somebody", "crossalign": {"model": describe_model(encoder) | changes}}}


def check(view: IndexView, encoder: Any, **options: Any) -> ModelCheck:
    return check_index_model(view.client, view, encoder, target=view.fields.indices[0], seed=0, **options)


def test_the_description_holds_what_changes_vectors(encoder: Encoder) -> None:
    provenance = encoder.provenance()
    assert describe_model(encoder) == {
        "name": "offline:multilingual-e5-small",
        "sha256": provenance["sha256"],
        "dimension": 384,
        "prompts": {"query": "query: ", "document": "passage: "},
        "normalized": True,
        "precision": provenance["precision"],
    }
    assert describe_model({"name": "e.yaml", "sha256": "of the file", "text_embedder": "x", "dimension": None}) == {
        "name": "e.yaml"
    }


def test_an_index_that_names_this_model_is_well_under_any_name_of_it(
    build: Callable[..., IndexView], encoder: Encoder
) -> None:
    view = build(**meta(encoder, name="our-e5", precision="fp32"))
    assert read_index_model(view.client, INDEX) == describe_model(encoder) | {"name": "our-e5", "precision": "fp32"}
    assert check(view, encoder) == ModelCheck(True, basis="mapping")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sha256": "0" * 64, "name": "other"}, "made with 'other' (000000000000), the model in use is 'offline:"),
        ({"prompts": {"query": "query: ", "document": ""}}, "document prompt of the index is '', that in use 'passage"),
        ({"prompts": {"query": "", "document": "passage: "}}, "the query prompt of the index is '', that in use 'que"),
        ({"normalized": False}, "the vectors of the index have the model's own lengths, those in use unit length"),
    ],
)
def test_an_index_that_names_another_model_is_refused(
    build: Callable[..., IndexView], encoder: Encoder, changes: dict[str, Any], told: str
) -> None:
    result = check(build(**meta(encoder, **changes)), encoder)
    assert (result.ok, result.basis, result.cosines) == (False, "mapping", {})
    assert told in result.findings[0]
    with pytest.raises(InputError) as caught:
        result.require()
    assert told in str(caught.value)


def test_a_name_alone_is_no_proof_so_that_documents_are_embedded_anew(
    build: Callable[..., IndexView], encoder: Encoder
) -> None:
    described = describe_model(encoder)
    alone = {"_meta": {"crossalign": {"model": {"name": described["name"], "dimension": 384}}}}
    result = check(build(**alone), encoder)
    assert (result.ok, result.findings, result.basis) == (True, (), "probe")


def test_vectors_of_this_model_fit_without_any_description(build: Callable[..., IndexView], encoder: Encoder) -> None:
    view = build()
    assert read_index_model(view.client, INDEX) is None
    result = check(view, encoder, sample=6)
    assert (result.ok, result.findings, result.basis) == (True, (), "probe")
    (cosines,) = result.cosines.values()
    assert len(cosines) == 6
    assert min(cosines) > 0.9995


def test_another_dimension_is_found_before_anything_is_embedded(build: Callable[..., IndexView]) -> None:
    class Silent:
        def provenance(self) -> dict[str, Any]:
            return {"name": "wide", "dimension": 768}

    result = check(build(), Silent())
    assert not result.ok
    assert result.findings[0].startswith("the vectors in 'embedding' have 384 dimensions, those of 'wide' 768: ")


def test_another_model_is_found(build: Callable[..., IndexView], encoder: Encoder) -> None:
    foreign = np.random.default_rng(3).normal(size=(len(CONTENTS), 384)).astype(np.float32)
    result = check(build(foreign / np.linalg.norm(foreign, axis=1, keepdims=True)), encoder)
    assert not result.ok
    assert "another model made them" in result.findings[0]
    assert max(max(cosines) for cosines in result.cosines.values()) < 0.3


def test_a_relative_of_the_model_is_told_from_a_stranger(build: Callable[..., IndexView], encoder: Encoder) -> None:
    vectors = encoder.encode_documents([text for _, text in CONTENTS])
    noise = np.random.default_rng(5).normal(scale=0.2 / np.sqrt(384), size=vectors.shape).astype(np.float32)
    result = check(build(vectors + noise), encoder)
    assert not result.ok
    assert "a like model made them" in result.findings[0]


@pytest.mark.parametrize(
    ("prompt", "told"), [("", "embedded without a prompt"), ("query: ", "embedded with the query prompt 'query: '")]
)
def test_a_wrong_or_missing_prompt_is_found(
    build: Callable[..., IndexView], encoder: Encoder, prompt: str, told: str
) -> None:
    result = check(build(embedded(encoder, prompt)), encoder)
    assert not result.ok
    assert told in result.findings[0]
    assert "is used with its prompt 'passage: '" in result.findings[0]


def test_a_model_used_without_the_prompt_of_its_index_is_found(
    build: Callable[..., IndexView], encoder: Encoder
) -> None:
    bare = encoder.with_prompts(Prompts("", "", "none"))
    result = check(build(), bare)
    assert not result.ok
    assert "embedded with the prompt 'passage: ', but" in result.findings[0]
    assert "is used without a prompt" in result.findings[0]


@pytest.mark.parametrize(("space", "matters"), [("innerproduct", True), ("l2", True), ("cosinesimil", False)])
def test_other_lengths_are_found_where_they_count(
    build: Callable[..., IndexView], encoder: Encoder, space: str, matters: bool
) -> None:
    result = check(build(embedded(encoder, "passage: ") * 7, space=space), encoder)
    assert result.ok is not matters
    assert any("have a length of 7 (median)" in finding for finding in result.findings) is matters


@pytest.mark.parametrize("space", ["innerproduct", "l2"])
def test_equal_lengths_are_well_in_spaces_where_they_count(
    build: Callable[..., IndexView], encoder: Encoder, space: str
) -> None:
    result = check(build(space=space), encoder)
    assert (result.ok, result.findings) == (True, ())


def test_vectors_rounded_to_bytes_fit(build: Callable[..., IndexView], encoder: Encoder) -> None:
    vectors = embedded(encoder, "passage: ")
    scaled = np.rint(vectors * 127 / np.abs(vectors).max(axis=1, keepdims=True))
    result = check(build(scaled.astype(np.float32), space="innerproduct", data_type="byte"), encoder)
    assert (result.ok, result.findings) == (True, ())


def test_vectors_that_are_not_in_the_stored_source_are_compared_all_the_same(
    build: Callable[..., IndexView], encoder: Encoder
) -> None:
    view = build(_source={"excludes": ["embedding"]})
    result = check(view, encoder)
    assert (result.ok, result.basis) == (True, "probe")


def test_without_stored_texts_nothing_is_claimed(build: Callable[..., IndexView], encoder: Encoder) -> None:
    result = check(build(_source={"excludes": ["content"]}), encoder)
    assert (result.ok, result.basis) == (True, "none")
    assert "could not be checked: no document has a text in 'content'" in result.findings[0]


def test_titles_in_front_of_the_text_are_recognized(opensearch: Any, indexing: Any, encoder: Encoder) -> None:
    titles = ["Nutrition", "The old bridge of the town", "Refunds", "Ernährung", "Brücke", "Erstattung", "营养", "退票"]
    texts = [f"{title}\n{text}" for title, (_, text) in zip(titles, CONTENTS, strict=True)]
    documents = {
        f"d{n}": {"content": text, "title": title, "language": language, "embedding": vector.tolist()}
        for n, ((language, text), title, vector) in enumerate(
            zip(CONTENTS, titles, encoder.encode_documents(texts), strict=True)
        )
    }
    indexing.create(opensearch, "model-owner-title", documents, indexing.mapping(384))
    client = ReadOnlyClient(opensearch.url)
    fields = read_fields(client, "model-owner-title", vector="embedding", language="language")
    view = IndexView(client, "model-owner-title", fields)
    assert not check(view, encoder).ok
    titled = check(view, encoder, title_field="title")
    assert titled.ok
    assert "fit only with the title in front" in titled.findings[0]


def test_a_few_documents_that_were_changed_later_are_named(build: Callable[..., IndexView], encoder: Encoder) -> None:
    vectors = embedded(encoder, "passage: ")
    vectors[1] = vectors[-1]
    result = check(build(vectors), encoder)
    assert result.ok
    assert "1 of 8 documents do not fit although most do: 'd1' (" in result.findings[0]


def test_the_sample_is_spread_over_the_languages_and_repeats_with_its_seed(build: Callable[..., IndexView]) -> None:
    view = build()
    drawn = sample_texts(view, count=6, seed=1, content_field="content")
    assert drawn == sample_texts(view, count=6, seed=1, content_field="content")
    languages = {text: language for language, text in CONTENTS}
    assert sorted(languages[one.text] for one in drawn) == ["de", "de", "en", "en", "zh", "zh"]


def test_indices_behind_one_alias_must_agree(
    opensearch: Any, build: Callable[..., IndexView], encoder: Encoder, client: ReadOnlyClient
) -> None:
    build(name="model-owner-a", **meta(encoder))
    build(name="model-owner-b", **meta(encoder, sha256="1" * 64, name="second"))
    opensearch.request(
        "POST",
        "/_aliases",
        {"actions": [{"add": {"indices": ["model-owner-a", "model-owner-b"], "alias": "model-owner-both"}}]},
    )
    with pytest.raises(InputError, match="'model-owner-a' and 'model-owner-b' were made with different models"):
        read_index_model(client, "model-owner-both")


def test_something_else_under_our_key_is_no_description(
    build: Callable[..., IndexView], client: ReadOnlyClient
) -> None:
    build(_meta={"crossalign": {"model": "e5"}})
    with pytest.raises(InputError, match="describes no model; seen: 'e5'"):
        read_index_model(client, INDEX)


def test_unknown_sides_are_no_difference() -> None:
    assert compare_models({"name": "a"}, {"name": "b", "dimension": 3, "sha256": "1", "normalized": True}) == (
        (),
        False,
    )
    assert compare_models({"name": "a", "revision": "1"}, {"name": "b", "revision": "1"}) == ((), True)
