"""Training in processes that a launcher starts, such as ``accelerate launch``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["run_launcher"]

_PATIENCE = 10.0
"""Seconds that a launcher has to end its processes; a scheduler that ends a job gives about 30 in all."""


def run_launcher(command: Sequence[str], *, patience: float = _PATIENCE) -> int:
    """Run a command to its end, its output on standard error.

    When this process is interrupted, the command and all that it started are ended: workers outlive a launcher that is
    only killed.

    :param command: the command and its arguments.
    :param patience: seconds to end after SIGTERM, before SIGKILL.
    :returns: its exit code.
    :raises OSError: when it cannot be started.
    """
    # A session of its own is a group of processes that can be ended as a whole.
    process = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)  # noqa: S603 - from a configuration
    try:
        return process.wait()
    except BaseException:
        try:
            _signal(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        finally:
            _signal(process, signal.SIGKILL)
            process.wait()
        raise


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
