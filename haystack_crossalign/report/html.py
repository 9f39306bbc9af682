"""Audits as self-contained HTML pages that load nothing; only charts need JavaScript."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.measures.meanings import best_value
from haystack_crossalign.report.advice.steps import next_steps
from haystack_crossalign.report.advice.verdict import verdict
from haystack_crossalign.report.content.aggregates import RowRanks, row_ranks
from haystack_crossalign.report.content.charts import chart_data
from haystack_crossalign.report.content.comparison import comparison_context, comparison_finding, data_notes_of_both
from haystack_crossalign.report.content.comparisons import all_compared, overview_tables
from haystack_crossalign.report.content.dial import dial_section
from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.content.live import exposure_table, side_by_side
from haystack_crossalign.report.content.live_words import live_facts, live_notes
from haystack_crossalign.report.content.model import model_lines
from haystack_crossalign.report.content.provenance import (
    data_notes,
    facts,
    glossary,
    limits,
    similarity_note,
    subject_name,
)
from haystack_crossalign.report.content.tables import chart_tables, headline_table, measures_table, parity_sentence
from haystack_crossalign.report.content.views import View, main_view, row_label, views, weakest_row
from haystack_crossalign.report.content.words import (
    count,
    interval,
    joined,
    measure_value,
    plural,
    quantity,
)
from haystack_crossalign.report.content.worst import FullTexts, worst_queries
from haystack_crossalign.report.gaps.section import gaps_table
from haystack_crossalign.report.significant import significant_changes
from haystack_crossalign.report.templating import asset, templates

_VENDORED = ("vendor/d3.min.js", "vendor/plot.umd.min.js")
_SCRIPTS = ("charts.js", "page.js", "tables.js")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LICENCES = ("vendor/d3.LICENSE.txt", "vendor/plot.LICENSE.txt", "vendor/bundled.LICENSES.txt")


def render_html(result: Mapping[str, Any]) -> str:
    """The HTML page of an audit.

    :param result: an audit result, schema ``crossalign.audit/1``; with or without texts.
    :returns: the HTML document, for a file in UTF-8.
    """
    texts = FullTexts(result.get("documents", {}))
    ranks = row_ranks(result)
    all_views = views(result) if result["rows"] else []
    first = main_view(result, all_views) if all_views else None
    # The main view comes first, so that its examples get their texts before the budget is used up.
    ordered = sorted(all_views, key=lambda view: view is not first)
    contexts = [_view_context(result, view, ranks, texts) for view in ordered]
    subject = weakest_row(result, first.rows) if first else None
    judged = verdict(result)
    return page(
        "audit.html.j2",
        title=f"Language bias audit: {subject_name(result['provenance'])}",
        subject=subject_name(result["provenance"]),
        **_told(finding(result)),
        model_lines=model_lines(result["provenance"]),
        similarity=similarity_note(result["provenance"]),
        notes_on_data=data_notes(result["provenance"]),
        ruler=None if subject is None else _ruler(result["rows"][subject]),
        verdict=judged,
        steps=next_steps(result, judged),
        views=contexts,
        texts=texts.entries,
        facts=[*facts(result["provenance"]), *_index_facts(result)],
        live=_live(result),
        gaps=gaps_table(result),
        glossary=glossary(result["rows"]),
        limits=limits(result),
        data={"views": [context["data"] for context in contexts]},
    )


def render_html_comparison(
    comparison: Mapping[str, Any],
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    *,
    dial: Mapping[str, Any] | None = None,
    change: str | None = None,
) -> str:
    """The HTML page of a comparison: before and after side by side, with the significance of each change.

    :param comparison: schema ``crossalign.comparison/1``.
    :param a: the audit result before.
    :param b: the audit result after.
    :param dial: ``dial`` of a repair's result, None if there is none.
    :param change: a sentence on what changed the model in between.
    :returns: the HTML document, for a file in UTF-8.
    """
    context = comparison_context(comparison, a, b)
    return page(
        "comparison.html.j2",
        title=f"Language bias, before and after: {subject_name(comparison['b'])}",
        before=subject_name(comparison["a"]),
        after=subject_name(comparison["b"]),
        provenance=[("Before (A)", facts(comparison["a"])), ("After (B)", facts(comparison["b"]))],
        glossary=glossary([*a["rows"], *b["rows"]]),
        limits=list(dict.fromkeys([*limits(a), *limits(b)])),
        **_told(comparison_finding(comparison)),
        notes_on_data=data_notes_of_both(comparison),
        dial=None if dial is None else dial_section(dial),
        change=change,
        significant=significant_changes(comparison),
        **context,
    )


def render_html_comparisons(comparisons: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """The HTML page of several results compared with one.

    :param comparisons: schema ``crossalign.comparisons/1``.
    :param results: the audit results, the baseline first.
    :returns: the HTML document, for a file in UTF-8.
    """
    names = comparisons["names"]
    return page(
        "comparisons.html.j2",
        title=f"Language bias, compared with {names[0]}",
        baseline=names[0],
        results=all_compared(comparisons),
        tables=overview_tables(comparisons),
        provenance=[(name, facts(result["provenance"])) for name, result in zip(names, results, strict=True)],
        glossary=glossary([row for result in results for row in result["rows"]]),
        limits=list(dict.fromkeys(text for result in results for text in limits(result))),
        data={},
    )


def _index_facts(result: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [("Index", live_facts(result["live"]))] if "live" in result else []


def _live(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Additional content for audits of an index: notes, and exact ranks and retrieved lists side by side."""
    if "live" not in result:
        return None
    partial = result["live"]["partial"] is not None
    return {
        "notes": live_notes(result["live"]),
        "partial": partial,
        "tables": side_by_side(result),
        "exposure": exposure_table(result),
    }


