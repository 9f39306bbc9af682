"""Find translation pairs in a collection that is not aligned: mutual nearest neighbors by a margin score.

The score is the ratio margin of Artetxe & Schwenk (2019, "Margin-based Parallel Corpus Mining with Multilingual
Sentence Embeddings"): the cosine of two texts, divided by the mean cosine of each with its k nearest neighbors in the
other language. Cosines alone are not comparable between texts: some texts are close to everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import AffineMap, unit
from haystack_crossalign.repair.directions import fit_language_directions

NEIGHBOURS = 4
"""The k of Artetxe & Schwenk."""

THRESHOLD = 1.02
"""Minimum margin of a pair; ``benchmarks/results/mining.md`` shows what other values give."""

_SMALLEST = 1e-6  # of a mean cosine that is divided by
_BLOCK, _CELLS = 2048, 1 << 25  # rows, and cells of the matrices that are held at a time


@dataclass(frozen=True, eq=False)
class MinedPairs:
    """Pairs of texts that are probably translations of each other, in the order of their sources.

    :param sources: int64 [M], ascending.
    :param targets: int64 [M], each at most once.
    :param margins: float64 [M].
    :param cosines: float64 [M].
    """

    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    margins: NDArray[np.float64]
    cosines: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sources)

    def above(self, threshold: float) -> MinedPairs:
        """The pairs with at least this margin."""
        kept = self.margins >= threshold
        return MinedPairs(self.sources[kept], self.targets[kept], self.margins[kept], self.cosines[kept])


def mine_pairs(
    sources: ArrayLike,
    targets: ArrayLike,
    *,
    neighbours: int = NEIGHBOURS,
    threshold: float = THRESHOLD,
    block: int | None = None,
) -> MinedPairs:
    """Find the pairs of mutual best matches by the margin, over all pairs, without a full score matrix.

    ``margin(x, y) = cos(x, y) / ((a(x) + b(y)) / 2)``, with ``a(x)`` the mean cosine of x with its ``neighbours``
    nearest targets and ``b(y)`` that of y with its nearest sources. Among equal margins the lower row wins, so rows
    should be in the order of their ids. Duplicate texts should be removed before, since they displace each other.

    :param sources: [n, dim], of any length.
    :param targets: [m, dim].
    :param neighbours: k; where a side has fewer texts, all of them.
    :param threshold: least margin.
    :param block: rows of sources at a time; None takes as many as keep the matrices at a few hundred megabytes.
    :raises InputError: for shapes that do not fit, vectors that are zero or not finite, and numbers out of range.
    """
    if neighbours < 1 or (block is not None and block < 1) or not np.isfinite(threshold):
        raise InputError(
            "out of range", field="neighbours, block, threshold", seen=(neighbours, block, threshold),
            allowed="1 or more, 1 or more, a finite number",
        )  # fmt: skip
    left, right = _unit_rows(sources, "sources"), _unit_rows(targets, "targets")
    if not len(left) or not len(right):
        empty = np.empty(0, np.int64)
        return MinedPairs(empty, empty, np.empty(0), np.empty(0))
    if left.shape[1] != right.shape[1]:
        raise InputError(
            "the vectors must have one dimension", field="targets", seen=right.shape[1], allowed=str(left.shape[1])
        )
    block = block or max(1, min(_BLOCK, _CELLS // len(right)))
    near_left, near_right = _neighbourhoods(left, right, neighbours, block)
    best_target = np.empty(len(left), np.int64)
    best_margin = np.full(len(right), -np.inf, np.float32)
    best_source = np.zeros(len(right), np.int64)
    columns = np.arange(len(right))
    for start, cosines in _blocks(left, right, block):
        margins = cosines / np.maximum((near_left[start : start + block, None] + near_right[None, :]) / 2, _SMALLEST)
        best_target[start : start + block] = margins.argmax(axis=1)
        rows = margins.argmax(axis=0)
        values = margins[rows, columns]
        better = values > best_margin  # an equal one of a later block has a higher row
        best_margin[better], best_source[better] = values[better], start + rows[better]
    mutual = np.flatnonzero(best_source[best_target] == np.arange(len(left)))
    partners = best_target[mutual]
    # The product in blocks rounds to float32; what is reported and compared with the threshold does not.
    exact = np.einsum("nd,nd->n", left[mutual].astype(np.float64), right[partners].astype(np.float64))
    means = (near_left[mutual].astype(np.float64) + near_right[partners]) / 2
    pairs = MinedPairs(mutual, partners, exact / np.maximum(means, _SMALLEST), exact)
    return pairs.above(threshold)


def language_repair(
    vectors: Sequence[NDArray[np.float32]], languages: Sequence[str], *, common_share: float = 0.0
) -> AffineMap:
    """The map that takes the language directions out of a collection's own vectors, before it is mined.

    Without it the nearest neighbors of a text depend as much on its language as on its content.

    :param vectors: one array [n, dim] per language, not parallel.
    :param languages: their tags.
    :param common_share: share of the common mean that is taken away; it spreads the cosines, and so the margins.
    :raises InputError: see :func:`~haystack_crossalign.repair.directions.fit_language_directions`.
    """
    tags = [tag for tag, rows in zip(languages, vectors, strict=True) for _ in range(len(rows))]
    return fit_language_directions(np.concatenate(list(vectors)), tags).affine(common_share=common_share)


def _unit_rows(vectors: ArrayLike, field: str) -> NDArray[np.float32]:
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2:
        raise InputError("must have two axes", field=field, seen=rows.shape, allowed="[texts, dim]")
    if not np.isfinite(rows).all() or (len(rows) and (np.abs(rows).max(axis=1) == 0).any()):
        raise InputError("a vector is zero or not finite", field=field)
    return unit(rows).astype(np.float32)


def _blocks(
    left: NDArray[np.float32], right: NDArray[np.float32], block: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(left), block):
        yield start, left[start : start + block] @ right.T


def _neighbourhoods(
    left: NDArray[np.float32], right: NDArray[np.float32], neighbours: int, block: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean cosine of each text with its nearest ones on the other side."""
    near_left = np.empty(len(left), np.float32)
    kept = np.empty((0, len(right)), np.float32)
    for start, cosines in _blocks(left, right, block):
        near_left[start : start + block] = _largest(cosines, neighbours, axis=1).mean(axis=1)
        kept = _largest(np.concatenate([kept, cosines]), neighbours, axis=0)
    return near_left, kept.mean(axis=0)


def _largest(values: NDArray[np.float32], count: int, axis: int) -> NDArray[np.float32]:
    """The largest values along an axis, in ascending order, so that their mean does not depend on the blocks."""
    size = values.shape[axis]
    if count < size:
        values = np.partition(values, size - count, axis=axis)
        values = values[:, size - count :] if axis == 1 else values[size - count :]
    return np.sort(values, axis=axis)
