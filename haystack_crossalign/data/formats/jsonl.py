"""Documents and queries in JSON lines, one object a line.

A document::

    {"id": "d1", "text": "…", "language": "en", "parallel_id": "p1"}

``parallel_id`` (the group that its translations share) and ``embedding`` (a list of numbers) may be left out;
``content`` may stand for ``text``, and every field may stand in ``meta``, as in Haystack's own documents.

A query::

    {"id": "q1", "text": "…", "language": "zh", "relevant": ["d1", "d2"]}

``parallel_id`` may stand for ``relevant``: all documents of that group are relevant. With a qrels file neither is
needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from haystack_crossalign.data.collection import Documents
from haystack_crossalign.data.judgments import QueryFile, QueryRow
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile, parse_json_object
from haystack_crossalign.files.records import Record, Vectors
from haystack_crossalign.languages import UNDETERMINED, normalise_language

__all__ = ["default_tag", "read_documents", "read_queries", "records", "unique_id"]


def read_documents(
    path: str | Path,
    *,
    language_field: str = "language",
    group_field: str = "parallel_id",
    id_field: str = "id",
    title_field: str | None = None,
    default_language: str | None = None,
) -> tuple[Documents, Source]:
    """Documents from a JSON lines file.

    :param path: the file.
    :param language_field: field that holds the language.
    :param group_field: field that holds the parallel group; a document without it is a group of its own.
    :param id_field: field that holds the id.
    :param title_field: field whose text is put before the text, with a space between, as BEIR does; None for none.
    :param default_language: language of documents that name none; None where each must name one.
    :raises InputError: for a file that cannot be read, and for the first field that is missing, wrong or repeated.
    """
    file = TextFile(path)
    default = default_tag(default_language)
    vectors = Vectors()
    ids: dict[str, int] = {}
    languages, groups, texts = [], [], []
    for record in records(file):
        one = unique_id(record, id_field, ids)
        text = record.text("text", "content")
        title = "" if title_field is None else record.optional_text(title_field)
        languages.append(record.language(language_field, default))
        groups.append(record.optional_identifier(group_field) or one)
        texts.append(f"{title} {text}" if title else text)
        vectors.add(record)
    documents = Documents(
        ids=tuple(ids),
        languages=tuple(languages),
        groups=tuple(groups),
        texts=tuple(texts),
        vectors=vectors.array(),
    )
    return documents, file.source


def read_queries(
    path: str | Path,
    *,
    language_field: str = "language",
    group_field: str = "parallel_id",
    id_field: str = "id",
    default_language: str | None = None,
) -> QueryFile:
    """Queries from a JSON lines file, with the judgments that stand beside them.

    :param path: the file.
    :param language_field: field that holds the language.
    :param group_field: field that holds the parallel group whose documents are relevant.
    :param id_field: field that holds the id.
    :param default_language: language of queries that name none; None where each must name one.
    :raises InputError: for a file that cannot be read, and for the first field that is missing, wrong or repeated.
    """
    file = TextFile(path)
    default = default_tag(default_language)
    vectors = Vectors()
    ids: dict[str, int] = {}
    rows = []
    for record in records(file):
        one = unique_id(record, id_field, ids)
        rows.append(
            QueryRow(
                id=one,
                language=record.language(language_field, default),
                text=record.text("text", "content"),
                line=record.line or 0,
                relevant=record.identifiers("relevant"),
                group=record.optional_identifier(group_field),
            )
        )
        vectors.add(record)
    return QueryFile(rows=tuple(rows), path=file.path, source=file.source, vectors=vectors.array())


def records(file: TextFile) -> Iterator[Record]:
    """The objects of a JSON lines file.

    :raises InputError: for a line that is not one complete JSON object.
    """
    for line, text in file:
        yield Record(parse_json_object(text, file.path, line), file.path, line)


def unique_id(record: Record, field: str, seen: dict[str, int]) -> str:
    """The id of a record, which is put into ``seen`` with its line.

    :raises InputError: where the id stands in ``seen`` already.
    """
    one = record.identifier(field)
    if one in seen:
        raise InputError(
            f"duplicate id (first on line {seen[one]})",
            source=record.path,
            line=record.line,
            field=field,
            seen=one,
            allowed="ids that are unique",
        )
    seen[one] = record.line or 0
    return one


def default_tag(value: str | None) -> str | None:
    """Normalised tag of a default language; None and `UNDETERMINED` (to be detected later) stay as they are."""
    if value is None or value == UNDETERMINED:
        return value
    return normalise_language(value, field="default_language")
