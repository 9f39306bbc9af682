"""Choose the final weights: the last, the best, the start, or a mean of start and tuned weights; and the final map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haystack_crossalign.repair.judging.own_margins import least_margins
from haystack_crossalign.repair.language_maps import OwnShare
from haystack_crossalign.repair.maps.detectors import BetweenOthersError
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.training.evaluation import (
    HeldOutAudit,
    HeldOutScore,
    keeps_own_first,
    own_first_refused,
    preference,
)
from haystack_crossalign.training.linear_module import FinalSample, fit_final_map, has_final_map
from haystack_crossalign.training.model_setup import StartRepair, merge_adapters, strengths_within
from haystack_crossalign.training.monitor import START_STEP, Monitor
from haystack_crossalign.training.outcome import OwnFirstLostError
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
    with ``best`` the start is kept if nothing is better. With ``evaluate.keep_own_first`` the last weights are
    interpolated by the largest of these shares that keeps to it, and the start is kept if none does; a recipe with a
    final map is judged with that (:func:`finish`).

    :param model: after training; adapters are merged.
    :param start: see :func:`weights_of`.
    :param monitor: history of the evaluations.
    :param recipe: the recipe.
    :param score: scores the model on the held-out part; None if there is none.
    """
    base, best, options = monitor.base, monitor.best, recipe.evaluate
    keep_best, several = options.keep == "best", isinstance(recipe.interpolate, str)
    bounded = options.keep_own_first is not None and not keep_best and not has_final_map(recipe)
    if (
        score is None or base is None or best is None or not (keep_best or several or bounded)
    ):  # no score or no candidates to choose from
        merge_adapters(model)
        share = 1.0 if isinstance(recipe.interpolate, str) else recipe.interpolate
        interpolate(model, start, _named(model, start), share)
        return Candidate(monitor.step, share, {})
    step = max(evaluation.step for evaluation in monitor.history)
    shares: tuple[float, ...] = SHARES if isinstance(recipe.interpolate, str) else (recipe.interpolate,)
    if bounded and not several:
        shares += tuple(share for share in SHARES if share < shares[0])
    if keep_best and best.step not in (START_STEP, step):
        step = best.step
        read_weights(model, monitor.best_weights(step))
    merge_adapters(model)
    tuned = _named(model, start)
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
        if bounded and not several and keeps_own_first(known, base, options):
            break
    if bounded and not several:
        chosen = min(tried)
    else:
        chosen = max(tried, key=lambda share: preference(tried[share], base, options))
    first = monitor.history[0].score
    not_kept = bounded and not keeps_own_first(tried[chosen], base, options)
    if not_kept or (keep_best and preference(first, base, options) >= preference(tried[chosen], base, options)):
        step, chosen = START_STEP, 0.0
    interpolate(model, start, tuned, chosen)
    return Candidate(step, chosen, tried if len(tried) > 1 else {})


