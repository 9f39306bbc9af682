"""Published models: one folder per version, and a link to the latest, which is updated atomically."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.writing import settle_tree, take_lock, write_atomically
from haystack_crossalign.retrain.outcome import AnotherRunActiveError, outside
from haystack_crossalign.training.output_folder import lock_of

LATEST = "latest"
WORK = ".work"
_LOCK = ".lock"
_TRASH = ".trash-"
_ORDER = ".order"
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z-[0-9a-f]{12}")


def version_name(time: datetime, digest: str) -> str:
    """Name of a version: its time of creation in UTC, and the first 12 digits of its weights' SHA-256.

    :param time: an aware time.
    :param digest: lower-case hexadecimal.
    """
    return f"{time:%Y-%m-%dT%H-%M-%SZ}-{digest[:12]}"


class ModelStore:
    """The folder of the versions.

    :param folder: the folder; created if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / WORK

    @property
    def model(self) -> Path:
        """Folder of the model that a run builds."""
        return self.work / "model"

    @property
    def launched(self) -> Path:
        """File that is locked as long as a launcher trains."""
        return self.work / "launched.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against other runs. The lock ends with the process, even if it is killed, and with launched
        training processes that survive it.

        :raises AnotherRunActiveError: if another run holds it.
        :raises ExternalError: if the folder cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise outside(f"{self.folder}: cannot be made", error) from error
        busy = AnotherRunActiveError(f"{self.folder}: another run is active; this one did nothing")
        lock = take_lock(self.folder / _LOCK, busy)
        try:
            self._refuse_orphans()
            yield
        finally:
            lock.release()

    def _refuse_orphans(self) -> None:
        busy = AnotherRunActiveError(
            f"{self.folder}: the training that a killed run had launched is still running; this run did nothing"
        )
        for path in (self.launched, lock_of(self.model)):
            if path.exists():
                take_lock(path, busy).release()

    def versions(self) -> list[str]:
        """Names of the published versions in the order of publication, independent of the clock.

        Versions without a recorded order come first, by name.
        """
        if not self.folder.is_dir():
            return []
        there = {path.name for path in self.folder.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir()}
        recorded = [name for name in self._recorded() if name in there]
        return [*sorted(there.difference(recorded)), *recorded]

    def _recorded(self) -> list[str]:
        """The recorded order of publication; a repeated name counts at its last position."""
        try:
            names = (self.folder / _ORDER).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            return []
        return list(dict.fromkeys(reversed(names)))[::-1]

    def latest(self) -> str | None:
        """Name of the version that ``latest`` points to, None if there is none."""
        link = self.folder / LATEST
        return link.readlink().name if link.is_symlink() else None

    def publish(self, built: Path, version: str) -> Path:
        """Rename a finished folder to its version and point ``latest`` to it.

        Both renames are atomic: readers of ``latest`` see the complete previous or the complete new version.

        :param built: a folder on the same file system.
        :param version: its name.
        :raises ExternalError: if the file system refuses.
        """
        place = self.folder / version
        # Before the rename, so that every visible version has a recorded order. Names without a folder are ignored.
        order = [*(name for name in self.versions() if name != version), version]
        write_atomically(self.folder / _ORDER, "".join(f"{name}\n" for name in order))
        try:
            settle_tree(built)
            built.rename(place)
        except OSError as error:
            raise outside(f"{place}: cannot be published", error) from error
        self.point_to(version)
        return place

    def point_to(self, version: str) -> None:
        """Point ``latest`` to a version, by renaming a new link over it.

        :param version: name of a published version.
        :raises InputError: if it exists and is not a link.
        :raises ExternalError: if the file system refuses, or has no links.
        """
        link, fresh = self.folder / LATEST, self.folder / f".{LATEST}.new"
        if link.exists() and not link.is_symlink():
            raise InputError("not a link", source=link, allowed="a link that this job made, or nothing")
        try:
            with suppress(FileNotFoundError):
                fresh.unlink()
            # A relative link, so that the folder can be moved or mounted elsewhere.
            fresh.symlink_to(version, target_is_directory=True)
            os.replace(fresh, link)  # noqa: PTH105 - the same as fresh.replace, by its POSIX name
        except OSError as error:
            raise outside(f"{link}: cannot be set", error) from error

    def prune(self, keep: int) -> tuple[list[str], list[str]]:
        """Remove the oldest versions; never the one that ``latest`` points to.

        Failing to remove a version, such as one that a server still reads over a network, is not an error of the run,
        whose model is already published.

        :param keep: number of versions to keep.
        :returns: names of the removed versions, and the errors of those that could not be removed.
        """
        versions, latest = self.versions(), self.latest()
        gone, faults = [], []
        for name in versions[: max(0, len(versions) - keep)]:
            if name == latest:
                continue
            trash = self.folder / f"{_TRASH}{name}"
            try:
                # Renamed first, so that a version is never visible with only a part of its files.
                (self.folder / name).rename(trash)
                gone.append(name)
                shutil.rmtree(trash)
            except OSError as error:
                faults.append(f"{name}: cannot be removed: {error.strerror or error}")
        return gone, faults

    def clean(self) -> None:
        """Remove what an earlier run left that was killed.

        :raises ExternalError: if it cannot be removed.
        """
        try:
            for trash in self.folder.glob(f"{_TRASH}*"):
                shutil.rmtree(trash, ignore_errors=True)
            if self.work.exists():
                shutil.rmtree(self.work)
            self.work.mkdir(parents=True)
        except OSError as error:
            raise ExternalError(f"{self.work}: cannot be created again: {error.strerror or error}") from error
