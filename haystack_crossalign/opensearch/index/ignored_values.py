"""Documents that hold a language or group which the mapping ignores: for every search they have none.

A keyword longer than ``ignore_above`` and a malformed number under ``ignore_malformed`` stay in the stored document and
out of the index, without a word: OpenSearch (2.19, 3.6) does not even list the field under ``_ignored``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.opensearch.index.pool import IndexView

_SAMPLE = 1000
"""Documents without a value that are looked at, drawn at random where there are more."""


@dataclass(frozen=True)
class IgnoredValues:
    """Documents of which the index lacks a value that they hold.

    :param field: the field.
    :param without: number of documents of the pool without a value.
    :param examined: how many of them were looked at.
    :param holding: how many of these hold a value.
    :param example: id of the first of them.
    :param limits: what the mapping ignores.
    """

    field: str
    without: int
    examined: int
    holding: int
    example: str
    limits: str

    def told(self) -> str:
        """One sentence, without its end."""
        among = "" if self.examined == self.without else f" ({self.examined:,} of {self.without:,} were looked at)"
        return (
            f"{self.holding:,} of {self.examined:,} documents without a value in '{self.field}'{among} do hold one, "
            f"'{self.example}' for instance: the mapping ignores it ({self.limits}), and they count as having none"
        )


def ignored_values(view: IndexView) -> Iterator[IgnoredValues]:
    """Documents whose language or group the mapping ignores, field by field.

    :param view: index, its fields and filter.
    """
    size = min(_SAMPLE, view.fields.most_hits)
    for field in (view.fields.language, view.fields.group):
        ignoring = view.fields.ignoring.get(field or "")
        if field is None or ignoring is None:
            continue
        without = view.scoring.pool({"bool": {"must_not": [{"exists": {"field": field}}]}})
        drawn = {"query": without, "random_score": {"seed": 0, "field": "_seq_no"}, "boost_mode": "replace"}
        body = {
            "size": size,
            "track_total_hits": True,
            "query": {"function_score": drawn},
            "_source": {"includes": [ignoring.stored]},
        }
        found = view.client.search(body, view.target)["hits"]
        holding = sorted(str(hit["_id"]) for hit in found["hits"] if _holds_value(hit.get("_source")))
        if holding:
            yield IgnoredValues(
                field, int(found["total"]["value"]), len(found["hits"]), len(holding), holding[0], ignoring.limits
            )


def _holds_value(stored: Any) -> bool:
    if isinstance(stored, dict):
        return any(map(_holds_value, stored.values()))
    if isinstance(stored, list):
        return any(map(_holds_value, stored))
    return stored is not None and stored != ""
