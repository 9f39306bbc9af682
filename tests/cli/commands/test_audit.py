"""`crossalign audit` on files: what it finds, writes, prints and refuses."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from haystack_crossalign.audit.result import audit_schema

Files = tuple[Path, Path]


def test_the_audit_finds_where_each_version_stands(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    target = tmp_path / "a.json"
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--json", target)
    assert done.code == 0, done.err
    data = json.loads(target.read_text(encoding="utf-8"))
    Draft202012Validator(audit_schema()).validate(data)
    (row,) = data["rows"]
    # Of 12 documents the 6 Chinese ones come first (own content, then the rest), then the English one asked for.
    assert (row["pool_languages"], row["query_language"], row["pool_size"]) == (["en", "zh"], "zh", 12)
    assert row["measures"]["Max@R"] == 7
    assert (row["measures"]["Rank[zh]"], row["measures"]["Rank[en]"]) == (1, 7)
    assert row["measures"]["Complete@10"] == 1
    assert row["measures"]["NDCG@1"] == 1
    assert (row["measures"]["Intrusion[en]"], row["measures"]["LPR"]) == (0, 1)
    # The English version has the five other Chinese documents above it; its own Chinese version is relevant.
    assert data["queries"]["above"][0] == [[0, 5], [0, 0]]
    assert data["queries"]["versions"][0] == ["en", "zh"]
    assert (tmp_path / "a.times.json").is_file()


def test_the_finding_and_the_table_are_printed_plainly(crossalign: Any, parallel_files: Files) -> None:
    documents, queries = parallel_files
    done = crossalign("audit", "--documents", documents, "--queries", queries)
    assert done.code == 0
    assert "Chinese" in done.out.splitlines()[0]
    assert "Max@R" in done.out
    assert "Rank[en]" in done.out
    assert "\x1b" not in done.out
    assert done.err == ""


def test_the_table_shows_the_measures_that_were_asked_for(crossalign: Any, parallel_files: Files) -> None:
    documents, queries = parallel_files
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--measures", "NDCG@10,Recall@3")
    (head,) = [line.split() for line in done.out.splitlines() if "Queries in" in line]
    assert head == ["Queries", "in", "Queries", "NDCG@10", "Recall@3"]


def test_quiet_prints_nothing(crossalign: Any, parallel_files: Files) -> None:
    documents, queries = parallel_files
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_the_same_input_gives_the_same_bytes(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    for name in ("a.json", "b.json"):
        assert crossalign("audit", "--documents", documents, "--queries", queries, "--json", tmp_path / name).code == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_without_texts_no_output_holds_one(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    names = {"--json": "a.json", "--report": "a.html", "--markdown": "a.md", "--run": "a.run", "--qrels-out": "a.qrels"}
    outputs = [part for option, name in names.items() for part in (option, tmp_path / name)]
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--no-texts", *outputs)
    assert done.code == 0, done.err
    for name in names.values():
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text
        assert "text 3 in" not in text
        assert "question 3" not in text
    assert "text 3 in" not in done.out


def test_run_and_qrels_are_written_in_trec_format(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    import ir_measures

    documents, queries = parallel_files
    run, qrels = tmp_path / "a.run", tmp_path / "a.qrels"
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--run", run, "--qrels-out", qrels)
    assert done.code == 0, done.err
    measured = ir_measures.calc_aggregate(
        [ir_measures.nDCG @ 1, ir_measures.R @ 6, ir_measures.R @ 7],
        list(ir_measures.read_trec_qrels(str(qrels))),
        list(ir_measures.read_trec_run(str(run))),
    )
    assert measured == {ir_measures.nDCG @ 1: 1.0, ir_measures.R @ 6: 0.5, ir_measures.R @ 7: 1.0}


def test_the_gate_decides_the_exit_code_after_everything_is_written(
    crossalign: Any, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    common = ["audit", "--documents", documents, "--queries", queries, "--json", tmp_path / "a.json"]
    assert crossalign(*common, "--fail-on", "Max@R>7").code == 0
    failed = crossalign(*common, "--fail-on", "Max@R>7", "--fail-on", "Max@R[zh]>=7")
    assert failed.code == 1
    assert "FAILED" in failed.out
    quiet = crossalign(*common, "--fail-on", "Max@R[zh]>=7", "--quiet")
    assert quiet.code == 1
    assert "Max@R[zh]>=7" in quiet.err
    assert (tmp_path / "a.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--fail-on", "Max@R_norm<80"], ["--fail-on", "Max@R_norm<80", "0..1"]),
        (["--fail-on", "Max@R[en]>3"], ["matches no row", "query languages zh"]),
        (["--fail-on", "mono-same:Max@R>3"], ["matches no row", "multi"]),
        (["--scenario", "bilingual"], ["--scenario", "'bilingual'", "mono-cross"]),
        (["--languages", "en,fr"], ["--languages", "'fr'", "en, zh"]),
        (["--languages", "en,klingonish"], ["klingonish"]),
        (["--languages", "en"], ["two"]),
        (["--pairs", "de"], ["--pairs", "'de'"]),
        (["--measures", "Max@Q"], ["unknown measure", "'Max@Q'"]),
        (["--backend", "onnx"], ["unknown backend", "'onnx'", "torch, openvino"]),
        (["--precision", "fp16"], ["unknown precision", "'fp16'", "bf16"]),
        (["--embedder", "e.yaml", "--model", "m"], ["--model and --embedder exclude each other"]),
        (["--run-depth", "0"], ["--run-depth"]),
        (["--run-depth", "10"], ["--run-depth: is the depth of a TREC run; allowed: --run FILE with it"]),
        (["--language-map", "x=en"], ["--language-map is for an audit of an index"]),
        (["--ties", "optimistic"], ["--ties: is for conditions; allowed: --fail-on CONDITION with it"]),
        (["--split", "dev"], ["--split: names qrels of a BEIR folder; allowed: --beir DIR with it"]),
        (["--no-such-option"], ["--no-such-option"]),
    ],
)
def test_bad_options_exit_with_two_name_themselves_and_write_nothing(
    crossalign: Any, parallel_files: Files, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    documents, queries = parallel_files
    target = tmp_path / "a.json"
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--json", target, *arguments)
    assert done.code == 2, (done.out, done.err)
    assert all(part in done.err for part in parts), done.err
    assert "Traceback" not in done.err
    assert not target.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_bad_files_exit_with_two_and_leave_existing_output_alone(
    crossalign: Any, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    target = tmp_path / "a.json"
    target.write_text("as it was", encoding="utf-8")
    with documents.open("a", encoding="utf-8") as file:
        file.write('{"id": "en:0", "text": "again", "language": "en"}\n')
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--json", target)
    assert done.code == 2
    assert all(part in done.err for part in ("documents.jsonl", "line 13", "'id'", "en:0")), done.err
    assert target.read_text(encoding="utf-8") == "as it was"


@pytest.mark.parametrize(
    ("option", "name", "part"),
    [
        ("--json", ".", "is a folder"),
        ("--json", "missing/a.json", "no such folder"),
        ("--json", "documents.jsonl", "would overwrite an input"),
        ("--json", "-", "is not a regular file"),
        ("--json", "pipe", "is not a regular file"),
        ("--report", "same", "would overwrite the file of --json"),
        ("--report", "same.times.json", "would overwrite the file of --json"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_the_work(
    crossalign: Any, parallel_files: Files, tmp_path: Path, option: str, name: str, part: str
) -> None:
    documents, queries = parallel_files
    before = documents.read_bytes()
    os.mkfifo(tmp_path / "pipe")
    extra = ["--json", tmp_path / "same"] if option != "--json" else []
    done = crossalign("audit", "--documents", documents, "--queries", queries, *extra, option, tmp_path / name)
    assert done.code == 2
    assert part in done.err
    assert option in done.err
    assert documents.read_bytes() == before


def test_a_read_only_folder_is_refused_before_the_work(
    crossalign: Any, parallel_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents, queries = parallel_files
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    # The superuser may write anywhere, so the answer of the system is what another user would get.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK or Path(path) != closed)
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--json", closed / "a.json")
    assert done.code == 2
    assert "cannot be written" in done.err


def test_nothing_to_audit_says_what_is_needed(crossalign: Any) -> None:
    done = crossalign("audit")
    assert done.code == 2
    assert all(part in done.err for part in ("--documents", "--queries", "--beir", "crossalign demo"))


def test_no_output_may_stand_in_a_folder_that_is_read(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    made = crossalign("convert", "--documents", documents, "--queries", queries, "--beir-out", tmp_path / "beir")
    assert made.code == 0, made.err
    corpus = (tmp_path / "beir" / "corpus.jsonl").read_bytes()
    done = crossalign("audit", "--beir", tmp_path / "beir", "--json", tmp_path / "beir" / "corpus.jsonl")
    assert done.code == 2
    assert "would overwrite an input" in done.err
    assert (tmp_path / "beir" / "corpus.jsonl").read_bytes() == corpus


def test_a_condition_may_name_a_measure_that_is_not_shown_by_default(crossalign: Any, parallel_files: Files) -> None:
    documents, queries = parallel_files
    files = ["--documents", documents, "--queries", queries]
    # The English version stands at rank 7, so no query is complete in the top 6, and all are in the top 7.
    assert crossalign("audit", *files, "--fail-on", "Complete@6<1%").code == 1
    assert crossalign("audit", *files, "--fail-on", "Complete@7<100%", "--measures", "MRR").code == 0


@pytest.mark.process
def test_a_reader_that_goes_away_leaves_the_files_and_the_gate(
    parallel_files: Files, tmp_path: Path, quick_python: list[str]
) -> None:
    documents, queries = parallel_files
    program = f"{shlex.join(quick_python)} -m haystack_crossalign"
    command = f"{program} audit --documents {documents} --queries {queries} --json {tmp_path}/a.json"
    for condition, code in (("Max@R>7", 0), ("Max@R>6", 1)):
        done = subprocess.run(
            ["bash", "-c", f"{command} --fail-on '{condition}' | true; exit ${{PIPESTATUS[0]}}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, "")
        assert (tmp_path / "a.json").is_file()


def test_a_narrow_terminal_gets_lines_instead_of_cut_columns(
    crossalign: Any, parallel_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    import haystack_crossalign.cli.shared.session as session

    documents, queries = parallel_files
    monkeypatch.setattr(session, "console", lambda: Console(width=60))
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--fail-on", "Max@R>9")
    assert done.code == 0
    assert "Max@R: 7" in done.out.splitlines()
    assert "Rank[en]: 7" in done.out.splitlines()
    assert max(map(len, done.out.splitlines())) <= 60


@pytest.mark.process
def test_no_color_means_plain_text(parallel_files: Files, quick_python: list[str]) -> None:
    documents, queries = parallel_files
    command = f"{shlex.join(quick_python)} -m haystack_crossalign audit --documents {documents} --queries {queries}"
    seen = {}
    for name, environment in (("plain", {"NO_COLOR": "1"}), ("styled", {})):
        inherited = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        # `script` gives the program a terminal.
        done = subprocess.run(
            ["script", "-qec", command, "/dev/null"],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            env={**inherited, "TERM": "xterm-256color", **environment},
        )
        seen[name] = done.stdout
    assert "Max@R" in seen["plain"]
    assert "\x1b[1m" not in seen["plain"]
    assert "\x1b[1m" in seen["styled"]


def test_a_fault_of_the_program_does_not_look_like_a_failed_gate(
    crossalign: Any, parallel_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    import haystack_crossalign.audit.pools as pools

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("nobody thought of this")

    documents, queries = parallel_files
    monkeypatch.setattr(pools, "exact_ranks", broken)
    done = crossalign("audit", "--documents", documents, "--queries", queries)
    assert done.code == 3
    assert "nobody thought of this" in done.err
    assert "fault of the program" in done.err


def test_a_run_of_several_pools_is_refused(crossalign: Any, tmp_path: Path) -> None:
    lines = [
        {"id": f"{tag}:{g}", "text": "t", "language": tag, "parallel_id": str(g), "embedding": [1.0, g + 1.0]}
        for g in range(3)
        for tag in ("en", "zh", "ar")
    ]
    queries = [
        {"id": f"q{g}", "text": "t", "language": "en", "parallel_id": str(g), "embedding": [1.0, g + 1.0]}
        for g in range(3)
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in queries), encoding="utf-8")
    common = ["audit", "--documents", tmp_path / "d.jsonl", "--queries", tmp_path / "q.jsonl", "--pairs", "en"]
    assert crossalign(*common).code == 0
    done = crossalign(*common, "--run", tmp_path / "a.run")
    assert done.code == 2
    assert all(part in done.err for part in ("--run", "several pools", "en+zh"))
    assert not (tmp_path / "a.run").exists()


def test_measures_can_be_chosen_by_their_ir_measures_names(
    crossalign: Any, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    done = crossalign(
        "audit", "--documents", documents, "--queries", queries, "--json", tmp_path / "a.json",
        "--measures", "nDCG@10,RR,R@7,Max@R",
    )  # fmt: skip
    assert done.code == 0, done.err
    row = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["rows"][0]
    assert list(row["measures"]) == ["NDCG@10", "MRR", "Recall@7", "Max@R"]
    assert row["measures"]["Recall@7"] == 1


def test_similarity_is_chosen_named_and_checked(crossalign: Any, parallel_files: Files, tmp_path: Path) -> None:
    documents, queries = parallel_files
    # English documents a hundred times as long. Times 5 a query scores 5 with its Chinese document, 4 with the others,
    # 1 with its English one and 0 with the others: by cosine nothing changes, by dot product 1 becomes 100.
    lines = [json.loads(line) for line in documents.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        factor = 100 if line["language"] == "en" else 1
        line["embedding"] = [factor * value for value in line["embedding"]]
    documents.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    files = ("audit", "--documents", documents, "--queries", queries)
    ranks, texts = {}, {}
    for name in ("", "dot"):
        outputs = [tmp_path / f"{name}.{kind}" for kind in ("json", "md", "html")]
        chosen = ("--similarity", name) if name else ()
        options = zip(("--json", "--markdown", "--report"), outputs, strict=True)
        done = crossalign(*files, *chosen, *(part for option in options for part in option))
        assert done.code == 0, done.err
        data = json.loads(outputs[0].read_text(encoding="utf-8"))
        ranks[name] = [data["rows"][0]["measures"][f"Rank[{tag}]"] for tag in ("zh", "en")]
        texts[name] = (done.out.replace("\n", " "), *(path.read_text(encoding="utf-8") for path in outputs[1:]))
    assert ranks == {"": [1, 7], "dot": [2, 1]}
    for text in texts[""]:
        assert "Ranked by cosine similarity, the default for vectors that come without a model" in text
    for text in texts["dot"]:
        assert "Ranked by dot product, as" in text
    for arguments, message in (
        (("--similarity", "cos"), "--similarity: unknown similarity; seen: 'cos'; allowed: cosine, dot, euclidean"),
        (("--similarity", "dot", "--results", queries), "--results takes the place of a ranking of our own"),
    ):
        done = crossalign(*files, *arguments)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert message in done.err
    done = crossalign("audit", "--index", "passages", "--similarity", "dot")
    assert done.code == 2
    assert "an index ranks by the space of its vector field" in done.err
