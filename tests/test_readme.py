"""What the README tells a stranger to do is done here, in its order, in one folder."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from xquad_files import write_xquad

FILE = re.compile(r"<!-- file: (?P<name>\S+) -->\n```\w+\n(?P<text>.*?)```\n", re.DOTALL)
PYTHON = re.compile(r"<!-- run -->\n```python\n(?P<code>.*?)```\n", re.DOTALL)
COMMAND = re.compile(r"^\$ (?P<line>crossalign .*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def readme(project_root: Path) -> str:
    return (project_root / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(readme: str, tmp_path_factory: pytest.TempPathFactory, offline_model: str) -> Path:
    """A folder with the files that the README shows, and XQuAD's layout filled from the sample."""
    assert offline_model in readme
    place = tmp_path_factory.mktemp("readme")
    files = {match["name"]: match["text"] for match in FILE.finditer(readme)}
    assert set(files) == {"documents.jsonl", "queries.jsonl", "embedder.yaml"}
    for name, text in files.items():
        (place / name).write_text(text, encoding="utf-8")
    write_xquad(place / "xquad", ["en", "zh"], 12)
    return place


def shell(python: list[str], line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command line as a shell would, with this environment's program."""
    command = shlex.join([*python, "-m", "haystack_crossalign"]) + line.removeprefix("crossalign")
    return subprocess.run(command, cwd=folder, shell=True, capture_output=True, text=True, check=False)  # noqa: S602


def test_every_command_does_what_it_says(readme: str, folder: Path, quick_python: list[str]) -> None:
    commands = [match["line"] for match in COMMAND.finditer(readme)]
    assert len(commands) >= 6
    for line in commands:
        done = shell(quick_python, line, folder)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        for option in ("--json", "--report", "--markdown", "--run", "--qrels-out", "--junit"):
            if f"{option} " in line:
                name = line.split(f"{option} ")[1].split()[0]
                assert (folder / name).stat().st_size > 0, (line, name)


def test_the_python_example_runs(readme: str, folder: Path, quick_python: list[str]) -> None:
    (match,) = PYTHON.finditer(readme)
    done = subprocess.run([*quick_python, "-c", match["code"]], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "1.0"
