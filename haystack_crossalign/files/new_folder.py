"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from haystack_crossalign.errors import ExternalError, InputError

__all__ = ["check_new_folder", "new_folder", "settle_tree"]


def check_new_folder(path: Path | str, *, source: str = "output") -> Path:
    """Refuse an output folder that is there already or cannot be made, before any work is done.

    :param path: the folder to be made.
    :param source: option or key it comes from, for messages.
    :returns: the folder, absolute.
    :raises InputError: when something stands there, or the folder above is missing or read-only.
    """
    folder = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow a broken link
    if folder.exists() or folder.is_symlink():
        raise InputError("is there already", source=source, seen=str(path), allowed="the name of a new folder")
    above = next(one for one in folder.parents if one.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(
            "no folder can be made here", source=source, seen=str(above), allowed="a folder that you may write to"
        )
    return folder


@contextmanager
def new_folder(path: Path | str, *, source: str = "output") -> Iterator[Path]:
    """Give a temporary folder beside ``path``; it gets the name when the block ends, and is removed when it fails.

    :param path: the folder to be made.
    :param source: option or key it comes from, for messages.
    :raises InputError: as `check_new_folder`, also when another process made the folder meanwhile.
    :raises ExternalError: when it cannot be written.
    """
    folder = check_new_folder(path, source=source)
    with _told(path):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:40]}.", suffix=".tmp"))
    try:
        yield temporary
        with _told(path):
            settle_tree(temporary)
            check_new_folder(folder, source=source)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def settle_tree(folder: Path) -> None:
    """Make a folder ready to be handed over by a rename: with the usual permissions, and flushed to the disk.

    safetensors and `tempfile` make what nobody else can read, and a service seldom runs as who trained its model.
    Without the flush a power cut after the rename may show half of it.

    :param folder: the folder.
    """
    if os.name != "posix":
        return
    umask = os.umask(0)
    os.umask(umask)
    for path in (folder, *sorted(folder.rglob("*"))):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            usual = mode | ((0o777 if path.is_dir() else 0o666) & ~umask)
            if usual != mode:
                with suppress(PermissionError):  # some file systems have no modes of their own
                    path.chmod(usual)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _told(path: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExternalError(f"{path}: cannot be written: {error.strerror or error}") from error
