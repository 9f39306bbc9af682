from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.retrain.launcher import run_launcher

# Whoever started the tests may ignore Ctrl-C, and a process inherits that.
CODE = """
import signal, sys
from haystack_crossalign.retrain.launcher import run_launcher
signal.signal(signal.SIGINT, signal.default_int_handler)
run_launcher(["bash", "-c", sys.argv[1]], patience=0.3)
"""


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("deaf", ["", "trap '' TERM;"])
@pytest.mark.process
def test_an_interrupt_ends_the_launcher_and_its_workers(tmp_path: Path, deaf: str) -> None:
    pid = tmp_path / "pid"
    script = f"{deaf} sleep 300 & echo $! >{pid}; while :; do wait; done"
    started = subprocess.Popen([sys.executable, "-c", CODE, script], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(1200):
            if pid.exists() and pid.read_text(encoding="utf-8").endswith("\n"):
                break
            time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        _, told = started.communicate(timeout=60)
    except BaseException:
        # Left to itself it would take a core from all tests after this one.
        with suppress(OSError, ValueError):
            os.killpg(os.getpgid(int(pid.read_text(encoding="utf-8"))), signal.SIGKILL)
        raise
    finally:
        started.kill()
    assert "KeyboardInterrupt" in told
    worker = int(pid.read_text(encoding="utf-8"))
    for _ in range(100):  # a signal takes a moment
        if not running(worker):
            break
        time.sleep(0.05)
    assert not running(worker)


def test_an_interrupt_while_the_process_starts_is_kept_until_it_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def interrupted(*given: Any, **options: Any) -> Any:
        started.append(start(*given, **options))
        signal.raise_signal(signal.SIGINT)  # it runs, and the caller does not have it yet
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_launcher(["sleep", "300"], patience=5)
    finally:
        signal.signal(signal.SIGINT, before)
    assert started[0].poll() == -signal.SIGTERM


def test_a_lock_is_held_while_the_command_runs_and_missed_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock"
    assert run_launcher(["flock", "--nonblock", str(lock), "true"], lock_file=lock) == 1
    assert run_launcher(["true"], lock_file=lock) == 0
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ExternalError, match="another training is running"):
            run_launcher(["true"], lock_file=lock)

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refused)
    assert run_launcher(["true"], lock_file=lock) == 0
    with pytest.raises(ExternalError, match="cannot be written"):
        run_launcher(["true"], lock_file=tmp_path / "none" / "lock")


def test_the_exit_code_is_that_of_the_command() -> None:
    assert run_launcher(["bash", "-c", "exit 7"]) == 7
    with pytest.raises(FileNotFoundError):
        run_launcher(["no-such-launcher"])


@pytest.mark.process
def test_the_exit_code_of_the_workers_counts_where_the_launcher_has_one_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "exit_code"
    file.write_text("3")  # of an earlier run
    crossalign = f"{sys.executable} -m haystack_crossalign train --recipe none.yaml --output {tmp_path / 'out'}"
    assert run_launcher(["bash", "-c", f"{crossalign} || exit 1"], code_file=file) == 2
    assert run_launcher(["bash", "-c", "exit 1"], code_file=file) == 1
    assert run_launcher(["bash", "-c", f"{crossalign}; exit 0"], code_file=file) == 0
