"""Tables of a view: headline figures, all measures, and the data of every chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.measures.meanings import best_value, ordered_names
from haystack_crossalign.measures.parity import parities
from haystack_crossalign.report.content.aggregates import ROUND_CUTOFFS
from haystack_crossalign.report.content.charts import SPLIT
from haystack_crossalign.report.content.ties import tie_range
from haystack_crossalign.report.content.views import View, row_label
from haystack_crossalign.report.content.words import DASH, count, in_language, interval, measure_value, quantity

_HEADLINE = ("Max@R", "Max@R_norm", "Complete@10", "NDCG@10", "MRR")
_MOST_COLUMNS = 14
"""More result rows than this become rows of the table, not columns."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a smaller second line, and the number of the note that explains why it is empty."""

    text: str
    detail: str = ""
    note: int | None = None


@dataclass
class Table:
    """A table with its head, rows of (header, cells) and notes.

    :param caption: what it shows.
    :param columns: column headers, the first one above the row headers.
    :param grouped: whether rows of one header belong together, and their first cells tell them apart.
    """

    caption: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    grouped: bool = False

    def groups(self) -> list[tuple[str, list[list[Cell]]]]:
        """The rows by their header, in order."""
        return [(header, [cells for _, cells in rows]) for header, rows in groupby(self.rows, key=lambda line: line[0])]

    def empty(self, reason: str) -> Cell:
        """An empty cell, with a note that says why."""
        if reason not in self.notes:
            self.notes.append(reason)
        return Cell(DASH, note=self.notes.index(reason) + 1)

    def measure(self, row: Mapping[str, Any], name: str) -> Cell:
        """The cell of a measure: value and confidence interval, or the reason why there is none."""
        value = row["measures"].get(name)
        if value is None:
            if name in row["measures"]:
                return self.empty(row.get("reasons", {}).get(name, "has no meaning here"))
            return Cell("")
        spread = interval(name, row.get("intervals", {}).get(name), row["queries"])
        ties = tie_range(row, name)
        details = [spread, f"ties: {ties}" if ties else ""]
        return Cell(measure_value(name, value, row["queries"]), "; ".join(detail for detail in details if detail))


def headline_table(result: Mapping[str, Any], view: View) -> Table:
    """The main measures of every row, below the best possible values."""
    rows = [result["rows"][index] for index in view.rows]
    names = [name for name in _HEADLINE if any(name in row["measures"] for row in rows)]
    table = Table("Main measures by query language, means with 95 % intervals", ["Query language"])
    best = rows[0]["relevant"] / rows[0]["queries"]
    target = []
    for name in names:
        table.columns.append(name)
        known = view.kind == "live" or any(row["measures"].get(name) is not None for row in rows)
        target.append(Cell(measure_value(name, best_value(name, best) if known else None)))
        if name == "Max@R":
            table.columns.append("Median of Max@R")
            target.append(Cell(quantity(best)))
    table.columns.append("Queries")
    table.rows.append(("Best possible", [*target, Cell("")]))
    for row in rows:
        cells = []
        for name in names:
            cells.append(table.measure(row, name))
            if name == "Max@R":
                cells.append(_median(table, row))
        table.rows.append((row_label(row, view), [*cells, Cell(count(row["queries"]))]))
    return table


def _median(table: Table, row: Mapping[str, Any]) -> Cell:
    median = row.get("medians", {}).get("Max@R") or {}
    value = median.get("value", row.get("percentiles", {}).get("Max@R", {}).get("p50"))
    if value is None:
        censored = row.get("censored") or {}
        if censored.get("share", 0) >= 0.5:
            return Cell(f"> {count(censored['depth_min'])}")
        return table.empty("the row states no median")
    return Cell(quantity(value), interval("Max@R", median.get("interval")))