@dataclass(frozen=True)
class FinalMap:
    """A final map that is tried.

    :param strength: of the repair that is fitted again; None for that of the start.
    :param own_part: part of the recipe's own share for the map of each language; None for one map for all.
    :param own_margins: margin of each language that has one, by tag, see
        :func:`~haystack_crossalign.repair.language_maps.fit_language_maps`.
    """

    strength: float | None = None
    own_part: float | None = 1.0
    own_margins: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Finish:
    """Fits the final map of a recipe, if it has one, and measures the result.

    :param recipe: the recipe.
    :param model: with the chosen weights; its linear module is replaced.
    :param choice: the repair that training started from; None without one.
    :param sample: embeds the passages that the final map is fitted on, by the encoder as it is now.
    :param encode: float32 ``[rows, dim]`` of the held-out part by the encoder as it is now, before any map.
    :param embed: the same by the model as it is now and a map for each language that is not in the model.
    :param audit: the held-out part, None if there is none.
    :param base: score of the base model, likewise.
    """

    recipe: Recipe
    model: Any
    choice: StartRepair | None
    sample: Callable[[], FinalSample | None]
    encode: Callable[[], NDArray[np.float32]]
    embed: Callable[[VectorMap | None], NDArray[np.float32]]
    audit: HeldOutAudit | None
    base: HeldOutScore | None

    def __call__(
        self, chosen: Candidate, start: Mapping[str, Tensor]
    ) -> tuple[Candidate, VectorMap | None, NDArray[np.float32] | None]:
        """The final map and the held-out part by it, with ``evaluate.keep_own_first`` the best that keeps to it.

        If the final map does not, others are tried: with half of the own share, with one map for all languages, each
        of these with the least margins for the query's own language that are enough, and where it is fitted again,
        with every tenth of the strength. If none does, the same with the weights of the start.

        :param chosen: the weights of the model.
        :param start: the weights of the start, see :func:`weights_of`.
        :returns: the weights, the final map, and the embeddings.
        :raises OwnFirstLostError: if nothing keeps to the bound.
        """
        sample = self.sample()
        final, embedded = self._fitted(sample, FinalMap())
        if embedded is None or self.audit is None or self.base is None or self.recipe.evaluate.keep_own_first is None:
            return chosen, final, embedded
        lost = self.audit.score(embedded)
        if self._fits(lost):
            return chosen, final, embedded
        for candidate in (chosen, Candidate(START_STEP, 0.0, chosen.tried)):
            if candidate is not chosen:
                if chosen.share == 0:
                    break
                interpolate(self.model, start, start, 0.0)
                sample = self.sample()
            kept = self._tried(sample, self.encode(), self.audit)
            if kept:
                base = self.base
                best = max(kept, key=lambda setting: preference(kept[setting], base, self.recipe.evaluate))
                return (candidate, *self._fitted(sample, best))
        raise OwnFirstLostError(lost.own_first, self.base.own_first, self.recipe.evaluate.keep_own_first)

    def _tried(
        self, sample: FinalSample | None, encoded: NDArray[np.float32], audit: HeldOutAudit
    ) -> dict[FinalMap, HeldOutScore]:
        """The maps that keep to the bound, with the least margins where they need some."""
        kept: dict[FinalMap, HeldOutScore] = {}
        for setting in self._settings(sample):

            def refused(margins: Mapping[str, float], setting: FinalMap = setting) -> list[str]:
                with_margins = replace(setting, own_margins=tuple(sorted(margins.items())))
                score = audit.score(self._mapped(sample, with_margins, encoded))
                if self._fits(score):
                    kept[with_margins] = score
                return [] if self.base is None else own_first_refused(score, self.base, self.recipe.evaluate)

            whole = setting.strength is None and (setting.own_part is not None or self.recipe.start.refit)
            if sample is None or self.choice is None or not whole:
                refused({})  # margins on top of the whole repair take less of its gain than a weaker one
            else:
                with suppress(BetweenOthersError):  # then no margin can be added
                    least_margins(sorted(set(sample.tags)), refused)
        return kept

    def _fits(self, score: HeldOutScore) -> bool:
        return self.base is None or keeps_own_first(score, self.base, self.recipe.evaluate)

    def _settings(self, sample: FinalSample | None) -> list[FinalMap]:
        """The maps that are tried, without margins."""
        if sample is None or self.choice is None:
            return [FinalMap()]
        refit = self.recipe.start.refit
        strengths = [None, *strengths_within(self.choice.strengths[0])] if refit else [None]
        parts = (1.0, 0.5, None) if self.recipe.start.own_share is not None else (1.0,)
        return [FinalMap(strength, part) for strength in strengths for part in parts]

    def _fitted(
        self, sample: FinalSample | None, setting: FinalMap
    ) -> tuple[VectorMap | None, NDArray[np.float32] | None]:
        final = self._map(sample, setting)
        return final, None if self.audit is None else self.embed(final)

    def _mapped(
        self, sample: FinalSample | None, setting: FinalMap, encoded: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The held-out part by a final map, from what the encoder made of it: no text is embedded again."""
        final = self._map(sample, setting)
        return self.embed(None) if final is None else final.apply(encoded)

    def _map(self, sample: FinalSample | None, setting: FinalMap) -> VectorMap | None:
        choice, recipe, final = self.choice, self.recipe, None
        if sample is not None and choice is not None and (setting.own_part is not None or recipe.start.refit):
            if setting.strength is not None:
                choice = replace(choice, strengths=(setting.strength, *choice.strengths[1:]))
            recipe = replace(recipe, start=replace(recipe.start, own_share=_part(recipe.start.own_share, setting)))
            final = fit_final_map(recipe, self.model, choice, sample, dict(setting.own_margins))
        return final


def _part(own_share: OwnShare | None, setting: FinalMap) -> OwnShare | None:
    """The part of the recipe's own share that a map takes."""
    part = setting.own_part
    if part is None or own_share is None or part == 1:
        return None if part is None else own_share
    if isinstance(own_share, Mapping):
        return {tag: None if share is None else part * share for tag, share in own_share.items()}
    return part * own_share


def _named(model: Any, start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().clone() for name in start}
