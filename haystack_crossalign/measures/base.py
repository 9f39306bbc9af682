"""What all measures share: their interface, the values they return, and arrays derived once from a rank table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import check_whole
from haystack_crossalign.ranks.table import CENSORED, RankTable

Direction = Literal[-1, 0, 1]
"""+1: higher is better; -1: lower is better; 0: neither."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Ranks = NDArray[np.int32]

_LARGEST_CUTOFF = 999_999_999
"""It and the next number fit into the 32 bits of a rank."""

UNRANKED = np.iinfo(np.int32).max
""""No known rank" when taking a minimum: larger than any rank."""

NO_RELEVANT = "the query has no relevant version in the pool"


@dataclass(frozen=True, eq=False)
class QueryValues:
    """Values of one measure, one per query, and the reasons for nulls.

    There are two kinds of null: a query to which the measure does not apply (no version in that language, more versions
    than the cut-off), and a query whose value is hidden because its list was cut. A mean may leave out the first kind
    but never the second: hidden values are mostly failures, so a mean over the others would flatter the system.

    :param values: float64 [Q], NaN if null.
    :param censored: bool [Q], null because a list was cut; everywhere else a NaN means "does not apply".
    :param inapplicable: why the measure does not apply to some queries; None if it applies to all.
    :param hidden: why a cut list hides values; None if it hides none.
    """

    values: Floats
    censored: Bools
    inapplicable: str | None = None
    hidden: str | None = None

    @property
    def reason(self) -> str | None:
        """Why values are null; None if none is."""
        return "; ".join(part for part in (self.inapplicable, self.hidden) if part) or None


class Measure(ABC):
    """A measure: a pure function from a rank table to one value per query.

    Measures are frozen dataclasses: equal if their names are equal, usable as keys.
    """

    title: str
    """The measure, or its family, as a glossary shows it."""
    definition: str
    """What it is, in plain words."""
    unit: Literal["share", "rank", "count", "correlation"] = "share"
    """``share``: 0..1, shown in percent. ``rank``: medians and percentiles are useful, and a cut list bounds it
    below. ``count``: a number from 0 on. ``correlation``: -1..1.
    """
    direction: Direction = 1
    """Whether higher is better."""

    def __post_init__(self) -> None:
        """Refuse a cut-off that `parse_measure` would not read."""
        if (cutoff := getattr(self, "cutoff", None)) is not None:
            check_whole(cutoff, field="cutoff", least=1, most=_LARGEST_CUTOFF)

    @property
    @abstractmethod
    def name(self) -> str:
        """Name as `parse_measure` reads it and as every output prints it."""

    def best(self, relevant_per_query: float) -> float | None:  # noqa: ARG002 - of use to some measures only
        """The best mean that the measure can have; None if neither direction is good.

        :param relevant_per_query: mean number of relevant versions of a query.
        """
        if self.direction == 0:
            return None
        return 0.0 if self.direction < 0 else 1.0

    def per_query(self, table: RankTable) -> QueryValues:
        """Value of every query of a table.

        :param table: ranks of Q queries.
        :returns: float64 [Q] values with NaN for null, and the reason.
        """
        return self.compute(Facts(table))

    @abstractmethod
    def compute(self, facts: Facts) -> QueryValues:
        """Value of every query, from arrays that several measures share; see `evaluate`."""

    def __str__(self) -> str:
        return self.name


