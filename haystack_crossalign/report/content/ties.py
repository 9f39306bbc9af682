"""The effect of ties in words: the range of a figure over all orders of documents with equal scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from haystack_crossalign.measures.meanings import ordered_names
from haystack_crossalign.ranks.ties import TIE_SEED
from haystack_crossalign.report.content.words import count, interval, joined, measure_value, plural


def tie_range(row: Mapping[str, Any], name: str) -> str:
    """Lowest and highest value of a measure over all orders of ties, ``2 to 8``; empty if both are displayed alike.

    :param row: a row of an audit result.
    :param name: name of the measure.
    """
    ends = (row.get("ties") or {}).get(name) or {}
    low, high = sorted((ends.get(key) for key in ("optimistic", "pessimistic")), key=lambda end: (end is None, end))
    queries = row["queries"]
    if low is None or high is None or measure_value(name, low, queries) == measure_value(name, high, queries):
        return ""
    return interval(name, (low, high), queries)


def tie_ranges(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """Ranges of several measures as ``Max@R 2 to 8 and Complete@10 0 to 100 %``; empty if none shows."""
    return joined([f"{name} {span}" for name in ordered_names(names) if (span := tie_range(row, name))])


def tie_remark(row: Mapping[str, Any], names: Iterable[str], order: str | None) -> str:
    """One sentence on the ties of a row; empty if they change none of the measures as displayed.

    :param row: a row of an audit result.
    :param names: the measures.
    :param order: how equal scores were ordered, ``ties`` of the result's provenance.
    """
    ranges = tie_ranges(row, names)
    if not ranges:
        return ""
    queries = f"{count(row['ties']['queries'])} of {plural(row['queries'], 'query', 'queries')}"
    taken = {None: "document ids", TIE_SEED: "a hash of the document ids, which favors no language"}
    return (
        f"Equal scores leave this open: for {queries} a relevant version has the score of other documents, and nothing "
        f"but their order decides where within {ranges} the figures lie (taken here: the order of "
        f"{taken.get(order, 'the ranks in the run')})."
    )
