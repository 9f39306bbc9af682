"""`crossalign audit --index` as a user runs it, in this process, on the small index that faults are thrown at."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from live_faults import DIMENSION, LANGUAGES, QUERIES

from haystack_crossalign.cli.main import main


@dataclass(frozen=True)
class Finished:
    """What the command left: exit code, both outputs, and the result file where it wrote one."""

    code: int
    out: str
    err: str
    result: dict[str, Any] | None

    @property
    def numbers(self) -> Any:
        """Everything measured, without provenance and the story of the run."""
        assert self.result is not None
        return self.result["rows"], self.result["queries"], self.result["examples"]

    @property
    def message(self) -> str:
        """The lines that are for the person, of which there must be no trace of Python."""
        assert "Traceback" not in self.err
        assert "fault of the program" not in self.err
        return self.err


def queries_file(folder: Path) -> Path:
    """Twelve queries with vectors, so that no model is needed."""
    rng = np.random.default_rng(8)
    path = folder / "queries.jsonl"
    rows = [
        {
            "id": f"q{number:02}",
            "text": f"question {number}",
            "language": LANGUAGES[number % len(LANGUAGES)],
            "relevant": [f"{language}-{number}" for language in LANGUAGES],
            "embedding": rng.normal(size=DIMENSION).tolist(),
        }
        for number in range(QUERIES)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run_audit(
    url: str, index: str, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run it with three queries in a request, so that an audit takes several.

    :param environment: further variables, for instance ``CROSSALIGN_TIMEOUT``.
    """
    variables = {"CROSSALIGN_BATCH": "3", "CROSSALIGN_GROUP_FIELD": "group", "CROSSALIGN_HOSTS": url}
    command = ["--index", index, "--queries", str(queries_file(folder)), *arguments]
    return run_command(folder, *command, environment=variables | dict(environment or {}))


def run_command(folder: Path, *arguments: str, environment: Mapping[str, str]) -> Finished:
    """Run ``crossalign audit`` with a result file in a folder."""
    output = folder / "result.json"
    output.unlink(missing_ok=True)
    command = ["audit", "--json", str(output), *arguments]
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.dict(os.environ, dict(environment)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(command)
        except SystemExit as stop:
            code = stop.code
    result = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else None
    return Finished(code if isinstance(code, int) else 1, out.getvalue(), err.getvalue(), result)
