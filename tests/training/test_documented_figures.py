"""The figures in docs/training.md and recipe_choices.md are those of the results page, which the runs' figures give."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

LANGUAGES = {"Chinese": "zh", "Arabic": "ar", "Spanish": "es", "Thai": "th", "Vietnamese": "vi"}
NUMBER = re.compile(r"[+-]?\d+\.\d+")
Row = list[list[str]]


def numbers(text: str) -> list[str]:
    return NUMBER.findall(text.replace("−", "-"))


@pytest.fixture(scope="module")
def documented(project_root: Path) -> list[Row]:
    """The numbers of each cell of each row of both pages, the text of the first cell before them; a row once."""
    pages = (project_root / "docs" / "training.md", project_root / "benchmarks" / "results" / "recipe_choices.md")
    lines = dict.fromkeys(line for page in pages for line in page.read_text(encoding="utf-8").splitlines())
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    return [[[cells[0].strip(" *")], *(numbers(cell) for cell in cells[1:]), cells[1:]] for cells in rows]


@pytest.fixture(scope="module")
def results(project_root: Path) -> dict[tuple[str, str], list[list[str]]]:
    """Numbers of the cells after the language, per recipe and language; the first table with a recipe counts."""
    found: dict[tuple[str, str], list[list[str]]] = {}
    for line in (project_root / "benchmarks" / "results" / "training.md").read_text(encoding="utf-8").splitlines():
        match = re.match(r"\| \*\*`(\w+)\.yaml`\*\* \| (\w\w) \|(.*)\|$", line)
        if match:
            found.setdefault((match[1], match[2]), [numbers(cell) or [cell.strip()] for cell in match[3].split("|")])
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_recipes_of_one_pair(
    documented: list[Row], results: dict[tuple[str, str], list[list[str]]], language: str
) -> None:
    recipe = f"en_{LANGUAGES[language]}"
    max_at_r, complete, _, _, _, _, own, english, _ = results[recipe, LANGUAGES[language]]
    expected = [max_at_r[0], complete[0], own[0], english[0]]
    if language == "Chinese":
        (row,) = [row for row in documented if row[0] == [f"`{recipe}.yaml`"]]
        assert [*row[1], *row[3]] == expected
    else:
        (row,) = [row for row in documented if row[0] == [language] and f"`{recipe}.yaml`" in row[-1][-1]]
        assert row[3] == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_model_for_all_five(
    documented: list[Row], results: dict[tuple[str, str], list[list[str]]], language: str
) -> None:
    max_at_r, complete, _, _, _, _, own, _, _ = results["multilingual", LANGUAGES[language]]
    (row,) = [row for row in documented if row[0] == [language] and "→" in row[-1][-1]]
    assert row[2] == [max_at_r[0], complete[0]]
    # The first is of the repair.
    assert [float(one) for one in row[3][1:]] == [float(one) for one in own]


@pytest.mark.process
def test_the_results_page_is_what_the_figures_of_the_runs_give(
    project_root: Path, tmp_path: Path, quick_python: list[str]
) -> None:
    folder = project_root / "benchmarks" / "results"
    shutil.copy(folder / "training.json", tmp_path)
    command = [*quick_python, str(folder.parent / "studies" / "training.py"), "--only", "none"]
    subprocess.run([*command, "--output", str(tmp_path / "training.md")], check=True, capture_output=True)
    assert (tmp_path / "training.md").read_text(encoding="utf-8") == (folder / "training.md").read_text(
        encoding="utf-8"
    )
