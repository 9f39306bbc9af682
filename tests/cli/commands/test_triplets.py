"""`crossalign triplets` as a user meets it."""

from __future__ import annotations

import inspect
import json
import signal
import subprocess
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from chat_service import ChatService, serve_chat

from haystack_crossalign.cli.commands import triplets as command
from haystack_crossalign.data.formats.triplets import read_triplets
from haystack_crossalign.data.sample import sample_folder
from haystack_crossalign.mining.pairs import NEIGHBOURS, THRESHOLD


@pytest.fixture(scope="module")
def lines(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "train" / "ntrex_16lang.jsonl").open(encoding="utf-8") as file:
        return [row for row in (json.loads(line) for line in islice(file, 0, 900, 45)) if len(row["en"]) > 60]


@pytest.fixture
def pairs(lines: list[dict[str, str]], tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"id": f"t{place}", "query": f"query {place}", "passage": row["en"]} for place, row in enumerate(lines)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_generator(folder: Path, url: str) -> Path:
    path = folder / "generator.yaml"
    path.write_text(
        "type: haystack.components.generators.chat.openai.OpenAIChatGenerator\n"
        f"init_parameters: {{model: m, api_base_url: '{url}', max_retries: 0, timeout: 30}}\n",
        encoding="utf-8",
    )
    return path


def test_triplets_of_a_corpus_are_built_the_same_each_time(crossalign: Any, shared_data: Path, tmp_path: Path) -> None:
    output, report = tmp_path / "t.jsonl", tmp_path / "counts.json"
    arguments = ("triplets", "build", "--corpus", "ntrex", "--input", shared_data / "train" / "ntrex_16lang.jsonl",
                 "--languages", "zh,th", "--block", "6", "--seed", "2", "--output", output,
                 "--report", report)  # fmt: skip
    done = crossalign(*arguments)
    assert done.code == 0, done.err
    triplets, _ = read_triplets(output)
    counts = json.loads(report.read_text(encoding="utf-8"))
    assert counts["counts"] == {"triplets": len(triplets), "with zh": len(triplets), "with th": len(triplets)}
    assert counts["sources"][0]["name"] == "ntrex_16lang.jsonl"
    assert counts["left out"]["sentences alone at the end of a document"] > 0
    assert all(f"left out, {reason}: {count}" in done.out for reason, count in counts["left out"].items())
    assert all(set(triplet.target_queries) == {"zh", "th"} for triplet in triplets)
    first = output.read_bytes(), report.read_bytes()
    assert crossalign(*arguments, "--quiet").out == ""
    assert (output.read_bytes(), report.read_bytes()) == first


def test_a_language_that_a_corpus_lacks_is_told_and_an_id_that_stands_twice_gets_a_number(
    crossalign: Any, tmp_path: Path
) -> None:
    record = {"id": "q", "title": "t", "q_en": "one?", "p_en": "one", "p_zh": "一"}
    lines = [record, record | {"q_en": "two?", "p_en": "two", "p_es": "dos"}]
    (tmp_path / "squad.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")

    def build(languages: str) -> Any:
        return crossalign("triplets", "build", "--corpus", "squad", "--input", tmp_path / "squad.jsonl",
                          "--languages", languages, "--output", tmp_path / "t.jsonl")  # fmt: skip

    refused = build("zh,th")
    assert refused.code == 2
    assert "--languages: no triplet can be built in a target language; seen: 'th'; allowed: zh" in refused.err
    assert not (tmp_path / "t.jsonl").exists()
    done = build("zh,es")
    assert done.out.startswith("triplets: 2\nwith zh: 2\nwith es: 1\n")
    assert [(one.id, set(one.targets)) for one in read_triplets(tmp_path / "t.jsonl")[0]] == [
        ("q", {"zh"}),
        ("q~2", {"zh", "es"}),
    ]


