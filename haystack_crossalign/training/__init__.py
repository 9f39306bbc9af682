"""Losses, training data and repair that take the language bias out of an embedding model.

Nothing heavy is imported before one of the names is used: ``import haystack_crossalign.training`` loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haystack_crossalign.training.losses.cached import CachedCrossAlignLoss
    from haystack_crossalign.training.losses.joint import CrossAlignLoss

__all__ = ["CachedCrossAlignLoss", "CrossAlignLoss"]

_MODULE_OF = {
    "CachedCrossAlignLoss": "haystack_crossalign.training.losses.cached",
    "CrossAlignLoss": "haystack_crossalign.training.losses.joint",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
