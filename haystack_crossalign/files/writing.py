"""Atomic writing of files and folders, and non-blocking file locks between processes."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.files.temporary import remove_leftovers, temporary_file, temporary_folder


def resolved_file(path: str | Path, *, source: str | Path | None = None) -> Path:
    """Resolve the links of a path; the file need not exist.

    :param path: the path.
    :param source: option of the path, for the message; the path itself by default.
    :raises InputError: for circular links, and for a name that is too long or invalid.
    """
    try:
        place = Path(path).resolve()
        place.exists()
    except (OSError, RuntimeError, ValueError) as error:
        # Circular links raise a RuntimeError up to Python 3.12.
        reason = getattr(error, "strerror", None) or ("links in a circle" if "loop" in str(error) else "no file name")
        raise InputError(
            f"cannot be used ({reason})", source=source, seen=str(path), allowed="the name of a file"
        ) from error
    return place


def write_atomically(path: str | Path, text: str | bytes) -> None:
    """Write ``text`` (encoded as UTF-8 unless it is bytes) so that ``path`` never contains only a part of it.

    The text goes to a temporary file in the same folder, is flushed to disk and renamed. An existing file keeps its
    permissions, and a link keeps pointing to the file. On failure the temporary file is removed and an existing file is
    unchanged.

    :param path: the file.
    :param text: its new content; line ends are written as they are.
    :raises InputError: if the folder is missing, ``path`` is a folder, a device or a pipe, or the text is not
        valid Unicode.
    :raises ExternalError: if the file cannot be written (permissions, a full disk).
    """
    target = resolved_file(path)
    if not target.parent.is_dir():
        raise InputError("no such folder", source=path, seen=str(target.parent), allowed="a folder that exists")
    if target.is_dir():
        raise InputError("is a directory, not a file", source=path, allowed="a file")
    if target.exists() and not target.is_file():
        # A rename would replace the device or pipe with a file: the whole machine would lose /dev/null.
        raise InputError("not a regular file", source=path, allowed="a file, not a device or a pipe")
    try:
        raw = text if isinstance(text, bytes) else text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            "not valid Unicode (half of a surrogate pair)",
            source=path,
            seen=error.object[max(0, error.start - 10) : error.end + 10],
            allowed="Unicode text",
        ) from error
    try:
        _replace(target, raw)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror})"
        raise ExternalError(msg) from error


def _replace(target: Path, raw: bytes) -> None:
    descriptor, temporary = temporary_file(target)
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
    """Permissions of the file to replace; for a new file, the default of ``open``."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        # The umask can only be read by setting it.
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, if the system can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def take_lock(path: Path, busy: CrossAlignError) -> BaseFileLock:
    """Lock a file; the lock ends with this process, even if it is killed.

    :param path: the file, in an existing folder; created if it is missing.
    :param busy: raised if another process holds the lock.
    :returns: the lock, to be released.
    :raises ExternalError: if it cannot be locked.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        try:
            path.touch()  # without permission to create the file, the lock would only wait for it
        except OSError as fault:
            raise ExternalError(f"{path}: cannot be locked ({fault.strerror})") from fault
        raise busy from error
    except OSError as error:
        raise ExternalError(f"{path}: cannot be locked ({error.strerror})") from error
    return lock


def check_new_folder(path: Path | str, *, source: str = "output") -> Path:
    """Reject an output folder that already exists or cannot be created, before any work is done.

    :param path: the folder to be made.
    :param source: option or key it comes from, for messages.
    :returns: the folder, absolute.
    :raises InputError: if the path exists, or the parent folder is missing or read-only.
    """
    try:
        folder = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow a broken link
        there = folder.exists() or folder.is_symlink()
        above = next(parent for parent in folder.parents if parent.exists())
    except (OSError, RuntimeError, ValueError) as error:
        # The name is too long or has a null character, or the user has no home folder.
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot be used ({reason})", source=source, seen=str(path), allowed="the name of a folder"
        ) from error
    if there:
        raise InputError("already exists", source=source, seen=str(path), allowed="the name of a new folder")
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(
            "a folder cannot be created here", source=source, seen=str(above), allowed="a folder that you may write to"
        )
    remove_leftovers(folder)
    return folder


@contextmanager
def new_folder(path: Path | str, *, source: str = "output") -> Iterator[Path]:
    """Yield a temporary folder next to ``path``, which is renamed to ``path`` at the end of the block, or removed if
    that fails.

    :param path: the folder to be made.
    :param source: option or key it comes from, for messages.
    :raises InputError: as `check_new_folder`, also if another process creates the folder meanwhile.
    :raises ExternalError: if it cannot be written.
    """
    folder = check_new_folder(path, source=source)
    with _told(path):
        folder.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = temporary_folder(folder)
    try:
        yield temporary
        with _told(path):
            settle_tree(temporary)
            check_new_folder(folder, source=source)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def settle_tree(folder: Path) -> None:
    """Prepare a folder for publication by a rename: set the usual permissions, and flush it to disk.

    safetensors and `tempfile` create files that only their owner can read, but a service seldom runs as the user who
    trained its model. Without the flush, a power failure after the rename could leave an incomplete folder.

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
                with suppress(PermissionError):  # some file systems do not support modes
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
