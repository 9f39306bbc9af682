"""Before and after in plain words and tables, shared by the HTML page and the Markdown of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.measures.meanings import direction, is_share, ordered_names
from haystack_crossalign.measures.statistics import SIGNIFICANT
from haystack_crossalign.report.content.aggregates import row_ranks
from haystack_crossalign.report.content.charts import heat_data
from haystack_crossalign.report.content.live_words import LISTS
from haystack_crossalign.report.content.provenance import data_notes
from haystack_crossalign.report.content.tables import heat_table, parity_changes
from haystack_crossalign.report.content.views import views
from haystack_crossalign.report.content.words import (
    count,
    difference,
    interval,
    joined,
    measure_value,
    p_value,
    plural,
    quantity,
)

_TOLD = ("Complete@10", "Max@R_norm", "Max@R")
"""Measures for the finding, see `_told`."""

_OWN_FIRST, _OWN_LEADS = "Top1[relevant,same]", "LPR"
"""The measures of the own language in front, which a change that draws languages together takes from."""

_READINGS = {"better": "better", "worse": "worse", "even": "no significant change", "neutral": "changed", "none": ""}


@dataclass(frozen=True)
class Change:
    """The change of a measure in a row, as text.

    :param name: the measure.
    :param a: value before.
    :param b: value after.
    :param difference: after minus before, with its sign; shares in percentage points.
    :param interval: 95 % interval of the difference.
    :param p: p-value, adjusted for the number of tests if the comparison has adjusted values.
    :param verdict: "better", "worse", "even" (not significant, or within the range of ties), "neutral" (no direction is
        better), "none" (no value).
    :param reading: the verdict in words, or why there is no value.
    """

    name: str
    a: str
    b: str
    difference: str
    interval: str
    p: str
    verdict: str
    reading: str


def changes(row: Mapping[str, Any]) -> list[Change]:
    """The changes of all measures of a row, in the order of the glossary."""
    return [_change(name, row["measures"][name], row["queries"]) for name in ordered_names(row["measures"])]


def _change(name: str, entry: Mapping[str, Any], queries: int) -> Change:
    verdict = _verdict(name, entry)
    return Change(
        name=name,
        a=measure_value(name, entry["a"], queries),
        b=measure_value(name, entry["b"], queries),
        difference=difference(name, entry["difference"], queries),
        interval=_span(name, entry["interval"], queries),
        p=p_value(_p(entry)),
        verdict=verdict,
        reading=_reading(verdict, entry),
    )


def _reading(verdict: str, entry: Mapping[str, Any]) -> str:
    if entry.get("within_ties"):
        return "within the ties"
    if entry.get("queries_needed") and verdict == "even":
        return f"too few queries: {count(entry['queries_needed'])} needed"
    return _READINGS[verdict] or str(entry.get("reason") or "no value")


def _p(entry: Mapping[str, Any]) -> float | None:
    value: float | None = entry.get("p_holm", entry.get("p"))
    return value


def _verdict(name: str, entry: Mapping[str, Any]) -> str:
    p, difference = _p(entry), entry["difference"]
    if difference is None or p is None:
        return "none"
    if p >= SIGNIFICANT or difference == 0 or entry.get("within_ties"):
        return "even"
    sign = direction(name) * difference
    return "neutral" if sign == 0 else "better" if sign > 0 else "worse"


def _span(name: str, bounds: Sequence[float | None] | None, queries: int) -> str:
    """The interval of a difference."""
    if bounds is None or None in bounds:
        return ""
    low, high = (difference(name, bound, queries) for bound in bounds)
    return f"{low.removesuffix(' points')} to {high}"


def row_title(row: Mapping[str, Any], *, apart: bool = False) -> str:
    """A comparison row in words: query language and pool.

    :param row: the row.
    :param apart: whether rows of exact ranks are called so, because other rows are retrieved results.
    """
    pool = joined([display_name(tag) for tag in row["pool_languages"]])
    return f"{display_name(row['query_language'])} queries over {pool} documents ({row['scenario']}{_kind(row, apart)})"


def has_retrieved(comparison: Mapping[str, Any]) -> bool:
    """Whether a comparison has rows of retrieved results, so that rows of exact ranks must be told apart."""
    return any(row.get("kind") == "live" for row in (*comparison["rows"], *comparison.get("unmatched", ())))


def _kind(row: Mapping[str, Any], apart: bool) -> str:
    if row.get("kind") != "live":
        return ", exact ranks" if apart else ""
    by = f" by {LISTS.get(row['retrieval'], row['retrieval'])}" if row.get("retrieval") else ""
    return f", results as served{by}"


def one_sided(comparison: Mapping[str, Any], names: tuple[str, str] = ("before", "after")) -> list[str]:
    """What only one of the two results has: rows, and measures of common rows.

    :param comparison: schema ``crossalign.comparison/1``.
    :param names: names of the two results.
    """
    apart, sides = has_retrieved(comparison), dict(zip("ab", names, strict=True))
    sentences = []
    for side, name in sides.items():
        rows = [row_title(row, apart=apart) for row in comparison.get("unmatched", ()) if row["result"] == side]
        if rows:
            sentences.append(f"Only {name}: {'; '.join(rows)}.")
        measures: dict[str, list[str]] = {}
        for row in comparison["rows"]:
            if only := ", ".join(row.get("one_sided", {}).get(side, ())):
                measures.setdefault(only, []).append(row_title(row, apart=apart))
        sentences += [f"Measured only {name}: {only}, for {'; '.join(titles)}." for only, titles in measures.items()]
    return sentences


def comparison_finding(comparison: Mapping[str, Any]) -> list[str]:
    """The finding of a comparison in sentences: losses of the own language at rank 1, the mixed pools, other losses.

    :param comparison: schema ``crossalign.comparison/1``.
    """
    apart = has_retrieved(comparison)
    mixed = [row for row in comparison["rows"] if row["scenario"] == "multi"]
    plain = [row for row in comparison["rows"] if row["scenario"] != "multi"]
    urgent = sorted(((row, name) for row in mixed or plain if (name := _told(row))), key=_urgency)
    prices = [(_fell(row["measures"].get(_OWN_FIRST)), price) for row in mixed if (price := _price(row, apart))]
    sentences = [price for at_rank_1, price in prices if at_rank_1]
    sentences += [_sentence(row, name, apart) for row, name in urgent[:4]]
    if len(urgent) > 4:
        sentences.append(f"{_tally('Mixed pools' if mixed else 'Rows', urgent)}.")
    sentences += [price for at_rank_1, price in prices if not at_rank_1]
    sentences += [f"Also significantly worse: {loss}." for row in mixed if (loss := _losses(row, apart))]
    if mixed and plain:
        harmed = [
            (row, name) for row in plain if (name := _told(row)) and _verdict(name, row["measures"][name]) == "worse"
        ]
        others = [loss for row in plain if (loss := _losses(row, apart))]
        if harmed:
            sentences.append(
                "Ordinary retrieval got worse: "
                + "; ".join(_sentence(row, name, apart).rstrip(".") for row, name in harmed[:4])
                + "."
            )
        if others:
            sentences.append(f"Ordinary retrieval got{' also' if harmed else ''} worse: {'; '.join(others[:4])}.")
        if not harmed and not others:
            sentences.append(_ordinary(plain))
    sentences += parity_changes(comparison)
    return sentences or ["The two results share no measure that has a value in both."]


def _ordinary(plain: Sequence[Mapping[str, Any]]) -> str:
    """No row of ordinary retrieval got significantly worse; or how many could not have shown it."""
    told = [row["measures"][name] for row in plain if (name := _told(row))]
    needed = [entry["queries_needed"] for entry in told if entry.get("queries_needed")]
    rows = f"ordinary retrieval (one-language pools, {plural(len(plain), 'row')})"
    takes = f"it takes {count(max(needed))} queries in each" if needed else ""
    if len(needed) == len(plain):
        return f"Whether {rows} got worse cannot be told from so few queries: {takes}."
    few = f"; {len(needed)} of the rows {'has' if len(needed) == 1 else 'have'} too few queries to tell: {takes}"
    return f"O{rows[1:]} did not get significantly worse{few if needed else ''}."


def _fell(entry: Mapping[str, Any] | None) -> bool:
    """Whether a measure is significantly smaller than before."""
    if entry is None or entry["difference"] is None or (p := _p(entry)) is None:
        return False
    return bool(p < SIGNIFICANT and entry["difference"] < 0 and not entry.get("within_ties"))


def _price(row: Mapping[str, Any], apart: bool) -> str | None:
    """What users lose of their own language in front, if that is significant."""
    language = display_name(row["query_language"])
    parts = [
        f"{words} for {measure_value(name, entry['b'], row['queries'])} instead of "
        f"{measure_value(name, entry['a'], row['queries'])} of them "
        f"({name}, {difference(name, entry['difference'], row['queries'])})"
        for name, words in (
            (_OWN_FIRST, f"a relevant version in {language} is the first hit"),
            (_OWN_LEADS, f"the version in {language} leads the other versions"),
        )
        if _fell(entry := row["measures"].get(name))
    ]
    if not parts:
        return None
    pool = "+".join(row["pool_languages"])
    return f"The price for {language} queries over {pool}{_kind(row, apart)}: {', and '.join(parts)}."


def _losses(row: Mapping[str, Any], apart: bool) -> str | None:
    """The other measures of a row that are significantly worse."""
    lost = [
        f"{change.name} from {change.a} to {change.b}"
        for change in changes(row)
        if change.verdict == "worse" and change.name not in (_told(row), _OWN_FIRST)
    ]
    if not lost:
        return None
    pool = "+".join(row["pool_languages"])
    return f"{joined(lost)}, for {display_name(row['query_language'])} queries over {pool}{_kind(row, apart)}"


def data_notes_of_both(comparison: Mapping[str, Any]) -> list[str]:
    """Notes on the data of both results, see `provenance.data_notes`; without repetition if they apply to both."""
    before, after = data_notes(comparison["a"]), data_notes(comparison["b"])
    return [
        *(f"Before and after: {note}" for note in before if note in after),
        *(f"Before: {note}" for note in before if note not in after),
        *(f"After: {note}" for note in after if note not in before),
    ]


def _told(row: Mapping[str, Any]) -> str | None:
    """The measure for the finding: the first that changed significantly, else the first with a value."""
    known = [name for name in _TOLD if row["measures"].get(name, {}).get("difference") is not None]
    changed = [name for name in known if _verdict(name, row["measures"][name]) in ("better", "worse")]
    return next(iter([*changed, *known]), None)


def _urgency(pair: tuple[Mapping[str, Any], str]) -> tuple[bool, float]:
    """Sort key: significant changes come first, then rows that were weakest before."""
    row, name = pair
    before: float = row["measures"][name]["a"]
    return _verdict(name, row["measures"][name]) == "even", before * direction(name)


def _sentence(row: Mapping[str, Any], name: str, apart: bool) -> str:
    """What happened to a measure. Only a change that the test supports is called one."""
    entry = row["measures"][name]
    what = name
    if name.startswith("Complete@"):
        subject = "every version" if len(row["pool_languages"]) > 1 else "the relevant version"
        what = f"the share with {subject} in the top {name.partition('@')[2]} ({name})"
    where = f"For {display_name(row['query_language'])} queries over {'+'.join(row['pool_languages'])}"
    return f"{where}{_kind(row, apart)}, {what} {_happened(row, name, entry)}."


def _happened(row: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> str:
    change = _change(name, entry, row["queries"])
    before, after = change.a, change.b
    p = p_value(_p(entry))
    significance = f"p {p}" if p.startswith("<") else f"p = {p}"
    if entry.get("within_ties"):
        ranges = " and ".join(interval(name, entry["ties"][side], row["queries"]) for side in ("a", "b"))
        return (
            f"shows no change that the scores decide ({before} before, {after} after: within the ties, which leave "
            f"{ranges} open)"
        )
    if entry["difference"] == 0:
        return f"stays at {after}"
    if _verdict(name, entry) == "even":
        if entry.get("queries_needed"):
            return (
                f"was measured over too few queries to tell a change ({before} before, {after} after; "
                f"{plural(entry['queries'], 'query', 'queries')}, and it takes {count(entry['queries_needed'])} to "
                "reach significance)"
            )
        return f"shows no significant change ({before} before, {after} after, {significance})"
    depth = row["measures"].get("Max@R", {})
    deep = ""
    # The depth is a measure of its own, with its own test.
    if name != "Max@R" and depth.get("difference") is not None and _verdict("Max@R", depth) in ("better", "worse"):
        reads = (
            "to see every version one reads to" if len(row["pool_languages"]) > 1 else "the relevant version lies at"
        )
        deep = (
            f"; {reads} rank {quantity(depth['b'], row['queries'])} instead of {quantity(depth['a'], row['queries'])}"
        )
    verb = "rises" if entry["difference"] > 0 else "falls"
    return f"{verb} from {before} to {after} ({change.difference}, {significance}){deep}"


def _tally(what: str, changes: Sequence[tuple[Mapping[str, Any], str]]) -> str:
    verdicts = [_verdict(name, row["measures"][name]) for row, name in changes]
    parts = [
        f"{verdicts.count(verdict)} {words}"
        for verdict, words in (("better", "better"), ("worse", "worse"), ("even", "without significant change"))
    ]
    return f"{what}, {count(len(changes))} rows in all: {', '.join(parts)}"


def comparison_context(comparison: Mapping[str, Any], a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Content of the comparison page other than provenance and definitions."""
    names = [
        name
        for name in ordered_names(n for row in comparison["rows"] for n in row["measures"])
        if _drawn(comparison, name)
    ]
    names.sort(key=lambda name: _TOLD.index(name) if name in _TOLD else len(_TOLD))
    heats, drawn = _heats(a, b)
    apart = has_retrieved(comparison)
    return {
        "measures": names,
        "heats": heats,
        "blocks": [
            {
                "title": row_title(row, apart=apart),
                "queries": plural(row["queries"], "query", "queries"),
                "lines": (lines := changes(row)),
                "significant": sum(line.verdict not in ("even", "none") for line in lines),
            }
            for row in comparison["rows"]
        ],
        "one_sided": one_sided(comparison),
        "notes": list(comparison.get("notes", [])),
        "adjusted": any("p_holm" in entry for row in comparison["rows"] for entry in row["measures"].values()),
        "data": {
            "views": drawn,
            "changes": {name: _drawn(comparison, name) for name in names},
            "shares": [name for name in names if is_share(name)],
        },
    }


