"""The machine-readable outcome of a retraining job: steps, results, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from haystack_crossalign._version import __version__
from haystack_crossalign.audit.result import rounded
from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.files.writing import resolved_file, write_atomically
from haystack_crossalign.schemas import shipped_schema

SCHEMA = "crossalign.retrain/1"

EXIT_CODES = {
    "published": 0,
    "gate failed": 1,
    "wrong input": 2,
    "outside fault": 3,
    "another run is active": 75,
    "interrupted": 130,
}
"""Exit code by status. 75 is ``EX_TEMPFAIL`` of sysexits.h: a temporary condition, try again later."""

RUNNING = "running"
"""Status without an exit code, of a run that has not ended or was killed."""


class AnotherRunActiveError(CrossAlignError):
    """Another run has locked the folder of the models."""

    exit_code = EXIT_CODES["another run is active"]


class GateFailedError(CrossAlignError):
    """The model is not good enough to be published."""

    exit_code = EXIT_CODES["gate failed"]


def outcome_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``outcome.json``."""
    return shipped_schema("retrain-1.schema.json")


def status_of(error: CrossAlignError) -> str:
    """Status of a run that ended with an error."""
    return next(name for name, code in EXIT_CODES.items() if code == error.exit_code)


@dataclass
class Record:
    """The record of a run.

    :param job: name of the job.
    :param files: files to which the outcome is written.
    """

    job: str
    files: list[Path]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a step; entries of the yielded mapping go into the outcome."""
        details: dict[str, Any] = {}
        began = perf_counter()
        entry = {"name": name, "status": "failed", "seconds": 0.0, "facts": details}
        self.steps.append(entry)
        try:
            yield details
            entry["status"] = "done"
        finally:
            entry["seconds"] = round(perf_counter() - began, 3)

    def to_publish(self) -> str:
        """The outcome stored in a version, written before the two renames that publish it."""
        *before, publishing = self.steps
        whole = replace(self, steps=[*before, publishing | {"status": "done"}])
        return whole.to_json("published")

    def skip(self, name: str, reason: str) -> None:
        """Note a step that was not needed."""
        self.steps.append({"name": name, "status": "skipped", "seconds": 0.0, "facts": {"reason": reason}})

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write the outcome at the beginning of the block and at its end, even after an exception.

        A bug in the program counts as an external fault.
        """
        status, message = "outside fault", "the program ended by a fault of its own"
        try:
            # The outcome of a killed run must not look like that of the previous run.
            self.write(RUNNING, "")
            yield
            status, message = "published", ""
        except CrossAlignError as error:
            status, message = status_of(error), str(error)
            raise
        except KeyboardInterrupt:
            status, message = "interrupted", "interrupted"
            raise
        finally:
            self.write(status, message)

    def write(self, status: str, message: str) -> None:
        """Write the outcome to every file that can be written.

        :param status: one of `EXIT_CODES`, or `RUNNING`.
        :param message: what went wrong, empty if nothing did.
        :raises CrossAlignError: if one of them cannot be written.
        """
        text = self.to_json(status, message)
        faults: list[CrossAlignError] = []
        for path in self.files:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, text)
            except OSError as error:
                faults.append(outside(f"{path}: cannot be written", error))
            except CrossAlignError as error:
                faults.append(error)
        if faults:
            raise faults[0]

    def to_json(self, status: str, message: str = "") -> str:
        """The outcome as JSON text; see `write`."""
        data = {
            "schema": SCHEMA,
            "tool": {"name": "haystack-crossalign", "version": __version__},
            "job": self.job,
            "status": status,
            "exit_code": EXIT_CODES.get(status),
            "error": message or None,
            "started": self.started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "finished": None
            if status == RUNNING
            else datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "steps": self.steps,
            "version": self.facts.get("version"),
            "model": self.facts.get("model"),
            "same_language": self.facts.get("same_language", []),
            "improvement": self.facts.get("improvement"),
            "gate": self.facts.get("gate", []),
            "removed_versions": self.facts.get("removed_versions", []),
        }
        return json.dumps(rounded(data), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def check_outcome_file(path: Path) -> None:
    """Reject an outcome file that cannot be written, before any work is done.

    :raises InputError: if its folder is missing, or the path is a folder.
    """
    path = resolved_file(path, source="--outcome")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(
            "cannot be written", source="--outcome", seen=str(path), allowed="a file in a folder that exists"
        )


def outside(problem: str, error: OSError) -> ExternalError:
    """The error for a failed file system operation."""
    return ExternalError(f"{problem}: {error.strerror or error}")
