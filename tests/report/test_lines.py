"""Line charts of the pages."""

from __future__ import annotations

import re

from haystack_crossalign.report.lines_svg import Series, line_chart, line_style, swatch


def test_sixteen_lines_can_be_told_apart() -> None:
    assert len({line_style(number) for number in range(16)}) == 16
    for place in (0, 1):  # the first four by either
        assert len({line_style(number)[place] for number in range(4)}) == 4


def test_a_chart_and_its_legend_agree() -> None:
    chart = line_chart([Series(f"line {number}", [(0, number), (1, number)]) for number in range(9)], label="nine")
    drawn = re.findall(r'<polyline [^>]*stroke="([^"]*)" stroke-width="2" stroke-dasharray="([^"]*)"', chart)
    assert len(set(drawn)) == 9
    for number, (color, dashes) in enumerate(drawn):
        assert f'stroke="{color}" stroke-dasharray="{dashes}"' in swatch(number)
