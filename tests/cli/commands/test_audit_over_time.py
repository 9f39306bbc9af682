"""`--stamp`, `--fail-if-worse-than`, and a comparison of several results, from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CONTENTS = 12


def write(folder: Path, lean: float) -> list[str]:
    """Contents in English and Chinese; every vector leans towards its language, so that a larger lean is worse."""
    documents, queries = [], []
    for group in range(CONTENTS):
        content = np.eye(CONTENTS)[group]
        for language, side in (("en", [lean, 0.0]), ("zh", [0.0, lean])):
            entry = {"language": language, "parallel_id": str(group), "embedding": [*content, *side]}
            documents.append({**entry, "id": f"{language}:{group}", "text": f"text {group} in {language}"})
            queries.append({**entry, "id": f"q:{language}:{group}", "text": f"question {group} in {language}"})
    for name, lines in (("documents", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return ["--documents", str(folder / "documents.jsonl"), "--queries", str(folder / "queries.jsonl")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, run_program: Any) -> dict[str, Path]:
    """Results of the same queries: one good, one biased."""
    results = {}
    for name, lean in (("good", 0.5), ("biased", 2.0)):
        folder = tmp_path_factory.mktemp(name)
        results[name] = folder / f"{name}.json"
        assert run_program("audit", *write(folder, lean), "--json", results[name], "--quiet") == 0
    return results


def test_a_stamp_is_the_only_change(crossalign: Any, tmp_path: Path) -> None:
    data = write(tmp_path, 0.5)
    for name, more in (("a", []), ("b", []), ("c", ["--stamp", "2026-11-29T08:30:00+01:00"])):
        assert crossalign("audit", *data, "--json", tmp_path / f"{name}.json", "--quiet", *more).code == 0
    first, second, timed = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "abc")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert timed["provenance"].pop("stamp") == "2026-11-29T07:30:00Z"
    assert timed == first == second
    shown = crossalign("audit", *data, "--stamp", "2026-11-29", "--report", tmp_path / "r.html")
    assert "Time: 2026-11-29T00:00:00Z" in shown.out
    assert "2026-11-29T00:00:00Z" in (tmp_path / "r.html").read_text(encoding="utf-8")
    refused = crossalign("audit", *data, "--stamp", "noon", "--json", tmp_path / "d.json")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert not (tmp_path / "d.json").exists()


def test_the_gate_fails_on_what_is_significantly_worse(crossalign: Any, tmp_path: Path, files: dict[str, Path]) -> None:
    data = write(tmp_path, 2.0)
    failed = crossalign("audit", *data, "--fail-if-worse-than", files["good"], "--junit", tmp_path / "gate.xml")
    assert failed.code == 1
    assert "NDCG@10 worse than in good.json" in failed.out
    assert "100 % before" in failed.out.replace("\u00a0", " ")
    assert 'failures="0"' not in (tmp_path / "gate.xml").read_text(encoding="utf-8").splitlines()[1]
    same = crossalign("audit", *data, "--fail-if-worse-than", files["biased"], "--quiet")
    assert (same.code, same.err) == (0, "")
    spelled = crossalign("audit", *data, "--measures", "nDCG@10", "--fail-if-worse-than", files["good"], "--quiet")
    assert spelled.code == 1
    assert "NDCG@10 worse than in good.json" in spelled.err
    outputs = ["--measures", "Recall@3", "--json", tmp_path / "recall.json", "--quiet"]
    nothing = crossalign("audit", *data, *outputs, "--fail-if-worse-than", files["good"])
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)
    assert "the earlier result has none of the measures that are compared; seen: " in nothing.err
    assert nothing.err.endswith("allowed: Recall@3\n")
    assert not (tmp_path / "recall.json").exists()
    better = crossalign("audit", *write(tmp_path, 0.5), "--fail-if-worse-than", files["biased"], "--quiet")
    assert better.code == 0
    missing = crossalign("audit", *data, "--fail-if-worse-than", tmp_path / "none.json")
    assert (missing.code, missing.err.count("\n")) == (2, 1)


def test_several_results_are_compared_with_the_first(crossalign: Any, tmp_path: Path, files: dict[str, Path]) -> None:
    third = tmp_path / "third.json"
    third.write_bytes(files["good"].read_bytes())
    outputs = ["--json", tmp_path / "all.json", "--report", tmp_path / "all.html", "--markdown", tmp_path / "all.md"]
    done = crossalign("compare", files["good"], files["biased"], third, *outputs)
    assert done.code == 0, done.err
    data = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert data["names"] == ["good", "biased", "third"]
    worse, same = (comparison["rows"][0]["measures"]["NDCG@10"] for comparison in data["comparisons"])
    # Four tests of one measure, two rows of two results, over 12 queries that all change alike: 4 * 2 / 2**12.
    assert worse["p_holm"] == pytest.approx(4 * 2 / 2**12)
    assert same["difference"] == 0
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    assert "2 results compared with" in page
    assert "▼ worse" in page
    assert "biased" in (tmp_path / "all.md").read_text(encoding="utf-8")
    twice = crossalign("compare", files["good"], files["biased"], files["biased"])
    assert (twice.code, twice.err.count("\n")) == (2, 1)


def test_a_history_of_two_results(crossalign: Any, tmp_path: Path, files: dict[str, Path]) -> None:
    outputs = ["--report", tmp_path / "trend.html", "--csv", tmp_path / "trend.csv", "--json", tmp_path / "trend.json"]
    done = crossalign("history", *files.values(), *outputs)
    assert done.code == 0, done.err
    assert "NDCG@10" in done.out
    data = json.loads((tmp_path / "trend.json").read_text(encoding="utf-8"))
    assert [result["stamped"] for result in data["results"]] == [False, False]
    assert len((tmp_path / "trend.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * len(data["series"])
    assert (tmp_path / "trend.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    for wrong in (
        ["history", tmp_path / "none"],
        ["history", files["good"], "--measures", "Best"],
        ["history", files["good"], "--csv", files["good"]],
        ["history", files["good"], "--measures", ""],
        ["history", files["good"], "--measures", "Max@R,Recall@3"],
    ):
        refused = crossalign(*wrong)
        assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err


def test_no_output_of_a_history_replaces_a_result_of_its_folder(
    crossalign: Any, tmp_path: Path, files: dict[str, Path]
) -> None:
    folder = tmp_path / "runs"
    (folder / "old").mkdir(parents=True)
    places = [folder / "good.json", folder / "old" / "biased.json"]
    for place, result in zip(places, files.values(), strict=True):
        place.write_bytes(result.read_bytes())
    for place in places:
        before = place.read_bytes()
        refused = crossalign("history", folder, "--report", folder / "trend.html", "--json", place)
        assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
        assert f"--json: would overwrite an input; seen: '{place}'" in refused.err
        assert place.read_bytes() == before
        assert not (folder / "trend.html").exists()
    # What is no result may be replaced, such as the file of the history before.
    for _ in range(2):
        done = crossalign("history", folder, "--json", folder / "trend.json")
        assert done.code == 0, done.err


@pytest.mark.parametrize("options", [[], ["--no-texts"]])
def test_queries_with_other_texts_are_not_compared(
    crossalign: Any, tmp_path: Path, files: dict[str, Path], options: list[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text(files["good"].read_text(encoding="utf-8").replace("question 3 in zh", "SECRET"), encoding="utf-8")
    page = tmp_path / "page.html"
    refused = crossalign("compare", files["good"], other, "--report", page, *options)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "the query 'q:zh:3' has another text in each result" in refused.err
    assert ("SECRET" in refused.err) == (not options)
    assert not page.exists()
    done = crossalign("compare", files["good"], files["biased"], "--report", page, *options)
    assert done.code == 0, done.err
    shown = re.search(r"(question|text) \d+ in zh", page.read_text(encoding="utf-8"))
    assert not options or shown is None


def test_figures_for_monitoring_and_for_a_results_index(crossalign: Any, tmp_path: Path) -> None:
    data = write(tmp_path, 0.5)
    outputs = ["--metrics", tmp_path / "bias.prom", "--ndjson", tmp_path / "rows.ndjson"]
    done = crossalign("audit", *data, "--stamp", "2026-11-29", *outputs, "--fail-on", "MRR<0.1")
    assert done.code == 0, done.err
    assert "crossalign_gate_failed_conditions 0.0\n# EOF\n" in (tmp_path / "bias.prom").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in (tmp_path / "rows.ndjson").read_text(encoding="utf-8").splitlines()]
    assert [line["query_language"] for line in lines[1::2]] == ["en", "zh"]
    refused = crossalign("audit", *data, "--ndjson", tmp_path / "more.ndjson")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--stamp now" in refused.err