def measures_table(result: Mapping[str, Any], view: View) -> Table:
    """Every measure of every row, with intervals, percentiles and ranges under ties."""
    rows = [result["rows"][index] for index in view.rows]
    names = ordered_names(name for row in rows for name in row["measures"])
    table = Table("All measures, means with 95 % intervals", [])
    lines: list[tuple[str, list[Cell]]] = [(name, [table.measure(row, name) for row in rows]) for name in names]
    for name in names:
        if any(row.get("percentiles", {}).get(name) for row in rows):
            cells = []
            for row in rows:
                values = row.get("percentiles", {}).get(name) or {}
                cells.append(Cell(" / ".join(quantity(values.get(key)) for key in ("p50", "p90", "p99"))))
            lines.append((f"{name}: median / 90 % / 99 %", cells))
    lines += [
        (f"{name}: mean over all orders of ties", [_expected(row, name) for row in rows])
        for name in names
        if any(tie_range(row, name) for row in rows)
    ]
    if parity := _parity_of(rows):
        fewest = min(row["queries"] for row in rows)
        for name, cells in lines:
            entry = parity.get(name)
            detail = "" if entry is None else f"worst: {display_name(entry['worst'])}"
            cells.append(Cell("") if entry is None else Cell(measure_value("share", entry["value"], fewest), detail))
    lines.append(("Queries", [Cell(count(row["queries"])) for row in rows]))
    lines.append(("Pool size", [Cell(count(row["pool_size"]) if row["pool_size"] else DASH) for row in rows]))
    labels = [row_label(row, view) for row in rows]
    if parity:
        labels.append("Parity")
        lines = [(name, [*cells, *[Cell("")] * (len(labels) - len(cells))]) for name, cells in lines]
    if len(rows) > _MOST_COLUMNS:
        table.columns = ["Query language", *(name for name, _ in lines)]
        table.rows = [(label, [cells[place] for _, cells in lines]) for place, label in enumerate(labels)]
    else:
        table.columns, table.rows = ["Measure", *labels], lines
    return table


def parity_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """Parity of the main measures over the query languages of a view, as a sentence; empty if there is none.

    :param rows: the rows of the view.
    """
    measures, fewest = _parity_of(rows), min((row["queries"] for row in rows), default=1)
    parts = [
        f"{name} {measure_value('share', entry['value'], fewest)}"
        + (
            f" ({display_name(entry['worst'])} against {display_name(entry['best'])})"
            if entry["worst"] != entry["best"]
            else ""
        )
        for name in _HEADLINE
        if (entry := measures.get(name)) is not None and entry["value"] is not None
    ]
    return f"Parity of query languages, the lowest mean as a share of the highest: {', '.join(parts)}." if parts else ""


def parity_changes(comparison: Mapping[str, Any]) -> list[str]:
    """Parity over the query languages of each mixed pool, before and after, in sentences.

    :param comparison: schema ``crossalign.comparison/1``.
    """
    sentences = []
    for entry in comparison.get("parity", ()):
        name = next((name for name in ("Complete@10", *_HEADLINE) if name in entry["measures"]), None)
        if (
            name is None
            or entry["scenario"] != "multi"
            or None in (values := [entry["measures"][name][side]["value"] for side in "ab"])
        ):
            continue
        queries = [row["queries"] for row in comparison["rows"] if row["pool_languages"] == entry["pool_languages"]]
        before, after = (measure_value("share", value, min(queries, default=1)) for value in values)
        worst = f" (served worst: {display_name(entry['measures'][name]['b']['worst'])})" if values[1] < 1 else ""
        lists = ", results as served" if entry["kind"] == "live" else ""
        sentences.append(
            f"Parity of query languages over {'+'.join(entry['pool_languages'])}{lists}, the lowest mean {name} as a "
            f"share of the highest: {before} before, {after} after{worst}."
        )
    return sentences


