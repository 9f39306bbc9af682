"""Embedders from a pipeline in YAML: what a failure says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tiny_models import write_tiny_model

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.pipelines.embedder import PipelineEmbedder

OPENAI = "haystack.components.embedders.openai"
KEY = {"type": "env_var", "env_vars": ["TEST_EMBEDDER_KEY"], "strict": True}


def write(path: Path, **more: object) -> Path:
    options = {"api_key": KEY, "api_base_url": "http://127.0.0.1:9/v1", "max_retries": 0, **more}
    components = {
        "text": {"type": f"{OPENAI}_text_embedder.OpenAITextEmbedder", "init_parameters": options},
        "documents": {"type": f"{OPENAI}_document_embedder.OpenAIDocumentEmbedder", "init_parameters": options},
    }
    path.write_text(yaml.safe_dump({"components": components, "connections": []}), encoding="utf-8")
    return path


def test_a_failing_embedder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_EMBEDDER_KEY", "hunter2")
    embedder = PipelineEmbedder.from_yaml(write(tmp_path / "embedder.yaml"))
    with pytest.raises(ExternalError, match=r"the embedder 'text' of embedder.yaml failed") as caught:
        embedder.encode_queries(["river"])
    assert "hunter2" not in str(caught.value)


def test_what_the_loader_refuses_is_told_without_the_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_EMBEDDER_KEY", "hunter2")
    path = write(tmp_path / "embedder.yaml", no_such_option="hunter2")
    with pytest.raises(InputError, match=r"Couldn't deserialize component 'documents'.*no_such_option") as caught:
        PipelineEmbedder.from_yaml(path)
    assert "hunter2" not in str(caught.value)


STORE = {
    "in memory": ("haystack.document_stores.in_memory.document_store.InMemoryDocumentStore", {}),
    "OpenSearch": (
        "haystack_integrations.document_stores.opensearch.document_store.OpenSearchDocumentStore",
        {"hosts": "http://127.0.0.1:9", "create_index": False, "embedding_dim": 4},
    ),
}


@pytest.mark.parametrize(
    ("kind", "options", "similarity"),
    [
        ("in memory", {}, "dot"),  # Haystack's default
        ("in memory", {"embedding_similarity_function": "cosine"}, "cosine"),
        ("OpenSearch", {"method": {"name": "hnsw", "engine": "faiss", "space_type": "l2"}}, "euclidean"),
        ("OpenSearch", {"method": {"name": "hnsw", "engine": "faiss", "space_type": "innerproduct"}}, "dot"),
        ("OpenSearch", {}, None),
    ],
)
def test_the_document_store_of_the_file_says_what_is_ranked_by(
    kind: str, options: dict[str, object], similarity: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_EMBEDDER_KEY", "hunter2")
    path = write(tmp_path / "embedder.yaml")
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    store, given = STORE[kind]
    retriever = {
        "in memory": "haystack.components.retrievers.in_memory.embedding_retriever.InMemoryEmbeddingRetriever",
        "OpenSearch": "haystack_integrations.components.retrievers.opensearch.embedding_retriever."
        "OpenSearchEmbeddingRetriever",
    }[kind]
    data["components"]["retriever"] = {
        "type": retriever,
        "init_parameters": {"document_store": {"type": store, "init_parameters": {**given, **options}}},
    }
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    described = PipelineEmbedder.from_yaml(path).provenance()
    assert described.get("similarity") == similarity
    assert described.get("similarity_from") == (None if similarity is None else "store")


def test_the_model_of_an_embedder_says_what_is_ranked_by(tmp_path: Path) -> None:
    model = str(write_tiny_model(tmp_path, normalize=False, similarity="euclidean"))
    for module, names in (
        (
            "haystack_crossalign.components",
            ("text_embedder.CrossAlignTextEmbedder", "document_embedder.CrossAlignDocumentEmbedder"),
        ),
        (
            "haystack_integrations.components.embedders.sentence_transformers",
            (
                "sentence_transformers_text_embedder.SentenceTransformersTextEmbedder",
                "sentence_transformers_document_embedder.SentenceTransformersDocumentEmbedder",
            ),
        ),
    ):
        parts = {
            name: {"type": f"{module}.{kind}", "init_parameters": {"model": model}}
            for name, kind in zip(("text", "documents"), names, strict=True)
        }
        path = tmp_path / "embedder.yaml"
        path.write_text(yaml.safe_dump({"components": parts, "connections": []}), encoding="utf-8")
        embedder = PipelineEmbedder.from_yaml(path)
        embedder.encode_documents(["w1 w2"])
        assert embedder.provenance()["similarity"] == "euclidean"
