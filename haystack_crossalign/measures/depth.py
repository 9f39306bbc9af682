"""How deep one must read: Max@R, Max@R_norm, Complete@K and the rank of each language's version."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.measures.base import Facts, Measure, QueryValues, query_values
from haystack_crossalign.ranks.table import RankTable


@dataclass(frozen=True)
class MaxAtR(Measure):
    """Max@R: the rank at which the last relevant version is seen.

    Max@R(q) = max { i : d_i in R_q }, from 1; the best value is |R_q|. Lower is better. Source: arXiv 2604.05684. Null
    if a relevant version lies beyond the end of the list; see `max_at_r_lower_bound`.
    """

    title = "Max@R"
    definition = (
        "How deep one must read to have seen every relevant version: the largest rank among them, averaged "
        "over queries. Lower is better; the best value is the number of relevant versions."
    )
    unit = "rank"
    direction = -1

    @property
    def name(self) -> str:
        """Max@R."""
        return "Max@R"

    def best(self, relevant_per_query: float) -> float:
        """The number of relevant versions."""
        return relevant_per_query

    def compute(self, facts: Facts) -> QueryValues:
        """Largest rank of each query's relevant versions."""
        return query_values(facts, facts.last, censored=facts.missing > 0)


@dataclass(frozen=True)
class MaxAtRNorm(Measure):
    """Max@R_norm: Max@R on a logarithmic scale from the bottom of the pool (0) to a perfect ranking (1).

    Max@R_norm(q) = (log2 |D| - log2 Max@R(q)) / (log2 |D| - log2 |R_q|), |D| being the number of versions in the pool.
    Source: arXiv 2604.05684, which prints it times 100. Null if the pool size is not known, if the pool holds only the
    relevant versions (the formula is 0/0), or if Max@R is null.
    """

    title = "Max@R_norm"
    definition = (
        "Max@R on a logarithmic scale between the bottom of the pool (0 %) and perfect (100 %): (log2 pool "
        "size - log2 Max@R) / (log2 pool size - log2 number of relevant versions), averaged over queries."
    )

    @property
    def name(self) -> str:
        """Max@R_norm."""
        return "Max@R_norm"

    def compute(self, facts: Facts) -> QueryValues:
        """Normalized Max@R of each query, 0..1."""
        size = facts.table.pool_size
        if size is None:
            everywhere = np.ones(facts.queries, dtype=bool)
            return query_values(facts, facts.last, inapplicable=everywhere, why="the size of the pool is not known")
        whole = facts.relevant >= size
        usable = (facts.last > 0) & ~whole & ~facts.none_relevant
        last = np.where(usable, facts.last, 1)
        relevant = np.where(usable, facts.relevant, 1)
        # If no value is usable, the pool may have size 1: avoid 0/0 in a quotient that is not used.
        span = np.where(usable, np.log2(size / relevant), 1.0)
        return query_values(
            facts,
            np.log2(size / last) / span,
            inapplicable=whole,
            why="the pool holds nothing but the relevant versions of the query",
            censored=facts.missing > 0,
        )


@dataclass(frozen=True)
class Complete(Measure):
    """Complete@K: share of queries whose relevant versions are all in the top K.

    Complete@K(q) = 1 if Max@R(q) <= K else 0 (arXiv 2604.05684 uses K = 10). Null for queries with more than K relevant
    versions, which cannot all fit, and for exact ranks in a pool of K versions or fewer, where it is 1 in any order.
    If a cut list of length n lacks m versions, the last of them ranks at n + m or deeper: the value is 0 if n + m > K
    and unknown otherwise. It is 0 if a list that ended by itself lacks a version.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    title = "Complete@K"
    definition = "Share of queries whose relevant versions all stand in the top K. 100 % is perfect."

    @property
    def name(self) -> str:
        """Complete@K."""
        return f"Complete@{self.cutoff}"

    def compute(self, facts: Facts) -> QueryValues:
        """1 or 0 for each query."""
        if (trivial := facts.why_trivial(self.cutoff)) is not None:
            return query_values(facts, facts.last, inapplicable=np.ones(facts.queries, dtype=bool), why=trivial)
        too_many = facts.relevant > self.cutoff
        missing = facts.missing > 0
        return query_values(
            facts,
            (facts.last <= self.cutoff) & ~missing,
            inapplicable=too_many,
            why=self._too_many(facts.relevant[too_many]),
            censored=missing & (facts.depth + facts.missing <= self.cutoff) & ~facts.ended,
            remedy=f"it needs lists of depth {self.cutoff}",
        )

    def _too_many(self, relevant: NDArray[np.int64]) -> str:
        if not relevant.size:
            return ""
        low, high = int(relevant.min()), int(relevant.max())
        return f"{low if low == high else f'{low} to {high}'} versions do not fit into the top {self.cutoff}"


@dataclass(frozen=True)
class RankOf(Measure):
    """Rank[L]: the rank of the query's relevant version in language L.

    The smallest rank if several relevant versions are in L; null if none is. Lower is better.

    :param language: normalized BCP-47 tag.
    """

    language: str

    title = "Rank[L]"
    definition = "Mean rank of the relevant version in language L, over the queries that have one. 1 is perfect."
    unit = "rank"
    direction = -1

    @property
    def name(self) -> str:
        """Rank[L]."""
        return f"Rank[{self.language}]"

    def best(self, relevant_per_query: float) -> float | None:
        """1, the rank that only one version can have."""
        return None if relevant_per_query > 1 else 1.0

    def compute(self, facts: Facts) -> QueryValues:
        """Smallest rank among the relevant versions in the language."""
        there = facts.present & (facts.languages == language_code(facts.table, self.language))
        has = there.any(axis=0)
        # A missing version ranks beyond the end of the list, so a version in L that was found ranks better.
        ranked = (there & facts.known).any(axis=0)
        return query_values(
            facts,
            facts.best(there & facts.known),
            inapplicable=~has,
            why=f"no relevant version in {self.language}",
            censored=has & ~ranked,
        )


def language_code(table: RankTable, language: str) -> int:
    """Code of a language in a table, or -2, which matches no version."""
    return table.languages.index(language) if language in table.languages else -2


def max_at_r_lower_bound(table: RankTable) -> NDArray[np.float64]:
    """Lower bound of Max@R, float64 [Q]: its value if it is known, depth + 1 if a version lies deeper.

    :param table: ranks of Q queries, exact or from lists.
    """
    facts = Facts(table)
    bound = np.where(facts.missing > 0, facts.depth + 1, facts.last).astype(np.float64)
    bound[facts.none_relevant] = np.nan
    return bound
