"""SHA-256 of files; those of large files that do not change are remembered, since weights are hashed at every start."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path

from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.files.writing import write_atomically

_SMALL = 1 << 20
"""Smaller files are hashed in less time than the cache is read."""
_SETTLED = 2.0
"""Seconds since the last change. A file may change twice within the resolution of its file system's clock."""
_MOST = 256
"""Entries kept, the newest ones."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of a file's bytes, from an earlier call if the file has not changed since.

    A file counts as unchanged if its device, inode, size, and times of modification and of status change (which
    programs cannot set) are the same to the nanosecond.

    :param path: the file.
    :param cache: JSON file with what is remembered. It is created if needed; where that is not possible, or if it is
        damaged, every call computes the hash.
    :raises OSError: if the file cannot be read.
    """
    state = path.stat()
    if state.st_size < _SMALL:
        return file_sha256(path)
    key = f"{state.st_dev}-{state.st_ino}-{state.st_size}-{state.st_mtime_ns}-{state.st_ctime_ns}"
    known = _read(cache)
    if key in known:
        return known[key]
    started = time.time()
    digest = file_sha256(path)
    if started - max(state.st_mtime, state.st_ctime) > _SETTLED:
        # Read again: another process may have added to it. Of two that write at once, the last one wins.
        entries = {**_read(cache), key: digest}
        newest = dict(list(entries.items())[-_MOST:])
        with suppress(OSError, CrossAlignError):
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(cache, json.dumps(newest, indent=1) + "\n")
    return digest


def _read(cache: Path) -> dict[str, str]:
    try:
        entries = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {key: value for key, value in entries.items() if isinstance(value, str) and len(value) == 64}
