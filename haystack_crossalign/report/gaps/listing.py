"""The gaps of a pool in words and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.content.words import DASH, count, joined, measure_value, plural, quantity

_COLUMNS = (
    "content", "language", "gap", "demand", "queries", "rank", "rank_is", "in_top_10", "versions", "date",
    "source_date",
)  # fmt: skip
HEADINGS = ("Content", "Language", "Gap", "Demand", "Rank now", "In top 10", "Exists in", "Dates (version / source)")


def gaps_finding(gaps: Mapping[str, Any]) -> list[str]:
    """The finding in sentences.

    :param gaps: schema ``crossalign.gaps/1``.
    """
    number, whole = gaps["contents"], gaps["complete"]
    tags = joined([display_name(tag) for tag in gaps["languages"]])
    sentences = [f"{count(whole)} of {plural(number, 'content')} have an up-to-date version in {tags}."]
    for tag, sums in gaps["by_language"].items():
        if sums["missing"] or sums["older"]:
            old = f", and {count(sums['older'])} are older than the {display_name(gaps['source'])} version"
            sentences.append(
                f"{display_name(tag)}: {count(sums['missing'])} are missing{old if sums['older'] else ''}."
            )
    wanted = [gap for gap in gaps["gaps"] if gap["demand"]]
    if wanted:
        first = wanted[0]
        searches = plural(first["demand"], "search", "searches")
        asked = searches if gaps["demand"] == "query log" else plural(first["demand"], "query", "queries")
        reached = "" if first["rank"] is None else f"; they find what exists at rank {quantity(first['rank'])}"
        sentences.append(
            f"Most wanted: '{first['content']}' in {display_name(first['language'])} ({first['kind']}), asked for by "
            f"{asked}{reached}."
        )
    elif gaps["gaps"]:
        sentences.append(
            "Nobody asked for what is missing, as far as the queries tell: the order is that of the typical rank, the "
            "deepest first."
        )
    return sentences


def gap_lines(gaps: Mapping[str, Any]) -> list[list[str]]:
    """One line per gap, in the order of demand, under `HEADINGS`.

    :param gaps: schema ``crossalign.gaps/1``.
    """
    return [
        [
            gap["content"],
            display_name(gap["language"]),
            gap["kind"],
            count(gap["demand"]),
            _rank(gap),
            measure_value("share", gap["in_top_10"]),
            ", ".join(gap["versions"]),
            DASH if gap["source_date"] is None else f"{_day(gap['date'])} / {_day(gap['source_date'])}",
        ]
        for gap in gaps["gaps"]
    ]


def _rank(gap: Mapping[str, Any]) -> str:
    if gap["rank"] is None:
        return "not found" if gap["rank_is"] == "measured" else DASH
    return f"{quantity(gap['rank'])}{' (typical)' if gap['rank_is'] == 'typical' else ''}"


def _day(date: str | None) -> str:
    return DASH if date is None else date[:10]


def gaps_csv(gaps: Mapping[str, Any]) -> str:
    """Every gap, one line each. The share in the top 10 is 0 to 1.

    :param gaps: schema ``crossalign.gaps/1``.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for gap in gaps["gaps"]:
        writer.writerow([*_head(gap), "+".join(gap["versions"]), gap["date"], gap["source_date"]])
    return out.getvalue()


def _head(gap: Mapping[str, Any]) -> Sequence[Any]:
    return [gap["content"], gap["language"], gap["kind"], gap["demand"], gap["queries"], gap["rank"], gap["rank_is"],
            gap["in_top_10"]]  # fmt: skip
