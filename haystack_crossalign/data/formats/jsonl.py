"""Documents and queries in JSON Lines, one object per line.

A document::

    {"id": "d1", "text": "…", "language": "en", "parallel_id": "p1"}

``parallel_id`` (the group shared with its translations) and ``embedding`` (a list of numbers) are optional; ``content``
may replace ``text``, and every field may be inside ``meta``, as in Haystack's documents.

A query::

    {"id": "q1", "text": "…", "language": "zh", "relevant": ["d1", "d2"]}

``relevant`` may give grades, ``{"d1": 2, "d2": 0}``. ``parallel_id`` may replace it: all documents of that group are
relevant. With a qrels file neither is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from haystack_crossalign.data.collection import Documents
from haystack_crossalign.data.judgments import QueryFile, QueryRow
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile, parse_json_object
from haystack_crossalign.files.records import Record, joined_title
from haystack_crossalign.files.vectors import Vectors, built
from haystack_crossalign.languages import UNDETERMINED, normalize_language

_LANGUAGE, _GROUP, _TITLE = "language", "parallel_id", "title"
DETECT = ", or --detect-languages"
"""What else helps where a text names no language, for the messages of commands with that option."""


@dataclass(frozen=True)
class DocumentRow:
    """A document of a file, or one language version of it.

    :param id: unique in its file.
    :param group: parallel group; its own id if it has none.
    :param language: normalized tag.
    :param text: the text to embed; begins with the title if read from a file, as in audits.
    :param title: its title, empty if it has none.
    :param body: its text without the title, for use when the title is the query; None if ``text`` does not begin with a
        title.
    :param url: its address, empty if it has none.
    """

    id: str
    group: str
    language: str
    text: str
    title: str = ""
    body: str | None = None
    url: str = ""

    @property
    def untitled(self) -> str:
        """Its text without the title, empty if there is only a title."""
        return self.text if self.body is None else self.body

    def with_body(self, body: str) -> str:
        """The text to embed with a new text after the title."""
        return body if self.body is None else joined_title(self.title, body)


def document_rows(
    file: TextFile,
    *,
    language_field: str = _LANGUAGE,
    group_field: str = _GROUP,
    id_field: str = "id",
    title_field: str | None = None,
    url_field: str | None = None,
    default_language: str | None = None,
    log: ReadingLog | None = None,
    vectors: Vectors | None = None,
    advice: str = DETECT,
) -> Iterator[DocumentRow]:
    """Iterate over the documents of a JSON Lines file.

    :param file: the file.
    :param language_field: field that holds the language.
    :param group_field: field that holds the parallel group; a document without it forms its own group.
    :param title_field: field whose text is put before the text; None for none. One other than ``title`` must occur.
    :param url_field: field that holds the address of the page; None for none.
    :param default_language: language of documents without one; None if each must have one.
    :param log: counts the documents with a title in their text, and rows that are left out.
    :param vectors: receives the vector of each document; None to ignore vectors.
    :param advice: what else helps if a document has no language, for the message.
    :raises InputError: for a file that cannot be read, and for the first field that is missing, wrong or repeated.
    """
    log = log or ReadingLog()
    default = default_tag(default_language)
    lines: dict[str, int] = {}
    titled = 0

    def build(record: Record) -> DocumentRow:
        name = unique_id(record, id_field, lines)
        text = record.document_text(title_field)
        row = DocumentRow(
            id=name,
            group=record.optional_identifier(group_field) or name,
            language=record.language(language_field, default, advice=advice),
            text=text.text,
            title=text.title,
            body=text.body if text.title else None,
            url="" if url_field is None else record.lenient_text(url_field).strip(),
        )
        if vectors is not None:
            vectors.add(record)
        return row

    for line, content in file if vectors is None else vectors.lines(file):
        try:
            row = built(content, file.path, line, build)
        except InputError as error:
            log.refuse("document", error)
            continue
        lines[row.id] = line
        titled += bool(row.title)
        yield row
    log.titled += titled
    # The default name may be absent; another one was asked for, and without it every figure would lack the titles.
    if lines and not titled and title_field not in (None, _TITLE):
        raise InputError(
            "no document has this field",
            source=file.path,
            field=title_field,
            allowed="the field that holds their titles",
        )


def read_documents(
    path: str | Path,
    *,
    language_field: str = "language",
    group_field: str = "parallel_id",
    id_field: str = "id",
    title_field: str | None = None,
    url_field: str | None = None,
    default_language: str | None = None,
    log: ReadingLog | None = None,
) -> tuple[Documents, Source]:
    """Read documents from a JSON Lines file.

    :param path: the file.
    :param language_field: field that holds the language.
    :param group_field: field that holds the parallel group; a document without it is a group of its own.
    :param id_field: field that holds the id.
    :param title_field: field whose text is put before the text, with a space between, as BEIR does; None for none.
    :param url_field: field that holds the address of each document's page, for reports; None for none.
    :param default_language: language of documents without one; None if each must have one.
    :param log: counts the documents with a title, and rows that are left out.
    :raises InputError: for a file that cannot be read, and for the first field that is missing, invalid or repeated.
    """
    log = log or ReadingLog()
    vectors = Vectors(strict=not log.skip_invalid)
    file = TextFile(path, partial(log.refuse, "document"))
    rows = list(
        document_rows(
            file,
            language_field=language_field,
            group_field=group_field,
            id_field=id_field,
            title_field=title_field,
            url_field=url_field,
            default_language=default_language,
            log=log,
            vectors=vectors,
        )
    )
    if not rows:
        raise InputError("no document left", source=path, allowed="at least one valid document")
    if url_field is not None and not any(row.url for row in rows):
        raise InputError(
            "no document has this field", source=path, field=url_field, allowed="the field that holds their addresses"
        )
    odd = set(_odd_vectors(vectors, "document", [row.id for row in rows], log))
    kept = [row for number, row in enumerate(rows) if number not in odd] if odd else rows
    documents = Documents(
        ids=tuple([row.id for row in kept]),
        languages=tuple([row.language for row in kept]),
        groups=tuple([row.group for row in kept]),
        texts=tuple([row.text for row in kept]),
        vectors=vectors.array(),
        titles=tuple([row.title for row in kept]) if any(row.title for row in kept) else None,
        urls=tuple([row.url for row in kept]) if url_field is not None else None,
    )
    return documents, file.source


def read_queries(
    path: str | Path,
    *,
    language_field: str = "language",
    group_field: str = "parallel_id",
    id_field: str = "id",
    default_language: str | None = None,
    log: ReadingLog | None = None,
) -> QueryFile:
    """Read queries from a JSON Lines file, with the judgments in it.

    The given field names are often those of an index (``language.keyword``), so for a query without such a field the
    default names, ``language`` and ``parallel_id``, are tried.

    :param path: the file.
    :param language_field: field that holds the language.
    :param group_field: field that holds the parallel group whose documents are relevant.
    :param id_field: field that holds the id.
    :param default_language: language of queries without one; None if each must have one.
    :param log: counts rows that are left out.
    :raises InputError: for a file that cannot be read, and for the first field that is missing, invalid or repeated.
    """
    log = log or ReadingLog()
    default = default_tag(default_language)
    vectors = Vectors(strict=not log.skip_invalid)
    ids: dict[str, int] = {}
    rows = []
    file = TextFile(path, partial(log.refuse, "query"))

    def build(record: Record, line: int) -> QueryRow:
        row = QueryRow(
            id=unique_id(record, id_field, ids),
            language=record.language(_present(record, language_field, _LANGUAGE), default, advice=DETECT),
            text=record.text("text", "content"),
            line=line,
            grades=record.graded_identifiers("relevant"),
            group=record.optional_identifier(_present(record, group_field, _GROUP)),
        )
        vectors.add(record)
        return row

    for line, content in vectors.lines(file):
        try:
            row = built(content, file.path, line, partial(build, line=line))
        except InputError as error:
            log.refuse("query", error)
            continue
        ids[row.id] = line
        rows.append(row)
    if not ids:
        raise InputError("no query left", source=path, allowed="at least one valid query")
    odd = set(_odd_vectors(vectors, "query", list(ids), log))
    kept = tuple([row for number, row in enumerate(rows) if number not in odd])
    return QueryFile(rows=kept, path=file.path, source=file.source, vectors=vectors.array())


def _odd_vectors(vectors: Vectors, what: str, ids: Sequence[str], log: ReadingLog) -> list[int]:
    """Find the records whose vectors do not fit the others; remove these from ``vectors`` and count them."""
    odd = vectors.misfits() if log.skip_invalid else []
    for number in odd:
        log.leave_out(what, "vector missing or of another length than most", ids[number])
    vectors.drop(set(odd))
    return odd


def _present(record: Record, field: str, plain: str) -> str:
    """The field that a record has: the given one, else the one with the default name."""
    return plain if record.get(field) is None and record.get(plain) is not None else field


def records(file: TextFile) -> Iterator[Record]:
    """The objects of a JSON Lines file.

    :raises InputError: for a line that is not one complete JSON object.
    """
    for line, text in file:
        yield Record(parse_json_object(text, file.path, line), file.path, line)


def unique_id(record: Record, field: str, seen: dict[str, int]) -> str:
    """Read the id of a record.

    :param record: the record.
    :param field: field that holds the id.
    :param seen: earlier ids with their lines; the caller adds this one.
    :raises InputError: if the id is missing or already in ``seen``.
    """
    identifier = record.identifier(field)
    if identifier in seen:
        raise InputError(
            f"duplicate id (first on line {seen[identifier]})",
            source=record.path,
            line=record.line,
            field=field,
            seen=identifier,
            allowed="ids that are unique",
        )
    return identifier


def default_tag(value: str | None) -> str | None:
    """Normalized tag of a default language; None and `UNDETERMINED` (to be detected later) stay as they are."""
    if value is None or value == UNDETERMINED:
        return value
    return normalize_language(value, field="default_language")
