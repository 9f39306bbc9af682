"""What every measure reads: ranks of the relevant versions of every query, and the first versions of whole lists."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ABSENT = 0
"""Rank of a version that does not exist: padding for queries with fewer relevant versions than others."""

CENSORED = -1
"""Rank of a relevant version beyond the depth at which a result list was cut: known only to be > depth."""


PADDING = -1
"""After the end of a list."""


@dataclass(frozen=True, eq=False)
class TopLists:
    """The first D versions of the lists of all A queries asked over one pool, and their parallel queries.

    Of a table of Q of these queries, `queries` says which they are, so that selecting queries keeps the lists of their
    translations.

    :param versions: int32 [A, D], codes of the versions, best first, `PADDING` after the end.
    :param languages: int32 [A, D], codes of their languages, `PADDING` after the end.
    :param complete: bool [A], whether the list has D versions or ended by itself; else it was cut before.
    :param queries: int64 [Q], rows of the table's queries.
    :param counterparts: int64 [Q, C], rows of the queries in other languages that are translations of each query,
        padded with `PADDING` on the right.
    """

    versions: NDArray[np.int32]
    languages: NDArray[np.int32]
    complete: NDArray[np.bool_]
    queries: NDArray[np.int64]
    counterparts: NDArray[np.int64]

    @property
    def depth(self) -> int:
        """D, the number of ranks that were recorded."""
        return int(self.versions.shape[1])

    def select(self, queries: NDArray[np.integer] | NDArray[np.bool_] | slice) -> TopLists:
        """The lists for some of the table's queries.

        :param queries: indices, bool [Q] mask, or slice.
        """
        return replace(self, queries=self.queries[queries], counterparts=self.counterparts[queries])

    def recoded(self, code: NDArray[np.int32]) -> TopLists:
        """The lists with other codes of languages.

        :param code: the new code of each language; the last one is that of `PADDING`.
        """
        return replace(self, languages=code[self.languages])

    def lengths(self, cutoff: int) -> NDArray[np.int64]:
        """Number of versions among the first ``cutoff`` of each list, int64 [A]."""
        result: NDArray[np.int64] = (self.versions[:, :cutoff] != PADDING).sum(axis=1)
        return result

    def reaches(self, cutoff: int) -> NDArray[np.bool_]:
        """Lists whose first ``cutoff`` versions are known, bool [A]: they have so many, or ended by themselves."""
        result: NDArray[np.bool_] = (self.lengths(cutoff) >= cutoff) | self.complete
        return result


@dataclass(frozen=True, eq=False)
class RankTable:
    """Ranks of the relevant versions of Q queries, each with up to R of them, over L languages.

    A *version* is a pair (parallel group, language); with unchunked documents each document is its own version. Ranks
    start at 1 and follow the tie rule: score descending, then the seeded hash of the document id, which favors no
    language (`haystack_crossalign.ranks.ties`), or follow a run file.

    :param languages: the L languages, as normalized BCP-47 tags; codes below index into it.
    :param query_languages: int32 [Q], code of each query's language (a language may have no document in the pool).
    :param relevant_languages: int32 [Q, R], code of each relevant version's language, -1 if absent.
    :param ranks: int32 [Q, R], rank under the tie rule, `ABSENT` or `CENSORED`.
    :param optimistic: int32 [Q, R], rank if every tie fell in the version's favor (same markers).
    :param pessimistic: int32 [Q, R], rank if every tie fell against it (same markers).
    :param above: int32 [Q, R, L], versions of each language ahead of the version under the tie rule, relevant ones
        included; for a censored version those of the whole list, which is a lower bound. 0 if absent. Over the
        last axis it sums to ``ranks - 1`` for known ranks.
    :param pool_languages: codes of the languages that the pool holds, ascending.
    :param pool_size: number of versions in the pool, or None if it is not known.
    :param depth: int32 [Q], number of versions in each result list, or None for exact ranks.
    :param ended: bool [Q], lists that ended by themselves, so that versions they lack were never found; None for exact
        ranks and if every list was cut.
    :param gain_ranks: int32 [Q, G], for graded judgments, the rank of every version with a gain above 0, including
        those below the least grade of a relevant version (same markers); None if every relevant version has gain 1.
    :param gains: float64 [Q, G], gains of these versions, 0 if absent.
    :param gain_optimistic: int32 [Q, G], their ranks if every tie fell in the version's favor; None as ``gain_ranks``.
    :param gain_pessimistic: int32 [Q, G], their ranks if every tie fell against it; None as ``gain_ranks``.
    :param top_language: int32 [Q], code of the language of the version at rank 1, -1 for an empty list; or None if it
        was not requested.
    :param top_versions: int32 [Q, L], versions of each language that share the greatest score, 0 for an empty list;
        None if it was not requested, or if no query has a tie at rank 1.
    :param higher: int32 [Q, R, L], versions of each language with a greater score than the version (for a censored
        version, those of the whole list); None if no relevant version ties, so that it equals ``above``.
    :param tied: int32 [Q, R, L], other versions of each language with the same score, 0 if absent or censored; None if
        no relevant version ties. Over the last axis it sums to ``pessimistic - optimistic``.
    :param top_lists: the first versions of the lists of all queries over the pool; None if no measure needs them.
    :param further: int32 [Q, R, R], where lists are counted in documents: how many further documents of each relevant
        version (last axis) are ahead of the version; they are among ``above`` but are not intruders. For a censored
        version those of the whole list, 0 if absent. None if versions are counted, or if no list has any.
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
    gain_ranks: NDArray[np.int32] | None = None
    gains: NDArray[np.float64] | None = None
    gain_optimistic: NDArray[np.int32] | None = None
    gain_pessimistic: NDArray[np.int32] | None = None
    top_versions: NDArray[np.int32] | None = None
    higher: NDArray[np.int32] | None = None
    tied: NDArray[np.int32] | None = None
    top_lists: TopLists | None = None
    further: NDArray[np.int32] | None = None

    @property
    def relevant(self) -> NDArray[np.int64]:
        """Number of relevant versions of each query, |R_q|: int64 [Q]."""
        count: NDArray[np.int64] = (self.relevant_languages >= 0).sum(axis=1)
        return count


