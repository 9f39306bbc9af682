"""Where texts are cut, and how many are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import WORDS, tiny_model_folder
from transformers import (
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetModel,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.limits import usable_positions

__all__ = ["tiny_model_folder"]

VOCABULARY = 5 + len(WORDS)
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
LONG = " ".join(WORDS) * 3


def encoder(folder: Path, **options: Any) -> Encoder:
    return Encoder(str(folder), device="cpu", precision="fp32", **options)


def plain_folder(model: Any, tokenizer: Path, folder: Path, *, limit: float | None) -> Path:
    """A transformers folder with the tokenizer of the tiny model under another limit."""
    model.save_pretrained(folder)
    shutil.copy(tokenizer / "tokenizer.json", folder)
    settings = json.loads((tokenizer / "tokenizer_config.json").read_text())
    settings.pop("model_max_length")
    if limit is not None:
        settings["model_max_length"] = limit
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("model", "usable"),
    [
        # BERT and DistilBERT number positions from 0; RoBERTa's family from padding_idx + 1, BART's from 2, for which
        # its table has two rows more than the configuration says. Rotary positions have no table.
        (lambda: BertModel(BertConfig(**SIZES, max_position_embeddings=48)), 48),
        (lambda: DistilBertModel(DistilBertConfig(vocab_size=9, dim=8, n_layers=1, n_heads=1, hidden_dim=8)), 512),
        (lambda: XLMRobertaModel(XLMRobertaConfig(**SIZES, max_position_embeddings=48, pad_token_id=1)), 46),
        (lambda: MPNetModel(MPNetConfig(**SIZES, max_position_embeddings=48)), 46),
        (lambda: BartModel(BartConfig(vocab_size=9, d_model=16, encoder_layers=1, decoder_layers=1)), 1024),
        (lambda: Qwen3Model(Qwen3Config(**SIZES, num_key_value_heads=1, head_dim=8)), None),
    ],
)
def test_the_rows_of_the_table_that_texts_can_use(model: Any, usable: int | None) -> None:
    built = model()
    assert usable_positions(built) == usable
    if usable is not None and usable < 100:
        built.eval()
        tokens = torch.full((1, usable), 5)
        assert torch.isfinite(built(tokens).last_hidden_state).all()
        with pytest.raises((IndexError, RuntimeError)):
            built(torch.full((1, usable + 1), 5))


@pytest.mark.parametrize("limit", [None, 1e30, 8192])
def test_a_tokenizer_without_the_limit_of_its_model_cuts_where_the_positions_end(
    limit: float | None, tiny_model_folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(4)
    # Padding is token 0 here, so that positions begin at 1 and 47 of the 48 rows are for tokens.
    model = XLMRobertaModel(XLMRobertaConfig(**SIZES, max_position_embeddings=48, pad_token_id=0))
    cutting = encoder(plain_folder(model, tiny_model_folder, tmp_path, limit=limit))
    assert cutting.provenance()["max_tokens"] == 47
    # 45 words between the two special tokens.
    words = LONG.split()
    vectors = cutting.encode_documents([LONG, " ".join(words[:45]), " ".join(words[:46]), "w1"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert cutting.provenance()["cut_texts"] == {"queries": 0, "documents": 2}


def test_a_model_folder_that_promises_more_than_its_positions(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    (folder / "sentence_bert_config.json").write_text(json.dumps({**settings, "max_seq_length": 8192}))
    assert encoder(folder).provenance()["max_tokens"] == 64


def test_rotary_positions_end_where_the_configuration_says(tiny_model_folder: Path, tmp_path: Path) -> None:
    config = Qwen3Config(**SIZES, num_key_value_heads=1, head_dim=8, max_position_embeddings=40)
    model = encoder(plain_folder(Qwen3Model(config), tiny_model_folder, tmp_path, limit=None))
    model.encode_queries([LONG, "w1"])
    assert model.provenance()["max_tokens"] == 40
    assert model.provenance()["cut_texts"] == {"queries": 1, "documents": 0}


def test_every_text_that_was_cut_is_counted(tiny_model_folder: Path) -> None:
    model = encoder(tiny_model_folder, max_tokens=8)
    six, seven = " ".join(WORDS[:6]), " ".join(WORDS[:7])  # and two special tokens
    model.encode_documents([six, seven, seven, "w1"])
    model.encode_queries([six])
    model.encode_queries([f"{six} w9", seven])
    assert model.provenance()["cut_texts"] == {"queries": 2, "documents": 2}
    again = model.counting_anew()
    again.encode_queries([seven])
    assert again.provenance()["cut_texts"] == {"queries": 1, "documents": 0}
    assert model.provenance()["cut_texts"] == {"queries": 2, "documents": 2}
    # The prompt counts: with two more words, six are too many.
    prompted = encoder(tiny_model_folder, max_tokens=8, query_prefix="w1 w2 ")
    prompted.encode_queries([six, "w3 w4 w5 w6", "w3 w4 w5 w6 w7"])
    assert prompted.provenance()["cut_texts"] == {"queries": 2, "documents": 0}


def test_a_limit_that_leaves_no_room_is_one_message(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    for limit in (-5, 0, 2):
        (folder / "sentence_bert_config.json").write_text(json.dumps({**settings, "max_seq_length": limit}))
        with pytest.raises(ExternalError, match=f"its longest text has {limit} tokens"):
            encoder(folder)
