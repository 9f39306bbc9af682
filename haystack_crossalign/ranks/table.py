"""The one structure that every measure reads: ranks of the relevant versions of every query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ABSENT", "CENSORED", "RankTable"]

ABSENT = 0
"""Rank of a version that does not exist: padding of queries with fewer relevant versions than others."""

CENSORED = -1
"""Rank of a relevant version that lies below the depth at which a result list was cut: known to be > depth."""


@dataclass(frozen=True, eq=False)
class RankTable:
    """Ranks of the relevant versions of Q queries, each with up to R of them, over L languages.

    A *version* is one (parallel group, language); with whole documents each document is a version of its own.
    Ranks start at 1 and follow the tie rule: score descending, then the seeded hash of the document id, which favors
    no language (`haystack_crossalign.ranks.ties`), or the ranks of a run file.

    :param languages: the L languages, as normalised BCP-47 tags; codes below index into it.
    :param query_languages: int32 [Q], code of each query's language (a language may have no document in the pool).
    :param relevant_languages: int32 [Q, R], code of each relevant version's language, -1 where absent.
    :param ranks: int32 [Q, R], rank under the tie rule, `ABSENT` or `CENSORED`.
    :param optimistic: int32 [Q, R], rank if every tie fell in the version's favour (same markers).
    :param pessimistic: int32 [Q, R], rank if every tie fell against it (same markers).
    :param above: int32 [Q, R, L], versions of each language ahead of the version under the tie rule, relevant ones
        included; for a censored version those of the whole list, which is a lower bound. 0 where absent. Over the
        last axis it sums to ``ranks - 1`` for known ranks.
    :param pool_languages: codes of the languages that the pool holds, ascending.
    :param pool_size: number of versions in the pool, or None where it is not known.
    :param depth: int32 [Q], number of versions in each result list, or None for exact ranks.
    :param ended: bool [Q], lists that ended by themselves, so that what they lack was never found; None for exact ranks
        and where every list was cut.
    :param top_language: int32 [Q], code of the language of the version at rank 1, -1 for an empty list; or None where
        it was not asked for.
    """

    languages: tuple[str, ...]
    query_languages: NDArray[np.int32]
    relevant_languages: NDArray[np.int32]
    ranks: NDArray[np.int32]
    optimistic: NDArray[np.int32]
    pessimistic: NDArray[np.int32]
    above: NDArray[np.int32]
    pool_languages: tuple[int, ...]
    pool_size: int | None = None
    depth: NDArray[np.int32] | None = None
    ended: NDArray[np.bool_] | None = None
    top_language: NDArray[np.int32] | None = None

    @property
    def relevant(self) -> NDArray[np.int64]:
        """Number of relevant versions of each query, |R_q|: int64 [Q]."""
        count: NDArray[np.int64] = (self.relevant_languages >= 0).sum(axis=1)
        return count
