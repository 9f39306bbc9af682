"""The history of audits in words, and as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.measures.meanings import direction
from haystack_crossalign.measures.statistics import SIGNIFICANT
from haystack_crossalign.report.content.comparisons import short_title
from haystack_crossalign.report.content.words import interval, measure_value, p_value, plural

VERDICTS = {"better": "▲ better", "worse": "▼ worse", "neutral": "changed"}


@dataclass(frozen=True)
class Marked:
    """A significant change.

    :param time: of the result in which it shows.
    :param result: its number.
    :param title: the row.
    :param measure: name of the measure.
    :param a: value before, over the queries that both results have.
    :param b: value after.
    :param p: adjusted p-value.
    :param verdict: "better", "worse" or "neutral".
    :param before: the result before, with what is new about the later one.
    """

    time: str
    result: int
    title: str
    measure: str
    a: str
    b: str
    p: str
    verdict: str
    before: str


def verdict(measure: str, change: Mapping[str, Any] | None) -> str:
    """How a change reads: "better", "worse", "neutral", "even" (not significant), or "none" (not tested).

    :param measure: name of the measure.
    :param change: the change of a point, or None.
    """
    if change is None or change["p"] is None:
        return "none"
    if change["p_holm"] >= SIGNIFICANT or change["difference"] == 0 or change.get("within_ties"):
        return "even"
    sign = direction(measure) * change["difference"]
    return "neutral" if sign == 0 else "better" if sign > 0 else "worse"


def has_retrieved(history: Mapping[str, Any]) -> bool:
    """Whether some rows are retrieved results, so that exact ranks must be called so."""
    return any(series["kind"] == "live" for series in history["series"])


def marked_changes(history: Mapping[str, Any]) -> list[Marked]:
    """The significant changes, the latest first.

    :param history: schema ``crossalign.history/1``.
    """
    apart, marks = has_retrieved(history), []
    for series in history["series"]:
        name = series["measure"]
        for point in series["points"]:
            reading = verdict(name, point["change"])
            if reading not in VERDICTS:
                continue
            change, number = point["change"], point["result"]
            marks.append(
                Marked(
                    time=history["results"][number]["time"],
                    result=number,
                    title=short_title(series, apart=apart),
                    measure=name,
                    a=measure_value(name, change["a"], change["queries"]),
                    b=measure_value(name, change["b"], change["queries"]),
                    p=p_value(change["p_holm"]),
                    verdict=reading,
                    before=" and ".join(new_in(history["results"], number)),
                )
            )
    return sorted(marks, key=lambda mark: -mark.result)


def new_in(results: Sequence[Mapping[str, Any]], number: int) -> list[str]:
    """What differs between a result and the one before it: model, index, data.

    :param results: all results.
    :param number: position of the later one.
    """
    before, after = results[number - 1], results[number]
    news = []
    for field, what in (("model", "model"), ("index", "index"), ("data", "data")):
        if before[field] != after[field]:
            news.append(f"{what} {after[field] or 'unknown'} instead of {before[field] or 'unknown'}")
    if not news and before["model_sha256"] != after["model_sha256"]:
        news.append("another model of the same name")
    return news


def history_finding(history: Mapping[str, Any]) -> list[str]:
    """The finding in sentences: how many changes a test supports, and the latest.

    :param history: schema ``crossalign.history/1``.
    """
    results, marks = history["results"], marked_changes(history)
    span = results[0]["time"][:10]
    if results[-1]["time"][:10] != span:
        span += f" to {results[-1]['time'][:10]}"
    steps = plural(len(results), "result")
    if len(results) == 1:
        return [f"One result ({span}): a history takes two."]
    tested = sum(
        point["change"] is not None and point["change"]["p"] is not None
        for series in history["series"]
        for point in series["points"]
    )
    if not tested:
        return [f"{steps}, {span}: no change could be tested, as consecutive results share no queries."]
    if not marks:
        return [f"{steps}, {span}: no change from one result to the next is significant."]
    worse = sum(mark.verdict == "worse" for mark in marks)
    better = sum(mark.verdict == "better" for mark in marks)
    dates = len({mark.result for mark in marks})
    sentences = [
        f"{steps}, {span}: {plural(len(marks), 'significant change')} on {plural(dates, 'occasion')}, {worse} to the "
        f"worse and {better} to the better."
    ]
    latest = [mark for mark in marks if mark.result == marks[0].result]
    news = f" ({latest[0].before})" if latest[0].before else ""
    listed = "; ".join(
        f"{mark.measure} from {mark.a} to {mark.b}, p {'' if mark.p.startswith('<') else '= '}{mark.p}, {mark.title}"
        for mark in latest[:3]
    )
    more = f"; and {len(latest) - 3} more" if len(latest) > 3 else ""
    sentences.append(f"The latest, {latest[0].time}{news}: {listed}{more}.")
    return sentences


def history_notes(history: Mapping[str, Any]) -> list[str]:
    """What a reader must know: times that are not stamps, files that were left out, tests that cannot be significant.

    :param history: schema ``crossalign.history/1``.
    """
    notes = []
    unstamped = sum(not result["stamped"] for result in history["results"])
    if unstamped:
        notes.append(
            f"{plural(unstamped, 'result')} without a stamp: the time of the file stands in its place, which a copy "
            "may have changed (`--stamp now` stores the time of an audit)."
        )
    if history["left_out"]:
        notes.append(f"{plural(len(history['left_out']), 'file')} in the folders that are not audit results.")
    changes = [point["change"] for series in history["series"] for point in series["points"] if point["change"]]
    untested = sum(change["p"] is None for change in changes)
    if untested:
        notes.append(f"{plural(untested, 'change')} could not be tested: consecutive results share no queries there.")
    few = [change["queries_needed"] for change in changes if change.get("queries_needed")]
    if few:
        notes.append(
            f"{plural(len(few), 'change')} over too few queries to reach significance: it takes {max(few)} of them."
        )
    return notes


def latest_lines(history: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Row, measure, first value, latest value with its interval, and the last significant change, for each series.

    :param history: schema ``crossalign.history/1``.
    """
    apart = has_retrieved(history)
    for series in history["series"]:
        name, points = series["measure"], series["points"]
        first, last = points[0], points[-1]
        spread = interval(name, last["interval"], last["queries"])
        marks = [point for point in points if verdict(name, point["change"]) in VERDICTS]
        changed = ""
        if marks:
            reading = VERDICTS[verdict(name, marks[-1]["change"])]
            changed = f"{history['results'][marks[-1]['result']]['time'][:10]} {reading}"
        yield (
            short_title(series, apart=apart),
            name,
            measure_value(name, first["value"], first["queries"]),
            f"{measure_value(name, last['value'], last['queries'])}{f' ({spread})' if spread else ''}",
            changed,
        )
