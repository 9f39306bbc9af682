"""Build the rank table for measures from the counts of relevant versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.ranks.table import ABSENT, RankTable


@dataclass(frozen=True)
class RankedVersion:
    """Rank of a relevant version, and the versions above it.

    :param language: its normalized language.
    :param rank: rank under the tie rule.
    :param optimistic: rank if every tie fell in its favor.
    :param pessimistic: rank if every tie fell against it.
    :param above: versions ahead of it under the tie rule, by language.
    :param higher: versions with a greater score, by language.
    :param tied: other versions with its score, by language.
    """

    language: str
    rank: int
    optimistic: int
    pessimistic: int
    above: Mapping[str, int]
    higher: Mapping[str, int]
    tied: Mapping[str, int]


@dataclass(frozen=True)
class Top:
    """The version at rank 1 of a query.

    :param language: its language under the tie rule.
    :param versions: versions with its score, itself included, by language.
    """

    language: str
    versions: Mapping[str, int]


WITHOUT_VECTOR = "no vector"
"""Why a document has no exact rank, though a list that does not search vectors may find it."""

REASONS = (WITHOUT_VECTOR, "outside of the filter", "not in the index")
"""Why documents are not in the pool."""


@dataclass(frozen=True)
class Unranked:
    """A relevant version that is not in the pool.

    :param query: number of the query, from 0.
    :param name: id of the document, or name of the group.
    :param reason: one of `REASONS`, or another one where versions have several documents.
    """

    query: int
    name: str
    reason: str


@dataclass(frozen=True)
class Counted:
    """Ranks counted on a cluster.

    :param table: ranks in the order of the relevant versions given; `ABSENT` for those in `unranked`.
    :param unranked: relevant versions without a rank; empty if all is well.
    """

    table: RankTable
    unranked: tuple[Unranked, ...]


class TableBuilder:
    """The ranks of all queries as arrays, filled batch by batch, so that batches need not be stored.

    :param relevant: number of relevant versions of each query.
    :param query_languages: language of each query; may be one that the pool lacks.
    :param pool_languages: languages of the pool.
    :param top_language: whether the language at rank 1 was asked for.
    """

    def __init__(
        self,
        relevant: Sequence[int],
        *,
        query_languages: Sequence[str],
        pool_languages: Sequence[str],
        top_language: bool,
    ) -> None:
        self._languages = tuple(sorted({*query_languages, *pool_languages}))
        self._code = {tag: number for number, tag in enumerate(self._languages)}
        self._query_languages = np.array([self._code[tag] for tag in query_languages], dtype=np.int32)
        self._pool_languages = tuple(sorted(self._code[tag] for tag in pool_languages))
        shape = (len(relevant), max(relevant, default=0))
        self._relevant_languages = np.full(shape, -1, dtype=np.int32)
        self._ranks, self._optimistic, self._pessimistic = (np.full(shape, ABSENT, dtype=np.int32) for _ in range(3))
        self._above, self._higher, self._tied = (
            np.zeros((*shape, len(self._languages)), dtype=np.int32) for _ in range(3)
        )
        self._top = np.full(len(relevant), -1, dtype=np.int32) if top_language else None
        self._top_versions = np.zeros((len(relevant), len(self._languages)), dtype=np.int32)

    def fill(self, start: int, ranked: Sequence[Sequence[RankedVersion | None]], tops: Sequence[Top | None]) -> None:
        """Store the ranks of the next queries.

        :param start: number of the first of them.
        :param ranked: relevant versions of each query, None for one without a rank.
        :param tops: the version at rank 1 of each query, None if unknown.
        """
        for query, row in enumerate(ranked, start):
            for column, version in enumerate(row):
                if version is None:
                    continue
                self._relevant_languages[query, column] = code_of(self._code, version.language)
                self._ranks[query, column] = version.rank
                self._optimistic[query, column] = version.optimistic
                self._pessimistic[query, column] = version.pessimistic
                for counts, array in (
                    (version.above, self._above),
                    (version.higher, self._higher),
                    (version.tied, self._tied),
                ):
                    for tag, count in counts.items():
                        array[query, column, code_of(self._code, tag)] = count
        if self._top is None:
            return
        for query, top in enumerate(tops, start):
            if top is not None:
                self._top[query] = code_of(self._code, top.language)
                for tag, count in top.versions.items():
                    self._top_versions[query, code_of(self._code, tag)] = count

    def table(self, pool_size: int) -> RankTable:
        """The table.

        :param pool_size: number of versions in the pool.
        """
        has_ties = bool(self._tied.any())
        shared_top = self._top is not None and bool((self._top_versions.sum(axis=1) > 1).any())
        return RankTable(
            languages=self._languages,
            query_languages=self._query_languages,
            relevant_languages=self._relevant_languages,
            ranks=self._ranks,
            optimistic=self._optimistic,
            pessimistic=self._pessimistic,
            above=self._above,
            pool_languages=self._pool_languages,
            pool_size=pool_size,
            top_language=self._top,
            top_versions=self._top_versions if shared_top else None,
            higher=self._higher if has_ties else None,
            tied=self._tied if has_ties else None,
        )


def code_of(codes: Mapping[str, int], language: str) -> int:
    """Number of a language of the pool.

    :param codes: numbers of the languages that the pool had when it was counted.
    :param language: normalized tag.
    :raises ExternalError: the pool did not have it.
    """
    if language not in codes:
        raise ExternalError(
            f"a document in '{language}' appeared: the index changed while it was read; use a point in time, or start "
            "again"
        )
    return codes[language]
