"""The pipelines for indexing, searching and auditing: loaded as they are by Haystack, run on a real server."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from haystack import Document, Pipeline
from haystack.core.errors import DeserializationError

from haystack_crossalign.components import CrossAlignDocumentEmbedder, CrossAlignTextEmbedder, QueryListRunner
from haystack_crossalign.components.environment import EnvironmentHosts, EnvironmentMap, EnvironmentText
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.identity import describe_model
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.model.check import read_index_model
from haystack_crossalign.pipelines.retriever import QueryPipeline

FOLDER = Path(__file__).resolve().parents[2] / "pipelines"
INDEX = "pipelines-test"
SEARCHES = ["query", "query_hybrid", "query_switching", "query_balanced", "query_collapsed"]
NAMES = ["index", *SEARCHES, "audit", "upgrade", "upgrade_model"]
TEXTS = {
    "en:1": "The museum is closed on Mondays and on public holidays.",
    "zh:1": "博物馆每周一及公共假日闭馆。",
    "en:2": "Tickets can be returned until two days before the concert.",
    "zh:2": "门票可在音乐会开始前两天退还。",
    "en:3": "The ferry to the island leaves every half hour from pier four.",
    "zh:3": "开往该岛的渡轮每半小时从四号码头出发。",
}
QUERY = "博物馆哪天不开门？"


def sources() -> list[Document]:
    """The first has its language told; those of the others are detected."""
    return [
        Document(
            id=name,
            content=text,
            meta={"parallel_id": name.split(":")[1]} | ({"language": "en"} if name == "en:1" else {}),
        )
        for name, text in TEXTS.items()
    ]


def load(name: str) -> Pipeline:
    return Pipeline.loads((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def environment(opensearch: Any, offline_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSALIGN_HOSTS", opensearch.url)
    monkeypatch.setenv("CROSSALIGN_INDEX", INDEX)
    monkeypatch.setenv("CROSSALIGN_MODEL", offline_model)


@pytest.fixture(scope="module")
def indexed(opensearch: Any, offline_model: str) -> Iterator[dict[str, Any]]:
    """What index.yaml answered after it filled the index."""
    try:
        opensearch.request("DELETE", f"/{INDEX}")
    except urllib.error.HTTPError as error:
        assert error.code == 404  # noqa: PT017
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSALIGN_HOSTS", opensearch.url)
        patch.setenv("CROSSALIGN_INDEX", INDEX)
        patch.setenv("CROSSALIGN_MODEL", offline_model)
        pipeline = load("index")
        yield pipeline.run({"tagger": {"documents": sources()}})
        pipeline.close()


@pytest.mark.usefixtures("environment")
def test_indexing_fills_an_index_that_can_be_audited(
    opensearch: Any, indexed: dict[str, Any], offline_model: str
) -> None:
    assert indexed["writer"] == {"documents_written": 6}
    stored = opensearch.request("GET", f"/{INDEX}/_search?size=10")["hits"]["hits"]
    assert {hit["_id"]: hit["_source"]["language"] for hit in stored} == {name: name[:2] for name in TEXTS}
    properties = opensearch.request("GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]["properties"]
    assert properties["language"] == properties["parallel_id"] == {"type": "keyword"}
    assert properties["embedding"]["dimension"] == 384
    described = describe_model(CrossAlignDocumentEmbedder(model=offline_model).provenance())
    assert read_index_model(ReadOnlyClient(opensearch.url), INDEX) == described


@pytest.mark.usefixtures("environment", "indexed")
def test_texts_are_embedded_anew_into_another_index(opensearch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same model, so that the vectors must be those that are there already; three pages of two."""
    monkeypatch.setenv("CROSSALIGN_NEW_INDEX", f"{INDEX}-new")
    pipeline = Pipeline.loads(
        (FOLDER / "upgrade_model.yaml").read_text(encoding="utf-8").replace("page_size: 500", "page_size: 2")
    )
    after, complete, written = None, False, 0
    while not complete:
        answer = pipeline.run({"reader": {"after": after}}, include_outputs_from={"reader"})
        after, complete = answer["reader"]["after"], answer["reader"]["complete"]
        written += answer["writer"]["documents_written"]
    pipeline.close()
    try:
        opensearch.request("POST", f"/{INDEX}-new/_refresh")
        old, new = (
            {hit["_id"]: hit["_source"] for hit in opensearch.request("GET", f"/{name}/_search")["hits"]["hits"]}
            for name in (INDEX, f"{INDEX}-new")
        )
        model = [read_index_model(ReadOnlyClient(opensearch.url), name) for name in (INDEX, f"{INDEX}-new")]
    finally:
        opensearch.request("DELETE", f"/{INDEX}-new")
    assert (written, new.keys()) == (6, old.keys())
    assert model[0] == model[1] is not None
    for name, source in new.items():
        made, before = source.pop("embedding"), old[name].pop("embedding")
        assert source == old[name]
        # Unit vectors; other batches round otherwise.
        assert sum(a * b for a, b in zip(made, before, strict=True)) > 0.999


