"""Prepare the model for training: load it, repair it if the recipe says so, and freeze weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch import nn

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.loading import LoadedModel, LoadOptions, load_model
from haystack_crossalign.models.prompts import PromptChoice, Prompts, resolve_prompts
from haystack_crossalign.ranks import Similarity, parse_similarity
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.directions import (
    COMMON_SHARES,
    SHRINKAGES,
    STRENGTHS,
    choose_repair,
    fit_language_directions,
)
from haystack_crossalign.repair.judging.dial import DIAL
from haystack_crossalign.repair.other_languages import OtherLanguages
from haystack_crossalign.repair.scores import HeldOut, held_out_score
from haystack_crossalign.repair.trials import Trial
from haystack_crossalign.training.batches.packing import DOCUMENT, TextTable
from haystack_crossalign.training.recipe.recipe import Recipe
from haystack_crossalign.training.recipe.sections import Lora, ModelSource, Start


@dataclass(frozen=True)
class BaseModel:
    """A loaded model.

    :param model: the model, float32.
    :param prompts: the prompts of queries and documents.
    :param loaded: its name and the identity of its weights.
    """

    model: SentenceTransformer
    prompts: Prompts
    loaded: LoadedModel

    @property
    def similarity(self) -> Similarity:
        """The similarity that the model states."""
        return parse_similarity(self.model.similarity_fn_name, source=self.loaded.name, field="similarity_fn_name")


@dataclass(frozen=True)
class StartRepair:
    """The repair that training starts from.

    :param repair: the map.
    :param strengths: strength, share of the common mean, number of directions and whitening of the map.
    :param trials: the trials, empty if the recipe gives the strengths.
    """

    repair: AffineMap
    strengths: tuple[float, float, int | None, float | None]
    trials: tuple[Trial, ...] = ()


def load_base(source: ModelSource, device: str, *, trust_remote_code: bool = False) -> BaseModel:
    """Load the model of a recipe in float32, with its prompts resolved and stored in it.

    :raises InputError: as :func:`~haystack_crossalign.models.loading.load_model`.
    :raises ExternalError: likewise.
    """
    options = LoadOptions(revision=source.revision, trust_remote_code=trust_remote_code)
    loaded = load_model(source.name, device=device, dtype=torch.float32, options=options)
    model = loaded.model
    choice = PromptChoice(source.query_prefix, source.document_prefix, source.query_prompt, source.document_prompt)
    prompts = resolve_prompts(model.prompts, loaded.names, choice)
    if prompts.source != "none":
        # The prompts were found by the model's name, which the trained folder does not have, or under a name unknown to
        # stock code, or given by the user: they must be stored in the folder.
        model.prompts = {**model.prompts, "query": prompts.query, "document": prompts.document}
    return BaseModel(model, prompts, loaded)


def choose_start(
    start: Start,
    passages: NDArray[np.float32],
    languages: Sequence[str],
    groups: Sequence[str],
    held_out: HeldOut | None,
    others: OtherLanguages | None = None,
    keep_own_first: float | None = None,
) -> StartRepair:
    """Choose the repair from which training starts.

    :param start: the section of the recipe.
    :param passages: float32 ``[n, dim]``, training passages of all languages.
    :param languages: tag of each.
    :param groups: parallel group of each.
    :param held_out: data for choosing the strengths; None if there is none.
    :param others: texts of languages that are protected, by the same model; None for a closed index.
    :param keep_own_first: accepted loss of the own language first, see ``evaluate.keep_own_first``; with a bound, every
        tenth of the strength is tried.
    :raises InputError: if a strength must be chosen without such data.
    """
    fitted = fit_language_directions(passages, languages, groups, others)
    strength, share, whitening = start.strength, start.common_share, start.whitening
    if start.directions is not None and start.directions > len(fitted.basis):
        raise InputError(
            "out of range", field="start.directions", seen=start.directions, allowed=f"1 to {len(fitted.basis)}"
        )
    if not isinstance(strength, str) and not isinstance(share, str):
        shrinkage = None if isinstance(whitening, str) else whitening
        strengths = (strength, share, start.directions, shrinkage)
        return StartRepair(fitted.affine(*strengths), strengths)
    if held_out is None:
        raise InputError(
            "the strengths of the repair are chosen on held-out data, and there is none",
            field="start.strength",
            seen=strength,
            allowed="numbers for strength and common_share, or a held-out part with queries",
        )
    choice = choose_repair(
        fitted,
        held_out_score(held_out),
        tolerance=start.tolerance,
        strengths=(STRENGTHS if keep_own_first is None else DIAL) if isinstance(strength, str) else (strength,),
        common_shares=COMMON_SHARES if isinstance(share, str) else (share,),
        whitenings=SHRINKAGES if isinstance(whitening, str) else (whitening,),
        directions=start.directions,
        keep_own_first=keep_own_first,
    )
    chosen = choice.chosen
    strengths = (chosen.strength, chosen.common_share, start.directions, chosen.whitening)
    return StartRepair(fitted.affine(*strengths), strengths, choice.trials)


def strengths_within(strength: float) -> list[float]:
    """The strengths of the dial below one, the strongest first.

    :param strength: 0 to 1.
    """
    return [step for step in reversed(DIAL) if step < strength]


def passage_sample(
    triplets: Sequence[Triplet], table: TextTable, count: int, seed: int
) -> tuple[list[int], list[str], list[str]]:
    """Select distinct training passages on which a repair is fitted.

    :param triplets: training triplets.
    :param table: the texts.
    :param count: passages per language; more for the source language if those of other languages have different
        counterparts.
    :param seed: of the draw.
    :returns: rows of the table, with the language of each and the passage of which it is a version.
    """
    order = np.random.default_rng([seed, 2]).permutation(len(triplets)).tolist()
    # Triplets with all languages come first, as fewer parallel passages suffice.
    order.sort(key=lambda place: -len(triplets[place].targets))
    chosen: dict[str, dict[int, str]] = {}
    for place in order:
        triplet = triplets[place]
        own = chosen.setdefault(triplet.language, {})
        wanted = [
            (tag, text) for tag, text in sorted(triplet.targets.items()) if len(chosen.setdefault(tag, {})) < count
        ]
        if wanted or len(own) < count:
            # Beyond the count if a target needs it, since a target without its counterpart is of little use.
            own.setdefault(table.add(DOCUMENT, triplet.passage), triplet.passage)
        for tag, text in wanted:
            chosen[tag].setdefault(table.add(DOCUMENT, text), triplet.passage)
    rows = [(row, tag, group) for tag in sorted(chosen) for row, group in chosen[tag].items()]
    return [row for row, _, _ in rows], [tag for _, tag, _ in rows], [group for _, _, group in rows]


def prepare_training(model: SentenceTransformer, recipe: Recipe, device: str) -> None:
    """Freeze weights, add adapters and set the dropout, as the recipe says.

    :param model: changed in place.
    :param recipe: the recipe.
    :param device: device of the training, which decides ``freeze_token_table: auto``.
    :raises ExternalError: for adapters without the extra ``lora``.
    :raises InputError: if nothing is left to train.
    """
    transformer: Any = model[0].auto_model
    if recipe.dropout is not None:
        set_dropout(transformer, recipe.dropout)
    if recipe.lora is not None:
        _add_adapters(transformer, recipe.lora, recipe.seed)
    if recipe.freeze_encoder:
        for module in list(model.children())[:-3]:
            module.requires_grad_(False)
    frozen = recipe.freeze_token_table
    if frozen is True or (frozen == "auto" and device.startswith("cpu")):
        transformer.get_input_embeddings().requires_grad_(False)
    if recipe.start.kind == "repair" and not recipe.start.train_dense:
        for module in model.children():
            if isinstance(module, Dense):
                module.requires_grad_(False)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise InputError("nothing is left to train", field="freeze_token_table")


def set_dropout(transformer: nn.Module, rate: float) -> None:
    """Set the dropout of a transformer for training; its saved configuration does not change.

    :param transformer: the transformers model.
    :param rate: 0 to 1.
    """
    for module in transformer.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        for name in ("dropout_prob", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, rate)


def merge_adapters(model: SentenceTransformer) -> None:
    """Merge adapters into their weights and remove them; does nothing if there are none.

    :param model: changed in place.
    """
    transformer: Any = model[0].auto_model
    tuned = [(name, module) for name, module in transformer.named_modules() if hasattr(module, "get_base_layer")]
    for name, module in tuned:
        module.merge()
        parent, _, own = name.rpartition(".")
        setattr(transformer.get_submodule(parent), own, module.get_base_layer())
    if hasattr(transformer, "peft_config"):
        del transformer.peft_config


def _add_adapters(transformer: Any, lora: Lora, seed: int) -> None:
    try:
        peft = import_module("peft")
    except ImportError as error:
        msg = "low-rank adapters need the extra 'lora': pip install 'haystack-crossalign[lora]'"
        raise ExternalError(msg) from error
    # The pooler of BERT does not affect embeddings.
    linear = [
        name for name, module in transformer.named_modules() if isinstance(module, nn.Linear) and "pooler" not in name
    ]
    targets = [name for name in linear if lora.targets is None or name.rpartition(".")[2] in lora.targets]
    if not targets:
        raise InputError(
            "no linear module has such a name",
            field="lora.targets",
            seen=lora.targets,
            allowed=", ".join(sorted({name.rpartition(".")[2] for name in linear})),
        )
    torch.manual_seed(seed)
    peft.inject_adapter_in_model(
        peft.LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets),
        transformer,
    )
