"""Linear rules that recognize the language of an embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import unit

_SHIFT = 10.0  # weight of what separates queries from documents, times the trace of the covariance
_REGULARISATION = 0.1  # of the covariance, times the mean of its diagonal


class BetweenOthersError(InputError):
    """The mean of a language lies between those of others, so that no linear rule separates its texts from theirs."""


@dataclass(frozen=True, eq=False)
class ShortQueries:
    """Embeddings of short queries, by which detectors learn what sets queries apart from documents in every language.

    :param vectors: ``[n, dim]``, before any map.
    :param languages: tag of each.
    """

    vectors: NDArray[np.float32]
    languages: Sequence[str]

    def in_language(self, language: str) -> NDArray[np.float32]:
        """The vectors of one language.

        :param language: its tag.
        """
        return self.vectors[[tag == language for tag in self.languages]]

    def without(self, language: str | None) -> ShortQueries:
        """The same without a language.

        :param language: its tag.
        """
        rows = [row for row, tag in enumerate(self.languages) if tag != language]
        return ShortQueries(self.vectors[rows], [self.languages[row] for row in rows])


def fit_detectors(
    vectors: NDArray[np.float64],
    members: Mapping[str, NDArray[np.int64]],
    means: NDArray[np.float64],
    tags: Sequence[str],
    wanted: Sequence[str],
    queries: ShortQueries | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Linear discriminants of some of the languages: 1 at its mean, -1 at the nearest other mean.

    With queries the mean of a language is that of its documents and queries with equal weight, and what separates the
    two in all languages counts as spread within a language, and heavily, so that no detector takes the one for the
    other's language. Only the documents of languages that no map is for are known: their means are moved likewise.

    :param means: of the documents in ``tags``, then of languages that no map is for.
    :param wanted: the languages that get one, of ``tags``.
    :returns: detectors and offsets.
    :raises BetweenOthersError: for a language whose mean lies between those of others.
    """
    centered = [vectors[members[tag]] - mean for tag, mean in zip(tags, means[: len(tags)], strict=True)]
    shifts: dict[int, NDArray[np.float64]] = {}
    for place, tag in enumerate(tags):
        asked = np.empty((0, 0)) if queries is None else unit(queries.in_language(tag).astype(np.float64))
        if len(asked):
            shifts[place] = asked.mean(axis=0) - vectors[members[tag]].mean(axis=0)
            centered.append(asked - asked.mean(axis=0))
    spread = np.concatenate(centered)
    covariance = spread.T @ spread / len(spread)
    if shifts:
        shift: NDArray[np.float64] = np.mean(list(shifts.values()), axis=0)
        means = means + np.stack([shifts.get(place, shift) for place in range(len(means))]) / 2
        covariance += _SHIFT * np.trace(covariance) * np.outer(shift, shift) / max(float(shift @ shift), 1e-12)
    covariance += _REGULARISATION * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    rows, offsets = [], []
    for place in map(list(tags).index, wanted):
        others = np.delete(means, place, axis=0)
        direction = np.linalg.solve(covariance, means[place] - others.mean(axis=0))
        own, nearest = float(direction @ means[place]), float((others @ direction).max())
        if not own > nearest + 1e-9:
            raise BetweenOthersError("its mean lies between those of others", field="languages", seen=tags[place])
        rows.append(2 * direction / (own - nearest))
        offsets.append((own + nearest) / (own - nearest))
    return np.stack(rows), np.asarray(offsets)
