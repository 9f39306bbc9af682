from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.core.component.types import InputSocket
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import ComponentDevice, Secret
from requirements import require

from haystack_crossalign.components import CrossAlignDocumentEmbedder, CrossAlignTextEmbedder
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.encoder import Encoder

CONTENTS = (
    "Women aged 19 to 70 need 46 grams of protein a day.",
    "Die Brücke über den Fluss wurde 1894 eröffnet.",
    "十九至七十岁的女性每天需要四十六克蛋白质。",
)


@pytest.fixture(scope="module")
def options(offline_model: str) -> dict[str, Any]:
    return {"model": offline_model, "device": ComponentDevice.from_str("cpu"), "compute_precision": "fp32"}


@pytest.fixture(scope="module")
def text_embedder(options: dict[str, Any]) -> CrossAlignTextEmbedder:
    return CrossAlignTextEmbedder(**options)


@pytest.fixture(scope="module")
def document_embedder(options: dict[str, Any]) -> CrossAlignDocumentEmbedder:
    return CrossAlignDocumentEmbedder(**options, progress_bar=False)


@pytest.fixture(scope="module")
def encoder(offline_model: str) -> Encoder:
    return Encoder(offline_model, device="cpu", precision="fp32")


@pytest.fixture
def documents() -> list[Document]:
    return [Document(content=text, meta={"title": f"Title {n}", "n": n}) for n, text in enumerate(CONTENTS)]


def sockets(component: Any) -> tuple[set[str], set[str]]:
    """Names of the inputs that must be connected and of the outputs."""
    inputs: dict[str, InputSocket] = component.__haystack_input__._sockets_dict
    return set(inputs), set(component.__haystack_output__._sockets_dict)


def test_the_sockets_are_those_of_the_stock_embedders(
    text_embedder: CrossAlignTextEmbedder, document_embedder: CrossAlignDocumentEmbedder
) -> None:
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersDocumentEmbedder,
        SentenceTransformersTextEmbedder,
    )

    assert sockets(text_embedder) == sockets(SentenceTransformersTextEmbedder())
    assert sockets(document_embedder) == sockets(SentenceTransformersDocumentEmbedder())


def test_a_query_gets_the_query_prompt(text_embedder: CrossAlignTextEmbedder, encoder: Encoder) -> None:
    embedding = text_embedder.run("protein per day")["embedding"]
    assert all(type(value) is float for value in embedding)
    np.testing.assert_array_equal(np.float32(embedding), encoder.encode_queries(["protein per day"])[0])


def test_documents_get_the_document_prompt_and_the_inputs_stay_as_they_were(
    document_embedder: CrossAlignDocumentEmbedder, encoder: Encoder, documents: list[Document]
) -> None:
    before = [document.to_dict() for document in documents]
    embedded = document_embedder.run(documents)["documents"]
    assert [document.to_dict() for document in documents] == before
    assert [document.id for document in embedded] == [document.id for document in documents]
    np.testing.assert_array_equal(
        np.float32([document.embedding for document in embedded]), encoder.encode_documents(CONTENTS)
    )


def test_meta_fields_prefix_and_suffix_go_around_the_content(
    options: dict[str, Any], documents: list[Document]
) -> None:
    embedder = CrossAlignDocumentEmbedder(
        **options,
        progress_bar=False,
        prefix="passage: ",
        suffix=" END",
        meta_fields_to_embed=["title", "absent", "n"],
        embedding_separator=" | ",
    )
    bare = Encoder(options["model"], device="cpu", precision="fp32", document_prefix="")
    expected = bare.encode_documents([f"passage: Title {n} | {n} | {text} END" for n, text in enumerate(CONTENTS)])
    embedded = embedder.run(documents)["documents"]
    np.testing.assert_allclose(np.float32([document.embedding for document in embedded]), expected, atol=1e-6)


