"""Audits and comparisons as Markdown, for pull requests and the summaries of CI systems: the finding first, then
tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.advice.steps import Step, next_steps
from haystack_crossalign.report.advice.verdict import verdict
from haystack_crossalign.report.content.aggregates import RowRanks, row_ranks
from haystack_crossalign.report.content.charts import SPLIT, heat_data
from haystack_crossalign.report.content.comparison import (
    Change,
    changes,
    comparison_finding,
    data_notes_of_both,
    has_retrieved,
    one_sided,
    row_title,
)
from haystack_crossalign.report.content.comparisons import all_compared, overview_tables
from haystack_crossalign.report.content.dial import dial_section
from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.content.live import exposure_table, side_by_side
from haystack_crossalign.report.content.live_words import live_facts, live_notes
from haystack_crossalign.report.content.model import model_lines
from haystack_crossalign.report.content.provenance import data_notes, facts, similarity_note, subject_name
from haystack_crossalign.report.content.tables import Table, headline_table, heat_table, parity_sentence
from haystack_crossalign.report.content.views import View, main_view, row_label, views
from haystack_crossalign.report.content.words import count, measure_value, nothing_found, plural, shorten
from haystack_crossalign.report.content.worst import FullTexts, worst_queries
from haystack_crossalign.report.gaps.listing import HEADINGS, gap_lines, gaps_finding
from haystack_crossalign.report.gaps.section import gaps_table

_WORST, _MOST_GAPS, _LONGEST_NAME = 10, 200, 80
_SPECIAL = re.compile(r"([\\`*<>|~&$]|(?<![^\W_])_|_(?![^\W_])|(?<=\])\()")
"""Characters that would be markup; an underscore within a word and a lone bracket are not."""

_REFERENCE = re.compile(r"(?i)(?<!\w)([@#])(?=\w)|\b(https?|ftp|www)(?=[:.])")
"""Beginnings of mentions, issue references and bare URLs, which platforms turn into links."""

_UNSEEN = re.compile("[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Control characters, line separators, bidirectional marks, and halves of surrogate pairs."""


def render_markdown(result: Mapping[str, Any]) -> str:
    """The Markdown of an audit (GitHub flavor).

    :param result: an audit result, schema ``crossalign.audit/1``; with or without texts.
    """
    ranks = row_ranks(result)
    all_views = views(result) if result["rows"] else []
    parts = [f"## Language bias audit: {_plain(subject_name(result['provenance']))}", *_finding(finding(result))]
    judged = verdict(result)
    if judged is not None:
        parts.append(_plain(judged.sentence))
    parts += [_plain(line) for line in model_lines(result["provenance"])]
    similarity = similarity_note(result["provenance"])
    if similarity:
        parts.append(_plain(similarity))
    parts += [f"> {_plain(note)}" for note in data_notes(result["provenance"])]
    if "live" in result:
        parts += _live(result)
    if all_views:
        first = main_view(result, all_views)
        for view in sorted(all_views, key=lambda view: view is not first):
            parts += _view(result, view, ranks)
        parts += [markdown_table(gaps, caption=True)] if (gaps := gaps_table(result)) is not None else []
        parts += _worst(result, first, ranks)
    if steps := next_steps(result, judged):
        parts.append(f"### What to do next\n\n{_steps(steps)}")
    parts.append(_folded("How it was measured", _facts(result["provenance"])))
    if "live" in result:
        lines = [[name, value] for name, value in live_facts(result["live"])]
        parts.append(_folded("The index", _grid(["", ""], lines, figures=False)))
    return "\n\n".join(parts) + "\n"


def render_markdown_comparison(
    comparison: Mapping[str, Any], *, dial: Mapping[str, Any] | None = None, change: str | None = None
) -> str:
    """The Markdown of a comparison: the changes and their significance.

    :param comparison: schema ``crossalign.comparison/1``.
    :param dial: ``dial`` of a repair's result, None if there is none.
    :param change: a sentence on what changed the model in between.
    """
    before, after = _plain(subject_name(comparison["a"])), _plain(subject_name(comparison["b"]))
    parts = ["## Language bias, before and after", f"{before} → {after}", *_finding(comparison_finding(comparison))]
    if change is not None:
        parts.append(_plain(change))
    apart = has_retrieved(comparison)
    for row in comparison["rows"]:
        title = f"{_plain(row_title(row, apart=apart))}, {plural(row['queries'], 'query', 'queries')}"
        parts.append(f"### {title}\n\n{_changes(changes(row))}")
    if dial is not None:
        section = dial_section(dial)
        parts.append(f"### {section.title}\n\n{section.hint}\n\n{_grid(section.columns, section.rows)}")
    notes = [*data_notes_of_both(comparison), *comparison.get("notes", []), *one_sided(comparison)]
    parts += [f"> {_plain(note)}" for note in notes]
    parts.append(_folded("Before: how it was measured", _facts(comparison["a"])))
    parts.append(_folded("After: how it was measured", _facts(comparison["b"])))
    return "\n\n".join(parts) + "\n"