def part_of(table: RankTable, queries: slice, languages: tuple[str, ...]) -> RankTable:
    """The table that exact ranks of some of the queries would have given.

    :param table: exact ranks without gains, with languages at rank 1.
    :param queries: the queries.
    :param languages: languages of the part, in the order of the table: at least those of the pool and of the queries.
    """
    columns = [table.languages.index(language) for language in languages]
    code = np.full(len(table.languages) + 1, -1, dtype=np.int32)  # the last is for the code -1
    code[columns] = np.arange(len(columns))
    relevant_languages = table.relevant_languages[queries]
    width = int((relevant_languages >= 0).sum(axis=1).max(initial=0))

    def by_language(counts: NDArray[np.int32] | None) -> NDArray[np.int32] | None:
        return None if counts is None else counts[queries, :width][:, :, columns]

    tied, higher = by_language(table.tied), by_language(table.higher)
    if tied is None or not tied.any():
        tied = higher = None
    top_versions = None if table.top_versions is None else table.top_versions[queries][:, columns]
    if top_versions is not None and (top_versions.sum(axis=1) <= 1).all():
        top_versions = None
    return replace(
        table,
        languages=languages,
        query_languages=code[table.query_languages[queries]],
        relevant_languages=code[relevant_languages[:, :width]],
        ranks=table.ranks[queries, :width],
        optimistic=table.optimistic[queries, :width],
        pessimistic=table.pessimistic[queries, :width],
        above=table.above[queries, :width][:, :, columns],
        pool_languages=tuple(code[list(table.pool_languages)].tolist()),
        top_language=None if table.top_language is None else code[table.top_language[queries]],
        top_versions=top_versions,
        higher=higher,
        tied=tied,
        top_lists=None if table.top_lists is None else table.top_lists.select(queries).recoded(code),
    )


