"""Checks of the modules of a loaded model: embedding, tokenizer and pooling."""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as stock
from sentence_transformers.util import batch_to_device

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.names import POOLINGS, PoolingSource


def embed_one(model: SentenceTransformer) -> torch.Tensor:
    """The embedding of one short text, float32 [1, dimension], without prompts.

    :param model: a model in evaluation mode.
    :raises ExternalError: if the modules of the model do not produce an embedding.
    """
    with torch.inference_mode():
        features = model(batch_to_device(model.preprocess(["a"], task="query"), model.device), task="query")
    embedding = features.get("sentence_embedding")
    if not isinstance(embedding, torch.Tensor) or embedding.ndim != 2:
        modules = ", ".join(type(module).__name__ for module in model) or "none"
        raise ExternalError(f"the model gives no embedding of a text: a Pooling module is missing; it has {modules}")
    return embedding.float()


def check_tokenizer(model: SentenceTransformer, name: str) -> None:
    """Reject a tokenizer without a vocabulary.

    If its files are missing, transformers creates one that knows only special tokens, and every word becomes the
    unknown token.

    :param model: the model.
    :param name: name of the model, for the message.
    :raises ExternalError: if the tokenizer knows only special tokens.
    """
    tokenizer: Any = getattr(model[0], "tokenizer", None)
    vocabulary = getattr(tokenizer, "get_vocab", None)
    if vocabulary is None:
        return
    special = set(getattr(tokenizer, "all_special_tokens", ()))
    if not set(vocabulary()) - special:
        raise ExternalError(
            f"cannot load the model '{name}': its tokenizer has no vocabulary; a file such as tokenizer.json is missing"
        )


def settle_pooling(
    model: SentenceTransformer, wanted: str | None, *, plain: bool
) -> tuple[str | None, PoolingSource | None]:
    """Replace the pooling of a model if the user wants another one; return the pooling in use.

    :param model: changed in place.
    :param wanted: the pooling that the user wants; only for a plain model.
    :param plain: whether the model came without modules.json, so that sentence-transformers chose its pooling.
    :returns: the pooling and who chose it; None if the model has no Pooling module.
    :raises InputError: if the pooling does not exist, or the model states its own.
    """
    place = next((number for number, module in enumerate(model) if isinstance(module, stock.Pooling)), None)
    if wanted is not None:
        if wanted not in POOLINGS:
            raise InputError("unknown pooling", field="pooling", seen=wanted, allowed=", ".join(POOLINGS))
        if not plain or place is None:
            raise InputError("the model names its pooling itself", field="pooling", seen=wanted, allowed="none")
        model[place] = stock.Pooling(model[place].embedding_dimension, wanted)
        return wanted, "option"
    if place is None:
        return None, None
    mode: Any = model[place].pooling_mode
    return mode if isinstance(mode, str) else "+".join(mode), "default" if plain else "model"
