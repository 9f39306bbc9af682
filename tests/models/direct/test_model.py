"""Models opened without sentence-transformers give its vectors, and all others are left to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from tiny_models import WORDS, tiny_model_folder
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.files.digests import file_sha256
from haystack_crossalign.models.direct.model import DirectModel, open_directly
from haystack_crossalign.models.direct.tokenizer import TextTokenizer
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.loading import LoadOptions, load_model

__all__ = ["tiny_model_folder"]

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
TEXTS = [
    "w1",
    " ".join(WORDS[:20]),
    "W3  wört, w4! 中 w5 [MASK] <mask>",
    "",
    "w9 " * 60,
    "\U0010ffff w7\tw8\n",
]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
NAMED = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def write_unigram(folder: Path, tokenizer_class: str) -> None:
    """A tokenizer as that of XLM-RoBERTa, with the pre-tokenizer of the E5 models, which its class replaces."""
    pieces = [*SPECIAL, "▁", *(f"▁{word}" for word in WORDS), *"w123456789", "ö", "rt", "!", "中", "<mask>"]
    vocabulary = [(piece, 0.0 if piece in NAMED.values() else -1.0 - 0.1 * place) for place, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (*SPECIAL, "<mask>")])
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": tokenizer_class, "model_max_length": 512, **NAMED}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@dataclass(frozen=True)
class Kind:
    """A model to be written."""

    network: Callable[[int], torch.nn.Module]
    pooling: Any = "mean"
    tokenizer: str = "BertTokenizer"
    dense: Any = None
    normalize: bool = True


def bert(vocabulary: int) -> torch.nn.Module:
    return BertModel(BertConfig(**SIZES, vocab_size=vocabulary))


def xlm_roberta(vocabulary: int) -> torch.nn.Module:
    return XLMRobertaModel(XLMRobertaConfig(**SIZES, vocab_size=vocabulary, type_vocab_size=1))


KINDS = {
    "bert": Kind(bert),
    "bert, cls, without normalization": Kind(bert, "cls", normalize=False),
    "bert, last token, dense": Kind(bert, "lasttoken", dense=torch.nn.Tanh()),
    "bert, generic tokenizer, projection": Kind(bert, tokenizer="PreTrainedTokenizerFast", dense=torch.nn.Identity()),
    "xlm-roberta": Kind(xlm_roberta, tokenizer="XLMRobertaTokenizer"),
    "xlm-roberta, cls, fast class": Kind(xlm_roberta, "cls", "XLMRobertaTokenizerFast"),
    "xlm-roberta, last token, generic tokenizer": Kind(xlm_roberta, "lasttoken", "TokenizersBackend"),
    "bert with the tokenizer of xlm-roberta": Kind(bert, tokenizer="XLMRobertaTokenizer"),
}


def write_model(kind: Kind, words: Path, folder: Path) -> Path:
    """A model folder as sentence-transformers saves it."""
    base = folder / "base"
    torch.manual_seed(3)
    kind.network(90).save_pretrained(base)
    if kind.tokenizer.startswith("XLM") or kind.tokenizer == "TokenizersBackend":
        write_unigram(base, kind.tokenizer)
    else:
        shutil.copy(words / "tokenizer.json", base)
        shutil.copy(words / "tokenizer_config.json", base)
        change_json(base / "tokenizer_config.json", tokenizer_class=kind.tokenizer)
    stock = SentenceTransformer(str(base), device="cpu", prompts={"query": "w1 w2 ", "document": "w3 "})
    assert isinstance(stock[1], Pooling)
    stock[1] = Pooling(16, kind.pooling)
    if kind.dense is not None:
        stock.append(Dense(16, 8, activation_function=kind.dense))
    if kind.normalize:
        stock.append(Normalize())
    stock.save(str(folder / "model"))
    for name in ("tokenizer.json", "tokenizer_config.json"):  # as they are, not as transformers writes them anew
        shutil.copy(base / name, folder / "model")
    return folder / "model"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", KINDS)
def test_the_vectors_are_those_of_sentence_transformers(
    name: str, precision: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    folder = write_model(KINDS[name], tiny_model_folder, tmp_path)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    opened = open_directly(folder, device="cpu", dtype=dtype)
    assert opened is not None
    own, pooling = opened
    assert pooling == KINDS[name].pooling
    stock = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": dtype})
    assert own.prompts == stock.prompts
    assert own.similarity_fn_name == stock.similarity_fn_name
    assert own.max_seq_length <= stock.max_seq_length
    stock.max_seq_length = own.max_seq_length
    for prompt in (None, "w1 w2 "):
        expected, features = stock.preprocess(TEXTS, prompt=prompt), own.preprocess(TEXTS, prompt=prompt)
        for key, values in features.items():
            assert torch.equal(values, expected[key]), key
        with torch.inference_mode():
            vectors, others = own(features)["sentence_embedding"], stock(expected)["sentence_embedding"]
        assert vectors.dtype == others.dtype
        assert torch.equal(vectors, others)


@pytest.mark.parametrize("limit", [None, 8, 25, 10**30])
def test_texts_are_cut_where_sentence_transformers_would(
    limit: int | None, tiny_model_folder: Path, tmp_path: Path
) -> None:
    folder = write_model(KINDS["xlm-roberta"], tiny_model_folder, tmp_path)
    change_json(folder / "tokenizer_config.json", model_max_length=limit)
    # Positions begin after that of padding, 1: of 40 rows two are not for tokens.
    expected = min(38, limit or 38)
    model = Encoder(str(folder), device="cpu", precision="fp32")
    assert model.provenance()["max_tokens"] == expected
    words = [" ".join(["w1"] * count) for count in (expected - 4, expected - 3, expected + 5)]
    vectors = model.encode_documents(words)  # with one token of the prompt and two at the ends
    assert model.provenance()["cut_texts"] == {"queries": 0, "documents": 1}
    stock = SentenceTransformer(str(folder), device="cpu")
    stock.max_seq_length = expected
    np.testing.assert_allclose(vectors, stock.encode_document(words), atol=1e-6)


def test_an_encoder_gives_the_vectors_of_the_stock_model(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = write_model(KINDS["bert, last token, dense"], tiny_model_folder, tmp_path)
    stock = SentenceTransformer(str(folder), device="cpu")
    model = Encoder(str(folder), device="cpu", precision="fp32")
    np.testing.assert_allclose(model.encode_queries(TEXTS), stock.encode_query(TEXTS), atol=1e-6)
    np.testing.assert_allclose(model.encode_documents(TEXTS), stock.encode_document(TEXTS), atol=1e-6)
    assert (model.provenance()["pooling"], model.provenance()["pooling_from"]) == ("lasttoken", "model")
    assert model.provenance()["normalized"] is True


def drop(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def add(folder: Path, name: str) -> None:
    weights = {**load_file(folder / "model.safetensors"), name: torch.ones(2)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def pooling(folder: Path, **values: object) -> None:
    change_json(folder / "1_Pooling" / "config.json", **values)


def tokenizer_json(folder: Path, **values: object) -> None:
    change_json(folder / "tokenizer.json", **values)


# Changes after which a model is another one, or none; a stock setting that this package does not know is the same.
OTHERS: dict[str, Callable[[Path], object]] = {
    "adapters": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "a chat template": lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
    "another architecture": lambda folder: change_json(folder / "config.json", model_type="roberta"),
    "another activation": lambda folder: change_json(folder / "config.json", hidden_act="relu"),
    "a decoder": lambda folder: change_json(folder / "config.json", is_decoder=True),
    "a setting of the network": lambda folder: change_json(folder / "config.json", rope_theta=1.0),
    "heads as a fraction": lambda folder: change_json(folder / "config.json", num_attention_heads=2.0),
    "a missing weight": lambda folder: drop(folder, "encoder.layer.1.output.dense.bias"),
    "a further weight": lambda folder: add(folder, "encoder.layer.2.output.dense.bias"),
    "another shape": lambda folder: change_json(folder / "config.json", max_position_embeddings=41),
    "weights in parts": lambda folder: (folder / "model.safetensors").rename(folder / "model-1.safetensors"),
    "truncated weights": lambda folder: (folder / "model.safetensors").write_bytes(b"12345678"),
    "another pooling": lambda folder: pooling(folder, pooling_mode="max"),
    "two poolings": lambda folder: pooling(folder, pooling_mode=["cls", "mean"]),
    "pooling without the prompt": lambda folder: pooling(folder, include_prompt=False),
    "a module of its own": lambda folder: (folder / "modules.json").write_text(
        (folder / "modules.json").read_text().replace("sentence_transformers.base.modules.normalize", "custom")
    ),
    "lower case": lambda folder: change_json(folder / "sentence_bert_config.json", do_lower_case=True),
    "arguments of the tokenizer": lambda folder: change_json(folder / "sentence_bert_config.json", tokenizer_args={}),
    "requirements": lambda folder: change_json(folder / "config_sentence_transformers.json", requirements=["torch>=2"]),
    "a prompt by default that is none": lambda folder: change_json(
        folder / "config_sentence_transformers.json", default_prompt_name="other"
    ),
    "another tokenizer": lambda folder: change_json(folder / "tokenizer_config.json", tokenizer_class="T5Tokenizer"),
    "padding on the left": lambda folder: change_json(folder / "tokenizer_config.json", padding_side="left"),
    "a further token": lambda folder: change_json(folder / "tokenizer_config.json", **{"mask_token": "<new>"}),
    "further tokens": lambda folder: change_json(folder / "tokenizer_config.json", extra_special_tokens=["<new>"]),
    "a token with other properties": lambda folder: change_json(
        folder / "tokenizer_config.json",
        added_tokens_decoder={
            str(token["id"]): {**{key: token[key] for key in token if key != "id"}, "lstrip": True}
            for token in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
        },
    ),
    "padding on the left in the tokenizer": lambda folder: tokenizer_json(
        folder,
        padding={
            "strategy": "BatchLongest",
            "direction": "Left",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
    ),
    "no post-processor": lambda folder: tokenizer_json(folder, post_processor=None),
    "an activation that is a list": lambda folder: change_json(folder / "config.json", hidden_act=["gelu"]),
    "inputs that are lists": lambda folder: change_json(
        folder / "tokenizer_config.json", model_input_names=[["input_ids"], ["attention_mask"]]
    ),
    "half a tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{"),
}


@pytest.mark.parametrize("change", OTHERS)
def test_anything_else_is_left_to_sentence_transformers(change: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    assert open_directly(folder, device="cpu", dtype=torch.float32) is not None
    OTHERS[change](folder)
    assert open_directly(folder, device="cpu", dtype=torch.float32) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without that device")
def test_a_device_that_is_missing_is_one_message(tiny_model_folder: Path) -> None:
    with pytest.raises(ExternalError, match="cannot load the model") as caught:
        Encoder(str(tiny_model_folder), device="cuda", precision="fp32")
    assert "\n" not in str(caught.value)


def test_settings_of_older_versions_are_understood(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = json.loads((folder / "modules.json").read_text())
    for module, kind in zip(modules, kinds, strict=True):
        module["type"] = f"sentence_transformers.models.{kind}"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": false}')
    modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))
    (folder / "2_Normalize" / "config.json").unlink()
    opened = open_directly(folder, device="cpu", dtype=torch.float32)
    assert opened is not None
    assert opened[1] == "cls"
    assert opened[0].max_seq_length == 16
    stock = SentenceTransformer(str(folder), device="cpu")
    model = Encoder(str(folder), device="cpu", precision="fp32")
    np.testing.assert_allclose(model.encode_documents(TEXTS), stock.encode_document(TEXTS), atol=1e-6)


def test_a_file_of_the_hub_that_is_not_in_the_cache_would_be_fetched(tiny_model_folder: Path) -> None:
    files = [path.relative_to(tiny_model_folder).as_posix() for path in tiny_model_folder.rglob("*") if path.is_file()]
    for further, known in ((["onnx/model.onnx", "pytorch_model.bin"], True), (["added_tokens.json"], False)):
        opened = open_directly(tiny_model_folder, device="cpu", dtype=torch.float32, listed=[*files, *further])
        assert (opened is not None) is known
    assert open_directly(tiny_model_folder, device="cpu", dtype=torch.float32, listed=["2_Dense/a", *files]) is not None
    assert open_directly(tiny_model_folder, device="cpu", dtype=torch.float32, listed=["1_Pooling/a", *files]) is None


def test_a_model_in_the_cache_of_the_hub_is_opened_there(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--tiny"
    shutil.copytree(tiny_model_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    options = LoadOptions(local_files_only=True)
    loaded = load_model("someone/tiny", device="cpu", dtype=torch.float32, options=options, direct=True)
    assert isinstance(loaded.model, DirectModel)
    assert (loaded.name, loaded.hub_name, loaded.revision) == ("someone/tiny", "someone/tiny", commit)
    assert loaded.sha256 == file_sha256(tiny_model_folder / "model.safetensors")
    stock = load_model("someone/tiny", device="cpu", dtype=torch.float32, options=options)
    assert isinstance(stock.model, SentenceTransformer)
    assert replace(stock, model=None) == replace(loaded, model=None)


@pytest.mark.model
@pytest.mark.parametrize("tokenizer_class", ["XLMRobertaTokenizer", "PreTrainedTokenizerFast"])
def test_the_tokenizer_of_the_e5_models_is_read_as_transformers_reads_it(
    tokenizer_class: str, model_folder: Path, sentences: tuple[str, ...], tmp_path: Path
) -> None:
    stored = json.loads((model_folder / "tokenizer.json").read_text())
    # The most frequent pieces only, which load in a tenth of the time.
    stored["model"]["vocab"] = [*stored["model"]["vocab"][:20_000], ["<mask>", 0.0]]
    stored["added_tokens"][-1]["id"] = 20_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored))
    shutil.copy(model_folder / "config.json", tmp_path)
    settings = {"tokenizer_class": tokenizer_class, "model_max_length": 512, **NAMED}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    # Ligatures, wide forms and spaces: what the normalizers of the file and of the class treat differently.
    odd = ("  Ｗｉｄｅ   ﬁt\u3000½ \u00a0 e\u0301 ", "a\n\n\tb\u200b c", "<s> <mask>x", "\U0001d4b3 \ud7ff ☃", "")
    texts = [*sentences, *odd]
    expected = AutoTokenizer.from_pretrained(str(tmp_path))(texts, padding=True, truncation=True, max_length=48)
    features = TextTokenizer(tmp_path, {"tokenizer_class": tokenizer_class, **NAMED}).encode(texts, 48)
    assert features["input_ids"].tolist() == expected["input_ids"]
    assert features["attention_mask"].tolist() == expected["attention_mask"]


@pytest.mark.process
def test_a_known_model_embeds_without_the_large_libraries(tiny_model_folder: Path) -> None:
    code = (
        "import sys\n"
        "from haystack_crossalign.components import CrossAlignTextEmbedder\n"
        "embedder = CrossAlignTextEmbedder(model=sys.argv[1], progress_bar=False)\n"
        "assert len(embedder.run('w1 w2')['embedding']) == 16\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tiny_model_folder)], capture_output=True, text=True, check=True
    )
    imported = set(run.stdout.split())
    assert {"torch", "tokenizers", "haystack"} <= imported
    assert not imported & {"transformers", "sentence_transformers", "sklearn", "scipy", "datasets", "pandas"}
