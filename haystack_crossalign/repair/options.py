"""How a repair is chosen and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import Similarity
from haystack_crossalign.repair.directions import COMMON_SHARES, SHRINKAGES, STRENGTHS


@dataclass(frozen=True)
class RepairOptions:
    """Options of `fit_repair`.

    :param tolerance: loss of same-language NDCG@1 that counts as harmless.
    :param keep_own_first: accepted loss, in any language, of the share of queries that find a relevant document in
        their own language first in the mixed pool (Top1[relevant,same]); None accepts any. Needs parallel held-out
        documents.
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
    keep_own_first: float | None = None
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
        if self.keep_own_first is not None and not 0 <= self.keep_own_first <= 1:
            raise InputError(
                "out of range", field="keep_own_first", seen=self.keep_own_first, allowed="0 to 1, such as 0.02"
            )
