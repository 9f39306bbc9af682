from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from haystack_crossalign.training.launcher import run_launcher


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def interrupt_when(path: Path) -> None:
    while not path.exists() or not path.read_text(encoding="utf-8").endswith("\n"):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("deaf", ["", "trap '' TERM;"])
def test_an_interrupt_ends_the_launcher_and_its_workers(tmp_path: Path, deaf: str) -> None:
    pid = tmp_path / "pid"
    script = f"{deaf} sleep 300 & echo $! >{pid}; while :; do wait; done"
    waiting = threading.Thread(target=interrupt_when, args=(pid,))
    waiting.start()
    with pytest.raises(KeyboardInterrupt):
        run_launcher(["bash", "-c", script], patience=0.3)
    waiting.join()
    worker = int(pid.read_text(encoding="utf-8"))
    for _ in range(100):  # a signal takes a moment
        if not running(worker):
            break
        time.sleep(0.05)
    assert not running(worker)


def test_the_exit_code_is_that_of_the_command() -> None:
    assert run_launcher(["bash", "-c", "exit 7"]) == 7
    with pytest.raises(FileNotFoundError):
        run_launcher(["no-such-launcher"])
