"""A program that the server forks is what Python would have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

FACTS = """
import os, sys
print(sys.argv, sys.path[0], os.getcwd(), os.environ["FACT"], os.environ.get("LEFT_OUT"), sys.stdin.read(), __name__)
print("error", file=sys.stderr)
sys.exit(3)
"""
WAITING = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"


@pytest.mark.parametrize("how", ["-c", "-m", "file"])
def test_it_has_its_arguments_folder_environment_files_and_exit_code(
    tmp_path: Path, quick_python: list[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("LEFT_OUT", "1")
    (tmp_path / "facts.py").write_text(FACTS, encoding="utf-8")
    command = {"-c": ["-c", FACTS], "-m": ["-m", "facts"], "file": [str(tmp_path / "facts.py")]}[how]
    environment = {name: value for name, value in os.environ.items() if name != "LEFT_OUT"} | {"FACT": "here"}
    quick, plain = (
        subprocess.run(
            [*python, *command, "a b"], cwd=tmp_path, env=environment, input="in", capture_output=True, text=True,
            check=False,
        )
        for python in (quick_python, [sys.executable])
    )  # fmt: skip
    assert (quick.returncode, quick.stdout, quick.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert quick.returncode == 3
    assert "here None in __main__" in quick.stdout


def test_an_error_is_a_traceback_and_nothing_of_this_project_is_imported(quick_python: list[str]) -> None:
    code = "import sys; assert 'torch' in sys.modules and 'haystack_crossalign' not in sys.modules; 1 / 0"
    done = subprocess.run([*quick_python, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_who_reads_its_output_to_the_end_knows(
    quick_python: list[str], number: signal.Signals
) -> None:
    process = subprocess.Popen([*quick_python, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    assert not Path(f"/proc/{child}").exists()


def test_it_may_kill_itself(quick_python: list[str]) -> None:
    code = "import os; os.kill(os.getpid(), 9)"
    assert subprocess.run([*quick_python, "-c", code], check=False).returncode == -signal.SIGKILL
