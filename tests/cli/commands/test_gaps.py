"""`crossalign gaps` on files, and the section that audits have of the same gaps."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CONTENTS = 6


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Six contents in English; the Chinese version of the first is missing, that of the second is older. Every
    document leans towards its language, and Chinese queries ask for each content."""
    documents, queries = [], []
    for group in range(CONTENTS):
        content = np.eye(CONTENTS)[group]
        for language, side in (("en", [2.0, 0.0]), ("zh", [0.0, 2.0])):
            entry = {"language": language, "parallel_id": f"a{group}", "embedding": [*content, *side]}
            if language == "zh":
                queries.append({**entry, "id": f"q{group}", "text": f"Question {group}"})
                if group == 0:
                    continue
            date = "2024-01-01" if (language, group) == ("zh", 1) else "2025-01-01"
            documents.append({**entry, "id": f"{language}{group}", "text": f"text {group} {language}", "updated": date})
    for name, lines in (("documents", documents), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return ["--documents", str(tmp_path / "documents.jsonl"), "--queries", str(tmp_path / "queries.jsonl")]


def test_gaps_are_listed_by_demand(crossalign: Any, files: list[str], tmp_path: Path) -> None:
    outputs = ["--csv", tmp_path / "g.csv", "--json", tmp_path / "g.json", "--markdown", tmp_path / "g.md"]
    done = crossalign("gaps", *files, "--date-field", "updated", *outputs)
    assert done.code == 0, done.err
    lines = list(csv.DictReader((tmp_path / "g.csv").open(encoding="utf-8")))
    # The five Chinese documents stand above the English version of the content that has no Chinese one.
    assert [
        (line["content"], line["language"], line["gap"], line["demand"], float(line["rank"])) for line in lines
    ] == [
        ("a0", "zh", "missing", "1", 6),
        ("a1", "zh", "older", "1", 6),
    ]
    assert "4 of 6 contents have an up-to-date version in English and Chinese." in done.out
    assert "a1" in (tmp_path / "g.md").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "g.json").read_text(encoding="utf-8"))
    assert (data["schema"], data["demand"]) == ("crossalign.gaps/1", "judged queries")


def test_a_query_log_gives_the_demand(crossalign: Any, files: list[str], tmp_path: Path) -> None:
    log = tmp_path / "log.tsv"
    log.write_text("query\tcount\nquestion 0\t2\nquestion 1\t40\nparking\t9\n", encoding="utf-8")
    done = crossalign("gaps", *files, "--date-field", "updated", "--query-log", log, "--json", tmp_path / "g.json")
    assert done.code == 0, done.err
    data = json.loads((tmp_path / "g.json").read_text(encoding="utf-8"))
    assert [(gap["content"], gap["demand"]) for gap in data["gaps"]] == [("a1", 40), ("a0", 2)]
    note = "9 of {} searches of the log are of queries without judgments, and count for no content."
    total = data["log"]["searches"]
    assert data["notes"][0].startswith(note.format(total))
    assert data["log"]["unattributed"] == 9 == sum(entry["count"] for entry in data["log"]["first"])
    assert all(f"'{entry['query']}' ({entry['count']})" in data["notes"][0] for entry in data["log"]["first"])
    assert total - 9 == sum(gap["demand"] for gap in data["gaps"])


@pytest.mark.parametrize(
    "wrong", [["--date-field", "changed"], ["--source", "fr"], ["--query-log", "none.tsv"], ["--csv", "none/g.csv"]]
)
def test_wrong_input_is_told_in_one_line(crossalign: Any, files: list[str], wrong: list[str]) -> None:
    refused = crossalign("gaps", *files, *wrong)
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err


@pytest.mark.parametrize("option", ["--hosts", "--user", "--embedding-field", "--content-field", "--language-map"])
def test_what_is_for_an_index_is_refused_with_files(crossalign: Any, files: list[str], option: str) -> None:
    refused = crossalign("gaps", *files, option, "http://127.0.0.1:9")
    assert refused.code == 2
    assert f"{option} is for the gaps of an index; allowed: --index NAME with it" in refused.err


def test_an_audit_has_a_section_on_them(crossalign: Any, files: list[str], tmp_path: Path) -> None:
    outputs = ["--json", tmp_path / "a.json", "--report", tmp_path / "a.html", "--markdown", tmp_path / "a.md"]
    done = crossalign("audit", *files, *outputs)
    assert done.code == 0, done.err
    (row,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["rows"]
    assert (row["measures"]["OtherOnly"], row["counts"]["OtherOnly"]) == (6.0, 1)
    assert row["measures"]["OtherOnly@10"] == 1.0
    for text in (done.out, *((tmp_path / name).read_text(encoding="utf-8") for name in ("a.html", "a.md"))):
        assert "Translation gaps" in text
        assert "1 of 6" in text


def test_without_gaps_nothing_is_said(crossalign: Any, files: list[str], tmp_path: Path) -> None:
    lines = Path(files[3]).read_text(encoding="utf-8").splitlines()[2:]
    Path(files[3]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = crossalign("audit", *files, "--json", tmp_path / "a.json")
    assert done.code == 0, done.err
    assert "Translation gaps" not in done.out
    assert "OtherOnly" not in json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["rows"][0]["measures"]


@pytest.mark.parametrize(
    ("given", "lacking"),
    [([], "no --documents and no --queries"), (["--documents"], "no --queries"), (["--queries"], "no --documents")],
)
def test_what_is_lacking_is_named_with_what_this_command_takes(
    crossalign: Any, tmp_path: Path, given: list[str], lacking: str
) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n", encoding="utf-8")
    refused = crossalign("gaps", *(part for option in given for part in (option, tmp_path / "a.jsonl")))
    allowed = "--documents FILE and --queries FILE, or --index NAME"
    assert (refused.code, refused.err) == (2, f"crossalign: {lacking}; allowed: {allowed}\n")
