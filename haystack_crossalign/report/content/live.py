"""Tables of the audit of an index: exact ranks and retrieved lists side by side, and measures that need no labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.report.content.live_words import LISTS, SERVED
from haystack_crossalign.report.content.tables import Cell, Table
from haystack_crossalign.report.content.views import View, views
from haystack_crossalign.report.content.words import DASH, count, interval, joined, measure_value, quantity

_MEASURES = ("Max@R", "Max@R_norm", "Complete@10", "NDCG@10", "MRR")
_LOW_RECALL = 0.95
"""Below this recall, too much of the list is lost for its figures to say much about languages."""


def side_by_side(result: Mapping[str, Any]) -> list[Table]:
    """One table per pool: for every query language the exact ranks and, below them, each retrieved list.

    :param result: an audit result with a ``live`` block.
    """
    return [_side_by_side(result, view) for view in views(result) if view.retrieval is None and _lists(result, view)]


def exposure_table(result: Mapping[str, Any]) -> Table | None:
    """MRC@k and, by query language, the share of the top k that each document language takes.

    :param result: an audit result with a ``live`` block; None without parallel queries or lists.
    """
    entries = [entry for entry in result["live"]["parallel"] if entry["exposure"]]
    if not entries:
        return None
    tags = list(dict.fromkeys(tag for entry in entries for exposure in entry["exposure"] for tag in exposure["shares"]))
    tags.sort(key=lambda tag: tag == UNDETERMINED)
    k = entries[0]["k"]
    table = Table(
        f"What the top {k} shows: share of each document language, discounted by rank; MRC@{k} is the agreement of "
        "parallel queries in different languages (1: the same ranking)",
        ["Query language", "Ranking", f"MRC@{k}", *(display_name(tag) for tag in tags)],
        grouped=True,
    )
    pools: dict[str, dict[str, float | None]] = {}
    for entry in entries:
        of_entry = {tag: share["pool"] for exposure in entry["exposure"] for tag, share in exposure["shares"].items()}
        pools.setdefault(entry["kind"], {}).update(of_entry)
    # Exact ranks count versions, and lists may count hits.
    counted = {"exact": " in versions", "live": " in hits"} if len({str(pool) for pool in pools.values()}) > 1 else {}
    for kind, pool in list(pools.items())[: 2 if counted else 1]:
        of_pool = [Cell(measure_value("share", pool.get(tag))) for tag in tags]
        table.rows.append((f"Share of the pool{counted.get(kind, '')}", [Cell(""), Cell(""), *of_pool]))
    languages = list(dict.fromkeys(exposure["query_language"] for entry in entries for exposure in entry["exposure"]))
    for language in languages:
        for entry in entries:
            own = next((exposure for exposure in entry["exposure"] if exposure["query_language"] == language), None)
            if own is None:
                continue
            shares = [_share((own["shares"].get(tag) or {}).get("discounted"), own["queries"]) for tag in tags]
            cells = [Cell(_ranking(entry["retrieval"])), Cell(_mrc(entry, language)), *shares]
            table.rows.append((display_name(language), cells))
    return table


def live_sentences(result: Mapping[str, Any]) -> list[str]:
    """Sentences for the finding that compare retrieved lists with exact ranks."""
    sentences = []
    mixed = [view for view in views(result) if view.retrieval is not None and view.mixed]
    for view in mixed:
        rows = [result["rows"][index] for index in view.rows]
        with_recall = [row for row in rows if row["recall"]["value"] is not None]
        if not with_recall:
            continue
        worst = min(with_recall, key=lambda row: row["recall"]["value"])
        recall, k = worst["recall"]["value"], worst["recall"]["k"]
        name = SERVED.get(str(view.retrieval), f"list of {view.retrieval}")
        figure = f"{measure_value('recall', recall, worst['recall']['queries'])} of the exact top {k}"
        where = f" ({display_name(worst['query_language'])} queries, the lowest of all)" if len(with_recall) > 1 else ""
        if view.retrieval != "knn":
            sentences.append(f"The {name} holds {figure}{where}.")
        elif recall >= _LOW_RECALL:
            sentences.append(
                f"The {name} that is served holds {figure}{where}: what languages lose, they lose by the "
                "vectors and not by the approximate search."
            )
        else:
            sentences.append(
                f"The {name} that is served holds only {figure}{where}: a part of what is lost is lost by the "
                "approximate search, whatever the language."
            )
    return sentences


def _side_by_side(result: Mapping[str, Any], exact: View) -> Table:
    rows = [result["rows"][index] for index in exact.rows]
    names = [name for name in _MEASURES if any(name in row["measures"] for row in rows)]
    lists = _lists(result, exact)
    k = next((row["recall"]["k"] for view in lists for row in (result["rows"][index] for index in view.rows)), 10)
    table = Table(
        f"Exact and live, means with 95 % intervals: {exact.title.removesuffix(', exact ranks')}",
        ["Query language", "Ranking", f"Recall@{k}", *names],
        grouped=True,
    )
    for row in rows:
        label = display_name(row["query_language"])
        if exact.scenario == "mono-cross":
            label += f" → {joined([display_name(tag) for tag in row['pool_languages']])}"
        same = [
            other
            for view in lists
            for other in (result["rows"][index] for index in view.rows)
            if (other["query_language"], other["pool_languages"]) == (row["query_language"], row["pool_languages"])
        ]
        for compared in (row, *same):
            table.rows.append((label, [Cell(_ranking(compared.get("retrieval"), compared)), _recall(compared),
                                       *(_measure(table, compared, name) for name in names)]))  # fmt: skip
    return table


def _lists(result: Mapping[str, Any], exact: View) -> list[View]:
    """The views of retrieved lists over the same pool as an exact view."""
    pools = {tuple(result["rows"][index]["pool_languages"]) for index in exact.rows}
    return [
        view
        for view in views(result)
        if view.retrieval is not None
        and view.scenario == exact.scenario
        and pools & {tuple(result["rows"][index]["pool_languages"]) for index in view.rows}
    ]


def _ranking(retrieval: str | None, row: Mapping[str, Any] | None = None) -> str:
    if retrieval is None:
        return "exact, estimated" if row is not None and "sampled" in row else "exact"
    return f"{LISTS.get(retrieval, retrieval)}"


def _recall(row: Mapping[str, Any]) -> Cell:
    recall = row.get("recall")
    if recall is None or recall["value"] is None:
        return Cell(DASH if recall is not None else "")
    bounds = interval("recall", recall["interval"], recall["queries"])
    queries = "" if recall["queries"] == row["queries"] else f"over {count(recall['queries'])} queries"
    detail = "; ".join(part for part in (bounds, queries) if part)
    return Cell(measure_value("recall", recall["value"], recall["queries"]), detail)


def _measure(table: Table, row: Mapping[str, Any], name: str) -> Cell:
    bound = (row["censored"] or {}).get("Max@R_lower_bound")
    if name == "Max@R" and row["measures"].get(name) is None and bound is not None:
        return Cell(f"≥ {quantity(bound, row['queries'])}", f"list ends at {count(row['censored']['depth_max'])}")
    cell = table.measure(row, name)
    approximate = "sampled" in row and name != "Max@R" and cell.note is None and cell.text
    return Cell(f"≈ {cell.text}", cell.detail) if approximate else cell


def _share(value: float | None, queries: int) -> Cell:
    return Cell(measure_value("share", value, queries))


def _mrc(entry: Mapping[str, Any], language: str) -> str:
    """Mean over the language pairs that include the language, weighted by pairs of queries."""
    own: Sequence[Mapping[str, Any]] = [pair for pair in entry["pairs"] if language in pair["languages"]]
    queries = sum(pair["queries"] for pair in own)
    if not queries:
        return DASH
    return quantity(sum(pair["mrc"] * pair["queries"] for pair in own) / queries)
