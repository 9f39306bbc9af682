"""Fuse one list per language by rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from haystack import Document

RANK_OFFSET = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""


def interleaved(lists: Mapping[str, Sequence[Document]], *, first: str | None, top_k: int) -> list[Document]:
    """All first hits, then all second hits, and so on.

    This is reciprocal rank fusion of disjoint lists: the score is 1 / (60 + rank in its list), and hits of equal rank
    are in the order of the lists, with the user's own language first. Of a document in several lists, which has several
    languages, the best place counts.

    :param lists: hits by language, the best first.
    :param first: language whose list comes first; None or an unknown language for the given order.
    :param top_k: maximum number of documents.
    """
    order = sorted(lists, key=lambda name: name != first)
    depth = max((len(hits) for hits in lists.values()), default=0)
    fused: dict[str, Document] = {}
    for place in range(depth):
        for name in order:
            if place < len(lists[name]):
                hit = lists[name][place]
                fused.setdefault(hit.id, replace(hit, score=1.0 / (RANK_OFFSET + place + 1)))
    return list(fused.values())[:top_k]
