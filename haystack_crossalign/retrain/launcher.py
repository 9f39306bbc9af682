"""Train in processes started by a launcher such as ``accelerate launch``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from haystack_crossalign.errors import EXIT_CODE_FILE, ExternalError
from haystack_crossalign.signals import handled_afterwards

_PATIENCE = 10.0
"""Seconds for a launcher to end its processes; a scheduler that stops a job allows about 30 in total."""


def run_launcher(
    command: Sequence[str], *, patience: float = _PATIENCE, code_file: Path | None = None, lock_file: Path | None = None
) -> int:
    """Run a command to its end, with its output on standard error.

    If this process is interrupted, the command and all processes that it started are ended: workers survive a launcher
    that is merely killed.

    :param command: the command and its arguments.
    :param patience: seconds between SIGTERM and SIGKILL.
    :param code_file: file to which a ``crossalign`` started by the launcher writes its exit code, since launchers do
        not pass on exit codes of workers.
    :param lock_file: file that is locked as long as the command runs, even if this process is killed and the command
        survives.
    :returns: its exit code, or that of its workers if it failed and they wrote one.
    :raises OSError: if it cannot be started.
    :raises ExternalError: if the lock is taken, or its file cannot be made.
    """
    # A new session is a group of processes that can be ended as a whole.
    environment = None
    if code_file is not None:
        code_file.unlink(missing_ok=True)
        environment = os.environ | {EXIT_CODE_FILE: str(code_file)}
    process: subprocess.Popen[bytes] | None = None
    try:
        # A signal while a process starts would lose track of the process.
        with handled_afterwards(signal.SIGINT, signal.SIGTERM), _locked(lock_file) as locks:
            process = subprocess.Popen(  # noqa: S603 - from a configuration
                command, stdout=sys.stderr, start_new_session=True, env=environment, pass_fds=locks
            )
        code = process.wait()
    except BaseException:
        if process is not None:
            try:
                _signal(process, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
            finally:
                _signal(process, signal.SIGKILL)
                process.wait()
        raise
    if code > 0 and code_file is not None and code_file.is_file():
        return int(code_file.read_text(encoding="ascii"))
    return code


@contextmanager
def _locked(path: Path | None) -> Iterator[tuple[int, ...]]:
    """An inheritable descriptor that holds a lock, which is released when the last process with it has ended."""
    if path is None or os.name != "posix":
        yield ()
        return
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ExternalError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ExternalError(f"{path}: another training is running") from error
        except OSError:
            pass  # file system without locks
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
