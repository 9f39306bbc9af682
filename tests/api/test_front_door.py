"""The front door: the names of the package, what they do together, and the examples of docs/api.md."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import haystack_crossalign as ca
from haystack_crossalign.data.sample import sample_folder

FACES = ("audit", "components", "data", "measures", "opensearch", "ranks", "repair", "report", "training")
EXAMPLE = re.compile(r"(?<!<!-- on a server -->\n)```python\n(?P<code>.*?)```\n", re.DOTALL)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two contents in two languages; the English query's own version is first, its Chinese one is last of four."""
    vectors = {"en:1": [1.0, 0.0], "zh:1": [0.0, 1.0], "en:2": [0.8, 0.6], "zh:2": [0.6, 0.8]}
    documents = [
        {"id": one, "text": one, "language": one[:2], "parallel_id": one[3:], "embedding": vector}
        for one, vector in vectors.items()
    ]
    queries = [{"id": "q", "text": "<b>one?</b>", "language": "en", "parallel_id": "1", "embedding": [1.0, 0.0]}]
    for name, lines in (("documents.jsonl", documents), ("queries.jsonl", queries)):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return tmp_path / "documents.jsonl", tmp_path / "queries.jsonl"


@pytest.fixture
def result(files: tuple[Path, Path]) -> ca.AuditResult:
    return ca.audit_collection(ca.read_collection(*files), samples=0)


def test_the_front_door_offers_these_names() -> None:
    assert set(dir(ca)) == set(ca.__all__) - {"__version__"}
    assert set(dir(ca)) == {
        *FACES,
        *("audit_collection", "audit_index", "audit_run", "compare_results", "repair_model", "train_model"),
        *("upgrade_index", "gaps_of_files", "gaps_of_index", "read_history"),
        *("read_beir", "read_belebele", "read_collection", "read_result", "read_xquad"),
        *("AuditResult", "Comparison", "Encoder", "JudgedCollection"),
        *("FilesRequest", "IndexRequest", "Measured", "ModelOptions"),
        *("CrossAlignError", "ExternalError", "InputError"),
    }


@pytest.mark.parametrize("face", ["", *FACES])
def test_every_name_of_a_face_can_be_had(face: str) -> None:
    module = getattr(ca, face) if face else ca
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_an_audit_of_vectors_loads_no_model_and_gives_the_ranks_of_the_definition(result: ca.AuditResult) -> None:
    # The scores are 1 (en:1), 0.8 (en:2), 0.6 (zh:2), 0 (zh:1): the versions of content 1 are at ranks 1 and 4.
    (row,) = result.rows
    assert row["measures"]["Max@R"] == 4
    assert row["measures"]["Rank[en]"] == 1
    assert row["measures"]["Rank[zh]"] == 4
    assert result.provenance["model"] is None
    assert [file["name"] for file in result.provenance["data"]["files"]] == ["documents.jsonl", "queries.jsonl"]


def test_a_result_as_data_frames(result: ca.AuditResult) -> None:
    table = result.to_dataframe()
    assert table["Max@R"].tolist() == [4]
    assert table["query_language"].tolist() == ["en"]
    queries = result.per_query()
    assert queries["id"].tolist() == ["q"]
    assert dict(zip(queries["versions"][0], queries["ranks"][0], strict=True)) == {"en": 1, "zh": 4}
    assert queries["Complete@10"].tolist() == result.queries["measures"]["Complete@10"]


def test_a_result_is_saved_read_and_shown(result: ca.AuditResult, tmp_path: Path) -> None:
    result.save(tmp_path / "result.json")
    assert ca.read_result(tmp_path / "result.json").to_json() == result.to_json()
    result.write_html(tmp_path / "report.html")
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert repr(result) == "AuditResult(1 rows, 1 queries; multi, queries in en: Max@R 4)"
    shown = result._repr_html_()
    assert "<table>" in shown
    assert "<b>one?</b>" not in shown


def test_a_run_is_audited_and_compared_with_the_exact_ranking(
    files: tuple[Path, Path], result: ca.AuditResult, tmp_path: Path
) -> None:
    run = tmp_path / "engine.run"
    run.write_text("".join(f"q Q0 {one} {n} {9 - n} x\n" for n, one in enumerate(["zh:1", "zh:2", "en:1"], 1)))
    served = ca.audit_run(ca.read_collection(*files), run, samples=0)
    assert served.rows[0]["measures"]["Max@R"] == 3
    assert served.provenance["options"]["results"]["name"] == "engine.run"
    changed = ca.audit_collection(ca.read_collection(*files), measures=["Max@R"], samples=0)
    assert ca.compare_results(result, changed, samples=10).rows[0]["measures"]["Max@R"]["difference"] == 0


def test_names_that_do_not_exist_are_one_error(files: tuple[Path, Path]) -> None:
    collection = ca.read_collection(*files)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"languages": ["de"]}, "de"),
        ({"scenarios": ["both"]}, "both"),
        ({"measures": ["Depth@3"]}, "Depth@3"),
    ]
    for arguments, seen in wrong:
        with pytest.raises(ca.InputError, match=re.escape(seen)):
            ca.audit_collection(collection, **arguments)


def test_the_examples_of_the_page_run(
    project_root: Path, offline_model: str, tmp_path: Path, quick_python: list[str]
) -> None:
    page = (project_root / "docs" / "api.md").read_text(encoding="utf-8")
    readme = (project_root / "README.md").read_text(encoding="utf-8")
    for name in ("documents.jsonl", "queries.jsonl"):
        text = re.search(rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)```\n", readme, re.DOTALL)
        assert text is not None
        (tmp_path / name).write_text(text[1], encoding="utf-8")
    with (sample_folder() / "documents.jsonl").open(encoding="utf-8") as file:
        parallel = [line for line in file if json.loads(line).get("language") in ("en", "zh")]
    (tmp_path / "parallel.jsonl").write_text("".join(parallel), encoding="utf-8")
    code = "\n".join(match["code"] for match in EXAMPLE.finditer(page))
    assert offline_model in code
    done = subprocess.run([*quick_python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "repaired" / "matrix.safetensors").is_file()
