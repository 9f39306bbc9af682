"""The program as a user meets it, and small parallel data with vectors, so that no model is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from haystack_crossalign.cli.main import main


@dataclass(frozen=True)
class Finished:
    """What a run of the program left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Finished]


def exit_code(*arguments: object) -> int:
    """Runs the program in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code if isinstance(stop.value.code, int) else 1


@pytest.fixture(scope="session")
def run_program() -> Callable[..., int]:
    """`exit_code`, for fixtures that outlive a test."""
    return exit_code


@pytest.fixture
def crossalign(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in this process and keeps what it writes."""

    def run(*arguments: object) -> Finished:
        capsys.readouterr()
        code = exit_code(*arguments)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return run


def unit(vector: list[float]) -> list[float]:
    return (np.asarray(vector) / np.linalg.norm(vector)).tolist()


@pytest.fixture
def parallel_files(tmp_path: Path) -> tuple[Path, Path]:
    """Six contents in English and Chinese. Every text has its language's direction and its content's; queries are
    Chinese and lean towards their language, so every Chinese document stands above the English one they ask for."""
    documents, queries = tmp_path / "documents.jsonl", tmp_path / "queries.jsonl"
    lines, questions = [], []
    for group in range(6):
        content = np.eye(6)[group]
        for language, side in (("en", [1.0, 0.0]), ("zh", [0.0, 1.0])):
            lines.append(
                {
                    "id": f"{language}:{group}",
                    "text": f"text {group} in {language}",
                    "language": language,
                    "parallel_id": str(group),
                    "embedding": unit([*content, *(2 * np.asarray(side))]),
                }
            )
        questions.append(
            {
                "id": f"q{group}",
                "text": f"question {group}",
                "language": "zh",
                "parallel_id": str(group),
                "embedding": unit([*content, 0.0, 2.0]),
            }
        )
    documents.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    queries.write_text("".join(json.dumps(line) + "\n" for line in questions), encoding="utf-8")
    return documents, queries
