"""The exit code is the gate's, whatever the terminal can show; nothing foreign reaches it raw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["中文", "ประเทศไทย", "naïve café – …", "\x1b[2Jcleared\x9b31m", "\u202ereversed"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two contents in English and Chinese whose query is answered at rank 1 and 2; ids hold all kinds of characters."""
    documents, queries = tmp_path / "documents.jsonl", tmp_path / "queries.jsonl"
    documents.write_text(
        "".join(
            json.dumps(
                {
                    "id": f"{language}:{name}",
                    "text": f"{name} in {language}",
                    "language": language,
                    "parallel_id": name,
                    "embedding": [float(place == number) for place in range(len(NAMES))] + [float(language == "zh")],
                }
            )
            + "\n"
            for number, name in enumerate(NAMES)
            for language in ("en", "zh")
        ),
        encoding="utf-8",
    )
    queries.write_text(
        "".join(
            json.dumps(
                {
                    "id": f"q {name}",
                    "text": f"question {name}",
                    "language": "zh",
                    "parallel_id": name,
                    "embedding": [float(place == number) for place in range(len(NAMES))] + [2.0],
                }
            )
            + "\n"
            for number, name in enumerate(NAMES)
        ),
        encoding="utf-8",
    )
    return ["audit", "--documents", str(documents), "--queries", str(queries), "--samples", "100"]


GATE = ["--fail-on", "Max@R>1"]  # fails


def shell(command: list[str], redirection: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    line = f'"$@" {redirection}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    program = [sys.executable, "-m", "haystack_crossalign"]
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", *program, *command], capture_output=True, env=environment, check=False
    )


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "cp932", "euc-kr"])
def test_an_encoding_that_lacks_characters_changes_no_exit_code(files: list[str], encoding: str) -> None:
    done = shell([*files, *GATE], PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert (done.returncode, err) == (1, "")
    assert "Max@R" in out
    assert not set(out) & {"\x1b", "\x9b", "\u202e"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_an_output_that_takes_nothing_changes_no_exit_code(files: list[str], redirection: str) -> None:
    result = Path(files[2]).with_name("result.json")
    done = shell([*files, *GATE, "--json", str(result)], redirection)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    # The file that was asked for is whole, and nothing printed went into it.
    assert json.loads(result.read_text(encoding="utf-8"))["schema"] == "crossalign.audit/1"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_said_in_one_line(files: list[str]) -> None:
    done = shell(files, ">/dev/full")
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        "crossalign: standard output cannot be written (No space left on device)"
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "--documents", "\x1b[2J\n\u202e" + "x" * 5000, "--queries", "q"],
        ["audit", "--seed", "\x1b[2J" + "9" * 5000],
        ["--" + "\x1b]0;title\x07" * 500],
        ["\x1b[31m" * 500],
        ["compare", "a" * 300, "b\n" * 2000],
        ["convert", "--queries", "\udcff\x1b" * 100],
        ["audit", "--index", "i", "--hosts", "\x1b[2J" * 1000],
        ["triplets", "translate", "--languages", "\x1b" * 2000],
    ],
)
def test_messages_about_options_are_one_bounded_printable_line(crossalign: object, arguments: list[str]) -> None:
    done = crossalign(*arguments)  # type: ignore[operator]
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith("crossalign: ")
    assert len(line) <= 1000
    assert line.isprintable()
