"""`crossalign convert`: what it keeps, what it says, and what it refuses before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Files = tuple[Path, Path]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_queries_without_a_clear_language_are_kept_with_their_judgments(crossalign: Any, tmp_path: Path) -> None:
    texts = {"en": "The castle was built on a hill above the river.", "de": "Die Burg wurde auf einem Hügel gebaut."}
    documents = write_lines(
        tmp_path / "d.jsonl", [{"id": tag, "text": text, "parallel_id": tag} for tag, text in texts.items()]
    )
    asked = {"q:en": "Where was the castle built above the river?", "q:number": "4711"}
    queries = write_lines(
        tmp_path / "q.jsonl", [{"id": name, "text": text, "parallel_id": "en"} for name, text in asked.items()]
    )
    files = ["--documents", documents, "--queries", queries, "--detect-languages"]
    out, beir = tmp_path / "a.qrels", tmp_path / "beir"
    done = crossalign("convert", *files, "--qrels-out", out, "--beir-out", beir)
    assert done.code == 0, done.err
    assert out.read_text() == "q:en 0 en 1\nq:number 0 en 1\n"
    assert (beir / "qrels" / "test.tsv").read_text().splitlines()[1:] == ["q:en\ten\t1", "q:number\ten\t1"]
    assert [line["metadata"] for line in read_lines(beir / "queries.jsonl")] == [{"language": "en"}, {}]
    assert done.err.splitlines() == [
        "Kept without a language in the BEIR folder, since theirs is not clear: 1 query (the first: q:number), "
        "0 documents"
    ]
    again = crossalign("convert", "--beir", beir, "--detect-languages", "--qrels-out", tmp_path / "b.qrels")
    assert (again.code, again.err) == (0, "")
    assert (tmp_path / "b.qrels").read_text() == out.read_text()
    # Not one clear language is no reason to lose judgments either.
    write_lines(queries, [{"id": "q:number", "text": "4711", "parallel_id": "en"}])
    alone = crossalign("convert", *files, "--qrels-out", out, "--quiet")
    assert (alone.code, alone.err) == (0, "")
    assert out.read_text() == "q:number 0 en 1\n"


@pytest.mark.usefixtures("parallel_files")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--qrels-out", "queries.jsonl"], "--qrels-out: would overwrite an input"),
        (["--workbench-out", "documents.jsonl"], "--workbench-out: would overwrite an input"),
        (["--qrels-out", "a", "--workbench-out", "a"], "--workbench-out: would overwrite the file of --qrels-out"),
        (["--beir-out", "new", "--qrels-out", "nodir/x.qrels"], "--qrels-out: no such folder"),
        (["--beir-out", "new", "--qrels-out", "new"], "would be in the place of a folder of --beir-out"),
        (["--beir-out", "made", "--qrels-out", "made/qrels"], "would be in the place of a folder of --beir-out"),
        (["--beir-out", ".", "--qrels-out", "corpus.jsonl"], "--beir-out: would overwrite the file of --qrels-out"),
        (["--beir-out", "queries.jsonl"], "queries.jsonl: the folder cannot be created"),
    ],
)
def test_outputs_that_would_replace_something_are_refused_before_any_is_written(
    crossalign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()
    before = contents(tmp_path)
    done = crossalign("convert", "--documents", "documents.jsonl", "--queries", "queries.jsonl", *options)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert problem in done.err
    assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_files_of_a_beir_folder_are_no_place_for_another(
    crossalign: Any, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    beir = tmp_path / "beir"
    assert crossalign("convert", "--documents", documents, "--queries", queries, "--beir-out", beir).code == 0
    before = contents(tmp_path)
    judged = ["--documents", beir / "corpus.jsonl", "--queries", queries, "--beir-out", beir]
    for wrong, problem in (
        (["--beir", beir, "--beir-out", beir], "--beir-out: would overwrite an input"),
        (["--beir", beir, "--beir-out", beir / "new"], "--beir-out: is within a folder that is read"),
        (judged, "--beir-out: would overwrite an input"),
    ):
        done = crossalign("convert", *wrong)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert problem in done.err
        assert contents(tmp_path) == before
    # A folder may be written anew from other files.
    again = crossalign("convert", "--documents", documents, "--queries", queries, "--beir-out", beir)
    assert (again.code, contents(tmp_path)) == (0, before)


def test_a_split_needs_a_beir_folder(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    out = tmp_path / "a.qrels"
    done = crossalign("convert", "--documents", documents, "--queries", queries, "--split", "dev", "--qrels-out", out)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--split: names qrels of a BEIR folder; allowed: --beir DIR with it" in done.err
    assert not out.exists()


def test_queries_that_a_judgment_list_cannot_tell_apart_are_named(
    crossalign: Any, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    lines = read_lines(queries)
    for line in lines:
        line["text"] = {"q1": "taxi", "q3": "taxi"}.get(line["id"], line["text"])
    write_lines(queries, lines)
    given = tmp_path / "given.qrels"
    files = ["--documents", documents, "--queries", queries, "--qrels", given]
    workbench = ["--workbench-out", tmp_path / "w.json"]
    others = "".join(f"q{number} 0 en:{number} 1\n" for number in (0, 2, 4, 5))
    given.write_text(f"{others}q1 0 en:1 2\nq3 0 en:3 1\nq3 0 zh:3 0\n")
    line = "Merged in the judgment list, which knows queries by their texts alone: 2 queries to 1 (the first: q1)"
    done = crossalign("convert", *files, *workbench)
    assert (done.code, done.err.splitlines()) == (0, [line]), done.err
    given.write_text(f"{others}q1 0 en:1 2\nq3 0 en:1 0\nq3 0 en:3 1\n")
    done = crossalign("convert", *files, *workbench)
    conflict = "; their grades differ for 1 document (the first: en:1 of q1), and the highest is written"
    assert (done.code, done.err.splitlines()) == (0, [line + conflict]), done.err
    # In other formats nothing is merged.
    plain = crossalign("convert", *files, "--qrels-out", tmp_path / "a.qrels")
    assert (plain.code, plain.err) == (0, "")
