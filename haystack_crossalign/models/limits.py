"""Maximum tokens of a text for a model: by its tokenizer, its configuration and its table of positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from haystack_crossalign.errors import ExternalError

NO_LIMIT = 10**6
"""A tokenizer without a limit states a number above this."""

# Two special tokens and one token of the text.
_FEWEST = 3
_TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")
# Parts of a multimodal model that read no text: their positions are patches of an image.
_OTHER_MEDIA = ("vision", "visual", "image", "audio", "speech")


def limit_positions(model: Any, name: str) -> None:
    """Make the tokenizer of a model cut texts at the end of the model's positions.

    :param model: a sentence-transformers model; its ``max_seq_length`` is lowered if it exceeds the positions.
    :param name: name of the model, for the message.
    :raises ExternalError: if the limit leaves no room for a text.
    """
    stated = model.max_seq_length
    limits = (_limit(stated) if _limit(stated) is not None else _configured(model), usable_positions(model))
    known = [limit for limit in limits if limit is not None]
    if not known:
        return
    limit = min(known)
    if limit < _FEWEST:
        raise ExternalError(f"cannot load the model '{name}': its longest text has {limit} tokens")
    if limit != stated:
        model.max_seq_length = limit


def usable_positions(model: nn.Module) -> int | None:
    """Number of tokens for which the tables of learned positions have rows; None for a model without such a table.

    Models of the RoBERTa family number positions from ``padding_idx + 1``, those of the BART family from an ``offset``,
    so that many rows are never used.
    """
    usable = []
    for name, module in model.named_modules():
        if name.rpartition(".")[2] not in _TABLES or not isinstance(module, nn.Embedding):
            continue
        if any(medium in name for medium in _OTHER_MEDIA):
            continue
        offset = getattr(module, "offset", None)
        if not isinstance(offset, int):
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
        usable.append(module.num_embeddings - offset)
    return min(usable) if usable else None


def cut_texts(
    model: Any,
    texts: Sequence[str],
    lengths: NDArray[np.int64],
    limit: int | None,
    tokenize: Callable[[list[str]], Mapping[str, Any]],
) -> NDArray[np.bool_]:
    """Find the texts with more tokens than a limit: those at the limit that get longer if it is raised.

    :param model: a sentence-transformers model, whose ``max_seq_length`` is changed temporarily.
    :param texts: n texts.
    :param lengths: int64 [n], numbers of tokens under the limit.
    :param limit: tokens; None if there is no limit.
    :param tokenize: returns the ``attention_mask`` of texts, one row each.
    """
    cut = np.zeros(len(texts), dtype=np.bool_)
    if limit is None:
        return cut
    full = np.flatnonzero(lengths >= limit)
    if len(full):
        before = model.max_seq_length
        model.max_seq_length = limit + 1
        try:
            mask = tokenize([texts[row] for row in full.tolist()])["attention_mask"]
        finally:
            model.max_seq_length = before
        cut[full] = mask.sum(dim=1).numpy() > limit
    return cut


def _configured(model: Any) -> int | None:
    limit = _limit(getattr(model.config, "max_position_embeddings", None))
    # XLNet uses -1 for no limit.
    return limit if limit is not None and limit > 0 else None


def _limit(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value <= NO_LIMIT else None
