"""`demo`, `benchmark` and `compare` with the real model, and the exit codes that have nothing to do with input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from xquad_files import write_xquad

PROGRAM = [sys.executable, "-c", "from haystack_crossalign.cli.main import main; main()"]


def rows(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    return {(row["scenario"], "+".join(row["pool_languages"]), row["query_language"]): row for row in data["rows"]}


def test_the_demo_shows_the_bias_and_what_to_do_next(
    crossalign: Any, offline_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = crossalign("demo", "--json", "demo.json")
    assert done.code == 0, done.err
    data = json.loads((tmp_path / "demo.json").read_text(encoding="utf-8"))
    assert offline_model in data["provenance"]["model"]["name"]
    found = rows(tmp_path / "demo.json")
    mixed, alone = found["multi", "en+zh", "zh"]["measures"], found["mono-same", "zh", "zh"]["measures"]
    # The point of the demo: alone Chinese is served well, and in the mixed pool the English version sinks.
    assert alone["NDCG@1"] > 0.8
    assert mixed["Rank[zh]"] < 3
    assert mixed["Rank[en]"] > 10 * mixed["Rank[zh]"]
    assert mixed["Complete@10"] < 0.2
    pools = {pool for scenario, pool, _ in found if scenario == "multi"}
    assert pools == {"en+ar", "en+es", "en+hi", "en+th", "en+zh"}
    # What makes the sample one: in its own language, every question is answered by its article and by no other.
    queries = data["queries"]
    for number, row in enumerate(data["rows"]):
        if row["scenario"] == "mono-same":
            ranks = [
                rank for place, (rank, *_) in zip(queries["row"], queries["ranks"], strict=True) if place == number
            ]
            assert len(ranks) == row["queries"]
            assert sum(rank == 1 for rank in ranks) > 0.65 * len(ranks), row["query_language"]
            assert sum(rank <= 5 for rank in ranks) > 0.95 * len(ranks), row["query_language"]
    assert "What to do next" in done.out
    assert "report.html" in done.out
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.fixture(scope="module")
def xquad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in XQuAD's layout: English and Spanish of the sample."""
    return write_xquad(tmp_path_factory.mktemp("data") / "xquad", ["en", "es"])


@pytest.fixture(scope="module")
def benchmark_files(
    tmp_path_factory: pytest.TempPathFactory, xquad: Path, offline_model: str, run_program: Any
) -> Path:
    """Two results of one benchmark, cut at 32 and at 64 tokens, so that they differ."""
    folder = tmp_path_factory.mktemp("benchmark")
    for tokens in (32, 64):
        code = run_program(
            "benchmark", "xquad", "--data", xquad, "--languages", "es,en",
            "--scenario", "multi,mono-same,mono-cross", "--pool", "questions", "--model", offline_model,
            "--max-tokens", tokens, "--json", folder / f"{tokens}.json", "--quiet",
        )  # fmt: skip
        assert code == 0
    return folder


def test_a_benchmark_has_its_scenarios_and_its_pool(benchmark_files: Path, xquad: Path) -> None:
    found = rows(benchmark_files / "64.json")
    assert set(found) == {
        ("multi", "es+en", "es"), ("multi", "es+en", "en"), ("mono-same", "es", "es"), ("mono-same", "en", "en"),
        ("mono-cross", "en", "es"), ("mono-cross", "es", "en"),
    }  # fmt: skip
    # One document per question in each language. Copies of one passage tie exactly.
    articles = json.loads((xquad / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    sizes = [len(passage["qas"]) for article in articles for passage in article["paragraphs"]]
    assert len(set(sizes)) > 1
    row = found["multi", "es+en", "es"]
    assert (row["pool_size"], row["queries"], row["relevant"]) == (2 * sum(sizes), sum(sizes), 2 * sum(sizes))
    assert row["ties"]["queries"] == sum(size for size in sizes if size > 1)
    assert found["mono-cross", "en", "es"]["pool_size"] == sum(sizes)
    data = json.loads((benchmark_files / "64.json").read_text(encoding="utf-8"))
    assert data["provenance"]["data"]["pool"] == "questions"
    assert [one["name"] for one in data["provenance"]["data"]["files"]] == ["xquad.es.json", "xquad.en.json"]


def test_compare_shows_differences_with_intervals_and_p_values(
    crossalign: Any, benchmark_files: Path, tmp_path: Path
) -> None:
    a, b = benchmark_files / "32.json", benchmark_files / "64.json"
    done = crossalign(
        "compare", a, b, "--json", tmp_path / "d.json", "--report", tmp_path / "d.html", "--markdown", tmp_path / "d.md"
    )
    assert done.code == 0, done.err
    assert "B - A" in done.out
    data = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    assert data["schema"] == "crossalign.comparison/1"
    before, after = rows(a)["mono-same", "en", "en"], rows(b)["mono-same", "en", "en"]
    (row,) = [one for one in data["rows"] if (one["scenario"], one["query_language"]) == ("mono-same", "en")]
    for name in ("Max@R", "NDCG@1", "Recall@10"):
        entry = row["measures"][name]
        assert entry["a"] == pytest.approx(before["measures"][name], rel=1e-6)
        assert entry["b"] == pytest.approx(after["measures"][name], rel=1e-6)
        assert entry["difference"] == pytest.approx(entry["b"] - entry["a"], rel=1e-5)
        assert entry["interval"][0] <= entry["difference"] <= entry["interval"][1]
        assert 0 < entry["p"] <= entry["p_holm"] <= 1
    assert all((tmp_path / name).stat().st_size > 0 for name in ("d.html", "d.md"))


def test_compare_refuses_what_is_no_result(crossalign: Any, benchmark_files: Path, tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text('{"schema": "other"}', encoding="utf-8")
    done = crossalign("compare", benchmark_files / "32.json", tmp_path / "no.json")
    assert done.code == 2
    assert all(part in done.err for part in ("no.json", "not an audit result"))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["squad", "--data", "x"], ["unknown data set", "'squad'", "xquad, mlqa, belebele"]),
        (["xquad", "--data", "nowhere"], ["nowhere", "no such folder"]),
        (["xquad", "--data", "XQUAD", "--pool", "chunks"], ["--pool", "'chunks'", "passages, questions, judged"]),
        (["xquad", "--data", "XQUAD", "--languages", "en,th"], ["'th'", "en, es"]),
        (["xquad"], ["CROSSALIGN_DATA", "github.com/google-deepmind/xquad", "CC BY-SA 4.0", "DIR/xquad"]),
    ],
)
def test_a_benchmark_without_its_data_exits_with_two(
    crossalign: Any, xquad: Path, arguments: list[str], parts: list[str]
) -> None:
    languages = [] if "--languages" in arguments else ["--languages", "en,es"]
    done = crossalign("benchmark", *[xquad if word == "XQUAD" else word for word in arguments], *languages)
    assert done.code == 2
    assert all(part in done.err for part in parts), done.err


