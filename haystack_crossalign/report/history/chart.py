"""A measure over time as inline SVG: a line, its 95 % intervals as a band, significant changes as triangles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from itertools import groupby
from typing import Any

from haystack_crossalign.measures.meanings import is_share
from haystack_crossalign.report.content.words import interval, measure_value, p_value
from haystack_crossalign.report.history.words import VERDICTS, new_in, verdict
from haystack_crossalign.report.lines_svg import axis_ticks, tick_text

_WIDTH, _HEIGHT = 440, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 28
_COLORS = {"better": "var(--good)", "worse": "var(--bad)", "neutral": "var(--ink)"}
_DAY = 86_400


def trend_chart(
    series: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    *,
    label: str,
    news: Sequence[tuple[int, str]] | None = None,
) -> str:
    """Draw one series.

    :param series: a series of a history, schema ``crossalign.history/1``.
    :param results: its results.
    :param label: what it shows, for screen readers.
    :param news: from `news_of`; None to look for them.
    """
    name = series["measure"]
    points = [point for point in series["points"] if point["value"] is not None]
    if not points:
        return '<p class="hint">No result has a value.</p>'
    times = [_seconds(result["time"]) for result in results]
    heights = [
        height for point in points for height in (point["value"], *(point["interval"] or ())) if height is not None
    ]
    ticks = axis_ticks(min(heights), max(heights))
    if is_share(name):
        ticks = [tick for tick in ticks if -1e-9 <= tick <= 1 + 1e-9]
    low, high = min(ticks[0], *heights), max(ticks[-1], *heights)
    first, last = min(times), max(times)

    def x(number: int) -> float:
        across = (times[number] - first) / (last - first) if last > first else 0.5
        return round(_LEFT + across * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        up = (value - low) / (high - low) if high > low else 0.5
        return round(_HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" class="trend" role="img" aria-label="{escape(label)}" font-size="12">'
    ]
    for tick in ticks:
        text = measure_value(name, tick) if is_share(name) else tick_text(tick, ticks)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick)}" y2="{y(tick)}" stroke="var(--line)"/>'
            f'<text x="{_LEFT - 7}" y="{y(tick) + 4}" text-anchor="end" fill="var(--muted)">{_short(text)}</text>'
        )
    parts += _dates(first, last)
    parts += _news(news_of(results) if news is None else news, x)
    for run in _runs(points):
        band = [(x(p["result"]), p["interval"]) for p in run if p["interval"] and None not in p["interval"]]
        if len(band) > 1:
            upper = [f"{at},{y(ends[1])}" for at, ends in band]
            lower = [f"{at},{y(ends[0])}" for at, ends in reversed(band)]
            parts.append(f'<polygon points="{" ".join(upper + lower)}" fill="var(--series-1)" opacity="0.16"/>')
        elif band:
            at, ends = band[0]
            parts.append(
                f'<line x1="{at}" x2="{at}" y1="{y(ends[0])}" y2="{y(ends[1])}" '
                'stroke="var(--series-1)" opacity="0.5"/>'
            )
        line = " ".join(f"{x(p['result'])},{y(p['value'])}" for p in run)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="var(--series-1)" stroke-width="2" stroke-linejoin="round"/>'
        )
    if len(points) <= 60:
        parts += [
            f'<circle cx="{x(p["result"])}" cy="{y(p["value"])}" r="2.6" fill="var(--series-1)">'
            f"<title>{escape(_told(name, p, results))}</title></circle>"
            for p in points
        ]
    for point in points:
        reading = verdict(name, point["change"])
        if reading in VERDICTS:
            at, up = x(point["result"]), y(point["value"])
            tip, base = (up - 7, up + 5) if reading != "worse" else (up + 7, up - 5)
            parts.append(
                f'<path d="M{at},{tip}L{at - 6.5},{base}H{at + 6.5}Z" fill="{_COLORS[reading]}" '
                f'stroke="var(--surface)"><title>{escape(_told(name, point, results))}</title></path>'
            )
    return "".join([*parts, "</svg>"])


def _runs(points: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Points of consecutive results: the line breaks where a result lacks the row."""
    for _, run in groupby(enumerate(points), key=lambda pair: pair[1]["result"] - pair[0]):
        yield [point for _, point in run]


def _dates(first: float, last: float) -> Iterator[str]:
    long = last - first > 2 * _DAY
    places = [(0.0, "start"), (0.5, "middle"), (1.0, "end")] if last > first else [(0.5, "middle")]
    for share, anchor in places:
        time = datetime.fromtimestamp(first + share * (last - first), UTC)
        text = f"{time:%Y-%m-%d}" if long or last == first else f"{time:%m-%d %H:%M}"
        across = _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
        yield (f'<text x="{across}" y="{_HEIGHT - 8}" text-anchor="{anchor}" fill="var(--muted)">{text}</text>')


def news_of(results: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Results with another model, index or data set than the one before: their number, and what is new.

    :param results: the results of a history.
    """
    news_by_result = ((number, new_in(results, number)) for number in range(1, len(results)))
    return [(number, f"{results[number]['time']}: {'; '.join(news)}") for number, news in news_by_result if news]


def _news(news: Sequence[tuple[int, str]], x: Callable[[int], float]) -> Iterator[str]:
    for number, title in news:
        yield (
            f'<line x1="{x(number)}" x2="{x(number)}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="var(--muted)" '
            f'stroke-dasharray="3 4"><title>{escape(title)}</title></line>'
        )


def _told(name: str, point: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    spread = interval(name, point["interval"], point["queries"])
    value = measure_value(name, point["value"], point["queries"])
    text = f"{results[point['result']]['time']}: {value}{f' ({spread})' if spread else ''}"
    change = point["change"]
    reading = VERDICTS.get(verdict(name, change))
    return f"{text}, {reading}, p {p_value(change['p_holm'])}" if reading and change else text


def _short(text: str) -> str:
    """A percentage without decimals that are zero."""
    return text.replace(".00", "").replace(".0\u00a0", "\u00a0")


@cache
def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
