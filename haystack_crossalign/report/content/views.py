"""Group the rows of a result into views: one per scenario and pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.report.content.live_words import LISTS
from haystack_crossalign.report.content.words import joined

_SCENARIO_TITLES = {
    "multi": "Mixed pool: {languages}",
    "mono-same": "One-language pools, asked in their own language",
    "mono-cross": "One-language pools, asked in another language",
}

_MOST_NAMED = 4
"""Titles of pools with more languages than this give only the number."""


@dataclass(frozen=True)
class View:
    """A group of rows that are shown together.

    :param key: id inside the page.
    :param title: heading in plain words.
    :param scenario: scenario of its rows.
    :param kind: "exact" or "live".
    :param rows: indices into the result's rows.
    :param query_languages: query languages, in the order of the rows.
    :param document_languages: document languages, in the order of the pools.
    :param retrieval: name of the live list, None for exact ranks and for lists from files.
    """

    key: str
    title: str
    scenario: str
    kind: str
    rows: tuple[int, ...]
    query_languages: tuple[str, ...]
    document_languages: tuple[str, ...]
    retrieval: str | None = None

    @property
    def mixed(self) -> bool:
        """Whether its pools hold several languages."""
        return self.scenario == "multi"


def views(result: Mapping[str, Any]) -> list[View]:
    """Group the rows: each mixed pool separately, all one-language pools of a scenario together."""
    groups: dict[tuple[str, str, str | None, tuple[str, ...]], list[int]] = {}
    for index, row in enumerate(result["rows"]):
        pool = tuple(row["pool_languages"]) if row["scenario"] == "multi" else ()
        groups.setdefault((row["scenario"], row["kind"], row.get("retrieval"), pool), []).append(index)
    several_kinds = len({kind for _, kind, _, _ in groups}) > 1
    all_views = []
    for number, ((scenario, kind, retrieval, pool), rows) in enumerate(groups.items()):
        ordered = sorted(pool, key=lambda tag: tag == UNDETERMINED)
        languages = (
            joined([display_name(tag) for tag in ordered]) if len(pool) <= _MOST_NAMED else f"{len(pool)} languages"
        )
        title = _SCENARIO_TITLES.get(scenario, scenario).format(languages=languages)
        if kind == "live" or several_kinds:
            served = ", results as served" + (f" by {LISTS.get(retrieval, retrieval)}" if retrieval else "")
            title += served if kind == "live" else ", exact ranks"
        members = [result["rows"][index] for index in rows]
        all_views.append(
            View(
                key=f"view-{number}",
                title=title,
                scenario=scenario,
                kind=kind,
                rows=tuple(rows),
                query_languages=tuple(dict.fromkeys(row["query_language"] for row in members)),
                document_languages=_document_languages(members),
                retrieval=retrieval,
            )
        )
    return all_views


def _document_languages(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Document languages in the order of the pools, with an undetermined one last; one-language pools in the order
    of their queries.
    """
    tags = dict.fromkeys(
        sorted((tag for row in rows for tag in row["pool_languages"]), key=lambda tag: tag == UNDETERMINED)
    )
    if any(len(row["pool_languages"]) > 1 for row in rows):
        return tuple(tags)
    query_tags = [row["query_language"] for row in rows if row["query_language"] in tags]
    return tuple(dict.fromkeys([*query_tags, *tags]))


def weakest_row(result: Mapping[str, Any], indices: Sequence[int]) -> int:
    """The row that is served worst; the first one on a tie.

    Decided by Max@R_norm; if a row lacks it (censored results) by Complete@10, else by the mean Max@R or its lower
    bound.
    """
    rows = {index: result["rows"][index] for index in indices}
    # A row without any ranked relevant document cannot be judged.
    rows = {index: row for index, row in rows.items() if row.get("relevant", 1)} or rows
    for name in ("Max@R_norm", "Complete@10"):
        values = {index: row["measures"].get(name) for index, row in rows.items()}
        known = {index: value for index, value in values.items() if value is not None}
        if len(known) == len(rows):
            return min(known, key=known.__getitem__)
    return max(rows, key=lambda index: _depth(rows[index]))


def _depth(row: Mapping[str, Any]) -> float:
    depth = row["measures"].get("Max@R")
    if depth is None:
        depth = (row.get("censored") or {}).get("Max@R_lower_bound")
    return 0.0 if depth is None else depth


def main_view(result: Mapping[str, Any], all_views: list[View]) -> View:
    """The first view of a page: the mixed pool with the weakest row, exact before retrieved, else the first view."""
    candidates = [view for view in all_views if view.mixed] or all_views
    candidates = [view for view in candidates if view.kind == "exact"] or candidates
    weakest = weakest_row(result, [index for view in candidates for index in view.rows])
    return next(view for view in candidates if weakest in view.rows)


def row_label(row: Mapping[str, Any], view: View) -> str:
    """Name of a row within its view: the query language, and the pool if that differs between rows."""
    name = display_name(row["query_language"])
    if view.scenario != "mono-cross":
        return name
    return f"{name} → {joined([display_name(tag) for tag in row['pool_languages']])}"
