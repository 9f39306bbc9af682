"""Locks between processes that are taken at once or not at all."""

from __future__ import annotations

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from haystack_crossalign.errors import CrossAlignError, ExternalError

__all__ = ["take_lock"]


def take_lock(path: Path, busy: CrossAlignError) -> BaseFileLock:
    """Lock a file, which goes with this process however it ends.

    :param path: the file; made where it is missing, in a folder that exists.
    :param busy: raised when another process holds it.
    :returns: the lock, to be released.
    :raises ExternalError: when it cannot be locked.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        try:
            path.touch()  # where no file can be made, the lock only waits for one
        except OSError as fault:
            raise ExternalError(f"{path}: cannot be locked ({fault.strerror})") from fault
        raise busy from error
    except OSError as error:
        raise ExternalError(f"{path}: cannot be locked ({error.strerror})") from error
    return lock