def _steps(steps: Sequence[Step]) -> str:
    lines = []
    for number, step in enumerate(steps, start=1):
        lines.append(f"{number}. **{_plain(step.title)}.** {_plain(step.reason)}")
        if step.command:
            # Longer than any run of backticks in it, which a name of a file may hold.
            fence = "`" * (1 + max(map(len, re.findall("`+", step.command)), default=0))
            lines.append(f"   {fence} {_UNSEEN.sub(' ', step.command)} {fence}")
    return "\n".join(lines)


def _reading(change: Change) -> str:
    marked = {"better": "✅ better", "worse": "❌ worse"}
    return marked.get(change.verdict, change.reading)


def render_markdown_comparisons(comparisons: Mapping[str, Any]) -> str:
    """The Markdown of several results compared with one.

    :param comparisons: schema ``crossalign.comparisons/1``.
    """
    compared = all_compared(comparisons)
    parts = [f"## Language bias, {plural(len(compared), 'result')} compared with {_plain(comparisons['names'][0])}"]
    parts += [markdown_table(table, caption=True) for table in overview_tables(comparisons)]
    for result in compared:
        parts += [f"### {_plain(result.name)}", *_finding(result.finding), *(f"> {_plain(n)}" for n in result.notes)]
        parts += [_folded(f"{result.name}: {block['title']}", _changes(block["lines"])) for block in result.blocks]
    return "\n\n".join(parts) + "\n"


def render_markdown_gaps(gaps: Mapping[str, Any]) -> str:
    """The gaps as Markdown: the finding, and the most wanted.

    :param gaps: schema ``crossalign.gaps/1``.
    """
    lines = gap_lines(gaps)
    parts = ["## Translation gaps", *(_plain(sentence) for sentence in gaps_finding(gaps))]
    if lines:
        parts.append(_grid(HEADINGS, lines[:_MOST_GAPS], figures=False))
    if len(lines) > _MOST_GAPS:
        parts.append(f"{count(len(lines) - _MOST_GAPS)} more are in the CSV and JSON files.")
    parts += [f"> {_plain(note)}" for note in gaps["notes"]]
    return "\n\n".join(parts) + "\n"


def _changes(lines: Sequence[Change]) -> str:
    cells = [
        [change.name, change.a, change.b, _small(change.difference, change.interval), change.p, _reading(change)]
        for change in lines
    ]
    return _grid(["Measure", "Before", "After", "Change", "p", "Reading"], cells)


def _finding(sentences: Sequence[str]) -> list[str]:
    first, *rest = [_plain(sentence) for sentence in sentences]
    return [f"**{first}**", *(["\n".join(f"- {sentence}" for sentence in rest)] if rest else [])]


def _live(result: Mapping[str, Any]) -> list[str]:
    """Notes on the audit of an index, and exact ranks and retrieved lists side by side."""
    parts = ["\n>\n".join(f"> {_plain(note)}" for note in live_notes(result["live"]))]
    tables = side_by_side(result)
    if tables:
        parts.append("### Exact ranks and what is served")
    parts += [markdown_table(table, caption=True) for table in tables]
    exposure = exposure_table(result)
    return [*parts, markdown_table(exposure, caption=True)] if exposure is not None else parts


