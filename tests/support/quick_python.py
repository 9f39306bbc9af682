"""The fixture of programs that `forked` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest


@pytest.fixture(scope="session")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What takes the place of ``python`` at the head of a command; the first to ask starts the server."""
    address = tmp_path_factory.mktemp("forked") / "address"
    command = [sys.executable, forked.__file__, "serve", str(address)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # a fork keeps one thread of many
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield [sys.executable, "-ES", forked.__file__, str(address)]
        server.stdin.close()
        server.wait(60)


@pytest.fixture
def quick_programs(tmp_path: Path, quick_python: list[str]) -> Path:
    """A folder for ``PATH`` with such a ``python`` and ``crossalign``."""
    folder = tmp_path / "programs"
    folder.mkdir()
    quoted = " ".join(f"'{part}'" for part in quick_python)
    for name, module in (("python", ""), ("crossalign", "-m haystack_crossalign ")):
        (folder / name).write_text(f'#!/bin/sh\nexec {quoted} {module}"$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder
