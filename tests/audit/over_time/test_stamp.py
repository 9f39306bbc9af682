"""The time of a result: read as UTC, stored only where it was asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from haystack_crossalign.audit.over_time.stamp import parse_stamp, seconds_of, stamped
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.errors import InputError


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2026-11-29T08:30:00+02:00", "2026-11-29T06:30:00Z"),
        ("2026-11-29T08:30:00.75Z", "2026-11-29T08:30:00Z"),
        ("2026-11-29 08:30", "2026-11-29T08:30:00Z"),
        ("2026-11-29", "2026-11-29T00:00:00Z"),
    ],
)
def test_times_are_stored_as_utc_to_the_second(text: str, stamp: str) -> None:
    assert parse_stamp(text) == stamp
    assert seconds_of(stamp) == datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def test_now_is_the_time_of_the_call() -> None:
    before = datetime.now(UTC).timestamp()
    assert before - 1 <= seconds_of(parse_stamp("now")) <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "1764400000", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a time"):
        parse_stamp(text)


def test_a_stamp_is_kept_by_the_schema_and_nothing_else_changes(make_row: Any, make_result: Any) -> None:
    plain = make_result([make_row("zh", {"Max@R": 1.0})], [{"Max@R": [1.0]}])
    timed = stamped(plain, "2026-11-29T08:30:00Z")
    assert AuditResult.from_dict(timed.to_dict()).provenance["stamp"] == "2026-11-29T08:30:00Z"
    assert stamped(plain, None).to_json() == plain.to_json()
    assert timed.to_json().replace(',"stamp":"2026-11-29T08:30:00Z"', "") == plain.to_json()
    with pytest.raises(InputError, match=r"provenance\.stamp"):
        AuditResult.from_dict(stamped(plain, "yesterday").to_dict())
