"""The page, the CSV file and the sentences of a history."""

from __future__ import annotations

import csv
import io
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from haystack_crossalign.report.history.chart import trend_chart
from haystack_crossalign.report.history.page import history_csv, render_html_history
from haystack_crossalign.report.history.words import history_finding, history_notes


def point(result: int, value: float, change: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"result": result, "value": value, "interval": [value - 0.1, value + 0.1], "queries": 40, "change": change}


def change(a: float, b: float, p: float) -> dict[str, Any]:
    return {"a": a, "b": b, "difference": b - a, "queries": 40, "p": p, "p_holm": p, "within_ties": False}


@pytest.fixture
def history() -> dict[str, Any]:
    return {
        "schema": "crossalign.history/1",
        "measures": ["NDCG@10"],
        "results": [
            {
                "file": f"runs/{day}.json",
                "time": f"2026-11-0{day}T04:00:00Z",
                "stamped": day != 1,
                "model": "base" if day < 3 else "<b>aligned</b>",
                "model_sha256": None,
                "data": "help",
                "index": None,
            }
            for day in (1, 2, 3, 4)
        ],
        "series": [
            {
                "measure": "NDCG@10",
                "scenario": "multi",
                "query_language": "zh",
                "pool_languages": ["en", "zh"],
                "kind": "exact",
                "points": [
                    point(0, 0.5),
                    point(1, 0.52, change(0.5, 0.52, 0.3)),
                    point(2, 0.8, change(0.52, 0.8, 0.001)),
                    point(3, 0.7, change(0.8, 0.7, 0.04)),
                ],
            }
        ],
        "left_out": ["runs/notes.json"],
    }


def test_the_finding_counts_and_names_what_changed(history: dict[str, Any]) -> None:
    assert history_finding(history) == [
        "4 results, 2026-11-01 to 2026-11-04: 2 significant changes on 2 occasions, 1 to the worse and 1 to the "
        "better.",
        "The latest, 2026-11-04T04:00:00Z: NDCG@10 from 80\u00a0% to 70\u00a0%, p = 0.040, Chinese queries, en+zh.",
    ]
    history["series"][0]["points"][3]["change"]["within_ties"] = True
    assert "model <b>aligned</b> instead of base" in history_finding(history)[1]
    for entry in history["series"][0]["points"][1:]:
        entry["change"]["p_holm"] = 0.05
    assert history_finding(history) == [
        "4 results, 2026-11-01 to 2026-11-04: no change from one result to the next is significant."
    ]


def test_times_of_files_and_files_left_out_are_said(history: dict[str, Any]) -> None:
    first, second = history_notes(history)
    assert first.startswith("1 result without a stamp")
    assert second.startswith("1 file")


def test_the_chart_marks_what_is_significant_and_is_sound_xml(history: dict[str, Any]) -> None:
    (series,) = history["series"]
    drawn = ET.fromstring(trend_chart(series, history["results"], label="a < b"))  # noqa: S314 - written by ourselves
    fills = [path.get("fill") for path in drawn.iter("path")]
    assert fills == ["var(--good)", "var(--bad)"]
    (line,) = drawn.iter("polyline")
    heights = [float(pair.split(",")[1]) for pair in line.get("points", "").split()]
    # Higher values stand higher: y grows downward.
    assert heights[2] < heights[3] < heights[1] < heights[0]
    assert any("<b>aligned</b>" in (title.text or "") for title in drawn.iter("title"))


def test_the_page_escapes_names_and_shows_both_changes(history: dict[str, Any]) -> None:
    page = render_html_history(history)
    assert "<b>aligned" not in page
    assert len(re.findall(r'<tr class="(?:better|worse)" role="row">', page)) == 2
    assert "time of the file" in page


def test_the_csv_has_every_value(history: dict[str, Any]) -> None:
    lines = list(csv.DictReader(io.StringIO(history_csv(history))))
    assert [(line["time"][:10], float(line["value"]), line["reading"]) for line in lines] == [
        ("2026-11-01", 0.5, "none"),
        ("2026-11-02", 0.52, "even"),
        ("2026-11-03", 0.8, "better"),
        ("2026-11-04", 0.7, "worse"),
    ]
    assert lines[2]["p"] == "0.001"
    assert lines[0]["difference"] == ""