def _parity_of(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    parity_rows = parities(rows)
    return parity_rows[0]["measures"] if parity_rows else {}


def _expected(row: Mapping[str, Any], name: str) -> Cell:
    if not tie_range(row, name):
        return Cell("")
    return Cell(measure_value(name, row["ties"][name].get("expected"), row["queries"]))


def chart_tables(result: Mapping[str, Any], view: View, data: Mapping[str, Any]) -> dict[str, Table]:
    """The table behind each chart of a view, by the chart's name.

    :param data: see `charts.chart_data`.
    """
    rows = [result["rows"][index] for index in view.rows]
    return {
        "median": heat_table("Median rank", data, "median"),
        "mean": heat_table("Mean rank", data, "mean"),
        "ranks": _strips_table(data),
        "ahead": _ahead_table(rows, view, data),
        "split": _split_table(rows, view),
        "curve": _curve_table(data),
    }


def heat_table(caption: str, data: Mapping[str, Any], key: str) -> Table:
    """The table behind a heat map of ranks.

    :param data: see `charts.heat_data`.
    :param key: "median" or "mean".
    """
    cells = {(cell["q"], cell["d"]): cell["t"] for cell in data["heat"][key]}
    table = Table(
        f"{caption} of the relevant document, by query language and document language",
        ["Query language", *(in_language(document["tag"], "documents") for document in data["documents"])],
    )
    for q, query in enumerate(data["queries"]):
        table.rows.append((query["name"], [Cell(cells.get((q, d), "")) for d in range(len(data["documents"]))]))
    return table


def _strips_table(data: Mapping[str, Any]) -> Table:
    lost = any(strip["lost"] for strip in data["strips"])
    table = Table(
        "Number of queries by the rank of the relevant version",
        ["Query → document", *(f"rank {label}" for label in data["bins"]), *(["not in the list"] if lost else [])],
    )
    for strip in data["strips"]:
        label = f"{data['queries'][strip['q']]['name']} → {data['documents'][strip['d']]['name']}"
        values = [*strip["n"], *([strip["lost"]] if lost else [])]
        table.rows.append((label, [Cell(count(value)) for value in values]))
    return table


def _ahead_table(rows: Sequence[Mapping[str, Any]], view: View, data: Mapping[str, Any]) -> Table:
    tags = view.document_languages
    table = Table(
        "Mean number of non-relevant documents above the relevant version; Intrusion with its 95 % interval",
        ["Query → version", *(in_language(tag, "documents") for tag in tags)],
    )
    by_query = {(row["query_language"], tuple(row["pool_languages"])): row for row in rows}
    for row in by_query.values():
        cells = [table.measure(row, f"Intrusion[{tag}]") for tag in tags]
        if any(cell.text for cell in cells):
            table.rows.append((f"{row_label(row, view)}: Intrusion", cells))
    for bar in data["ahead"]:
        label = f"{data['queries'][bar['q']]['name']} → {data['documents'][bar['d']]['name']}"
        table.rows.append(
            (label, [Cell(quantity(bar["by"][tag], bar["n"]) if tag in bar["by"] else "") for tag in tags])
        )
    return table


def _split_table(rows: Sequence[Mapping[str, Any]], view: View) -> Table:
    table = Table("What stands at rank 1, share of queries", ["Query language", *(title for _, title in SPLIT)])
    for row in rows:
        table.rows.append((row_label(row, view), [table.measure(row, name) for name, _ in SPLIT]))
    return table


def _curve_table(data: Mapping[str, Any]) -> Table:
    grid = data["curve"]["k"]
    shown = [place for place, k in enumerate(grid) if k in ROUND_CUTOFFS or k == grid[-1]]
    table = Table(
        "Complete@K: share of queries with every relevant version in the top K",
        ["Query language", *(f"K = {count(grid[place])}" for place in shown)],
    )
    for row in data["curve"]["rows"]:
        table.rows.append(
            (row["label"], [Cell(measure_value("Complete@K", row["v"][place], row["n"])) for place in shown])
        )
    return table
