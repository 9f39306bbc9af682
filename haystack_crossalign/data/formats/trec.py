"""TREC qrels, and queries in tab-separated columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from haystack_crossalign.data.formats.jsonl import default_tag
from haystack_crossalign.data.judgments import Judgment, Qrels, QueryFile, QueryRow
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import TextFile
from haystack_crossalign.languages import normalise_language

__all__ = ["parse_judgments", "read_qrels", "read_query_tsv"]

_ID_HEADERS = frozenset({"id", "qid", "query_id", "query-id", "_id"})
_QUERY_HEADERS = _ID_HEADERS | {"query"}


def read_qrels(path: str | Path) -> Qrels:
    """Judgments from a TREC qrels file: ``query iteration document grade``, separated by tabs or spaces.

    :param path: the file.
    :raises InputError: for a file that cannot be read, another number of columns, a grade that is no whole number, or
        a pair that is judged twice.
    """
    return parse_judgments(TextFile(path), lambda text: text.split(), ("query", "iteration", "document", "grade"))


def parse_judgments(
    file: TextFile, split: Callable[[str], list[str]], columns: tuple[str, ...], *, header: bool = False
) -> Qrels:
    """Judgments from the lines of a file.

    :param file: the file.
    :param split: cuts a line into its columns.
    :param columns: names of the columns; "query", "document" and "grade" are read.
    :param header: whether a first line that names its query column (``query-id``, ``qid``, …) is left out.
    :raises InputError: see `read_qrels`.
    """
    query, document, grade = (columns.index(name) for name in ("query", "document", "grade"))
    first: dict[tuple[str, str], int] = {}
    judgments = []
    for number, (line, text) in enumerate(file):
        cells = split(text)
        if len(cells) != len(columns):
            raise InputError(
                "wrong columns",
                source=file.path,
                line=line,
                seen=text,
                allowed=f"{len(columns)} columns: {', '.join(columns)}",
            )
        value = _whole_number(cells[grade])
        if header and number == 0 and value is None and cells[query].strip().lower() in _QUERY_HEADERS:
            continue
        if value is None:
            raise InputError(
                "not a whole number",
                source=file.path,
                line=line,
                field="grade",
                seen=cells[grade],
                allowed="a whole number; above 0 means relevant",
            )
        pair = (cells[query], cells[document])
        for name, cell in zip(("query", "document"), pair, strict=True):
            if not cell.strip():
                raise InputError("empty id", source=file.path, line=line, field=name, seen=cell, allowed="an id")
        if pair in first:
            raise InputError(
                f"judged twice (first on line {first[pair]})",
                source=file.path,
                line=line,
                field="document",
                seen=" ".join(pair),
                allowed="one judgment for each query and document",
            )
        first[pair] = line
        judgments.append(Judgment(query=pair[0], document=pair[1], grade=value, line=line))
    if not judgments:
        raise InputError("no judgments", source=file.path, allowed="at least one line after the header")
    return Qrels(judgments=tuple(judgments), path=file.path, source=file.source)


def read_query_tsv(path: str | Path, *, default_language: str | None = None) -> QueryFile:
    """Queries from tab-separated columns: ``id``, ``language``, ``text``; or ``id``, ``text`` in one language.

    A first line that names its first column (``id``, ``qid``, ``query_id``) is taken as a header and left out.

    :param path: the file.
    :param default_language: language of all queries of a file with two columns.
    :raises InputError: for a file that cannot be read, another number of columns, two columns without a default
        language, an unknown language, an empty cell or a repeated id.
    """
    file = TextFile(path)
    default = default_tag(default_language)
    allowed = "3 columns, separated by tabs: id, language, text" + (
        " (2 columns, id and text, only with a default language)" if default is None else "; or 2: id, text"
    )
    ids: dict[str, int] = {}
    rows: list[QueryRow] = []
    width = 0
    for number, (line, text) in enumerate(file):
        cells = [cell.strip() for cell in text.split("\t")]
        width = width or len(cells)
        if len(cells) != width or width not in ((3,) if default is None else (2, 3)):
            raise InputError("wrong columns", source=file.path, line=line, seen=text, allowed=allowed)
        if number == 0 and cells[0].lower() in _ID_HEADERS:
            continue
        for name, cell in (("id", cells[0]), ("text", cells[-1])):
            if not cell:
                raise InputError(
                    f"empty {name}", source=file.path, line=line, field=name, seen=cell, allowed="a text, not empty"
                )
        if cells[0] in ids:
            raise InputError(
                f"duplicate id (first on line {ids[cells[0]]})",
                source=file.path,
                line=line,
                field="id",
                seen=cells[0],
                allowed="ids that are unique",
            )
        ids[cells[0]] = line
        tag = default if width == 2 and default is not None else None
        language = tag or normalise_language(cells[1], source=file.path, line=line, field="language")
        rows.append(QueryRow(id=cells[0], language=language, text=cells[-1], line=line))
    if not rows:
        raise InputError("no queries", source=file.path, allowed="at least one line after the header")
    return QueryFile(rows=tuple(rows), path=file.path, source=file.source)


def _whole_number(text: str) -> int | None:
    digits = text.strip().removeprefix("-")
    # Nine digits are more than any grade needs, and int() of a longer text can fail.
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