def _told(sentences: Sequence[str]) -> dict[str, Any]:
    """The finding, with the explanation of the figures at the end of the first sentence in small print."""
    lead, bracket, aside = sentences[0].removesuffix(".").rpartition(" (")
    if not aside.endswith(")"):
        bracket = ""
    return {
        "lead": f"{lead}." if bracket else sentences[0],
        "aside": f"({aside}" if bracket else "",
        "more": sentences[1:],
    }


def _view_context(result: Mapping[str, Any], view: View, ranks: Sequence[RowRanks], texts: FullTexts) -> dict[str, Any]:
    data = chart_data(result, view, ranks)
    weakest = weakest_row(result, view.rows)
    rows = [result["rows"][index] for index in view.rows]
    return {
        "view": view,
        "data": data,
        "queries": plural(sum(row["queries"] for row in rows), "query", "queries"),
        "pools": sorted(
            {count(row["pool_size"]) for row in rows if row["pool_size"]}, key=lambda text: (len(text), text)
        ),
        "languages": joined([display_name(tag) for tag in view.document_languages])
        if len(view.document_languages) > 4
        else "",
        "weakest_tag": result["rows"][weakest]["query_language"],
        "weakest_label": row_label(result["rows"][weakest], view),
        "cards": _cards(result["rows"][weakest]),
        "headline": headline_table(result, view),
        "parity": parity_sentence(rows),
        "measures": measures_table(result, view),
        "tables": chart_tables(result, view, data),
        "censored": [
            (row_label(row, view), row["censored"]) for row in rows if row["censored"] and row["censored"]["queries"]
        ],
        "worst": worst_queries(result, view, ranks, texts),
        "total": sum(row["queries"] for row in rows),
    }