@pytest.mark.usefixtures("environment", "indexed")
def test_dense_search_finds_the_version_in_the_language_of_the_query_first() -> None:
    found = load("query").run({"embedder": {"text": QUERY}})["retriever"]["documents"]
    assert found[0].id == "zh:1"
    assert {document.id for document in found} == set(TEXTS)


@pytest.mark.usefixtures("environment", "indexed")
def test_search_with_the_model_that_the_index_names_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = load("query").run({"embedder": {"text": QUERY}})["retriever"]["documents"]
    # Told by the index, not by the environment.
    monkeypatch.delenv("CROSSALIGN_MODEL")
    found = load("query_switching").run({"retriever": {"query": QUERY}})["retriever"]["documents"]
    assert found == wanted
    monkeypatch.setenv("CROSSALIGN_MODELS", "offline:multilingual-e5-small=/no/such/folder")
    with pytest.raises(InputError, match="no such model folder"):
        load("query_switching").run({"retriever": {"query": QUERY}})


@pytest.mark.usefixtures("environment", "indexed")
def test_hybrid_search_joins_both_lists() -> None:
    query = "ferry to the island"
    answer = load("query_hybrid").run(
        {"embedder": {"text": query}, "words": {"query": query}}, include_outputs_from={"dense", "words"}
    )
    assert answer["words"]["documents"][0].id == "en:3"
    assert {document.id for document in answer["dense"]["documents"]} == set(TEXTS)
    assert answer["joiner"]["documents"][0].id == "en:3"


@pytest.mark.usefixtures("environment", "indexed")
def test_the_balanced_search_takes_the_languages_in_turn() -> None:
    inputs = {"embedder": {"text": QUERY}, "tagger": {"text": QUERY}}
    found = load("query_balanced").run(inputs)["retriever"]["documents"]
    assert [one.meta["language"] for one in found] == ["zh", "en", "zh", "en", "zh", "en"]
    plain = load("query").run({"embedder": {"text": QUERY}})["retriever"]["documents"]
    for tag in ("zh", "en"):
        in_order = [one.id for one in plain if one.meta["language"] == tag]
        assert [one.id for one in found if one.meta["language"] == tag] == in_order


@pytest.mark.usefixtures("environment", "indexed")
def test_the_search_in_the_own_language_shows_each_content_once() -> None:
    query = "When is the museum closed?"
    inputs = {"embedder": {"text": query}, "tagger": {"text": query}}
    found = load("query_collapsed").run(inputs)["collapser"]["documents"]
    assert found[0].id == "en:1"
    assert sorted(one.id for one in found) == ["en:1", "en:2", "en:3"]


