"""`crossalign audit --index` as a user meets it, on a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Proxy, reset
from live_audit import LANGUAGES, assert_same_but_for_last_bits, parallel_documents, write_queries

INDEX = "cli-audit"


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    indexing.create(opensearch, INDEX, parallel_documents(), indexing.mapping(12))
    return INDEX


@pytest.fixture
def audit(crossalign: Any, opensearch: Any, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command on the index with queries that have vectors; times and files are in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    queries = write_queries(tmp_path / "queries.jsonl")

    def run(*arguments: object, hosts: str = opensearch.url) -> Any:
        return crossalign(
            *("audit", "--index", index, "--hosts", hosts, "--group-field", "group", "--queries", queries),
            *("--samples", "100", "--batch", "8", "--patience", "2", *arguments),
        )

    return run


def test_one_command_writes_exact_and_live_side_by_side(audit: Any, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.json", "a.html", "a.md", "a.xml", "a.qrels")]
    done = audit(
        *("--json", files[0], "--report", files[1], "--markdown", files[2], "--junit", files[3]),
        *("--qrels-out", files[4], "--live", "knn,bm25,hybrid", "--depth", "10"),
        *("--fail-on", "Complete@10<1%", "--fail-on", "hybrid:MRR[en]<1%"),
    )
    assert done.code == 0, done.err
    assert done.out.startswith(f"Plan for '{INDEX}': 45 queries")
    for words in ("exact", "nearest neighbors", "BM25", "hybrid", "Recall@10"):
        assert words in done.out
        assert words in files[1].read_text()
        assert words in files[2].read_text()
    result = json.loads(files[0].read_text())
    assert [row.get("retrieval") for row in result["rows"][:4]] == [None, "knn", "bm25", "hybrid:rrf"]
    assert files[3].read_text().count("<testcase") == 4
    assert files[4].read_text().splitlines()[0] == "q0-ar 0 ar-0 1"
    times = json.loads((tmp_path / "a.times.json").read_text())
    assert times["plan"]["documents_scored"] == 2 * 45 * 45
    assert times["traffic"]["msearch"]["failures"] == 0
    again = tmp_path / "again.json"
    assert audit("--json", again, "--live", "knn,bm25,hybrid", "--depth", "10").code == 0
    assert_same_but_for_last_bits(again.read_bytes(), files[0].read_bytes())
    assert audit("--json", again, "--fail-on", "knn:Complete@10<99%", "-q").code == 1


def test_a_dry_run_prints_the_plan_and_writes_nothing(audit: Any, tmp_path: Path) -> None:
    done = audit("--dry-run", "--json", tmp_path / "a.json", "--max-load", "90")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"Plan for '{INDEX}': 45 queries (queries that each ask for one parallel group)"
    assert [line.split("  ")[1].strip() for line in lines[1:]] == [
        "requests",
        "documents scored",
        "bytes",
        "expected time",
    ]
    assert "4,050 (at most 90 documents per second)" in done.out
    # 4,050 documents at 90 a second: far more than a server takes that has just been started on a busy machine.
    assert "expected time      45 s" in done.out
    assert not (tmp_path / "a.json").exists()


def test_the_plan_is_what_the_audit_takes(audit: Any, tmp_path: Path) -> None:
    assert audit("--dry-run").code == 0
    done = audit("--json", tmp_path / "a.json", "-q")
    assert done.code == 0, done.err
    times = json.loads((tmp_path / "a.times.json").read_text())
    searches = times["traffic"]["msearch"]
    # The traffic also holds the probe and the reading of queries and texts: a tenth of the whole here, or two.
    assert times["plan"]["requests"] <= searches["requests"] <= 2 * times["plan"]["requests"]
    assert times["plan"]["bytes_in"] == pytest.approx(searches["bytes_in"], rel=0.5)


def test_without_queries_probes_are_made_and_named_as_such(
    crossalign: Any, opensearch: Any, indexing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_models import WORDS, write_tiny_model

    from haystack_crossalign.models.encoder import Encoder

    monkeypatch.chdir(tmp_path)
    model = write_tiny_model(tmp_path)
    encoder = Encoder(str(model))
    texts = {
        f"{language}-{group}": " ".join(WORDS[(7 * group + 11 * code + n * (code + 2)) % 60] for n in range(9)) + "."
        for group in range(12)
        for code, language in enumerate(LANGUAGES)
    }
    vectors = encoder.encode_documents(list(texts.values()))
    documents = {
        name: {
            "content": text,
            "language": name[:2],
            "group": f"g{name[3:]}",
            "embedding": [float(x) for x in vector],
        }
        for (name, text), vector in zip(texts.items(), vectors, strict=True)
    }
    indexing.create(opensearch, "cli-probes", documents, indexing.mapping(encoder.dimension))
    base = ("audit", "--index", "cli-probes", "--hosts", opensearch.url, "--samples", "100")
    report, page = tmp_path / "a.md", tmp_path / "a.html"
    files = ("--markdown", report, "--report", page, "--json", tmp_path / "a.json")
    done = crossalign(*base, "--group-field", "group", "--model", model, "--probes", "8", *files)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["live"]["queries"]["kind"] == "known-item"
    assert result["live"]["queries"]["count"] == 8 * 3
    assert result["provenance"]["model"]["dimension"] == encoder.dimension
    for text in (done.out, report.read_text(), page.read_text()):
        flat = " ".join(text.replace("> ", "").split())
        assert "known-item probes" in flat
        assert "Nobody has judged anything here" in flat
    heading = report.read_text().splitlines()[0]
    assert heading.endswith("on cli-probes, known-item probes")
    # Another model of the same dimension is found out before the first query is asked.
    (tmp_path / "other").mkdir()
    wrong = crossalign(*base, "--group-field", "group", "--model", model, "--document-prefix", "w1 w2 w3 w4: ")
    assert wrong.code == 2
    assert "field 'model'" in wrong.err
    accepted = crossalign(
        *base,
        "--group-field",
        "group",
        "--model",
        model,
        "--document-prefix",
        "w1 w2 w3 w4: ",
        "--accept-model",
        *files,
    )
    assert accepted.code == 0, accepted.err
    (seen,) = wrong.err.split("field 'model': ")[1:]
    assert seen.strip().split("; ")[0] in " ".join(json.loads((tmp_path / "a.json").read_text())["live"]["warnings"])
    # Neither judgments nor a field of groups: what can be done is said.
    bare = crossalign(*base, "--model", model)
    assert bare.code == 2
    assert "--group-field" in bare.err
    assert "--queries" in bare.err or "queries with document ids" in bare.err


def test_an_interrupted_command_leaves_a_partial_result_and_goes_on(
    audit: Any, opensearch: Any, index: str, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.json"
    assert audit("--json", whole, "--max-load", "3000", "-q").code == 0
    state, part, page = tmp_path / "state.jsonl", tmp_path / "part.json", tmp_path / "part.md"
    command = [sys.executable, "-c", "from haystack_crossalign.cli.main import main; main()", "audit"]
    command += ["--index", index, "--hosts", opensearch.url, "--group-field", "group", "--queries", "queries.jsonl"]
    command += ["--samples", "100", "--batch", "8", "--patience", "2"]
    # A load limit that makes it slow enough to be interrupted.
    slow = [*command, "--max-load", "3000", "--state", str(state), "--json", str(part), "--markdown", str(page)]
    with _held(opensearch.url) as proxy:
        slow[slow.index(opensearch.url)] = proxy.url
        process = subprocess.Popen(
            slow, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        )
        deadline = time.monotonic() + 120
        while not state.exists() or state.read_text().count("\n") < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "the result is partial" in errors
    partial = json.loads(part.read_text())["live"]["partial"]
    assert partial["reason"] == "interrupted by the user"
    assert 0 < partial["queries"] < partial["of"] == 45
    assert f"Partial result: {partial['queries']} of 45 queries were measured" in page.read_text()
    resumed = tmp_path / "resumed.json"
    done = audit("--json", resumed, "--max-load", "3000", "--resume", state, "-q")
    assert done.code == 0, done.err
    assert_same_but_for_last_bits(resumed.read_bytes(), whole.read_bytes())
    again = audit("--json", resumed, "--state", state)
    assert again.code == 2
    assert "--resume to go on" in again.err


class _held:  # noqa: N801
    """A proxy whose searches take a moment each."""

    def __init__(self, url: str) -> None:
        self.proxy = Proxy(url)

    def __enter__(self) -> Proxy:
        self.proxy.before = lambda request: time.sleep(0.3) if request.endswith("/_msearch") else None
        return self.proxy

    def __exit__(self, *_: object) -> None:
        self.proxy.close()


@pytest.fixture
def proxy(opensearch: Any) -> Iterator[Proxy]:
    proxy = Proxy(opensearch.url)
    yield proxy
    proxy.close()


def test_a_server_that_is_lost_leaves_a_partial_result(audit: Any, proxy: Proxy, tmp_path: Path) -> None:
    seen = [0]

    def lose(request: str) -> None:
        seen[0] += request.endswith("/_msearch")
        if seen[0] > 16:
            proxy.faults.append(reset)

    proxy.before = lose
    done = audit("--json", tmp_path / "a.json", "--report", tmp_path / "a.html", hosts=proxy.url)
    assert done.code == 3
    assert "no connection" in done.err
    assert "the result is partial" in done.err
    assert "Traceback" not in done.err
    partial = json.loads((tmp_path / "a.json").read_text())["live"]
    assert 0 < partial["partial"]["queries"] < 45
    assert partial["snapshot"]["after"] is None
    assert "Partial result" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--live", "splade"], "--live: unknown list; seen: 'splade'; allowed: knn, bm25, hybrid"),
        (["--documents", "queries.jsonl"], "--documents and --index exclude each other"),
        (["--probes", "5"], "--probes: has no effect here; allowed: --index without --queries"),
        (["--id-field", "key"], "--id-field: has no effect here; allowed: --pipeline FILE"),
        (["--request", "own.json", "--depth", "7"], "--depth: has no effect here; allowed: --live, or --request-size"),
        (["--split", "dev"], "--split and --index exclude each other"),
        (["--detect-languages"], "--detect-languages and --index exclude each other"),
        (["--run-depth", "5"], "--run-depth: is the depth of a TREC run"),
        (["--sample", "1.5"], "not a share of the documents"),
        (["--filter", "{bad"], "not JSON"),
        (["--filter", '{"a": 1, "b": 2}'], "an OpenSearch query has one key"),
        (["--filter", '{"operator": "~", "field": "meta.a", "value": 1}'], "not a Haystack filter"),
        (["--resume", "nothing.jsonl"], "no such file"),
        (["--max-load", "0"], "--max-load"),
        (["--languages", "en,fr"], "no document has this language; seen: 'fr'; allowed: ar, en, zh"),
        (["--fail-on", "bm25:MRR<1%"], "matches no row"),
        (["--run", "run.txt"], "keeps ranks, not whole rankings"),
        (["--embedding-field", "vector"], "field 'vector': no such field"),
    ],
)
def test_wrong_use_is_one_message(audit: Any, arguments: list[str], message: str) -> None:
    done = audit(*arguments)
    assert done.code == 2, done.err
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments", [["--sample", "0.5"], ["--live", "knn"], ["--dry-run"], ["--hosts", "http://localhost"]]
)
def test_options_of_an_index_need_an_index(crossalign: Callable[..., Any], arguments: list[str]) -> None:
    done = crossalign("audit", *arguments)
    assert done.code == 2
    assert "is for an audit of an index" in done.err


@pytest.mark.parametrize(
    "user_filter",
    ['{"term": {"tenant": "a"}}', '{"field": "tenant", "operator": "==", "value": "a"}'],
    ids=["opensearch", "haystack"],
)
def test_a_filter_may_have_either_shape_and_may_stand_in_a_file(audit: Any, tmp_path: Path, user_filter: str) -> None:
    file = tmp_path / "filter.json"
    file.write_text(user_filter, encoding="utf-8")
    queries = write_queries(tmp_path / "judged.jsonl", judged=True)
    pools = []
    for number, value in enumerate((user_filter, file)):
        out = tmp_path / f"{number}.json"
        assert audit("--queries", queries, "--filter", value, "--json", out, "-q").code == 0
        pools.append(json.loads(out.read_text())["live"]["pool"]["documents"])
    assert pools == [30, 30]


def test_the_lists_of_a_haystack_pipeline_stand_beside_the_exact_ranks(
    audit: Any, opensearch: Any, indexing: Any, tmp_path: Path
) -> None:
    import yaml

    # Haystack's writer stores the id in the document as well.
    documents = {name: {**one, "id": name} for name, one in parallel_documents().items()}
    indexing.create(opensearch, "cli-pipeline", documents, indexing.mapping(12))
    root = "haystack_integrations"
    store = {
        "type": f"{root}.document_stores.opensearch.document_store.OpenSearchDocumentStore",
        "init_parameters": {"hosts": opensearch.url, "index": "cli-pipeline", "embedding_dim": 12},
    }
    retriever = {
        "type": f"{root}.components.retrievers.opensearch.bm25_retriever.OpenSearchBM25Retriever",
        "init_parameters": {"document_store": store, "top_k": 5},
    }
    file = tmp_path / "query.yaml"
    file.write_text(yaml.safe_dump({"components": {"retriever": retriever}, "connections": []}), encoding="utf-8")
    base = ("--index", "cli-pipeline", "--pipeline", file)
    done = audit(*base, "--depth", "10", "--json", tmp_path / "a.json", "--state", tmp_path / "s.jsonl")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "a.json").read_text())
    assert [row.get("retrieval") for row in result["rows"][:2]] == [None, "pipeline"]
    assert any("outside of the point in time" in note for note in result["live"]["warnings"])
    assert result["provenance"]["data"]["files"][1]["name"] == "query.yaml"
    retriever = {"type": "haystack.components.writers.DocumentWriter", "init_parameters": {"document_store": store}}
    file.write_text(yaml.safe_dump({"components": {"writer": retriever}, "connections": []}), encoding="utf-8")
    refused = audit(*base)
    assert refused.code == 2
    assert "writer" in refused.err


def test_a_filter_that_matches_nothing_is_told_as_that(
    audit: Any, crossalign: Any, opensearch: Any, index: str
) -> None:
    nothing = ["--filter", '{"term": {"tenant": "nobody"}}']
    place = ["audit", "--index", index, "--hosts", opensearch.url, "--group-field", "group"]
    for done in (audit(*nothing), crossalign(*place, *nothing)):
        assert done.code == 2
        assert "--filter: matches none of the 45 documents of the index" in done.err
        assert '"nobody"' in done.err
