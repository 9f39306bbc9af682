"""Data of the charts of a view, compact and ready for JSON: charts draw these and compute nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.content.aggregates import (
    RowRanks,
    bin_labels,
    complete_curve,
    curve_grid,
    histogram,
    mean_rank,
    median_rank,
)
from haystack_crossalign.report.content.views import View, row_label
from haystack_crossalign.report.content.words import DASH, count, in_language, quantity

SPLIT = (
    ("Top1[relevant,same]", "relevant, query's language"),
    ("Top1[relevant,other]", "relevant, other language"),
    ("Top1[other,same]", "not relevant, query's language"),
    ("Top1[other,other]", "not relevant, other language"),
)
"""The four-way split of rank 1: measure and label."""


def chart_data(result: Mapping[str, Any], view: View, ranks: Sequence[RowRanks]) -> dict[str, Any]:
    """Data of all charts of a view.

    :param ranks: of every row of the result, see `aggregates.row_ranks`.
    """
    rows = [result["rows"][index] for index in view.rows]
    row_ranks = [ranks[index] for index in view.rows]
    queries = {tag: place for place, tag in enumerate(view.query_languages)}
    documents = {tag: place for place, tag in enumerate(view.document_languages)}
    return {
        **heat_data(result, view, ranks, key=view.key),
        "mixed": view.mixed,
        "live": view.kind == "live",
        **_distribution(rows, row_ranks, queries, documents),
        "ahead": _ahead(rows, row_ranks, queries, documents),
        "split": [
            {"label": row_label(row, view), "q": queries[row["query_language"]], "n": row["queries"], "v": values}
            for row in rows
            if None not in (values := [row["measures"].get(name) for name, _ in SPLIT])
        ],
        "curve": _curve(rows, row_ranks, view, queries),
    }


def heat_data(result: Mapping[str, Any], view: View, ranks: Sequence[RowRanks], *, key: str) -> dict[str, Any]:
    """Data of the heat maps of a view, under the given key: languages, cells, the deepest rank."""
    rows = [result["rows"][index] for index in view.rows]
    queries = {tag: place for place, tag in enumerate(view.query_languages)}
    documents = {tag: place for place, tag in enumerate(view.document_languages)}
    heat = _heat(rows, [ranks[index] for index in view.rows], queries, documents)
    return {
        "key": key,
        "queries": [{"tag": tag, "name": display_name(tag)} for tag in queries],
        "documents": [
            {"tag": tag, "name": display_name(tag), "version": in_language(tag, "version")} for tag in documents
        ],
        "heat": heat,
        "top": max((cell["v"] or 0 for cells in heat.values() for cell in cells), default=0),
    }


def _heat(
    rows: Sequence[Mapping[str, Any]],
    ranks: Sequence[RowRanks],
    queries: Mapping[str, int],
    documents: Mapping[str, int],
) -> dict[str, list[dict[str, Any]]]:
    cells: dict[str, list[dict[str, Any]]] = {"median": [], "mean": []}
    for row, its_ranks in zip(rows, ranks, strict=True):
        for tag in row["pool_languages"]:
            if tag not in its_ranks.by_language:
                continue
            name = f"Rank[{tag}]"
            place = {"q": queries[row["query_language"]], "d": documents[tag]}
            median = median_rank(row, name, its_ranks.by_language[tag])
            beyond = (row.get("censored") or {}).get("depth_max")
            label = f"> {count(beyond)}" if median is None and beyond else quantity(median)
            # A censored median is drawn at the end of the list; its label says that it is beyond.
            cells["median"].append({**place, "v": beyond if median is None else median, "t": label})
            mean = mean_rank(row, name, its_ranks.by_language[tag])
            cells["mean"].append(
                {**place, "v": mean, "t": quantity(mean, row["queries"]) if mean is not None else DASH}
            )
    return cells


def _distribution(
    rows: Sequence[Mapping[str, Any]],
    ranks: Sequence[RowRanks],
    queries: Mapping[str, int],
    documents: Mapping[str, int],
) -> dict[str, Any]:
    largest = 1
    for its_ranks in ranks:
        for values in its_ranks.by_language.values():
            known = values[values != float("inf")]
            largest = max(largest, int(known.max(initial=1)))
    labels = bin_labels(largest)
    strips = []
    for row, its_ranks in zip(rows, ranks, strict=True):
        for tag, values in sorted(its_ranks.by_language.items(), key=lambda item: documents[item[0]]):
            counts = histogram(values, len(labels))
            median = median_rank(row, f"Rank[{tag}]", values)
            beyond = (row.get("censored") or {}).get("depth_max")
            strips.append(
                {
                    "q": queries[row["query_language"]],
                    "d": documents[tag],
                    "n": counts,
                    "lost": len(values) - sum(counts),
                    "total": len(values),
                    "median": f"> {count(beyond)}" if median is None and beyond else quantity(median),
                }
            )
    return {"bins": labels, "strips": strips}


def _ahead(
    rows: Sequence[Mapping[str, Any]],
    ranks: Sequence[RowRanks],
    queries: Mapping[str, int],
    documents: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Mean number of non-relevant documents above each version, by their language."""
    bars = []
    for row, its_ranks in zip(rows, ranks, strict=True):
        query_language = row["query_language"]
        for tag, ahead in sorted(its_ranks.ahead.items(), key=lambda item: documents[item[0]]):
            in_query = ahead.get(query_language, 0.0)
            own = ahead.get(tag, 0.0) if tag != query_language else 0.0
            bars.append(
                {
                    "q": queries[query_language],
                    "d": documents[tag],
                    "n": row["queries"],
                    "v": [round(value, 4) for value in (in_query, own, sum(ahead.values()) - in_query - own)],
                    "by": {language: round(value, 4) for language, value in ahead.items()},
                }
            )
    return bars


def _curve(
    rows: Sequence[Mapping[str, Any]], ranks: Sequence[RowRanks], view: View, queries: Mapping[str, int]
) -> dict[str, Any]:
    best = max((round(row["relevant"] / row["queries"]) for row in rows), default=1)
    known = [values.deepest[values.deepest != float("inf")] for values in ranks]
    largest = max((int(values.max(initial=1)) for values in known), default=1)
    depths = [row["censored"]["depth_min"] for row in rows if row.get("censored")]
    # Nothing is known beyond the shortest list.
    grid = curve_grid(min([max(largest, curve_mark(best)), *depths]))
    return {
        "k": grid,
        "best": best,
        "mark": curve_mark(best),
        "rows": [
            {
                "label": row_label(row, view),
                "q": queries[row["query_language"]],
                "n": len(values.deepest),
                "v": complete_curve(values.deepest, grid),
            }
            for row, values in zip(rows, ranks, strict=True)
        ],
    }


def curve_mark(best: int) -> int:
    """The K at which the curve is labeled: 10, or the next of 20, 50, 100, ... that can hold all versions."""
    mark, factors = 10, (2.0, 2.5, 2.0)
    step = 0
    while mark < best:
        mark = int(mark * factors[step % 3])
        step += 1
    return mark
