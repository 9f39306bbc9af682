"""The dial of a repair: every version in the top 10 against the own language first, over its strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.report.content.words import measure_value
from haystack_crossalign.report.trade_off_svg import Curve, trade_off_chart

COMPLETE, OWN_FIRST = "Complete@10", "Top1[relevant,same]"


@dataclass(frozen=True)
class DialSection:
    """What a page says of the dial.

    :param title: heading.
    :param hint: what is shown.
    :param svg: the chart.
    :param columns: heading of each column of the table.
    :param rows: its cells.
    """

    title: str
    hint: str
    svg: str
    columns: tuple[str, ...]
    rows: list[list[str]]


def dial_section(dial: Mapping[str, Any]) -> DialSection:
    """The chart and the table.

    :param dial: ``dial`` of ``repair.json``.
    """
    tags = sorted(dial["before"]["complete"])
    points = dial["points"]
    taken = next(row for row, point in enumerate(points) if point["strength"] == dial["taken"])

    def percent(part: Mapping[str, Any], tag: str) -> tuple[float, float]:
        return 100 * part["own_first"][tag], 100 * part["complete"][tag]

    curves = [
        Curve(tag, [(*percent(point, tag), f"strength {point['strength']:g}") for point in points],
              percent(dial["before"], tag), taken)
        for tag in tags
    ]  # fmt: skip

    def cells(part: Mapping[str, Any]) -> list[str]:
        return [
            measure_value(name, part[key][tag], dial["queries"][tag])
            for tag in tags
            for name, key in ((COMPLETE, "complete"), (OWN_FIRST, "own_first"))
        ]

    rows = [["before", *cells(dial["before"])]]
    for row, point in enumerate(points):
        name = f"{point['strength']:g}{' (taken)' if row == taken else '' if point['harmless'] else ' (not allowed)'}"
        rows.append([name, *cells(point)])
    return DialSection(
        title="Every version in the top 10, or the own language first",
        hint=f"{COMPLETE} against {OWN_FIRST} of each query language, over the strength of the repair, on the "
        "documents that chose it.",
        svg=trade_off_chart(
            curves, label=f"{COMPLETE} against {OWN_FIRST} by query language and strength",
            x_label=f"{OWN_FIRST}, %", y_label=f"{COMPLETE}, %",
        ),
        columns=("strength", *(f"{tag}: {name}" for tag in tags for name in (COMPLETE, "own first"))),
        rows=rows,
    )  # fmt: skip