def _view(result: Mapping[str, Any], view: View, ranks: Sequence[RowRanks]) -> list[str]:
    rows = [result["rows"][index] for index in view.rows]
    queries = plural(sum(row["queries"] for row in rows), "query", "queries")
    parts = [f"### {_plain(view.title)} ({queries})", markdown_table(headline_table(result, view))]
    if sentence := parity_sentence(rows):
        parts.append(_plain(sentence))
    heat = heat_data(result, view, ranks, key=view.key)
    parts += [
        f"> {row_label(row, view)}: for {measure_value('share', row['censored']['share'], row['queries'])} of the "
        f"queries at least one version is not among the {count(row['censored']['depth_max'])} results served"
        f"{nothing_found(row['censored'])}; its rank is not known."
        for row in rows
        if row["censored"] and row["censored"]["queries"]
    ]
    if view.mixed:
        for key, title in (("median", "Median rank"), ("mean", "Mean rank")):
            if any(cell["v"] is not None for cell in heat["heat"][key]):
                parts.append(markdown_table(heat_table(title, heat, key), caption=True))
    split = [row for row in rows if all(row["measures"].get(name) is not None for name, _ in SPLIT)]
    if view.mixed and split:
        lines = [
            [row_label(row, view), *(measure_value(n, row["measures"][n], row["queries"]) for n, _ in SPLIT)]
            for row in split
        ]
        parts.append(f"What stands at rank 1:\n\n{_grid(['Query language', *(title for _, title in SPLIT)], lines)}")
    return parts


def _worst(result: Mapping[str, Any], view: View, ranks: Sequence[RowRanks]) -> list[str]:
    entries = worst_queries(result, view, ranks, FullTexts(result.get("documents", {}), budget=0))[:_WORST]
    lines = []
    for entry in entries:
        deepest = entry["deepest"]
        first = entry["top"][0]["document"] if entry["top"] else None
        shown = entry["id"] if entry["text"] is None else shorten(entry["text"], 90)
        lines.append(
            [
                shown,
                display_name(entry["query_language"]),
                f"{deepest['language_name']} {deepest['label']}",
                _linked(deepest["document"]),
                deepest["ahead"] or "nothing",
                _linked(first),
            ]
        )
    columns = (
        "Query", "Asked in", "Deepest version, rank", "Its document", "In front of it, not relevant", "At rank 1"
    )  # fmt: skip
    table = _grid(columns, lines, figures=False, ready=(3, 5))
    return [_folded(f"The {len(lines)} worst queries", table)]


def _linked(document: Mapping[str, Any] | None) -> str:
    """Title and id of a document, with a link to its page, as Markdown."""
    if document is None:
        return ""
    name, link = document["title"] or document["id"], document["link"]
    text = re.sub(r"([\[\]])", r"\\\1", _plain(shorten(name, _LONGEST_NAME)))
    if link is not None:
        text = f"[{text}](<{link.replace('&', '&amp;')}>)"
    elif document["url"]:
        text = f"{text} {_plain(document['url'])}"
    return f"{text} {_plain(document['id'])}" if document["title"] else text


def _facts(provenance: Mapping[str, Any]) -> str:
    lines = [[group, name, value] for group, pairs in facts(provenance) for name, value in pairs]
    return _grid(["", "", ""], lines, figures=False)


def markdown_list(texts: Iterable[str]) -> str:
    """Sentences as a list in Markdown.

    :param texts: the sentences, without markup.
    """
    return "\n".join(f"- {_plain(text)}" for text in texts)


def markdown_table(table: Table, *, caption: bool = False) -> str:
    """A table of the reports as Markdown, with its notes.

    :param table: the table.
    :param caption: whether its caption stands before it.
    """
    lines = [
        [header, *(_small(cell.text, cell.detail) + (f" ({cell.note})" if cell.note else "") for cell in cells)]
        for header, cells in table.rows
    ]
    text = _grid(table.columns, lines)
    if caption:
        text = f"{_plain(table.caption)}:\n\n{text}"
    if table.notes:
        text += "\n\n" + "\n".join(f"({place}) {_plain(note)}  " for place, note in enumerate(table.notes, start=1))
    return text


def _small(text: str, detail: str) -> str:
    return f"{text} [{detail}]" if detail else text


def _grid(
    columns: Sequence[str], lines: Sequence[Sequence[str]], *, figures: bool = True, ready: Sequence[int] = ()
) -> str:
    """A table; the cells of the columns ``ready`` are Markdown already."""
    rule = ["---", *("---:" if figures else "---" for _ in columns[1:])]
    cells = [[cell if place in ready else _plain(cell) for place, cell in enumerate(line)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [map(_plain, columns), rule, *cells])


def _folded(title: str, body: str) -> str:
    return f"<details>\n<summary>{_plain(title)}</summary>\n\n{body}\n\n</details>"


def _plain(text: str) -> str:
    """Escape a text for Markdown: no markup, no mention, no line break, no change of writing direction."""
    escaped = _SPECIAL.sub(r"\\\1", _UNSEEN.sub(" ", text))
    # A backslash does not prevent platforms from linking, but a zero-width space does.
    return _REFERENCE.sub("\\g<0>\u200b", escaped)
