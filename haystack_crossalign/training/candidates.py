"""Choose the final weights: the last, the best, the start, or a mean of start and tuned weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from haystack_crossalign.training.evaluation import HeldOutScore, preference
from haystack_crossalign.training.model_setup import merge_adapters
from haystack_crossalign.training.monitor import START_STEP, Monitor
from haystack_crossalign.training.recipe.recipe import Recipe
from haystack_crossalign.training.stock_trainer import read_weights

SHARES = (1.0, 0.85, 0.7, 0.5, 0.3)
_BASE = ".base_layer."


@dataclass(frozen=True)
class Candidate:
    """Weights that were chosen.

    :param step: step they are of; 0 is the start.
    :param share: share of them in the mean with the start.
    :param tried: score per share where several were tried.
    """

    step: int
    share: float
    tried: Mapping[float, HeldOutScore]


def weights_of(model: Any) -> dict[str, Tensor]:
    """Copies of the weights that training changes, by their names without adapters."""
    return {
        name.replace(_BASE, "."): weight.detach().clone()
        for name, weight in model.named_parameters()
        if _BASE in name or (weight.requires_grad and "lora_" not in name)
    }


def interpolate(model: Any, start: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float) -> None:
    """Set the weights to ``start + share * (tuned - start)``; exactly ``start`` at 0 and ``tuned`` at 1.

    :param model: without adapters.
    :param start: weights by name.
    :param tuned: weights of the same names.
    :param share: 0 to 1.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, before in start.items():
            after = tuned[name]
            mean = after if share == 1 else before if share == 0 else torch.lerp(before, after, share)
            parameters[name].copy_(mean)


def choose_weights(
    model: Any,
    start: Mapping[str, Tensor],
    monitor: Monitor,
    recipe: Recipe,
    score: Callable[[Any], HeldOutScore] | None,
) -> Candidate:
    """Set the weights of the model that the recipe asks for.

    With ``evaluate.keep: best`` these are the weights of the best step (of the last if the start is the best), with
    ``last`` those of the last step. They are interpolated by ``interpolate``, with ``auto`` by each of :data:`SHARES`;
    with ``best`` the start is kept if nothing is better.

    :param model: after training; adapters are merged.
    :param start: see :func:`weights_of`.
    :param monitor: history of the evaluations.
    :param recipe: the recipe.
    :param score: scores the model on the held-out part; None if there is none.
    """
    base, best = monitor.base, monitor.best
    keep_best, several = recipe.evaluate.keep == "best", isinstance(recipe.interpolate, str)
    if (
        score is None or base is None or best is None or not (keep_best or several)
    ):  # no score or no candidates to choose from
        merge_adapters(model)
        share = 1.0 if isinstance(recipe.interpolate, str) else recipe.interpolate
        interpolate(model, start, _named(model, start), share)
        return Candidate(monitor.step, share, {})
    step = max(evaluation.step for evaluation in monitor.history)
    shares = SHARES if isinstance(recipe.interpolate, str) else (recipe.interpolate,)
    if keep_best and best.step not in (START_STEP, step):
        step = best.step
        read_weights(model, monitor.best_weights(step))
    merge_adapters(model)
    tuned = _named(model, start)
    tolerance = recipe.evaluate.tolerance
    tried: dict[float, HeldOutScore] = {}
    for share in shares:
        known = (
            next((evaluation.score for evaluation in monitor.history if evaluation.step == step), None)
            if share == 1
            else None
        )
        if known is None:
            interpolate(model, start, tuned, share)
            known = score(model)
        tried[share] = known
    chosen = max(tried, key=lambda share: preference(tried[share], base, tolerance))
    first = monitor.history[0].score
    if keep_best and preference(first, base, tolerance) >= preference(tried[chosen], base, tolerance):
        step, chosen = START_STEP, 0.0
    interpolate(model, start, tuned, chosen)
    return Candidate(step, chosen, tried if len(tried) > 1 else {})


def _named(model: Any, start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().clone() for name in start}