class Facts:
    """Arrays derived from one rank table, each computed on first use.

    Their layout is [R, Q], so that a reduction over the few versions is vectorized over the many queries.

    :param table: the rank table; must not change while this object lives.
    """

    def __init__(self, table: RankTable) -> None:
        self.table = table
        self.queries = int(table.ranks.shape[0])

    @cached_property
    def ranks(self) -> Ranks:
        """Ranks with their markers, int32 [R, Q]."""
        return np.ascontiguousarray(self.table.ranks.T)

    @cached_property
    def languages(self) -> Ranks:
        """Language codes of the relevant versions, -1 if absent, int32 [R, Q]."""
        return np.ascontiguousarray(self.table.relevant_languages.T)

    @cached_property
    def present(self) -> Bools:
        """Where a relevant version exists, bool [R, Q]."""
        return self.languages >= 0

    @cached_property
    def relevant(self) -> Integers:
        """Number of relevant versions of each query, |R_q|, int64 [Q]."""
        result: Integers = self.present.sum(axis=0)
        return result

    @cached_property
    def none_relevant(self) -> Bools:
        """Queries without any relevant version, bool [Q]: no measure applies to them."""
        result: Bools = self.relevant == 0
        return result

    @cached_property
    def known(self) -> Bools:
        """Where a rank is known, bool [R, Q]."""
        return self.ranks > 0

    @cached_property
    def censored(self) -> Bools:
        """Where a relevant version lies beyond the end of its list, bool [R, Q]."""
        result: Bools = self.ranks == CENSORED
        return result

    @cached_property
    def missing(self) -> Integers:
        """Number of censored versions of each query, int64 [Q]."""
        result: Integers = self.censored.sum(axis=0)
        return result

    @cached_property
    def depth(self) -> Integers:
        """Length of each query's list, int64 [Q]; 0 (and never read) for exact ranks."""
        if self.table.depth is None:
            return np.zeros(self.queries, dtype=np.int64)
        return self.table.depth.astype(np.int64)

    @cached_property
    def ended(self) -> Bools:
        """Queries whose list ended by itself, so that versions it lacks were never found: bool [Q]."""
        if self.table.ended is None:
            return np.zeros(self.queries, dtype=bool)
        return self.table.ended

    @cached_property
    def nothing_found(self) -> Bools:
        """Queries whose list is empty, bool [Q]; all False if that was not recorded."""
        if self.table.depth is None or self.table.top_language is None:
            return np.zeros(self.queries, dtype=bool)
        result: Bools = self.table.top_language < 0
        return result

    @cached_property
    def last(self) -> Ranks:
        """Largest known rank, int32 [Q]; 0 or less if none is known."""
        result: Ranks = self.ranks.max(axis=0, initial=CENSORED)
        return result

    @cached_property
    def first(self) -> Ranks:
        """Smallest known rank, int32 [Q]; `UNRANKED` if none is known."""
        return self.best(self.known)

    @cached_property
    def same(self) -> Bools:
        """Where a relevant version is in the query's language, bool [R, Q]."""
        result: Bools = np.logical_and(self.present, self.languages == self.table.query_languages)
        return result

    @cached_property
    def own_ranks(self) -> Ranks:
        """Known ranks of the versions in the query's language, `UNRANKED` elsewhere, int32 [R, Q]."""
        return self.ranks_where(self.same & self.known)

    @cached_property
    def own(self) -> Ranks:
        """Smallest known rank in the query's language, int32 [Q]; `UNRANKED` if none is known."""
        result: Ranks = self.own_ranks.min(axis=0, initial=UNRANKED)
        return result

    @cached_property
    def has_own(self) -> Bools:
        """Queries with a relevant version in their own language, bool [Q]."""
        result: Bools = np.logical_or.reduce(self.same, axis=0)
        return result

    def ranks_where(self, mask: Bools) -> Ranks:
        """Ranks where ``mask`` (bool [R, Q]) holds and `UNRANKED` elsewhere, int32 [R, Q]."""
        return np.where(mask, self.ranks, np.int32(UNRANKED))

    def best(self, mask: Bools) -> Ranks:
        """Smallest rank among the versions where ``mask`` (bool [R, Q]) holds, int32 [Q]; `UNRANKED` if there are
        none.
        """
        result: Ranks = self.ranks_where(mask).min(axis=0, initial=UNRANKED)
        return result

    def why_trivial(self, cutoff: int) -> str | None:
        """Why a share of the top ``cutoff`` says nothing here: the whole pool fits into it; None where it does not.

        Exact ranks only. A list that a search returned may lack what the pool holds.
        """
        size = self.table.pool_size
        if self.table.depth is not None or size is None or size > cutoff:
            return None
        return f"the pool holds {size} versions, and any ranking has all of them in the top {cutoff}"

    def reaches(self, cutoff: int) -> Bools:
        """Queries whose top ``cutoff`` is known, bool [Q]: no version is missing, the list ended by itself, or it is so
        long that missing versions rank below the cut-off.
        """
        return np.where(self.missing > 0, (self.depth >= cutoff) | self.ended, True)


