"""Training in processes that a launcher starts, such as ``accelerate launch``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from haystack_crossalign.errors import EXIT_CODE_FILE, ExternalError

_PATIENCE = 10.0
"""Seconds that a launcher has to end its processes; a scheduler that ends a job gives about 30 in all."""


def run_launcher(
    command: Sequence[str], *, patience: float = _PATIENCE, code_file: Path | None = None, lock_file: Path | None = None
) -> int:
    """Run a command to its end, its output on standard error.

    When this process is interrupted, the command and all that it started are ended: workers outlive a launcher that is
    only killed.

    :param command: the command and its arguments.
    :param patience: seconds to end after SIGTERM, before SIGKILL.
    :param code_file: where a ``crossalign`` that the launcher starts leaves its exit code: a launcher ends with one of
        its own, whatever its workers end with.
    :param lock_file: a file that is locked as long as the command runs, also when this process is killed, which leaves
        the command to itself.
    :returns: its exit code, or that of its workers where it failed and they left one.
    :raises OSError: if it cannot be started.
    :raises ExternalError: if the lock is taken, or its file cannot be made.
    """
    # A session of its own is a group of processes that can be ended as a whole.
    environment = None
    if code_file is not None:
        code_file.unlink(missing_ok=True)
        environment = os.environ | {EXIT_CODE_FILE: str(code_file)}
    process: subprocess.Popen[bytes] | None = None
    try:
        with _handled_afterwards(signal.SIGINT, signal.SIGTERM), _locked(lock_file) as locks:
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
    """A descriptor that holds a lock, to be inherited: the lock goes when the last process with it has ended."""
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
            pass  # a file system without such locks
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextmanager
def _handled_afterwards(*numbers: signal.Signals) -> Iterator[None]:
    """Signals that come in the block are handled at its end: one that comes while a process starts would lose it."""
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():  # only there are they handled
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
