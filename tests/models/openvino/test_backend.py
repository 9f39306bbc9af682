from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import WORDS
from torch import Tensor, nn

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.openvino.conversion import converted
from haystack_crossalign.models.openvino.network import OpenVinoTransformer

TEXTS = tuple(" ".join(WORDS[start : start + length]) for start, length in enumerate((3, 1, 27, 8, 8, 2, 14, 5, 30, 1)))
MISSING = r"the backend openvino needs the package openvino: pip install 'haystack-crossalign\[openvino\]'"


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def pair(model: Path | str, **options: Any) -> tuple[Encoder, Encoder]:
    """The same model computed by torch and by OpenVINO."""
    torch_options = {"device": "cpu", "precision": "fp32", **options}
    return Encoder(str(model), **torch_options), Encoder(str(model), backend="openvino", **torch_options)


def stock_folder(root: Path, words: Path) -> Path:
    """A DistilBERT with a dense layer, which only sentence-transformers opens."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    torch.manual_seed(3)
    base = root / "base"
    config = DistilBertConfig(vocab_size=65, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=64)
    DistilBertModel(config).save_pretrained(base)
    AutoTokenizer.from_pretrained(words).save_pretrained(base)
    modules = [Transformer(str(base), max_seq_length=32), Pooling(16, "mean"), Dense(16, 8)]
    SentenceTransformer(modules=modules, device="cpu").save(str(root / "model"))
    return root / "model"


@pytest.mark.usefixtures("openvino", "cache")
def test_vectors_are_those_of_torch_in_order_and_alike_in_every_batch(tiny_model_folder: Path) -> None:
    ours, other = pair(tiny_model_folder, batch_tokens=64)
    vectors = other.encode_documents(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, ours.encode_documents(TEXTS), atol=1e-5)
    np.testing.assert_array_equal(other.encode_documents(TEXTS), vectors)
    np.testing.assert_allclose(other.encode_documents(TEXTS[::-1])[::-1], vectors, atol=1e-6)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(other.encode_documents([text])[0], vector, atol=1e-6)
    assert (ours.provenance()["backend"], other.provenance()["backend"]) == ("torch", "openvino")
    same = {key: value for key, value in ours.provenance().items() if key not in ("backend", "cut_texts")}
    assert {key: other.provenance()[key] for key in same} == same


@pytest.mark.usefixtures("openvino", "cache")
def test_a_model_that_sentence_transformers_opens_has_the_vectors_of_torch(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    ours, other = pair(stock_folder(tmp_path, tiny_model_folder))
    np.testing.assert_allclose(other.encode_queries(TEXTS), ours.encode_queries(TEXTS), atol=1e-5)
    assert other.dimension == 8


@pytest.mark.model
def test_the_real_model_stays_close_to_torch_in_both_precisions(
    openvino: Any, offline_model: str, fp32: Encoder, sentences: tuple[str, ...]
) -> None:
    expected = fp32.encode_documents(sentences)
    exact = Encoder(offline_model, precision="fp32", backend="openvino")
    assert exact.provenance()["precision"] == "fp32"
    assert cosines(exact.encode_documents(sentences), expected).min() >= 0.99999
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        rounded = Encoder(offline_model, precision="bf16", backend="openvino")
        assert rounded.provenance()["precision"] == "bf16"
        vectors = rounded.encode_documents(sentences)
        assert cosines(vectors, expected).min() >= 0.9995
        assert np.abs(vectors - expected).max() > 1e-6  # it did compute in bf16
    else:
        with pytest.raises(InputError, match=r"no bf16.*seen: 'bf16'; allowed: auto, fp32"):
            Encoder(offline_model, precision="bf16", backend="openvino")


@pytest.mark.usefixtures("openvino")
def test_a_model_is_converted_once_and_again_after_damage(cache: Path, tiny_model_folder: Path) -> None:
    def folder() -> Path:
        (found,) = (path for path in cache.glob("openvino-*") if path.is_dir())
        return found

    expected = Encoder(str(tiny_model_folder), precision="fp32", backend="openvino").encode_queries(TEXTS)
    first = folder().stat().st_ino
    Encoder(str(tiny_model_folder), precision="fp32", backend="openvino")
    assert folder().stat().st_ino == first
    weights = folder() / "model.bin"
    damaged = bytearray(weights.read_bytes())
    damaged[100] ^= 0xFF
    weights.write_bytes(damaged)
    again = Encoder(str(tiny_model_folder), precision="fp32", backend="openvino")
    assert folder().stat().st_ino != first
    np.testing.assert_array_equal(again.encode_queries(TEXTS), expected)
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder()]  # nothing partial is left


@pytest.mark.usefixtures("openvino")
def test_other_weights_are_another_file_in_the_cache(cache: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    from tiny_models import write_tiny_model

    for folder in (tiny_model_folder, write_tiny_model(tmp_path, seed=7)):
        ours, other = pair(folder)
        np.testing.assert_allclose(other.encode_queries(TEXTS), ours.encode_queries(TEXTS), atol=1e-5)
    assert len([path for path in cache.glob("openvino-*") if path.is_dir()]) == 2


@pytest.mark.usefixtures("openvino", "cache")
def test_after_an_error_in_the_middle_the_next_call_is_right(tiny_model_folder: Path) -> None:
    encoder = Encoder(str(tiny_model_folder), precision="fp32", backend="openvino", batch_size=1)
    expected = encoder.encode_queries(TEXTS)
    for last in (1, 2, 3, 4, 5) * 40:

        def interrupt(done: int, _total: int, last: int = last) -> None:
            if done == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            encoder.encode_queries(TEXTS, progress=interrupt)
        np.testing.assert_array_equal(encoder.encode_queries(TEXTS), expected)


@pytest.mark.usefixtures("openvino", "cache")
def test_after_a_batch_that_fails_the_next_one_is_right(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one stream, which has to take the next batch, too
    encoder = Encoder(str(tiny_model_folder), precision="fp32", backend="openvino", batch_size=1)
    texts = [" ".join(WORDS[:length]) for length in range(1, 13)]
    expected = np.concatenate([encoder.encode_queries([text]) for text in texts])
    network = encoder._model[0].forward
    assert isinstance(network, OpenVinoTransformer)
    for length in range(2, 12):
        features = {"input_ids": torch.ones(1, length + 2, dtype=torch.long)}
        features["attention_mask"] = torch.ones(1, length, dtype=torch.long)
        with pytest.raises(RuntimeError, match="infer_request"):
            network(features)
        failed = network._requests
        vector = encoder.encode_queries([texts[length - 1]])  # as many tokens as those that failed
        assert network._requests is not failed  # compiled anew
        np.testing.assert_array_equal(vector, expected[length - 1 : length])


@pytest.mark.usefixtures("openvino", "cache")
def test_a_few_texts_are_shared_by_all_streams(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    encoder = Encoder(str(tiny_model_folder), precision="fp32", backend="openvino")
    done: list[int] = []
    encoder.encode_queries([f"w1 w2 {word}" for word in WORDS[:6]], progress=lambda number, _total: done.append(number))
    assert done == [2, 4, 6]


class OneLength(nn.Module):
    """Adds the length of the texts as a number that a trace takes for a constant."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        ids = features["input_ids"]
        return {"token_embeddings": ids[:, :, None].float() + int(ids.shape[1])}


