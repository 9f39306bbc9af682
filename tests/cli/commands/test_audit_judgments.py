"""Grades, rows that are left out and odd runs, as they show in every output of an audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.audit.result import AuditResult

Files = tuple[Path, Path]
GROUPS = 6


def qrels(path: Path, *more: str, grade: str = "1") -> Path:
    """Both versions of every content, and further lines."""
    lines = [f"q{group} 0 {tag}:{group} {grade}" for group in range(GROUPS) for tag in ("en", "zh")]
    path.write_text("\n".join([*lines, *more]) + "\n")
    return path


def outputs(folder: Path) -> list[object]:
    return [
        "--json", folder / "a.json", "--report", folder / "a.html", "--markdown", folder / "a.md", "--samples", 100,
        "--qrels-out", folder / "a.qrels",
    ]  # fmt: skip


def test_what_is_left_out_shows_in_every_output(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    odd = qrels(tmp_path / "odd.qrels", "q0 0 gone 1", "q0 0 en:0 1", "q9 0 en:0 1", "q1 0 en:1 2")
    files = ["--documents", documents, "--queries", queries, "--qrels", odd]
    refused = crossalign("audit", *files, *outputs(tmp_path))
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "--skip-invalid" in refused.err
    assert not (tmp_path / "a.json").exists()
    done = crossalign("audit", *files, "--skip-invalid", *outputs(tmp_path))
    assert done.code == 0, done.err
    result = AuditResult.load(tmp_path / "a.json")
    assert result.provenance["data"]["left_out"] == [
        {"what": "judgment", "reason": "repeated with the same grade", "count": 1, "first": ["line 14"]},
        {
            "what": "judgment",
            "reason": "judged twice with different grades in 'grade'",
            "count": 1,
            "first": ["line 16"],
        },
        {"what": "judgment", "reason": "query not among the queries", "count": 1, "first": ["q9"]},
        {"what": "judgment", "reason": "document not in the pool", "count": 1, "first": ["q0 gone"]},
    ]
    assert result.provenance["options"]["skip_invalid"] is True
    for shown in (done.out, (tmp_path / "a.md").read_text(), (tmp_path / "a.html").read_text()):
        assert "Left out: 4 judgments (1 repeated with the same grade: line 14;" in " ".join(shown.split())
    assert (tmp_path / "a.qrels").read_text() == qrels(tmp_path / "plain.qrels").read_text()
    clean = crossalign("audit", "--documents", documents, "--queries", queries, "--json", tmp_path / "b.json")
    assert clean.code == 0
    assert "Left out" not in clean.out
    compared = crossalign("compare", tmp_path / "b.json", tmp_path / "a.json")
    assert "Other rows of the files were left out before than after." in " ".join(compared.out.split())


def test_grades_are_kept_stated_and_used(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    graded = tmp_path / "graded.qrels"
    lines = [f"q{group} 0 en:{group} 1" for group in range(GROUPS)] + [
        f"q{group} 0 zh:{group} 3" for group in range(GROUPS)
    ]
    lines += ["q0 0 en:5 0", "q0 0 zh:5 -1"]
    graded.write_text("\n".join(lines) + "\n")
    files = ["--documents", documents, "--queries", queries, "--qrels", graded]
    done = crossalign("audit", *files, *outputs(tmp_path))
    assert done.code == 0, done.err
    assert sorted((tmp_path / "a.qrels").read_text().split("\n")) == sorted(graded.read_text().split("\n"))
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["provenance"]["data"]["judgments"] == {
        "relevance_level": 1, "gain": "linear", "grades": {"-1": 1, "0": 1, "1": 6, "3": 6},
    }  # fmt: skip
    # The Chinese version (grade 3) stands at rank 1, the English one (grade 1) at rank 7 behind all Chinese documents.
    ideal = 3 + 1 / 1.5849625007211562
    assert data["rows"][0]["measures"]["NDCG@10"] == pytest.approx((3 + 1 / 3) / ideal, abs=1e-7)
    for shown in (done.out, (tmp_path / "a.md").read_text(), (tmp_path / "a.html").read_text()):
        assert "the gain of NDCG is the grade, and a document counts as relevant from grade 1" in " ".join(
            shown.split()
        )
    strict = crossalign("audit", *files, "--relevance-level", 2, "--json", tmp_path / "b.json", "--samples", 100)
    assert strict.code == 0, strict.err
    level = json.loads((tmp_path / "b.json").read_text())
    assert level["rows"][0]["measures"]["Max@R"] == 1
    assert level["rows"][0]["measures"]["NDCG@10"] == data["rows"][0]["measures"]["NDCG@10"]
    compared = crossalign("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert "relevant from grade 1 before and from grade 2 after" in " ".join(compared.out.split())


def test_converting_keeps_grades_and_queries_without_relevant_documents(
    crossalign: Any, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    given = qrels(tmp_path / "given.qrels", "q0 0 en:1 0", grade="2")
    given.write_text(given.read_text().replace("q5 0 en:5 2", "q5 0 en:5 0").replace("q5 0 zh:5 2", "q5 0 zh:5 -2"))
    files = ["--documents", documents, "--queries", queries, "--qrels", given]
    out = tmp_path / "out.qrels"
    done = crossalign(
        "convert", *files, "--qrels-out", out, "--beir-out", tmp_path / "beir", "--workbench-out", tmp_path / "w.json"
    )
    assert done.code == 0, done.err
    assert sorted(out.read_text().split("\n")) == sorted(given.read_text().split("\n"))
    for source in (["--beir", tmp_path / "beir"], [*files[:4], "--workbench", tmp_path / "w.json"]):
        again = crossalign("convert", *source, "--qrels-out", out, "--quiet")
        assert again.code == 0, again.err
        assert sorted(out.read_text().split("\n")) == sorted(given.read_text().split("\n"))


def test_a_run_that_lacks_queries_and_holds_others(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    files = ["--documents", documents, "--queries", queries]
    assert crossalign("audit", *files, "--run", tmp_path / "a.run", "--quiet").code == 0
    lines = (tmp_path / "a.run").read_text().splitlines()
    odd = tmp_path / "odd.run"
    odd.write_text("\n".join(line.replace("q3 ", "other ") for line in lines) + "\n")
    done = crossalign("audit", *files, "--results", odd, *outputs(tmp_path))
    assert done.code == 0, done.err
    result = AuditResult.load(tmp_path / "a.json")
    assert result.provenance["run"] == {"queries_without_results": {"count": 1, "first": ["q3"]}}
    assert result.provenance["data"]["left_out"] == [
        {"what": "ranking", "reason": "query not among the queries", "count": 1, "first": ["other"]}
    ]
    row = result.rows[0]
    assert row["censored"]["nothing_found"] == 1
    assert row["reasons"]["Max@R"] == "unknown for 1 of 6 queries: they found nothing"
    for shown in (done.out, (tmp_path / "a.md").read_text(), (tmp_path / "a.html").read_text()):
        assert "1 query is not in the run and counts as having found nothing: q3." in " ".join(shown.split())


def test_a_run_of_distances_is_read_by_its_ranks_when_told(
    crossalign: Any, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    files = ["--documents", documents, "--queries", queries]
    assert crossalign("audit", *files, "--run", tmp_path / "a.run", "--json", tmp_path / "a.json").code == 0
    distances = tmp_path / "distances.run"
    cells = [line.split() for line in (tmp_path / "a.run").read_text().splitlines()]
    distances.write_text("".join(f"{q} Q0 {d} {rank} {1 - float(score):.6f} t\n" for q, _, d, rank, score, _ in cells))
    refused = crossalign("audit", *files, "--results", distances)
    assert (refused.code, refused.out) == (2, "")
    assert "--run-order rank" in refused.err
    done = crossalign("audit", *files, "--results", distances, "--run-order", "rank", *outputs(tmp_path / "."))
    assert done.code == 0, done.err
    assert "ordered by its ranks" in done.out
    assert crossalign("audit", *files, "--run-order", "rank").code == 2


def test_queries_to_which_everything_is_relevant_are_left_out_by_pool(crossalign: Any, tmp_path: Path) -> None:
    vectors = {"en1": [1, 0], "en2": [0.5, 1], "zh1": [1, 0.2], "zh2": [0.1, 1], "zh3": [1, 1]}
    documents, queries = tmp_path / "documents.jsonl", tmp_path / "queries.jsonl"
    rows = [{"id": name, "language": name[:2], "text": "t", "embedding": vector} for name, vector in vectors.items()]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    relevant = {"q1": ["en1", "zh1"], "q2": list(vectors), "q3": ["en1", "en2", "zh3"], "q4": ["zh2", "en2"]}
    asked = [
        {"id": name, "language": "zh" if name == "q4" else "en", "text": "t", "relevant": names, "embedding": [1, 0.1]}
        for name, names in relevant.items()
    ]
    queries.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    files = ["--documents", str(documents), "--queries", str(queries), "--scenario", "multi,mono-same"]
    refused = crossalign("audit", *files)
    assert refused.code == 2
    assert "line 2, field 'relevant': the relevant documents of query 'q2' are the whole pool" in refused.err
    assert "--skip-invalid" in refused.err
    done = crossalign("audit", *files, "--skip-invalid", *outputs(tmp_path))
    assert done.code == 0
    result = AuditResult.load(tmp_path / "a.json")
    # q2 is certain in the pool of both languages; q3 in that of English alone, where q1 is left.
    places = {(row["scenario"], row["query_language"]): number for number, row in enumerate(result.rows)}
    by_row = {
        key: [name for name, row in zip(result.queries["id"], result.queries["row"], strict=True) if row == number]
        for key, number in places.items()
    }
    assert by_row == {("multi", "en"): ["q1", "q3"], ("multi", "zh"): ["q4"], ("mono-same", "en"): ["q1"],
                      ("mono-same", "zh"): ["q4"]}  # fmt: skip
    assert [
        (one["what"], one["reason"], one["count"], one["first"]) for one in result.provenance["data"]["left_out"]
    ] == [
        ("query", "all documents of the pool are relevant", 1, ["q2"]),
        ("query", "all documents of the pool are relevant (mono-same)", 1, ["q3"]),
    ]
    assert "all documents of the pool are relevant" in (tmp_path / "a.md").read_text(encoding="utf-8")
    # A row of which nothing is left is an error, not an empty row.
    asked[0]["relevant"] = ["en1", "en2"]
    queries.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    refused = crossalign("audit", *files, "--skip-invalid")
    assert refused.code == 2
    assert "mono-same over en, field 'relevant': the relevant documents of query 'q1' are the whole" in refused.err


def test_the_language_of_queries_is_not_given_to_documents_of_a_beir_folder(crossalign: Any, tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "渡轮每天早上九点从码头出发。"}\n', encoding="utf-8")
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "When does the ferry leave?"}\n', encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n", encoding="utf-8")
    done = crossalign("audit", "--beir", folder, "--query-language", "en")
    assert done.code == 2
    assert "corpus.jsonl, line 1, field 'language': missing field" in done.err
