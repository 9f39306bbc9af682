"""Signals are deferred over work that would lose them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from haystack_crossalign.signals import handled_afterwards


@pytest.fixture
def interrupting() -> Iterator[None]:
    """SIGTERM raises, as in the command line."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("interrupting")
def test_a_signal_within_work_that_swallows_everything_is_handled_afterwards() -> None:
    done = []

    def work() -> None:
        # As modules do that are imported on trial.
        with handled_afterwards(signal.SIGTERM), suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
            done.append("the work went on")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the work went on"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("interrupting")
def test_without_a_signal_nothing_changes_in_any_thread() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with handled_afterwards(signal.SIGTERM):
            seen.append(signal.getsignal(signal.SIGTERM))

    with handled_afterwards(signal.SIGTERM, signal.SIGINT):
        assert signal.getsignal(signal.SIGTERM) is not before
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
    assert signal.getsignal(signal.SIGTERM) is before
