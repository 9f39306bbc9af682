"""Repair without training: remove the directions in which languages differ from the embeddings.

Related work: removal of language information by projection (LIR, Yang et al. 2021), low-rank subtraction (LSAR, Xie et
al. 2022), offsets between language means (SHIFT). Here the directions are those spanned by the language means, and one
affine map is used for all texts, so the language of a text need not be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import AffineMap, unit
from haystack_crossalign.repair.language_maps import OwnShare, fit_language_maps
from haystack_crossalign.repair.language_means import language_means, parallel_rows
from haystack_crossalign.repair.maps.detectors import ShortQueries
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.other_languages import OtherLanguages, language_basis, means_of_others
from haystack_crossalign.repair.trials import RepairChoice, RepairScore, Trial

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
COMMON_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
SHRINKAGES: tuple[float | None, ...] = (None, 10.0, 3.0)
"""Values of the whitening to try if there are parallel documents; None for no whitening."""

OWN_SHARES = (0.0, 0.25, 0.5, 0.75)
"""Values to try for a map per language: further shares of the common mean."""
RIDGES = (10.0, 3.0)


class NothingToRepairError(InputError):
    """The means of the languages coincide."""


@dataclass(frozen=True)
class LanguageDirections:
    """Language statistics of a sample of embeddings.

    :param languages: tags, ascending.
    :param counts: documents per language.
    :param means: float64 ``[L, dim]``, mean of each language's unit-length embeddings, over the same documents as far
        as they are parallel (:func:`~haystack_crossalign.repair.language_means.language_means`).
    :param common: float64 ``[dim]``, mean of those means and of the others', with equal weight for each language.
    :param basis: float64 ``[k, dim]``, orthonormal; the directions in which the means differ, the strongest first:
        those of the fitted languages, then those that the others add.
    :param spread: float64 ``[dim, dim]``, mean outer product of the differences between versions of a document, beyond
        the language means; None without parallel documents.
    :param groups: parallel documents behind it.
    :param others: tags of languages that are not fitted but protected, ascending.
    :param other_means: float64 ``[M, dim]``, their means
        (:func:`~haystack_crossalign.repair.other_languages.means_of_others`).
    """

    languages: tuple[str, ...]
    counts: tuple[int, ...]
    means: NDArray[np.float64]
    common: NDArray[np.float64]
    basis: NDArray[np.float64]
    spread: NDArray[np.float64] | None = None
    groups: int = 0
    others: tuple[str, ...] = ()
    other_means: NDArray[np.float64] | None = None

    @property
    def own(self) -> int:
        """Number of directions of the fitted languages, the first ones."""
        return len(language_basis(self.means, self.means[:0])[1]) if self.others else len(self.basis)

    def without_other(self, language: str) -> LanguageDirections:
        """The same without a language that is only protected, as if nothing were known of it.

        :param language: one of :attr:`others`.
        """
        if self.other_means is None:
            return self
        rows = [row for row, tag in enumerate(self.others) if tag != language]
        means = self.other_means[rows]
        common, basis = language_basis(self.means, means)
        tags = tuple(self.others[row] for row in rows)
        return replace(self, common=common, basis=basis, others=tags, other_means=means)

    def affine(
        self,
        strength: float = 1.0,
        common_share: float = 0.0,
        directions: int | None = None,
        whitening: float | None = None,
    ) -> AffineMap:
        """The map ``x -> W x - common_share * W common`` with ``W = H P``, ``P = I - strength * B' B``; ``H = I``,
        or with whitening ``H ~ (P S P + whitening * t * I)^(-1/2)``, S the spread and t the mean of its diagonal.

        The whitening is within-class covariance normalization (WCCN, Hatch et al. 2006), with the versions of a
        document as a class: it scales down directions in which translations differ.

        :param strength: share of the language directions to remove, 0 to 1; at 1 the means of all languages coincide
            that are fitted, and of the others as far as the number of directions allows.
        :param common_share: share of the common mean to subtract, 0 to 1. This spreads the embeddings, which otherwise
            lie in a narrow cone.
        :param directions: number of directions, the strongest first; None for all.
        :param whitening: shrinkage, above 0: the larger, the weaker; None for no whitening.
        :raises InputError: for a value out of range, or for whitening without parallel documents.
        """
        for name, value in (("strength", strength), ("common_share", common_share)):
            if not 0 <= value <= 1:
                raise InputError("out of range", field=name, seen=value, allowed="0 to 1")
        if directions is not None and not 1 <= directions <= len(self.basis):
            raise InputError("out of range", field="directions", seen=directions, allowed=f"1 to {len(self.basis)}")
        basis = self.basis[:directions]
        # What other languages differ by is removed whole, and never without anything else.
        changes = strength > 0 or common_share > 0 or whitening is not None
        strengths = np.where(np.arange(len(basis)) < self.own, strength, float(changes))
        matrix = np.eye(len(self.common)) - (basis.T * strengths) @ basis
        if whitening is not None:
            matrix = self._whitening(matrix, whitening) @ matrix
        bias = -common_share * (matrix @ self.common)
        counts = ",".join(f"{tag}:{count}" for tag, count in zip(self.languages, self.counts, strict=True))
        metadata = {
            "method": "language directions",
            "documents": counts,
            "directions": str(len(basis)),
            "strength": f"{strength:g}",
            "common_share": f"{common_share:g}",
        }
        if self.others:
            metadata["other_languages"] = ",".join(self.others)
        if whitening is not None:
            metadata |= {"whitening": f"{whitening:g}", "parallel_documents": str(self.groups)}
        return AffineMap(matrix.astype(np.float32), bias.astype(np.float32), metadata)

    def _whitening(self, projection: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
        if self.spread is None:
            raise InputError(
                "whitening needs parallel documents", field="whitening", seen=shrinkage, allowed="none without them"
            )
        if not 0 < shrinkage < float("inf"):
            raise InputError("out of range", field="whitening", seen=shrinkage, allowed="a finite number above 0")
        spread = projection @ self.spread @ projection
        values, vectors = np.linalg.eigh((spread + spread.T) / 2)
        scales = 1 / np.sqrt(np.maximum(values, 0) + shrinkage * np.trace(spread) / len(spread))
        whitening = (vectors * scales) @ vectors.T
        # Only relative sizes matter: the result is scaled to unit length, and the bias is scaled with the matrix.
        return np.asarray(whitening / np.mean(np.diag(whitening)))


def fit_language_directions(
    embeddings: ArrayLike,
    languages: Sequence[str],
    groups: Sequence[str] | None = None,
    others: OtherLanguages | None = None,
) -> LanguageDirections:
    """Find the directions in which the language means differ.

    The documents may be parallel or not; fewer parallel ones suffice, as their means differ only by language.

    :param embeddings: ``[n, dim]``, of any length.
    :param languages: language tag of each; at least two languages.
    :param groups: parallel group of each; None if nothing is known to be parallel. Needed for whitening.
    :param others: texts of other languages, whose directions are removed too.
    :raises InputError: for fewer than two languages, wrong shapes, vectors that are zero or not finite, or languages
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
    means = language_means(vectors, codes, groups)
    protected, other_means = ((), None) if others is None else means_of_others(others, tags, means)
    common, basis = language_basis(means, means[:0] if other_means is None else other_means)
    if not len(basis):
        raise NothingToRepairError(
            "the means of the languages coincide: there is nothing to repair", field="embeddings"
        )
    counts = tuple(int((codes == code).sum()) for code in range(len(tags)))
    spread, parallel = (None, 0) if groups is None else _spread(vectors - means[codes], codes, groups)
    return LanguageDirections(tags, counts, means, common, basis, spread, parallel, protected, other_means)


