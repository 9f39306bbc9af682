"""The compact view for a terminal: the finding first, then one table per scenario and pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.report.advice.steps import Step, next_steps
from haystack_crossalign.report.advice.verdict import verdict
from haystack_crossalign.report.content.comparison import (
    changes,
    comparison_finding,
    data_notes_of_both,
    has_retrieved,
    one_sided,
    row_title,
)
from haystack_crossalign.report.content.comparisons import all_compared, overview_tables
from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.content.live import side_by_side
from haystack_crossalign.report.content.live_words import LISTS, live_notes
from haystack_crossalign.report.content.model import model_lines
from haystack_crossalign.report.content.provenance import data_notes, similarity_note
from haystack_crossalign.report.content.tables import Table as Side
from haystack_crossalign.report.content.tables import parity_sentence
from haystack_crossalign.report.content.ties import tie_ranges
from haystack_crossalign.report.content.words import (
    DASH,
    count,
    interval,
    measure_value,
    nothing_found,
    plural,
)
from haystack_crossalign.report.gaps.listing import HEADINGS, gap_lines, gaps_finding
from haystack_crossalign.report.gaps.section import gaps_table
from haystack_crossalign.report.history.words import history_finding, history_notes, latest_lines

_HEADLINE = ("Max@R", "Max@R_norm", "NDCG@1", "MRR")
_TITLES = {
    "multi": "One pool of {pool}",
    "mono-same": "Pools of one language, asked in that language",
    "mono-cross": "Pools of one language, asked in another",
}


def result_view(result: Mapping[str, Any]) -> Iterator[Text | Table]:
    """The terminal view of a result: sentences, then tables.

    :param result: an audit result as a mapping.
    """
    named = result["provenance"].get("options", {}).get("measures") is not None
    for sentence in finding(dict(result)):
        yield Text(sentence)
    judged = verdict(result)
    if judged is not None:
        yield Text(judged.sentence)
    for line in model_lines(result["provenance"]):
        yield Text(line)
    similarity = similarity_note(result["provenance"])
    if similarity:
        yield Text(similarity)
    for note in data_notes(result["provenance"]):
        yield Text(note)
    if result["provenance"].get("stamp"):
        yield Text(f"Time: {result['provenance']['stamp']}")
    if "live" in result:
        for remark in live_notes(result["live"]):
            yield Text(remark)
        for table in side_by_side(result):
            yield _as_rich(table)
        for row in result["rows"]:
            if "retrieval" in row and (ranges := tie_ranges(row, _columns([row], named=named))):
                served = LISTS.get(row["retrieval"], row["retrieval"])
                yield Text(
                    f"{display_name(row['query_language'])} queries, {served}: equal scores leave open {ranges}."
                )
    # Retrieved lists are shown beside the exact figures; the tables below show only exact ranks.
    rows = [row for row in result["rows"] if "retrieval" not in row]
    for _, group in groupby(rows, key=_table_key):
        members = list(group)
        yield _table(members, named=named)
        if sentence := parity_sentence(members):
            yield Text(sentence)
    gaps = gaps_table(result)
    if gaps is not None:
        yield _as_rich(gaps)
    # The demo ends with steps of its own, away from its sample.
    if result["provenance"].get("command") != "demo":
        yield from _steps(next_steps(result, judged))


def _steps(steps: Sequence[Step]) -> Iterator[Text]:
    if steps:
        yield Text("What to do next", style="bold")
    for number, step in enumerate(steps, start=1):
        yield Text(f"{number}. {step.title}. {step.reason}")
        if step.command:
            yield Text(f"   {step.command}")


def fitting(part: Text | Table, console: Console) -> Text | Table:
    """Return a part unchanged, or a table that is wider than the console as lines of heading and value.

    :param part: the part to print.
    :param console: the console.
    """
    # Measured with unlimited room: within its own width, a console reports that everything fits.
    wanted = console.measure(part, options=console.options.update(width=10_000)).maximum
    if isinstance(part, Text) or wanted <= console.width:
        return part
    lines = Text(str(part.title or ""), style="bold")
    for number in range(part.row_count):
        lines.append("\n", style="not bold")
        for column in part.columns:
            cell = list(column.cells)[number]
            heading = column.header
            lines.append(f"\n{heading}: {cell}" if str(heading) else f"\n{cell}", style="not bold")
    if part.caption:
        lines.append(f"\n\n{part.caption}", style="not bold")
    lines.append("\n")
    return lines


def gate_table(outcomes: Sequence[Mapping[str, Any]]) -> Table:
    """One line per condition and row to which it applies.

    :param outcomes: the gate's outcomes as mappings.
    """
    table = Table(title="Gate", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for heading in ("Condition", "Scenario", "Queries in", "Pool", "Value", ""):
        table.add_column(heading, justify="right" if heading == "Value" else "left", no_wrap=heading != "Condition")
    for outcome in outcomes:
        table.add_row(
            Text(outcome["condition"]),
            outcome["scenario"],
            outcome["query_language"],
            "+".join(outcome["pool_languages"]),
            measure_value(outcome["measure"], outcome["value"], limit=outcome["limit"])
            + _by_ties(outcome)
            + _judged(outcome),
            Text("FAILED", style="bold red") if outcome["failed"] else Text("passed", style="green"),
        )
    return table


def _by_ties(outcome: Mapping[str, Any]) -> str:
    return f" ({interval(outcome['measure'], outcome['ties'])} by ties)" if outcome.get("ties") else ""


def _judged(outcome: Mapping[str, Any]) -> str:
    if not outcome.get("judged_by"):
        return ""
    return f" ({measure_value(outcome['measure'], outcome['limit'])} before; {outcome['judged_by']})"


def comparison_tables(comparison: Mapping[str, Any]) -> Iterator[Text | Table]:
    """The finding; before, after, difference, interval and p-value of every measure, one table per row.

    :param comparison: a comparison as a mapping.
    """
    for sentence in comparison_finding(comparison):
        yield Text(sentence)
    for note in (*data_notes_of_both(comparison), *comparison["notes"], *one_sided(comparison)):
        yield Text(f"Note: {note}")
    apart = has_retrieved(comparison)
    for row in comparison["rows"]:
        table = Table(
            title=f"{row_title(row, apart=apart)}: {plural(row['queries'], 'query', 'queries')} in both",
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
        )
        table.add_column("Measure", no_wrap=True)
        for heading in ("A", "B", "B - A", "95 % interval", "p (Holm)"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("Reading")
        by_name = {change.name: change for change in changes(row)}
        for change in (by_name[name] for name in row["measures"]):
            table.add_row(
                Text(change.name),
                change.a,
                change.b,
                change.difference,
                change.interval or DASH,
                change.p,
                change.reading,
            )
        within = [
            f"{name}: the change lies within the ties; equal scores in another order undo it (A "
            f"{interval(name, entry['ties']['a'], row['queries'])}, B "
            f"{interval(name, entry['ties']['b'], row['queries'])})"
            for name, entry in row["measures"].items()
            if entry.get("within_ties")
        ]
        if within:
            table.caption, table.caption_justify = Text("\n".join(within)), "left"
        yield table


def comparisons_view(comparisons: Mapping[str, Any]) -> Iterator[Text | Table]:
    """Several results compared with one: the headline and the notes of each, and a table per main measure.

    :param comparisons: schema ``crossalign.comparisons/1``.
    """
    for result in all_compared(comparisons):
        yield Text(f"{result.name}: {result.finding[0]}")
        for note in result.notes:
            yield Text(f"Note on {result.name}: {note}")
    for source in overview_tables(comparisons):
        table = Table(title=Text(source.caption), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
        for number, heading in enumerate(source.columns):
            table.add_column(Text(heading), justify="right" if number else "left", max_width=24 if number else 36)
        for header, cells in source.rows:
            table.add_row(header, *(Text(f"{cell.text}\n{cell.detail}".rstrip()) for cell in cells))
        yield table


def history_view(history: Mapping[str, Any]) -> Iterator[Text | Table]:
    """A history: the finding, notes, and the first and latest value of every series.

    :param history: schema ``crossalign.history/1``.
    """
    for sentence in (*history_finding(history), *history_notes(history)):
        yield Text(sentence)
    table = Table(title="First and latest", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for number, heading in enumerate(
        ("Queries and pool", "Measure", "First", "Latest (95 % interval)", "Last significant change")
    ):
        table.add_column(heading, justify="right" if number in (2, 3) else "left", max_width=None if number else 40)
    for line in latest_lines(history):
        table.add_row(*(Text(cell) for cell in line))
    yield table


def gaps_view(gaps: Mapping[str, Any], most: int) -> Iterator[Text | Table]:
    """Translation gaps: the finding, notes, and the most wanted.

    :param gaps: schema ``crossalign.gaps/1``.
    :param most: number of gaps to list.
    """
    for sentence in (*gaps_finding(gaps), *gaps["notes"]):
        yield Text(sentence)
    lines = gap_lines(gaps)
    if lines:
        shown = f"the first {count(most)} of {count(len(lines))}" if len(lines) > most else count(len(lines))
        table = Table(title=f"Gaps, {shown}", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
        for number, heading in enumerate(HEADINGS):
            table.add_column(
                heading, justify="right" if number in (3, 4, 5) else "left", max_width=None if number else 34
            )
        for line in lines[:most]:
            table.add_row(*(Text(cell) for cell in line))
        yield table


def _table_key(row: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    # Rows over one-language pools share a table; every mixed pool has its own columns.
    return row["scenario"], tuple(row["pool_languages"]) if row["scenario"] == "multi" else ()


def _as_rich(source: Side) -> Table:
    """A table of the report without its intervals, which are in the files."""
    title = source.caption.replace(", means with 95 % intervals", "")
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for number, heading in enumerate(source.columns):
        table.add_column(Text(heading), justify="left" if number < 2 else "right", no_wrap=number < 2)
    for header, cells in source.rows:
        table.add_row(header, *(cell.text for cell in cells))
    return table


def _table(rows: Sequence[Mapping[str, Any]], *, named: bool) -> Table:
    pool = rows[0]["pool_languages"]
    multi = rows[0]["scenario"] == "multi"
    columns = _columns(rows, named=named)
    title = _TITLES[rows[0]["scenario"]].format(pool=", ".join(display_name(tag) for tag in pool))
    if multi:
        size = rows[0]["pool_size"]
        title += f": {count(size)} documents" if size is not None else ""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", caption_justify="left")
    table.add_column("Queries in", no_wrap=True)
    if not multi:
        table.add_column("Pool", no_wrap=True)
    table.add_column("Queries", justify="right", no_wrap=True)
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)  # as text: brackets are markup to Rich
    for row in rows:
        cells = [display_name(row["query_language"])]
        if not multi:
            cells.append("+".join(row["pool_languages"]))
        cells.append(count(row["queries"]))
        cells += [measure_value(name, row["measures"].get(name), row["queries"]) for name in columns]
        table.add_row(*cells)
    notes = _notes(rows, columns)
    if notes:
        table.caption = Text("\n".join(notes))
    return table


def _columns(rows: Sequence[Mapping[str, Any]], *, named: bool) -> list[str]:
    """The measures shown in a table of these rows: those requested by name, else a selection."""
    if named:
        return list(dict.fromkeys(name for row in rows for name in row["measures"]))
    cutoffs = [name for name in rows[0]["measures"] if name.startswith("Complete@")]
    headline = [name for name in (*_HEADLINE, *cutoffs) if any(name in row["measures"] for row in rows)]
    tags = rows[0]["pool_languages"] if rows[0]["scenario"] == "multi" else []
    return [*headline, *(f"Rank[{tag}]" for tag in tags if tag != UNDETERMINED)]


def _notes(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    notes = []
    for row in rows:
        reasons: dict[str, list[str]] = {}
        for name, reason in row["reasons"].items():
            if name in columns:
                reasons.setdefault(reason, []).append(name)
        notes += [f"{DASH} {row['query_language']}: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
        if ranges := tie_ranges(row, columns):
            notes.append(
                f"{row['query_language']}: {count(row['ties']['queries'])} of {count(row['queries'])} queries have a "
                f"relevant document that ties with others; equal scores leave open {ranges}"
            )
        censored = row["censored"]
        if censored is not None and censored["queries"]:
            notes.append(
                f"{row['query_language']}: {count(censored['queries'])} of {count(row['queries'])} queries have a "
                f"relevant document below the depth of the list ({count(censored['depth_max'])})"
                f"{nothing_found(censored)}; Max@R is at least "
                f"{measure_value('Max@R', censored['Max@R_lower_bound'], row['queries'])}"
            )
    return notes