def _cards(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The headline figures of a row that were measured: value, interval, best value, and position between worst and
    best (0..1).
    """
    best = row["relevant"] / row["queries"]
    measures = row["measures"]
    depth, size = measures.get("Max@R"), row["pool_size"]
    bound = (row["censored"] or {}).get("Max@R_lower_bound")
    cards: list[dict[str, Any]] = [
        {
            "name": "Max@R",
            "says": "Depth to see every version" if best > 1 else "Rank of the relevant version",
            "value": f"≥ {quantity(bound, row['queries'])}"
            if depth is None and bound is not None
            else quantity(depth, row["queries"]),
            "share": _closeness(depth, best, size),
        },
        {"name": "Max@R_norm", "says": "That depth, from worst to perfect"},
    ]
    complete = next((name for name in measures if name.startswith("Complete@") and measures[name] is not None), None)
    if complete is not None:
        what = "complete" if best > 1 else "answered"
        cards.append({"name": complete, "says": f"Queries {what} in the top {complete.partition('@')[2]}"})
    # A measure that was not asked for has neither value nor reason.
    cards = [card for card in cards if card["name"] in measures]
    for card in cards:
        name = card["name"]
        card.setdefault("value", measure_value(name, measures.get(name), row["queries"]))
        card.setdefault("share", measures.get(name))
        card["interval"] = interval(name, row["intervals"].get(name), row["queries"])
        card["best"] = measure_value(name, best_value(name, best))
        card["reason"] = row["reasons"].get(name, "") if measures.get(name) is None else ""
    return cards


def _closeness(depth: float | None, best: float, size: int | None) -> float | None:
    """Position of a depth between the bottom of the pool (0) and the best value (1), on a logarithmic scale."""
    if depth is None or not size or size <= best:
        return None
    return (math.log2(size) - math.log2(depth)) / (math.log2(size) - math.log2(best))


def _ruler(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The mean rank of each version on a logarithmic ruler over the pool; positions are in percent of its length."""
    size = row["pool_size"]
    tags = [tag for tag in row["pool_languages"] if tag != UNDETERMINED]
    means = {tag: row["measures"].get(f"Rank[{tag}]") for tag in tags}
    if not size or size < 3 or not means or None in means.values():
        return None

    def position(rank: float) -> float:
        return round(100 * math.log(max(rank, 1)) / math.log(size), 2)

    deepest = max(means, key=lambda tag: means[tag] or 0)
    ticks = [10**power for power in range(int(math.log10(size)) + 1) if size / 10**power > 1.6]
    return {
        "size": count(size),
        "ticks": [{"label": count(tick), "at": position(tick)} for tick in ticks] + [{"label": count(size), "at": 100}],
        "page": position(10.5) if size > 20 else None,
        "marks": [
            {
                "at": position(mean or 1),
                "label": f"{display_name(tag)} version: {quantity(mean, row['queries'])}",
                "same": tag == row["query_language"],
                "named": tag in (row["query_language"], deepest) or len(means) == 2,
                "low": tag == deepest,
            }
            for tag, mean in means.items()
        ],
        "query": display_name(row["query_language"]),
    }


def page(template: str, *, data: Mapping[str, Any], **context: Any) -> str:
    """A page from a template, with style, scripts and data in it.

    :param template: name of the template.
    :param data: what the charts show.
    :param context: values of the template.
    """
    scripts = [asset(name) for name in (*_VENDORED, *_SCRIPTS)]
    theme = asset("theme.js")
    policy = " ".join(
        [
            "default-src 'none';",
            "script-src",
            *(f"'sha256-{_digest(script)}'" for script in (theme, *scripts)),
            "; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'",
        ]
    )
    page = (
        templates()
        .get_template(template)
        .render(
            policy=policy,
            style=asset("page.css"),
            theme=theme,
            scripts=scripts,
            licences="\n\n".join(asset(name) for name in _LICENCES),
            data=_script_json(data),
            **context,
        )
    )
    # Halves of surrogate pairs, which JSON input can contain, cannot be encoded in UTF-8.
    return _SURROGATE.sub("\ufffd", page)


def _script_json(data: Mapping[str, Any]) -> str:
    """JSON for use in a script element: no character in it can end the element or start a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
