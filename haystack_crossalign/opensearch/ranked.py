"""From the counts of single relevant versions to the table that measures read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from haystack_crossalign.ranks.table import ABSENT, RankTable

__all__ = ["Counted", "RankedVersion", "Unranked", "build_table"]


@dataclass(frozen=True)
class RankedVersion:
    """Rank of one relevant version and what stands above it.

    :param language: its normalised language.
    :param rank: rank under the tie rule.
    :param optimistic: rank if every tie fell in its favour.
    :param pessimistic: rank if every tie fell against it.
    :param above: versions ahead of it under the tie rule, by language.
    """

    language: str
    rank: int
    optimistic: int
    pessimistic: int
    above: Mapping[str, int]


@dataclass(frozen=True)
class Unranked:
    """A relevant version that the pool does not hold.

    :param query: number of the query, from 0.
    :param name: id of the document, or name of the group.
    :param reason: ``not in the index``, ``outside of the filter`` or ``no vector``.
    """

    query: int
    name: str
    reason: str


@dataclass(frozen=True)
class Counted:
    """Ranks counted on a cluster.

    :param table: ranks in the order of the relevant versions given; `ABSENT` for those in `unranked`.
    :param unranked: relevant versions without a rank; empty where all is well.
    """

    table: RankTable
    unranked: tuple[Unranked, ...]


def build_table(
    ranked: Sequence[Sequence[RankedVersion | None]],
    *,
    query_languages: Sequence[str],
    pool_languages: Sequence[str],
    pool_size: int,
    top: Sequence[str | None] | None,
) -> RankTable:
    """The ranks of all queries as arrays.

    :param ranked: relevant versions of each query, None for one that has no rank.
    :param query_languages: language of each query; may be one that the pool lacks.
    :param pool_languages: languages of the pool.
    :param pool_size: number of versions in the pool.
    :param top: language at rank 1 of each query, or None where it was not asked for.
    """
    languages = tuple(sorted({*query_languages, *pool_languages}))
    code = {tag: number for number, tag in enumerate(languages)}
    shape = (len(ranked), max((len(row) for row in ranked), default=0))
    relevant_languages = np.full(shape, -1, dtype=np.int32)
    ranks, optimistic, pessimistic = (np.full(shape, ABSENT, dtype=np.int32) for _ in range(3))
    above = np.zeros((*shape, len(languages)), dtype=np.int32)
    for query, row in enumerate(ranked):
        for column, version in enumerate(row):
            if version is None:
                continue
            relevant_languages[query, column] = code[version.language]
            ranks[query, column] = version.rank
            optimistic[query, column] = version.optimistic
            pessimistic[query, column] = version.pessimistic
            for tag, count in version.above.items():
                above[query, column, code[tag]] = count
    return RankTable(
        languages=languages,
        query_languages=np.array([code[tag] for tag in query_languages], dtype=np.int32),
        relevant_languages=relevant_languages,
        ranks=ranks,
        optimistic=optimistic,
        pessimistic=pessimistic,
        above=above,
        pool_languages=tuple(sorted(code[tag] for tag in pool_languages)),
        pool_size=pool_size,
        top_language=(
            None if top is None else np.array([-1 if tag is None else code[tag] for tag in top], dtype=np.int32)
        ),
    )
