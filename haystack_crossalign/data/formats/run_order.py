"""Decide whether the order of a TREC run is that of its scores or that of its ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks.ties import tie_key

ORDERS = ("score", "rank")
"""What a run can be ordered by."""


@dataclass(frozen=True)
class Contradictions:
    """Pairs of documents with adjacent ranks of which the lower-ranked one has the higher score.

    :param pairs: number of these pairs.
    :param of: pairs whose scores differ.
    :param line: 1-based line of the first such document.
    """

    pairs: int
    of: int
    line: int


class RunLine(NamedTuple):
    """Score, rank (None if it is not an integer) and 1-based line of a document in a list."""

    score: float
    rank: int | None
    number: int


def in_order(ranking: Mapping[str, RunLine], order: str | None) -> tuple[tuple[str, float], ...]:
    """The (document id, score) pairs of a list, best first.

    :param ranking: its lines by document id.
    :param order: ``rank`` or ``score`` to sort by one of them; None to sort by score, then by rank. Remaining ties are
        in the order of `haystack_crossalign.ranks.ties`.
    """
    keys: dict[str, tuple[float, ...]]
    if order == "rank":
        keys = {document: (line.rank or 0,) for document, line in ranking.items()}
    elif order == "score":
        keys = {document: (-line.score,) for document, line in ranking.items()}
    else:
        keys = {
            document: (-line.score, math.inf if line.rank is None else line.rank) for document, line in ranking.items()
        }
    if len(set(keys.values())) < len(keys):
        documents = sorted(keys, key=lambda document: (keys[document], tie_key(document)))
    else:
        documents = sorted(keys, key=keys.__getitem__)
    return tuple([(document, ranking[document].score) for document in documents])


def find_contradictions(rankings: Mapping[str, Mapping[str, RunLine]], path: Path) -> Contradictions | None:
    """Count pairs of adjacent ranks whose scores rise; None if there are none.

    :param rankings: for each query its lines by document id.
    :param path: the file, for messages.
    :raises InputError: if there are more of these than pairs whose scores fall.
    """
    rising, falling = 0, 0
    first: tuple[str, RunLine, RunLine] | None = None
    for query, ranking in rankings.items():
        lines = _by_rank(ranking)
        for before, after in pairwise(lines or ()):
            falling += after.score < before.score
            if after.score > before.score:
                rising += 1
                if first is None or after.number < first[2].number:
                    first = (query, before, after)
    if first is None:
        return None
    query, before, after = first
    if rising > falling:
        raise InputError(
            f"ranks and scores contradict each other ({rising} of {rising + falling} scores rise with the rank)",
            source=path,
            line=after.number,
            field="score",
            seen=f"{query}: {before.score:g} at rank {before.rank}, {after.score:g} at rank {after.rank}",
            allowed="--run-order rank where the scores are distances, --run-order score where the ranks mean nothing",
        )
    return Contradictions(rising, rising + falling, after.number)


def _by_rank(ranking: Mapping[str, RunLine]) -> list[RunLine] | None:
    """The lines of a list in the order of their ranks; None if these are not distinct integers."""
    lines = list(ranking.values())
    ranks = {line.rank for line in lines}
    if None in ranks or len(ranks) < len(lines):
        return None
    return sorted(lines, key=lambda line: line.rank or 0)


def check_ranks(rankings: Mapping[str, Mapping[str, RunLine]], path: Path) -> None:
    """Reject ranks that do not define an order.

    :param rankings: for each query its lines by document id.
    :param path: the file, for messages.
    :raises InputError: if the ranks of a query are not distinct integers.
    """
    for query, ranking in rankings.items():
        if _by_rank(ranking) is None:
            seen: set[int] = set()
            for line in ranking.values():
                if line.rank is None or line.rank in seen:
                    raise InputError(
                        "the ranks of a query do not order its documents",
                        source=path,
                        line=line.number,
                        field="rank",
                        seen=query if line.rank is None else f"{query}: rank {line.rank} again",
                        allowed="different whole numbers within each query, or --run-order score",
                    )
                seen.add(line.rank)


def rank_of(text: str) -> int | None:
    """The rank in a cell, None if it is not an integer."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
