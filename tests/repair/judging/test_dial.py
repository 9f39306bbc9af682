"""The dial: strengths between every version in the top 10 and the own language first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.judging.dial import DIAL, DialMeasure
from haystack_crossalign.repair.judging.notes import own_first_notes
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.trials import RepairChoice, RepairScore, Trial

TOLERANCE, QUERIES = {"en": 0.005}, {"en": 500}
BASE = RepairScore(100.0, {"en": 0.9}, {"en": 0.8}, {"en": 0.1})


def build(trial: Trial) -> AffineMap:
    """A map whose first number is the strength, so that the score can read it."""
    return AffineMap(np.eye(2, dtype=np.float32) * (1 + trial.strength), np.zeros(2, np.float32))


class Score:
    """Bias falls and the own language first falls with the strength; counts what it was asked for."""

    def __init__(self) -> None:
        self.strengths: list[float] = []

    def __call__(self, repair: VectorMap) -> RepairScore:
        assert isinstance(repair, AffineMap)
        strength = round(float(repair.matrix[0, 0]) - 1, 2)
        self.strengths.append(strength)
        return scored(strength)


def scored(strength: float) -> RepairScore:
    own = 0.8 - 0.1 * strength
    return RepairScore(100 - 90 * strength, {"en": 0.9}, {"en": own}, {"en": 0.1 + 0.5 * strength})


def choice_of(strengths: Sequence[float], chosen: float, share: float = 0.4) -> RepairChoice:
    trials = [Trial(0.0, 0.0, BASE, harmless=True)]
    trials += [Trial(one, share, scored(one), harmless=one <= chosen) for one in strengths]
    (taken,) = [trial for trial in trials[1:] if trial.strength == chosen]
    return RepairChoice(build(taken), taken, tuple(trials))


def test_every_tenth_and_the_taken_strength_are_on_the_dial_and_none_is_tried_twice() -> None:
    score = Score()
    dial = DialMeasure(build, score, TOLERANCE, None, QUERIES).measure(choice_of([0.25, 0.5, 1.0], 0.25))
    assert dial is not None
    assert [trial.strength for trial in dial.points] == sorted({*DIAL, 0.25})
    assert sorted(score.strengths) == [one for one in DIAL if one not in (0.5, 1.0)]
    assert dial.points[dial.taken].strength == 0.25
    data = dial.to_dict()
    assert data["taken"] == 0.25
    assert data["queries"] == QUERIES
    assert data["before"] == {"complete": {"en": 0.1}, "own_first": {"en": 0.8}}
    assert [point["complete"]["en"] for point in data["points"]] == pytest.approx(
        [0.1 + 0.5 * trial.strength for trial in dial.points]
    )


def test_a_bound_takes_the_strongest_step_that_keeps_it() -> None:
    # 0.8 - 0.1 s may fall by 0.073: up to s = 0.7 of the steps.
    measure = DialMeasure(build, Score(), TOLERANCE, 0.073, QUERIES)
    refined = measure.refine(choice_of([0.25, 0.5, 0.75, 1.0], 0.5))
    assert refined.chosen.strength == 0.7
    assert refined.chosen.common_share == 0.4
    assert isinstance(refined.repair, AffineMap)
    assert refined.repair.matrix[0, 0] == pytest.approx(1.7)
    assert {trial.strength for trial in refined.trials} >= set(DIAL)
    dial = measure.measure(refined)
    assert dial is not None
    assert [trial.strength for trial in dial.points if not trial.harmless] == [0.75, 0.8, 0.9, 1.0]


def test_without_a_bound_the_choice_stays() -> None:
    choice = choice_of([0.5, 1.0], 0.5)
    assert DialMeasure(build, Score(), TOLERANCE, None, QUERIES).refine(choice) is choice


def test_what_a_bound_costs_is_said() -> None:
    choice = choice_of([0.5, 0.7, 1.0], 0.5)
    (told,) = own_first_notes(choice, TOLERANCE, 0.06)
    assert "--keep-own-first off) Max@R is 10.0 in place of 55.0" in told  # 100 - 90 s
    assert "of the queries in en 70 % find their own version first, in place of 80 %" in told
    assert "At most 6 points are given up" in told
    assert own_first_notes(choice, TOLERANCE, None) == []
    # What same-language retrieval forbids, the bound has not cost.
    harmful = [replace(trial, score=replace(trial.score, quality={"en": 0.1})) for trial in choice.trials[2:]]
    assert own_first_notes(replace(choice, trials=(*choice.trials[:2], *harmful)), TOLERANCE, 0.06) == []


def test_there_is_no_dial_where_nothing_changes_or_nothing_was_measured() -> None:
    unchanged = RepairChoice(build(Trial(0.0, 0.0, BASE, harmless=True)), Trial(0.0, 0.0, BASE, harmless=True), ())
    measure = DialMeasure(build, Score(), TOLERANCE, None, QUERIES)
    assert measure.measure(RepairChoice(unchanged.repair, unchanged.chosen, (unchanged.chosen,))) is None
    blind = Trial(0.0, 0.0, RepairScore(1.0, {"en": 0.9}), harmless=True)
    changed = Trial(1.0, 0.0, RepairScore(0.5, {"en": 0.9}), harmless=True)
    assert measure.measure(RepairChoice(build(changed), changed, (blind, changed))) is None
