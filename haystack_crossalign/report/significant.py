"""The significant changes of a comparison, for the top of its page: losses first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from haystack_crossalign.report.content.comparison import Change, changes, has_retrieved, row_title

_ORDER = {"worse": 0, "better": 1, "neutral": 2}
_OPEN = 12
"""Number of significant changes that a page shows before the rest is folded."""

Groups = list[tuple[str, list[Change]]]
"""Changes by queries and pool."""


@dataclass(frozen=True)
class Significant:
    """The significant changes of a comparison: losses, then gains, in the order of rows and measures.

    :param first: those that are shown.
    :param others: those that are folded.
    :param folded: number of those.
    :param better: number of gains; likewise ``worse``, and ``neutral`` for measures of which neither direction is good.
    :param tested: number of changes with a test.
    """

    first: Groups
    others: Groups
    folded: int
    better: int
    worse: int
    neutral: int
    tested: int


def significant_changes(comparison: Mapping[str, Any]) -> Significant:
    """Collect the significant changes.

    :param comparison: schema ``crossalign.comparison/1``.
    """
    apart = has_retrieved(comparison)
    every = [(row_title(row, apart=apart), change) for row in comparison["rows"] for change in changes(row)]
    significant = [(title, change) for title, change in every if change.verdict in _ORDER]
    significant.sort(key=lambda pair: _ORDER[pair[1].verdict])
    counts = {verdict: sum(change.verdict == verdict for _, change in significant) for verdict in _ORDER}
    return Significant(
        first=_grouped(significant[:_OPEN]),
        others=_grouped(significant[_OPEN:]),
        folded=len(significant[_OPEN:]),
        tested=sum(change.verdict != "none" for _, change in every),
        **counts,
    )


def _grouped(pairs: Sequence[tuple[str, Change]]) -> Groups:
    return [(title, [change for _, change in part]) for title, part in groupby(pairs, key=lambda pair: pair[0])]
