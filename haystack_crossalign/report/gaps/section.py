"""What an audit says of queries that are answered only in another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.content.live_words import LISTS
from haystack_crossalign.report.content.tables import Cell, Table
from haystack_crossalign.report.content.words import count, measure_value

_RANK, _FOUND = "OtherOnly", "OtherOnly@10"


def gaps_table(result: Mapping[str, Any]) -> Table | None:
    """One line per row of an audit with queries that are answered only in another language; None if there are none.

    :param result: an audit result, schema ``crossalign.audit/1``.
    """
    rows = [row for row in result["rows"] if _RANK in row["measures"] and _applies(result, row)]
    if not rows:
        return None
    table = Table(
        "Translation gaps: queries that are answered only in another language",
        ["Queries in", "Ranking", "Answered only elsewhere", "Rank of the first answer", "Found in the top 10"],
    )
    for row in rows:
        served = LISTS.get(row.get("retrieval", ""), row.get("retrieval") or "as served")
        number = _applies(result, row)
        table.rows.append(
            (
                display_name(row["query_language"]),
                [
                    Cell("exact" if row["kind"] == "exact" else served),
                    Cell(
                        f"{count(number)} of {count(row['queries'])}",
                        measure_value("share", number / row["queries"], row["queries"]),
                    ),
                    table.measure(row, _RANK),
                    table.measure(row, _FOUND),
                ],
            )
        )
    return table


def _applies(result: Mapping[str, Any], row: Mapping[str, Any]) -> int:
    """Number of queries of a row with relevant versions, none of them in their own language."""
    number = next(place for place, other in enumerate(result["rows"]) if other is row)
    queries = result["queries"]
    return sum(
        owner == number and bool(versions) and row["query_language"] not in versions
        for owner, versions in zip(queries["row"], queries["versions"], strict=True)
    )
