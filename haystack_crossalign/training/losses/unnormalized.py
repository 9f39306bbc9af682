"""Embeddings before a model's last normalization, without changing the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sentence_transformers.sentence_transformer.modules import Normalize, Router
from torch import nn

from haystack_crossalign.errors import InputError

_KEPT = "crossalign_unnormalized"


@contextmanager
def without_final_normalization(model: nn.Module, *, active: bool = True) -> Iterator[None]:
    """Inside the block, ``model(features)["sentence_embedding"]`` is the input of the model's last ``Normalize``.

    A model that does not end in ``Normalize`` is not changed.

    :param model: a ``SentenceTransformer``, also inside ``DistributedDataParallel``.
    :param active: False does nothing.
    :raises InputError: for a compiled model, whose graph would silently ignore the change.
    """
    hooks: list[Any] = []
    try:
        for module in _final_normalizers(model) if active else ():
            hooks.append(module.register_forward_pre_hook(_keep))
            hooks.append(module.register_forward_hook(_restore))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _keep(module: nn.Module, args: tuple[dict[str, Any], ...]) -> None:
    args[0][_KEPT] = args[0][str(module.module_input_name)]


def _restore(module: nn.Module, _args: tuple[dict[str, Any], ...], output: dict[str, Any]) -> dict[str, Any]:
    output[str(module.module_output_name)] = output.pop(_KEPT)
    return output


def _final_normalizers(model: nn.Module) -> list[nn.Module]:
    inner = getattr(model, "module", None)
    wrapped = inner if isinstance(inner, nn.Module) else model
    if hasattr(wrapped, "_orig_mod") or getattr(wrapped, "_compiled_call_impl", None) is not None:
        raise InputError(
            "the embeddings before normalization cannot be taken from a compiled model",
            field="z_from",
            seen="before_normalization",
            allowed="after_normalization, or training without torch.compile",
        )
    children = list(wrapped.children())
    if not children:
        return []
    last = children[-1]
    if isinstance(last, Normalize):
        return [last]
    if isinstance(last, Router):
        ends = [list(route.children())[-1] for route in last.sub_modules.values()]
        return [end for end in ends if isinstance(end, Normalize)]
    return []
