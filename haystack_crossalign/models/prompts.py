"""Which text goes in front of a query and of a document, and how that was found out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["E5_PROMPTS", "PromptSource", "Prompts", "resolve_prompts"]

PromptSource = Literal["model", "option", "family:e5", "none"]

_DOCUMENT_NAMES = ("document", "passage", "corpus")

# The E5 models of 2022 to 2024 were trained with these prefixes, but their folders on the hub do not name them.
# Source: "Text Embeddings by Weakly-Supervised Contrastive Pre-training" (arXiv 2212.03533), section 3, and the model
# cards. The instruct models take a task instruction instead and are not meant here.
_E5_NAME = re.compile(r"(?:^|[/_-])e5-(?:small|base|large)(?:-v2|-unsupervised)?$", re.IGNORECASE)
_E5_QUERY, _E5_DOCUMENT = E5_PROMPTS = "query: ", "passage: "


@dataclass(frozen=True)
class Prompts:
    """The prompts in use; ``source`` says where they come from."""

    query: str
    document: str
    source: PromptSource


def resolve_prompts(
    own: Mapping[str, str | None],
    names: Iterable[str],
    *,
    query_prefix: str | None = None,
    document_prefix: str | None = None,
) -> Prompts:
    """Choose the prompts: an explicit one, else the model's own, else those of a family known to need them.

    :param own: prompts of the model by name (``config_sentence_transformers.json``). The document prompt is the first
        that is not empty of ``document``, ``passage``, ``corpus``.
    :param names: names of the model (as given, as its configuration has it), for the table of families.
    :param query_prefix: overrides the query prompt; ``""`` switches it off. ``None`` leaves the choice to the rule.
    :param document_prefix: the same for documents.
    """
    source: PromptSource = "none"
    query = own.get("query") or ""
    document = next((prompt for name in _DOCUMENT_NAMES if (prompt := own.get(name))), "")
    if query or document:
        source = "model"
    elif any(_E5_NAME.search(name.rstrip("/")) for name in names):
        query, document, source = _E5_QUERY, _E5_DOCUMENT, "family:e5"
    if query_prefix is not None or document_prefix is not None:
        source = "option"
        query = query if query_prefix is None else query_prefix
        document = document if document_prefix is None else document_prefix
    return Prompts(query, document, source)
