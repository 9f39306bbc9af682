"""Write files and folders whole or not at all, and take locks between processes without waiting."""

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
    """The file that a path names once its links are followed; it need not exist.

    :param path: the path.
    :param source: option that it comes from, for the message; the path itself by default.
    :raises InputError: for a link to itself, a name that is too long, or one that no file can have.
    """
    try:
        place = Path(path).resolve()
        place.exists()
    except (OSError, RuntimeError, ValueError) as error:
        # A link that leads to itself is a RuntimeError up to Python 3.12.
        reason = getattr(error, "strerror", None) or ("links in a circle" if "loop" in str(error) else "no file name")
        raise InputError(
            f"cannot be used ({reason})", source=source, seen=str(path), allowed="the name of a file"
        ) from error
    return place


def write_atomically(path: str | Path, text: str | bytes) -> None:
    """Write ``text`` (encoded as UTF-8 unless it is bytes) so that ``path`` never holds a part of it.

    The text goes to a temporary file in the same folder, is flushed to the disk and renamed. A file that was there
    keeps its permissions, a link keeps pointing to the file. On failure the temporary file is removed and what was
    there stays.

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
        # A rename would put a file in the place of the device or pipe: /dev/null would be lost to the whole machine.
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


def take_lock(path: Path, busy: CrossAlignError) -> BaseFileLock:
    """Lock a file, which goes with this process however it ends.

    :param path: the file; made where it is missing, in a folder that exists.
    :param busy: raised when another process holds it.
    :returns: the lock, to be released.
    :raises ExternalError: if it cannot be locked.
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


def check_new_folder(path: Path | str, *, source: str = "output") -> Path:
    """Refuse an output folder that already exists or cannot be made, before any work is done.

    :param path: the folder to be made.
    :param source: option or key it comes from, for messages.
    :returns: the folder, absolute.
    :raises InputError: if something exists there, or the folder above is missing or read-only.
    """
    try:
        folder = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow a broken link
        there = folder.exists() or folder.is_symlink()
        above = next(parent for parent in folder.parents if parent.exists())
    except (OSError, RuntimeError, ValueError) as error:
        # A name that is too long, a user without a home, a null character.
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
    """Give a temporary folder beside ``path``; it gets the name when the block ends, and is removed when it fails.

    :param path: the folder to be made.
    :param source: option or key it comes from, for messages.
    :raises InputError: as `check_new_folder`, also when another process made the folder meanwhile.
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
