"""The pooling of a plain transformers folder, and the notes on choices that were made for the user."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import WORDS, tiny_model_folder
from transformers import AutoModel, AutoTokenizer

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.folder import check_folder

__all__ = ["tiny_model_folder"]

TEXTS = [" ".join(WORDS[:4]), WORDS[7]]


@pytest.fixture
def plain(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model as a transformers folder: no modules.json, no pooling."""
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    for name in names:
        shutil.copy(tiny_model_folder / name, tmp_path)
    return tmp_path


def encoder(folder: Path, **options: Any) -> Encoder:
    return Encoder(str(folder), device="cpu", precision="fp32", **options)


def by_hand(folder: Path, pooling: str) -> np.ndarray:
    """Token vectors of transformers, pooled in float64."""
    tokens = AutoTokenizer.from_pretrained(str(folder))(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        vectors = AutoModel.from_pretrained(str(folder)).eval()(**tokens).last_hidden_state.double().numpy()
    lengths = tokens["attention_mask"].sum(dim=1).tolist()
    rows = {
        "mean": [row[:length].mean(axis=0) for row, length in zip(vectors, lengths, strict=True)],
        "cls": [row[0] for row in vectors],
        "lasttoken": [row[length - 1] for row, length in zip(vectors, lengths, strict=True)],
    }
    return np.array(rows[pooling])


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_the_pooling_of_a_plain_folder_is_the_chosen_one(pooling: Any, plain: Path) -> None:
    model = encoder(plain, pooling=pooling)
    np.testing.assert_allclose(model.encode_queries(TEXTS), by_hand(plain, pooling), atol=1e-5)
    provenance = model.provenance()
    assert (provenance["pooling"], provenance["pooling_from"], provenance["notes"]) == (pooling, "option", [])


def test_the_pooling_that_nobody_chose_is_named(plain: Path) -> None:
    model = encoder(plain)
    np.testing.assert_allclose(model.encode_queries(TEXTS), by_hand(plain, "mean"), atol=1e-5)
    provenance = model.provenance()
    assert (provenance["pooling"], provenance["pooling_from"]) == ("mean", "default")
    (note,) = provenance["notes"]
    assert "takes 'mean'" in note
    assert "--pooling" in note


def test_a_model_that_names_its_pooling_keeps_it(tiny_model_folder: Path, plain: Path) -> None:
    assert encoder(tiny_model_folder).provenance()["pooling_from"] == "model"
    with pytest.raises(InputError, match="names its pooling itself; seen: 'cls'"):
        encoder(tiny_model_folder, pooling="cls")
    with pytest.raises(InputError, match="unknown pooling; seen: 'max'; allowed: mean, cls, lasttoken"):
        encoder(plain, pooling="max")


@pytest.mark.parametrize(
    ("file", "content", "evidence"),
    [
        ("README.md", "---\nbase_model: intfloat/multilingual-e5-small\n---\n", "base_model in README.md"),
        ("README.md", "---\nlanguage: de\nbase_model:\n- intfloat/e5-base-v2\n---\n", "base_model in README.md"),
        ("README.md", "---\nmodel-index:\n- name: multilingual-e5-large\n---\n", "model-index in README.md"),
    ],
)
def test_an_e5_model_in_another_folder_gets_its_prompts_and_a_note(
    file: str, content: str, evidence: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "ours"))
    (folder / file).write_text(content)
    provenance = encoder(folder).provenance()
    assert provenance["prompts"] == {"query": "query: ", "document": "passage: "}
    assert provenance["prompts_from"] == "family:e5"
    (note,) = provenance["notes"]
    assert evidence in note


def test_a_card_that_only_mentions_e5_is_no_evidence(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "ours"))
    (folder / "README.md").write_text("---\nlanguage: de\n---\n\nbase_model: intfloat/multilingual-e5-small\n")
    assert encoder(folder).provenance()["prompts_from"] == "none"


def test_prompts_that_are_not_in_use_are_named_with_the_option_that_takes_them(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    import json

    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    path = folder / "config_sentence_transformers.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "prompts": {"s2p_query": "w1 ", "s2s_query": "w2 "}}))
    model = encoder(folder)
    (note,) = model.provenance()["notes"]
    assert "'s2s_query'" in note
    assert "--query-prompt" in note
    assert model.provenance()["prompt_names"] == {"query": "s2p_query", "document": None}
    chosen = encoder(folder, query_prompt="s2s_query", document_prompt="s2p_query")
    np.testing.assert_array_equal(chosen.encode_queries(["w5"]), model.encode_documents(["w2 w5"]))
    np.testing.assert_array_equal(chosen.encode_documents(["w5"]), model.encode_queries(["w5"]))
    with pytest.raises(InputError, match="allowed: query, document, s2p_query, s2s_query"):
        encoder(folder, query_prompt="query_s2s")


def test_a_folder_with_modules_but_without_their_list_is_refused(tmp_path: Path) -> None:
    """It would be read as the encoder alone, with mean pooling: the base model in place of the repaired one."""
    for name in ("1_Pooling", "3_Dense"):
        (tmp_path / name).mkdir()
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"modules\.json, which names its modules, is missing.*seen: '3_Dense'"):
        check_folder(tmp_path, "repaired")
    (tmp_path / "3_Dense").rmdir()
    check_folder(tmp_path, "repaired")  # a pooling alone changes nothing that is not said
