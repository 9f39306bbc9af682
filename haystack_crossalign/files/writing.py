"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from haystack_crossalign.errors import ExternalError, InputError

__all__ = ["write_atomically"]


def write_atomically(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, so that ``path`` never holds a part of it.

    The text goes to a temporary file in the same folder, is flushed to the disk and renamed. A file that was there
    keeps its permissions, a link keeps pointing to the file. On failure the temporary file is removed and what was
    there stays.

    :param path: the file.
    :param text: its new content; line ends are written as they are.
    :raises InputError: where the folder is missing, ``path`` is a folder, a device or a pipe, or the text is not
        valid Unicode.
    :raises ExternalError: where the file cannot be written (permissions, a full disk).
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise InputError("no such folder", source=path, seen=str(target.parent), allowed="a folder that exists")
    if target.is_dir():
        raise InputError("a directory stands where a file is needed", source=path, allowed="a file")
    if target.exists() and not target.is_file():
        # A rename would put a file in the place of the device or pipe: /dev/null would be lost to the whole machine.
        raise InputError("not a regular file", source=path, allowed="a file, not a device or a pipe")
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            "not valid Unicode (half of a surrogate pair)",
            source=path,
            seen=text[max(0, error.start - 10) : error.end + 10],
            allowed="Unicode text",
        ) from error
    try:
        _replace(target, raw)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror})"
        raise ExternalError(msg) from error


def _replace(target: Path, raw: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(_mode(target))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _mode(target: Path) -> int:
    """Permissions of the file that is replaced; of a new file, those that ``open`` gives."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        # The umask can only be read by setting it.
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, where the system can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
