"""The time of a result. Only a stamp that the user asks for is stored, so that equal input gives equal bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.errors import InputError

NOW = "now"


def parse_stamp(text: str, *, source: str = "--stamp") -> str:
    """Read a time, to the second, as UTC.

    >>> parse_stamp("2026-11-29T08:30:00+02:00"), parse_stamp("2026-11-29")
    ('2026-11-29T06:30:00Z', '2026-11-29T00:00:00Z')

    :param text: ISO 8601, with or without an offset from UTC (none means UTC); or ``now``.
    :param source: option, for the message.
    :raises InputError: if it is not a time.
    """
    try:
        time = datetime.now(UTC) if text == NOW else datetime.fromisoformat(text)
        time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(
            "not a time", source=source, seen=text, allowed="now, or ISO 8601 such as 2026-11-29T08:30:00Z"
        ) from None
    return time.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def seconds_of(stamp: str) -> float:
    """Seconds since 1970 of a stamp.

    :param stamp: as returned by `parse_stamp`.
    :raises ValueError: if it is not a time.
    """
    time = datetime.fromisoformat(stamp)
    return time.replace(tzinfo=time.tzinfo or UTC).timestamp()


def stamped(result: AuditResult, stamp: str | None) -> AuditResult:
    """A copy with the stamp in its provenance; the result itself without one.

    :param result: the result.
    :param stamp: as returned by `parse_stamp`, or None.
    """
    return result if stamp is None else replace(result, provenance={**result.provenance, "stamp": stamp})
