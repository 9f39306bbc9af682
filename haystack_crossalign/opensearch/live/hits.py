"""The documents of result lists, however they were asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.index.fields import MOST_HITS
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import exact_double


@dataclass(frozen=True, slots=True)
class Hit:
    """A document in a result list.

    :param id: its id in the index.
    :param score: what it was ranked by, NaN where a pipeline gives none. Comparable within one list only.
    :param language: its normalized language, or the tag of an undetermined one.
    :param group: its parallel group, None where it has none.
    """

    id: str
    score: float
    language: str
    group: str | None


def checked_depth(depth: int, most: int = MOST_HITS) -> int:
    """The depth of a list, if servers allow it.

    :param most: hits that one answer may hold, from `haystack_crossalign.opensearch.index.fields.Fields`.
    :raises InputError: it is less than 1 or more than that.
    """
    if not 1 <= depth <= most:
        raise InputError("no such depth of a list", field="depth", seen=depth, allowed=f"1 to {most}")
    return depth


def read_hits(view: IndexView, answer: Answer) -> list[Hit]:
    """The hits of an answer whose request asked for `IndexView.hit_fields`, in its order.

    Hits of a search that is sorted by something else have no score.
    """
    return [
        Hit(
            str(hit["_id"]),
            math.nan if hit["_score"] is None else exact_double(hit["_score"]),
            view.hit_language(hit),
            view.hit_group(hit),
        )
        for hit in answer["hits"]["hits"]
    ]


def served_through(view: IndexView) -> dict[str, Any]:
    """For the provenance: the default search pipelines that the lists passed through, where there are any."""
    pipelines = dict(view.fields.search_pipelines)
    return {"search_pipelines": pipelines} if pipelines else {}


def as_stored(view: IndexView, lists: list[list[Hit]], target: str | PointInTime, most: int) -> list[list[Hit]]:
    """The lists with language and group as the index holds them: a search pipeline may rename or drop fields.

    :param view: index and its fields.
    :param lists: as they were returned.
    :param target: where to look documents up: an index, or a point in time.
    :param most: documents that one request may ask for.
    """
    names = sorted({hit.id for row in lists for hit in row})
    known: dict[str, set[tuple[str, str | None]]] = {}
    step = max(1, min(most, view.fields.most_hits) // 2)
    for start in range(0, len(names), step):
        part = names[start : start + step]
        # Behind an alias several documents may share an id: then the hit itself has to tell.
        body = {"size": view.fields.most_hits, "query": {"ids": {"values": part}}, **view.hit_fields()}
        for hit in view.client.search(body, target)["hits"]["hits"]:
            known.setdefault(str(hit["_id"]), set()).add((view.hit_language(hit), view.hit_group(hit)))

    def stored(hit: Hit) -> Hit:
        values = known.get(hit.id, set())
        if len(values) != 1:
            return hit
        ((language, group),) = values
        return replace(hit, language=language, group=group)

    return [[stored(hit) for hit in row] for row in lists]
