"""The inventory of an index: every version with its latest date."""

from __future__ import annotations

from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.index.buckets import all_buckets, by_version
from haystack_crossalign.opensearch.index.mapped_fields import flatten_mapping
from haystack_crossalign.opensearch.index.pool import IndexView

_DATES = ("date", "date_nanos")
Inventory = list[tuple[str, str, float | None]]
"""Group, normalized language, and milliseconds since 1970 of the latest date."""


def version_inventory(view: IndexView, index: str, *, date_field: str | None) -> Inventory:
    """All versions of the pool that belong to a group, from one composite aggregation, page by page.

    :param view: index with a group field, its filter.
    :param index: its name, for the mapping.
    :param date_field: a field of type ``date``, or None.
    :raises InputError: if there is no group field, or the field does not hold dates.
    """
    # A version without a vector is there, too: it wants embedding, not translating.
    view = view.without_vectors()
    if view.fields.group is None:
        raise InputError("a table of contents needs the field that versions share", source="--group-field",
                         allowed="--group-field NAME")  # fmt: skip
    more: dict[str, Any] = {}
    if date_field is not None:
        _check_date(view, index, date_field)
        more = {"newest": {"max": {"field": date_field}}}
    body = {"size": 0, "track_total_hits": False, "query": view.scoring.pool(), "aggs": by_version(view, **more)}
    ((_, buckets),) = all_buckets(view, [body])
    return [
        (
            str(bucket["key"]["group"]),
            view.tag(bucket["key"].get("language")),
            bucket.get("newest", {}).get("value") if date_field is not None else None,
        )
        for bucket in buckets
    ]


def _check_date(view: IndexView, index: str, name: str) -> None:
    mapping = view.client.mapping(index)
    kinds = set()
    for entry in mapping.values():
        fields = dict(flatten_mapping(entry.get("mappings", {}).get("properties", {})))
        if name in fields:
            kinds.add(fields[name].definition.get("type", "object"))
    if not kinds:
        raise InputError("the index has no such field", source="--date-field", seen=name, allowed="a field of dates")
    if not kinds <= set(_DATES):
        raise InputError(
            "the field does not hold dates",
            source="--date-field",
            seen=f"{name} ({', '.join(sorted(kinds))})",
            allowed="a field of type date",
        )