def _spread(
    centered: NDArray[np.float64], codes: NDArray[np.int64], groups: Sequence[str]
) -> tuple[NDArray[np.float64] | None, int]:
    """Mean outer product of the deviations of versions from the mean of their group, and the number of groups."""
    parts = [centered[rows] - centered[rows].mean(axis=0) for rows in parallel_rows(codes, groups)]
    if not parts:
        return None, 0
    deviations = np.concatenate(parts)
    spread = deviations.T @ deviations / len(deviations)
    return (spread, len(parts)) if np.trace(spread) > 0 else (None, 0)


def choose_repair(
    fitted: LanguageDirections,
    score: Callable[[VectorMap], RepairScore],
    *,
    tolerance: float | Mapping[str, float] = 0.005,
    strengths: Iterable[float] = STRENGTHS,
    common_shares: Iterable[float] = COMMON_SHARES,
    whitenings: Iterable[float | None] = (None,),
    directions: int | None = None,
    keep_own_first: float | None = None,
) -> RepairChoice:
    """Choose the strengths with the least bias among those that harm no language.

    A map is harmless if no language's quality is more than ``tolerance`` below that of the unrepaired embeddings. Of
    equally good maps the one that changes least is chosen: no whitening first, then a smaller share of the common mean,
    then a smaller strength.

    :param fitted: the directions, fitted on other data than ``score`` uses.
    :param score: scores a map on held-out data.
    :param tolerance: loss of quality that counts as harmless, in the unit of the quality; one number, or one per
        language.
    :param strengths: strengths to try, 0 to 1.
    :param common_shares: shares to try, 0 to 1.
    :param whitenings: shrinkages to try, None for no whitening; ignored if no document is parallel.
    :param directions: number of directions to use, None for all.
    :param keep_own_first: accepted loss of Top1[relevant,same] in the mixed pool, of each language; None accepts any.
    :raises InputError: for a value out of range, or if the score has different languages for different maps.
    """
    base = score(fitted.affine(0.0, 0.0))
    allowed = dict(tolerance) if isinstance(tolerance, Mapping) else dict.fromkeys(base.quality, tolerance)
    if allowed.keys() != base.quality.keys() or not all(value >= 0 for value in allowed.values()):
        raise InputError("the tolerance must be at least 0, of each language", field="tolerance", seen=tolerance)
    pairs = sorted({(share, strength) for share in common_shares for strength in strengths})
    wanted = [None if shrinkage is None or fitted.spread is None else shrinkage for shrinkage in whitenings]
    steps = [
        (shrinkage, *pair)
        for shrinkage in dict.fromkeys(wanted)
        for pair in pairs
        if shrinkage is not None or pair != (0.0, 0.0)
    ]
    trials = [Trial(0.0, 0.0, base, harmless=True)]
    for whitening, share, strength in steps:
        scored = score(fitted.affine(strength, share, directions, whitening))
        if scored.quality.keys() != base.quality.keys():
            raise InputError("the score must name the same languages for every map", field="quality")
        harmless = scored.is_harmless(base, allowed, keep_own_first)
        trials.append(Trial(strength, share, scored, harmless, whitening))
    chosen = min((trial for trial in trials if trial.harmless), key=lambda trial: trial.score.bias)
    repair = fitted.affine(chosen.strength, chosen.common_share, directions, chosen.whitening)
    return RepairChoice(repair, chosen, tuple(trials))