def test_triplets_of_documents_with_a_group_field(
    crossalign: Any, parallel_files: tuple[Path, Path], tmp_path: Path
) -> None:
    documents, queries = parallel_files
    done = crossalign("triplets", "build", "--documents", documents, "--queries", queries, "--language", "zh",
                      "--languages", "en", "--output", tmp_path / "t.jsonl")  # fmt: skip
    assert done.code == 0, done.err
    triplets, _ = read_triplets(tmp_path / "t.jsonl")
    assert [(one.group, one.passage, one.targets) for one in triplets[:2]] == [
        ("0", "text 0 in zh", {"en": "text 0 in en"}),
        ("1", "text 1 in zh", {"en": "text 1 in en"}),
    ]


def test_triplets_of_documents_whose_language_is_detected(crossalign: Any, tmp_path: Path) -> None:
    made: dict[bool, list[Any]] = {}
    for detect in (False, True):
        for name in ("documents", "queries"):
            rows = [json.loads(line) for line in (sample_folder() / f"{name}.jsonl").read_text("utf-8").splitlines()]
            rows = [row for row in rows if row.get("language") in ("en", "zh")]
            for row in rows if detect else ():
                del row["language"]
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        output = tmp_path / f"t{detect}.jsonl"
        done = crossalign(
            "triplets", "build", "--documents", tmp_path / "documents.jsonl", "--queries", tmp_path / "queries.jsonl",
            "--languages", "zh", "--output", output, *(["--detect-languages"] if detect else []),
        )  # fmt: skip
        assert done.code == 0, done.err
        made[detect] = list(read_triplets(output)[0])
    # Every text whose language is clear gets the language that it has.
    assert len(made[True]) > 50
    assert {(one.query, one.passage) for one in made[True]} <= {(one.query, one.passage) for one in made[False]}
    assert len(made[True]) > 0.9 * len(made[False])


def test_pairs_are_mined_with_a_real_model(
    crossalign: Any, lines: list[dict[str, str]], offline_model: str, tmp_path: Path
) -> None:
    documents = tmp_path / "documents.jsonl"
    rows = [
        {"id": f"{tag}{place:02d}", "text": row[tag], "language": tag}
        for place, row in enumerate(lines)
        for tag in ("en", "zh")
    ]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = crossalign("triplets", "mine", "--documents", documents, "--languages", "zh", "--model", offline_model,
                      "--output", tmp_path / "t.jsonl", "--report", tmp_path / "counts.json")  # fmt: skip
    assert done.code == 0, done.err
    triplets, _ = read_triplets(tmp_path / "t.jsonl")
    assert len(triplets) > 0.7 * len(lines)
    assert all(one.targets["zh"] == lines[int(one.group[2:])]["zh"] for one in triplets)
    counts = json.loads((tmp_path / "counts.json").read_text(encoding="utf-8"))
    assert counts["counts"]["triplets"] == len(triplets)
    assert counts["mean margin"]["zh"] > 1.02


def test_the_options_of_mining_have_the_defaults_of_the_library() -> None:
    defaults = {name: one.default for name, one in inspect.signature(command.mine).parameters.items()}
    assert (defaults["neighbours"], defaults["threshold"]) == (NEIGHBOURS, THRESHOLD)


