"""What ranked lists show without relevance labels: do languages see the same documents, and which languages are seen.

Both measures take the top k of each query's list as an integer array with one row a query, padded on the right. They
need no judgments, so they work on any live index, and documents are whatever was ranked: documents or versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

PADDING = -1

Integers = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class RankCorrelation:
    """Mean Rank Correlation at k (MRC@k) of queries that are translations of each other.

    :param mean: mean over all pairs of parallel queries, -1..1; nan where there is none.
    :param by_pair: mean by pair of languages, the smaller code first, sorted.
    :param pairs: number of pairs of queries behind ``by_pair``.
    :param by_group: float64 [G], mean over the pairs of each group; nan where a group has none.
    :param groups: int64 [G], the groups, ascending.
    :param undefined: pairs left out because one of the lists was empty.
    """

    mean: float
    by_pair: Mapping[tuple[int, int], float]
    pairs: Mapping[tuple[int, int], int]
    by_group: NDArray[np.float64]
    groups: NDArray[np.int64]
    undefined: int


@dataclass(frozen=True, eq=False)
class LanguageExposure:
    """Share of the top k that each document language takes, by query language.

    :param query_languages: int64 [A], languages of the queries, ascending; the first axis of the shares.
    :param plain: float64 [A, L], share of the positions.
    :param discounted: float64 [A, L], share of the positions weighted by 1 / log2(1 + rank).
    :param pool: float64 [L], share of each language in the pool: what a search without any preference would show.
    :param queries: int64 [A], queries with at least one document in their list; the shares are means over these.
    """

    query_languages: NDArray[np.int64]
    plain: NDArray[np.float64]
    discounted: NDArray[np.float64]
    pool: NDArray[np.float64]
    queries: NDArray[np.int64]


def rank_correlation(left: Integers, right: Integers) -> float:
    """Spearman's correlation of two top-k lists on the union of their documents.

    Over the union U, a document of a list with n entries has its rank there, 1..n; the documents that it lacks all
    tie behind it (rank k + 1 for each) and share the average of the places that are left, (n + 1 + \\|U\\|) / 2. The
    correlation is Pearson's over these two rankings r and s of U::

        sum (r - m)(s - m) / sqrt( sum (r - m)^2 * sum (s - m)^2 ),  m = (\\|U\\| + 1) / 2

    1 for equal lists (also of one document, where the formula gives 0 / 0), negative for lists with little in common.

    :param left: document codes, best first, all different; `PADDING` after the end.
    :param right: the same of the other list.
    :returns: -1..1; nan where a list is empty.
    """
    left, right = left[left != PADDING], right[right != PADDING]
    if not len(left) or not len(right):
        return float("nan")
    if np.array_equal(left, right):
        return 1.0
    union = np.union1d(left, right)
    centered = []
    for ranked in (left, right):
        places = np.full(len(union), (len(ranked) + 1 + len(union)) / 2)
        places[np.searchsorted(union, ranked)] = np.arange(1, len(ranked) + 1)
        centered.append(places - (len(union) + 1) / 2)
    first, second = centered
    # Two different lists have a union of two documents or more, so neither ranking is constant.
    return float((first @ second) / np.sqrt((first @ first) * (second @ second)))


def mean_rank_correlation(lists: Integers, languages: Integers, groups: Integers) -> RankCorrelation:
    """MRC@k: how far queries of the same content in different languages get the same ranking.

    Mean of `rank_correlation` over all pairs of queries of one group in two languages; each pair weighs the same. It
    needs no relevance labels. A measure of consistency, not of quality: equally bad lists agree as well.

    :param lists: int [Q, k], document codes of each query's top k, best first, `PADDING` after the end of a list.
    :param languages: int [Q], language of each query.
    :param groups: int [Q], which queries are translations of each other; -1 for queries without any.
    :raises ValueError: for arrays that do not fit, a list with a document twice, or two queries of one group and
        language, whose partners in other languages would not be known.
    """
    _check(lists, languages, groups)
    order = np.lexsort((languages, groups))
    order = order[groups[order] >= 0]
    names, starts = np.unique(groups[order], return_index=True)
    values: dict[tuple[int, int], list[float]] = {}
    by_group = np.full(len(names), np.nan)
    undefined = 0
    for number, members in enumerate(np.split(order, starts[1:]) if len(names) else []):
        if len(set(languages[members].tolist())) < len(members):
            msg = f"group {int(names[number])} has two queries in one language"
            raise ValueError(msg)
        own = []
        for first, second in combinations(members.tolist(), 2):
            value = rank_correlation(lists[first], lists[second])
            if np.isnan(value):
                undefined += 1
                continue
            own.append(value)
            values.setdefault((int(languages[first]), int(languages[second])), []).append(value)
        if own:
            by_group[number] = np.mean(own)
    every = [value for row in values.values() for value in row]
    return RankCorrelation(
        mean=float(np.mean(every)) if every else float("nan"),
        by_pair={pair: float(np.mean(values[pair])) for pair in sorted(values)},
        pairs={pair: len(values[pair]) for pair in sorted(values)},
        by_group=by_group,
        groups=names.astype(np.int64),
        undefined=undefined,
    )


def language_exposure(
    document_languages: Integers, query_languages: Integers, pool_counts: Integers
) -> LanguageExposure:
    """Which languages the top k shows, by query language.

    For one query the share of language L is the sum of w(i) over the ranks i that hold a document in L, over that sum
    for all documents of the list: w(i) = 1 for the plain share, w(i) = 1 / log2(1 + i) for the discounted one, as in
    DCG. A list shorter than k is measured over what it has. Shares are means over the queries of a language.

    :param document_languages: int [Q, k], language of each document of the top k, best first, `PADDING` after the end.
    :param query_languages: int [Q], language of each query.
    :param pool_counts: int [L], documents of each language in the pool; languages are 0..L-1.
    :raises ValueError: for arrays that do not fit, or a language that is not one of the L.
    """
    _check(document_languages, query_languages)
    count = len(pool_counts)
    if document_languages.size and not (document_languages.min() >= PADDING and document_languages.max() < count):
        msg = f"document languages must be -1..{count - 1}"
        raise ValueError(msg)
    filled = document_languages != PADDING
    has_any = filled.any(axis=1)
    weights = 1.0 / np.log2(1.0 + np.arange(1, document_languages.shape[1] + 1))
    tags = np.unique(query_languages)
    plain, discounted = (np.full((len(tags), count), np.nan) for _ in range(2))
    queries = np.zeros(len(tags), dtype=np.int64)
    for row, language in enumerate(tags):
        chosen = (query_languages == language) & has_any
        queries[row] = chosen.sum()
        if not queries[row]:
            continue
        for shares, weight in ((plain, np.ones_like(weights)), (discounted, weights)):
            weighted = weight * filled[chosen]
            total = weighted.sum(axis=1)
            codes = document_languages[chosen]
            shares[row] = [np.mean((weighted * (codes == code)).sum(axis=1) / total) for code in range(count)]
    documents = int(np.sum(pool_counts))
    return LanguageExposure(
        query_languages=tags.astype(np.int64),
        plain=plain,
        discounted=discounted,
        pool=np.asarray(pool_counts, dtype=np.float64) / max(documents, 1),
        queries=queries,
    )


def _check(lists: Integers, *columns: Integers) -> None:
    if lists.ndim != 2 or any(column.shape != lists.shape[:1] for column in columns):
        msg = f"one row, language and group for each query, not {[lists.shape, *(column.shape for column in columns)]}"
        raise ValueError(msg)
    filled = lists != PADDING
    if (filled[:, 1:] & ~filled[:, :-1]).any():
        msg = "padding stands between documents"
        raise ValueError(msg)
