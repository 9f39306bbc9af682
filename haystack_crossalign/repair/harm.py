"""Whether a repair harms same-language retrieval, and how much of a loss the held-out queries could show at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from haystack_crossalign.errors import InputError

__all__ = ["LanguageHarm", "harm_of_language", "paired_share_interval", "queries_needed"]

_Z = 1.959963984540054
"""97.5 % point of the standard normal distribution."""


@dataclass(frozen=True)
class LanguageHarm:
    """Same-language NDCG@1 of one language, before and after.

    :param language: normalised tag.
    :param queries: held-out queries.
    :param before: mean NDCG@1 before, 0 to 1.
    :param after: mean NDCG@1 after.
    :param interval: 95 % interval of the difference after - before.
    :param verdict: ``harmless`` where a loss beyond the tolerance is ruled out by the interval, ``not ruled out``
        where the queries are too few to rule it out though none is seen, ``harmful`` where the difference itself is
        beyond the tolerance.
    """

    language: str
    queries: int
    before: float
    after: float
    interval: tuple[float, float]
    verdict: str

    @property
    def difference(self) -> float:
        """after - before."""
        return self.after - self.before


def paired_share_interval(before: ArrayLike, after: ArrayLike) -> tuple[float, float]:
    """95 % interval of the difference of two paired shares.

    Wald's interval after half an observation is added to each cell of the table of pairs: with ``b`` pairs lost, ``c``
    won, ``n`` in all, ``d = (c - b) / (n + 2)`` and ``d +- 1.96 * sqrt((b + c + 1) - (c - b)^2 / (n + 2)) / (n + 2)``.
    Unlike a bootstrap it keeps a width where no pair differs, which is what small samples need. Source: Agresti and
    Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24 (2005).

    :param before: ``[n]``, each 0 or 1.
    :param after: ``[n]``, of the same queries.
    :raises InputError: for other values, other lengths, or none.
    """
    one, two = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1 or not len(one):
        raise InputError("the pairs must be of one length", field="after", seen=(one.shape, two.shape))
    if not (np.isin(one, (0, 1)).all() and np.isin(two, (0, 1)).all()):
        raise InputError("the values must be 0 or 1", field="before, after")
    lost, won, total = float((one > two).sum()), float((two > one).sum()), len(one) + 2.0
    middle = (won - lost) / total
    width = _Z * math.sqrt(lost + won + 1 - (won - lost) ** 2 / total) / total
    return max(-1.0, middle - width), min(1.0, middle + width)


def queries_needed(tolerance: float) -> float:
    """How many queries a language needs so that `paired_share_interval` can rule out a loss beyond ``tolerance``.

    It is the size at which the interval around no change reaches down to the tolerance: ``1.96 / tolerance - 2``.

    :param tolerance: loss of NDCG@1 that counts as none; for 0 no number of queries does.
    """
    return math.inf if tolerance <= 0 else math.ceil(_Z / tolerance - 2)


def harm_of_language(
    language: str, before: Sequence[float], after: Sequence[float], *, tolerance: float
) -> LanguageHarm:
    """Judge one language.

    :param language: normalised tag.
    :param before: NDCG@1 of each query, 0 or 1: each has one relevant document in its language.
    :param after: likewise, after the repair.
    :param tolerance: loss that counts as none.
    """
    interval = paired_share_interval(before, after)
    means = float(np.mean(before)), float(np.mean(after))
    if means[1] < means[0] - tolerance - 1e-9:
        verdict = "harmful"
    else:
        verdict = "harmless" if interval[0] >= -tolerance else "not ruled out"
    return LanguageHarm(language, len(before), *means, interval, verdict)