def with_gains(table: RankTable, gains: NDArray[np.float64], level: float) -> RankTable:
    """Reduce a table of all versions with a gain to the relevant ones, keeping the gains.

    :param table: ranks of every version with a gain above 0, [Q, G].
    :param gains: float64 [Q, G], gains of these versions, 0 if absent.
    :param level: least gain of a relevant version.
    :returns: the table with `gain_ranks` and `gains`, in which only relevant versions have ranks and languages, in the
        same order.
    """
    present = table.relevant_languages >= 0
    relevant = present & (gains >= level)
    graded = replace(
        table,
        gain_ranks=table.ranks,
        gains=np.where(present, gains, 0.0),
        gain_optimistic=table.optimistic,
        gain_pessimistic=table.pessimistic,
    )
    if (relevant == present).all():
        return graded
    width = int(relevant.sum(axis=1).max(initial=0))
    order = np.argsort(~relevant, axis=1, kind="stable")[:, :width]
    kept = np.take_along_axis(relevant, order, axis=1)

    def taken(column: NDArray[np.int32], absent: int) -> NDArray[np.int32]:
        return np.where(kept, np.take_along_axis(column, order, axis=1), np.int32(absent))

    def by_language(column: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.where(kept[:, :, None], np.take_along_axis(column, order[:, :, None], axis=1), 0)

    return replace(
        graded,
        relevant_languages=taken(table.relevant_languages, -1),
        ranks=taken(table.ranks, ABSENT),
        optimistic=taken(table.optimistic, ABSENT),
        pessimistic=taken(table.pessimistic, ABSENT),
        above=by_language(table.above),
        higher=None if table.higher is None else by_language(table.higher),
        tied=None if table.tied is None else by_language(table.tied),
        further=None if table.further is None else _square(table.further, order, kept),
    )


def top_lists(
    versions: NDArray[np.int32],
    languages: NDArray[np.int32],
    complete: NDArray[np.bool_],
    query_languages: Sequence[Hashable],
    parallel: NDArray[np.int64],
) -> TopLists:
    """Lists of all queries over a pool, for a table of all of them.

    :param versions: int32 [A, D], see `TopLists`; likewise ``languages`` and ``complete``.
    :param query_languages: language of each query.
    :param parallel: int64 [A], number of the group of translations of each query, -1 for none.
    """
    members: dict[int, list[int]] = {}
    for row, group in enumerate(parallel.tolist()):
        if group >= 0:
            members.setdefault(group, []).append(row)
    others = [
        [other for other in members.get(group, ()) if query_languages[other] != query_languages[row]]
        for row, group in enumerate(parallel.tolist())
    ]
    counterparts = np.full((len(others), max(map(len, others), default=0)), PADDING, dtype=np.int64)
    for row, found in enumerate(others):
        counterparts[row, : len(found)] = found
    return TopLists(versions, languages, complete, np.arange(len(others)), counterparts)


def parallel_groups(groups: Sequence[Hashable | None], query_languages: Sequence[Hashable]) -> NDArray[np.int64]:
    """Numbers of the groups of queries that are translations of each other, int64 [A].

    -1 for queries without a group, and for groups with two queries in one language, in which pairs are ambiguous.

    :param groups: the group of each query; None for none.
    :param query_languages: language of each query.
    """
    seen: set[tuple[Hashable, Hashable]] = set()
    ambiguous: set[Hashable] = set()
    for key in zip(groups, query_languages, strict=True):
        if key in seen:
            ambiguous.add(key[0])
        seen.add(key)
    number: dict[Hashable, int] = {}
    return np.array(
        [-1 if group is None or group in ambiguous else number.setdefault(group, len(number)) for group in groups],
        dtype=np.int64,
    )


def _square(counts: NDArray[np.int32], order: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Counts [Q, R, R] of versions in another order, 0 where a version is not kept."""
    taken = np.take_along_axis(np.take_along_axis(counts, order[:, :, None], axis=1), order[:, None, :], axis=2)
    return np.where(kept[:, :, None] & kept[:, None, :], taken, np.int32(0))
