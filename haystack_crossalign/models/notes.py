"""Sentences on what a reader of the figures should know about a model."""

from __future__ import annotations

from haystack_crossalign.models.names import PoolingSource
from haystack_crossalign.models.prompts import Prompts

_SHOWN = 5


def model_notes(prompts: Prompts, pooling: str | None, pooling_source: PoolingSource | None) -> list[str]:
    """Sentences on defaults that were chosen, each with the option that changes it.

    :param prompts: the prompts in use.
    :param pooling: the pooling of the model.
    :param pooling_source: who chose it.
    """
    notes = []
    if pooling_source == "default":
        notes.append(
            f"The model has no modules.json, so its pooling is not known; sentence-transformers takes '{pooling}'. "
            "Some models were trained with another (BGE and GTE: cls, Qwen3-Embedding: lasttoken); --pooling sets it."
        )
    if prompts.source == "family:e5" and prompts.evidence != "its name":
        notes.append(
            f"The model stores no prompts; it is of the E5 family by {prompts.evidence}, whose prompts are in use; "
            '--query-prefix "" and --document-prefix "" leave them out.'
        )
    if prompts.unused:
        names = ", ".join(map(repr, prompts.unused[:_SHOWN]))
        names += f" and {len(prompts.unused) - _SHOWN} more" if len(prompts.unused) > _SHOWN else ""
        used = prompts.query or prompts.document
        notes.append(
            f"The model has {'more ' if used else ''}prompts, which are not in use: {names}; "
            "--query-prompt and --document-prompt take one by its name."
        )
    return notes
