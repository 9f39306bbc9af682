"""Folders in a cache that are written once and verified at every use."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from haystack_crossalign.files.digests import file_sha256

MANIFEST = "manifest.json"

Digest = Callable[[Path], str]


def make_once(folder: Path, about: Mapping[str, Any], write: Callable[[Path], None], digest: Digest) -> None:
    """Write a folder unless it is there and intact. Safe for concurrent processes: one writes, the others wait.

    :param folder: the folder; the one above it is created if needed.
    :param about: what the files are made of, as in `read_manifest`.
    :param write: called with an empty folder; writes the files.
    :param digest: as in `read_manifest`.
    :raises OSError: if it cannot be written.
    """
    if read_manifest(folder, about, digest) is not None:
        return
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{folder.name}.lock"):
        # Another process may have written it in the meantime.
        if read_manifest(folder, about, digest) is None:
            _write(folder, about, write)


def read_manifest(folder: Path, about: Mapping[str, Any], digest: Digest) -> dict[str, Any] | None:
    """The manifest of a folder, or ``None`` unless it is of these inputs and every file has its recorded SHA-256.

    :param folder: the folder that holds ``manifest.json``.
    :param about: what the files are made of, ready for JSON.
    :param digest: SHA-256 of a file.
    :returns: the items of ``about`` and ``files``: SHA-256 by path.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = dict(manifest["files"])
        if not files or manifest != {**about, "files": files}:
            return None
        if any(digest(folder / name) != recorded for name, recorded in files.items()):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(manifest)


def _write(folder: Path, about: Mapping[str, Any], write: Callable[[Path], None]) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        write(partial)
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        manifest = {**about, "files": {path.relative_to(partial).as_posix(): file_sha256(path) for path in files}}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        # A temporary folder is private to its user, but a model should not be.
        for path in (partial, *partial.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        if folder.exists():
            # The existing folder is damaged. It is renamed, so that no process sees an incomplete folder.
            folder.rename(partial.with_suffix(".damaged"))
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(partial.with_suffix(".damaged"), ignore_errors=True)
