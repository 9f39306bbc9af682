"""The chart and table of the dial."""

from __future__ import annotations

import re
from typing import Any

import pytest

from haystack_crossalign.report.content.dial import dial_section
from haystack_crossalign.report.trade_off_svg import Curve, trade_off_chart

DIAL: dict[str, Any] = {
    "before": {"complete": {"en": 0.25, "zh": 0.02}, "own_first": {"en": 0.93, "zh": 0.9}},
    "points": [
        {"strength": 0.0, "bias": 9.0, "complete": {"en": 0.3, "zh": 0.1}, "own_first": {"en": 0.93, "zh": 0.9},
         "harmless": True},
        {"strength": 0.5, "bias": 5.0, "complete": {"en": 0.8, "zh": 0.4}, "own_first": {"en": 0.92, "zh": 0.89},
         "harmless": True},
        {"strength": 1.0, "bias": 2.0, "complete": {"en": 0.9, "zh": 0.6}, "own_first": {"en": 0.85, "zh": 0.88},
         "harmless": False},
    ],
    "queries": {"en": 400, "zh": 40},
    "taken": 0.5,
}  # fmt: skip


def test_places_are_proportional_to_the_values() -> None:
    curve = Curve("en", [(90.0, 20.0, "a"), (80.0, 60.0, "b"), (85.0, 40.0, "c")], (90.0, 0.0), 1)
    svg = trade_off_chart([curve], label="a <label>", x_label="x", y_label="y")
    assert "a &lt;label&gt;" in svg
    points = [tuple(map(float, pair.split(","))) for pair in re.search(r'points="([^"]+)"', svg)[1].split()]  # type: ignore[index]
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x2 < x1
    assert y2 < y1  # up is less in SVG
    assert (x1 + x2) / 2 == pytest.approx(x3, abs=0.1)
    assert (y1 + y2) / 2 == pytest.approx(y3, abs=0.1)
    # The ring is around the point that was taken, the square around the start.
    ring = re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="7.5"', svg)
    assert ring is not None
    assert (float(ring[1]), float(ring[2])) == (x2, y2)


def test_the_section_names_every_strength_and_the_one_taken() -> None:
    section = dial_section(DIAL)
    assert section.svg.count("<polyline") == 2
    assert section.svg.count('r="7.5"') == 2
    assert section.columns == (
        "strength", "en: Complete@10", "en: own first", "zh: Complete@10", "zh: own first",
    )  # fmt: skip
    assert section.rows == [
        # Of 400 queries one is a quarter of a percent, of 40 two and a half.
        ["before", "25.0\xa0%", "93.0\xa0%", "2\xa0%", "90\xa0%"],
        ["0", "30.0\xa0%", "93.0\xa0%", "10\xa0%", "90\xa0%"],
        ["0.5 (taken)", "80.0\xa0%", "92.0\xa0%", "40\xa0%", "89\xa0%"],
        ["1 (not allowed)", "90.0\xa0%", "85.0\xa0%", "60\xa0%", "88\xa0%"],
    ]
