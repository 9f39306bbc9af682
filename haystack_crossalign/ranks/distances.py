"""Ranks by distance: every pair is computed in float64, block by block, without a fast first pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.ranks.blocks import Block
from haystack_crossalign.ranks.counting import Counts, Targets
from haystack_crossalign.ranks.similarity import Similarity
from haystack_crossalign.ranks.workers import share_out

Distance = Literal["euclidean", "manhattan"]

_EXPONENT = {"euclidean": 2.0, "manhattan": 1.0}

_QUERIES = 128
"""Number of queries per step: their float64 distances to a block of documents take a few megabytes."""

_ROWS = 4096
_PAIRS = 1 << 14


def is_distance(similarity: Similarity) -> TypeGuard[Distance]:
    """Whether ranks are by distance."""
    return similarity == "euclidean" or similarity == "manhattan"


def import_for(similarity: Similarity) -> None:
    """Import what computes distances if ranks are by one: before `one_core_each` turns its threads off."""
    if is_distance(similarity):
        import_module("torch")


class DistanceScorer:
    """Scores of queries and documents by distance.

    A score is -float32(float64 distance of the float32 vectors), greater if closer, as in sentence-transformers.
    Differences of float32 numbers, their squares and sums are rounded only in float64, and one routine sums each pair
    separately, so a score depends only on its two vectors. Equal vectors tie exactly.

    :param queries: float32 [Q, dim].
    :param distance: which one.
    """

    def __init__(self, queries: NDArray[np.float32], distance: Distance) -> None:
        self._queries = queries.astype(np.float64)
        self._exponent = _EXPONENT[distance]

    def all_pairs(self, documents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of all pairs: float32 [B, Q].

        :param documents: float32 [B, dim].
        """
        return self._scores(documents.astype(np.float64), self._queries)

    def exact(
        self, documents: NDArray[np.float32], document_rows: NDArray[np.int64], query_rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Scores of the listed pairs, the same as in `all_pairs`: float32 [pairs].

        :param documents: float32 [B, dim].
        :param document_rows: int64 [pairs].
        :param query_rows: int64 [pairs].
        """
        scores = np.empty(len(query_rows), dtype=np.float32)
        for start in range(0, len(scores), _PAIRS):
            part = slice(start, start + _PAIRS)
            left = documents[document_rows[part]].astype(np.float64)
            right = self._queries[query_rows[part]]
            scores[part] = self._scores(left[:, None], right[:, None])[:, 0, 0]
        return scores

    def _scores(self, documents: NDArray[np.float64], queries: NDArray[np.float64]) -> NDArray[np.float32]:
        import torch  # only for distances: audits by cosine and dot product do not need it

        # The other mode expands the square and loses digits by cancellation: neighbors far from the origin would tie or
        # swap.
        mode = "donot_use_mm_for_euclid_dist"
        with torch.inference_mode():
            pair = torch.from_numpy(documents), torch.from_numpy(queries)
            distances = torch.cdist(*pair, p=self._exponent, compute_mode=mode)
            scores: NDArray[np.float32] = (0.0 - distances).float().numpy()
        return scores


def count_by_distance(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    distance: Distance,
    targets: Targets,
    tie_order: NDArray[np.int64],
    blocks: Sequence[Block],
    languages: int,
    threads: int,
) -> Counts:
    """Count the versions that rank ahead of each relevant version.

    :param queries: float32 [Q, dim].
    :param documents: float32 [N, dim].
    :param distance: which one.
    :param targets: what to count for each query.
    :param tie_order: int64 [N], position of each document in the tie order.
    :param blocks: all documents.
    :param languages: number of languages.
    :param threads: see `share_out`.
    """
    total = Counts.zero(languages, *targets.scores.shape)

    def count(starts: Iterator[int]) -> None:
        for start in starts:
            part = slice(start, start + _QUERIES)
            scorer = DistanceScorer(queries[part], distance)
            wanted = Targets(targets.scores[:, part], targets.places[:, part])
            into = Counts(total.greater[:, :, part], total.ahead[:, :, part], total.tied[:, :, part])
            for block in blocks:
                scores = scorer.all_pairs(documents[block.documents])
                best, places = _best_chunks(scores, tie_order[block.documents], block.slabs)
                _compare(best, places, wanted, block.language, into)

    share_out(range(0, len(queries), _QUERIES), count, threads)  # no two starts share a column
    return total


def nearest(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    distance: Distance,
    depth: int,
    tie_order: NDArray[np.int64],
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The closest documents of every query and their scores, [Q, depth] each, best first.

    :param queries: float32 [Q, dim].
    :param documents: float32 [N, dim].
    :param distance: which one.
    :param depth: how many, at most N.
    :param tie_order: int64 [N], position of each document in the tie order.
    :param threads: see `share_out`.
    """
    indices = np.empty((len(queries), depth), dtype=np.int32)
    scores = np.empty((len(queries), depth), dtype=np.float32)

    def search(starts: Iterator[int]) -> None:
        for start in starts:
            part = slice(start, start + _QUERIES)
            scorer = DistanceScorer(queries[part], distance)
            count = len(queries[part])
            kept = np.empty((count, 0), dtype=np.int32)
            values = np.empty((count, 0), dtype=np.float32)
            for first in range(0, len(documents), _ROWS):
                block = documents[first : first + _ROWS]
                rows = np.arange(first, first + len(block), dtype=np.int32)
                kept = np.concatenate([kept, np.broadcast_to(rows, (count, len(rows)))], axis=1)
                values = np.concatenate([values, scorer.all_pairs(block).T], axis=1)
                order = np.lexsort((tie_order[kept], np.negative(values)), axis=-1)[:, :depth]
                kept, values = np.take_along_axis(kept, order, axis=1), np.take_along_axis(values, order, axis=1)
            indices[part], scores[part] = kept, values

    share_out(range(0, len(queries), _QUERIES), search, threads)
    return indices, scores


def _best_chunks(
    scores: NDArray[np.float32], places: NDArray[np.int64], slabs: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Score of each version's best document, and its position in the tie order: [V, Q] each."""
    first = slabs[0]
    if len(slabs) == 1:
        return scores, np.broadcast_to(places[:, None], scores.shape)
    best = scores[:first].copy()
    best_places = np.repeat(places[:first, None], scores.shape[1], axis=1)
    for count in slabs[1:]:
        other, other_places = scores[first : first + count], places[first : first + count, None]
        better = (other > best[:count]) | ((other == best[:count]) & (other_places < best_places[:count]))
        np.copyto(best[:count], other, where=better)
        np.copyto(best_places[:count], other_places, where=better)
        first += count
    return best, best_places


def _compare(
    best: NDArray[np.float32], places: NDArray[np.int64], targets: Targets, language: int, counts: Counts
) -> None:
    """Add the counts of one block; absent targets have the score +inf."""
    queries = best.shape[1]
    for r, wanted in enumerate(targets.scores):
        counts.greater[language, r] += np.count_nonzero(best > wanted, axis=0)
        version, query = np.nonzero(best == wanted)
        other = places[version, query]
        own = targets.places[r][query]
        counts.tied[language, r] += np.bincount(query[other != own], minlength=queries)
        counts.ahead[language, r] += np.bincount(query[other < own], minlength=queries)
