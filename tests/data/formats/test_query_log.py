"""Query logs with counts, and dates of documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from haystack_crossalign.data.formats.query_log import iso_time, log_weights, read_dates, read_query_log
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "log.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_counts_of_the_same_query_are_added(tmp_path: Path) -> None:
    path = write(tmp_path, "count\tquery\tlanguage\n3\tRefund  a ticket\ten\n4\trefund a TICKET\tEnglish\n5\t退票\t\n")
    log = read_query_log(path)
    assert log == {("refund a ticket", "en"): 7, ("退票", None): 5}
    weights, others = log_weights(log, ["q1", "q2", "q3"], ["Refund a ticket", "退票", "bike"], ["en", "zh", "en"])
    assert weights == {"q1": 7, "q2": 5, "q3": 0}
    assert others == {}
    assert log_weights(log, ["q"], ["refund a ticket"], ["zh"]) == ({"q": 0}, log)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("query\ttimes\na\t1\n", "the first line must name the columns"),
        ("query\tcount\na\t-1\n", "not a count"),
        ("query\tcount\na\t1.5\n", "not a count"),
        ("query\tcount\na\n", "wrong number of columns"),
        ("query\tcount\tlanguage\na\t1\tqqqq\n", "unknown language"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_query_log(write(tmp_path, text))


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-11-29", "2026-11-29T00:00:00Z"),
        ("2026-11-29T01:00:00+02:00", "2026-11-28T23:00:00Z"),
        (1_793_491_200_000, "2026-11-01T00:00:00Z"),
        ("last week", None),
        (True, None),
        (10**20, None),
    ],
)
def test_times_are_read_as_utc(value: object, time: str | None) -> None:
    assert iso_time(value) == time


def test_dates_are_read_by_id(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text('{"id": "a", "meta": {"updated": "2026-11-29"}}\n{"id": "b"}\n', encoding="utf-8")
    assert read_dates(path, "updated", ReadingLog()) == {"a": "2026-11-29T00:00:00Z"}
    with pytest.raises(InputError, match="no document has this field"):
        read_dates(path, "changed", ReadingLog())
    path.write_text('{"id": "a", "updated": "soon"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="not a date"):
        read_dates(path, "updated", ReadingLog())