@pytest.mark.usefixtures("environment", "indexed")
def test_the_audit_pipeline_measures_what_the_search_returns() -> None:
    queries, groups, languages = [QUERY, "How often does the ferry run?"], ["1", "3"], ["zh", "en"]
    truth = [
        [Document(id=f"{tag}:{group}", meta={"language": tag, "parallel_id": group}) for tag in ("en", "zh")]
        for group in groups
    ]
    answer = load("audit").run(
        {
            "queries": {"value": queries},
            "auditor": {"query_languages": languages, "ground_truth_documents": truth, "pool_size": 6},
        }
    )["auditor"]
    assert answer["score"] == 1.0
    # By hand: both versions of each content lie in the top six, so Max@R is the rank of the second of them.
    search = load("query")
    worst = []
    for query, group in zip(queries, groups, strict=True):
        ids = [document.id for document in search.run({"embedder": {"text": query}})["retriever"]["documents"]]
        worst.append(max(ids.index(f"{tag}:{group}") + 1 for tag in ("en", "zh")))
    rows = {row["query_language"]: row["measures"]["Max@R"] for row in answer["audit_result"].rows}
    assert rows == {"zh": worst[0], "en": worst[1]}


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("name", SEARCHES)
def test_the_live_audit_takes_the_search_pipelines(
    opensearch: Any, offline_model: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"CROSSALIGN_HOSTS": opensearch.url, "CROSSALIGN_INDEX": INDEX, "CROSSALIGN_MODEL": offline_model}
    monkeypatch.setenv("CROSSALIGN_MODEL", offline_model)
    pipeline = QueryPipeline.from_yaml(
        FOLDER / f"{name}.yaml", client=ReadOnlyClient(opensearch.url), environ=variables
    )
    (hits,) = pipeline.retrieve([QUERY], None, 4, INDEX)
    assert hits[0].id == "zh:1"
    # One version of each of three contents, or four documents.
    assert len(hits) == (3 if name == "query_collapsed" else 4)
    pipeline.close()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_head_holds_its_imports_and_names_its_own_file(path: Path) -> None:
    code = snippet(path.stem)
    ast.parse(code)
    assert re.match("from haystack import (Document, )?Pipeline\nimport haystack_crossalign\n", code)
    assert f'Pipeline.load(open("pipelines/{path.name}"))' in code


def snippet(name: str) -> str:
    """The Python in the head of a pipeline file."""
    head = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("components:")[0]
    lines = [line.removeprefix("#   ") for line in head.splitlines() if line.startswith("#   ")]
    return "\n".join(lines).replace("…", "museum on Mondays")


@pytest.mark.usefixtures("environment", "indexed")
@pytest.mark.parametrize("name", ["index", *SEARCHES, "audit"])
def test_the_snippet_in_the_head_of_a_pipeline_runs_as_it_stands(
    name: str, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = snippet(name)
    monkeypatch.chdir(project_root)
    if name == "index":
        monkeypatch.setenv("CROSSALIGN_INDEX", f"{INDEX}-snippet")
    if name == "query":
        # A process of its own shows that the imports suffice; the others have the same.
        subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    *statements, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(statements, []), name, "exec"), names)  # noqa: S102 - our own file
    assert eval(compile(ast.Expression(last.value), name, "eval"), names)  # noqa: S307 - our own file
    names["pipeline"].close()


def test_the_live_audit_refuses_the_indexing_pipeline() -> None:
    with pytest.raises(InputError, match="component 'writer' writes documents; an audit only reads"):
        QueryPipeline.from_yaml(FOLDER / "index.yaml", environ={})


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_that_is_not_set_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSALIGN_HOSTS", raising=False)
    for variable in ("INDEX", "NEW_INDEX", "MATRIX"):
        monkeypatch.setenv(f"CROSSALIGN_{variable}", INDEX)
    with pytest.raises(
        (DeserializationError, InputError), match="the environment variable CROSSALIGN_HOSTS is not set"
    ):
        load(name)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_the_environment_do_not_get_into_a_dump(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOSTS", "INDEX", "NEW_INDEX", "MATRIX", "MODEL", "USER", "PASSWORD"):
        monkeypatch.setenv(f"CROSSALIGN_{variable}", f"value-of-{variable}")
    dumped = load(name).dumps()
    assert "CROSSALIGN_HOSTS" in dumped
    assert "CROSSALIGN_PASSWORD" in dumped
    assert "value-of-" not in dumped
    again, first = (yaml.safe_load(one) for one in (Pipeline.loads(dumped).dumps(), dumped))
    assert again["components"] == first["components"]


@pytest.mark.parametrize("name", NAMES)
def test_every_store_verifies_certificates_and_has_a_time_limit(name: str) -> None:
    def stores(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            if str(value.get("type", "")).endswith(".OpenSearchDocumentStore"):
                yield value["init_parameters"]
            for inner in value.values():
                yield from stores(inner)

    creating = {"index": [True], "upgrade": [False, True], "upgrade_model": [False, True]}
    found = list(stores(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))))
    assert found
    for store in found:
        assert store["verify_certs"] is True
        assert store["timeout"] > 0
    assert [store["create_index"] for store in found] == creating.get(name, [False] * len(found))


