"""The notebook in docs/: valid, without stored outputs, and every cell runs and shows what its reader is promised."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import nbformat
import pytest

# Twelve articles in three languages: the whole sample takes minutes to embed, and is audited by the test of the demo.
LESS = """
import json, shutil, sys
from pathlib import Path
from haystack_crossalign.data import sample
here = Path.cwd() / "sample"
shutil.copytree(sample.sample_folder(), here)
for name in ("documents.jsonl", "queries.jsonl"):
    rows = [json.loads(line) for line in (sample.sample_folder() / name).read_text(encoding="utf-8").splitlines()]
    groups = list(dict.fromkeys(row["parallel_id"] for row in rows if row.get("parallel_id")))[:12]
    kept = [row for row in rows if row.get("parallel_id") in groups and row.get("language") in ("en", "th", "zh")]
    (here / name).write_text("".join(json.dumps(row) + "\\n" for row in kept), encoding="utf-8")
sample.sample_folder = lambda: here
"""

# What a notebook does with the last line of a cell: show it, as HTML where the object has some.
SHOWING = """
import ast, json, sys
for source in json.loads(sys.stdin.read()):
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), globals())
    value = None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), globals())
    if value is not None:
        print(value._repr_html_() if hasattr(value, "_repr_html_") else repr(value))
    print("=== end of a cell ===")
"""


@pytest.fixture
def notebook(project_root: Path) -> nbformat.NotebookNode:
    return nbformat.read(project_root / "docs" / "audit.ipynb", as_version=4)


def test_the_notebook_is_valid_and_stores_no_outputs(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.model
def test_every_cell_of_the_notebook_runs(
    notebook: nbformat.NotebookNode, tmp_path: Path, quick_python: list[str]
) -> None:
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    done = subprocess.run(
        [*quick_python, "-c", LESS + SHOWING],
        input=json.dumps(cells),
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    outputs = done.stdout.split("=== end of a cell ===\n")[:-1]
    assert len(outputs) == len(cells)
    assert " questions, " in outputs[0]
    assert outputs[1].lstrip().startswith("<")
    assert "Max@R" in outputs[2]
    assert "['before.json', 'parallel.jsonl', 'repaired', 'report.html']" in outputs[-1]
    assert list(tmp_path.glob("*/report.html"))
