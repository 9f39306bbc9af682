"""The documents of result lists of any kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise, repeat
from operator import itemgetter
from typing import Any, NamedTuple

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.index.fields import MOST_HITS
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import exact_doubles

_NAME, _SCORE = itemgetter("_id"), itemgetter("_score")
_Columns = tuple[list[str], list[float | None], list[str], list[str | None]]


class Hit(NamedTuple):
    """A document in a result list.

    :param id: its name, see `haystack_crossalign.opensearch.index.names`.
    :param score: its score, NaN if a pipeline returns none. Comparable only within a list.
    :param language: its normalized language, or the tag of an undetermined one.
    :param group: its parallel group, None if it has none.
    """

    id: str
    score: float
    language: str
    group: str | None


def checked_depth(depth: int, most: int = MOST_HITS) -> int:
    """Check that servers allow the depth of a list.

    :param most: maximum hits in a response, from `haystack_crossalign.opensearch.index.fields.Fields`.
    :raises InputError: it is less than 1 or more than that.
    """
    if not 1 <= depth <= most:
        raise InputError("no such depth of a list", field="depth", seen=depth, allowed=f"1 to {most}")
    return depth


def read_lists(view: IndexView, answers: Sequence[Answer]) -> list[list[Hit]]:
    """The hits of responses to lean searches with `IndexView.hit_fields`, in order.

    Hits of a search that is not sorted by score have no score.

    :param view: index and its fields.
    :param answers: see `haystack_crossalign.opensearch.connection.client.ReadOnlyClient.search_all`.
    :raises ExternalError: hits that are none.
    :raises InputError: a document has several groups.
    """
    rows = [answer["hits"]["hits"] for answer in answers]
    hits = [*chain.from_iterable(rows)]
    columns = _plain_columns(view, hits)
    if columns is None:
        for answer in answers:
            view.client.check_hits(answer)
        columns = (
            [view.names.of(hit) for hit in hits],
            [hit.get("_score") for hit in hits],
            [view.hit_language(hit) for hit in hits],
            [view.hit_group(hit) for hit in hits],
        )
    names, scores, languages, groups = columns
    # Long lists dominate the client's cost of auditing requests, so hits are not processed one by one in Python.
    hits = [*map(tuple.__new__, repeat(Hit), zip(names, exact_doubles(scores), languages, groups, strict=True))]
    ends = [*accumulate(map(len, rows), initial=0)]
    return [hits[start:end] for start, end in pairwise(ends)]


def _plain_columns(view: IndexView, hits: Sequence[Answer]) -> _Columns | None:
    """Columns of hits that are as most are, each with a score and no field with several values; else None."""
    try:
        names, scores = [*map(_NAME, hits)], [*map(_SCORE, hits)]
    except (KeyError, TypeError):
        return None
    if {*map(type, names)} - {str} or {*map(type, scores)} - {float} or not math.isfinite(sum(scores)):
        return None
    if view.names.with_index:
        names = [*map(view.names.of, hits)]
    values = view.single_values(hits)
    return None if values is None else (names, scores, *values)


def served_through(view: IndexView) -> dict[str, Any]:
    """The default search pipelines that the lists passed through, if any, for the provenance."""
    pipelines = dict(view.fields.search_pipelines)
    return {"search_pipelines": pipelines} if pipelines else {}


def as_stored(view: IndexView, lists: list[list[Hit]], target: str | PointInTime, most: int) -> list[list[Hit]]:
    """The lists with language and group from the index, since a search pipeline may rename or drop fields.

    :param view: index and its fields.
    :param lists: as they were returned.
    :param target: where to look documents up: an index, or a point in time.
    :param most: documents that one request may ask for.
    """
    names = sorted({hit.id for row in lists for hit in row})
    known: dict[str, set[tuple[str, str | None]]] = {}
    step = max(1, min(most, view.fields.most_hits) // 2)
    for start in range(0, len(names), step):
        # With custom routing, an index may hold several documents with one id; then the hit itself is used.
        body = {
            "size": view.fields.most_hits,
            "query": view.names.query(names[start : start + step]),
            **view.hit_fields(),
        }
        for hit in view.client.search(body, target)["hits"]["hits"]:
            known.setdefault(view.names.of(hit), set()).add((view.hit_language(hit), view.hit_group(hit)))

    def stored(hit: Hit) -> Hit:
        values = known.get(hit.id, set())
        if len(values) != 1:
            return hit
        ((language, group),) = values
        return hit._replace(language=language, group=group)

    return [[stored(hit) for hit in row] for row in lists]
