"""Detect weights that were not loaded correctly: missing, unused, or with another shape.

transformers fills a missing weight with random numbers and only logs it, so the results of such a model differ from run
to run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from haystack_crossalign.errors import ExternalError

_POOLER = "pooler"
# Buffers in older checkpoints of modules that no longer exist: positions, rotary frequencies, causal masks.
_OLD_BUFFERS = ("position_ids", "token_type_ids", "inv_freq", "masked_bias")
_SHOWN = 4
_lock = threading.Lock()


@dataclass(frozen=True)
class LoadedPart:
    """A transformers model within a loaded model, with transformers' report on its weights.

    :param module: the transformers model.
    :param missing: names of weights that are in no file; they hold random numbers.
    :param unexpected: names in the files for which the model has no place.
    :param mismatched: names of weights with another shape in the files, with both shapes; they hold random numbers.
    """

    module: nn.Module
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, str], ...]


@contextmanager
def recorded_loads() -> Iterator[list[LoadedPart]]:
    """Record transformers' report on every model that this thread loads inside the block.

    sentence-transformers calls ``from_pretrained`` and drops the report (``output_loading_info``), so that method is
    wrapped for the duration. Loads of other threads pass through untouched.
    """
    import transformers

    base_class: Any = transformers.PreTrainedModel
    parts: list[LoadedPart] = []
    with _lock:
        original = base_class.__dict__["from_pretrained"]
        thread = threading.get_ident()

        def from_pretrained(cls: type, name: Any, *args: Any, **options: Any) -> Any:
            load = original.__get__(None, cls)
            if threading.get_ident() != thread:
                return load(name, *args, **options)
            wanted = options.pop("output_loading_info", False)
            # Without this, a mismatched shape raises an error that does not name the weight; it is rejected below.
            options = {**options, "output_loading_info": True, "ignore_mismatched_sizes": True}
            module, report = load(name, *args, **options)
            parts.append(_part(module, report))
            adapted = _adapted_model(module)
            if adapted is not None:
                # For a model with adapters, transformers reports only on the adapters, so its base is loaded once more.
                again = {key: value for key, value in options.items() if key not in ("adapter_kwargs", "revision")}
                parts.append(_part(*load(adapted, *args, **again)))
            return (module, report) if wanted else module

        base_class.from_pretrained = classmethod(from_pretrained)
        try:
            yield parts
        finally:
            base_class.from_pretrained = original


def check_weights(name: str, parts: list[LoadedPart], embed: Callable[[], torch.Tensor]) -> None:
    """Reject a model with random weights, or whose files contain layers that the model lacks.

    Exceptions are a pooler that does not affect the embedding, and weights outside the encoder: the head of a
    checkpoint for another task, such as ``lm_head``.

    :param name: name of the model, for the message.
    :param parts: result of `recorded_loads`.
    :param embed: embeds one text, float [1, dimension].
    :raises ExternalError: with the names of the weights.
    """
    for part in parts:
        missing, mismatched = list(part.missing), dict(part.mismatched)
        poolers = [weight for weight in (*missing, *mismatched) if _POOLER in weight.split(".")]
        if poolers and not _matter(part.module, poolers, embed):
            missing = [weight for weight in missing if weight not in poolers]
            mismatched = {weight: shapes for weight, shapes in mismatched.items() if weight not in poolers}
        unexpected = [weight for weight in part.unexpected if _belongs_inside(part.module, weight)]
        faults = [
            f"{words}: {_some(weights)}"
            for words, weights in (
                ("missing, so that they would be random", missing),
                ("of another shape", [f"{weight} ({shapes})" for weight, shapes in mismatched.items()]),
                ("in the files but not in the model", unexpected),
            )
            if weights
        ]
        if faults:
            raise ExternalError(
                f"cannot load the model '{name}': its weights are not those of its config.json; {'; '.join(faults)}. "
                "Fetch the model again, or take the config.json that belongs to its weights"
            )


def _part(module: nn.Module, report: dict[str, Any]) -> LoadedPart:
    mismatched = sorted(
        (str(weight), f"{list(stored)} in the files, {list(expected)} in the model")
        for weight, stored, expected in report["mismatched_keys"]
    )
    return LoadedPart(
        module,
        tuple(sorted(map(str, report["missing_keys"]))),
        tuple(sorted(map(str, report["unexpected_keys"]))),
        tuple(mismatched),
    )


def _adapted_model(module: nn.Module) -> str | None:
    """Name or folder of the base model of loaded adapters."""
    adapters = getattr(module, "peft_config", None) or {}
    names = [adapter.base_model_name_or_path for adapter in adapters.values()]
    return names[0] if names and names[0] else None


def _matter(module: nn.Module, names: list[str], embed: Callable[[], torch.Tensor]) -> bool:
    """Whether the embedding changes if these weights are set to zero; they are restored."""
    weights = dict(module.named_parameters())
    chosen = [weights[name] for name in names if name in weights]
    if len(chosen) < len(names):
        return True
    kept = [weight.detach().clone() for weight in chosen]
    before = embed()
    try:
        with torch.no_grad():
            for weight in chosen:
                weight.zero_()
        after = embed()
    finally:
        with torch.no_grad():
            for weight, values in zip(chosen, kept, strict=True):
                weight.copy_(values)
    return not torch.allclose(before, after, rtol=1e-3, atol=1e-6)


def _belongs_inside(module: nn.Module, name: str) -> bool:
    """Whether a name in the files is that of a weight inside the encoder, for example of an extra layer."""
    own = {child for child, _ in module.named_children()} | {weight for weight, _ in module.named_parameters()}
    path = name.split(".")
    prefix = str(getattr(module, "base_model_prefix", ""))
    if path[0] not in own and path[0] == prefix:
        path = path[1:]
    if not path or path[0] not in own or _POOLER in path or path[-1] in _OLD_BUFFERS:
        return False
    try:
        parent = module.get_submodule(".".join(path[:-1]))
    except AttributeError:
        return True
    # In an existing module, an unexpected weight or bias counts only if the module is a layer: masks in old checkpoints
    # are also called `attention.bias`, but without a weight.
    return path[-1] in ("weight", "bias") and hasattr(parent, "weight")


def _some(names: list[str]) -> str:
    shown = ", ".join(name if len(name) <= 120 else f"{name[:119]}…" for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
