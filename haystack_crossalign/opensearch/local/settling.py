"""Ranks and first documents of one query, from what was counted and from the server's scores of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.opensearch.exact.ranked import RankedVersion, Top
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.exact_top import best_units
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.local.pool import LocalPool


def ranked_version(
    version: int,
    greater: NDArray[np.int64],
    documents: Sequence[int],
    scores: Mapping[int, float],
    versions: NDArray[np.int32],
    pool: LocalPool,
) -> RankedVersion:
    """Rank of a relevant version.

    :param version: its number.
    :param greater: versions certainly above it, by language: int64 [L].
    :param documents: those within the band of its value, its own among them, of versions that are not above the band.
    :param scores: the server's score of each document.
    :param versions: version of each document of the pool.
    :param pool: documents.
    """
    best: dict[int, tuple[float, int]] = {}
    for document in documents:
        # The greatest score first, then the first in the tie order.
        entry = (scores[document], -int(pool.order[document]))
        own = int(versions[document])
        best[own] = max(best.get(own, entry), entry)
    score, place = best.pop(version)
    tags = {own: pool.languages[pool.language[document]] for document in documents for own in [int(versions[document])]}
    higher = Counter({pool.languages[code]: int(count) for code, count in enumerate(greater.tolist()) if count})
    higher.update(tags[own] for own, (other, _) in best.items() if other > score)
    tied = Counter(tags[own] for own, (other, _) in best.items() if other == score)
    above = higher + Counter(tags[own] for own, (other, where) in best.items() if other == score and where > place)
    return RankedVersion(
        language=tags[version],
        rank=above.total() + 1,
        optimistic=higher.total() + 1,
        pessimistic=higher.total() + tied.total() + 1,
        above=dict(above),
        higher=dict(higher),
        tied=dict(tied),
    )


def first_hits(
    documents: Sequence[int], scores: Mapping[int, float], k: int, pool: LocalPool, view: IndexView, *, by_version: bool
) -> list[Hit]:
    """The first documents of a query, as `haystack_crossalign.opensearch.live.exact_top.exact_top` gives them.

    :param documents: all that may be among them.
    :param scores: the server's score of each.
    :param k: number of units.
    :param pool: documents.
    :param view: the pool on the server.
    :param by_version: whether units are versions.
    """
    hits = [
        Hit(pool.names[document], scores[document], pool.languages[pool.language[document]], pool.groups[document])
        for document in documents
    ]
    return best_units(hits, k, view.names.tie_key, by_version=by_version)


def first_version(
    hits: Sequence[Hit], ranked: Sequence[RankedVersion | None], view: IndexView, *, by_version: bool
) -> Top | None:
    """The version at rank 1 and those that tie with it; None if the query has no relevant version in the pool.

    :param hits: from `first_hits`.
    :param ranked: its relevant versions.
    :param view: the pool on the server.
    :param by_version: whether versions are ranked.
    """
    there = [version for version in ranked if version is not None]
    if not there:
        return None
    if view.fields.language is None and not by_version:
        # As the server's counts have it: of one language, ties at rank 1 are known only with a relevant document there.
        tag = view.tag(None)
        first = [version for version in there if version.optimistic == 1]
        return Top(tag, {tag: first[0].pessimistic if first else 1})
    return Top(hits[0].language, Counter(hit.language for hit in hits if hit.score == hits[0].score))