def column_sums(rows: Floats) -> Floats:
    """Sums over the versions of each query, added in their order.

    ``sum(axis=0)`` adds pairwise if a table has one query and one by one if it has several, so that the last digit of
    a value would depend on the other queries.

    :param rows: float64 [R, Q].
    :returns: float64 [Q].
    """
    total = np.zeros(rows.shape[1:], dtype=np.float64)
    for row in rows:
        total += row
    return total


def query_values(
    facts: Facts,
    values: NDArray[np.generic],
    *,
    inapplicable: Bools | None = None,
    why: str = "",
    censored: Bools | None = None,
    remedy: str = "",
) -> QueryValues:
    """Set the nulls in the values of one measure, with reasons.

    :param facts: the arrays the values came from.
    :param values: number or bool [Q]; used only where neither mask holds.
    :param inapplicable: bool [Q], queries to which the measure does not apply; wins over ``censored``.
    :param why: why it does not apply.
    :param censored: bool [Q], queries whose value a cut list hides.
    :param remedy: what would make the value known, in a few words.
    """
    numbers = np.array(values, dtype=np.float64)
    reasons = [NO_RELEVANT] if facts.none_relevant.any() else []
    away = facts.none_relevant
    if inapplicable is not None:
        if (inapplicable & ~away).any():
            reasons.append(why)
        away = away | inapplicable
    numbers[away] = np.nan
    if censored is None or not (unknown := censored & ~away).any():
        return QueryValues(numbers, np.zeros(facts.queries, dtype=bool), "; ".join(reasons) or None)
    numbers[unknown] = np.nan
    listed = unknown & ~facts.nothing_found
    depths = facts.depth[listed if listed.any() else unknown]
    low, high = int(depths.min()), int(depths.max())
    hidden = f"unknown for {int(unknown.sum())} of {facts.queries} queries: "
    empty = int((unknown & facts.nothing_found).sum())
    if empty:
        hidden += f"{empty} found nothing" if empty < unknown.sum() else "they found nothing"
    if empty < unknown.sum():
        hidden += (
            f"{'; the other' if empty else 'their'} lists end at depth {low if low == high else f'{low} to {high}'} "
            "before the relevant versions that decide it"
        )
    return QueryValues(numbers, unknown, "; ".join(reasons) or None, f"{hidden} ({remedy})" if remedy else hidden)


def evaluate(table: RankTable, measures: Iterable[Measure]) -> dict[str, QueryValues]:
    """Compute several measures, sharing derived arrays.

    :param table: ranks of Q queries.
    :param measures: the measures; a repeated name is computed once.
    :returns: `QueryValues` by measure name, in the given order.
    """
    facts = Facts(table)
    return {measure.name: measure.compute(facts) for measure in dict.fromkeys(measures)}


def select_queries(table: RankTable, queries: NDArray[np.bool_] | NDArray[np.integer]) -> RankTable:
    """Restrict a table to some of its queries, for example those in one language.

    :param table: ranks of Q queries.
    :param queries: bool [Q] mask, or indices.
    """
    return replace(
        table,
        query_languages=table.query_languages[queries],
        relevant_languages=table.relevant_languages[queries],
        ranks=table.ranks[queries],
        optimistic=table.optimistic[queries],
        pessimistic=table.pessimistic[queries],
        above=table.above[queries],
        depth=None if table.depth is None else table.depth[queries],
        ended=None if table.ended is None else table.ended[queries],
        top_language=None if table.top_language is None else table.top_language[queries],
        gain_ranks=None if table.gain_ranks is None else table.gain_ranks[queries],
        gains=None if table.gains is None else table.gains[queries],
        gain_optimistic=None if table.gain_optimistic is None else table.gain_optimistic[queries],
        gain_pessimistic=None if table.gain_pessimistic is None else table.gain_pessimistic[queries],
        top_versions=None if table.top_versions is None else table.top_versions[queries],
        higher=None if table.higher is None else table.higher[queries],
        tied=None if table.tied is None else table.tied[queries],
        top_lists=None if table.top_lists is None else table.top_lists.select(queries),
        further=None if table.further is None else table.further[queries],
    )
