"""Graded judgments of an index: against trec_eval, and against a file audit of the same documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pytest
from live_audit import GROUPS, LANGUAGES
from live_command import run_command
from live_judged import INDEX, audit, grouped, mapping_of

MEASURES = ("NDCG@3", "NDCG@10", "MRR", "Recall@10", "Max@R", "Complete@10")
Documents = dict[str, dict[str, Any]]
Grades = dict[str, dict[str, int]]


def write_files(folder: Path, documents: Documents, seed: int) -> tuple[list[dict[str, Any]], Grades]:
    """Documents, queries with vectors, and judgments of grades 0 to 3 for six documents of each, one of them at 2."""
    rng = np.random.default_rng(seed)
    names = list(documents)
    queries: list[dict[str, Any]] = []
    grades: Grades = {}
    for number in range(GROUPS):
        judged = [names[place] for place in rng.choice(len(names), 6, replace=False).tolist()]
        vector = np.array(documents[judged[0]]["embedding"]) + rng.normal(size=12) * 0.5
        queries.append({"id": f"q{number}", "text": "a question", "language": LANGUAGES[number % 3],
                        "embedding": vector.round(4).tolist()})  # fmt: skip
        grades[f"q{number}"] = dict(zip(judged, [2, 0, 1, 1, 3, *rng.integers(0, 4, 1).tolist()], strict=True))
    lines = [{"id": name, "text": one["content"], **one} for name, one in documents.items()]
    for name, rows in (("documents.jsonl", lines), ("queries.jsonl", queries)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    qrels = [f"{query} 0 {name} {grade}\n" for query, row in grades.items() for name, grade in row.items()]
    (folder / "qrels.txt").write_text("".join(qrels), encoding="utf-8")
    return queries, grades


def unit_of(documents: Documents, name: str) -> str:
    one = documents[name]
    return f"{one['parallel_id']}/{one['language']}" if "parallel_id" in one else name


def graded_units(documents: Documents, grades: dict[str, int], *, expand: bool) -> dict[str, int]:
    """Each version's grade: the highest of its documents, which with expansion have the highest of their group."""
    wide = dict(grades)
    for name in documents:
        group = documents[name].get("parallel_id")
        for judged, grade in grades.items() if expand and group is not None else ():
            if grade > 0 and documents[judged].get("parallel_id") == group:
                wide[name] = max(grade, wide.get(name, 0))
    units: dict[str, int] = {}
    for name, grade in wide.items():
        units[unit_of(documents, name)] = max(grade, units.get(unit_of(documents, name), 0))
    return units


def by_trec_eval(
    documents: Documents, queries: list[dict[str, Any]], grades: Grades, level: int, depth: int, *, expand: bool
) -> dict[tuple[str, str], float]:
    """The measures that trec_eval has, on the rankings of all versions by cosine, cut at a depth."""
    matrix = np.array([one["embedding"] for one in documents.values()])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    run, qrels = [], []
    for query in queries:
        best: dict[str, float] = {}
        for name, score in zip(documents, (matrix @ np.array(query["embedding"])).tolist(), strict=True):
            unit = unit_of(documents, name)
            best[unit] = max(score, best.get(unit, -np.inf))
        ranking = sorted(best, key=lambda unit, best=best: -best[unit])[:depth]  # type: ignore[misc]
        run += [ir_measures.ScoredDoc(query["id"], unit, best[unit]) for unit in ranking]
        units = graded_units(documents, grades[query["id"]], expand=expand)
        qrels += [ir_measures.Qrel(query["id"], unit, grade) for unit, grade in units.items()]
    names = {"nDCG@3": "NDCG@3", "nDCG@10": "NDCG@10", f"RR(rel={level})": "MRR", f"R(rel={level})@10": "Recall@10"}
    measures = [ir_measures.parse_measure(name) for name in names]
    mine = dict(zip(map(str, measures), names.values(), strict=True))
    found = ir_measures.iter_calc(measures, qrels, run)
    return {(metric.query_id, mine[str(metric.measure)]): metric.value for metric in found}