def choose_language_maps(
    choice: RepairChoice,
    sample: tuple[ArrayLike, Sequence[str], Sequence[str]],
    score: Callable[[VectorMap], RepairScore],
    *,
    pivot: str,
    tolerance: float = 0.005,
    keep_own_first: float | None = None,
    own_shares: Iterable[float] = OWN_SHARES,
    ridges: Iterable[float] = RIDGES,
    other_means: NDArray[np.float64] | None = None,
    queries: ShortQueries | None = None,
) -> RepairChoice:
    """Choose a map for each language if that is better than one map for all, and as harmless.

    First all languages get the same own share; then, in the order of the tags, the other shares and the shared map are
    tried for each language, with the current choices of the others.

    :param choice: the map for all languages, with all trials so far.
    :param sample: embeddings ``[n, dim]``, with language and parallel group of each, on which the map for all was
        fitted.
    :param score: the score by which that map was chosen.
    :param pivot: the language to which the others are mapped.
    :param tolerance: loss of quality that counts as harmless.
    :param keep_own_first: as for :func:`choose_repair`.
    :param own_shares: shares, 0 to 1, of the rest of the common mean to subtract from the other languages.
    :param ridges: ridges to try.
    :param other_means: means of languages that are not fitted, see
        :func:`~haystack_crossalign.repair.language_maps.fit_language_maps`.
    :param queries: likewise.
    :returns: the choice with the new trials.
    """
    if not isinstance(choice.repair, AffineMap):
        return choice
    chosen, base, shared = choice.chosen, choice.trials[0].score, choice.repair
    parts = [part * (1 - chosen.common_share) for part in own_shares]
    others = sorted(set(sample[1]) - {pivot})
    trials = list(choice.trials)
    best: tuple[Trial, VectorMap] = (chosen, shared)

    def attempt(own_share: OwnShare, ridge: float) -> Trial:
        nonlocal best
        maps = fit_language_maps(
            shared, *sample, pivot=pivot, own_share=own_share, ridge=ridge, others=other_means, queries=queries
        )
        scored = score(maps)
        fine = scored.is_harmless(base, dict.fromkeys(base.quality, tolerance), keep_own_first)
        trial = replace(chosen, score=scored, harmless=fine, own_share=own_share, ridge=ridge)
        trials.append(trial)
        if fine and scored.bias < best[0].score.bias:
            best = (trial, maps)
        return trial

    for ridge in ridges:
        for share in parts:
            attempt(share, ridge)
    start = best[0]
    alike = start.own_share if isinstance(start.own_share, float) else None
    for ridge in () if len(others) < 2 else ridges if start.ridge is None else (start.ridge,):
        path, shares = start, dict.fromkeys(others, alike)
        for tag in others:
            for part in (None, *parts):
                if part != shares[tag]:
                    trial = attempt(shares | {tag: part}, ridge)
                    if trial.harmless and trial.score.bias < path.score.bias:
                        path = trial
            if isinstance(path.own_share, Mapping):
                shares = dict(path.own_share)
    return RepairChoice(best[1], best[0], tuple(trials))
