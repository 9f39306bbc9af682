"""Common relevance measures: NDCG@K with graded gains; MRR and Recall@K with binary relevance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.measures.base import UNRANKED, Facts, Measure, QueryValues, column_sums, query_values
from haystack_crossalign.ranks.table import CENSORED


@dataclass(frozen=True)
class NDCG(Measure):
    """NDCG@K: discounted gain of the versions in the top K, divided by that of the ideal ranking.

    DCG@K(q) = sum over versions with rank i <= K of g / log2(i + 1). The gain g is linear: the grade of the version,
    even if it is below the least grade of a relevant version; 1 for each relevant version if judgments have no grades.
    The ideal ranking sorts the versions by gain. Source: Järvelin and Kekäläinen 2002, in the form of trec_eval's
    ``ndcg_cut``. Unknown if a version is missing from a list shorter than K.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    title = "NDCG@K"
    definition = (
        "Normalized discounted cumulative gain of the top K. The gain of a version is its grade (linear, as "
        "in trec_eval's ndcg_cut), and 1 where judgments have no grades."
    )

    @property
    def name(self) -> str:
        """NDCG@K."""
        return f"NDCG@{self.cutoff}"

    def compute(self, facts: Facts) -> QueryValues:
        """NDCG of each query, 0..1."""
        if facts.table.gains is not None and facts.table.gain_ranks is not None:
            return self._graded(facts, facts.table.gain_ranks.T, facts.table.gains.T)
        discount, ideal = discounts(facts, self.cutoff)
        gained = column_sums(discount[np.clip(facts.ranks, 0, discount.size - 1)])
        best = ideal[np.minimum(facts.relevant, ideal.size - 1)]
        return query_values(
            facts,
            gained / np.where(facts.none_relevant, 1.0, best),
            censored=~facts.reaches(self.cutoff),
            remedy=f"it needs lists of depth {self.cutoff}",
        )

    def _graded(self, facts: Facts, ranks: NDArray[np.int32], gains: NDArray[np.float64]) -> QueryValues:
        """NDCG from ranks and gains, each [G, Q]."""
        size = min(self.cutoff, max(int(ranks.max(initial=0)), ranks.shape[0]))
        steps = 1.0 / np.log2(np.arange(2, size + 2, dtype=np.float64))
        discount = np.concatenate((np.zeros(1), steps, np.zeros(1)))
        gained = column_sums(discount[np.clip(ranks, 0, size + 1)] * gains)
        most = min(size, gains.shape[0])
        best = column_sums(-np.sort(-gains, axis=0)[:most] * steps[:most, None])
        missing = (ranks == CENSORED).any(axis=0)
        return query_values(
            facts,
            gained / np.where(best > 0, best, 1.0),
            censored=missing & (facts.depth < self.cutoff) & ~facts.ended,
            remedy=f"it needs lists of depth {self.cutoff}",
        )


@dataclass(frozen=True)
class MRR(Measure):
    """MRR: mean reciprocal rank of the first relevant version.

    RR(q) = 1 / min { i : d_i in R_q }; with a cut-off K it is 0 if that rank is above K. Without a cut-off it is
    unknown if a cut list holds no relevant version: counting 0 would be RR at the depth of the list, which differs from
    list to list. MRR@K is known if the lists have at least K entries. A list that ended by itself without a relevant
    version counts 0, as usual.

    :param cutoff: K, at least 1, or None.
    """

    cutoff: int | None = None

    title = "MRR"
    definition = "Mean of 1 / rank of the first relevant version, in any language."

    @property
    def name(self) -> str:
        """MRR or MRR@K."""
        return "MRR" if self.cutoff is None else f"MRR@{self.cutoff}"

    def compute(self, facts: Facts) -> QueryValues:
        """Reciprocal rank of each query, 0..1."""
        first = facts.first
        lost = (first == UNRANKED) & (facts.missing > 0) & ~facts.ended
        reciprocal = np.where(first == UNRANKED, 0.0, 1.0 / first)
        if self.cutoff is None:
            remedy = "MRR@K with K up to the shortest list is known"
            return query_values(facts, reciprocal, censored=lost, remedy=remedy)
        return query_values(
            facts,
            np.where(first <= self.cutoff, reciprocal, 0.0),
            censored=lost & (facts.depth < self.cutoff),
            remedy=f"it needs lists of depth {self.cutoff}",
        )


@dataclass(frozen=True)
class Recall(Measure):
    """Recall@K: share of the relevant versions that are in the top K.

    Recall@K(q) = |{ d in R_q : rank(d) <= K }| / |R_q|. Unknown where a version is missing from a list shorter than K.
    Null for exact ranks in a pool of K versions or fewer, where it is 1 whatever the order.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    title = "Recall@K"
    definition = "Share of the relevant versions that stand in the top K, averaged over queries."

    @property
    def name(self) -> str:
        """Recall@K."""
        return f"Recall@{self.cutoff}"

    def best(self, relevant_per_query: float) -> float:
        """1, or the share that fits into the top K."""
        return min(1.0, self.cutoff / relevant_per_query)

    def compute(self, facts: Facts) -> QueryValues:
        """Recall of each query, 0..1."""
        if (trivial := facts.why_trivial(self.cutoff)) is not None:
            return query_values(facts, facts.last, inapplicable=np.ones(facts.queries, dtype=bool), why=trivial)
        retrieved = (facts.known & (facts.ranks <= self.cutoff)).sum(axis=0)
        return query_values(
            facts,
            retrieved / np.maximum(facts.relevant, 1),
            censored=~facts.reaches(self.cutoff),
            remedy=f"it needs lists of depth {self.cutoff}",
        )


def discounts(facts: Facts, cutoff: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lookup tables of the discounts of ranks up to a cut-off.

    :param facts: determines how many ranks are needed, so that a huge cut-off costs nothing.
    :param cutoff: K.
    :returns: (discount, ideal): discount[i] = 1 / log2(i + 1) for 1 <= i <= K, and 0 for i = 0 and for the last index,
        which is used for every deeper rank; ideal[n] = the sum of the first n discounts.
    """
    deepest = max(int(facts.last.max(initial=0)), facts.ranks.shape[0])
    size = min(cutoff, deepest)
    steps = 1.0 / np.log2(np.arange(2, size + 2, dtype=np.float64))
    zero = np.zeros(1)
    return np.concatenate((zero, steps, zero)), np.concatenate((zero, np.cumsum(steps)))
