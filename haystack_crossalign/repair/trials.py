"""What is tried and chosen in a repair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.repair.language_maps import OwnShare
from haystack_crossalign.repair.matrix_file import VectorMap

_TOLERANCE = 1e-9  # difference between equal measures that were summed in a different order


@dataclass(frozen=True)
class RepairScore:
    """The score of a map on held-out data.

    :param bias: lower is better, for example the mean Max@R in a mixed pool.
    :param quality: same-language retrieval per language, higher is better, for example Mono-Same NDCG@1.
    :param own_first: share of the queries of each language that find a relevant document in their own language first in
        the mixed pool, Top1[relevant,same]; None if that was not measured.
    :param complete: share of the queries of each language with all versions in the top 10 of the mixed pool,
        Complete@10; None if that was not measured, or a document has more than 10 versions.
    """

    bias: float
    quality: Mapping[str, float]
    own_first: Mapping[str, float] | None = None
    complete: Mapping[str, float] | None = None

    def is_harmless(
        self, base: RepairScore, tolerance: Mapping[str, float], keep_own_first: float | None = None
    ) -> bool:
        """Whether no language loses more than it may.

        :param base: score of the unrepaired embeddings.
        :param tolerance: accepted loss of quality, for each language.
        :param keep_own_first: accepted loss of ``own_first``; None accepts any.
        """
        if any(value < base.quality[tag] - tolerance[tag] - _TOLERANCE for tag, value in self.quality.items()):
            return False
        return not self.beyond(base, keep_own_first)

    def beyond(self, base: RepairScore, keep_own_first: float | None) -> list[str]:
        """Languages that lose more of ``own_first`` than they may, in the order of the tags.

        :param base: score of the unrepaired embeddings.
        :param keep_own_first: accepted loss of ``own_first``; None accepts any.
        """
        before = base.own_first
        if keep_own_first is None or self.own_first is None or before is None:
            return []
        after = self.own_first
        return [tag for tag in sorted(after) if after[tag] < before[tag] - keep_own_first - _TOLERANCE]


@dataclass(frozen=True)
class Trial:
    """A set of strengths that was tried.

    :param strength: see :meth:`~haystack_crossalign.repair.directions.LanguageDirections.affine`.
    :param common_share: likewise.
    :param whitening: likewise.
    :param own_share: see :func:`~haystack_crossalign.repair.language_maps.fit_language_maps`; None is one map for
        all languages.
    :param ridge: likewise.
    :param score: its score.
    :param harmless: whether no language loses more than it may, see :meth:`RepairScore.is_harmless`.
    :param own_margins: see :func:`~haystack_crossalign.repair.language_maps.fit_language_maps`; with them each language
        has a map of its own, be it the shared one.
    """

    strength: float
    common_share: float
    score: RepairScore
    harmless: bool
    whitening: float | None = None
    own_share: OwnShare | None = None
    ridge: float | None = None
    own_margins: Mapping[str, float] | None = None

    @property
    def changes(self) -> bool:
        """Whether the map changes anything."""
        return (self.strength, self.common_share, self.whitening, self.ridge) != (0.0, 0.0, None, None)

    @property
    def setting(self) -> dict[str, Any]:
        """The strengths, as in ``repair.json``."""
        return {
            "strength": self.strength,
            "common_share": self.common_share,
            "whitening": self.whitening,
            "own_share": self.own_share,
            "ridge": self.ridge,
            "own_margins": self.own_margins,
        }


@dataclass(frozen=True)
class RepairChoice:
    """The chosen map and everything that was tried.

    :param repair: the map; if no harmless map was better, the one with strength 0 and share 0 (no change).
    :param chosen: its trial.
    :param trials: all trials, the unrepaired embeddings first.
    """

    repair: VectorMap
    chosen: Trial
    trials: tuple[Trial, ...]
