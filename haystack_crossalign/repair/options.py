"""How a repair is chosen and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import Similarity
from haystack_crossalign.repair.directions import COMMON_SHARES, SHRINKAGES, STRENGTHS

KEEP_OWN_FIRST = 0.1
"""Loss of the own language first that a repair accepts if nothing else is asked for (`benchmarks/results/
keep_own_first.md`: two thirds of the gain remain where there are few documents, all of it where there are many).
"""

OwnFirstBound = float | Literal["auto"] | None
"""Accepted loss of the own language first; ``auto`` is `KEEP_OWN_FIRST`, or one query where that is more; None any."""


def check_own_first(bound: OwnFirstBound) -> None:
    """Reject a bound out of range.

    :param bound: the bound.
    :raises InputError: unless it is 0 to 1, ``auto`` or None.
    """
    if bound != "auto" and bound is not None and not 0 <= bound <= 1:
        raise InputError("out of range", field="keep_own_first", seen=bound, allowed="0 to 1, such as 0.02")


def accepted_own_first_loss(bound: OwnFirstBound, queries: int) -> float | None:
    """What a bound accepts among some queries; None for any loss.

    :param bound: the bound.
    :param queries: number of queries of a language.
    """
    return max(KEEP_OWN_FIRST, 1 / queries) if bound == "auto" else bound


def accepted_same_language_loss(tolerance: float, queries: int) -> float:
    """The loss of same-language NDCG@1 that a gate accepts among some queries: one query more or less is chance.

    :param tolerance: what is accepted where there are enough queries to see it; 0 accepts no loss at all.
    :param queries: number of queries of a language.
    """
    return max(tolerance, 1 / queries) if tolerance else 0.0


@dataclass(frozen=True)
class RepairOptions:
    """Options of `fit_repair`.

    :param tolerance: loss of same-language NDCG@1 that counts as harmless.
    :param keep_own_first: accepted loss, in any language, of the share of queries that find a relevant document in
        their own language first in the mixed pool (Top1[relevant,same]); None accepts any. A number needs parallel
        held-out documents; ``auto`` is `KEEP_OWN_FIRST`, or one query where that is more, if they are parallel.
    :param strengths: shares of the language directions to try.
    :param common_shares: shares of the common mean to try, if there are enough held-out queries to show harm.
    :param whitenings: shrinkages of the whitening to try, likewise, if documents are parallel.
    :param one_map: try only one map for all languages, not a map for each.
    :param pivot: the language to which those maps map the others; None for English, or else the first tag.
    :param seed: seed of the bootstrap.
    :param samples: bootstrap samples behind each interval.
    :param similarity: similarity for the choice and the audits; None for the model's.
    """

    tolerance: float = 0.005
    keep_own_first: OwnFirstBound = "auto"
    strengths: Sequence[float] = STRENGTHS
    common_shares: Sequence[float] = COMMON_SHARES
    whitenings: Sequence[float | None] = SHRINKAGES
    one_map: bool = False
    pivot: str | None = None
    seed: int = 0
    samples: int = 1000
    similarity: Similarity | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance <= 1:
            raise InputError("out of range", field="tolerance", seen=self.tolerance, allowed="0 to 1, such as 0.005")
        check_own_first(self.keep_own_first)

    def own_first_bound(self, queries: int, *, parallel: bool) -> float | None:
        """The accepted loss of the own language first; None for any.

        :param queries: number of queries of the language with the fewest.
        :param parallel: whether held-out documents have versions in other languages.
        :raises InputError: if a bound is asked for that cannot be measured.
        """
        if self.keep_own_first == "auto":
            return accepted_own_first_loss("auto", queries) if parallel else None
        if self.keep_own_first is not None and not parallel:
            raise InputError(
                "the own language first cannot be measured", field="keep_own_first", seen=self.keep_own_first,
                allowed="held-out documents that have versions in other languages",
            )  # fmt: skip
        return self.keep_own_first
