"""A log of queries with counts, and dates of documents: the evidence of demand and age for translation gaps."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from haystack_crossalign.data.formats.jsonl import records
from haystack_crossalign.data.formats.tables import tsv_records
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import TextFile
from haystack_crossalign.languages import normalize_language


def read_query_log(path: Path) -> dict[tuple[str, str | None], int]:
    """Read a tab-separated log whose first line names the columns ``query``, ``count`` and, if it has one,
    ``language``.

    :param path: the file.
    :returns: the sum of the counts by comparable text (see `comparable`) and normalized language, None without one.
    :raises InputError: for the first invalid row.
    """
    counts: dict[tuple[str, str | None], int] = {}
    for record in tsv_records(TextFile(path), ("query", "count"), "query, count and, if known, language"):
        number = str(record.get("count") or "")
        if not number.isascii() or not number.isdigit() or len(number) > 15:
            raise record.error("not a count", "count", number, "a whole number from 0")
        tag = record.get("language")
        language = None if tag is None else normalize_language(str(tag), source=path, field="language")
        key = comparable(str(record.get("query") or "")), language
        counts[key] = counts.get(key, 0) + int(number)
    return counts


def log_weights(
    log: dict[tuple[str, str | None], int], ids: Sequence[str], texts: Sequence[str], languages: Sequence[str]
) -> tuple[dict[str, int], dict[tuple[str, str | None], int]]:
    """How often each judged query was asked, and the rows of the log that are of no judged query.

    :param log: from `read_query_log`.
    :param ids: ids of the judged queries; likewise ``texts`` and ``languages``.
    """
    rest = dict(log)
    weights: dict[str, int] = {}
    for name, text, language in zip(ids, texts, languages, strict=True):
        key = comparable(text)
        weights[name] = sum(log.get((key, tag), 0) for tag in (language, None))
        for tag in (language, None):
            rest.pop((key, tag), None)
    return weights, rest


def comparable(text: str) -> str:
    """A text without differences of case, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def read_dates(path: Path, field: str, log: ReadingLog) -> dict[str, str]:
    """Dates of the documents of a JSON Lines file, by id.

    :param path: the file.
    :param field: field with ISO 8601 times or dates, or milliseconds since 1970.
    :param log: decides whether invalid rows are left out.
    :raises InputError: for the first date that is invalid, or if no document has one.
    """
    dates: dict[str, str] = {}
    for record in records(TextFile(path, partial(log.refuse, "document"))):
        value = record.get(field)
        if value is None:
            continue
        date = iso_time(value)
        if date is None:
            raise record.error("not a date", field, value, "ISO 8601 such as 2026-11-29, or milliseconds since 1970")
        dates[record.identifier("id")] = date
    if not dates:
        raise InputError("no document has this field", source=path, field=field, allowed="a field with dates")
    return dates


def iso_time(value: object) -> str | None:
    """A time as ISO 8601 in UTC, to the second; None if it is none.

    :param value: ISO 8601 text (UTC without an offset), or milliseconds since 1970.
    """
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            time = datetime.fromtimestamp(value / 1000, UTC)
        else:
            return None
        time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return time.replace(microsecond=0, tzinfo=None).isoformat() + "Z"
