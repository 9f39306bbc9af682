"""`crossalign audit --request`: the command with the team's own searches, and the examples of docs/requests.md."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Proxy
from production_requests import INDEX, KINDS, TEMPLATE_SOURCE, clean, prepare, queries, reciprocal_ranks, write

from haystack_crossalign.api.index import audit_index
from haystack_crossalign.api.requests.index import IndexRequest
from haystack_crossalign.opensearch.connection.settings import LiveSettings

EXAMPLE = re.compile(r"```json (?P<name>\w+)\n(?P<text>.*?)```\n", re.DOTALL)
Audit = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def index(opensearch: Any, indexing: Any) -> Iterator[None]:
    prepare(opensearch, indexing)
    yield
    clean(opensearch)


@pytest.fixture
def audit(crossalign: Any, opensearch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    monkeypatch.chdir(tmp_path)
    queries(tmp_path / "queries.jsonl")

    def run(*arguments: object, hosts: str = opensearch.url) -> Any:
        return crossalign(
            *("audit", "--index", INDEX, "--hosts", hosts, "--group-field", "group", "--queries", "queries.jsonl"),
            *("--samples", "100", "--patience", "2", *arguments),
        )

    return run


def result_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_several_requests_stand_beside_each_other_in_every_output(audit: Audit, tmp_path: Path) -> None:
    words = write(tmp_path, "Shop_words", KINDS["words"].file)
    fused = write(tmp_path, "Shop_fused", KINDS["hybrid-ranks"].file)
    done = audit(
        *("--request", words, "--request", fused, "--live", "knn", "--depth", "20"),
        *("--json", "a.json", "--report", "a.html", "--markdown", "a.md"),
        *("--fail-on", "Shop_fused:Complete@10[en]>100%"),
    )
    assert done.code == 0, done.err
    for text in (done.out, (tmp_path / "a.html").read_text(), (tmp_path / "a.md").read_text()):
        for name in ("nearest neighbors", "Shop_words", "Shop_fused"):
            assert name in text
    result = result_of(tmp_path / "a.json")
    assert [row.get("retrieval") for row in result["rows"][:4]] == [None, "knn", "Shop_words", "Shop_fused"]
    # The size is the request's, whatever the depth of the other lists.
    depths = {row.get("retrieval"): row["censored"] and row["censored"]["depth_max"] for row in result["rows"]}
    assert (depths["knn"], depths["Shop_words"], depths["Shop_fused"]) == (20, 10, 10)
    told = {one["name"]: one for one in result["live"]["retrievals"]}
    assert (told["Shop_fused"]["size"], told["Shop_fused"]["search_pipeline"]) == (10, "requests-ranks")
    assert told["Shop_words"]["placeholders"] == ["query"]
    assert {file["name"] for file in result["provenance"]["data"]["files"]} == {
        "queries.jsonl",
        "Shop_words.json",
        "Shop_fused.json",
    }


def test_the_size_asked_for_makes_another_list_and_the_result_says_it(audit: Audit, tmp_path: Path) -> None:
    request = write(tmp_path, "fused", KINDS["hybrid-min-max"].file)
    results = []
    for size in ("10", "40"):
        assert audit("--request", request, "--request-size", size, "--json", f"{size}.json", "-q").code == 0
        results.append(result_of(tmp_path / f"{size}.json"))
    assert [one["live"]["retrievals"][0]["size"] for one in results] == [10, 40]
    assert [one["provenance"]["options"]["request_size"] for one in results] == [10, 40]
    tops = [
        [example["documents"] for example in one["examples"] if one["rows"][example["row"]]["kind"] == "live"]
        for one in results
    ]
    assert tops[0] != tops[1]


def test_what_misleads_is_told_in_every_output(audit: Audit, tmp_path: Path) -> None:
    body = {key: value for key, value in KINDS["hybrid-ranks"].file.items() if key != "search_pipeline"}
    write(tmp_path, "raw", body)
    done = audit("--request", "raw.json", "--json", "a.json", "--report", "a.html", "--markdown", "a.md")
    assert done.code == 0, done.err
    for text in (done.out, (tmp_path / "a.html").read_text(), (tmp_path / "a.md").read_text()):
        joined = " ".join(text.split())
        assert "holds documents more than once" in joined
        assert "passes through no search pipeline that fuses its parts" in joined
    repeated = result_of(tmp_path / "a.json")["live"]["repeated"]
    assert [one["retrieval"] for one in repeated] == ["raw"]


@pytest.mark.parametrize(
    ("content", "arguments", "parts"),
    [
        ('{"query": {\n"match": {"title": "{{color}}"}}}', [], ["own.json, line 2", "unknown placeholder", "color"]),
        ('{"query": }', [], ["own.json, line 1", "not valid JSON"]),
        ('{"query": {"match_all": {}}}', [], ["own.json, line 1", "the same search for every query"]),
        ('{"query": {"match": {"title": "{{query}}"}},\n"scroll": "1m"}', [], ["line 2", "stays open"]),
        ('{"query": {"match": {"title": "{{query}}"}}}', ["--scenario", "mono-same"], ["--request", "whole index"]),
        ('{"query": {"match": {"title": "{{query}}"}}, "size": 20000}', [], ["own.json", "'size'", "1 to 10000"]),
        ('{"query": {"mtach": {"title": "{{query}}"}}}', [], ["own.json", "unknown query [mtach]"]),
        ('{"id": "missing", "params": {"q": "{{query}}"}}', [], ["own.json", "does not render", "missing"]),
        (
            '{"query": {"match": {"title": "{{query}}"}}, "search_pipeline": "missing"}',
            [],
            ["own.json", "Pipeline missing is not defined"],
        ),
        ('{"query": {"match": {"title": "{{query}}"}}}', ["--live-fields", "title"], ["--live-fields", "--live bm25"]),
        ('{"query": {"match": {"title": "{{query}}"}}}', ["--fail-on", "other:MRR<1"], ["unknown scenario", "own"]),
    ],
)
def test_wrong_use_is_one_message_and_no_output(
    audit: Audit, tmp_path: Path, content: str, arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "own.json").write_text(content, encoding="utf-8")
    done = audit("--request", "own.json", "--json", "a.json", *arguments)
    assert done.code == 2, done.err
    assert not (tmp_path / "a.json").exists()
    (line,) = [line for line in done.err.splitlines() if "error" in line.lower() or "own" in line or "--" in line]
    for part in parts:
        assert part in line


def test_a_search_that_a_server_takes_only_outside_of_a_point_in_time_is_sent_there(
    audit: Audit, opensearch: Any, tmp_path: Path
) -> None:
    """A proxy takes the part of a server that refuses one kind of query in a point in time: none that is known does."""
    write(tmp_path, "own", KINDS["words"].file)
    assert audit("--request", "own.json", "--json", "inside.json", "-q").code == 0
    proxy = Proxy(opensearch.url)
    proxy.rewrite = lambda request, body: (
        body,
        lambda content: refuse_words_in_a_point_in_time(request, body, content),
    )
    try:
        assert audit("--request", "own.json", "--json", "outside.json", "-q", hosts=proxy.url).code == 0
    finally:
        proxy.close()
    inside, outside = (result_of(tmp_path / f"{name}.json") for name in ("inside", "outside"))
    assert outside["rows"] == inside["rows"]
    assert not any("outside of the point in time" in note for note in inside["live"]["warnings"])
    assert any("only outside of the point in time" in note for note in outside["live"]["warnings"])


def refuse_words_in_a_point_in_time(request: str, body: bytes, content: bytes) -> bytes:
    """The answer to a multi-search, with each search for words in a point in time refused."""
    if request != "POST /_msearch":
        return content
    body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    answer = json.loads(content)
    searches = [json.loads(line) for line in body.splitlines()[1::2]]
    error = {"type": "illegal_argument_exception", "reason": "not in a point in time"}
    for number, search in enumerate(searches):
        if "multi_match" in search["query"] and "pit" in search:
            answer["responses"][number] = {"error": error, "status": 400}
    return json.dumps(answer).encode()


def test_python_takes_requests_as_the_command_does(audit: Audit, opensearch: Any, tmp_path: Path) -> None:
    request = write(tmp_path, "own", KINDS["filtered"].file)
    assert audit("--request", request, "--json", "a.json", "-q").code == 0
    settings = LiveSettings(hosts=(opensearch.url,), index=INDEX, group_field="group")
    result = audit_index(IndexRequest(settings=settings, queries=tmp_path / "queries.jsonl", requests=[request]))
    assert [row.get("retrieval") for row in result.rows[:2]] == [None, "own"]
    columns = result_of(tmp_path / "a.json")["queries"]
    assert json.loads(result.to_json())["queries"]["ranks"] == columns["ranks"]


def test_the_examples_of_the_page_run(audit: Audit, opensearch: Any, tmp_path: Path, project_root: Path) -> None:
    page = (project_root / "docs" / "requests.md").read_text(encoding="utf-8")
    examples = {match["name"]: match["text"] for match in EXAMPLE.finditer(page)}
    assert list(examples) == ["words", "fused", "languages", "template"]
    for name, text in examples.items():
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    opensearch.request("PUT", "/_scripts/shop-search", {"script": {"lang": "mustache", "source": TEMPLATE_SOURCE}})
    opensearch.request("PUT", "/_search/pipeline/shop-fusion", reciprocal_ranks())
    try:
        arguments = [part for name in examples for part in ("--request", f"{name}.json")]
        gate = ["--fail-on", "fused:Complete@10<0%", "--fail-on", "words:Complete@10<0%"]
        done = audit(*arguments, *gate, "--json", "a.json", "--report", "report.html")
        assert done.code == 0, done.err
        (tmp_path / "hybrid.json").write_text(examples["fused"], encoding="utf-8")
        # A list of its own, not that of --live hybrid, so that not both can have the name.
        alone = audit("--request", "hybrid.json", "--fail-on", "hybrid:Complete@10<0%")
        assert alone.code == 0, alone.err
        both = audit("--request", "hybrid.json", "--live", "hybrid")
        assert both.code == 2
        assert "--request: two lists are called hybrid; allowed: another name of the file" in both.err
    finally:
        opensearch.request("DELETE", "/_scripts/shop-search")
        opensearch.request("DELETE", "/_search/pipeline/shop-fusion")
    result = result_of(tmp_path / "a.json")
    assert {row.get("retrieval") for row in result["rows"]} == {None, *examples}
    assert not result["live"]["warnings"]
    for name in examples:
        ranks = [
            rank
            for place, row in enumerate(result["queries"]["row"])
            if result["rows"][row].get("retrieval") == name
            for rank in result["queries"]["ranks"][place]
        ]
        assert any(rank is not None for rank in ranks), name
