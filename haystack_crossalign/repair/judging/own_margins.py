"""The least margins by which documents in a query's own language stay in front, as far as a bound demands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.trials import RepairChoice, RepairScore, Trial

MARGINS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16)
"""Margins to try, as a cosine."""

_CANDIDATES = 12
"""Trials that are tried with margins: the least biased ones that only the bound refuses."""


def least_margins(
    languages: Iterable[str], refused: Callable[[Mapping[str, float]], Iterable[str]]
) -> dict[str, float] | None:
    """The least margin of each language, of :data:`MARGINS`, with which the bound is kept.

    A margin lifts documents in a language for queries in that language only, so each language is bisected by itself,
    all at the same time. What margins of others change besides (they lengthen vectors) is corrected step by step.

    :param languages: tags.
    :param refused: languages that lose more than the bound allows, with the margins given.
    :returns: margins by tag; None where the greatest ones do not suffice.
    """
    last = len(MARGINS) - 1
    too_small = {tag: 0 for tag in refused({}) if tag in set(languages)}
    enough = dict.fromkeys(too_small, last)

    def margins(places: Mapping[str, int]) -> dict[str, float]:
        return {tag: MARGINS[place] for tag, place in sorted(places.items()) if place}

    while any(enough[tag] - too_small[tag] > 1 for tag in enough):
        middle = {tag: (too_small[tag] + enough[tag] + 1) // 2 for tag in enough}
        still = set(refused(margins(middle)))
        for tag, place in middle.items():
            if tag in still and place < last:
                too_small[tag] = place
            else:
                enough[tag] = place
    places = dict.fromkeys(languages, 0) | enough
    while still := set(refused(margins(places))):
        if any(places.get(tag, last) == last for tag in still):
            return None
        for tag in still:
            places[tag] += 1
    return margins(places)


@dataclass(frozen=True, eq=False)
class MarginSearch:
    """Adds margins to trials that only the bound on the own language first refuses.

    :param build: makes the map of a trial.
    :param score: scores a map on the held-out documents.
    :param tolerance: accepted loss of same-language retrieval, for each language.
    :param keep_own_first: accepted loss of the own language first; None accepts any.
    """

    build: Callable[[Trial], VectorMap]
    score: Callable[[VectorMap], RepairScore]
    tolerance: Mapping[str, float]
    keep_own_first: float | None

    def refine(self, choice: RepairChoice) -> RepairChoice:
        """The least biased map that keeps to the bound, with margins or without.

        :param choice: the choice so far.
        :returns: the choice, with the trials that were added.
        """
        base, best, new = choice.trials[0].score, choice.chosen, list[Trial]()
        if self.keep_own_first is None or base.own_first is None:
            return choice
        refused = [t for t in choice.trials if not t.harmless and t.score.is_harmless(base, self.tolerance)]
        for trial in sorted(refused, key=lambda trial: trial.score.bias)[:_CANDIDATES]:
            if trial.score.bias >= best.score.bias:  # a margin only adds to the bias
                break
            tried = self._with_margins(trial, base)
            new += tried
            best = min((best, *(one for one in tried if one.harmless)), key=lambda trial: trial.score.bias)
        choice = replace(choice, trials=(*choice.trials, *new))
        return choice if best is choice.chosen else replace(choice, repair=self.build(best), chosen=best)

    def _with_margins(self, trial: Trial, base: RepairScore) -> list[Trial]:
        """The trial with each set of margins that was tried."""
        tried: list[Trial] = []

        def refused(margins: Mapping[str, float]) -> list[str]:
            candidate = trial
            if margins:
                score = self.score(self.build(replace(trial, own_margins=margins)))
                harmless = score.is_harmless(base, self.tolerance, self.keep_own_first)
                candidate = replace(trial, own_margins=margins, score=score, harmless=harmless)
                tried.append(candidate)
            return candidate.score.beyond(base, self.keep_own_first)

        least_margins(sorted(base.own_first or ()), refused)
        return tried
