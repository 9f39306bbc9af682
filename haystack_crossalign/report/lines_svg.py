"""Line charts as inline SVG, so that a page needs no script for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 460, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 34
# The names are those of page.css.
_COLORS = ("var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)")
_DASHES = ("none", "7 3", "2 3", "9 3 2 3")


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    :param name: its name in the legend.
    :param points: (x, y), ascending in x.
    """

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(series: Sequence[Series], *, label: str, x_label: str = "step", mark: float | None = None) -> str:
    """Draw a chart of one or more lines.

    :param series: at least one, with at least one point in total.
    :param label: what it shows, for screen readers.
    :param x_label: under the axis.
    :param mark: position of a dotted vertical line on the x axis, or None.
    """
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points]
    ticks = axis_ticks(min(ys), max(ys))
    low, high = min(ticks[0], *ys), max(ticks[-1], *ys)
    first, last = min(xs), max(xs)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first) if last > first else 0.5
        up = (y - low) / (high - low) if high > low else 0.5
        return (
            round(_LEFT + across * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}" font-size="12">'
    ]
    for tick in ticks:
        _, y = place(first, tick)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="var(--line)"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end" fill="var(--muted)">{tick_text(tick, ticks)}</text>'
        )
    for x in dict.fromkeys((first, last)):
        across, _ = place(x, low)
        anchor = "end" if x == last > first else "start"
        parts.append(f'<text x="{across}" y="{_HEIGHT - 16}" text-anchor="{anchor}" fill="var(--muted)">{x:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle" fill="var(--muted)">{escape(x_label)}</text>'
    )
    if mark is not None and first <= mark <= last:
        across, _ = place(mark, low)
        parts.append(
            f'<line x1="{across}" x2="{across}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="var(--muted)" '
            'stroke-dasharray="3 4"/>'
        )
    for number, curve in enumerate(series):
        color, dashes = line_style(number)
        places = [place(x, y) for x, y in curve.points]
        line = " ".join(f"{x},{y}" for x, y in places)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dashes}"/>'
        )
        if len(places) <= 40:
            parts += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{color}"/>' for x, y in places]
    return "".join([*parts, "</svg>"])


def line_style(number: int) -> tuple[str, str]:
    """Color and dashes of a line; sixteen lines of a chart differ in one or the other, the first four in both.

    :param number: place of the line among those of the chart, from 0.
    """
    turn, color = divmod(number, len(_COLORS))
    return _COLORS[color], _DASHES[(color + turn) % len(_DASHES)]


def swatch(number: int) -> str:
    """A piece of a line, for a legend.

    :param number: place of the line among those of the chart.
    """
    color, dashes = line_style(number)
    return (
        f'<svg width="26" height="8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4" stroke-width="2" '
        f'stroke="{color}" stroke-dasharray="{dashes}"/></svg>'
    )


def axis_ticks(low: float, high: float) -> list[float]:
    """Round numbers over a range: three to six of them.

    :param low: its lower end.
    :param high: its upper end.
    """
    if high <= low:
        high, low = high + abs(high or 1) * 0.1, low - abs(low or 1) * 0.1
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    start = math.floor(low / step)
    return [round(number * step, 12) for number in range(start, math.ceil(high / step) + 1)]


def tick_text(tick: float, ticks: Sequence[float]) -> str:
    """A number at an axis, with as many digits as the distance of the ticks needs.

    :param tick: the number.
    :param ticks: all of them.
    """
    digits = max(0, -math.floor(math.log10(abs(ticks[1] - ticks[0])) + 1e-9)) if len(ticks) > 1 else 2
    digits += not math.isclose(round(tick, digits), tick, rel_tol=1e-9, abs_tol=1e-12)
    return f"{tick:.{digits}f}"