def test_pairs_are_translated_over_http_after_an_estimate(
    crossalign: Any, lines: list[dict[str, str]], pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret-key")
    service = ChatService(lines, lambda text, _before: "wrong language" if text == lines[3]["en"] else None)
    output, report = tmp_path / "t.jsonl", tmp_path / "counts.json"
    with serve_chat(service) as url:
        arguments = ("triplets", "translate", "--pairs", pairs, "--languages", "es", "--output", output, "--report",
                     report, "--generator", write_generator(tmp_path, url), "--attempts", "2", "--backoff", "0",
                     "--price-input", "1000", "--price-output", "1000")  # fmt: skip
        only = crossalign(*arguments, "--estimate")
        assert only.code == 0, only.err
        assert f"To translate: {len(lines)} of {len(lines)} texts" in only.out
        assert "at the given prices" in only.out
        dear = crossalign(*arguments, "--max-cost", "0.01")
        assert (dear.code, "the estimate is above the limit" in dear.err) == (2, True)
        assert not service.asked
        done = crossalign(*arguments)
    assert done.code == 0, done.err
    triplets, _ = read_triplets(output)
    assert [one.targets["es"] for one in triplets] == [row["es"] for row in lines if row is not lines[3]]
    counts = json.loads(report.read_text(encoding="utf-8"))
    assert (counts["rejected"], counts["dropped"]) == ({"wrong language": 2}, {"wrong language": 1})
    assert counts["counts"]["input tokens"] == 11 * (len(lines) + 1)
    for path in tmp_path.iterdir():
        assert b"very-secret" not in path.read_bytes()


@pytest.mark.parametrize(("number", "answered", "code"), [(signal.SIGKILL, 7, -9), (signal.SIGINT, 8, 130)])
def test_a_run_that_was_ended_goes_on_and_asks_no_answered_text_again(
    crossalign: Any, lines: list[dict[str, str]], pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    quick_python: list[str], number: signal.Signals, answered: int, code: int,
) -> None:  # fmt: skip
    """kill -9 while the eighth text is on its way: the seven answers before it are on the disk. Ctrl-C waits for it."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    service = ChatService(lines)
    waiting, go_on = threading.Event(), threading.Event()

    def hold(text: str) -> None:
        if text == lines[7]["en"] and service.asked[text] == 1:
            waiting.set()
            go_on.wait(60)

    with serve_chat(service, hold=hold) as url:
        arguments = ["triplets", "translate", "--pairs", pairs, "--languages", "zh", "--output", tmp_path / "t.jsonl",
                     "--generator", write_generator(tmp_path, url), "--concurrency", "1"]  # fmt: skip
        command = [*quick_python, "-m", "haystack_crossalign", *map(str, arguments)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert waiting.wait(60)
            process.send_signal(number)
            if number == signal.SIGKILL:
                assert process.stderr is not None
                process.stderr.read()  # to its end: it is dead
            time.sleep(0.5)  # the signal comes through before the answer does
            go_on.set()
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == code
        assert "Traceback" not in told
        assert not (tmp_path / "t.jsonl").exists()
        assert len((tmp_path / "t.jsonl.cache.jsonl").read_text(encoding="utf-8").splitlines()) == answered
        done = crossalign(*arguments)
    assert done.code == 0, done.err
    assert f"To translate: {len(lines) - answered} of {len(lines)} texts" in done.out
    # After kill -9 it has been asked once without ever being answered.
    assert service.asked.pop(lines[7]["en"]) == 9 - answered
    assert set(service.asked.values()) == {1}
    triplets, _ = read_triplets(tmp_path / "t.jsonl")
    assert [one.targets["zh"] for one in triplets] == [row["zh"] for row in lines]


def test_a_service_that_is_down_is_exit_code_3(
    crossalign: Any, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    done = crossalign("triplets", "translate", "--pairs", pairs, "--languages", "zh", "--output", tmp_path / "t.jsonl",
                      "--generator", write_generator(tmp_path, "http://127.0.0.1:1/v1"), "--retries", "1",
                      "--backoff", "0", "--give-up-after", "2")  # fmt: skip
    assert done.code == 3
    assert "did not answer" in done.err
    assert "APIConnectionError" in done.err


def test_bad_targets_are_dropped_with_counts_and_reasons(
    crossalign: Any, lines: list[dict[str, str]], shared_data: Path, tmp_path: Path
) -> None:
    leaked, leaked_es = (
        json.loads((shared_data / "xquad" / f"xquad.{tag}.json").read_text(encoding="utf-8"))["data"][0]["paragraphs"][
            0
        ]
        for tag in ("en", "es")
    )
    rows = [
        {"id": f"t{n}", "query": f"query {n}", "passage": row["en"], "targets": {"zh": row["zh"], "es": row["es"]}}
        for n, row in enumerate(lines)
    ]
    rows[1]["targets"]["zh"] = lines[1]["ru"][:60]
    rows[2]["targets"]["es"] = lines[2]["es"][:8]
    rows[3]["passage"] = leaked["context"]
    rows[3]["targets"] = {"es": leaked_es["context"]}
    rows.append(rows[4] | {"id": "copy"})
    source, output, report = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "counts.json"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = crossalign("triplets", "filter", "--input", source, "--output", output, "--report", report,
                      "--evaluation", shared_data / "xquad")  # fmt: skip
    assert done.code == 0, done.err
    left = {one.id: set(one.targets) for one in read_triplets(output)[0]}
    assert left["t0"] == {"zh", "es"}
    assert (left["t1"], left["t2"]) == ({"es"}, {"zh"})
    assert "t3" not in left
    assert "copy" not in left
    counts = json.loads(report.read_text(encoding="utf-8"))
    assert counts["dropped"] == {
        "language": 1, "length ratio": 1, "near duplicate": 2, "overlap with the evaluation set": 1,
    }  # fmt: skip
    assert counts["dropped by language"]["near duplicate"] == {"es": 1, "zh": 1}
    assert counts["examples"]["overlap with the evaluation set"] == ["t3:es"]
    assert counts["counts"]["triplets"] == len(rows) - 2
    assert "dropped, near duplicate: 2" in done.out


def test_an_evaluation_folder_is_read_to_its_end_and_what_is_not_read_is_named(
    crossalign: Any, lines: list[dict[str, str]], tmp_path: Path
) -> None:
    source, output, report = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "counts.json"
    rows = [
        {"query": f"query {n}", "passage": row["en"], "targets": {"es": row["es"]}} for n, row in enumerate(lines[:3])
    ]
    rows.append(rows[2] | {"query": "another", "passage": f"{lines[2]['en']}!"})
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    folder = tmp_path / "judged"
    (folder / "below").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "x.txt").write_text(lines[1]["en"], encoding="utf-8")
    (folder / "below" / "a.jsonl").write_text(json.dumps({"text": lines[0]["en"]}) + "\n", encoding="utf-8")
    (folder / "b.parquet").write_bytes(b"PAR1")
    done = crossalign("triplets", "filter", "--input", source, "--output", output, "--report", report,
                      "--evaluation", folder)  # fmt: skip
    assert done.code == 0, done.err
    assert f"not read: {folder / 'b.parquet'}" in done.out
    counts = json.loads(report.read_text(encoding="utf-8"))
    assert [one["name"] for one in counts["sources"]] == ["in.jsonl", "a.jsonl"]
    # The fourth differs from the third by a mark: each would be a false negative of the other.
    assert counts["dropped"]["overlap with the evaluation set"] == counts["dropped"]["near duplicate"] == 1
    assert [one.query for one in read_triplets(output)[0]] == ["query 1", "query 2"]
    output.unlink()
    done = crossalign("triplets", "filter", "--input", source, "--output", output, "--evaluation", source)
    assert (done.code, "no triplet is left; seen: 'dropped near duplicate: 1, overlap" in done.err) == (2, True)
    assert not output.exists()
    done = crossalign("triplets", "filter", "--input", source, "--output", output, "--evaluation", folder / "b.parquet")
    assert (done.code, "b.parquet: unknown file format" in done.err) == (2, True)


def test_positives_of_flag_embedding_are_filtered_with_their_languages(
    crossalign: Any, lines: list[dict[str, str]], tmp_path: Path
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"query": f"q{n}", "pos": [row["en"], row["es"]], "neg": []} for n, row in enumerate(lines[:3])]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = crossalign("triplets", "filter", "--input", source, "--output", output, "--languages", "es")
    assert done.code == 0, done.err
    assert [dict(one.targets) for one in read_triplets(output)[0]] == [{"es": row["es"]} for row in lines[:3]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "--languages", "zh"), "give either a corpus, documents or an index"),
        (("build", "--languages", "zh", "--corpus", "wikipedia"), "--corpus: unknown corpus; seen: 'wikipedia'"),
        (
            ("build", "--languages", "zh", "--corpus", "ntrex"),
            "CROSSALIGN_DATA: no folder of corpora is named, for NTREX-128",
        ),
        (("build", "--languages", "klingonish", "--corpus", "ntrex"), "--languages: unknown language"),
        (("build", "--languages", ",", "--corpus", "ntrex"), "--languages: is empty"),
        (("build", "--languages", "zh,en", "--corpus", "ntrex"), "is not a target language; seen: 'en'"),
        (("mine", "--languages", "zh", "--documents", "none.jsonl"), "none.jsonl: no such file"),
        (("filter", "--input", "none.jsonl"), "none.jsonl: no such file"),
        (
            ("translate", "--pairs", "p.jsonl", "--generator", "g.yaml", "--languages", "zh", "--max-cost", "3"),
            "a limit on the cost needs prices",
        ),
        (
            ("translate", "--pairs", "none.jsonl", "--generator", "none.yaml", "--languages", "zh"),
            "none.jsonl: no such file",
        ),
    ],
)
def test_wrong_input_is_exit_code_2_with_one_message(
    crossalign: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = crossalign("triplets", *arguments, "--output", tmp_path / "t.jsonl")
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "t.jsonl").exists()


def test_outputs_are_checked_before_any_work(crossalign: Any, pairs: Path, tmp_path: Path) -> None:
    for output, message in (
        (pairs, "would overwrite an input"),
        (tmp_path, "is a folder"),
        (Path("/dev/null"), "is not a regular file"),
        (tmp_path / "none" / "t.jsonl", "no such folder"),
        (tmp_path / (300 * "x"), "File name too long"),
    ):
        done = crossalign("triplets", "filter", "--input", pairs, "--output", output)
        assert (done.code, message in done.err) == (2, True), done.err
    same = tmp_path / "t.jsonl"
    done = crossalign("triplets", "filter", "--input", pairs, "--output", same, "--report", same)
    assert (done.code, "would overwrite the file of --output" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["filter", "--input", "t.jsonl", "--near-duplicates", "1.5"],
            "--near-duplicates: out of range; seen: 1.5; allowed: above 0, at most 1",
        ),
        (["filter", "--input", "t.jsonl", "--length-factor", "1"], "--length-factor: must be above 1; seen: 1.0"),
        (
            ["build", "--documents", "d.jsonl", "--languages", "zh", "--block", "9"],
            "--block: has no effect here; allowed: --corpus ntrex or tico19; or the command without it",
        ),
        (
            ["build", "--corpus", "squad", "--languages", "zh", "--queries-per-block", "5"],
            "--queries-per-block: has no",
        ),
        (["build", "--documents", "d.jsonl", "--languages", "zh", "--seed", "7"], "--seed: has no effect here"),
        (
            ["build", "--index", "i", "--languages", "zh", "--queries", "q.jsonl", "--groups", "3"],
            "--groups: has no effect here; allowed: --index without --queries",
        ),
        (
            ["build", "--index", "i", "--languages", "zh", "--queries", "q.jsonl", "--seed", "7"],
            "--seed: has no effect",
        ),
        (["build", "--index", "i", "--languages", "zh", "--relevance-level", "3"], "--relevance-level: has no effect"),
        (
            ["build", "--documents", "d.jsonl", "--languages", "zh", "--qrels", "q"],
            "--qrels: judgments without queries; allowed: --queries FILE",
        ),
    ],
)
def test_a_wrong_option_is_named_as_it_was_given(
    crossalign: Any, tmp_path: Path, command: list[str], message: str
) -> None:
    (tmp_path / "t.jsonl").write_text('{"query": "q", "passage": "p", "targets": {"zh": "文"}}\n', encoding="utf-8")
    files = [tmp_path / one if one.endswith(".jsonl") else one for one in command]
    done = crossalign("triplets", *files, "--output", tmp_path / "out.jsonl")
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out.jsonl").exists()
