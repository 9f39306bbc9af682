"""Formats of the field in and out, result lists of other engines, and texts that come without a language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Files = tuple[Path, Path]


def result(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def test_every_format_gives_the_same_judgments(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    out = tmp_path / "out"
    out.mkdir()
    written = [
        "--qrels-out", out / "a.qrels", "--beir-out", out / "beir", "--workbench-out", out / "workbench.json",
        "--query-set-out", out / "queries.json",
    ]  # fmt: skip
    done = crossalign("convert", "--documents", documents, "--queries", queries, *written)
    assert done.code == 0, done.err
    assert [query["queryText"] for query in result(out / "queries.json")["querySetQueries"]] == [
        f"question {number}" for number in range(6)
    ]
    bare = tmp_path / "bare.jsonl"
    lines = [json.loads(line) for line in queries.read_text(encoding="utf-8").splitlines()]
    bare.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "parallel_id"}) + "\n" for line in lines))
    files = ["--documents", documents, "--queries", bare]
    for number, source in enumerate(
        (
            [*files, "--qrels", out / "a.qrels"],
            [*files, "--workbench", out / "workbench.json"],
            ["--beir", out / "beir"],
        )
    ):
        again = out / f"{number}.qrels"
        assert crossalign("convert", *source, "--qrels-out", again, "--quiet").code == 0
        assert again.read_text(encoding="utf-8") == (out / "a.qrels").read_text(encoding="utf-8")


def test_the_run_of_an_audit_audits_to_the_same_ranks(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    files = ["--documents", documents, "--queries", queries]
    assert crossalign("audit", *files, "--run", tmp_path / "a.run", "--json", tmp_path / "a.json").code == 0
    done = crossalign("audit", *files, "--results", tmp_path / "a.run", "--json", tmp_path / "b.json")
    assert done.code == 0, done.err
    exact, live = result(tmp_path / "a.json"), result(tmp_path / "b.json")
    assert (exact["rows"][0]["kind"], live["rows"][0]["kind"]) == ("exact", "live")
    assert live["queries"]["ranks"] == exact["queries"]["ranks"]
    assert live["rows"][0]["measures"] == exact["rows"][0]["measures"]


def test_a_list_that_is_cut_above_the_english_version_is_said_to_be_cut(
    crossalign: Any, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    files = ["--documents", documents, "--queries", queries]
    assert crossalign("audit", *files, "--run", tmp_path / "a.run", "--run-depth", 5, "--quiet").code == 0
    done = crossalign("audit", *files, "--results", tmp_path / "a.run", "--json", tmp_path / "b.json")
    assert done.code == 0, done.err
    row = result(tmp_path / "b.json")["rows"][0]
    assert row["measures"]["Max@R"] is None
    assert row["reasons"]["Max@R"]
    assert row["censored"] == {
        "depth_min": 5, "depth_max": 5, "queries": 6, "share": 1.0, "nothing_found": 0, "Max@R_lower_bound": 6.0,
    }  # fmt: skip
    assert "at least 6" in done.out
    gate = crossalign("audit", *files, "--results", tmp_path / "a.run", "--fail-on", "Max@R>10")
    assert gate.code == 2
    assert "has no value" in gate.err


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("q0 Q0 nowhere 1 0.5 x\n", ["a.run", "nowhere"]),
        ("q9 Q0 en:0 1 0.5 x\n", ["a.run", "q9"]),
        ("q0 Q0 en:0 1 high x\n", ["a.run", "line 1", "score", "high"]),
        ("q0 en:0 1\n", ["a.run", "line 1"]),
    ],
)
def test_a_run_over_something_else_is_refused(
    crossalign: Any, parallel_files: Files, tmp_path: Path, line: str, parts: list[str]
) -> None:
    documents, queries = parallel_files
    (tmp_path / "a.run").write_text(line, encoding="utf-8")
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--results", tmp_path / "a.run")
    assert done.code == 2
    assert all(part in done.err for part in parts), done.err


@pytest.mark.parametrize(
    "options",
    [
        ["--model", "offline:x"],
        ["--languages", "en"],
        ["--scenario", "multi,mono-same"],
        ["--query-prefix", "query: "],
        ["--pooling", "cls", "--max-tokens", "64"],
        ["--backend", "openvino"],
        ["--trust-remote-code"],
    ],
)
def test_results_of_an_engine_exclude_what_would_make_a_ranking(
    crossalign: Any, parallel_files: Files, options: list[str]
) -> None:
    documents, queries = parallel_files
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--results", queries, *options)
    named = [option for option in options if option.startswith("--")]
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "--results takes the place of a ranking of our own" in line
    assert all(option in line for option in named)
    assert line.endswith(f"allowed: --results without {line.rpartition(' without ')[2]}")


@pytest.mark.parametrize(
    ("options", "places"),
    [
        (["--id-field", "x"], "--index NAME, --pipeline FILE or --store FILE with it"),
        (["--accept-model", "--results", "lists.run"], "--index NAME, a model with it"),
        (["--hosts", "http://localhost:1"], "--index NAME with it"),
    ],
)
def test_options_of_an_index_name_all_that_they_may_stand_with(
    crossalign: Any, parallel_files: Files, options: list[str], places: str
) -> None:
    documents, queries = parallel_files
    done = crossalign("audit", "--documents", documents, "--queries", queries, *options)
    assert done.code == 2
    assert done.err.rstrip().endswith(f"{options[0]} is for an audit of an index; allowed: {places}")


def test_options_of_a_model_that_vectors_make_needless_are_named(crossalign: Any, parallel_files: Files) -> None:
    documents, queries = parallel_files
    files = ["audit", "--documents", documents, "--queries", queries]
    assert "no model is used" not in crossalign(*files).err
    done = crossalign(*files, "--max-tokens", "64", "--query-prefix", "query: ")
    assert done.code == 0
    assert "the files carry vectors, so no model is used, and --max-tokens, --query-prefix have no effect" in done.err


TEXTS = {
    "en": ["The castle was built on a hill above the river in the twelfth century.", "Where was the castle built?"],
    "zh": ["这座城堡于十二世纪建在河边的小山上。", "城堡建在哪里？"],
    "ar": ["بُنيت القلعة على تل فوق النهر في القرن الثاني عشر.", "أين بنيت القلعة على النهر؟"],
}


@pytest.fixture
def untagged(tmp_path: Path) -> Files:
    """Parallel texts that name no language, a document of code, and a query of a number."""
    documents = [
        {"id": f"{tag}:1", "text": texts[0], "parallel_id": "1", "embedding": [1.0, number / 10]}
        for number, (tag, texts) in enumerate(TEXTS.items())
    ]
    documents.append({"id": "code", "text": "for (i = 0; i < n; i++) { x[i] += 1; }", "embedding": [1.0, 1.0]})
    queries = [
        {"id": f"q:{tag}", "text": texts[1], "parallel_id": "1", "embedding": [1.0, 0.9]}
        for tag, texts in TEXTS.items()
    ]
    queries.append({"id": "q:number", "text": "4711", "parallel_id": "1", "embedding": [1.0, 0.9]})
    for name, lines in (("d.jsonl", documents), ("q.jsonl", queries)):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return tmp_path / "d.jsonl", tmp_path / "q.jsonl"


def test_a_missing_language_is_an_error_unless_it_is_to_be_detected(
    crossalign: Any, untagged: Files, tmp_path: Path
) -> None:
    files = ["--documents", untagged[0], "--queries", untagged[1]]
    refused = crossalign("audit", *files)
    assert refused.code == 2
    assert all(part in refused.err for part in ("d.jsonl", "line 1", "language"))
    done = crossalign("audit", *files, "--detect-languages", "--json", tmp_path / "a.json")
    assert done.code == 0, done.err
    data = result(tmp_path / "a.json")
    assert data["provenance"]["data"]["detection"] == {
        "documents": 3, "undetermined_documents": 1, "queries": 3, "undetermined_queries": ["q:number"],
        "languages": {"ar": 2, "en": 2, "zh": 2}, "between": {},
    }  # fmt: skip
    assert [row["query_language"] for row in data["rows"]] == ["ar", "en", "zh"]
    # The document that is not a text of any language stays in the pool and takes its rank: here the first one.
    assert {row["pool_size"] for row in data["rows"]} == {4}
    assert data["queries"]["top_language"] == ["und", "und", "und"]
    assert "q:number" in done.out


def test_a_language_that_is_given_is_kept(crossalign: Any, untagged: Files, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in untagged[0].read_text(encoding="utf-8").splitlines()]
    lines[0]["language"] = "de"  # wrong, but said
    untagged[0].write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = crossalign(
        "audit",
        "--documents",
        untagged[0],
        "--queries",
        untagged[1],
        "--detect-languages",
        "--json",
        tmp_path / "a.json",
    )
    assert done.code == 0, done.err
    assert result(tmp_path / "a.json")["queries"]["versions"][0] == ["de", "zh", "ar"]
