"""The documents of a Haystack document store, with their vectors, as the pool of an audit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from haystack import Document
from numpy.typing import NDArray

from haystack_crossalign.data.collection import Documents
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.files.records import joined_title
from haystack_crossalign.languages import UNDETERMINED, is_missing_language, normalize_language
from haystack_crossalign.pipelines.documents import comparison_value, known_group
from haystack_crossalign.pipelines.store import OpenedStore, read_pages

_NO_VECTOR = "without a vector, so that vector search cannot find it"


def read_stored_documents(
    opened: OpenedStore,
    *,
    language_field: str = "language",
    group_field: str = "parallel_id",
    id_field: str | None = None,
    title_field: str | None = None,
    url_field: str | None = None,
    detect: bool = False,
    vectors: bool = True,
    log: ReadingLog | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Documents, Source]:
    """Read all documents of a store, ascending by id (as bytes).

    :param opened: the store.
    :param language_field: meta field of the language, nested keys joined by dots.
    :param group_field: meta field of the parallel group; a document without it is a group of its own.
    :param id_field: meta field of the id that queries name; None for the document's own id.
    :param title_field: meta field put before the text, for a check of the model; None for none.
    :param url_field: meta field of the address of a document's page, for reports; None for none.
    :param detect: keep documents without a language, to detect it.
    :param vectors: whether vectors are needed; documents without one are then left out and counted.
    :param log: decides whether invalid documents are left out, and counts them.
    :param progress: called with the number of documents read.
    :returns: the documents, and the store's class with the SHA-256 of what was read.
    :raises InputError: for the first invalid document, or a store without documents or vectors.
    :raises ExternalError: if the store fails.
    """
    log = log or ReadingLog()
    path = opened.file.path
    fields = {name: comparison_value(f"meta.{field.removeprefix('meta.')}") for name, field in
              {"language": language_field, "group": group_field, "title": title_field or "title",
               "id": id_field or "id", "url": url_field or "url"}.items()}  # fmt: skip
    rows: dict[str, tuple[str, str, str]] = {}
    shown: dict[str, tuple[str, str]] = {}
    held: dict[str, NDArray[np.float32]] = {}
    read = 0
    for page in read_pages(opened.store, path, group_field=group_field):
        for document in page:
            try:
                name = _identifier(document, fields["id"] if id_field else None, id_field)
                if name in rows:
                    raise InputError("several documents have this id", field=id_field or "id", seen=name)
                row = _row(document, name, fields, language_field, with_title=title_field is not None, detect=detect)
            except InputError as error:
                located = InputError(
                    error.problem,
                    source=path,
                    field=error.field,
                    seen=document.id if error.seen is ... else error.seen,
                    allowed=error.allowed,
                )
                log.refuse("document", located, name=document.id)
                continue
            if vectors and document.embedding is None:
                log.leave_out("document", _NO_VECTOR, name)
                continue
            rows[name] = row
            shown[name] = (_shown(fields["title"](document)), _shown(fields["url"](document)) if url_field else "")
            if vectors:
                held[name] = np.asarray(document.embedding, dtype=np.float32)
        read += len(page)
        if progress is not None:
            progress(read)
    if not rows:
        raise InputError(
            "the store gives no vectors" if read else "the store holds no documents",
            source=path,
            seen=f"{read} documents",
            allowed="return_embedding: true in init_parameters, where the store has it" if read else "a filled store",
        )
    if url_field is not None and not any(url for _, url in shown.values()):
        raise InputError(
            "no document has this field", source=path, field=url_field, allowed="the field that holds their addresses"
        )
    if title_field is not None and not any(title for title, _ in shown.values()):
        raise InputError(
            "no document has this field", source=path, field=title_field, allowed="the field that holds their titles"
        )
    names = sorted(rows, key=str.encode)
    lengths = {len(vector) for vector in held.values()}
    if len(lengths) > 1:
        raise InputError("the vectors have different dimensions", source=path, seen=sorted(lengths), allowed="one")
    documents = Documents(
        ids=tuple(names),
        languages=tuple(rows[name][0] for name in names),
        groups=tuple(rows[name][1] for name in names),
        texts=tuple(rows[name][2] for name in names),
        vectors=np.stack([held[name] for name in names]) if vectors else None,
        titles=tuple(shown[name][0] for name in names) if any(title for title, _ in shown.values()) else None,
        urls=None if url_field is None else tuple(shown[name][1] for name in names),
    )
    return documents, Source(type(opened.store).__name__, _digest(documents))


def _identifier(document: Document, read: Callable[[Document], Any] | None, field: str | None) -> str:
    value = document.id if read is None else read(document)
    if value is None or str(value).strip() == "":
        raise InputError("document without the id that queries name", field=field)
    return str(value)


def _shown(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _row(
    document: Document,
    name: str,
    fields: dict[str, Callable[[Document], Any]],
    language_field: str,
    *,
    with_title: bool,
    detect: bool,
) -> tuple[str, str, str]:
    """Language, group and text."""
    value = fields["language"](document)
    where = f"meta.{language_field.removeprefix('meta.')}"
    if is_missing_language(value) or value == UNDETERMINED:
        if not detect:
            raise InputError(
                "document without a language", field=where, allowed="a tag such as 'zh', or --detect-languages"
            )
        language = UNDETERMINED
    else:
        language = normalize_language(value, field=where)
    group = known_group(fields["group"](document))
    title = fields["title"](document) if with_title else None
    text = joined_title(title if isinstance(title, str) else "", document.content or "")
    if not text.strip():
        raise InputError("document without a text", field="content")
    return language, name if group is None else str(group), text


def _digest(documents: Documents) -> str:
    digest = hashlib.sha256()
    for row in zip(documents.ids, documents.groups, documents.languages, documents.texts, strict=True):
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    if documents.vectors is not None:
        digest.update(np.ascontiguousarray(documents.vectors, dtype="<f4").tobytes())
    return digest.hexdigest()
