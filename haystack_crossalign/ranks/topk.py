"""The first k documents of every query, exactly, without a full score matrix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks.arguments import integer_column
from haystack_crossalign.ranks.bounds import DocumentOperand, QueryOperand, center_of, vector_length
from haystack_crossalign.ranks.distances import import_for, is_distance, nearest
from haystack_crossalign.ranks.formats import format_of
from haystack_crossalign.ranks.scores import PairScorer, comparable_vectors
from haystack_crossalign.ranks.similarity import DEFAULT_SIMILARITY, Similarity
from haystack_crossalign.ranks.workers import one_core_each, share_out

_QUERIES = 256
_ROWS = 4096
_PENDING = 4  # candidates are sorted when there are this many times as many as are kept


def exact_top_k(
    queries: ArrayLike,
    documents: ArrayLike,
    k: int,
    *,
    tie_order: ArrayLike,
    similarity: Similarity = DEFAULT_SIMILARITY,
    precision: str = "auto",
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find the k best documents of every query under the exact score and the tie rule.

    A fast product passes over the pool in blocks. Documents that are certainly below the k-th best exact score so far
    are dropped, the others are scored exactly. Scores and ranks are those of `exact_ranks`.

    :param queries: float32 [Q, dim].
    :param documents: float32 [N, dim].
    :param k: how many; at most N are returned.
    :param tie_order: int [N], position of each document in the tie order, see
        `haystack_crossalign.ranks.ties.tie_order`; decides equal scores.
    :param similarity: what the score is, see `exact_ranks`.
    :param precision: ``"auto"``, ``"bf16"`` or ``"fp32"``, of the fast product only.
    :returns: document indices int32 [Q, min(k, N)] and their scores float32 [Q, min(k, N)], best first.
    :raises InputError: for bad vectors (see `comparable_vectors`), a k below 1, or a `tie_order` that does not fit.
    """
    query_vectors, document_vectors = comparable_vectors(queries, documents, similarity)
    order = integer_column(tie_order, len(document_vectors), "tie_order")
    if k < 1:
        raise InputError("too few documents asked for", field="k", seen=k, allowed="1 or more")
    form = format_of(precision, query_vectors.size * len(document_vectors))
    depth = min(k, len(document_vectors))
    if is_distance(similarity):
        import_for(similarity)
        with one_core_each() as threads:
            return nearest(query_vectors, document_vectors, similarity, depth, order, threads)
    indices = np.empty((len(query_vectors), depth), dtype=np.int32)
    scores = np.empty((len(query_vectors), depth), dtype=np.float32)
    starts = range(0, len(query_vectors), _QUERIES)

    with one_core_each() as threads:
        center = center_of(document_vectors)

        def search(parts: Iterator[int]) -> None:
            scratch = DocumentOperand(_ROWS, document_vectors.shape[1], form)
            for start in parts:
                part = slice(start, start + _QUERIES)
                operand = QueryOperand(query_vectors[part], form)
                scorer = PairScorer(query_vectors[part])
                search_part = _Search(operand, scorer, document_vectors, center, depth, order)
                indices[part], scores[part] = search_part.run(scratch)

        share_out(starts, search, threads)
    return indices, scores


class _Search:
    """Search of the whole pool for one block of queries."""

    def __init__(
        self,
        operand: QueryOperand,
        scorer: PairScorer,
        documents: NDArray[np.float32],
        center: NDArray[np.float32],
        depth: int,
        tie_order: NDArray[np.int64],
    ) -> None:
        self._documents, self._center, self._depth, self._tie_order = documents, center, depth, tie_order
        self._operand, self._scorer = operand, scorer
        self._offsets = self._operand.offsets(center)
        self._center_length = vector_length(center)
        self._queries: list[NDArray[np.int64]] = []
        self._found: list[NDArray[np.int64]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._floor = np.full(operand.count, -np.inf, dtype=np.float32)

    def run(self, scratch: DocumentOperand) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices and scores [Q, depth], best first."""
        operand = self._operand
        pending = 0
        total = len(self._documents)
        opening = min(_ROWS, max(2 * self._depth, 64))  # scored exactly, for an initial lower limit
        for start, stop in pairwise([0, *range(opening, total, _ROWS), total]):
            rows = np.arange(start, stop)
            block = scratch.gather(self._documents, rows)
            document, query = np.divmod(self._survivors(scratch, block), operand.width)
            self._queries.append(query)
            self._found.append(document + start)
            self._scores.append(self._scorer.exact(block, document, query))
            pending += len(query)
            if start == 0 or pending > _PENDING * operand.count * self._depth:
                self._sort()
                pending = len(self._queries[0])
        self._sort()
        shape = (operand.count, self._depth)
        return self._found[0].reshape(shape), self._scores[0].reshape(shape)

    def _survivors(self, scratch: DocumentOperand, block: NDArray[np.float32]) -> NDArray[np.int64]:
        """Cells [document, query] of a block that may be among the k best, in ascending order."""
        operand = self._operand
        if np.isneginf(self._floor).any():  # fewer than k documents seen: keep all
            document, query = np.divmod(np.arange(len(block) * operand.count), operand.count)
            cells: NDArray[np.int64] = document * operand.width + query
            return cells
        spread = scratch.fill(block, self._center, operand.center)
        error = operand.error(spread, self._center_length)
        within = operand.thresholds(self._floor[None, :], self._offsets, error, operand.matrix).within[0]
        out = np.empty((len(scratch.matrix), operand.width), dtype=operand.matrix.dtype)
        return np.flatnonzero(operand.form.multiply(scratch.matrix, operand.matrix, out) >= within)

    def _sort(self) -> None:
        """Keep the k best of every query, sorted, and raise the lower limit to the last of them."""
        query, documents, scores = (np.concatenate(parts) for parts in (self._queries, self._found, self._scores))
        order = np.lexsort((self._tie_order[documents], np.negative(scores), query))
        starts = np.searchsorted(query[order], np.arange(self._operand.count + 1))
        place = np.arange(len(order)) - starts[query[order]]
        order = order[place < self._depth]
        self._queries, self._found, self._scores = [query[order]], [documents[order]], [scores[order]]
        complete = np.flatnonzero(np.diff(starts) >= self._depth)
        last = np.bincount(query[order], minlength=self._operand.count).cumsum() - 1
        self._floor[complete] = self._scores[0][last[complete]]
