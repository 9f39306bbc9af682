"""Defer signals over work during which they would be lost."""

from __future__ import annotations

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


def import_model_libraries() -> None:
    """Import torch and sentence-transformers, which takes seconds, and handle an interrupt only afterwards.

    Whoever imports a module on trial may swallow what is raised in it, so that the Ctrl-C of a user or the SIGTERM of a
    scheduler would be lost, and the program would go on.
    """
    with handled_afterwards(signal.SIGINT, signal.SIGTERM):
        import sentence_transformers  # noqa: F401


def import_torch() -> None:
    """Import torch alone, as `import_model_libraries`."""
    with handled_afterwards(signal.SIGINT, signal.SIGTERM):
        import torch  # noqa: F401
