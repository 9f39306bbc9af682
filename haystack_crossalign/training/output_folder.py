"""The working folder of a run: next to the output, renamed to it at the end; one run at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.writing import settle_tree, take_lock, write_atomically
from haystack_crossalign.training.outcome import SCHEMA

RESULT_FILE = "training.json"
_RUN = "run.json"


def check_output(output: Path) -> None:
    """Reject an output that must not be replaced, before any work is done.

    :param output: the output folder.
    :raises InputError: if it exists and was not written by a training run, or its parent is missing.
    """
    if not output.parent.is_dir():
        raise InputError("no such folder", source=output, seen=str(output.parent), allowed="a folder that exists")
    if not os.access(output.parent, os.W_OK):
        raise InputError("cannot be written", source=output, seen=str(output.parent), allowed="a folder you may write")
    if not output.exists() and not output.is_symlink():
        return
    empty = output.is_dir() and not any(output.iterdir())
    if not empty and (output.is_symlink() or not _written_by_a_run(output)):
        raise InputError(
            "exists and was not written by a training run",
            source=output,
            allowed="a new folder, an empty one, or one that a training run wrote",
        )


def recover_output(output: Path) -> None:
    """Restore an earlier model if a run was killed while replacing it; to be called before anything can fail.

    :param output: the output folder.
    :raises ExternalError: if it cannot be renamed.
    """
    replaced = _replaced(output)
    if not replaced.is_dir():
        return
    with suppress(_BusyError), _lock(output, _BusyError("busy")):
        try:
            if not output.exists() and not output.is_symlink():
                replaced.rename(output)
            elif replaced.is_dir():
                shutil.rmtree(replaced, ignore_errors=True)
        except OSError as error:
            raise ExternalError(f"{output}: the previous model cannot be restored ({error.strerror})") from error


def check_restart(output: Path, *, resume: bool, or_anew: bool) -> None:
    """Reject a start that would lose an interrupted run, or a finished model that was to be resumed.

    :param output: the output folder.
    :param resume: whether an interrupted run is to be resumed.
    :param or_anew: whether it may start over.
    :raises InputError: for checkpoints of an interrupted run without ``resume``, and for ``resume`` where the run is
        finished.
    """
    work = WorkFolder(output)
    interrupted = work.checkpoints.is_dir() and any(work.checkpoints.iterdir())
    if interrupted and not resume:
        raise InputError(
            "an interrupted run has left checkpoints, which a new start would remove",
            source=output,
            seen=str(work.path),
            allowed="--resume to continue it, or remove that folder to start over",
        )
    if resume and not or_anew and not work.path.is_dir() and _written_by_a_run(output):
        raise InputError(
            "there is nothing to resume: the run is finished",
            source=output,
            allowed="no --resume to train again and replace the model, or another --output",
        )


class _BusyError(ExternalError):
    """Another run has locked the output."""


def _replaced(output: Path) -> Path:
    return output.parent / f".{output.name}.replaced"


def lock_of(output: Path) -> Path:
    """The lock file of an output."""
    return output.parent / f".{output.name}.lock"


@contextmanager
def locked_output(output: Path) -> Iterator[None]:
    """Lock an output against other runs within the block.

    :raises ExternalError: if another run holds it.
    """
    with _lock(output, ExternalError(f"{output}: another training run is writing it")):
        yield


@contextmanager
def _lock(output: Path, busy: ExternalError) -> Iterator[None]:
    lock = take_lock(lock_of(output), busy)
    try:
        yield
    finally:
        # Removed while still locked, so that a file locked by another run is never removed.
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


class WorkFolder:
    """Folder in which a run stores checkpoints and builds its output.

    :param output: the output folder.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.parent / f".{output.name}.training"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def result(self) -> Path:
        """Folder that becomes the output."""
        return self.path / "result"

    def open(self, fingerprint: dict[str, Any], *, resume: bool, or_anew: bool = False) -> None:
        """Create the folder; that of an earlier run is resumed or removed.

        :param fingerprint: identity that a run must share with the one that it resumes.
        :param resume: resume an interrupted run.
        :param or_anew: start over if the interrupted run was a different one.
        :raises InputError: if it was a different run (another recipe, model or data) and ``or_anew`` is not set.
        """
        digest = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()
        known = self._known()
        same = known is not None and known.get("digest") == digest
        if known is not None and resume and not same and not or_anew:
            before = known.get("fingerprint", {})
            changed = sorted(
                name for name in {*fingerprint, *before} if _as_json(fingerprint.get(name)) != before.get(name)
            )
            raise InputError(
                "the interrupted run was a different one, and the two cannot be mixed",
                source=self.output,
                field=", ".join(changed) or None,
                allowed="--resume with the same recipe, model and data, or a new start: --resume --or-anew, or neither",
            )
        if not same or not resume:
            shutil.rmtree(self.path, ignore_errors=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.result, ignore_errors=True)
        write_atomically(self.path / _RUN, json.dumps({"digest": digest, "fingerprint": fingerprint}))

    def publish(self) -> None:
        """Rename the result to the output, replacing an earlier one, and remove the working folder.

        :raises ExternalError: if it cannot be renamed.
        """
        replaced = _replaced(self.output)
        try:
            settle_tree(self.result)
            shutil.rmtree(replaced, ignore_errors=True)
            if self.output.exists():
                self.output.rename(replaced)
            self.result.rename(self.output)
        except OSError as error:
            if replaced.exists() and not self.output.exists():
                with suppress(OSError):
                    replaced.rename(self.output)
            raise ExternalError(f"{self.output}: cannot be written ({error.strerror})") from error
        shutil.rmtree(replaced, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def discard(self) -> None:
        """Remove the working folder; nothing is written."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _known(self) -> dict[str, Any] | None:
        try:
            known = json.loads((self.path / _RUN).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return known if isinstance(known, dict) else None


def _written_by_a_run(folder: Path) -> bool:
    # Other programs also write a training.json, and the other files in their folders would be lost.
    try:
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(result, dict) and result.get("schema") == SCHEMA


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
