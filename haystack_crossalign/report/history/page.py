"""The history of audits as an HTML page, and as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from haystack_crossalign.measures.meanings import meanings
from haystack_crossalign.report.content.comparisons import short_title
from haystack_crossalign.report.history.chart import news_of, trend_chart
from haystack_crossalign.report.history.words import (
    VERDICTS,
    has_retrieved,
    history_finding,
    history_notes,
    latest_lines,
    marked_changes,
    verdict,
)
from haystack_crossalign.report.html import page

_COLUMNS = (
    "time", "stamped", "file", "model", "index", "data", "scenario", "pool_languages", "query_language", "kind",
    "retrieval", "measure", "value", "low", "high", "queries", "difference", "p", "reading",
)  # fmt: skip
_MOST_RESULTS = 200
"""The page lists the latest; the CSV file has all."""


def render_html_history(history: Mapping[str, Any]) -> str:
    """The HTML page of a history: what changed significantly, a chart per measure and row.

    :param history: schema ``crossalign.history/1``.
    :returns: the HTML document, for a file in UTF-8.
    """
    apart, results = has_retrieved(history), history["results"]
    news = news_of(results)
    charts: dict[str, list[dict[str, str]]] = {}
    for series in history["series"]:
        title = short_title(series, apart=apart)
        charts.setdefault(series["measure"], []).append(
            {
                "title": title,
                "svg": trend_chart(series, results, label=f"{series['measure']} over time, {title}", news=news),
            }
        )
    numbered = list(enumerate(results, start=1))
    return page(
        "history.html.j2",
        title="Language bias over time",
        finding=history_finding(history),
        notes=history_notes(history),
        marks=marked_changes(history),
        verdicts=VERDICTS,
        charts=charts,
        latest=list(latest_lines(history)),
        results=numbered[::-1][:_MOST_RESULTS],
        total=len(results),
        glossary=meanings(history["measures"]),
        data={},
    )


def history_csv(history: Mapping[str, Any]) -> str:
    """The history as CSV: one line per result, row and measure. Shares are 0 to 1.

    :param history: schema ``crossalign.history/1``.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for series in history["series"]:
        name = series["measure"]
        for point in series["points"]:
            result, change = history["results"][point["result"]], point["change"] or {}
            low, high = point["interval"] or (None, None)
            writer.writerow(
                [
                    result["time"], str(result["stamped"]).lower(), result["file"], result["model"], result["index"],
                    result["data"], series["scenario"], "+".join(series["pool_languages"]), series["query_language"],
                    series["kind"], series.get("retrieval"), name, point["value"], low, high, point["queries"],
                    change.get("difference"), change.get("p_holm"), verdict(name, point["change"]),
                ]
            )  # fmt: skip
    return out.getvalue()
