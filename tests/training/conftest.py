"""A tiny model with random weights, made on the spot, and batches for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizer

WORDS = [f"w{number}" for number in range(60)]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock sentence-transformers folder: BERT of two layers, mean pooling, Normalize; dropout 0.1."""
    root = tmp_path_factory.mktemp("tiny")
    bert = root / "bert"
    bert.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (bert / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(bert)
    BertTokenizer(str(bert / "vocab.txt")).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=32)
    model = SentenceTransformer(
        modules=[transformer, Pooling(transformer.get_embedding_dimension(), "mean"), Normalize()], device="cpu"
    )
    folder = root / "model"
    model.save(str(folder))
    return folder


@pytest.fixture
def tiny_model(tiny_model_folder: Path) -> SentenceTransformer:
    """The tiny model, loaded anew: dropout off, as after loading."""
    return SentenceTransformer(str(tiny_model_folder), device="cpu").eval()


@pytest.fixture(scope="session")
def make_texts() -> Callable[[int, int], list[list[str]]]:
    """``make_texts(columns, rows)``: columns of texts of 2 to 9 words, no text twice."""

    def make(columns: int, rows: int, seed: int = 0) -> list[list[str]]:
        generator = torch.Generator().manual_seed(seed)

        def text() -> str:
            length = int(torch.randint(2, 10, (), generator=generator))
            return " ".join(WORDS[int(word)] for word in torch.randint(len(WORDS), (length,), generator=generator))

        return [[text() for _ in range(rows)] for _ in range(columns)]

    return make
