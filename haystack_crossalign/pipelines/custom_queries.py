"""Custom queries of OpenSearch's retrievers: a placeholder that a retriever leaves as it is makes a wrong list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from haystack import Pipeline

from haystack_crossalign.errors import InputError
from haystack_crossalign.pipelines.guard import built_parts

_PLACEHOLDERS = {
    "OpenSearchBM25Retriever": ("$query", "$filters"),
    "OpenSearchEmbeddingRetriever": ("$query_embedding", "$filters"),
}
_MARKS = ("$query", "$filters")


def check_custom_queries(pipeline: Pipeline, source: Path) -> None:
    """Refuse custom queries with a placeholder that is sent as it stands, and those without the one for the query.

    A retriever fills in values that are a placeholder and nothing else, each kind its own: the embedding retriever does
    not know ``$query``, and no retriever fills in ``"title:$query"``. The search then is for these very letters.

    :param pipeline: the built pipeline; pipelines inside of its components are searched as well.
    :param source: the file it stands in, for the message.
    :raises InputError: naming component and value.
    """
    for name, part in built_parts(pipeline):
        kind = type(part).__name__
        query = getattr(part, "_custom_query", None)
        if kind not in _PLACEHOLDERS or not isinstance(query, Mapping):
            continue
        known = _PLACEHOLDERS[kind]
        values = list(_texts(query))
        left = next((value for value in values if value not in known and any(mark in value for mark in _MARKS)), None)
        if left is not None:
            raise InputError(
                f"the custom query of '{name}' holds a placeholder that {kind} sends as it stands, so that its lists "
                "answer to other queries than those asked",
                source=source,
                field=f"{name}.custom_query",
                seen=left,
                allowed=f"{' and '.join(known)}, each as a value of its own",
            )
        if known[0] not in values:
            raise InputError(
                f"the custom query of '{name}' has no place for the query, so that its lists are the same for all",
                source=source,
                field=f"{name}.custom_query",
                allowed=f"{known[0]} as a value of its own",
            )


def _texts(value: object) -> Iterator[str]:
    """All texts among the values, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
