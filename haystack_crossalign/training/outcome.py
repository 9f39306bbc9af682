"""Outcome of a training run: the model folder, the figures before and after, and everything needed to reproduce it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haystack_crossalign.audit.result import rounded
from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.schemas import shipped_schema

SCHEMA = "crossalign.training/1"


class OwnFirstLostError(CrossAlignError):
    """No weights, and no weaker repair, keep the own language first as the recipe demands.

    :param after: share of the queries of each row that find their own language first, by the model that was trained.
    :param base: likewise, by the base model.
    :param bound: accepted loss.
    """

    exit_code = 1  # as for a gate that fails

    def __init__(self, after: Mapping[str, float], base: Mapping[str, float], bound: float) -> None:
        name = max(after, key=lambda row: base[row] - after[row])
        super().__init__(
            f"no model is written: neither the trained weights nor the start keep the own language first within "
            f"{bound:g} (evaluate.keep_own_first); {name}: {base[name]:.1%} by the base model, {after[name]:.1%} after "
            "training"
        )


@dataclass(frozen=True)
class TrainingOutcome:
    """A finished run.

    :param path: the model folder.
    :param data: content of ``training.json``.
    :param seconds: seconds by stage; not in ``training.json``, so that equal runs give equal files.
    """

    path: Path
    data: Mapping[str, Any]
    seconds: Mapping[str, float]

    @property
    def harmless(self) -> bool | None:
        """Whether no language lost more than the tolerance in its own pool; None if no loss is known, but nothing
        was held out for some language.
        """
        result = self.data["result"]
        return None if result is None or result["harmless"] is None else bool(result["harmless"])

    @property
    def improved(self) -> bool | None:
        """Whether the bias is smaller than that of the start; None if nothing was held out."""
        result = self.data["result"]
        return None if result is None else bool(result["alignment"]["after"] > result["alignment"]["start"])

    def metrics(self) -> dict[str, float]:
        """Figures after training by the name of the row and measure, such as ``multi en+zh, zh queries: Max@R``.

        Measures that are defined for no query are left out.
        """
        result = self.data["result"]
        if result is None:
            return {}
        return {
            f"{row['name']}: {measure}": values["after"]
            for row in result["rows"]
            for measure, values in row["measures"].items()
            if values["after"] is not None
        }


def training_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``training.json``."""
    return shipped_schema("training-1.schema.json")


def training_json(data: Mapping[str, Any]) -> str:
    """The text of ``training.json``; equal data give equal bytes."""
    return json.dumps(rounded(dict(data)), ensure_ascii=False, allow_nan=False, indent=1) + "\n"
