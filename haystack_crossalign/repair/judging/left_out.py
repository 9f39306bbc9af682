"""What a repair does to a language that it knows nothing about: each language is left out in turn.

A fitted language is left out where two others remain, and judged on its held-out documents. A language that is only
protected is judged on its texts, by the head start of texts in the query's language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.measures.statistics import holm, paired_permutation_test
from haystack_crossalign.repair.directions import LanguageDirections, NothingToRepairError, fit_language_directions
from haystack_crossalign.repair.language_maps import OwnShare, fit_language_maps
from haystack_crossalign.repair.maps.detectors import BetweenOthersError, ShortQueries
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.other_languages import OtherLanguages, reference_language
from haystack_crossalign.repair.scores import HeldOut, pair_depths
from haystack_crossalign.repair.trials import RepairChoice, Trial

HEAD_START = "head start"
MAX_AT_R = "Max@R"
SIGNIFICANT = 0.05
_V = TypeVar("_V")


@dataclass(frozen=True)
class LeftOut:
    """A language under a repair that was made without it.

    :param language: its tag.
    :param measure: ``Max@R`` in the pool of this language and another one, both asked; or ``head start``.
    :param queries: queries, or texts, in both languages.
    :param before: mean before the repair; lower is better.
    :param after: mean after it.
    :param p_value: of no difference: paired permutation test (of log2 Max@R), corrected by Holm for the languages.
    """

    language: str
    measure: str
    queries: int
    before: float
    after: float
    p_value: float

    @property
    def worse(self) -> bool:
        """Whether it got worse beyond chance."""
        return self.after > self.before and self.p_value < SIGNIFICANT


def head_start(vectors: NDArray[np.float32], own: Sequence[int], other: Sequence[int]) -> NDArray[np.float64]:
    """By how much unrelated texts in a query's language score above unrelated ones in the other language.

    For a text ``x_i`` in language L and the versions ``y_j`` of all contents in another language, the mean of
    ``x_i x_j - x_i y_j`` over ``j != i``, divided by the standard deviation of such scores around their means (root of
    the mean of the two variances). It decides how many strangers in the query's language rank above a relevant document
    in the other one.

    :param vectors: ``[n, dim]``, of unit length.
    :param own: rows of the texts in L.
    :param other: rows of their versions in the other language.
    :returns: float64 ``[len(own)]``.
    """
    first, second = vectors[list(own)].astype(np.float64), vectors[list(other)].astype(np.float64)
    same, cross = first @ first.T, first @ second.T
    strangers = ~np.eye(len(first), dtype=bool)
    spread = np.sqrt((same[strangers].var() + cross[strangers].var()) / 2)
    lead = np.where(strangers, same - cross, 0).sum(axis=1) / (len(first) - 1)
    return np.asarray(lead / max(float(spread), 1e-12))


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """Makes the maps of trials again without one language, and judges them.

    :param fitted: the directions.
    :param embeddings: float32 ``[n, dim]`` of the documents to fit on.
    :param languages: tag of each.
    :param groups: parallel group of each, None if they are only tagged.
    :param others: texts of other languages, or None.
    :param held_out: held-out documents with versions in other languages, or None.
    :param pivot: language to which maps for each language lead.
    :param seed: of the permutations.
    :param queries: short queries in the fitted languages, or None.
    """

    fitted: LanguageDirections
    embeddings: NDArray[np.float32]
    languages: Sequence[str]
    groups: Sequence[str] | None
    others: OtherLanguages | None
    held_out: HeldOut | None
    pivot: str
    seed: int = 0
    queries: ShortQueries | None = None

    def choose(self, choice: RepairChoice) -> tuple[RepairChoice, tuple[LeftOut, ...]]:
        """The least biased harmless trial by which no language that was left out gets worse beyond chance.

        :param choice: the choice without this condition, with all trials.
        :returns: the choice, and what it does to each language that was left out; nothing if there is no such language.
        """
        if not (self.kept or self.protected):
            return choice, ()
        harmless = sorted((trial for trial in choice.trials if trial.harmless), key=lambda trial: trial.score.bias)
        # The chosen one first: of equal ones it is the one that changes least.
        for trial in (choice.chosen, *(trial for trial in harmless if trial is not choice.chosen)):
            if not trial.changes:
                break
            found = self.measure(trial)
            if not any(one.worse for one in found):
                repair = choice.repair if trial is choice.chosen else self.build(trial)
                return replace(choice, repair=repair, chosen=trial), found
        return replace(choice, repair=self.fitted.affine(0.0, 0.0), chosen=choice.trials[0]), ()

    def measure(self, trial: Trial) -> tuple[LeftOut, ...]:
        """What the map of a trial, made without a language, does to it; for each language in turn.

        :param trial: strengths, with or without a map for each language.
        """
        measured: list[tuple[str, str, NDArray[np.float64], NDArray[np.float64]]] = []
        for tag in self.kept:
            repair = self.build(trial, without=tag)
            measured.append((tag, MAX_AT_R, self._depths(tag, None), self._depths(tag, repair)))
        for tag in self.protected:
            repair = self.build(trial, without=tag)
            measured.append((tag, HEAD_START, self._head_starts(tag, None), self._head_starts(tag, repair)))
        p_values = holm(
            [
                # Max@R has a long tail, of which the mean of the logarithm depends less.
                paired_permutation_test(*((np.log2(a), np.log2(b)) if kind == MAX_AT_R else (a, b)), seed=self.seed)
                for _, kind, a, b in measured
            ]
        )
        return tuple(
            LeftOut(tag, kind, len(before), float(before.mean()), float(after.mean()), float(p_value))
            for (tag, kind, before, after), p_value in zip(measured, p_values, strict=True)
        )

    def build(self, trial: Trial, without: str | None = None) -> VectorMap:
        """The map of a trial, as if nothing were known of one language.

        :param trial: its strengths.
        :param without: the language.
        """
        rows = [row for row, tag in enumerate(self.languages) if tag != without]
        vectors, tags = self.embeddings[rows], [self.languages[row] for row in rows]
        groups = None if self.groups is None else [self.groups[row] for row in rows]
        if len(rows) == len(self.languages):
            fitted = self.fitted if without is None else self.fitted.without_other(without)
        else:
            others = None if self.others is None or without is None else self.others.without(without)
            try:
                fitted = fit_language_directions(vectors, tags, groups, others)
            except NothingToRepairError:  # the others differ from no language but the one that is left out
                return self.fitted.affine(0.0, 0.0)
        whitening = trial.whitening if fitted.spread is not None else None
        shared = fitted.affine(trial.strength, trial.common_share, None, whitening)
        margins = None if trial.own_margins is None else _without(trial.own_margins, without)
        if groups is None or self.pivot not in tags or (trial.own_share is None and not margins):
            return shared
        shares: OwnShare
        if trial.own_share is None:
            shares = dict.fromkeys(set(tags) - {self.pivot})
        elif isinstance(trial.own_share, int | float):
            shares = trial.own_share
        else:
            shares = _without(trial.own_share, without)
        try:
            return fit_language_maps(
                shared, vectors, tags, groups, pivot=self.pivot, own_share=shares, ridge=trial.ridge or 1.0,
                others=fitted.other_means, own_margins=margins,
                queries=None if self.queries is None else self.queries.without(without),
            )  # fmt: skip
        except BetweenOthersError:  # without the language that separates two others
            return shared

    @property
    def kept(self) -> tuple[str, ...]:
        """Fitted languages that can be left out: those of three or more that held-out queries are in."""
        asked = set() if self.held_out is None else set(self.held_out.query_languages)
        return tuple(tag for tag in self.fitted.languages if tag in asked) if len(self.fitted.languages) > 2 else ()

    @property
    def protected(self) -> tuple[str, ...]:
        """Languages that are only protected, and have parallel texts."""
        return tuple(tag for tag in self.fitted.others if len(self._versions(tag)[0]) > 2)

    def _depths(self, language: str, repair: VectorMap | None) -> NDArray[np.float64]:
        """Max@R of the held-out queries in a language and in another one, pool of both."""
        if self.held_out is None:
            msg = "there are no held-out documents"
            raise ValueError(msg)
        rest = [tag for tag in self.kept if tag != language]
        return pair_depths(self.held_out, (language, self.pivot if self.pivot in rest else rest[0]), repair)

    def _versions(self, language: str) -> tuple[list[int], list[int]]:
        """Rows of the texts in a language, and of their versions in the one it is compared with."""
        if self.others is None:
            return [], []
        others = [tag for tag in self.others.languages if tag != language]
        reference = reference_language(self.fitted.languages, others, self.pivot)
        own, other = self.others.of(language), self.others.of(reference)
        shared = sorted(own.keys() & other.keys())
        return [own[group] for group in shared], [other[group] for group in shared]

    def _head_starts(self, language: str, repair: VectorMap | None) -> NDArray[np.float64]:
        if self.others is None:
            msg = "there are no other languages"
            raise ValueError(msg)
        own, other = self._versions(language)
        rows = [*own, *other]
        vectors = self.others.vectors[rows].astype(np.float32)
        vectors = vectors if repair is None else repair.apply(vectors)
        first, second = range(len(own)), range(len(own), len(rows))
        return np.concatenate([head_start(vectors, first, second), head_start(vectors, second, first)])


def _without(values: Mapping[str, _V], language: str | None) -> dict[str, _V]:
    return {tag: value for tag, value in values.items() if tag != language}
