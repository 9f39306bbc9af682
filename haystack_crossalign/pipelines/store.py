"""Any Haystack document store in YAML, opened for reading, and its documents read in pages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haystack import Document

from haystack_crossalign.config.plain_yaml import parse_yaml, read_yaml_text, refuse_remote_code
from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.traffic import Traffic
from haystack_crossalign.opensearch.index.fields import SPACES
from haystack_crossalign.pipelines.file import PipelineFile, load_store
from haystack_crossalign.pipelines.guard import guarded_mapping, hold_store_to_reading
from haystack_crossalign.ranks import Similarity
from haystack_crossalign.redaction import redacted

_ALLOWED = "a document store (type, init_parameters), or a pipeline with one document store"
_STORE = "DocumentStore"
_PLACES = ("path", "persist_path", "database")
_PAGE = 2000

_SIMILARITIES: Mapping[str, Similarity] = {
    "cosine": "cosine",
    "cosine_similarity": "cosine",
    "dot_product": "dot",
    "max_inner_product": "dot",
    "inner_product": "dot",
    "dotproduct": "dot",
    "ip": "dot",
    "l2": "euclidean",
    "l2_norm": "euclidean",
    "l2_distance": "euclidean",
    "euclidean": "euclidean",
}
"""Similarities by their names in Haystack's document stores."""

_NAMED_BY = (
    "embedding_similarity_function",
    "_embedding_similarity_function",
    "similarity",
    "_distance_function",
    "vector_function",
    "metric",
)


@dataclass(frozen=True)
class OpenedStore:
    """A document store that can only be read.

    :param store: the store.
    :param file: its file.
    :param notes: sentences on what cannot be guaranteed.
    """

    store: Any
    file: PipelineFile
    notes: tuple[str, ...]


def open_store(
    path: str | Path,
    *,
    timeout: float = 60.0,
    environ: Mapping[str, str] | None = None,
    trust_remote_code: bool = False,
) -> OpenedStore:
    """Read the file and build the store.

    :param path: a store in YAML, or a pipeline with one store, such as a query pipeline.
    :param timeout: timeout in seconds for OpenSearch stores without one.
    :param environ: environment for ``${NAME}`` in hosts and index of OpenSearch stores; None for the process's.
    :param trust_remote_code: whether models of the file may run their own code.
    :raises InputError: if the file is no such store, or opening it would delete or create something.
    """
    path = Path(path)
    text, sha256 = read_yaml_text(path, "document store", _ALLOWED)
    data = parse_yaml(text, path, "document store")
    if not trust_remote_code:
        refuse_remote_code(data, path)
    stores = _stores(data)
    if len(stores) != 1:
        raise InputError(
            f"holds {len(stores)} document stores", source=path,
            seen=sorted(str(found_store["type"]) for found_store in stores) or None, allowed=_ALLOWED,
        )  # fmt: skip
    file = PipelineFile(path, stores[0], sha256, _ALLOWED)
    _refuse_changes(stores[0].get("init_parameters") or {}, path)
    guarded = guarded_mapping(
        {"store": stores[0]}, path, traffic=Traffic(), connection=None, timeout=timeout,
        environ=os.environ if environ is None else environ,
    )["store"]  # fmt: skip
    store = load_store(file, guarded)
    if not all(callable(getattr(store, name, None)) for name in ("count_documents", "filter_documents")):
        raise InputError("is no document store", source=path, field="type", seen=stores[0]["type"], allowed=_ALLOWED)
    if isinstance(getattr(store, "progress_bar", None), bool):
        store.progress_bar = False
    note = hold_store_to_reading(store, "store", path)
    return OpenedStore(store, file, () if note is None else (note,))


def store_similarity(store: Any) -> Similarity | None:
    """The similarity by which a document store compares vectors; None if it does not say.

    :param store: any Haystack document store.
    """
    method = getattr(store, "_method", None)
    space = method.get("space_type") if isinstance(method, Mapping) else None
    if space is not None:
        return SPACES.get(str(space))
    named = (getattr(store, name, None) for name in _NAMED_BY)
    return next((_SIMILARITIES[name] for name in named if isinstance(name, str) and name in _SIMILARITIES), None)


