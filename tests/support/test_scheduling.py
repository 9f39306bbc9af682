"""The tests of one version of the server run in one process: each would start it again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scheduling import says_nothing_new, unit_of

MODULE = """
import os
import pytest

@pytest.mark.parametrize("version", ["3.6.0", "2.19.1"])
@pytest.mark.parametrize("number", range(3))
def test_of_a_server(version, number):
    with open({log!r}, "a") as log:
        print(version, os.environ["PYTEST_XDIST_WORKER"], file=log)

def test_of_none():
    with open({log!r}, "a") as log:
        print("none", os.environ["PYTEST_XDIST_WORKER"], file=log)
"""


@pytest.mark.parametrize(
    ("test", "unit"),
    [
        ("tests/opensearch/connection/test_client.py::test_pages[3.6.0]", "3.6.0"),
        ("tests/cli/commands/test_audit_index.py::test_a[2.19.1-no group]", "2.19.1"),
        ("tests/opensearch/exact/test_counting.py::test_a[cosine-2.19.1]", "2.19.1"),
        ("tests/opensearch/connection/test_client.py::test_pages[external]", "external"),
        ("tests/opensearch/test_role.py::TestRole::test_a", "opensearch"),
        ("tests/opensearch/exact/test_versions.py::test_a[13.6.0]", "opensearch"),
        ("tests/retrain/test_run.py::test_a[models]", "retrain/test_run.py"),
    ],
)
def test_units_are_versions_of_the_server_other_servers_and_files(test: str, unit: str) -> None:
    assert unit_of(test) == unit


@pytest.mark.parametrize(
    ("test", "left_out"),
    [
        ("tests/cli/commands/test_audit_index.py::test_a[2.19.1-no group]", True),
        ("tests/cli/commands/test_audit_index.py::test_a[3.6.0-no group]", False),
        ("tests/cli/commands/test_audit_index.py::test_a[external]", False),
        ("tests/opensearch/exact/test_counting.py::test_a[cosine-2.19.1]", False),
        ("tests/upgrade/test_kill.py::test_a[2.19.1-1-True]", True),
        ("tests/upgrade/test_run.py::test_a[2.19.1]", False),
        ("tests/cli/test_secrets.py::test_a", False),
    ],
)
def test_an_older_version_is_asked_what_depends_on_it(test: str, left_out: bool) -> None:
    assert says_nothing_new(test) is left_out


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    """The tests in a folder, as the Makefile runs tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "scheduling", "-p", "no:cacheprovider"),
            *("--import-mode=importlib", "--numprocesses", "2", "--dist", "loadfile", "--max-worker-restart", "0"),
            *("--rootdir", str(folder), str(folder)),
        ],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
def test_a_version_runs_in_one_process_whatever_the_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(MODULE.format(log=str(log)), encoding="utf-8")
    done = run_tests(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 14
    processes = {version: {process for one, process in lines if one == version} for version in ("3.6.0", "2.19.1")}
    assert [len(found) for found in processes.values()] == [1, 1]
    assert processes["3.6.0"] != processes["2.19.1"]


@pytest.mark.process
def test_a_process_that_dies_is_named_with_its_signal_and_the_run_ends(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("import os\n\n\ndef test_a():\n    os.kill(os.getpid(), 9)\n", encoding="utf-8")
    (tmp_path / "test_b.py").write_text("def test_b():\n    pass\n\n\ndef test_c():\n    pass\n", encoding="utf-8")
    done = run_tests(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ended with -9\n" in done.stdout
    assert "crashed while running 'test_a.py::test_a'" in done.stdout
    assert "1 failed" in done.stdout
