"""Read all buckets of a composite aggregation, page by page, for several searches at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.index.pool import IndexView

PAGE = 5000
"""Buckets in one answer; servers allow 65,535 by default."""

_NAME = "versions"


def by_version(view: IndexView, **more: Any) -> dict[str, Any]:
    """Aggregation with one bucket for each version: each pair of group and language that occurs.

    Documents without a group are left out; those without a language form versions of their own.

    :param view: an index whose fields name the group.
    :param more: aggregations inside of each bucket.
    """
    sources: list[dict[str, Any]] = [{"group": {"terms": view.fields.counting(view.fields.group or "").values()}}]
    if view.fields.language is not None:
        sources.append({"language": {"terms": view.language_source()}})
    aggregation: dict[str, Any] = {"composite": {"size": PAGE, "sources": sources}}
    return {_NAME: aggregation | ({"aggs": more} if more else {})}


def without_group(view: IndexView) -> dict[str, Any]:
    """Condition that selects documents without a group, or with an empty one.

    :param view: an index whose fields name the group.
    """
    return view.fields.counting(view.fields.group or "").lacks()


def all_buckets(
    view: IndexView, bodies: Sequence[Mapping[str, Any]], *, concurrent: int | None = None
) -> list[tuple[Answer, list[Answer]]]:
    """First response and all buckets of each search with `by_version`, without those of an empty group name.

    :param bodies: search requests; other parts of them are requested once.
    :param concurrent: as in `ReadOnlyClient.search_all`.
    """
    first = view.client.search_all(bodies, view.target, concurrent=concurrent)
    buckets = [list(answer["aggregations"][_NAME]["buckets"]) for answer in first]
    after = {number: answer["aggregations"][_NAME].get("after_key") for number, answer in enumerate(first)}
    pending = [number for number, rows in enumerate(buckets) if len(rows) == PAGE]
    while pending:
        pages = [_next_page(bodies[number], after[number]) for number in pending]
        answers = view.client.search_all(pages, view.target, concurrent=concurrent)
        for number, answer in zip(tuple(pending), answers, strict=True):
            page = answer["aggregations"][_NAME]
            buckets[number] += page["buckets"]
            after[number] = page.get("after_key")
            if len(page["buckets"]) < PAGE:
                pending.remove(number)
    groups = [[row for row in rows if row["key"]["group"] != ""] for rows in buckets]
    return list(zip(first, groups, strict=True))


def _next_page(body: Mapping[str, Any], after: object) -> dict[str, Any]:
    aggregation = body["aggs"][_NAME]
    aggregation = {**aggregation, "composite": {**aggregation["composite"], "after": after}}
    return {**body, "track_total_hits": False, "aggs": {_NAME: aggregation}}
