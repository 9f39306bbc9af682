"""The map at the end of a trained model, fitted to what its encoder makes after training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.language_maps import LanguageMaps, fit_language_maps
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.training.linear_module import map_of, set_map
from haystack_crossalign.training.model_setup import StartRepair
from haystack_crossalign.training.recipe.recipe import Recipe

__all__ = ["fit_final_map", "fit_own_maps", "has_final_map"]


def has_final_map(recipe: Recipe) -> bool:
    """Whether the recipe fits anything after training."""
    start = recipe.start
    return start.kind == "repair" and (start.refit or start.own_share is not None)


def fit_final_map(
    recipe: Recipe,
    model: SentenceTransformer,
    choice: StartRepair,
    vectors: NDArray[np.float32],
    tags: Sequence[str],
    groups: Sequence[str],
) -> VectorMap:
    """Fit the linear module again, with the strengths of the start, and language maps, as the recipe says.

    :param recipe: one with :func:`has_final_map`.
    :param model: repaired and trained; gets the linear module.
    :param choice: the repair that training started from.
    :param vectors: float32 ``[n, dim]``, embeddings of the passages of the start's sample by the trained encoder.
    :param tags: language of each, BCP-47.
    :param groups: parallel group of each.
    :returns: the linear module's map, or a map per language, which is not yet in the model.
    """
    start = recipe.start
    shared = fit_language_directions(vectors, tags, groups).affine(*choice.strengths) if start.refit else map_of(model)
    set_map(model, shared)
    if start.own_share is None:
        return shared
    return fit_own_maps(recipe, shared, vectors, tags, groups)


def fit_own_maps(
    recipe: Recipe, shared: AffineMap, vectors: NDArray[np.float32], tags: Sequence[str], groups: Sequence[str]
) -> LanguageMaps:
    """Fit a map for each language on top of the one for all.

    :param recipe: one with ``start.own_share``.
    :param shared: the map for all.
    :param vectors: float32 ``[n, dim]``, embeddings of passages before any map.
    :param tags: language of each, BCP-47.
    :param groups: parallel group of each.
    :raises InputError: when a language has no passage parallel to the recipe's own, or a mean between two others.
    """
    start = recipe.start
    if start.own_share is None:
        msg = "the recipe has no map for each language"
        raise ValueError(msg)
    return fit_language_maps(
        shared, vectors, tags, groups, pivot=recipe.language, own_share=start.own_share, ridge=start.ridge
    )
