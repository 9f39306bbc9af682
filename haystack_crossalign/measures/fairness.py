"""Measures of fairness between document languages: equal expected rank, and recall of the other languages."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from haystack_crossalign.measures.base import Bools, Facts, Measure, QueryValues, query_values


@dataclass(frozen=True)
class EqualExpectedRank(Measure):
    """PEER@K: Probability of Equal Expected Rank of the relevant versions in different languages.

    The p-value of a Kruskal-Wallis test of the ranks r of the N relevant versions, grouped by their L languages::

        H = (N - 1) * sum over languages of n (mean r of the language - mean r)^2 / sum over versions of (r - mean r)^2
        PEER = P(chi-square with L - 1 degrees of freedom > H)

    1 if all ranks are equal, and if all relevant versions are in one language, where nothing can be unfair. Relevant
    versions below rank K share the rank K + 1. Where every language has exactly one relevant version, H is L - 1
    whatever the order, so that the value would say nothing: null, as for most fully parallel pools. Source: Yang,
    Jänich, Mayfield and Lawrie, "Language Fairness in Multilingual Information Retrieval" (SIGIR 2024, arXiv
    2405.00978), with weight 1 for relevant versions; their implementation gives versions below rank K the mean of the
    ranks N + 1 to N + (number of these), which can be a better rank than those of versions that were found.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    title = "Probability of Equal Expected Rank (PEER@K)"
    definition = (
        "How compatible the ranks of a query's relevant versions are with no difference between their languages "
        "(p-value of a Kruskal-Wallis test; versions below rank K share rank K + 1). 100 % is fair. It needs queries "
        "with several relevant versions in one language."
    )

    @property
    def name(self) -> str:
        """PEER@K."""
        return f"PEER@{self.cutoff}"

    def compute(self, facts: Facts) -> QueryValues:
        """The p-value of each query, 0..1."""
        present = facts.present
        ranks = np.where(facts.known & (facts.ranks <= self.cutoff), facts.ranks, self.cutoff + 1).astype(np.float64)
        numbers = np.maximum(facts.relevant, 1)
        mean = np.where(present, ranks, 0.0).sum(axis=0) / numbers
        total = np.where(present, (ranks - mean) ** 2, 0.0).sum(axis=0)
        between = np.zeros(facts.queries)
        groups = np.zeros(facts.queries, dtype=np.int64)
        largest = np.zeros(facts.queries, dtype=np.int64)
        for code in np.unique(facts.languages[present]).tolist():
            own: Bools = present & (facts.languages == code)
            count = own.sum(axis=0)
            average = np.where(own, ranks, 0.0).sum(axis=0) / np.maximum(count, 1)
            between += count * (average - mean) ** 2
            groups += count > 0
            largest = np.maximum(largest, count)
        alike = total == 0
        statistic = (numbers - 1) * between / np.where(alike, 1.0, total)
        values = [
            1.0 if same or languages < 2 else chi_square_tail(value, languages - 1)
            for same, languages, value in zip(alike.tolist(), groups.tolist(), statistic.tolist(), strict=True)
        ]
        return query_values(
            facts,
            np.array(values, dtype=np.float64),
            inapplicable=(largest <= 1) & (groups > 1),
            why="each language has one relevant version, and PEER is the same for every order of these",
            censored=~facts.reaches(self.cutoff),
            remedy=f"it needs lists of depth {self.cutoff}",
        )


@dataclass(frozen=True)
class TargetLanguageRecall(Measure):
    """TLR@K: Target-Languages Recall, the recall of the relevant versions that are not in the query's language.

    TLR@K(q) = |{ d in R_q : lang(d) != lang(q), rank(d) <= K }| / |{ d in R_q : lang(d) != lang(q) }|; null for queries
    without a relevant version in another language, and for exact ranks in a pool of K versions or fewer. Source: after
    SHIFT (arXiv 2606.18801), of which we have the name and its purpose, not the formula: this one is ours.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    title = "Target-Languages Recall (TLR@K)"
    definition = (
        "Share of the relevant versions in other languages than the query's that stand in the top K (after SHIFT, our "
        "formula)."
    )

    @property
    def name(self) -> str:
        """TLR@K."""
        return f"TLR@{self.cutoff}"

    def best(self, relevant_per_query: float) -> float:
        """1, or the share that fits into the top K."""
        return min(1.0, self.cutoff / max(relevant_per_query - 1, 1.0))

    def compute(self, facts: Facts) -> QueryValues:
        """Recall of the other languages of each query, 0..1."""
        if (trivial := facts.why_trivial(self.cutoff)) is not None:
            return query_values(facts, facts.last, inapplicable=np.ones(facts.queries, dtype=bool), why=trivial)
        others = other_versions(facts)
        count = others.sum(axis=0)
        retrieved = (others & facts.known & (facts.ranks <= self.cutoff)).sum(axis=0)
        hidden = (others & facts.censored).any(axis=0) & ~facts.reaches(self.cutoff)
        return query_values(
            facts,
            retrieved / np.maximum(count, 1),
            inapplicable=count == 0,
            why="no relevant version in another language than the query's",
            censored=hidden,
            remedy=f"it needs lists of depth {self.cutoff}",
        )


def other_versions(facts: Facts) -> Bools:
    """Where a relevant version is in another language than the query, bool [R, Q]."""
    result: Bools = facts.present & ~facts.same
    return result


def chi_square_tail(value: float, degrees: int) -> float:
    """P(X > value) for a chi-square variable with a whole number of degrees of freedom.

    Q(1, x) = exp(-x) and Q(1/2, x) = erfc(sqrt x) with x = value / 2 start the recurrence
    Q(a + 1, x) = Q(a, x) + x^a exp(-x) / Gamma(a + 1) up to a = degrees / 2 (Abramowitz and Stegun 1964, 6.5.21 and
    26.4).

    :param value: 0 or more.
    :param degrees: 1 or more.
    """
    if value <= 0:
        return 1.0
    half = value / 2
    order, tail = (1.0, math.exp(-half)) if degrees % 2 == 0 else (0.5, math.erfc(math.sqrt(half)))
    while order < degrees / 2:
        tail += math.exp(order * math.log(half) - half - math.lgamma(order + 1))
        order += 1
    return min(tail, 1.0)