def values_of(result: dict[str, Any], kind: str) -> dict[tuple[str, str], float | None]:
    columns = result["queries"]
    return {
        (columns["id"][place], name): values[place]
        for name, values in columns["measures"].items()
        for place, row in enumerate(columns["row"])
        if result["rows"][row]["kind"] == kind
    }


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize(
    ("grouping", "chunks", "expand"), [("all", 1, False), ("all", 1, True), ("some", 1, True), ("all", 3, True)]
)
def test_grades_of_an_index_count_as_in_files_and_in_trec_eval(
    opensearch: Any, indexing: Any, tmp_path: Path, grouping: str, chunks: int, expand: bool, level: int
) -> None:
    documents = grouped(grouping, chunks)
    indexing.create(opensearch, INDEX, documents, mapping_of(indexing, grouping))
    queries, grades = write_files(tmp_path, documents, seed=level)
    flags = ["--qrels", str(tmp_path / "qrels.txt"), "--relevance-level", str(level), "--quiet"]
    flags += ["--measures", ",".join(MEASURES), "--expand-groups" if expand else "--no-expand-groups"]
    finished = audit(opensearch, tmp_path, *flags, "--qrels-out", str(tmp_path / "out.txt"))
    assert (finished.code, finished.message) == (0, "")
    files = ["--documents", str(tmp_path / "documents.jsonl"), "--queries", str(tmp_path / "queries.jsonl")]
    from_files = run_command(tmp_path, *files, *flags, "--qrels-out", str(tmp_path / "out-files.txt"), environment={})
    assert (from_files.code, from_files.message) == (0, "")
    assert finished.result is not None
    assert from_files.result is not None
    expected = by_trec_eval(documents, queries, grades, level, len(documents), expand=expand)
    assert len(expected) == 4 * len(queries)
    for kind in ("exact", "live"):  # the lists are as deep as the pool
        values = values_of(finished.result, kind)
        assert values == pytest.approx(values_of(from_files.result, "exact"))
        assert {key: values[key] for key in expected} == pytest.approx(expected, abs=1e-8)
    judgments = finished.result["provenance"]["data"]["judgments"]
    assert judgments == from_files.result["provenance"]["data"]["judgments"]
    assert (judgments["gain"], judgments["relevance_level"]) == ("linear", level)
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == (tmp_path / "out-files.txt").read_text(
        encoding="utf-8"
    )


def test_grades_count_in_short_lists_as_in_trec_eval(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    documents = grouped("all", 1)
    indexing.create(opensearch, INDEX, documents, mapping_of(indexing, "all"))
    queries, grades = write_files(tmp_path, documents, seed=5)
    arguments = ["--qrels", str(tmp_path / "qrels.txt"), "--no-expand-groups", "--measures", "NDCG@3,NDCG@10,Recall@10"]
    report = tmp_path / "report.md"
    finished = audit(opensearch, tmp_path, *arguments, "--depth", "10", "--markdown", str(report))
    assert finished.code == 0
    assert finished.result is not None
    expected = by_trec_eval(documents, queries, grades, 1, 10, expand=False)
    values = values_of(finished.result, "live")
    kept = {key: value for key, value in expected.items() if key[1] != "MRR"}
    assert {key: values[key] for key in kept} == pytest.approx(kept, abs=1e-8)
    note = (
        "Judgments have grades (0 to 3): the gain of NDCG is the grade, and a document counts as relevant from grade 1."
    )
    assert note in " ".join(finished.out.split())
    assert note in report.read_text(encoding="utf-8")


def test_a_sample_estimates_relevant_ranks_only_and_takes_grades_as_gains(
    opensearch: Any, indexing: Any, tmp_path: Path
) -> None:
    documents = grouped("none", 1)
    indexing.create(opensearch, INDEX, documents, mapping_of(indexing, "none"))
    _, grades = write_files(tmp_path, documents, seed=6)
    arguments = ["--qrels", str(tmp_path / "qrels.txt"), "--relevance-level", "2", "--quiet", "--sample", "0.5"]
    finished = audit(opensearch, tmp_path, *arguments)
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    relevant = {query: sum(grade >= 2 for grade in row.values()) for query, row in grades.items()}
    columns = finished.result["queries"]
    for place, query in enumerate(columns["id"]):
        assert len(columns["ranks"][place]) == relevant[query]
    assert finished.result["provenance"]["data"]["judgments"]["gain"] == "linear"


def test_a_judged_document_that_the_pool_lacks_has_no_gain_in_any_ranking(
    opensearch: Any, indexing: Any, tmp_path: Path
) -> None:
    documents = grouped("none", 1)
    indexing.create(opensearch, INDEX, documents, mapping_of(indexing, "none"))
    queries, grades = write_files(tmp_path, documents, seed=7)
    gone = [name for row in grades.values() for name in list(row)[2:3]]  # of grade 1, below the level
    outside = {"bool": {"must_not": [{"ids": {"values": gone}}]}}
    flags = ["--qrels", str(tmp_path / "qrels.txt"), "--relevance-level", "2", "--quiet", "--measures", "NDCG@10"]
    finished = audit(opensearch, tmp_path, *flags, "--filter", json.dumps(outside))
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    left = {name: one for name, one in documents.items() if name not in gone}
    judged = {query: {name: grade for name, grade in row.items() if name in left} for query, row in grades.items()}
    asked = [query for query in queries if max(judged[query["id"]].values(), default=0) >= 2]
    expected = by_trec_eval(left, asked, judged, 2, len(left), expand=False)
    for kind in ("exact", "live"):
        values = values_of(finished.result, kind)
        kept = {key: value for key, value in expected.items() if key[1] == "NDCG@10"}
        assert {key: values[key] for key in kept} == pytest.approx(kept, abs=1e-8)
    unranked = finished.result["live"]["unranked"]
    assert unranked["count"] == sum(name in gone for row in grades.values() for name, grade in row.items() if grade > 0)