def test_a_model_that_cannot_be_had_exits_with_three_and_says_what_to_do(
    crossalign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "d.jsonl").write_text(
        '{"id": "a", "text": "x", "language": "en"}\n{"id": "b", "text": "y", "language": "zh"}\n', encoding="utf-8"
    )
    (tmp_path / "q.jsonl").write_text(
        '{"id": "q", "text": "x", "language": "en", "relevant": ["a"]}\n', encoding="utf-8"
    )
    files = ["--documents", tmp_path / "d.jsonl", "--queries", tmp_path / "q.jsonl"]
    done = crossalign("audit", *files, "--json", tmp_path / "a.json")
    assert done.code == 3
    assert "offline:multilingual-e5-small" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "a.json").exists()
    wrong = crossalign("audit", *files, "--model", "offline:other")
    assert wrong.code == 2
    assert "offline:multilingual-e5-small" in wrong.err


@pytest.mark.parametrize(
    ("launched", "code", "told"), [({}, 130, "crossalign: interrupted\n"), ({"LOCAL_RANK": "0"}, -signal.SIGTERM, "")]
)
def test_what_ends_a_service_cleans_up_as_ctrl_c_does_but_ends_the_workers_of_a_launcher_at_once(
    tmp_path: Path, launched: dict[str, str], code: int, told: str
) -> None:
    program = (
        "import pathlib, time\n"
        "from haystack_crossalign.cli.main import app, main\n"
        "from haystack_crossalign.files.writing import new_folder\n"
        "@app.command()\n"
        "def wait():\n"
        "    with new_folder('made') as made:\n"
        "        (made / 'ready').touch()\n"
        "        time.sleep(300)\n"
        "main(['wait'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ | launched
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("ready")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, err) == (code, told)
    assert bool(list(tmp_path.iterdir())) == bool(launched)


def test_an_interrupt_exits_with_130_and_writes_nothing(offline_model: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "demo", "--model", offline_model, "--json", "demo.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    time.sleep(6)  # past the imports, well before the end
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["gaps", "--documents", "d.jsonl", "--queries", "q.jsonl", "--languages", ""],
        ["audit", "--documents", "d.jsonl", "--queries", "q.jsonl", "--languages="],
        ["audit", "--documents", "d.jsonl", "--queries", "q.jsonl", "--languages", " , "],
        ["history", "a.json", "b.json", "--languages", ""],
        ["index", "d.jsonl", "--languages", ""],
    ],
)
def test_an_option_with_an_empty_value_is_no_option_left_out(crossalign: Any, command: list[str]) -> None:
    """As in a script whose variable is not set."""
    done = crossalign(*command)
    expected = "crossalign: --languages: is empty; allowed: a value, or the command without the option\n"
    assert (done.code, done.err) == (2, expected)


def test_options_of_texts_may_be_empty(crossalign: Any, parallel_files: tuple[Path, Path]) -> None:
    documents, queries = parallel_files
    done = crossalign(
        "audit", "--documents", documents, "--queries", queries, "--title-field", "", "--samples=100", "-q"
    )
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        ["audit", "--documents", "DOCUMENTS", "--queries", "QUERIES", "--model", "~nobody-here/model"],
        ["doctor", "--index", "i", "--hosts", "http://127.0.0.1:9", "--config", "~nobody-here/file.toml"],
        ["doctor", "--index", "i", "--hosts", "http://127.0.0.1:9", "--ca-file", "~nobody-here/ca.pem"],
        ["init", "--index", "i", "--hosts", "http://127.0.0.1:9", "--config", "~nobody-here/file.toml"],
        ["retrain", "--config", "JOB"],
    ],
)
def test_the_home_folder_of_nobody_is_one_line(
    crossalign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    documents, queries, job = tmp_path / "d.jsonl", tmp_path / "q.jsonl", tmp_path / "job.yaml"
    documents.write_text(
        "".join(
            json.dumps({"id": tag, "text": "text", "language": tag, "parallel_id": "1"}) + "\n" for tag in ("en", "zh")
        )
    )
    queries.write_text(json.dumps({"id": "q", "text": "text", "language": "en", "relevant": ["en"]}) + "\n")
    job.write_text("name: job\nmethod: repair\nmodel: m\nlanguages: [en, zh]\nmodels: ~nobody-here/models\n")
    files = {"DOCUMENTS": documents, "QUERIES": queries, "JOB": job}
    done = crossalign(*(files.get(part, part) for part in command))
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1
    assert "unknown user in the path" in done.err
