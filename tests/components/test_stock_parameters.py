"""The embedders as drop-ins: every parameter of the stock ones is taken with its meaning, or refused in one line."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from haystack import Document, Pipeline
from haystack.utils import ComponentDevice
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)
from tiny_models import write_tiny_model

from haystack_crossalign.components import CrossAlignDocumentEmbedder, CrossAlignTextEmbedder
from haystack_crossalign.errors import InputError

PAIRS = (
    (CrossAlignTextEmbedder, SentenceTransformersTextEmbedder),
    (CrossAlignDocumentEmbedder, SentenceTransformersDocumentEmbedder),
)
TEXTS = ("w1 w2 w3", "w4 w5", "w6 w7 w8 w9 w10 w11", "w12")
CPU = ComponentDevice.from_str("cpu")
REFUSED: dict[str, tuple[Any, str]] = {
    "precision": ("int8", "float32 here; a vector field of the index can store bytes"),
    "quantization_ranges": ([[0.0], [1.0]], "a vector field of the index can store bytes"),
    "backend": ("onnx", "torch, openvino, or the stock"),
    "model_kwargs": ({"torch_dtype": "bfloat16"}, "compute_precision and device"),
    "tokenizer_kwargs": ({"model_max_length": 64}, "max_tokens for model_max_length"),
    "config_kwargs": ({"hidden_act": "relu"}, "a model folder whose config.json says so"),
    "encode_kwargs": ({"prompt_name": "query"}, "prefix for a prompt"),
}
TAKEN: dict[str, Any] = {
    "model": "some/model",
    "device": CPU,
    "token": None,
    "prefix": "query: ",
    "suffix": "!",
    "batch_size": 2,
    "progress_bar": False,
    "normalize_embeddings": True,
    "trust_remote_code": True,
    "local_files_only": True,
    "truncate_dim": 4,
    "revision": "main",
    "meta_fields_to_embed": ["title"],
    "embedding_separator": " | ",
}


@pytest.fixture(scope="module", params=[True, False], ids=["model with Normalize", "model without"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("stock"), normalize=request.param))


def vectors(embedder: Any) -> Any:
    """What an embedder makes of the texts."""
    if "text" in embedder.__haystack_input__._sockets_dict:
        return np.array([embedder.run(text)["embedding"] for text in TEXTS])
    return np.array(
        [document.embedding for document in embedder.run([Document(content=t) for t in TEXTS])["documents"]]
    )


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_every_parameter_of_the_installed_stock_embedder_is_known_here(ours: Any, stock: Any) -> None:
    names = set(inspect.signature(stock.__init__).parameters) - {"self"}
    # A parameter that a new version of the stock embedder brings must be taken or refused: add it to one of the two.
    assert names <= REFUSED.keys() | TAKEN.keys()
    assert names <= set(inspect.signature(ours.__init__).parameters)


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_what_is_not_supported_is_refused_in_one_line_and_its_default_is_taken(ours: Any, stock: Any) -> None:
    defaults = {name: entry.default for name, entry in inspect.signature(stock.__init__).parameters.items()}
    for name, (value, instead) in REFUSED.items():
        with pytest.raises(InputError) as refusal:
            ours(**{name: value})
        message = str(refusal.value)
        assert message.startswith(f"{ours.__name__}, field '{name}': ")
        assert instead in message
        assert "\n" not in message
        ours(**{name: defaults[name]})
    for computed in ("auto", "bf16", "fp32"):
        with pytest.raises(InputError, match=f"allowed: compute_precision={computed}"):
            ours(precision=computed)


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_what_is_taken_is_stored_and_survives_the_dictionary(ours: Any, stock: Any) -> None:
    for name in (set(inspect.signature(stock.__init__).parameters) & TAKEN.keys()) - {"self"}:
        made = ours.from_dict(ours(**{name: TAKEN[name]}).to_dict())
        assert getattr(made, name) == TAKEN[name]


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"normalize_embeddings": True},
        {"prefix": "w20 ", "suffix": " w21", "batch_size": 1},
        {"truncate_dim": 6, "normalize_embeddings": True},
    ],
    ids=["defaults", "normalized", "prefix and suffix", "truncated"],
)
def test_a_stored_stock_embedder_loads_and_gives_the_same_vectors(
    ours: Any, stock: Any, changed: dict[str, Any], tiny: str
) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", stock(model=tiny, device=CPU, progress_bar=False, **changed))
    stored = yaml.safe_load(pipeline.dumps())
    stored["components"]["embedder"]["type"] = f"{ours.__module__}.{ours.__qualname__}"
    loaded = Pipeline.loads(yaml.safe_dump(stored)).get_component("embedder")
    assert isinstance(loaded, ours)
    loaded.compute_precision = "fp32"
    np.testing.assert_allclose(vectors(loaded), vectors(pipeline.get_component("embedder")), atol=1e-5)


def test_truncated_vectors_of_a_normalizing_model_keep_unit_length(tmp_path: Path) -> None:
    model = str(write_tiny_model(tmp_path))
    whole = vectors(CrossAlignDocumentEmbedder(model=model, device=CPU, compute_precision="fp32", progress_bar=False))
    cut = vectors(
        CrossAlignDocumentEmbedder(
            model=model, device=CPU, compute_precision="fp32", progress_bar=False, truncate_dim=5
        )
    )
    expected = whole[:, :5] / np.linalg.norm(whole[:, :5], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, expected, atol=1e-6)
    with pytest.raises(InputError, match="'truncate_dim': more than the model has; seen: 17; allowed: 1 to 16"):
        CrossAlignTextEmbedder(model=model, device=CPU, truncate_dim=17).warm_up()


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_a_pipeline_stored_before_the_parameter_was_renamed_loads(ours: Any, stock: Any) -> None:  # noqa: ARG001
    data = ours(compute_precision="bf16").to_dict()
    parameters = data["init_parameters"]
    parameters["precision"] = parameters.pop("compute_precision")
    assert ours.from_dict(data).compute_precision == "bf16"
