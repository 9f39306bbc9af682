"""TREC qrels, and queries in tab-separated columns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from haystack_crossalign.data.formats.jsonl import default_tag
from haystack_crossalign.data.judgments import Judgment, Qrels, QueryFile, QueryRow
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import TextFile
from haystack_crossalign.files.records import whole_grade
from haystack_crossalign.languages import is_missing_language, normalize_language

_ID_HEADERS = frozenset({"id", "qid", "query_id", "query-id", "_id"})
_QUERY_HEADERS = _ID_HEADERS | {"query"}


def read_qrels(path: str | Path, *, log: ReadingLog | None = None) -> Qrels:
    """Read judgments from a TREC qrels file: ``query iteration document grade``, separated by tabs or spaces.

    :param path: the file.
    :param log: counts lines that are left out.
    :raises InputError: for a file that cannot be read, a wrong number of columns, a grade that is not an integer
        (``2.0`` is accepted), or a pair that is judged twice with different grades.
    """
    columns = ("query", "iteration", "document", "grade")
    return parse_judgments(path, lambda text: text.split(), columns, log=log)


def parse_judgments(
    path: str | Path,
    split: Callable[[str], list[str]],
    columns: tuple[str, ...],
    *,
    header: bool = False,
    log: ReadingLog | None = None,
) -> Qrels:
    """Parse judgments from the lines of a file. A line that repeats a judgment with the same grade is left out and
    reported.

    :param path: the file.
    :param split: splits a line into its columns.
    :param columns: names of the columns; "query", "document" and "grade" are used.
    :param header: whether to skip a first line that names a query column (``query-id``, ``qid``, …).
    :param log: counts lines that are left out.
    :raises InputError: see `read_qrels`.
    """
    log = log or ReadingLog()
    file = TextFile(path, partial(log.refuse, "judgment"))
    query = columns.index("query")
    first: dict[tuple[str, str], Judgment] = {}
    for number, (line, text) in enumerate(file):
        cells = split(text)
        if header and number == 0 and _is_header(cells, columns, query):
            continue
        try:
            judgment = _judgment(cells, columns, text, file.path, line)
            pair = (judgment.query, judgment.document)
            before = first.get(pair)
            if before is not None and before.grade != judgment.grade:
                raise InputError(
                    f"judged twice with different grades (first on line {before.line})",
                    source=file.path,
                    line=line,
                    field="grade",
                    seen=f"{judgment.query} {judgment.document} {judgment.grade}, before {before.grade}",
                    allowed="one grade for each query and document",
                )
        except InputError as error:
            log.refuse("judgment", error)
            continue
        if before is None:
            first[pair] = judgment
        else:
            log.leave_out("judgment", "repeated with the same grade", f"line {line}")
    if not first:
        raise InputError("no judgments", source=file.path, allowed="at least one line after the header")
    return Qrels(judgments=tuple(first.values()), path=file.path, source=file.source)


def _judgment(cells: list[str], columns: tuple[str, ...], text: str, path: Path, line: int) -> Judgment:
    if len(cells) != len(columns):
        raise InputError(
            "wrong columns",
            source=path,
            line=line,
            seen=text,
            allowed=f"{len(columns)} columns: {', '.join(columns)}",
        )
    query, document, written = (cells[columns.index(name)] for name in ("query", "document", "grade"))
    grade = whole_grade(written)
    if grade is None:
        raise InputError(
            "not a whole number",
            source=path,
            line=line,
            field="grade",
            seen=written,
            allowed="a whole number; above 0 means relevant",
        )
    for name, cell in (("query", query), ("document", document)):
        if not cell.strip():
            raise InputError("empty id", source=path, line=line, field=name, seen=cell, allowed="an id")
    return Judgment(query=query, document=document, grade=grade, line=line)


def _is_header(cells: list[str], columns: tuple[str, ...], query: int) -> bool:
    return (
        len(cells) == len(columns)
        and whole_grade(cells[columns.index("grade")]) is None
        and cells[query].strip().lower() in _QUERY_HEADERS
    )


def read_query_tsv(
    path: str | Path, *, default_language: str | None = None, log: ReadingLog | None = None
) -> QueryFile:
    """Read queries from tab-separated columns: ``id``, ``language``, ``text``; or ``id``, ``text`` in one language.

    A first line whose first cell is a column name (``id``, ``qid``, ``query_id``) is skipped as a header.

    :param path: the file.
    :param default_language: language of all queries of a file with two columns, and of empty cells.
    :param log: counts lines that are left out.
    :raises InputError: for a file that cannot be read, a wrong number of columns, two columns without a default
        language, an unknown language, an empty cell or a repeated id.
    """
    log = log or ReadingLog()
    file = TextFile(path, partial(log.refuse, "query"))
    default = default_tag(default_language)
    ids: dict[str, int] = {}
    rows: list[QueryRow] = []
    widths = (3,) if default is None else (2, 3)
    for number, (line, text) in enumerate(file):
        cells = [cell.strip() for cell in text.split("\t")]
        if number == 0 and len(cells) > 1 and cells[0].lower() in _ID_HEADERS:
            continue
        try:
            row = _query_row(cells, widths, default, text, file.path, line)
            if row.id in ids:
                raise InputError(
                    f"duplicate id (first on line {ids[row.id]})",
                    source=file.path,
                    line=line,
                    field="id",
                    seen=row.id,
                    allowed="ids that are unique",
                )
        except InputError as error:
            log.refuse("query", error)
            continue
        widths = (len(cells),)
        ids[row.id] = line
        rows.append(row)
    if not rows:
        raise InputError("no queries", source=file.path, allowed="at least one line after the header")
    return QueryFile(rows=tuple(rows), path=file.path, source=file.source)


def _query_row(
    cells: list[str], widths: tuple[int, ...], default: str | None, text: str, path: Path, line: int
) -> QueryRow:
    if len(cells) not in widths:
        allowed = "3 columns, separated by tabs: id, language, text" + (
            " (2 columns, id and text, only with a default language)" if default is None else "; or 2: id, text"
        )
        raise InputError("wrong columns", source=path, line=line, seen=text, allowed=allowed)
    for name, cell in (("id", cells[0]), ("text", cells[-1])):
        if not cell:
            raise InputError(
                f"empty {name}", source=path, line=line, field=name, seen=cell, allowed="a text, not empty"
            )
    tag = default if len(cells) == 2 or is_missing_language(cells[1]) else None
    language = tag or normalize_language(cells[1], source=path, line=line, field="language")
    return QueryRow(id=cells[0], language=language, text=cells[-1], line=line)
