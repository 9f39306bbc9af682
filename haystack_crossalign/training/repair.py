"""Repair without training: take the directions that tell languages apart out of the embeddings.

Related work: removal of language information by projection (LIR, Yang et al. 2021), low-rank subtraction (LSAR, Xie et
al. 2022), offsets between language means (SHIFT). Here the directions are those that the means of the languages span,
and the map is one affine map for all texts, so that nobody has to know the language of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.training.affine import AffineMap, unit

__all__ = [
    "COMMON_SHARES",
    "STRENGTHS",
    "LanguageDirections",
    "RepairChoice",
    "RepairScore",
    "Trial",
    "choose_repair",
    "fit_language_directions",
]

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
COMMON_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)

_TOLERANCE = 1e-9  # of two equal measures that were summed in another order


@dataclass(frozen=True)
class LanguageDirections:
    """What a sample of embeddings says about the languages.

    :param languages: tags, ascending.
    :param counts: documents per language.
    :param means: float64 ``[L, dim]``, mean of each language's unit-length embeddings.
    :param common: float64 ``[dim]``, mean of those means: each language counts once, however many documents it has.
    :param basis: float64 ``[k, dim]``, orthonormal, the directions in which the means differ, the strongest first.
    """

    languages: tuple[str, ...]
    counts: tuple[int, ...]
    means: NDArray[np.float64]
    common: NDArray[np.float64]
    basis: NDArray[np.float64]

    def affine(self, strength: float = 1.0, common_share: float = 0.0, directions: int | None = None) -> AffineMap:
        """The map ``x -> W x - common_share * W common`` with ``W = I - strength * B' B``.

        :param strength: share of the language directions that is taken out, 0 to 1; at 1 all language means coincide.
        :param common_share: share of the common mean that is taken away, 0 to 1. It spreads the embeddings, which
            otherwise lie in a narrow cone.
        :param directions: number of directions, the strongest first; None takes all.
        :raises InputError: for a value out of range.
        """
        for name, value in (("strength", strength), ("common_share", common_share)):
            if not 0 <= value <= 1:
                raise InputError("out of range", field=name, seen=value, allowed="0 to 1")
        if directions is not None and not 1 <= directions <= len(self.basis):
            raise InputError("out of range", field="directions", seen=directions, allowed=f"1 to {len(self.basis)}")
        basis = self.basis[:directions]
        matrix = np.eye(len(self.common)) - strength * basis.T @ basis
        bias = -common_share * (matrix @ self.common)
        counts = ",".join(f"{tag}:{count}" for tag, count in zip(self.languages, self.counts, strict=True))
        metadata = {
            "method": "language directions",
            "documents": counts,
            "directions": str(len(basis)),
            "strength": f"{strength:g}",
            "common_share": f"{common_share:g}",
        }
        return AffineMap(matrix.astype(np.float32), bias.astype(np.float32), metadata)


def fit_language_directions(embeddings: ArrayLike, languages: Sequence[str]) -> LanguageDirections:
    """Find the directions in which the language means differ.

    The documents may be parallel or not; parallel ones need fewer, as their means differ by nothing but the language.

    :param embeddings: ``[n, dim]``, of any length.
    :param languages: language tag of each, at least two different ones.
    :raises InputError: for fewer than two languages, wrong shapes, vectors that are zero or not finite, and languages
        whose means coincide.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(languages):
        raise InputError(
            "one language is needed for each embedding",
            field="languages",
            seen=len(languages),
            allowed=f"as many as embeddings, {vectors.shape}",
        )
    if not np.isfinite(vectors).all() or (np.abs(vectors).max(axis=1, initial=0) == 0).any():
        raise InputError("an embedding is zero or not finite", field="embeddings")
    tags = tuple(sorted(set(languages)))
    if len(tags) < 2:
        raise InputError("at least two languages are needed", field="languages", seen=tags)
    codes = np.asarray([tags.index(tag) for tag in languages])
    vectors = unit(vectors)
    means = np.stack([vectors[codes == code].mean(axis=0) for code in range(len(tags))])
    common = means.mean(axis=0)
    _, lengths, directions = np.linalg.svd(means - common, full_matrices=False)
    # The differences from their mean sum to 0: at least one direction is nothing but rounding.
    kept = directions[: len(tags) - 1][lengths[: len(tags) - 1] > 1e-7]
    if not len(kept):
        raise InputError("the means of the languages coincide: there is nothing to repair", field="embeddings")
    # The sign of a singular vector is arbitrary and cancels in B' B; fixing it makes equal inputs give equal arrays.
    signs = np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)])
    counts = tuple(int((codes == code).sum()) for code in range(len(tags)))
    return LanguageDirections(tags, counts, means, common, kept * signs[:, None])


@dataclass(frozen=True)
class RepairScore:
    """What held-out data say about a map.

    :param bias: lower is better, for instance the mean Max@R in a mixed pool.
    :param quality: same-language retrieval per language, higher is better, for instance Mono-Same NDCG@1.
    """

    bias: float
    quality: Mapping[str, float]


@dataclass(frozen=True)
class Trial:
    """One pair of strengths that was tried.

    :param strength: see :meth:`LanguageDirections.affine`.
    :param common_share: likewise.
    :param score: its score.
    :param harmless: whether the quality of every language stays within the tolerance of the unrepaired one.
    """

    strength: float
    common_share: float
    score: RepairScore
    harmless: bool


@dataclass(frozen=True)
class RepairChoice:
    """The chosen map and everything that was tried.

    :param repair: the map; that with strength 0 and share 0 (no change) where nothing harmless was better.
    :param chosen: its trial.
    :param trials: all trials, the unrepaired embeddings first.
    """

    repair: AffineMap
    chosen: Trial
    trials: tuple[Trial, ...]


def choose_repair(
    fitted: LanguageDirections,
    score: Callable[[AffineMap], RepairScore],
    *,
    tolerance: float = 0.005,
    strengths: Iterable[float] = STRENGTHS,
    common_shares: Iterable[float] = COMMON_SHARES,
) -> RepairChoice:
    """Take the strengths with the least bias among those that harm no language.

    A map is harmless when no language's quality is more than ``tolerance`` below that of the unrepaired embeddings. Of
    equally good ones the one that changes least is taken: smaller share of the common mean first, then smaller
    strength.

    :param fitted: the directions; from other data than ``score`` uses.
    :param score: says what a map does on held-out data.
    :param tolerance: loss of quality that counts as none, in the unit of the quality.
    :param strengths: strengths to try, 0 to 1.
    :param common_shares: shares to try, 0 to 1.
    :raises InputError: for a value out of range, and when the score names other languages for different maps.
    """
    if not tolerance >= 0:
        raise InputError("the tolerance must be at least 0", field="tolerance", seen=tolerance)
    base = score(fitted.affine(0.0, 0.0))
    pairs = sorted({(share, strength) for share in common_shares for strength in strengths} - {(0.0, 0.0)})
    trials = [Trial(0.0, 0.0, base, harmless=True)]
    for share, strength in pairs:
        one = score(fitted.affine(strength, share))
        if one.quality.keys() != base.quality.keys():
            raise InputError("the score must name the same languages for every map", field="quality")
        harmless = all(value >= base.quality[tag] - tolerance - _TOLERANCE for tag, value in one.quality.items())
        trials.append(Trial(strength, share, one, harmless))
    chosen = min((trial for trial in trials if trial.harmless), key=lambda trial: trial.score.bias)
    return RepairChoice(fitted.affine(chosen.strength, chosen.common_share), chosen, tuple(trials))