def test_a_document_without_content_and_no_documents_work(document_embedder: CrossAlignDocumentEmbedder) -> None:
    assert document_embedder.run([]) == {"documents": []}
    (embedded,) = document_embedder.run([Document(content=None, meta={"a": 1})])["documents"]
    assert len(embedded.embedding) == 384


async def test_run_async_gives_what_run_gives_also_when_called_at_once(
    text_embedder: CrossAlignTextEmbedder, document_embedder: CrossAlignDocumentEmbedder, documents: list[Document]
) -> None:
    queries = [f"question {n}" for n in range(4)]
    answers = await asyncio.gather(*(text_embedder.run_async(query) for query in queries))
    assert answers == [text_embedder.run(query) for query in queries]
    embedded = await document_embedder.run_async(documents)
    assert embedded == document_embedder.run(documents)


def test_warm_up_loads_once(options: dict[str, Any]) -> None:
    embedder = CrossAlignTextEmbedder(**options)
    embedder.warm_up()
    loaded = embedder._encoder
    embedder.warm_up()
    assert loaded is not None
    assert embedder._encoder is loaded


def test_making_a_component_loads_nothing() -> None:
    embedder = CrossAlignTextEmbedder(model="offline:there-is-no-such-model")
    assert embedder._encoder is None


def test_wrong_types_name_the_other_component(
    text_embedder: CrossAlignTextEmbedder, document_embedder: CrossAlignDocumentEmbedder
) -> None:
    with pytest.raises(TypeError, match="CrossAlignDocumentEmbedder"):
        text_embedder.run([Document(content="a")])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="CrossAlignTextEmbedder"):
        document_embedder.run("a")  # type: ignore[arg-type]


