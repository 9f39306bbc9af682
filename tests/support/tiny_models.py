"""A tiny model with random weights, made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest

WORDS = [f"w{number}" for number in range(60)]


def write_tiny_model(root: Path, *, normalize: bool = True, similarity: str | None = None, seed: int = 0) -> Path:
    """A stock sentence-transformers folder: BERT of two layers, mean pooling, Normalize; dropout 0.1.

    :param root: an empty folder.
    :param normalize: whether Normalize follows.
    :param similarity: ``similarity_fn_name``; None leaves it out.
    :param seed: of the weights.
    :returns: the model folder in it.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    bert = root / "bert"
    bert.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (bert / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    torch.manual_seed(seed)
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
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), "mean"), *([Normalize()] * normalize)]
    model = SentenceTransformer(modules=modules, device="cpu", similarity_fn_name=similarity)
    folder = root / "model"
    model.save(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))
