"""What a killed run leaves beside an output is removed by the next one; what a live one owns stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from haystack_crossalign.files.writing import check_new_folder, write_atomically

PROGRAM = """
import sys, time
from pathlib import Path
from haystack_crossalign.files.temporary import temporary_file, temporary_folder
target = Path(sys.argv[1])
kept = temporary_file(target / "out.json"), temporary_folder(target / "model")
(kept[1][1] / "weights").write_bytes(b"x" * 1000)
print("ready", flush=True)
time.sleep(300)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs locks of folders")
def test_leftovers_go_once_their_process_has_died_and_not_before(tmp_path: Path) -> None:
    (tmp_path / ".out.json.backup.tmp").write_text("a file of the user", encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        owned = {path.name for path in tmp_path.iterdir()}
        assert len(owned) == 3
        write_atomically(tmp_path / "out.json", "{}")
        check_new_folder(tmp_path / "model")
        assert {path.name for path in tmp_path.iterdir()} == {*owned, "out.json"}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    write_atomically(tmp_path / "out.json", "[]")
    check_new_folder(tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"out.json", ".out.json.backup.tmp"}
