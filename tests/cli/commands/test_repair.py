"""`crossalign repair` as a user meets it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from sentence_transformers import SentenceTransformer
from tiny_models import tiny_model_folder

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.repair.language_maps import describe_map
from haystack_crossalign.repair.matrix_file import read_matrix_file
from haystack_crossalign.repair.output import repair_schema

__all__ = ["tiny_model_folder"]

Write = Callable[..., Path]


@pytest.fixture
def write_documents(tmp_path: Path) -> Write:
    """``write_documents(name, count)``: parallel documents in two languages of disjoint words."""

    def write(
        name: str, count: int, *, first: int = 0, parallel: bool = True, tags: Sequence[str] = ("en", "zh")
    ) -> Path:
        lines = []
        for group in range(first, first + count):
            for place, tag in enumerate(tags):
                words = np.random.default_rng([group, place]).integers(30, size=14) + 30 * place
                line = {"id": f"{tag}{group}", "text": " ".join(f"w{word}" for word in words), "language": tag}
                lines.append(json.dumps(line | ({"parallel_id": str(group)} if parallel else {})))
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def test_thirty_real_parallel_sentences_halve_the_bias_of_a_real_model(
    crossalign: Any, shared_data: Path, offline_model: str, tmp_path: Path
) -> None:
    """NTREX sentences in English and Chinese: 30 fit, 30 others judge, each asked for by its first half."""
    with (shared_data / "train" / "ntrex_16lang.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, 0, 720, 12)]
    for name, part in (("fit.jsonl", rows[:30]), ("judge.jsonl", rows[30:])):
        lines = [
            json.dumps({"id": f"{tag}{row['line']}", "text": row[tag], "language": tag, "parallel_id": row["line"]})
            for row in part
            for tag in ("en", "zh")
        ]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    output = tmp_path / "repaired"
    done = crossalign(
        "repair", "--model", offline_model, "--parallel", tmp_path / "fit.jsonl",
        "--held-out", tmp_path / "judge.jsonl", "--output", output,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Documents fitted on: 30 in en, 30 in zh. The repair: strength 1" in done.out
    assert "too small to show harm" in done.out
    before, after = (AuditResult.load(output / f"{name}.json") for name in ("before", "after"))
    depth = [
        next(row for row in result.rows if (row["scenario"], row["query_language"]) == ("multi", "zh"))
        for result in (before, after)
    ]
    # The best there is puts two versions at 1 and 2.
    assert depth[1]["measures"]["Max@R"] - 2 < 0.6 * (depth[0]["measures"]["Max@R"] - 2)
    data = json.loads((output / "repair.json").read_text(encoding="utf-8"))
    Draft202012Validator(repair_schema()).validate(data)
    for one in data["same_language"]:
        assert one["difference"] >= -1 / 30 - 1e-9
    # Terminal and pages say what was taken.
    taken = f"The repair: {describe_map(data['chosen'])}."
    assert taken in done.out
    for page in ("report.html", "report.md"):
        assert taken in (output / page).read_text(encoding="utf-8")
    # The prompts go with the model.
    config = json.loads((output / "config_sentence_transformers.json").read_text(encoding="utf-8"))
    assert {"query": "query: ", "document": "passage: "}.items() <= config["prompts"].items()


def test_the_folder_holds_model_matrix_report_and_card(
    crossalign: Any,
    write_documents: Write,
    tiny_model_folder: Path,
    tmp_path: Path,
    project_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "repaired"
    options = ["--model", tiny_model_folder, "--parallel", write_documents("d.jsonl", 24), "--samples", 100]
    copy = tmp_path / "copy.html"
    done = crossalign("repair", *options, "--output", output, "--quiet", "--report", copy)
    assert copy.read_bytes() == (output / "report.html").read_bytes()
    assert (done.code, done.out) == (0, ""), done.err
    assert (output / "modules.json").is_file()
    assert read_matrix_file(output / "matrix.safetensors").metadata["documents"] == "en:12,zh:12"
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "before and after" in page
    assert "too small to show harm" in page
    assert "crossalign repair" in (output / "README.md").read_text(encoding="utf-8")
    # The snippet of the documentation moves vectors of the base model to those of the written one.
    (code,) = re.findall(r"```python\n(.*?)```", (project_root / "docs" / "repair.md").read_text("utf-8"), re.DOTALL)
    texts = ["w1 w2 w3", "w40 w41"]
    names = {"vectors": SentenceTransformer(str(tiny_model_folder), device="cpu").encode(texts)}
    monkeypatch.chdir(tmp_path)
    exec(code, names)  # noqa: S102
    np.testing.assert_allclose(names["moved"], SentenceTransformer(str(output), device="cpu").encode(texts), atol=1e-6)
    again = tmp_path / "again"
    assert crossalign("repair", *options, "--output", again, "--quiet").code == 0
    for name in ("repair.json", "before.json", "after.json", "matrix.safetensors", "3_Dense/model.safetensors"):
        assert (again / name).read_bytes() == (output / name).read_bytes()


def test_documents_merely_tagged_by_language_and_the_matrix_alone(
    crossalign: Any, write_documents: Write, tiny_model_folder: Path, tmp_path: Path
) -> None:
    tagged = write_documents("tagged.jsonl", 40, parallel=False)
    output = tmp_path / "matrix"
    done = crossalign(
        "repair", "--model", tiny_model_folder, "--tagged", tagged, "--output", output, "--matrix-only", "--no-texts",
        "--samples", 100,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "the bias itself was not measured" in done.out
    assert sorted(path.name for path in output.iterdir()) == [
        "after.json", "before.json", "comparison.json", "matrix.safetensors", "repair.json", "report.html", "report.md",
    ]  # fmt: skip
    data = json.loads((output / "repair.json").read_text(encoding="utf-8"))
    Draft202012Validator(repair_schema()).validate(data)
    assert (data["model_written"], data["held_out"]["parallel"]) == (False, False)
    assert "w1 " not in (output / "report.html").read_text(encoding="utf-8")


def test_wrong_input_is_one_message_and_leaves_no_folder(
    crossalign: Any, write_documents: Write, tiny_model_folder: Path, tmp_path: Path
) -> None:
    documents = write_documents("d.jsonl", 24)
    output = tmp_path / "out"
    base = ["repair", "--output", output, "--model", tiny_model_folder]
    for arguments, told in (
        ([], "no documents"),
        (["--parallel", tmp_path / "none.jsonl"], "none.jsonl: no such file"),
        (["--parallel", write_documents("few.jsonl", 6)], "too few documents in 'en'"),
        (["--parallel", documents, "--tolerance", "2"], "--tolerance: out of range"),
        (["--parallel", documents, "--group-field", "nope"], "d.jsonl, field 'nope': no document has a version in"),
        (
            ["--tagged", write_documents("one.jsonl", 24, tags=["en"])],
            "one.jsonl, field 'language': a repair needs documents",
        ),
        (["--parallel", documents, "--format", "word"], "unknown format"),
        (["--parallel", documents, "--format", "ntrex"], "--languages en,zh"),
        (["--parallel", documents, "--languages", "en,xx-nonsense"], "unknown language"),
        (["--parallel", documents, "--languages", "en,ar"], "d.jsonl, field 'language': no document in 'ar'"),
        (["--tagged", documents, "--languages", "en,ar"], "d.jsonl, field 'language': no document in 'ar'"),
        (["--parallel", documents, "--embedder", documents], "exclude each other"),
    ):
        done = crossalign(*base, *arguments)
        assert done.code == 2, (arguments, done.err)
        assert told in done.err
        assert done.err.count("\n") == 1
        assert not output.exists()
    # What the system refuses is told in a line, too, wherever it is touched first.
    long = tmp_path / (300 * "x")
    done = crossalign("repair", "--output", long, "--model", tiny_model_folder, "--parallel", documents)
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1
    output.mkdir()
    done = crossalign(*base, "--parallel", documents)
    assert done.code == 2
    assert "already exists" in done.err
    assert not list(output.iterdir())


def test_eleven_languages_are_repaired_and_told(crossalign: Any, tiny_model_folder: Path, tmp_path: Path) -> None:
    """Of eleven versions no ten ranks can hold all, so that Complete@10 has no value."""
    tags = ("en", "zh", "ar", "es", "th", "vi", "fr", "de", "it", "pt", "ru")
    lines = []
    for group in range(16):
        for place, tag in enumerate(tags):
            words = np.random.default_rng([group, place]).integers(60, size=12)
            text = " ".join(f"w{word}" for word in words)
            lines.append(json.dumps({"id": f"{tag}{group}", "text": text, "language": tag, "parallel_id": group}))
    (tmp_path / "documents.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = crossalign(
        "repair", "--model", tiny_model_folder, "--parallel", tmp_path / "documents.jsonl",
        "--output", tmp_path / "matrix", "--matrix-only", "--samples", 100,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "matrix" / "matrix.safetensors").is_file()


@pytest.mark.parametrize(
    ("option", "problem"), [("--keep-own-first", "not a number from 0 to 1"), ("--tolerance", "out of range")]
)
@pytest.mark.parametrize("value", ["-0.1", "1.5", "nan"])
def test_bounds_out_of_range_are_refused_before_anything_is_read(
    crossalign: Any, tmp_path: Path, option: str, problem: str, value: str
) -> None:
    done = crossalign("repair", "--parallel", tmp_path / "nowhere", option, value, "--output", tmp_path / "out")
    assert done.code == 2
    seen = repr(value) if option == "--keep-own-first" else value
    assert done.err.startswith(f"crossalign: {option}: {problem}; seen: {seen}; allowed: 0 to 1")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "value"), [("--block", "3"), ("--format", "ntrex")])
def test_what_is_for_files_is_refused_with_an_index(crossalign: Any, tmp_path: Path, option: str, value: str) -> None:
    done = crossalign("repair", "--index", "prod", option, value, "--output", tmp_path / "out")
    assert done.code == 2
    assert done.err.startswith(f"crossalign: {option}: is for a file of documents, and the index has none; seen:")
    assert done.err.count("\n") == 1
    done = crossalign("repair", "--tagged", "d.jsonl", option, value, "--output", tmp_path / "out")
    assert done.code == 2
    assert done.err.startswith(f"crossalign: {option}: is for files of parallel documents, and --tagged is none; seen:")
