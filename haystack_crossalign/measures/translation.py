"""Answered only in another language: what a query finds whose answer does not exist in its own language."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from haystack_crossalign.measures.base import UNRANKED, Facts, Measure, QueryValues, query_values

_ANSWERED = "every query has a relevant version in its own language"


@dataclass(frozen=True)
class OtherOnly(Measure):
    """OtherOnly: rank of the first relevant version of queries that are answered only in another language.

    OtherOnly(q) = min { rank(d) : d in R_q } if no d in R_q is in the language of q; null for other queries. Lower is
    better. Unknown if a list that was cut holds no relevant version.
    """

    title = "Answered only in another language (OtherOnly)"
    definition = (
        "Mean rank of the first relevant version, over the queries whose answer does not exist in their own language: "
        "translation gaps. 1 is perfect."
    )
    unit = "rank"
    direction = -1

    @property
    def name(self) -> str:
        """OtherOnly."""
        return "OtherOnly"

    def best(self, relevant_per_query: float) -> float:  # noqa: ARG002 - does not depend on it
        """1."""
        return 1.0

    def compute(self, facts: Facts) -> QueryValues:
        """Rank of the first relevant version of each query to which it applies."""
        return query_values(
            facts, facts.first, inapplicable=facts.has_own, why=_ANSWERED, censored=facts.first == UNRANKED
        )


@dataclass(frozen=True)
class OtherOnlyFound(Measure):
    """OtherOnly@K: share of the queries answered only in another language that have an answer in the top K.

    1 if OtherOnly(q) <= K, else 0; null for queries with a relevant version in their own language. Unknown if no
    relevant version is in a cut list shorter than K.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    title = "Answered only in another language, found in the top K (OtherOnly@K)"
    definition = (
        "Share of the queries whose answer does not exist in their own language that find it in the top K in another."
    )

    @property
    def name(self) -> str:
        """OtherOnly@K."""
        return f"OtherOnly@{self.cutoff}"

    def compute(self, facts: Facts) -> QueryValues:
        """1 or 0 for each query to which it applies."""
        hidden = (facts.first == UNRANKED) & (facts.depth < self.cutoff) & ~facts.ended
        return query_values(
            facts,
            facts.first <= self.cutoff,
            inapplicable=facts.has_own,
            why=_ANSWERED,
            censored=hidden if facts.table.depth is not None else np.zeros(facts.queries, dtype=bool),
            remedy=f"it needs lists of depth {self.cutoff}",
        )