class AnyLength(nn.Module):
    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"token_embeddings": features["input_ids"][:, :, None].float() * features["attention_mask"][:, :, None]}


def tokens(texts: list[str]) -> dict[str, Tensor]:
    lengths = [len(text.split()) for text in texts]
    mask = torch.tensor([[1] * length + [0] * (max(lengths) - length) for length in lengths])
    return {"input_ids": mask * 3, "attention_mask": mask}


@pytest.mark.usefixtures("openvino", "cache")
def test_a_conversion_that_holds_for_one_length_only_is_refused() -> None:
    with pytest.raises(ExternalError, match="its vectors differ from those of torch by"):
        converted(OneLength(), tokens, sha256=None, keep=False)
    network = OpenVinoTransformer(converted(AnyLength(), tokens, sha256=None, keep=False), "fp32")
    np.testing.assert_array_equal(network(tokens(["a a a", "a"]))["token_embeddings"][:, :, 0], [[3, 3, 3], [3, 0, 0]])


@pytest.mark.usefixtures("openvino", "cache")
def test_a_model_without_a_transformer_is_one_line(tmp_path: Path, tiny_model_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_model_folder / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)]).save(str(tmp_path / "static"))
    with pytest.raises(
        ExternalError, match="cannot be used with the backend openvino: its first module, StaticEmbedding, is no trans"
    ):
        Encoder(str(tmp_path / "static"), backend="openvino")


def test_a_device_other_than_the_cpu_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(InputError, match=r"'device': the backend openvino computes on the CPU; seen: 'cuda:0'"):
        Encoder("no/such-model", backend="openvino", device="cuda:0")


def test_an_unknown_backend_names_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"'backend': unknown backend; seen: 'onnx'; allowed: torch, openvino"):
        Encoder("no/such-model", backend="onnx")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ExternalError, match=MISSING):
        Encoder("no/such-model", backend="openvino")


@pytest.mark.process
@pytest.mark.usefixtures("openvino")
def test_openvino_is_imported_without_the_package_that_reports_its_use(tmp_path: Path) -> None:
    code = """
import sys
from haystack_crossalign.models.openvino.package import import_openvino
assert import_openvino().Core().available_devices
assert not any(name.partition(".")[0] == "openvino_telemetry" for name in sys.modules)
import openvino_telemetry  # what comes later finds it
"""
    # Without CI, which switches the reports off, and with a home without a choice made earlier.
    environment = {**{key: value for key, value in os.environ.items() if key != "CI"}, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []
