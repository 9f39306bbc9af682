"""Identity of a model: how an index, a matrix file or a result describes it, and whether two descriptions match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from haystack_crossalign.models.names import OFFLINE_PREFIX

DESCRIBED = ("name", "revision", "sha256", "dimension", "prompts", "normalized", "precision")
"""Keys of a model description."""


class HasProvenance(Protocol):
    """An embedder that can describe its model."""

    def provenance(self) -> dict[str, Any]:
        """Description of the model, ready for JSON."""
        ...


def describe_model(model: HasProvenance | Mapping[str, Any]) -> dict[str, Any]:
    """Describe a model for an index: the ``_meta.crossalign.model`` of its mapping.

    :param model: the embedder, or its provenance.
    :returns: ``name``, ``revision`` and ``sha256`` (of the weights), ``dimension``, ``prompts``, ``normalized`` and
        ``precision``, as far as they are known.
    """
    provenance = model if isinstance(model, Mapping) else model.provenance()
    described = {key: provenance[key] for key in DESCRIBED if provenance.get(key) is not None}
    if str(described.get("name")).startswith(OFFLINE_PREFIX):
        # Without the explanation that follows it, so that the name can be used to load the model.
        described["name"] = str(described["name"]).partition(" (")[0]
    if "text_embedder" in provenance:
        # A pipeline's hash is that of its file, which does not identify the weights.
        described.pop("sha256", None)
    return described


def compare_models(stored: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Differences between two descriptions that change vectors.

    Equal weights with different names are the same model. Precision is not compared: cosines agree to 1e-4.

    :param stored: description in the index.
    :param other: description of the model in use.
    :returns: a phrase for each difference, and whether the descriptions prove that both have the same weights. Equal
        names do not: a name can refer to other weights later.
    """
    differences = []
    if _both(stored, other, "dimension") and stored["dimension"] != other["dimension"]:
        differences.append(f"{stored['dimension']} dimensions in the index, {other['dimension']} of the model")
    same = False
    for key in ("sha256", "revision"):
        if _both(stored, other, key):
            same = stored[key] == other[key]
            if not same:
                differences.append(
                    f"the index was made with {model_name(stored)}, the model in use is {model_name(other)}"
                )
            break
    prompts, others = stored.get("prompts"), other.get("prompts")
    if isinstance(prompts, Mapping) and isinstance(others, Mapping):
        differences += [
            f"the {role} prompt of the index is '{prompts.get(role) or ''}', that in use '{others.get(role) or ''}'"
            for role in ("document", "query")
            if (prompts.get(role) or "") != (others.get(role) or "")
        ]
    if _both(stored, other, "normalized") and bool(stored["normalized"]) != bool(other["normalized"]):
        lengths = {True: "unit length", False: "the model's own lengths"}
        differences.append(
            f"the vectors of the index have {lengths[bool(stored['normalized'])]}, "
            f"those in use {lengths[bool(other['normalized'])]}"
        )
    return tuple(differences), same


def model_name(described: Mapping[str, Any]) -> str:
    """A model's name with the start of its commit or of the hash of its weights."""
    version = described.get("revision") or described.get("sha256")
    return f"'{described.get('name')}'" + (f" ({str(version)[:12]})" if version else "")


def _both(first: Mapping[str, Any], second: Mapping[str, Any], key: str) -> bool:
    return first.get(key) is not None and second.get(key) is not None
