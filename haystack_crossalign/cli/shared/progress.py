"""Progress bars on standard error: only on a terminal, and only for stages that take time."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_DELAY = 1.0
"""Seconds before a bar appears."""


class Stages:
    """One bar per stage, called with the stage's name, the amount done and the total; records the time of each stage.

    :param show: whether to draw; times are always recorded.
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
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report progress of a stage."""
        now = time.perf_counter()
        started = self._started.setdefault(stage, now)
        self.seconds[stage] = now - started
        if stage in self._tasks:
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
        self._bars.stop()
