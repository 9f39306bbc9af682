"""Open a model folder without sentence-transformers and transformers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from haystack_crossalign.models.direct.description import DenseLayer, Description, read_description, require
from haystack_crossalign.models.direct.network import Dense, Features, Normalize, Pooling, Transformer, weight_shapes
from haystack_crossalign.models.direct.tokenizer import TextTokenizer

# Weights that no embedding uses, and a buffer of older files.
_UNUSED = ("pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids")
_FLOATS = ("F64", "F32", "F16", "BF16")


class DirectModel(nn.Sequential):
    """A model in the form in which `Encoder` uses a ``SentenceTransformer``.

    :param description: what its files say.
    :param tokenizer: its tokenizer.
    :param modules: `Transformer`, `Pooling` and what follows.
    """

    def __init__(self, description: Description, tokenizer: TextTokenizer, modules: Sequence[nn.Module]) -> None:
        super().__init__(*modules)
        self._tokenizer = tokenizer
        self.max_seq_length = description.limit
        self.prompts = description.prompts
        self.similarity_fn_name = description.similarity
        self.truncate_dim = description.truncate_dim

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(module.device for module in self if isinstance(module, Transformer))

    def preprocess(self, texts: list[str], prompt: str | None = None, **_: Any) -> Features:
        """Tokens of texts with a prompt before each.

        :param texts: n texts, at least one.
        :param prompt: text before each text.
        """
        if prompt:
            texts = [prompt + text for text in texts]
        return dict(self._tokenizer.encode(texts, self.max_seq_length))

    def forward(self, input: Features, **_: Any) -> Features:
        """Add ``sentence_embedding``, [n, dimension], to the features of `preprocess`."""
        for module in self:
            input = module(input)
        return input


def open_directly(
    folder: Path, *, device: str, dtype: torch.dtype, listed: Collection[str] | None = None
) -> tuple[DirectModel, str] | None:
    """Open a model folder, if everything in it is known.

    :param folder: the folder.
    :param device: torch device.
    :param dtype: number format of the weights.
    :param listed: names of all files of the model on the hub; None if the folder holds all that there is.
    :returns: the model and its pooling; None for a model that sentence-transformers has to open, or reject.
    """
    try:
        description = read_description(folder, listed)
        weights = _read_weights(
            folder / "model.safetensors", weight_shapes(description.network), _UNUSED, device=device, dtype=dtype
        )
        after = [_after(layer, device, dtype) for layer in description.after]
        tokenizer = TextTokenizer(folder, description.tokenizer)
    except Exception:  # noqa: BLE001 - a file can hold anything, and a device can be missing: sentence-transformers says so
        return None
    modules = (Transformer(description.network, weights), Pooling(description.pooling), *after)
    return DirectModel(description, tokenizer, modules), description.pooling


def _after(layer: DenseLayer | str, device: str, dtype: torch.dtype) -> nn.Module:
    if not isinstance(layer, DenseLayer):
        return Normalize()
    dense = Dense(layer)
    shapes = {f"linear.{name}": tuple(parameter.shape) for name, parameter in dense.linear.named_parameters()}
    weights = _read_weights(layer.folder / "model.safetensors", shapes, (), device="cpu", dtype=torch.float32)
    dense.load_state_dict(weights)
    return dense.to(device, dtype)


def _read_weights(
    path: Path, shapes: dict[str, tuple[int, ...]], unused: Collection[str], *, device: str, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Read weights of exactly these names and shapes.

    :raises UnknownModelError: if one is missing, of another shape, or not among them.
    """
    with safe_open(path, framework="pt", device="cpu") as file:
        names = set(file.keys())
        require(set(shapes) <= names <= {*shapes, *unused})
        for name, shape in shapes.items():
            stored = file.get_slice(name)
            require(tuple(stored.get_shape()) == shape and stored.get_dtype() in _FLOATS)
        return {name: file.get_tensor(name).to(device, dtype) for name in shapes}
