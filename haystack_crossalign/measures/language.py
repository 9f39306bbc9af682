"""Measures of language preference: intrusion, Language Preference Rate, Lang-nDCG and the four-way split of rank 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.measures.base import (
    UNRANKED,
    Direction,
    Facts,
    Measure,
    QueryValues,
    column_sums,
    query_values,
)
from haystack_crossalign.measures.depth import language_code
from haystack_crossalign.measures.relevance import discounts
from haystack_crossalign.ranks.table import CENSORED, RankTable


@dataclass(frozen=True)
class Intrusion(Measure):
    """Intrusion[L]: non-relevant versions of language L above the relevant version in the query's language.

    A count; lower is better. If several relevant versions are in the query's language, the best-ranked one is used.
    Where lists are counted in documents, these are the documents of non-relevant versions: further documents of a
    relevant version answer the query too.
    Null if there is no such version, or if the pool holds no document in L. For the counts above every relevant version
    see `intrusion_matrix`.

    :param language: normalized BCP-47 tag of the intruding language.
    """

    language: str

    title = "Intrusion[L]"
    definition = (
        "Number of non-relevant documents in language L above the relevant version in the query's own "
        "language. 0 is perfect."
    )
    unit = "count"
    direction = -1

    @property
    def name(self) -> str:
        """Intrusion[L]."""
        return f"Intrusion[{self.language}]"

    def compute(self, facts: Facts) -> QueryValues:
        """Number of intruders of each query."""
        table = facts.table
        code = language_code(table, self.language)
        if code not in table.pool_languages:
            nowhere = np.ones(facts.queries, dtype=bool)
            why = f"the pool holds no document in {self.language}"
            return query_values(facts, np.zeros(facts.queries), inapplicable=nowhere, why=why)
        if not facts.ranks.shape[0]:
            return query_values(facts, np.zeros(facts.queries))
        own = facts.own
        best = facts.own_ranks.argmin(axis=0)
        standing = table.above[np.arange(facts.queries), best, code] - further_ahead(facts, best, code)
        relevant = (facts.known & (facts.ranks < own) & (facts.languages == code)).sum(axis=0)
        return query_values(
            facts,
            standing - relevant,
            inapplicable=~facts.has_own,
            why="no relevant version in the query's language",
            censored=facts.has_own & (own == UNRANKED),
        )


@dataclass(frozen=True)
class LanguagePreferenceRate(Measure):
    """LPR: how often the first relevant version is the one in the query's language.

    Defined for queries with relevant versions in two or more languages, including the query's; null for others. 1 if
    the best-ranked relevant version is in the query's language, else 0; documents ranked above it do not matter. After
    MLAIRE (arXiv 2605.07249), whose exact formula we do not have: this one is ours.
    """

    title = "Language Preference Rate (LPR)"
    definition = (
        "Share of queries with several relevant versions whose first one is in the query's language (after "
        "MLAIRE, our formula). Neither high nor low is good in itself: it says whom the ranking prefers."
    )
    direction = 0

    @property
    def name(self) -> str:
        """LPR."""
        return "LPR"

    def compute(self, facts: Facts) -> QueryValues:
        """1 or 0 for each query."""
        has_other = (facts.present & ~facts.same).any(axis=0)
        return query_values(
            facts,
            facts.own == facts.first,
            inapplicable=~(facts.has_own & has_other) | ((facts.first == UNRANKED) & facts.ended),
            why="no relevant versions found both in the query's language and in another one",
            censored=facts.first == UNRANKED,
        )


@dataclass(frozen=True)
class LangNDCG(Measure):
    """Lang-nDCG@K: NDCG@K in which a relevant version in the query's language gains 2 and any other gains 1.

    Sum over relevant versions with rank i <= K of g / log2(i + 1), divided by the same sum for the ideal ranking, which
    has those in the query's language first, then the other relevant ones. It equals NDCG@K if all relevant versions
    have the same gain. Grades are ignored: it compares languages among relevant versions. After MLAIRE (arXiv
    2605.07249), whose exact gains we do not have: these are ours. Unknown if a version is missing from a list shorter
    than K.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    title = "Lang-nDCG@K"
    definition = (
        "NDCG with a higher gain for the relevant version in the query's own language (after MLAIRE, our "
        "formula). Grades play no part in it."
    )

    @property
    def name(self) -> str:
        """Lang-nDCG@K."""
        return f"Lang-nDCG@{self.cutoff}"

    def compute(self, facts: Facts) -> QueryValues:
        """Lang-nDCG of each query, 0..1."""
        discount, ideal = discounts(facts, self.cutoff)
        gains = discount[np.clip(facts.ranks, 0, discount.size - 1)]
        gained = column_sums(gains) + column_sums(gains * facts.same)
        most = ideal.size - 1
        # Gain 2 = 1 for relevance + 1 for the language, so the ideal is a sum of two ideals with gain 1.
        best = ideal[np.minimum(facts.relevant, most)] + ideal[np.minimum(facts.same.sum(axis=0), most)]
        return query_values(
            facts,
            gained / np.where(facts.none_relevant, 1.0, best),
            censored=~facts.reaches(self.cutoff),
            remedy=f"it needs lists of depth {self.cutoff}",
        )


