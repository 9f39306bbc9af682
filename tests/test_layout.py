"""The package as rooms: no folder and no file grows beyond what one looks over."""

from __future__ import annotations

from pathlib import Path

MOST_FILES = 15
MOST_LINES = 400


def test_no_folder_holds_more_modules_than_one_looks_over(project_root: Path) -> None:
    package = project_root / "haystack_crossalign"
    modules = [path for path in package.rglob("*.py") if path.name != "__init__.py"]
    assert len(modules) > 200
    counts = {folder: sum(path.parent == folder for path in modules) for folder in {path.parent for path in modules}}
    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_no_module_is_longer_than_one_reads(project_root: Path) -> None:
    package = project_root / "haystack_crossalign"
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in package.rglob("*.py")}
    assert max(lines.values()) > 100
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}
