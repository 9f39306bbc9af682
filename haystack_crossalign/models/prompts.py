"""Choose the prompts, the texts put before queries and documents, and record where they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from haystack_crossalign.errors import InputError

PromptSource = Literal["model", "option", "family:e5", "none"]

_DOCUMENT_NAMES = ("document", "passage", "corpus")

# Names of retrieval prompts in model families that do not call them "query" and "document": (query, document). Sources:
# the model cards of jina-embeddings-v3 (retrieval.*), nomic-embed-text-v1 (search_*), stella_en_400M_v5 (s2p_query,
# "sentence to passage"; documents take none) and e5-mistral-7b-instruct (web_search_query; likewise).
_SCHEMES: tuple[tuple[str, str | None], ...] = (
    ("retrieval.query", "retrieval.passage"),
    ("search_query", "search_document"),
    ("s2p_query", None),
    ("web_search_query", None),
)

# The E5 models of 2022 to 2024 were trained with these prefixes, but their folders on the hub do not state them.
# Source: "Text Embeddings by Weakly-Supervised Contrastive Pre-training" (arXiv 2212.03533), section 3, and the model
# cards. The instruct models use a task instruction instead and are not included.
_E5_NAME = re.compile(r"(?:^|[/_-])e5-(?:small|base|large)(?:-v2|-unsupervised)?$", re.IGNORECASE)
_E5_QUERY, _E5_DOCUMENT = E5_PROMPTS = "query: ", "passage: "


@dataclass(frozen=True)
class PromptChoice:
    """The user's choice of prompts; None leaves the choice to the model.

    :param query_prefix: text before each query; ``""`` for none.
    :param document_prefix: the same for documents.
    :param query_prompt: name of a prompt of the model, for queries.
    :param document_prompt: the same for documents.
    """

    query_prefix: str | None = None
    document_prefix: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None


@dataclass(frozen=True)
class Prompts:
    """The prompts in use.

    :param query: text before each query.
    :param document: text before each document.
    :param source: where they come from.
    :param query_name: name of the query prompt in the model's configuration, if it is one of these.
    :param document_name: the same for documents.
    :param unused: names of the model's other prompts, whose texts are not in use.
    :param evidence: for ``family:e5``, the name that shows the family.
    """

    query: str
    document: str
    source: PromptSource
    query_name: str | None = None
    document_name: str | None = None
    unused: tuple[str, ...] = ()
    evidence: str | None = None


def resolve_prompts(
    own: Mapping[str, str | None], names: Iterable[tuple[str, str]], choice: PromptChoice | None = None
) -> Prompts:
    """Choose the prompts: explicit ones, else the model's own, else those of a family known to need them.

    :param own: prompts of the model by name (``config_sentence_transformers.json``). Those named ``query`` and
        ``document`` (or ``passage``, ``corpus``) are used, else those with the names of a known family.
    :param names: names of the model with the source of each, for the table of families.
    :param choice: what the user wants.
    :raises InputError: if the model has no prompt with the chosen name, or both a text and a name are given.
    """
    choice = choice or PromptChoice()
    for role in ("query", "document"):
        if getattr(choice, f"{role}_prompt") is not None and getattr(choice, f"{role}_prefix") is not None:
            raise InputError(
                f"{role}_prefix and {role}_prompt exclude each other",
                field=f"{role}_prompt",
                seen=getattr(choice, f"{role}_prompt"),
                allowed="one of them",
            )
    texts = {name: prompt for name, prompt in own.items() if prompt}
    query_name = "query" if "query" in texts else None
    document_name = next((name for name in _DOCUMENT_NAMES if name in texts), None)
    if query_name is None and document_name is None:
        query_name, document_name = next((scheme for scheme in _SCHEMES if scheme[0] in texts), (None, None))
        document_name = document_name if document_name in texts else None
    source: PromptSource = "model" if query_name or document_name else "none"
    query, document = texts.get(query_name or "", ""), texts.get(document_name or "", "")
    evidence = None
    if source == "none":
        evidence = next((where for where, name in names if _E5_NAME.search(name.rstrip("/"))), None)
        if evidence is not None:
            query, document, source = _E5_QUERY, _E5_DOCUMENT, "family:e5"
    if choice.query_prompt is not None:
        query, query_name, source = _named(own, choice.query_prompt, "query_prompt"), choice.query_prompt, "option"
    if choice.document_prompt is not None:
        document, source = _named(own, choice.document_prompt, "document_prompt"), "option"
        document_name = choice.document_prompt
    if choice.query_prefix is not None:
        query, query_name, source = choice.query_prefix, None, "option"
    if choice.document_prefix is not None:
        document, document_name, source = choice.document_prefix, None, "option"
    unused = tuple(name for name, prompt in texts.items() if prompt not in (query, document))
    return Prompts(query, document, source, query_name, document_name, unused, evidence)


def _named(own: Mapping[str, str | None], name: str, field: str) -> str:
    if own.get(name) is None:
        known = ", ".join(own) or "none: the model has no prompts"
        raise InputError("the model has no prompt of this name", field=field, seen=name, allowed=known)
    return own[name] or ""
