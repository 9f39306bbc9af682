"""Measures of the first K of a list that need no judgments: agreement between query languages, and exposure.

Ties are in the order of the table; the bounds over other orders are not known for these measures.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from haystack_crossalign.measures.base import Facts, Floats, Measure, QueryValues, query_values
from haystack_crossalign.measures.depth import language_code
from haystack_crossalign.measures.exposure import rank_correlation
from haystack_crossalign.ranks.table import PADDING, TopLists


class ListMeasure(Measure):
    """A measure of the first K versions of whole lists, relevant or not.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    @abstractmethod
    def of_lists(self, facts: Facts, lists: TopLists) -> QueryValues:
        """Value of every query, from lists of K ranks or more."""

    def compute(self, facts: Facts) -> QueryValues:
        """Value of each query; null if the lists were not recorded to rank K."""
        lists = facts.table.top_lists
        if lists is None or lists.depth < min(self.cutoff, facts.table.pool_size or self.cutoff):
            recorded = "were not recorded" if lists is None else f"are recorded to rank {lists.depth} only"
            everywhere = np.ones(facts.queries, dtype=bool)
            return query_values(
                facts, np.zeros(facts.queries), inapplicable=everywhere, why=f"the first {self.cutoff} {recorded}"
            )
        return self.of_lists(facts, lists)


@dataclass(frozen=True)
class Exposure(ListMeasure):
    """Exposure@K[L]: share of the top K that documents in language L take, discounted by rank.

    Exposure(q) = sum of 1 / log2(1 + i) over the ranks i <= K that hold a version in L, divided by the same sum over
    all ranks of the list up to K. The logarithmic discount is that of DCG, as in Singh and Joachims, "Fairness of
    Exposure in Rankings" (KDD 2018). Neither direction is good in itself: compare it with the language's share of the
    pool. Null if the list is empty or the pool holds no document in L.

    :param cutoff: K, at least 1.
    :param language: normalized BCP-47 tag.
    """

    cutoff: int
    language: str

    title = "Exposure@K[L]"
    definition = (
        "Share of the top K that documents in language L take, discounted by rank as in DCG. Compare it with the "
        "language's share of the pool."
    )
    direction = 0

    @property
    def name(self) -> str:
        """Exposure@K[L]."""
        return f"Exposure@{self.cutoff}[{self.language}]"

    def of_lists(self, facts: Facts, lists: TopLists) -> QueryValues:
        """Discounted share of each query's list, 0..1."""
        code = language_code(facts.table, self.language)
        if code not in facts.table.pool_languages:
            nowhere = np.ones(facts.queries, dtype=bool)
            why = f"the pool holds no document in {self.language}"
            return query_values(facts, np.zeros(facts.queries), inapplicable=nowhere, why=why)
        shown = lists.languages[lists.queries, : self.cutoff]
        weights: Floats = 1.0 / np.log2(np.arange(2, shown.shape[1] + 2, dtype=np.float64))
        total = ((shown != PADDING) * weights).sum(axis=1)
        own = ((shown == code) * weights).sum(axis=1)
        cut = ~lists.reaches(self.cutoff)[lists.queries]
        return query_values(
            facts,
            own / np.where(total > 0, total, 1.0),
            inapplicable=(total == 0) & ~cut,
            why="the list is empty",
            censored=cut,
            remedy=f"it needs lists of depth {self.cutoff}",
        )


@dataclass(frozen=True)
class MeanRankCorrelation(ListMeasure):
    """MRC@K: agreement of a query's list with those of its translations over the same pool.

    The value of a query in language a is the mean over the other query languages b of Spearman's correlation of the two
    top-K lists on the union of their documents (`haystack_crossalign.measures.exposure.rank_correlation`). A row's mean
    is MRC of its language. It needs no judgments, and says how alike rankings are, not how good. Null for a query
    without a translation, and where one of the two lists is empty. Source: Yang, Jiang and Baldwin, "Language Bias in
    Information Retrieval" (arXiv 2509.06195); that lists are cut at K and compared on their union is ours.

    :param cutoff: K, at least 1.
    """

    cutoff: int

    title = "Mean Rank Correlation (MRC@K)"
    definition = (
        "How alike the top K is for translations of the same query: Spearman's correlation on the union of both lists, "
        "averaged over the other query languages. 1 means the same ranking in all languages; equally bad rankings also "
        "agree."
    )
    unit = "correlation"

    @property
    def name(self) -> str:
        """MRC@K."""
        return f"MRC@{self.cutoff}"

    def of_lists(self, facts: Facts, lists: TopLists) -> QueryValues:
        """Mean correlation of each query, -1..1."""
        known = lists.reaches(self.cutoff)
        top = lists.versions[:, : self.cutoff]
        values: Floats = np.zeros(facts.queries)
        compared = np.zeros(facts.queries, dtype=np.int64)
        hidden = np.zeros(facts.queries, dtype=bool)
        pairs: dict[tuple[int, int], float] = {}
        for query, (row, others) in enumerate(zip(lists.queries.tolist(), lists.counterparts.tolist(), strict=True)):
            for other in others:
                if other == PADDING:
                    break
                if not (known[row] and known[other]):
                    hidden[query] = True
                    continue
                pair = (min(row, other), max(row, other))
                if pair not in pairs:
                    pairs[pair] = rank_correlation(top[pair[0]], top[pair[1]])
                if not np.isnan(pairs[pair]):
                    values[query] += pairs[pair]
                    compared[query] += 1
        return query_values(
            facts,
            values / np.maximum(compared, 1),
            inapplicable=(compared == 0) & ~hidden,
            why="no translation of the query (the only query of its group in its language) with a list to compare",
            censored=hidden,
            remedy=f"it needs lists of depth {self.cutoff}",
        )
