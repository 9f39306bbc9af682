"""Several results compared with one: an overview, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.measures.meanings import ordered_names
from haystack_crossalign.report.content.comparison import (
    changes,
    comparison_finding,
    has_retrieved,
    one_sided,
    row_title,
)
from haystack_crossalign.report.content.provenance import data_notes
from haystack_crossalign.report.content.tables import Cell, Table
from haystack_crossalign.report.content.words import DASH

_SHOWN = ("Max@R", "Max@R_norm", "NDCG@10", "Top1[relevant,same]")
"""Measures of the overview, besides every Complete@K."""

_MARKS = {"better": "▲ better", "worse": "▼ worse", "neutral": "changed", "even": ""}


@dataclass(frozen=True)
class Compared:
    """A result beside the baseline, in words.

    :param name: its name.
    :param finding: the finding of the comparison.
    :param notes: what a reader must know before trusting it.
    :param blocks: title and changes of every row.
    """

    name: str
    finding: list[str]
    notes: list[str]
    blocks: list[dict[str, Any]]

    @property
    def significant(self) -> int:
        """Number of significant changes."""
        return sum(line.verdict not in ("even", "none") for block in self.blocks for line in block["lines"])


def all_compared(comparisons: Mapping[str, Any]) -> list[Compared]:
    """Each result beside the baseline.

    :param comparisons: schema ``crossalign.comparisons/1``.
    """
    baseline = comparisons["names"][0]
    return [
        Compared(
            name,
            comparison_finding(comparison),
            [
                *data_notes(comparison["b"]),
                *comparison["notes"],
                *one_sided(comparison, (f"in {baseline}", f"in {name}")),
            ],
            [
                {"title": row_title(row, apart=has_retrieved(comparison)), "lines": changes(row)}
                for row in comparison["rows"]
            ],
        )
        for name, comparison in zip(comparisons["names"][1:], comparisons["comparisons"], strict=True)
    ]


def overview_tables(comparisons: Mapping[str, Any]) -> list[Table]:
    """One table per main measure: a line per row, a column per result.

    :param comparisons: schema ``crossalign.comparisons/1``.
    """
    names, several = comparisons["names"], comparisons["comparisons"]
    rows: dict[str, list[Mapping[str, Any] | None]] = {}
    for place, comparison in enumerate(several):
        for row in comparison["rows"]:
            title = short_title(row, apart=any(has_retrieved(entry) for entry in several))
            rows.setdefault(title, [None] * len(several))[place] = row
    known = ordered_names(name for comparison in several for row in comparison["rows"] for name in row["measures"])
    tables = []
    for name in known:
        if name not in _SHOWN and not name.startswith("Complete@"):
            continue
        table = Table(f"{name}: the difference to {names[0]} below each value", ["Queries and pool", *names])
        for title, entries in rows.items():
            changes = [_found(row, name) for row in entries]
            # The values of the baseline can differ between columns, where results share other queries with it.
            before = dict.fromkeys(change.a for change in changes if change is not None)
            cells = [Cell(" / ".join(before) or DASH)]
            for change in changes:
                if change is None:
                    cells.append(Cell(DASH))
                    continue
                if change.verdict == "none":
                    cells.append(Cell(change.b, change.reading))
                    continue
                plain = change.reading == "no significant change"
                mark = "" if plain else f"; {_MARKS.get(change.verdict) or change.reading}"
                p = change.p if change.p.startswith("<") else f"= {change.p}"
                cells.append(Cell(change.b, f"{change.difference}, p {p}{mark}"))
            table.rows.append((title, cells))
        tables.append(table)
    return tables


def short_title(row: Mapping[str, Any], *, apart: bool) -> str:
    """Query language, pool and ranking of a row in a few words.

    :param row: the row, or a series of a history.
    :param apart: whether exact ranks are called so.
    """
    served = row.get("retrieval") or ("served" if row["kind"] == "live" else "exact" if apart else "")
    pool = "+".join(row["pool_languages"])
    scenario = "" if row["scenario"] == "multi" else f" ({row['scenario']})"
    return f"{display_name(row['query_language'])} queries, {pool}{f', {served}' if served else ''}{scenario}"


def _found(row: Mapping[str, Any] | None, name: str) -> Any:
    if row is None or name not in row["measures"]:
        return None
    return next(change for change in changes(row) if change.name == name)
