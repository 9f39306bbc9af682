"""Ranks of relevant versions: exact ranks over a whole pool, and ranks in result lists.

Names are imported on first use: many commands read files and compute no ranks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haystack_crossalign.ranks.exact import exact_ranks
    from haystack_crossalign.ranks.result_lists import ranks_from_lists
    from haystack_crossalign.ranks.similarity import (
        DEFAULT_SIMILARITY,
        SIMILARITIES,
        Similarity,
        parse_similarity,
        similarity_words,
    )
    from haystack_crossalign.ranks.table import ABSENT, CENSORED, RankTable
    from haystack_crossalign.ranks.ties import tie_key, tie_order
    from haystack_crossalign.ranks.topk import exact_top_k

__all__ = [
    "ABSENT",
    "CENSORED",
    "DEFAULT_SIMILARITY",
    "SIMILARITIES",
    "RankTable",
    "Similarity",
    "exact_ranks",
    "exact_top_k",
    "parse_similarity",
    "ranks_from_lists",
    "similarity_words",
    "tie_key",
    "tie_order",
]

_MODULES = {
    "ABSENT": "table",
    "CENSORED": "table",
    "DEFAULT_SIMILARITY": "similarity",
    "SIMILARITIES": "similarity",
    "RankTable": "table",
    "Similarity": "similarity",
    "exact_ranks": "exact",
    "exact_top_k": "topk",
    "parse_similarity": "similarity",
    "ranks_from_lists": "result_lists",
    "similarity_words": "similarity",
    "tie_key": "ties",
    "tie_order": "ties",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