def test_addresses_are_split_at_commas_and_defaults_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSALIGN_HOSTS", "https://a:9200, https://b:9200")
    monkeypatch.delenv("CROSSALIGN_MODEL", raising=False)
    assert EnvironmentHosts("CROSSALIGN_HOSTS") == ["https://a:9200", "https://b:9200"]
    assert EnvironmentText("CROSSALIGN_MODEL", "m") == "m"
    with pytest.raises(InputError, match="CROSSALIGN_MODEL is not set"):
        EnvironmentText("CROSSALIGN_MODEL")
    assert EnvironmentText("CROSSALIGN_MODEL", "m").to_dict() == {
        "type": "haystack_crossalign.components.environment.EnvironmentText",
        "init_parameters": {"variable": "CROSSALIGN_MODEL", "default": "m"},
    }


def test_maps_are_split_at_commas_and_equals_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSALIGN_MODELS", " aligned = /models/aligned, 0123abcd=org/model ,")
    made = EnvironmentMap("CROSSALIGN_MODELS", "")
    assert made == {"aligned": "/models/aligned", "0123abcd": "org/model"}
    assert EnvironmentMap.from_dict(made.to_dict()) == made
    monkeypatch.delenv("CROSSALIGN_MODELS")
    assert EnvironmentMap("CROSSALIGN_MODELS", "") == {}
    with pytest.raises(InputError, match="CROSSALIGN_MODELS is not set"):
        EnvironmentMap("CROSSALIGN_MODELS")
    monkeypatch.setenv("CROSSALIGN_MODELS", "a=b,aligned")
    with pytest.raises(
        InputError, match="field 'CROSSALIGN_MODELS': no name and value; seen: 'aligned'; allowed: name"
    ):
        EnvironmentMap("CROSSALIGN_MODELS")


async def test_the_runner_of_lists_has_a_dictionary_and_runs_asynchronously(offline_model: str) -> None:
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    inner = Pipeline()
    inner.add_component("words", InMemoryBM25Retriever(InMemoryDocumentStore()))
    runner = QueryListRunner(pipeline=inner, depth=3)
    data = runner.to_dict()
    assert data == {
        "type": "haystack_crossalign.components.query_list.QueryListRunner",
        "init_parameters": {"pipeline": inner.to_dict(), "depth": 3},
    }
    assert await QueryListRunner.from_dict(data).run_async(["a", "b"]) == {"documents": [[], []]}
    with pytest.raises(InputError, match="holds no pipeline"):
        QueryListRunner.from_dict(data | {"init_parameters": {"pipeline": "query.yaml"}})
    lacking = Pipeline()
    lacking.add_component("words", inner.get_component("words").__class__(InMemoryDocumentStore()))
    writing = Pipeline()
    writing.add_component("embedder", CrossAlignTextEmbedder(model=offline_model))
    with pytest.raises(InputError, match="documents come out in 0 places"):
        QueryListRunner(pipeline=writing).run(["a"])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.usefixtures("indexed")
def test_hayhooks_serves_the_hybrid_search(opensearch: Any, offline_model: str, tmp_path: Path) -> None:
    folder, log = tmp_path / "served", tmp_path / "log"
    folder.mkdir()
    (folder / "search.yaml").write_text((FOLDER / "query_hybrid.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    port = free_port()
    environment = os.environ | {
        "CROSSALIGN_HOSTS": opensearch.url,
        "CROSSALIGN_INDEX": INDEX,
        "CROSSALIGN_MODEL": offline_model,
        "HAYSTACK_DESERIALIZATION_ALLOWLIST": "haystack_crossalign.*",
    }
    hayhooks = Path(sys.executable).with_name("hayhooks")
    command = [str(hayhooks), "run", "--host", "127.0.0.1", "--port", str(port), "--pipelines-dir", str(folder)]
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        assert "search" in wait_for(f"{url}/status", server, log)["pipelines"]
        answer = call(f"{url}/search/run", {"query": QUERY})
        assert answer["result"]["joiner"]["documents"][0]["id"] == "zh:1", answer
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> Any:
    deadline = time.monotonic() + 120
    while True:
        try:
            return call(url)
        except (urllib.error.URLError, OSError):
            said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
            assert server.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.3)


def call(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return json.loads(answer.read())
