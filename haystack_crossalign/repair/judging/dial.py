"""The dial between every version in the top 10 and the own language first: the strength of the projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.trials import RepairChoice, RepairScore, Trial

TILTS = (-1.0, 0.0, 1.0)
DIAL = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class Dial:
    """What each strength gives, with all other settings those of the choice.

    At strength s a share of (1 - s) squared of the product of two texts' language parts remains, in the vectors and so
    in every search: a constant in favor of documents in the query's language (of one language only with a tilt).

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
    :param languages: number of fitted languages.
    """

    build: Callable[[Trial], VectorMap]
    score: Callable[[VectorMap], RepairScore]
    tolerance: Mapping[str, float]
    keep_own_first: float | None
    queries: Mapping[str, int]
    languages: int = 0

    def refine(self, choice: RepairChoice) -> RepairChoice:
        """With a bound on the own language first: the least biased harmless strength, in steps of a tenth.

        Of two languages one often loses its own documents in front and the other does not. Then what remains of their
        direction can be tilted in favor of the one, so that the other gives up nothing for it.

        :param choice: the choice so far; its trials come to hold those of the dial.
        """
        if self.keep_own_first is None or not choice.chosen.changes:
            return choice
        trials = self._trials(choice)
        if self.languages == 2:
            for tilt in TILTS:
                trials += self._trials(choice, tilt)
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

    def _trials(self, choice: RepairChoice, tilt: float | None = None) -> list[Trial]:
        """Trials with the settings of the choice and every strength, those that were tried already and new ones.

        :param tilt: a tilt in place of that of the choice; None for that of the choice.
        """
        chosen, base = choice.chosen, choice.trials[0].score
        if tilt is not None:
            chosen = replace(chosen, tilt=tilt)
        known = {trial.strength: trial for trial in choice.trials if _settings(trial) == _settings(chosen)}
        if tilt is None:
            known[chosen.strength] = chosen
        for strength in DIAL:
            trial = replace(chosen, strength=strength)
            if strength not in known and trial.changes:
                score = self.score(self.build(trial))
                harmless = score.is_harmless(base, self.tolerance, self.keep_own_first)
                known[strength] = replace(trial, score=score, harmless=harmless)
        return [known[strength] for strength in sorted(known) if known[strength].changes]


def _settings(trial: Trial) -> Sequence[Any]:
    return trial.common_share, trial.whitening, trial.own_share, trial.ridge, trial.tilt
