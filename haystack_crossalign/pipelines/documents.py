"""Haystack documents turned into the integer arrays that ranks are counted on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from haystack import Document
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED, is_missing_language, normalize_language
from haystack_crossalign.ranks.arguments import padded
from haystack_crossalign.ranks.ties import tie_key


def known_group(value: object) -> object | None:
    """The parallel group in a field of a document; None where the field is empty: no value, ``""``, or a NaN of pandas.

    :param value: what the field holds.
    """
    empty = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return None if empty else value


@dataclass(frozen=True, eq=False)
class RetrievedArrays:
    """N distinct documents, retrieved or relevant, and the lists of Q queries over them.

    :param documents: the N documents, as first seen.
    :param languages: the tags that codes index into, ascending; `UNDETERMINED` comes last where it occurs.
    :param document_languages: int32 [N], code of each document's language.
    :param versions: int32 [N], version of each document.
    :param tie_order: int64 [N], position of each document in the tie order, see `haystack_crossalign.ranks.ties`.
    :param retrieved: int32 [Q, depth], documents of each list, padded with -1.
    :param scores: float64 [Q, depth], or None if any document lacks a score.
    :param relevant: int32 [Q, R], relevant versions of each query, padded with -1.
    """

    documents: tuple[Document, ...]
    languages: tuple[str, ...]
    document_languages: NDArray[np.int32]
    versions: NDArray[np.int32]
    tie_order: NDArray[np.int64]
    retrieved: NDArray[np.int32]
    scores: NDArray[np.float64] | None
    relevant: NDArray[np.int32]


def comparison_value(field: str) -> Callable[[Document], Any]:
    """What makes two documents the same, as Haystack's evaluators have it.

    :param field: "content", "id", or "meta." and a key, nested keys joined by dots.
    :raises InputError: for any other field.
    """
    if field == "content":
        return lambda document: document.content
    if field == "id":
        return lambda document: document.id
    keys = field.removeprefix("meta.").split(".")
    if not field.startswith("meta.") or not all(keys):
        raise InputError(
            "cannot compare documents by this",
            source="LanguageBiasAuditor",
            field="document_comparison_field",
            seen=field,
            allowed="'content', 'id' or 'meta.<key>'",
        )

    def from_meta(document: Document) -> Any:
        value: Any = document.meta
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return value

    return from_meta


def retrieved_arrays(
    relevant: Sequence[Sequence[Document]],
    retrieved: Sequence[Sequence[Document]],
    query_languages: Sequence[str],
    *,
    comparison_field: str,
    language_field: str,
    group_field: str,
) -> RetrievedArrays:
    """Number the documents, languages and versions of some result lists.

    A version is one (parallel group, language); a document without a group is a version of its own. A retrieved
    document that equals a relevant one is taken to be in its group.

    :param relevant: the relevant documents of each query.
    :param retrieved: the result list of each query, best first.
    :param query_languages: normalized language of each query.
    :param comparison_field: see `comparison_value`.
    :param language_field: meta field of the language; relevant documents must have it.
    :param group_field: meta field of the parallel group.
    :raises InputError: for a relevant document without a language or without a value to compare.
    """
    value_of = comparison_value(comparison_field)
    known: dict[tuple[Any, str], int] = {}
    documents: list[Document] = []
    versions: list[int] = []
    version_numbers: dict[tuple[str, Any, str], int] = {}
    tags: list[str] = []

    def number(document: Document, tag: str, value: Any) -> int:
        key = (_hashable(value), tag)
        if key not in known:
            known[key] = len(documents)
            documents.append(document)
            tags.append(tag)
            group = known_group(document.meta.get(group_field))
            version = ("document", key[0], tag) if group is None else ("group", _hashable(group), tag)
            versions.append(version_numbers.setdefault(version, len(version_numbers)))
        return known[key]

    wanted = []
    language_of: dict[Any, str] = {}
    for query, listed in enumerate(relevant):
        if not listed:
            raise InputError(
                "query without relevant document",
                source="LanguageBiasAuditor",
                field=f"ground_truth_documents[{query}]",
                seen=[],
                allowed="at least one document",
            )
        numbers = []
        for place, document in enumerate(listed):
            where = f"ground_truth_documents[{query}][{place}]"
            tag = _language(document, language_field, where)
            value = value_of(document)
            if tag is None or value is None:
                missing = f"meta.{language_field}" if tag is None else comparison_field
                raise InputError(
                    f"relevant document without {missing}",
                    source="LanguageBiasAuditor",
                    field=where,
                    seen=document.id,
                    allowed=f"documents with {missing} (the component LanguageTagger writes languages)",
                )
            numbers.append(number(document, tag, value))
            language_of.setdefault(_hashable(value), tag)
        wanted.append(sorted({versions[index] for index in numbers}))
    lists = []
    for query, listed in enumerate(retrieved):
        line = []
        for place, document in enumerate(listed):
            value = value_of(document)
            tag = _language(document, language_field, f"retrieved_documents[{query}][{place}]")
            judged = None if value is None else language_of.get(_hashable(value))
            if tag is None or (judged is not None and comparison_field == "id"):
                # The store may have lost the language of a document whose judged copy still tells it, and one id is
                # one document whatever its copy in the store is tagged.
                tag = judged or UNDETERMINED
            # A document without a value equals no other one; its id keeps it apart, as Haystack's evaluators skip it.
            line.append(number(document, tag, ("", document.id) if value is None else value))
        lists.append(line)
    languages = tuple(sorted({*tags, *query_languages} - {UNDETERMINED}))
    if UNDETERMINED in tags:
        languages = (*languages, UNDETERMINED)
    scored = all(document.score is not None for listed in retrieved for document in listed)
    return RetrievedArrays(
        documents=tuple(documents),
        languages=languages,
        document_languages=np.array([languages.index(tag) for tag in tags], dtype=np.int32),
        versions=np.array(versions, dtype=np.int32),
        tie_order=_tie_order(documents, tags),
        retrieved=padded(lists, -1, np.int32),
        scores=padded([[d.score for d in listed] for listed in retrieved], 0.0, np.float64) if scored else None,
        relevant=padded(wanted, -1, np.int32),
    )


def _language(document: Document, field: str, where: str) -> str | None:
    tag = document.meta.get(field)
    if is_missing_language(tag) or tag == UNDETERMINED:
        return None
    if not isinstance(tag, str):
        raise InputError(
            "a language is a text",
            source=f"LanguageBiasAuditor, {where}",
            field=f"meta.{field}",
            seen=tag,
            allowed="a BCP-47 tag such as 'zh'",
        )
    return normalize_language(tag, source=f"LanguageBiasAuditor, {where}", field=f"meta.{field}")


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _tie_order(documents: Sequence[Document], tags: Sequence[str]) -> NDArray[np.int64]:
    # Two contents may share an id when documents are compared by another field. The hash then takes in the language,
    # together with the id: so no language is first for all of them.
    keys = [
        (tie_key(document.id), tie_key(f"{document.id} {tag}")) for document, tag in zip(documents, tags, strict=True)
    ]
    order = sorted(range(len(keys)), key=lambda index: (keys[index], index))
    position = np.empty(len(documents), dtype=np.int64)
    position[order] = np.arange(len(documents))
    return position
