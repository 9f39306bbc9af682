"""The exit code is the gate's, whatever the terminal can show; nothing foreign reaches it raw."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_models import write_tiny_model

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


def shell(
    command: list[str], redirection: str = "", python: Sequence[str] = (sys.executable,), **environ: str
) -> subprocess.CompletedProcess[bytes]:
    line = f'"$@" {redirection}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    program = [*python, "-m", "haystack_crossalign"]
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", *program, *command], capture_output=True, env=environment, check=False
    )


EMBEDDERS = {
    "ours": (
        "haystack_crossalign.components.text_embedder.CrossAlignTextEmbedder",
        "haystack_crossalign.components.document_embedder.CrossAlignDocumentEmbedder",
    ),
    "of Haystack": (
        "haystack_integrations.components.embedders.sentence_transformers.sentence_transformers_text_embedder"
        ".SentenceTransformersTextEmbedder",
        "haystack_integrations.components.embedders.sentence_transformers.sentence_transformers_document_embedder"
        ".SentenceTransformersDocumentEmbedder",
    ),
}


@pytest.mark.parametrize(
    ("embedder", "where"),
    [("ours", "--quiet in a terminal"), ("of Haystack", "--quiet in a terminal"), ("of Haystack", "a log file")],
)
def test_an_embedder_draws_no_bar_of_its_own(
    files: list[str], tmp_path: Path, quick_python: list[str], embedder: str, where: str
) -> None:
    options = {"model": str(write_tiny_model(tmp_path))}
    bar = {} if embedder == "ours" else {"progress_bar": True}
    text, document = EMBEDDERS[embedder]
    components = {
        "text": {"type": text, "init_parameters": {**options, **bar}},
        "documents": {"type": document, "init_parameters": {**options, "progress_bar": True}},
    }
    pipeline = tmp_path / "embedder.yaml"
    pipeline.write_text(json.dumps({"components": components, "connections": []}), encoding="utf-8")
    for name in ("documents.jsonl", "queries.jsonl"):
        rows = [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]
        plain = [{key: value for key, value in row.items() if key != "embedding"} for row in rows]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in plain), encoding="utf-8")
    command = [*files, "--embedder", str(pipeline)]
    if where == "a log file":
        done = shell(command, python=quick_python)
        assert done.returncode == 0, done.stderr
        # Lines of our own say what takes more than two seconds; a bar would return to the start of its line.
        assert all(line.startswith(b"crossalign: ") for line in done.stderr.splitlines())
        assert b"\r" not in done.stderr
        assert b"Max@R" in done.stdout
        return
    # `script` gives the program a terminal, so that whatever draws bars draws them.
    line = shlex.join([*quick_python, "-m", "haystack_crossalign", *command, "--quiet"])
    done = subprocess.run(
        ["script", "-qec", line, "/dev/null"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


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


def limited(
    python: Sequence[str], command: list[object], folder: Path, kilobytes: int
) -> subprocess.CompletedProcess[str]:
    """Runs the program where no file may be larger: the writes fail as on a disk that has no room."""
    size = max(8, 1024 * kilobytes)  # a few bytes, for libraries that look for a folder they can write to
    # Python 3.11 would keep compiled modules that the limit has cut off.
    own = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*python, "-m", "haystack_crossalign", *map(str, command)], capture_output=True, text=True, check=False,
        cwd=folder, env={**os.environ, **own},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )  # fmt: skip


@pytest.mark.parametrize("before", [None, "what was there"])
@pytest.mark.parametrize("option", ["--json", "--report", "--markdown", "--junit"])
def test_an_audit_without_room_for_an_output_leaves_no_part_of_it(
    files: list[str], tmp_path: Path, quick_python: list[str], option: str, before: str | None
) -> None:
    output = tmp_path / "output"
    if before is not None:
        output.write_text(before, encoding="utf-8")
    there = sorted(tmp_path.iterdir())
    done = limited(quick_python, [*files, "--quiet", "--fail-on", "Max@R > 1000", option, output], tmp_path, 0)
    assert done.returncode == 3, done.stderr
    assert done.stderr == f"crossalign: {output}: cannot be written (File too large)\n"
    assert sorted(tmp_path.iterdir()) == there
    assert before is None or output.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(("kilobytes", "matrix_only"), [(0, True), (4, False), (60, False)])
def test_a_repair_without_room_leaves_no_folder(
    tmp_path: Path, quick_python: list[str], kilobytes: int, matrix_only: bool
) -> None:
    documents = tmp_path / "documents.jsonl"
    words = ["w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8"]
    documents.write_text(
        "".join(
            json.dumps(
                {
                    "id": f"{language}{number}",
                    "text": " ".join(
                        words[(number * step + place) % 4 + 4 * (language == "zh")]
                        for place, step in enumerate((1, 3, 5, 7, 2, 6))
                    ),
                    "title": f"w{number} {language}",
                    "language": language,
                    "parallel_id": str(number),
                }
            )
            + "\n"
            for number in range(24)
            for language in ("en", "zh")
        ),
        encoding="utf-8",
    )
    model = write_tiny_model(tmp_path)
    there = sorted(tmp_path.rglob("*"))
    command = ["repair", "--parallel", documents, "--model", model, "--output", tmp_path / "out", "--quiet"]
    done = limited(
        quick_python, [*command, "--samples", 100, *(["--matrix-only"] if matrix_only else [])], tmp_path, kilobytes
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written" in done.stderr
    assert sorted(tmp_path.rglob("*")) == there