@dataclass(frozen=True)
class Top1(Measure):
    """Top1[relevant|other,same|other]: share of queries by the document at rank 1.

    Four-way split: relevant or not, in the query's language or not. After MLAIRE (arXiv 2605.07249). The four sum to 1
    over non-empty lists; an empty list counts 0 in all four. Null if the language at rank 1 was not recorded.

    :param relevance: ``relevant`` or ``other`` (not relevant).
    :param language: ``same`` as the query's, or ``other``.
    """

    relevance: Literal["relevant", "other"]
    language: Literal["same", "other"]

    def __post_init__(self) -> None:
        """Refuse any other value."""
        for field, allowed in (("relevance", ("relevant", "other")), ("language", ("same", "other"))):
            if (value := getattr(self, field)) not in allowed:
                raise InputError("unknown choice", field=field, seen=value, allowed=", ".join(allowed))

    title = "What stands at rank 1 (Top1)"
    definition = "Share of queries by what stands first: relevant or not, in the query's language or in another."

    @property
    def name(self) -> str:
        """Top1[relevance,language]."""
        return f"Top1[{self.relevance},{self.language}]"

    @property
    def direction(self) -> Direction:  # type: ignore[override]
        """A relevant version in the query's language is good at rank 1, one in another language neither good nor
        bad.
        """
        if self.relevance == "other":
            return -1
        return 1 if self.language == "same" else 0

    def compute(self, facts: Facts) -> QueryValues:
        """1 or 0 for each query."""
        top = facts.table.top_language
        if top is None:
            everywhere = np.ones(facts.queries, dtype=bool)
            why = "the language of the document at rank 1 was not recorded"
            return query_values(facts, np.zeros(facts.queries), inapplicable=everywhere, why=why)
        relevant = (facts.first == 1) == (self.relevance == "relevant")
        language = (top == facts.table.query_languages) == (self.language == "same")
        return query_values(facts, relevant & language & (top >= 0))


def further_ahead(facts: Facts, versions: NDArray[np.int64], code: int) -> NDArray[np.int64]:
    """Further documents of relevant versions in a language ahead of one version of each query, int64 [Q].

    :param facts: arrays of the rank table.
    :param versions: int64 [Q], column of the version.
    :param code: code of the language.
    """
    further = facts.table.further
    if further is None:
        return np.zeros(facts.queries, dtype=np.int64)
    counts: NDArray[np.int64] = (further[np.arange(facts.queries), versions] * (code == facts.languages.T)).sum(axis=1)
    return counts


def intrusion_matrix(table: RankTable) -> NDArray[np.int32]:
    """Number of non-relevant versions of every language above every relevant version.

    Relevant versions with a smaller rank, and further documents of relevant versions, are subtracted from
    ``table.above``. For a censored version the counts are
    those of the whole list, a lower bound.

    :param table: ranks of Q queries with up to R relevant versions, over L languages.
    :returns: int32 [Q, R, L], 0 if a version is absent.
    """
    ranks = table.ranks
    limit = np.where(ranks == CENSORED, UNRANKED, ranks)
    relevant_above = (ranks[:, None, :] > 0) & (ranks[:, None, :] < limit[:, :, None])
    counts = table.above.astype(np.int32, copy=True)
    for code in np.unique(table.relevant_languages[table.relevant_languages >= 0]):
        in_language = (table.relevant_languages == code)[:, None, :]
        counts[:, :, code] -= (relevant_above & in_language).sum(axis=2, dtype=np.int32)
        if table.further is not None:
            counts[:, :, code] -= (table.further * in_language).sum(axis=2, dtype=np.int32)
    return counts
