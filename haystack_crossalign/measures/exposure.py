"""Measures of ranked lists without relevance labels: agreement between query languages, and exposure of document
languages.

Both take the top k of each query's list as an integer array with one row per query, padded on the right. They need no
judgments, so they work on any live index. The ranked units can be documents or versions.
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

    :param mean: mean over all pairs of parallel queries, -1..1; NaN if there are none.
    :param by_pair: mean by pair of languages, the smaller code first, sorted.
    :param pairs: number of pairs of queries behind ``by_pair``.
    :param by_group: float64 [G], mean over the pairs of each group; NaN if a group has none.
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
    :param pool: float64 [L], share of each language in the pool: the expected share of a search without preference.
    :param queries: int64 [A], number of queries with at least one document in their list; the shares are means over
        these.
    """

    query_languages: NDArray[np.int64]
    plain: NDArray[np.float64]
    discounted: NDArray[np.float64]
    pool: NDArray[np.float64]
    queries: NDArray[np.int64]


def rank_correlation(left: Integers, right: Integers) -> float:
    """Spearman's correlation of two top-k lists on the union of their documents.

    In the ranking of the union U by a list with n entries, a listed document has its rank, 1..n; the documents that the
    list lacks tie behind these and share the mean of the remaining ranks, (n + 1 + \\|U\\|) / 2. The
    correlation is Pearson's over these two rankings r and s of U::

        sum (r - m)(s - m) / sqrt( sum (r - m)^2 * sum (s - m)^2 ),  m = (\\|U\\| + 1) / 2

    1 for equal lists (also those of one document, for which the formula is 0 / 0), negative for lists with little in
    common.

    :param left: distinct document codes, best first; `PADDING` after the end.
    :param right: the same of the other list.
    :returns: -1..1; NaN if a list is empty.
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
    # The union of two different lists has at least two documents, so neither ranking is constant.
    return float((first @ second) / np.sqrt((first @ first) * (second @ second)))


def mean_rank_correlation(lists: Integers, languages: Integers, groups: Integers) -> RankCorrelation:
    """MRC@k: how similar the rankings for translations of the same query are.

    Mean of `rank_correlation` over all pairs of queries of one group in two languages, with equal weights. It needs no
    relevance labels. It measures consistency, not quality: equally bad lists also agree.

    :param lists: int [Q, k], document codes of each query's top k, best first, `PADDING` after the end of a list.
    :param languages: int [Q], language of each query.
    :param groups: int [Q], group of each query; queries of one group are translations of each other; -1 for queries
        without translation.
    :raises ValueError: for arrays whose shapes do not match, a list with a duplicate document, or two queries with the
        same group and language, which would make the pairing ambiguous.
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
    """Share of each document language in the top k, by query language.

    For one query the share of language L is the sum of w(i) over the ranks i that hold a document in L, divided by the
    sum for all documents of the list: w(i) = 1 for the plain share, w(i) = 1 / log2(1 + i) for the discounted one, as
    in DCG. A list shorter than k is measured over its own length. Shares are means over the queries of a language.

    :param document_languages: int [Q, k], language of each document of the top k, best first, `PADDING` after the end.
    :param query_languages: int [Q], language of each query.
    :param pool_counts: int [L], documents of each language in the pool; languages are 0..L-1.
    :raises ValueError: for arrays whose shapes do not match, or a language code outside 0..L-1.
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
        msg = "padding between documents"
        raise ValueError(msg)
