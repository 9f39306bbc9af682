"""The documents that may be among the first ones of a query, whatever the server's rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.opensearch.local.pool import LocalPool
from haystack_crossalign.ranks.topk import exact_top_k

_SLACK = 8
_GROWTH = 4


def candidates(
    queries: NDArray[np.float32],
    pool: LocalPool,
    codes: Sequence[int],
    k: int,
    *,
    units: NDArray[np.int32] | None,
    slack: Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]],
    most: int,
) -> list[NDArray[np.int64] | None]:
    """All documents whose value is at most the slack below that of the k-th unit.

    :param queries: float32 [Q, columns].
    :param pool: documents.
    :param codes: languages of those that count.
    :param k: number of units.
    :param units: version of each document, int32 [N]; None if documents are ranked.
    :param slack: returns the slack of values, float64 [n], of queries by their numbers, int64 [n].
    :param most: a query with more documents has none.
    :returns: for each query the documents, int64 [n], best first; None if they are too many.
    """
    candidates: list[NDArray[np.int64] | None] = [None] * len(queries)
    pending = np.arange(len(queries))
    size = k + _SLACK
    while len(pending) and size <= _GROWTH * most:
        documents, values, bound = _best(queries[pending], pool, codes, size)
        lasts = np.array([_last(row, own, k, units) for row, own in zip(documents, values, strict=True)])
        limits = lasts - slack(np.where(np.isfinite(lasts), lasts, 0.0), pending)
        # Documents that are not listed have at most this value.
        complete = bound < limits
        complete |= np.isneginf(bound)
        for number in np.flatnonzero(complete).tolist():
            kept = documents[number][values[number] >= limits[number]]
            candidates[int(pending[number])] = kept if len(kept) <= most else None
        pending = pending[~complete]
        size *= _GROWTH
    return candidates


def _best(
    queries: NDArray[np.float32], pool: LocalPool, codes: Sequence[int], size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Documents and values of the best of each language, [Q, n] each, and the greatest value of those left out."""
    documents, values = [], []
    bound = np.full(len(queries), -np.inf)
    for code in codes:
        part = pool.part(code)
        nearest, scores = exact_top_k(queries, pool.rows[part], size, tie_order=pool.order[part], similarity="dot")
        documents.append(nearest.astype(np.int64) + part.start)
        values.append(scores.astype(np.float64))
        if part.stop - part.start > size:
            bound = np.maximum(bound, values[-1][:, -1])
    every, scored = np.concatenate(documents, axis=1), np.concatenate(values, axis=1)
    order = np.argsort(-scored, axis=1, kind="stable")
    return np.take_along_axis(every, order, axis=1), np.take_along_axis(scored, order, axis=1), bound


def _last(documents: NDArray[np.int64], values: NDArray[np.float64], k: int, units: NDArray[np.int32] | None) -> float:
    """Value of the k-th unit, -inf if there are fewer."""
    if units is None:
        return float(values[k - 1]) if len(values) >= k else -np.inf
    _, firsts = np.unique(units[documents], return_index=True)
    return float(values[np.sort(firsts)[k - 1]]) if len(firsts) >= k else -np.inf
