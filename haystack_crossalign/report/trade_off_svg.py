"""One measure against another over the settings of a dial, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from haystack_crossalign.report.lines_svg import axis_ticks, line_style, tick_text

_WIDTH, _HEIGHT = 620, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 16, 14, 50


@dataclass(frozen=True)
class Curve:
    """A line of the chart.

    :param name: its name, which stands before its last point.
    :param points: (x, y, setting), in the order of the setting.
    :param start: (x, y) before anything is changed.
    :param taken: index of the point that was taken, or None.
    """

    name: str
    points: Sequence[tuple[float, float, str]]
    start: tuple[float, float]
    taken: int | None


def trade_off_chart(curves: Sequence[Curve], *, label: str, x_label: str, y_label: str) -> str:
    """Draw the curves: a dot for each setting, a square for the start, a ring around the point that was taken.

    :param curves: at least one, with at least one point each.
    :param label: what it shows, for screen readers.
    :param x_label: under the horizontal axis.
    :param y_label: above the vertical axis.
    """
    xs = [x for curve in curves for x, _ in (*((x, y) for x, y, _ in curve.points), curve.start)]
    ys = [y for curve in curves for _, y in (*((x, y) for x, y, _ in curve.points), curve.start)]
    x_ticks, y_ticks = axis_ticks(min(xs), max(xs)), axis_ticks(min(ys), max(ys))
    box = (min(x_ticks[0], *xs), max(x_ticks[-1], *xs), min(y_ticks[0], *ys), max(y_ticks[-1], *ys))

    def place(x: float, y: float) -> tuple[float, float]:
        left, right, low, high = box
        return (
            round(_LEFT + (x - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}" font-size="12" style="max-width:100%;height:auto">'
    ]
    for tick in y_ticks:
        _, y = place(box[0], tick)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="var(--line)"/>')
        parts.append(_text(_LEFT - 8, y + 4, tick_text(tick, y_ticks), "end"))
    for tick in x_ticks:
        x, _ = place(tick, box[2])
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="var(--line)"/>')
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, tick_text(tick, x_ticks), "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x_label, "middle"))
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" fill="var(--muted)" transform="rotate(-90 14 {middle})">'
        f"{escape(y_label)}</text>"
    )
    for number, curve in enumerate(curves):
        parts += _drawn(curve, number, [place(x, y) for x, y, _ in curve.points], place(*curve.start))
    return "".join([*parts, "</svg>"])


def _drawn(curve: Curve, number: int, places: Sequence[tuple[float, float]], start: tuple[float, float]) -> list[str]:
    color, dashes = line_style(number)
    line = " ".join(f"{x},{y}" for x, y in places)
    parts = [f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dashes}"/>']
    x, y = start
    parts.append(
        f'<rect x="{x - 5}" y="{y - 5}" width="10" height="10" fill="none" stroke="{color}" stroke-width="2">'
        f"<title>{escape(curve.name)}: before</title></rect>"
    )
    for (x, y), (_, _, setting) in zip(places, curve.points, strict=True):
        title = f"<title>{escape(f'{curve.name}: {setting}')}</title>"
        parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}">{title}</circle>')
    if curve.taken is not None:
        x, y = places[curve.taken]
        parts.append(f'<circle cx="{x}" cy="{y}" r="7.5" fill="none" stroke="{color}" stroke-width="2.5"/>')
    x, y = places[-1]
    # A stronger setting usually lies further to the left. The edge keeps the name readable on lines.
    name = escape(curve.name)
    parts.append(
        f'<text x="{x - 12}" y="{y + 4}" text-anchor="end" fill="{color}" font-weight="600" stroke="var(--surface)" '
        f'stroke-width="4" paint-order="stroke">{name}</text>'
    )
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="var(--muted)">{escape(text)}</text>'
