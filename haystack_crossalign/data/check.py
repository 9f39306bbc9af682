"""Checks that a judged collection must pass before it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.errors import InputError

_ROWS = 4096
"""Number of vectors checked at a time: they may be mapped from a file larger than the memory."""


def check_judgments(
    collection: JudgedCollection,
    *,
    multi: bool = False,
    source: str | Path | None = None,
    query_lines: Sequence[int] | None = None,
    unanswerable: bool = False,
    documents_checked: bool = False,
) -> None:
    """Reject a collection on which the measures are meaningless.

    :param collection: the documents of one pool, with the queries asked of it.
    :param multi: whether the pool must contain at least two languages.
    :param source: file or input that the queries and judgments come from; the collection's name if it is None.
    :param query_lines: 1-based line of each query in ``source``.
    :param unanswerable: whether queries may lack a relevant document because nothing will be measured.
    :param documents_checked: whether the same documents have passed before.
    :raises InputError: if there are no documents or queries, duplicate ids, an empty text, a relevant document that is
        not in the pool, a query without a relevant document, a query to which the whole pool is relevant, only one
        language with ``multi``, or vectors with NaN, infinity, only zeros or different dimensions.
    """
    where = collection.name if source is None else source
    documents, queries = collection.documents, collection.queries
    for kind, ids, texts in (("document", documents.ids, documents.texts), ("query", queries.ids, queries.texts)):
        if not ids:
            raise InputError(f"no {kind} left", source=where, allowed=f"at least one {kind}")
        if documents_checked and kind == "document":
            continue
        _check_ids(kind, ids, where)
        _check_texts(kind, ids, texts, where)
    languages = collection.document_languages
    if multi and len(languages) < 2:
        raise InputError(
            "the scenario 'multi' needs more than one language in the pool",
            source=where,
            field="language",
            seen=languages[0],
            allowed="documents in two or more languages, or the scenarios 'mono-same' and 'mono-cross'",
        )
    for number, (query, indices) in enumerate(zip(queries.ids, collection.relevant, strict=True)):
        line = None if query_lines is None else query_lines[number]
        if not indices and not unanswerable:
            raise InputError(
                "query without relevant document",
                source=where,
                line=line,
                field="relevant",
                seen=query,
                allowed="at least one document of the pool",
            )
        unknown = [index for index in indices if not 0 <= index < len(documents)]
        if unknown:
            raise InputError(
                f"unknown document of query '{query}'",
                source=where,
                line=line,
                field="relevant",
                seen=unknown[0],
                allowed=f"indices 0 to {len(documents) - 1}",
            )
    for number in collection.certain()[:1]:
        raise certain_query(collection, number, source=where, line=None if query_lines is None else query_lines[number])
    check_vectors(collection, source=where, documents_checked=documents_checked)


def certain_query(
    collection: JudgedCollection, number: int, *, source: str | Path, line: int | None = None
) -> InputError:
    """The error for a query to which the whole pool is relevant.

    :param collection: the documents of one pool, with the queries asked of it.
    :param number: position of the query.
    :param source: file or input of the judgments.
    :param line: 1-based line of the query in it.
    """
    size, name = len(collection.documents.versions()), collection.queries.ids[number]
    return InputError(
        f"the relevant documents of query '{name}' are the whole pool, so every rank is certain",
        source=source,
        line=line,
        field="relevant",
        seen=f"{size} of {size} versions",
        allowed="a pool with documents that are not relevant to the query",
    )


def check_vectors(
    collection: JudgedCollection, *, source: str | Path | None = None, documents_checked: bool = False
) -> None:
    """Reject vectors that cannot be compared.

    :param collection: a collection with or without vectors.
    :param source: file or input of the vectors; the collection's name if it is None.
    :param documents_checked: whether the vectors of the same documents have passed before.
    :raises InputError: for NaN, infinity, a zero vector, or different dimensions of queries and documents.
    """
    where = collection.name if source is None else source
    documents, queries = collection.documents, collection.queries
    for kind, ids, vectors in (
        ("document", documents.ids, documents.vectors),
        ("query", queries.ids, queries.vectors),
    ):
        if vectors is not None and not (documents_checked and kind == "document"):
            _check_values(kind, ids, vectors, where)
    if documents.vectors is not None and queries.vectors is not None:
        expected, seen = documents.vectors.shape[1], queries.vectors.shape[1]
        if expected != seen:
            raise InputError(
                "dimension mismatch between queries and documents",
                source=where,
                field="embedding",
                seen=f"{seen} numbers per query",
                allowed=f"{expected} numbers, as the documents have",
            )


def _check_ids(kind: str, ids: tuple[str, ...], where: str | Path) -> None:
    if len(set(ids)) == len(ids):
        return
    known: set[str] = set()
    for identifier in ids:
        if identifier in known:
            raise InputError(
                f"duplicate {kind} id", source=where, field="id", seen=identifier, allowed="ids that are unique"
            )
        known.add(identifier)


def _check_texts(kind: str, ids: tuple[str, ...], texts: tuple[str, ...], where: str | Path) -> None:
    for identifier, text in zip(ids, texts, strict=True):
        if not text or text.isspace():
            raise InputError(
                f"empty text of {kind} '{identifier}'",
                source=where,
                field="text",
                seen=text,
                allowed="a text that is not empty",
            )


def _check_values(kind: str, ids: tuple[str, ...], vectors: NDArray[np.float32], where: str | Path) -> None:
    # The largest magnitude is NaN if any number is, infinite if any is, and 0 for a zero vector.
    parts = range(0, max(1, len(vectors)), _ROWS)
    largest = np.concatenate([np.abs(vectors[start : start + _ROWS]).max(axis=1, initial=0) for start in parts])
    bad = np.flatnonzero(~(np.isfinite(largest) & (largest > 0)))
    if bad.size:
        first = int(bad[0])
        raise InputError(
            f"vector of {kind} '{ids[first]}' is "
            + ("zero" if largest[first] == 0 else "not finite (it holds NaN or infinity)"),
            source=where,
            field="embedding",
            seen=vectors[first].tolist(),
            allowed="finite numbers that are not all zero",
        )
