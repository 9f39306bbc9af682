"""Embedders from a pipeline in YAML: what a failure says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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
