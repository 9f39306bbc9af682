"""Documents that hold a language or group which the mapping ignores: for every search that value is not there.

A keyword longer than ``ignore_above`` and a malformed number under ``ignore_malformed`` stay in the stored document and
out of the index, without a word: OpenSearch (2.19, 3.6) does not even list the field under ``_ignored``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.opensearch.index.pool import IndexView

_SAMPLE = 1000
"""Documents that are looked at, of those with a value and of those without, drawn at random where there are more."""


@dataclass(frozen=True)
class IgnoredValues:
    """Documents of which the index lacks a value that they hold.

    :param field: the field.
    :param indexed: whether these documents also hold a value that the index has.
    :param documents: number of documents of the pool with a value, or without one.
    :param examined: how many of them were looked at.
    :param holding: how many of these hold a value that the index lacks.
    :param example: id of the first of them.
    :param limits: what the mapping ignores.
    """

    field: str
    indexed: bool
    documents: int
    examined: int
    holding: int
    example: str
    limits: str

    def told(self) -> str:
        """One sentence, without its end."""
        among = "" if self.examined == self.documents else f" ({self.examined:,} of {self.documents:,} were looked at)"
        which = f"{self.holding:,} of {self.examined:,} documents {{}} a value in '{self.field}'{among}"
        if self.indexed:
            return (
                f"{which.format('with')} hold another one, '{self.example}' for instance: the mapping ignores it "
                f"({self.limits}), and only the others count"
            )
        return (
            f"{which.format('without')} do hold one, '{self.example}' for instance: the mapping ignores it "
            f"({self.limits}), and they count as having none"
        )


def ignored_values(view: IndexView) -> Iterator[IgnoredValues]:
    """Documents whose language or group the mapping ignores, as a whole or in part, field by field.

    :param view: index, its fields and filter.
    """
    size = min(_SAMPLE, view.fields.most_hits)
    for field in (view.fields.language, view.fields.group):
        ignoring = view.fields.ignoring.get(field or "")
        if field is None or ignoring is None:
            continue
        exists = {"exists": {"field": field}}
        bodies = []
        for condition in ({"bool": {"must_not": [exists]}}, exists):
            drawn = {"query": view.scoring.pool(condition), "random_score": {"seed": 0, "field": "_seq_no"}}
            bodies.append(
                {
                    "size": size,
                    "track_total_hits": True,
                    "query": {"function_score": {**drawn, "boost_mode": "replace"}},
                    "_source": {"includes": [ignoring.stored]},
                }
            )
        for indexed, answer in enumerate(view.client.search_all(bodies, view.target)):
            hits = answer["hits"]
            holding = sorted(
                str(hit["_id"])
                for hit in hits["hits"]
                if any(not indexed or ignoring.ignores(value) for value in _values(hit.get("_source")))
            )
            if holding:
                total, limits = int(hits["total"]["value"]), ignoring.limits
                yield IgnoredValues(field, bool(indexed), total, len(hits["hits"]), len(holding), holding[0], limits)


def _values(stored: Any) -> Iterator[Any]:
    """The values in a part of a stored document, of all its paths."""
    if isinstance(stored, dict | list):
        for part in stored.values() if isinstance(stored, dict) else stored:
            yield from _values(part)
    elif stored is not None and stored != "":
        yield stored