def test_the_progress_bar_is_drawn_on_a_terminal_and_only_when_asked_for(
    options: dict[str, Any],
    documents: list[Document],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embedder = CrossAlignDocumentEmbedder(**options)
    embedder.warm_up()
    capsys.readouterr()
    embedder.run(documents)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    embedder.run(documents)
    assert "Embedding" in capsys.readouterr().err
    embedder.progress_bar = False
    embedder.run(documents)
    assert capsys.readouterr().err == ""


def test_a_prompt_is_chosen_by_its_name(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_folder, folder)
    names = {"s2s_query": "w3 ", "clustering": "w4 "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": names}), encoding="utf-8")
    common = {"device": ComponentDevice.from_str("cpu"), "compute_precision": "fp32"}
    by_name = CrossAlignTextEmbedder(model=str(folder), query_prompt="s2s_query", **common)
    by_text = CrossAlignTextEmbedder(model=str(folder), prefix="w3 ", **common)
    assert by_name.run("w1 w2") == by_text.run("w1 w2")
    documents = CrossAlignDocumentEmbedder(model=str(folder), document_prompt="clustering", **common)
    assert documents.provenance()["prompts"]["document"] == "w4 "
    with pytest.raises(InputError, match=r"no prompt of this name.*seen: 'other'; allowed: .*s2s_query, clustering"):
        CrossAlignTextEmbedder(model=str(folder), query_prompt="other", **common).warm_up()
    with pytest.raises(InputError, match="exclude each other"):
        CrossAlignDocumentEmbedder(model=str(folder), document_prompt="clustering", prefix="", **common).warm_up()


TOKEN = {"type": "env_var", "env_vars": ["HF_API_TOKEN", "HF_TOKEN"], "strict": False}


def test_the_text_embedder_as_a_dictionary() -> None:
    data = {
        "type": "haystack_crossalign.components.text_embedder.CrossAlignTextEmbedder",
        "init_parameters": {
            "model": "some/model",
            "device": {"type": "single", "device": "cpu"},
            "token": TOKEN,
            "prefix": "q: ",
            "suffix": "?",
            "batch_size": 8,
            "progress_bar": False,
            "compute_precision": "bf16",
            "backend": "openvino",
            "max_tokens": 128,
            "normalize_embeddings": True,
            "truncate_dim": 64,
            "trust_remote_code": False,
            "local_files_only": True,
            "revision": "main",
            "query_prompt": None,
        },
    }
    embedder = CrossAlignTextEmbedder(
        model="some/model",
        device=ComponentDevice.from_str("cpu"),
        prefix="q: ",
        suffix="?",
        batch_size=8,
        progress_bar=False,
        compute_precision="bf16",
        backend="openvino",
        max_tokens=128,
        normalize_embeddings=True,
        truncate_dim=64,
        local_files_only=True,
        revision="main",
    )
    assert embedder.to_dict() == data
    assert CrossAlignTextEmbedder.from_dict(data).to_dict() == embedder.to_dict()


def test_the_document_embedder_as_a_dictionary() -> None:
    data = {
        "type": "haystack_crossalign.components.document_embedder.CrossAlignDocumentEmbedder",
        "init_parameters": {
            "model": "intfloat/multilingual-e5-small",
            "device": None,
            "token": {"type": "env_var", "env_vars": ["MY_TOKEN"], "strict": True},
            "prefix": None,
            "suffix": "",
            "batch_size": None,
            "progress_bar": True,
            "meta_fields_to_embed": ["title"],
            "embedding_separator": "\n",
            "compute_precision": "auto",
            "backend": "torch",
            "max_tokens": None,
            "normalize_embeddings": None,
            "truncate_dim": None,
            "trust_remote_code": False,
            "local_files_only": False,
            "revision": None,
            "document_prompt": "passage",
        },
    }
    embedder = CrossAlignDocumentEmbedder(
        token=Secret.from_env_var("MY_TOKEN"), meta_fields_to_embed=["title"], document_prompt="passage"
    )
    assert embedder.to_dict() == data
    assert CrossAlignDocumentEmbedder.from_dict(data).to_dict() == data


def test_pipelines_survive_yaml_and_find_the_right_document(options: dict[str, Any], documents: list[Document]) -> None:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    indexing = Pipeline()
    indexing.add_component("embedder", CrossAlignDocumentEmbedder(**options, progress_bar=False))
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("embedder.documents", "writer.documents")
    indexing = Pipeline.loads(indexing.dumps())
    store = indexing.get_component("writer").document_store
    indexing.run({"embedder": {"documents": documents}})

    querying = Pipeline()
    querying.add_component("embedder", CrossAlignTextEmbedder(**options))
    querying = Pipeline.loads(querying.dumps())
    querying.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=3))
    querying.connect("embedder.embedding", "retriever.query_embedding")
    found = querying.run({"embedder": {"text": "When was the bridge opened?"}})["retriever"]["documents"]
    assert found[0].content == CONTENTS[1]
    assert len(found) == 3


def test_a_stored_pipeline_embeds_with_openvino(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("openvino")
    monkeypatch.setenv("CROSSALIGN_CACHE", str(tmp_path))
    common = {"model": str(tiny_model_folder), "compute_precision": "fp32", "progress_bar": False}
    stored = Pipeline()
    stored.add_component("query", CrossAlignTextEmbedder(backend="openvino", **common))
    stored.add_component("documents", CrossAlignDocumentEmbedder(backend="openvino", **common))
    loaded = Pipeline.loads(stored.dumps())
    documents = [Document(content="w1 w2 w3"), Document(content="w4")]
    seen = loaded.run({"query": {"text": "w5 w6"}, "documents": {"documents": documents}})
    assert loaded.get_component("documents").provenance()["backend"] == "openvino"
    assert loaded.get_component("query")._encoder.provenance()["backend"] == "openvino"
    device = ComponentDevice.from_str("cpu")
    query = CrossAlignTextEmbedder(device=device, **common).run("w5 w6")["embedding"]
    expected = CrossAlignDocumentEmbedder(device=device, **common).run(documents)["documents"]
    assert seen["query"]["embedding"] == pytest.approx(query, abs=1e-5)
    for document, other in zip(seen["documents"]["documents"], expected, strict=True):
        assert document.embedding == pytest.approx(other.embedding, abs=1e-5)
