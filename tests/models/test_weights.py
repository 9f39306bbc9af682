"""Models with damaged or foreign weights, and sound ones that must not be refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import WORDS, tiny_model_folder
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    MPNetConfig,
    MPNetForMaskedLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.encoder import Encoder

__all__ = ["tiny_model_folder"]

TEXTS = [" ".join(WORDS[:4]), WORDS[7]]
LAYER = "encoder.layer.1.attention.output.dense.weight"
Change = Callable[[dict[str, torch.Tensor]], None]


@pytest.fixture
def copied(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def encoder(folder: Path, **options: Any) -> Encoder:
    return Encoder(str(folder), device="cpu", precision="fp32", **options)


def change_weights(folder: Path, change: Change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_missing_weight_is_named(copied: Path) -> None:
    change_weights(copied, lambda weights: weights.pop(LAYER))
    with pytest.raises(ExternalError, match=rf"missing, so that they would be random: {LAYER}\."):
        encoder(copied)


def test_of_many_weights_a_few_are_named(copied: Path) -> None:
    change_json(copied / "config.json", num_hidden_layers=4)
    # A layer of BERT has 16 weights: 6 dense modules and 2 norms with weight and bias each.
    with pytest.raises(
        ExternalError, match=r"random: (encoder\.layer\.2\S+ ){3}encoder\.layer\.2\S+ and 28 more\."
    ) as error:
        encoder(copied)
    assert len(str(error.value)) < 1000


def test_layers_that_the_configuration_leaves_out_are_named(copied: Path) -> None:
    change_json(copied / "config.json", num_hidden_layers=1)
    with pytest.raises(ExternalError, match=r"in the files but not in the model: encoder\.layer\.1\..* and 12 more"):
        encoder(copied)


def test_a_weight_of_another_shape_is_named_with_both(copied: Path) -> None:
    change_json(copied / "config.json", max_position_embeddings=48)
    expected = r"position_embeddings\.weight \(\[64, 16\] in the files, \[48, 16\] in the model\)"
    with pytest.raises(ExternalError, match=expected):
        encoder(copied)


def test_a_configuration_cannot_allow_other_shapes(copied: Path) -> None:
    change_json(copied / "config.json", max_position_embeddings=48)
    change_json(copied / "sentence_bert_config.json", model_args={"ignore_mismatched_sizes": True})
    with pytest.raises(ExternalError, match="position_embeddings"):
        encoder(copied)


def drop_pooler(weights: dict[str, torch.Tensor]) -> None:
    for name in ("pooler.dense.weight", "pooler.dense.bias"):
        del weights[name]


def test_a_pooler_that_is_not_used_may_be_missing(tiny_model_folder: Path, copied: Path) -> None:
    change_weights(copied, drop_pooler)
    expected = encoder(tiny_model_folder).encode_queries(TEXTS)
    for _ in range(2):
        np.testing.assert_array_equal(encoder(copied).encode_queries(TEXTS), expected)


def test_a_pooler_that_makes_the_embedding_may_not(copied: Path) -> None:
    modality = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    change_json(copied / "sentence_bert_config.json", modality_config=modality, module_output_name="sentence_embedding")
    modules = json.loads((copied / "modules.json").read_text())
    (copied / "modules.json").write_text(json.dumps([modules[0], modules[2]]))
    encoder(copied).encode_queries(TEXTS)
    change_weights(copied, drop_pooler)
    with pytest.raises(ExternalError, match=r"random: pooler\.dense\.bias, pooler\.dense\.weight\."):
        encoder(copied)


def test_buffers_of_old_checkpoints_are_no_weights(tiny_model_folder: Path, copied: Path) -> None:
    def add(weights: dict[str, torch.Tensor]) -> None:
        weights["embeddings.position_ids"] = torch.arange(64)[None]
        weights["encoder.layer.0.attention.self.rotary_emb.inv_freq"] = torch.ones(4)
        weights["encoder.layer.0.attention.masked_bias"] = torch.tensor(-1e4)
        weights["encoder.layer.0.attention.bias"] = torch.ones(1, 1, 64, 64, dtype=torch.uint8)
        weights["embeddings.word_embeddings._weight"] = torch.ones(2)

    change_weights(copied, add)
    expected = encoder(tiny_model_folder).encode_queries(TEXTS)
    np.testing.assert_array_equal(encoder(copied).encode_queries(TEXTS), expected)


def test_a_bias_for_which_a_layer_has_no_place_is_named(copied: Path) -> None:
    change_weights(copied, lambda weights: weights.update({"embeddings.word_embeddings.bias": torch.ones(16)}))
    with pytest.raises(ExternalError, match=r"not in the model: embeddings\.word_embeddings\.bias"):
        encoder(copied)


SIZES: dict[str, Any] = {
    "vocab_size": 5 + len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
TOKENS = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
HEADS = {
    "bert": lambda: BertForMaskedLM(BertConfig(**SIZES)),
    "xlm-roberta": lambda: XLMRobertaForSequenceClassification(XLMRobertaConfig(**SIZES, pad_token_id=0)),
    "mpnet": lambda: MPNetForMaskedLM(MPNetConfig(**SIZES)),
    "albert": lambda: AlbertForMaskedLM(AlbertConfig(**SIZES, embedding_size=8)),
    "deberta": lambda: DebertaV2ForMaskedLM(DebertaV2Config(**SIZES)),
    "modernbert": lambda: ModernBertForMaskedLM(ModernBertConfig(**SIZES, **TOKENS)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, num_key_value_heads=1, head_dim=8)),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(vocab_size=5 + len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    ),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_checkpoint_with_a_head_of_another_task_is_taken(kind: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    HEADS[kind]().save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model_folder / name, tmp_path)
    vectors = [encoder(tmp_path).encode_documents(TEXTS) for _ in range(2)]
    np.testing.assert_array_equal(*vectors)
    layers = {"t5": "num_layers"}.get(kind, "num_hidden_layers")
    more: dict[str, object] = {"layer_types": ["full_attention"] * 3} if kind in ("qwen3", "modernbert") else {}
    change_json(tmp_path / "config.json", **{layers: 3}, **more)
    if kind == "albert":  # whose layers share their weights
        change_json(tmp_path / "config.json", num_hidden_layers=2, num_hidden_groups=2)
    with pytest.raises(ExternalError, match="missing, so that they would be random"):
        encoder(tmp_path)


def test_a_dense_module_without_its_weights_is_named(copied: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    model = SentenceTransformer(str(copied), device="cpu")
    model.append(Dense(16, 8))
    model.save(str(copied / "dense"))
    assert encoder(copied / "dense").encode_queries(TEXTS).shape == (2, 8)
    (place,) = (copied / "dense").glob("*_Dense")
    change_weights(place, lambda weights: weights.pop("linear.bias"))
    with pytest.raises(ExternalError, match=r"Missing key\(s\) in state_dict: \"linear\.bias\""):
        encoder(copied / "dense")


def test_adapters_and_the_model_below_them_are_both_checked(tiny_model_folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from transformers import BertModel

    base = Path(shutil.copytree(tiny_model_folder, tmp_path / "base"))
    adapted = peft.get_peft_model(
        BertModel.from_pretrained(str(base)),
        peft.LoraConfig(target_modules=["value"], lora_alpha=256, init_lora_weights=False),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, tmp_path / "adapter")
    vectors = [encoder(tmp_path / "adapter").encode_queries(TEXTS) for _ in range(2)]
    np.testing.assert_array_equal(*vectors)
    assert np.abs(vectors[0] - encoder(base, normalize=False).encode_queries(TEXTS)).max() > 1e-3
    change_weights(base, lambda weights: weights.pop(LAYER))
    with pytest.raises(ExternalError, match=LAYER):
        encoder(tmp_path / "adapter")


def test_a_static_model_has_no_report_and_is_taken(tiny_model_folder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    torch.manual_seed(2)
    static = StaticEmbedding(Tokenizer.from_file(str(tiny_model_folder / "tokenizer.json")), embedding_dim=16)
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path))
    model = encoder(tmp_path)
    assert model.encode_queries(TEXTS).shape == (2, 16)
    assert (model.provenance()["max_tokens"], model.provenance()["pooling"]) == (None, None)


def test_loading_elsewhere_is_as_before(copied: Path) -> None:
    from transformers import BertModel, PreTrainedModel

    before = PreTrainedModel.__dict__["from_pretrained"]
    encoder(copied)
    change_json(copied / "config.json", max_position_embeddings=48)
    with pytest.raises(ExternalError):
        encoder(copied)
    assert PreTrainedModel.__dict__["from_pretrained"] is before
    with pytest.raises(RuntimeError):
        BertModel.from_pretrained(str(copied))


FOLDER_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no pooling": (
        lambda folder: (folder / "modules.json").write_text(
            json.dumps(json.loads((folder / "modules.json").read_text())[:1])
        ),
        "a Pooling module is missing; it has Transformer",
    ),
    "no transformer": (
        lambda folder: (folder / "modules.json").write_text(
            json.dumps(json.loads((folder / "modules.json").read_text())[1:])
        ),
        "cannot load the model",
    ),
    "no modules": (lambda folder: (folder / "modules.json").write_text("[]"), r"modules\.json: not a list of modules"),
    "modules as text": (
        lambda folder: (folder / "modules.json").write_text('["Transformer"]'),
        r"modules\.json, field '\[0\]\.path': not a text",
    ),
    "module folder missing": (lambda folder: shutil.rmtree(folder / "1_Pooling"), "folder of a module is missing"),
    "half a configuration": (
        lambda folder: (folder / "config.json").write_text('{"model_type": "be'),
        r"config\.json: cannot be read as JSON",
    ),
    "a list for a configuration": (
        lambda folder: (folder / "config.json").write_text("[]"),
        r"config\.json: not an object",
    ),
    "layers as text": (
        lambda folder: change_json(folder / "config.json", num_hidden_layers="two"),
        "cannot load the model.*num_hidden_layers",
    ),
    "half a tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text()[:500]),
        "cannot load the model",
    ),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "its tokenizer has no vocabulary"),
    "half a tokenizer configuration": (
        lambda folder: (folder / "tokenizer_config.json").write_text('{"model_max'),
        r"tokenizer_config\.json: cannot be read as JSON",
    ),
    "a token beyond the table": (
        lambda folder: change_json(folder / "tokenizer_config.json", **{"pad_token": "abc"}),
        "cannot embed a text: index out of range",
    ),
    "a missing shard": (
        lambda folder: (
            (folder / "model.safetensors").unlink(),
            (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}'),
        ),
        r"index\.json, field 'weight_map': names files of weights that are missing; seen: 'model-1\.safetensors'",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "cannot load the model"),
    "half of the weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:9000]),
        r"model\.safetensors is damaged or incomplete \(.*\); copy it again",
    ),
    "a pointer of Git LFS": (
        lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "another kind of model": (
        lambda folder: change_json(folder / "config_sentence_transformers.json", model_type="CrossEncoder"),
        "field 'model_type': not a model that embeds texts; seen: 'CrossEncoder'",
    ),
    "a norm that is a text": (
        lambda folder: change_json(folder / "config.json", layer_norm_eps="small"),
        "cannot load the model",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_damaged_folder_is_one_message(copied: Path, fault: str) -> None:
    damage, message = FOLDER_FAULTS[fault]
    damage(copied)
    with pytest.raises((InputError, ExternalError), match=message) as caught:
        encoder(copied).encode_queries(["w1 w2", "w3"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