def read_pages(store: Any, source: Path, *, group_field: str, page: int = _PAGE) -> Iterator[list[Document]]:
    """All documents of a store, page by page, each document once.

    A store is asked for the values of the parallel group, and then for the documents of some groups at a time. One that
    cannot tell the values, or holds no more than a page, is asked for all documents at once; so is one that cannot
    filter for documents without a group, for those.

    :param store: any Haystack document store.
    :param source: its file, for messages.
    :param group_field: meta field of the parallel group.
    :param page: number of documents in a page, about.
    :raises InputError: if it gives fewer documents than it says it holds.
    :raises ExternalError: if it fails.
    """
    total = int(_asked(source, store.count_documents))
    field = f"meta.{group_field.removeprefix('meta.')}"
    values = _values(store, field, total) if total > page else []
    seen: set[str] = set()

    def new(documents: list[Document]) -> list[Document]:
        fresh = {document.id: document for document in documents if document.id not in seen}
        seen.update(fresh)
        return list(fresh.values())

    step = max(1, page * len(values) // max(total, 1))
    for start in range(0, len(values), step):
        some = {"field": field, "operator": "in", "value": values[start : start + step]}
        yield new(_asked(source, store.filter_documents, filters=some))
    if values and len(seen) < total:
        # Documents without a group. Stores differ in what they make of a filter for a missing value: Qdrant refuses it.
        for operator, value in (("==", None), ("not in", values)):
            with suppress(Exception):
                yield new(store.filter_documents(filters={"field": field, "operator": operator, "value": value}))
            if len(seen) == total:
                break
    if len(seen) < total:
        yield new(_asked(source, store.filter_documents))
    if len(seen) != total:
        raise InputError(
            "the store gives other documents than it says it holds: it limits what it returns, or it changed",
            source=source,
            seen=f"{len(seen)} of {total}",
            allowed="a store that is not written to, with a parallel group in every document (--group-field)",
        )


def _stores(data: Any) -> list[dict[str, Any]]:
    """The distinct document stores among the values of a file."""
    stores: list[dict[str, Any]] = []
    pending = [data]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            if str(value.get("type", "")).endswith(_STORE) and dict(value) not in stores:
                stores.append(dict(value))
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return stores


def _refuse_changes(parameters: Mapping[str, Any], source: Path) -> None:
    for name, value in parameters.items():
        if "recreate" in str(name) and value:
            raise InputError(
                "would delete the documents when the store is opened", source=source, field=f"init_parameters.{name}",
                seen=value, allowed="false",
            )  # fmt: skip
        if name in _PLACES and isinstance(value, str) and value != ":memory:" and not Path(value).exists():
            raise InputError(
                "no such file or folder, and an audit creates none", source=source, field=f"init_parameters.{name}",
                seen=value, allowed="an existing one; a relative name is one in the folder you work in",
            )  # fmt: skip


def _values(store: Any, field: str, most: int) -> list[Any]:
    """The different values of a field; empty if the store cannot tell them."""
    tell = getattr(store, "get_metadata_field_unique_values", None)
    if tell is None:
        return []
    try:
        values, _ = tell(metadata_field=field.removeprefix("meta."), from_=0, size=most)
    except Exception:  # noqa: BLE001 - each store raises its own errors; then all documents are read at once
        return []
    return sorted(values, key=lambda value: (str(type(value)), str(value)))


def _asked(source: Path, ask: Any, **arguments: Any) -> Any:
    """The answer of a store; its errors, of any class, name the file."""
    try:
        return ask(**arguments)
    except CrossAlignError:
        raise
    except Exception as error:
        first = (redacted(str(error)).splitlines() or [type(error).__name__])[0]
        raise ExternalError(f"{source.name}: the document store failed: {first}") from error
