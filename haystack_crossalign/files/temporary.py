"""Temporary files next to an output: locked while their process lives, removed by the next run if it died."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_SUFFIX = ".tmp"
_RANDOM = re.compile(r"[a-z0-9_]{8}")  # random part of names made by `tempfile`


def temporary_file(target: Path) -> tuple[int, Path]:
    """Create a file next to a target, locked until its descriptor is closed.

    :param target: the file it will replace.
    :returns: descriptor for writing, and path.
    :raises OSError: if it cannot be made.
    """
    remove_leftovers(target)
    while True:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=_SUFFIX)
        if _locked(descriptor) and _same(descriptor, name):
            return descriptor, Path(name)
        os.close(descriptor)  # another run removed it as a leftover before it was locked


def temporary_folder(target: Path) -> tuple[int | None, Path]:
    """Create a folder next to a target, locked until the descriptor is closed.

    :param target: the folder whose name it will get.
    :returns: descriptor to close (None if folders cannot be opened), and path.
    :raises OSError: if it cannot be made.
    """
    remove_leftovers(target)
    while True:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target), suffix=_SUFFIX))
        if os.name != "posix":
            return None, folder
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            if _locked(descriptor) and _same(descriptor, folder):
                return descriptor, folder
            os.close(descriptor)


def remove_leftovers(target: Path) -> None:
    """Remove temporary files and folders of a target whose process has died, ignoring those that cannot be removed.

    :param target: the output for which they were created.
    """
    if os.name != "posix":
        return
    prefix = _prefix(target)
    with suppress(OSError):
        for entry in list(os.scandir(target.parent)):
            name = entry.name
            if not (name.startswith(prefix) and name.endswith(_SUFFIX)):
                continue
            if _RANDOM.fullmatch(name[len(prefix) : -len(_SUFFIX)]) and not entry.is_symlink():
                _remove_unowned(Path(entry.path), folder=entry.is_dir(follow_symlinks=False))


def _remove_unowned(path: Path, *, folder: bool) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if _locked(descriptor, wait=False):
                if folder:
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
        finally:
            os.close(descriptor)


def _prefix(target: Path) -> str:
    return f".{target.name[:40]}."


def _locked(descriptor: int, *, wait: bool = True) -> bool:
    """Lock a descriptor. On a file system without locks nothing is known to be a leftover, so nothing is removed."""
    if os.name != "posix":
        return wait
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return wait
    return True


def _same(descriptor: int, path: str | Path) -> bool:
    """Whether a path still names the file that a descriptor has open."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 - beside fstat
    except FileNotFoundError:
        return False
