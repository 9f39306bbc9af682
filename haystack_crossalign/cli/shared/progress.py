"""Progress on standard error, of what takes more than two seconds: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.models.quiet import announce_to

_DELAY = 1.0
"""Seconds before a bar appears."""

_SILENCE = 2.0
"""Seconds without a line before the first one; each further one comes after twice the time."""


@contextmanager
def told_if_slow(what: str) -> Iterator[None]:
    """Print a line if the work within the block takes long; not for work that knows how far it is.

    :param what: the work, as the beginning of a sentence.
    """
    timer = threading.Timer(_SILENCE, lambda: say(f"crossalign: {what} …", err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Lines:
    """One line per stage that takes long, and further ones after twice the time each."""

    def __init__(self) -> None:
        self._stage = ""
        self._state = ""
        self._started: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._timer: threading.Timer | None = None

    def __call__(self, stage: str, done: int, total: int, more: str = "") -> None:
        """Report progress of a stage.

        :param stage: its name.
        :param done: amount done.
        :param total: amount of all.
        :param more: what else is known.
        """
        now = time.perf_counter()
        seconds = now - self._started.setdefault(stage, now)
        self._state = f"crossalign: {stage}: {done:,} of {total:,}{more and f', {more}'}"
        new, self._stage = stage != self._stage, stage
        if new or done >= total:
            self.close()
        if new and done < total:
            # A stage may take long before it reports a second time.
            self._timer = threading.Timer(_SILENCE, self._first, [stage])
            self._timer.daemon = True
            self._timer.start()
        elif done < total and stage in self._due and seconds >= self._due[stage]:
            self._say(stage, seconds)

    def close(self) -> None:
        """Nothing more is printed."""
        if self._timer is not None:
            self._timer.cancel()

    def _first(self, stage: str) -> None:
        self._say(stage, _SILENCE)

    def _say(self, stage: str, seconds: float) -> None:
        self._due[stage] = 2 * seconds
        say(self._state, err=True)


class Stages:
    """One bar per stage, called with the stage's name, the amount done and the total; records the time of each stage.

    Where standard error is not a terminal, there are lines instead, fewer the longer a stage takes. From now on the
    loading of models is also told.

    :param show: whether to show anything; times are always recorded.
    """

    def __init__(self, *, show: bool) -> None:
        self.seconds: dict[str, float] = {}
        shown = show and sys.stderr is not None and sys.stderr.isatty()
        if not shown:
            # Disable bars of libraries that are imported later, such as for the download of a model.
            os.environ.setdefault("TQDM_DISABLE", "1")
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not shown,
        )
        self._lines = Lines() if show and not shown else None
        announce_to(told_if_slow if show else None)
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report progress of a stage."""
        now = time.perf_counter()
        started = self._started.setdefault(stage, now)
        self.seconds[stage] = now - started
        if self._lines is not None:
            self._lines(stage, done, total)
        elif stage in self._tasks:
            self._bars.update(self._tasks[stage], completed=done, total=total)
        elif now - started >= _DELAY and done < total:
            self._tasks[stage] = self._bars.add_task(stage, completed=done, total=total)

    def __enter__(self) -> Stages:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the bars, also after an error, so that its message is on a separate line."""
        if self._lines is not None:
            self._lines.close()
        self._bars.stop()
