"""Defer what would be lost in some work, or slow it down: signals, and the collection of garbage."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def handled_afterwards(*numbers: signal.Signals) -> Iterator[None]:
    """Defer signals to the end of the block; outside of the main thread, which alone handles signals, nothing changes.

    :param numbers: the signals.
    """
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
        before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def collected_afterwards() -> Iterator[None]:
    """Collect no garbage within imports, which leave next to none: looking for it is a fifth of the time they take."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Import libraries that take seconds: handle an interrupt only afterwards, and collect no garbage.

    Whoever imports a module on trial may swallow what is raised in it, so that the Ctrl-C of a user or the SIGTERM of a
    scheduler would be lost, and the program would go on.
    """
    with handled_afterwards(signal.SIGINT, signal.SIGTERM), collected_afterwards():
        yield


def import_model_libraries() -> None:
    """Import torch and sentence-transformers."""
    with importing():
        import sentence_transformers  # noqa: F401


def import_torch() -> None:
    """Import torch alone."""
    with importing():
        import torch  # noqa: F401