def _drawn(comparison: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    lines = []
    apart = has_retrieved(comparison)
    for row in comparison["rows"]:
        entry = row["measures"].get(name)
        if entry is None or entry["difference"] is None:
            continue
        change = _change(name, entry, row["queries"])
        # Lines with one label would be drawn on top of each other.
        ranked = f", {row.get('retrieval') or ('served' if row['kind'] == 'live' else 'exact')}" if apart else ""
        label = f"{row['query_language']} → {'+'.join(row['pool_languages'])}{ranked}"
        lines.append(
            {
                "label": label,
                "a": entry["a"],
                "b": entry["b"],
                "verdict": change.verdict,
                "t": f"{change.a} → {change.b}",
                "title": f"{row_title(row, apart=apart)}: {name} {change.a} to {change.b}, {change.difference}, "
                f"p {change.p}",
            }
        )
    return lines


def _heats(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Heat maps, before and after, of the views that both results have."""
    ranks = {"a": row_ranks(a), "b": row_ranks(b)}
    after = {(view.title, frozenset(view.document_languages)): view for view in views(b)}
    heats, drawn = [], []
    for number, view in enumerate(views(a)):
        other = after.get((view.title, frozenset(view.document_languages)))
        if other is None:
            continue
        before_data = heat_data(a, view, ranks["a"], key=f"before-{number}")
        after_data = heat_data(b, other, ranks["b"], key=f"after-{number}")
        before_data["top"] = after_data["top"] = max(before_data["top"], after_data["top"])
        heats.append(
            {
                "title": view.title,
                "a": before_data,
                "b": after_data,
                "a_table": heat_table("Before: mean rank", before_data, "mean"),
                "b_table": heat_table("After: mean rank", after_data, "mean"),
            }
        )
        drawn += [before_data, after_data]
    return heats, drawn
