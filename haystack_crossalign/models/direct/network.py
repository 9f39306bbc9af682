"""Modules with the computations of transformers and sentence-transformers, step by step in the same order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from haystack_crossalign.models.direct.description import DenseLayer, Network, PoolingMode, UnknownModelError

Features = dict[str, Any]


def weight_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of ``BertModel`` and ``XLMRobertaModel`` that an embedding uses.

    :param network: its sizes.
    """
    hidden, inner = network.hidden, network.inner
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (network.vocabulary, hidden),
        "embeddings.position_embeddings.weight": (network.positions, hidden),
        "embeddings.token_type_embeddings.weight": (network.token_types, hidden),
    }
    norms = ["embeddings.LayerNorm"]
    linear: dict[str, tuple[int, int]] = {}
    for layer in range(network.layers):
        place = f"encoder.layer.{layer}"
        norms += [f"{place}.attention.output.LayerNorm", f"{place}.output.LayerNorm"]
        linear |= {f"{place}.attention.self.{name}": (hidden, hidden) for name in ("query", "key", "value")}
        linear[f"{place}.attention.output.dense"] = (hidden, hidden)
        linear[f"{place}.intermediate.dense"] = (inner, hidden)
        linear[f"{place}.output.dense"] = (hidden, inner)
    for name in norms:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (hidden,)
    for name, shape in linear.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    return shapes


class Transformer(nn.Module):
    """The encoder: vectors of tokens.

    :param network: its sizes.
    :param weights: tensors of the names and shapes of `weight_shapes`, of one dtype and device.
    """

    def __init__(self, network: Network, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self._network = network
        for name, values in weights.items():
            # As buffers, they stay weights in a trace of this module; as plain tensors they would be constants of its
            # code. A buffer's name has no dots.
            self.register_buffer(name.replace(".", "/"), values, persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._weight("embeddings.LayerNorm.weight").device

    @property
    def network(self) -> Network:
        """Its sizes."""
        return self._network

    def forward(self, features: Features) -> Features:
        """Add ``token_embeddings``, [n, tokens, hidden], to the features of `TextTokenizer.encode`."""
        ids, used = features["input_ids"], features["attention_mask"].bool()
        hidden = self._embed(ids, features.get("token_type_ids"))
        # Without padding there is no mask, which torch computes by other instructions.
        mask = None if bool(used.all()) else used[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
        for layer in range(self._network.layers):
            place = f"encoder.layer.{layer}"
            attended = self._linear(self._attend(hidden, mask, place), f"{place}.attention.output.dense")
            hidden = self._norm(attended + hidden, f"{place}.attention.output.LayerNorm")
            inner = functional.gelu(self._linear(hidden, f"{place}.intermediate.dense"))
            hidden = self._norm(self._linear(inner, f"{place}.output.dense") + hidden, f"{place}.output.LayerNorm")
        features["token_embeddings"] = hidden
        return features

    def _embed(self, ids: Tensor, types: Tensor | None) -> Tensor:
        if self._network.architecture == "bert":
            positions = torch.arange(ids.shape[1], device=ids.device)[None]
        else:
            used = ids.ne(self._network.padding).int()
            positions = (torch.cumsum(used, dim=1).type_as(used) * used).long() + self._network.padding
        if types is None:
            types = torch.zeros_like(ids)
        hidden = self._rows(ids, "word") + self._rows(types, "token_type") + self._rows(positions, "position")
        return self._norm(hidden, "embeddings.LayerNorm")

    def _attend(self, hidden: Tensor, mask: Tensor | None, place: str) -> Tensor:
        heads = (*hidden.shape[:2], self._network.heads, -1)
        query, key, value = (
            self._linear(hidden, f"{place}.attention.self.{name}").view(heads).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return attended.transpose(1, 2).reshape(hidden.shape)

    def _weight(self, name: str) -> Tensor:
        values: Tensor = getattr(self, name.replace(".", "/"))
        return values

    def _rows(self, numbers: Tensor, table: str) -> Tensor:
        return functional.embedding(numbers, self._weight(f"embeddings.{table}_embeddings.weight"))

    def _linear(self, values: Tensor, name: str) -> Tensor:
        return functional.linear(values, self._weight(f"{name}.weight"), self._weight(f"{name}.bias"))

    def _norm(self, values: Tensor, name: str) -> Tensor:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return functional.layer_norm(values, (self._network.hidden,), weight, bias, self._network.epsilon)


class Pooling(nn.Module):
    """One vector for the tokens of a text.

    :param mode: ``mean`` of the tokens, ``cls`` for the first or ``lasttoken``.
    """

    def __init__(self, mode: PoolingMode) -> None:
        super().__init__()
        self._mode = mode

    def forward(self, features: Features) -> Features:
        """Add ``sentence_embedding``, [n, hidden]."""
        tokens, used = features["token_embeddings"], features["attention_mask"]
        if self._mode == "cls":
            pooled = tokens[:, 0]
        elif self._mode == "lasttoken":
            pooled = tokens[torch.arange(len(tokens), device=tokens.device), used.sum(dim=1) - 1]
        else:
            mask = used[:, :, None].to(tokens.dtype)
            counts = torch.clamp(mask.sum(dim=1, dtype=torch.float32), min=1e-9)
            pooled = ((tokens * mask).sum(dim=1, dtype=torch.float32) / counts).to(tokens.dtype)
        features["sentence_embedding"] = pooled
        return features


class Dense(nn.Module):
    """A linear layer with an activation.

    :param layer: its sizes.
    """

    def __init__(self, layer: DenseLayer) -> None:
        super().__init__()
        self.linear = nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
        activation = {"Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU, "Identity": nn.Identity}.get(layer.activation)
        if activation is None:
            raise UnknownModelError
        self._activation = activation()

    def forward(self, features: Features) -> Features:
        """Replace ``sentence_embedding``."""
        features["sentence_embedding"] = self._activation(self.linear(features["sentence_embedding"]))
        return features


class Normalize(nn.Module):
    """Unit length."""

    def forward(self, features: Features) -> Features:
        """Replace ``sentence_embedding``."""
        features["sentence_embedding"] = functional.normalize(features["sentence_embedding"], p=2, dim=-1)
        return features
