"""Tokenize texts once, and embed each once, in batches of similar length with almost no padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.batches import length_batches
from haystack_crossalign.models.limits import cut_texts
from haystack_crossalign.models.prompts import Prompts

QUERY, DOCUMENT = 0, 1
_ROLES = ("query", "document")
# Number of tokens per forward pass in training. On a CPU, the activations of a layer then stay in its cache.
_BUDGET = {"cpu": 1024}
_BUDGET_ELSEWHERE = 32768
_WINDOW = 2048


class TextTable:
    """Distinct texts with their tokens; a text used both as query and as document counts as two.

    :param model: the ``SentenceTransformer`` whose tokenizer is used.
    :param prompts: the prompts of queries and documents.
    :param max_tokens: texts are cut after this many tokens; None leaves the model's limit.
    """

    def __init__(self, model: Any, prompts: Prompts, *, max_tokens: int | None = None) -> None:
        self._model = model
        self._prompts = (prompts.query, prompts.document)
        self.max_tokens = max_tokens
        self.padding = int(getattr(model.tokenizer, "pad_token_id", 0) or 0)
        self._rows: dict[tuple[int, str], int] = {}
        self._pending: tuple[list[tuple[int, str]], list[tuple[int, str]]] = ([], [])
        self._roles: list[int] = []
        # For each row, its window of texts tokenized together and its position there; for each window and feature, all
        # values concatenated.
        self._places: list[tuple[int, int, int]] = []
        self._windows: list[dict[str, Tensor]] = []
        self._dtypes: dict[str, torch.dtype] = {}
        self._constants: list[dict[str, Any]] = [{}, {}]
        self._cut = [0, 0]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def limit(self) -> int | None:
        """Tokens after which texts are cut, None for no limit."""
        own = self._model.max_seq_length
        # A limit that is not an integer means no limit: a model without positions has an infinite one.
        known = [value for value in (own, self.max_tokens) if isinstance(value, int)]
        return min(known, default=None)

    def cut(self) -> dict[str, int]:
        """Numbers of queries and of documents that are longer than the limit."""
        self._tokenize()
        return {"queries": self._cut[QUERY], "documents": self._cut[DOCUMENT]}

    def add(self, role: int, text: str) -> int:
        """The row of a text; a new row if it has none yet."""
        key = (role, text)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self._rows)
            self._roles.append(role)
            self._pending[role].append((row, text))
        return row

    def texts(self) -> list[tuple[int, str]]:
        """Role and text of every row."""
        return list(self._rows)

    def tokens(self, row: int) -> dict[str, Tensor]:
        """Features of one text: one-dimensional tensors, without padding."""
        self._tokenize()
        window, begin, end = self._places[row]
        return {name: values[begin:end].to(self._dtypes[name]) for name, values in self._windows[window].items()}

    def role(self, row: int) -> int:
        """``QUERY`` or ``DOCUMENT``."""
        return self._roles[row]

    def lengths(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Tokens of some texts."""
        self._tokenize()
        return np.array([end - begin for _, begin, end in (self._places[row] for row in rows)], dtype=np.int64)

    def constants(self, role: int) -> dict[str, Any]:
        """Features that all texts of a role share, such as the length of the prompt."""
        self._tokenize()
        return self._constants[role]

    def _tokenize(self) -> None:
        """Tokenize the texts added since the last call, many at once."""
        self._places += [(0, 0, 0)] * (len(self._rows) - len(self._places))
        for role, pending in enumerate(self._pending):
            for start in range(0, len(pending), _WINDOW):
                window = pending[start : start + _WINDOW]
                texts = [text for _, text in window]
                before, self._model.max_seq_length = self._model.max_seq_length, self.limit
                try:
                    features = self._features(role, texts)
                    self._keep(role, features, [row for row, _ in window])
                    lengths = features["attention_mask"].sum(dim=1).numpy()
                    cut = cut_texts(self._model, texts, lengths, self.limit, partial(self._features, role))
                finally:
                    self._model.max_seq_length = before
                self._cut[role] += int(cut.sum())
            pending.clear()

    def _features(self, role: int, texts: list[str]) -> dict[str, Any]:
        features: dict[str, Any] = self._model.preprocess(texts, prompt=self._prompts[role] or None, task=_ROLES[role])
        return features

    def _keep(self, role: int, features: dict[str, Any], rows: Sequence[int]) -> None:
        mask = features.get("attention_mask")
        if not isinstance(mask, Tensor) or "input_ids" not in features or mask.shape != features["input_ids"].shape:
            raise InputError(
                "the model takes other inputs than padded tokens", field="model", allowed="a transformer model"
            )
        used = mask.bool()
        ends = np.cumsum(used.sum(dim=1).numpy())
        for row, begin, end in zip(rows, (0, *ends.tolist()), ends.tolist(), strict=False):
            self._places[row] = (len(self._windows), begin, end)
        kept = {
            name: value[used]
            for name, value in features.items()
            if isinstance(value, Tensor) and value.shape == mask.shape
        }
        self._dtypes |= {name: value.dtype for name, value in kept.items()}
        # Token ids do not need 64 bits.
        self._windows.append(
            {name: value.int() if value.dtype == torch.int64 else value for name, value in kept.items()}
        )
        self._constants[role] = {name: value for name, value in features.items() if not isinstance(value, Tensor)}


