"""Sentences on how texts were embedded: prompts, pooling, maximum length, and notes for the reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack_crossalign.report.content.words import joined, plural

_ORIGINS = {"model": "the model's own", "option": "as chosen", "family:e5": "those of the E5 family"}


def model_lines(provenance: Mapping[str, Any]) -> list[str]:
    """Sentences on the model of a result; none if it was not embedded by this package.

    :param provenance: of an audit result.
    """
    model = provenance.get("model") or {}
    # Results of earlier versions, embedders of a pipeline and models inside a cluster do not record the settings.
    settings = [_settings(model), *cut_lines(model)] if "pooling_from" in model else []
    return [*settings, *model.get("notes", [])]


def _settings(model: Mapping[str, Any]) -> str:
    query, document = (_prompt(model, role) for role in ("query", "document"))
    parts = [f"queries with {query}, documents with {document}"]
    if query == document == "no prompt":
        parts = ["no prompts"]
    elif model["prompts_from"] in _ORIGINS:
        parts[0] += f" ({_ORIGINS[model['prompts_from']]})"
    if model["pooling"] is not None:
        parts.append(f"{model['pooling']} pooling")
    if model["max_tokens"] is not None:
        parts.append(f"texts of up to {model['max_tokens']} tokens")
    return f"Embedded by {model['name']}: {'; '.join(parts)}."


def _prompt(model: Mapping[str, Any], role: str) -> str:
    text, name = model["prompts"][role], model["prompt_names"][role]
    if not text:
        return "no prompt"
    return repr(text) if name in (None, role) else f"{text!r} (prompt {name!r})"


def cut_lines(model: Mapping[str, Any]) -> list[str]:
    """A sentence on the texts that were cut because they were longer than the limit; none if there were none.

    :param model: ``model`` of an audit result or of a training run.
    """
    cut = model.get("cut_texts") or {"queries": 0, "documents": 0}
    words = {"queries": ("query", "queries"), "documents": ("document", "documents")}
    counts = [plural(cut[kind], *words[kind]) for kind in ("documents", "queries") if cut[kind]]
    if not counts:
        return []
    verb = "was" if sum(cut.values()) == 1 else "were"
    return [f"{joined(counts)} {verb} longer than {model['max_tokens']} tokens and {verb} cut there."]
