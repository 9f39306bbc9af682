"""The dial between every version in the top 10 and the own language first: the strength of the projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.trials import RepairChoice, RepairScore, Trial

DIAL = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class Dial:
    """What each strength gives, with all other settings those of the choice.

    At strength s a share of (1 - s) squared of the product of two texts' language parts remains, in the vectors and so
    in every search: a constant in favor of documents in the query's language. Own margins of the choice add to it.

    :param before: the model as it is.
    :param points: trials by ascending strength; the one that was taken among them.
    :param taken: index of that one.
    :param queries: number of queries of each language behind the shares.
    """

    before: RepairScore
    points: tuple[Trial, ...]
    taken: int
    queries: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Content of ``dial`` in ``repair.json``."""

        def shares(score: RepairScore) -> dict[str, Any]:
            return {
                name: None if values is None else dict(sorted(values.items()))
                for name, values in (("complete", score.complete), ("own_first", score.own_first))
            }

        points = [
            {"strength": trial.strength, "bias": trial.score.bias, **shares(trial.score), "harmless": trial.harmless}
            for trial in self.points
        ]
        return {
            "queries": dict(sorted(self.queries.items())),
            "before": shares(self.before),
            "points": points,
            "taken": self.points[self.taken].strength,
        }


@dataclass(frozen=True, eq=False)
class DialMeasure:
    """Tries strengths.

    :param build: makes the map of a trial.
    :param score: scores a map on the held-out documents.
    :param tolerance: accepted loss of quality, for each language.
    :param keep_own_first: accepted loss of the own language first; None accepts any.
    :param queries: number of queries of each language.
    """

    build: Callable[[Trial], VectorMap]
    score: Callable[[VectorMap], RepairScore]
    tolerance: Mapping[str, float]
    keep_own_first: float | None
    queries: Mapping[str, int]

    def refine(self, choice: RepairChoice) -> RepairChoice:
        """With a bound on the own language first: the least biased harmless strength, in steps of a tenth.

        :param choice: the choice so far; its trials come to hold those of the dial.
        """
        if self.keep_own_first is None or not choice.chosen.changes:
            return choice
        trials = self._trials(choice)
        best = min((trial for trial in trials if trial.harmless), key=lambda trial: trial.score.bias)
        new = tuple(trial for trial in trials if all(trial is not one for one in choice.trials))
        choice = replace(choice, trials=(*choice.trials, *new))
        return choice if best is choice.chosen else replace(choice, repair=self.build(best), chosen=best)

    def measure(self, choice: RepairChoice) -> Dial | None:
        """The dial of a choice; None where nothing changes, or own and other languages are not in one pool.

        :param choice: the choice.
        """
        before = choice.trials[0].score
        if not choice.chosen.changes or before.own_first is None or before.complete is None:
            return None
        points = self._trials(choice)
        taken = next(row for row, trial in enumerate(points) if trial is choice.chosen)
        return Dial(before, tuple(points), taken, self.queries)

    def _trials(self, choice: RepairChoice) -> list[Trial]:
        """Trials with the settings of the choice and every strength, those that were tried already and new ones."""
        chosen, base = choice.chosen, choice.trials[0].score
        known = {trial.strength: trial for trial in choice.trials if _settings(trial) == _settings(chosen)}
        known[chosen.strength] = chosen
        for strength in DIAL:
            trial = replace(chosen, strength=strength)
            if strength not in known and trial.changes:
                score = self.score(self.build(trial))
                harmless = score.is_harmless(base, self.tolerance, self.keep_own_first)
                known[strength] = replace(trial, score=score, harmless=harmless)
        return [known[strength] for strength in sorted(known) if known[strength].changes]


def _settings(trial: Trial) -> Sequence[Any]:
    return trial.common_share, trial.whitening, trial.own_share, trial.ridge, trial.own_margins