@dataclass(frozen=True)
class Packed:
    """Texts padded in parts of the same role and similar length.

    :param parts: features of each part.
    :param order: position of each text among the requested rows, in the order of the parts.
    """

    parts: tuple[dict[str, Any], ...]
    order: Tensor

    def to(self, device: torch.device | str) -> Packed:
        """The same on a device."""
        moved = tuple(
            {name: value.to(device) if isinstance(value, Tensor) else value for name, value in part.items()}
            for part in self.parts
        )
        return Packed(moved, self.order.to(device))


def pack(table: TextTable, rows: Sequence[int], *, budget: int) -> Packed:
    """Group texts into parts of at most ``budget`` tokens including padding, the longest first.

    :param table: the texts.
    :param rows: rows of the table.
    :param budget: tokens of a part.
    """
    parts: list[dict[str, Any]] = []
    order: list[int] = []
    lengths = table.lengths(rows)
    roles = np.array([table.role(row) for row in rows])
    for role in (QUERY, DOCUMENT):
        places = np.flatnonzero(roles == role)
        for chosen in length_batches(lengths[places], budget):
            own = places[chosen].tolist()
            order += own
            parts.append(_padded([table.tokens(rows[place]) for place in own], table.constants(role), table.padding))
    return Packed(tuple(parts), torch.tensor(order, dtype=torch.long))


def embed_packed(model: nn.Module, packed: Packed) -> Tensor:
    """Embed packed texts.

    :param model: the model, also inside ``DistributedDataParallel``.
    :param packed: the texts.
    :returns: ``[texts, dim]`` in the requested order.
    """
    # Plain dictionaries: DistributedDataParallel finds no tensors in other mappings.
    parts = [model(dict(part))["sentence_embedding"] for part in packed.parts]
    return torch.cat(parts)[torch.argsort(packed.order)]


def embed_table(
    model: nn.Module, table: TextTable, rows: Sequence[int], *, device: torch.device | str, bf16: bool
) -> NDArray[np.float32]:
    """Embed texts for evaluation, without gradient and dropout.

    :param model: the ``SentenceTransformer``; its mode is restored.
    :param table: the texts.
    :param rows: rows of the table.
    :param device: where the model is.
    :param bf16: whether the transformer computes in bf16.
    :returns: float32 ``[rows, dim]``, of unit length if the model normalizes.
    """
    training = model.training
    model.eval()
    made: NDArray[np.float32] | None = None
    try:
        with torch.no_grad(), transformer_precision(model, device, bf16=bf16):
            for start in range(0, len(rows), _WINDOW):
                window = rows[start : start + _WINDOW]
                packed = pack(table, window, budget=token_budget(device)).to(device)
                vectors = embed_packed(model, packed).float().cpu().numpy()
                if made is None:
                    made = np.empty((len(rows), vectors.shape[1]), dtype=np.float32)
                made[start : start + len(window)] = vectors
    finally:
        model.train(training)
    return np.empty((0, 0), dtype=np.float32) if made is None else made


def token_budget(device: torch.device | str) -> int:
    """Number of tokens per forward pass that suits a device."""
    return _BUDGET.get(torch.device(device).type, _BUDGET_ELSEWHERE)


@contextmanager
def transformer_precision(model: nn.Module, device: torch.device | str, *, bf16: bool) -> Iterator[None]:
    """Compute the transformer in bf16 by autocast, and all later modules in float32.

    The weights are converted once for all forward passes inside the block, so it must not span an optimizer step. On a
    CPU, attention is computed step by step ("eager") inside the block: the backward pass of the fused kernel takes
    several times as long in bf16, and the token budget limits the memory of the attention weights.

    :param model: the ``SentenceTransformer``, also inside ``DistributedDataParallel``.
    :param device: where it is.
    :param bf16: False changes nothing.
    """
    if not bf16:
        yield
        return
    kind = torch.device(device).type
    inner = getattr(model, "module", None)
    transformer: Any = next((inner if isinstance(inner, nn.Module) else model).children())
    plain = transformer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(kind, dtype=torch.bfloat16):
            output = plain(*args, **kwargs)
        for name in ("token_embeddings", "sentence_embedding", "cls_token_embeddings"):
            if isinstance(output.get(name), Tensor):
                output[name] = output[name].float()
        return output

    transformer.forward = forward
    fused = _fused_attention(transformer) if kind == "cpu" else None
    try:
        if fused is not None:
            fused.set_attn_implementation("eager")
        # Converted weights are cached until the outermost block ends: this one, which converts nothing itself.
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=False):
            yield
    finally:
        if fused is not None:
            fused.set_attn_implementation("sdpa")
        del transformer.forward


def _fused_attention(transformer: Any) -> Any:
    """The transformers model if it uses PyTorch's fused attention, which can be replaced; else None."""
    network = getattr(transformer, "auto_model", None)
    if getattr(getattr(network, "config", None), "_attn_implementation", None) != "sdpa":
        return None
    can = getattr(network, "_can_set_attn_implementation", None)
    return network if can is not None and can() else None


def _padded(rows: Sequence[dict[str, Tensor]], constants: dict[str, Any], padding: int) -> dict[str, Any]:
    longest = max(len(row["input_ids"]) for row in rows)
    features: dict[str, Any] = dict(constants)
    for name, first in rows[0].items():
        table = torch.full((len(rows), longest), padding if name == "input_ids" else 0, dtype=first.dtype)
        for place, row in enumerate(rows):
            table[place, : len(row[name])] = row[name]
        features[name] = table
    return features
