"""The top documents of an exact search, with which the retrieved list of nearest neighbors is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.index.fields import MOST_HITS
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import checked_queries
from haystack_crossalign.opensearch.live.hits import Hit, read_lists

MOST_TOP = MOST_HITS - 1
"""Largest k: one hit more shows whether the k-th ties with the next."""

_SLACK = 8
_GROWTH = 4


def exact_top(
    view: IndexView,
    vectors: ArrayLike,
    k: int,
    target: str | PointInTime,
    *,
    by_version: bool = False,
    batch: int = 16,
    concurrent: int | None = None,
) -> list[list[Hit]]:
    """The k best documents of the pool for each query by exact score, and those that tie with the k-th.

    Ordered by score descending, then in the tie order (`haystack_crossalign.ranks.ties`), so that the first k are the
    top k under the tie rule. The documents after them have exactly the k-th one's score: a search that finds them
    instead has lost nothing.

    :param view: index, fields and filter.
    :param vectors: float [Q, dimension], the queries' vectors.
    :param k: number of documents, or of versions.
    :param target: index or alias, or a point in time of it.
    :param by_version: whether to count versions, if documents are chunks: each is represented by its best document, the
        first of several in the tie order. Documents without a group are their own versions.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once; None leaves it to the server.
    :raises InputError: vectors that do not fit, a k that servers refuse, or more than 10,000 documents up to the last
        one that ties with the k-th.
    :raises ExternalError: the cluster refuses, fails, or gives an incomplete answer.
    """
    if not 1 <= k <= MOST_TOP:
        raise InputError("no such number of documents", field="k", seen=k, allowed=f"1 to {MOST_TOP}")
    asked = checked_queries(vectors, view.fields.vector)
    lists: list[list[Hit]] = []
    for start in range(0, len(asked), batch):
        pending = list(range(start, min(start + batch, len(asked))))
        lists += [[] for _ in pending]
        most = min(MOST_HITS, view.fields.most_hits)
        size = min(k + _SLACK, most)
        while pending:
            bodies = [
                {
                    "size": size,
                    "track_total_hits": False,
                    "query": view.scoring.scored(asked[row]),
                    **view.hit_fields(),
                }
                for row in pending
            ]
            answers = view.client.search_all(bodies, target, concurrent=concurrent, lean=view.lean)
            for row, hits in zip(tuple(pending), read_lists(view, answers), strict=True):
                top = best_units(hits, k, view.names.tie_key, by_version=by_version)
                # Documents beyond the response score at most as much as its last hit.
                if len(hits) < size or (top and len(top) >= k and hits[-1].score < top[k - 1].score):
                    lists[row] = top
                    pending.remove(row)
            if pending and size == most:
                raise InputError(
                    f"{most} documents do not reach to the end of the {k} best "
                    f"{'versions' if by_version else 'documents'} of a query: too many score the same",
                    field=view.fields.vector.name,
                    allowed=f"up to {most} documents",
                )
            size = min(size * _GROWTH, most)
    return lists


def unit_of(hit: Hit, *, by_version: bool) -> tuple[str, str | None]:
    """The ranked unit of a hit: its version (language and group), or the document (its id) if it has no group."""
    return (hit.id, None) if hit.group is None or not by_version else (hit.language, hit.group)


def best_units(hits: Sequence[Hit], k: int, tie_key: Callable[[str], bytes], *, by_version: bool) -> list[Hit]:
    """The k best units, each with its best hit, and those that tie with the k-th.

    :param hits: with their exact scores, in any order.
    :param k: number of units.
    :param tie_key: order of hits with equal scores, by their ids.
    :param by_version: whether units are versions, not documents.
    """
    best: dict[tuple[str, str | None], Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-hit.score, tie_key(hit.id))):
        best.setdefault(unit_of(hit, by_version=by_version), hit)
    units = list(best.values())
    return [hit for hit in units if len(units) <= k or hit.score >= units[k - 1].score]
