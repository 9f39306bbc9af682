"""The load limit, with a clock of its own: how long it waits, to the second."""

from __future__ import annotations

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.audit.pacing import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_limit_nothing_waits(clock: Clock) -> None:
    pace = Pace(None, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        pace.spend(10**9)
    assert clock.slept == []
    assert pace.batch(10**9, 16) == 16
    assert pace.seconds(10**9) == 0.0


def test_what_goes_beyond_the_budget_is_paid_for_by_the_next_wait(clock: Clock) -> None:
    pace = Pace(100.0, clock=clock, sleep=clock.sleep)
    pace.spend(100)  # the bucket is full at first
    pace.spend(250)  # empty, not in debt: sent at once
    assert clock.slept == []
    pace.spend(50)  # 250 in debt at 100 a second
    assert clock.slept == [pytest.approx(2.5)]
    clock.now += 0.2  # 20 of the 50 are paid meanwhile
    pace.spend(1)
    assert clock.slept[1] == pytest.approx(0.3)
    assert pace.waited == pytest.approx(2.8)


def test_idle_time_saves_up_no_more_than_a_second(clock: Clock) -> None:
    pace = Pace(100.0, clock=clock, sleep=clock.sleep)
    clock.now += 3600
    pace.spend(300)
    pace.spend(0)
    assert clock.slept == [pytest.approx(2.0)]


def test_over_a_long_time_the_rate_is_kept(clock: Clock) -> None:
    pace, start, spent = Pace(1000.0, clock=clock, sleep=clock.sleep), clock.now, 0
    for number in range(200):
        documents = 137 * (number % 7)
        pace.spend(documents)
        spent += documents
    assert spent - 137 * 6 <= 1000.0 * (clock.now - start + 1)
    assert clock.now - start == pytest.approx(spent / 1000.0, abs=2.0)


def test_requests_are_cut_to_a_seconds_worth() -> None:
    pace = Pace(1000.0)
    assert [pace.batch(documents, 16) for documents in (10, 100, 400, 5000, 0)] == [16, 10, 2, 1, 16]
    assert pace.seconds(5000) == 5.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_lets_nothing_pass_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="--max-load"):
        Pace(rate)
