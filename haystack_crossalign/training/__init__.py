"""Losses, recipes and the trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.training.losses.cached import CachedCrossAlignLoss
    from haystack_crossalign.training.losses.joint import CrossAlignLoss
    from haystack_crossalign.training.outcome import TrainingOutcome
    from haystack_crossalign.training.recipe.recipe import Recipe, make_recipe, read_recipe
    from haystack_crossalign.training.trainer import train

__all__ = [
    "CachedCrossAlignLoss",
    "CrossAlignLoss",
    "Recipe",
    "TrainingOutcome",
    "make_recipe",
    "read_recipe",
    "train",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CachedCrossAlignLoss": "losses.cached",
        "CrossAlignLoss": "losses.joint",
        "Recipe": "recipe.recipe",
        "TrainingOutcome": "outcome",
        "make_recipe": "recipe.recipe",
        "read_recipe": "recipe.recipe",
        "train": "trainer",
    },
)
