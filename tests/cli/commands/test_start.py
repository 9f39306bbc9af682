"""`crossalign init` and `crossalign index`, on a real server."""

from __future__ import annotations

import copy
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from requirements import ROOT, require
from tiny_models import write_tiny_model

from haystack_crossalign.api import indexing as indexing_module
from haystack_crossalign.opensearch.connection.settings import read_settings
from haystack_crossalign.pipelines.file import load_pipeline

SHOP, DOCUMENTS = "start-shop", 6


@pytest.fixture(scope="module")
def shop(opensearch: Any, indexing: Any) -> str:
    """An index none of whose fields has its default name."""
    mapping = {
        "properties": {
            "vec": indexing.mapping(4)["properties"]["embedding"],
            "meta": {
                "properties": {
                    "lang": {"type": "text", "fields": {"keyword": {"type": "keyword"}}},
                    "article_id": {"type": "integer"},
                }
            },
            "body": {"type": "text"},
            "title": {"type": "text"},
            "permalink": {"type": "keyword"},
        }
    }
    documents = {
        f"{tag}{number}": {
            "vec": [1.0, float(number), float(tag == "de"), 1.0],
            "meta": {"lang": tag, "article_id": number},
            "body": f"text {number} in {tag}",
            "title": f"title {number}",
        }
        for number in range(3)
        for tag in ("en", "de")
    }
    indexing.create(opensearch, SHOP, documents, mapping)
    return SHOP


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_finds_the_fields_and_writes_a_profile_that_is_read_again(
    crossalign: Any, opensearch: Any, shop: str, folder: Path
) -> None:
    done = crossalign("init", "--index", shop, "--hosts", opensearch.url, "--profile", "shop", "--timeout", "7")
    assert done.code == 0, done.out + done.err
    assert "group_field = meta.article_id" in done.out
    assert f"'{shop}' can be audited" in done.out
    written = tomllib.loads((folder / "crossalign.toml").read_text("utf-8"))
    assert written == {
        "profiles": {
            "shop": {
                "hosts": [opensearch.url], "index": shop, "embedding_field": "vec",
                "language_field": "meta.lang.keyword", "group_field": "meta.article_id", "content_field": "body",
                "title_field": "title", "url_field": "permalink", "timeout": 7.0,
            }
        }
    }  # fmt: skip
    settings = read_settings("shop", {}, {}, folder)
    assert (settings.index, settings.group_field, settings.timeout) == (shop, "meta.article_id", 7.0)
    # And by the next command.
    assert crossalign("doctor", "--index", "shop").code == 0


def test_init_overwrites_only_what_it_is_told_to(crossalign: Any, opensearch: Any, shop: str, folder: Path) -> None:
    file = folder / "crossalign.toml"
    before = (
        f'# ours\n[profiles."{shop}"]\nhosts = ["http://old:1"]\n\n# another\n[profiles.other]\nhosts = "http://x:1"\n'
    )
    file.write_text(before, encoding="utf-8")
    arguments = ["init", "--index", shop, "--hosts", opensearch.url, "--content-field", "title"]
    refused = crossalign(*arguments)
    assert refused.code == 2
    assert "a profile of this name already exists; allowed: --overwrite" in refused.err
    assert file.read_text("utf-8") == before
    done = crossalign(*arguments, "--overwrite")
    assert done.code == 0, done.out + done.err
    text = file.read_text("utf-8")
    assert text.startswith("# ours\n[profiles.start-shop]\n")
    assert text.endswith('\n# another\n[profiles.other]\nhosts = "http://x:1"\n')
    # What the user names stays, also where another field has a more usual name.
    assert tomllib.loads(text)["profiles"][shop]["content_field"] == "title"
    second = crossalign(*arguments, "--profile", "second one")
    assert second.code == 0, second.err
    assert file.read_text("utf-8").startswith(text)
    assert set(tomllib.loads(file.read_text("utf-8"))["profiles"]) == {shop, "other", "second one"}


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--index", "nowhere-at-all"], 2, "no such index [nowhere-at-all]"),
        (["--index", SHOP, "--hosts", "http://me:secret@127.0.0.1:9"], 2, "--hosts"),
        (["--index", SHOP, "--hosts", "http://127.0.0.1:9"], 3, "no connection"),
        (["--index", SHOP, "--embedding-field", "body"], 2, "missing"),
    ],
)
def test_init_writes_nothing_where_the_index_cannot_be_read(
    crossalign: Any, opensearch: Any, shop: str, folder: Path, more: list[str], code: int, message: str
) -> None:
    done = crossalign("init", "--hosts", opensearch.url, *[shop if part == SHOP else part for part in more])
    assert done.code == code
    assert message in " ".join((done.out + done.err).split())
    assert "secret" not in done.out + done.err
    # A profile of an index that cannot be audited yet is of use: what is missing is told, and can be corrected there.
    assert (folder / "crossalign.toml").exists() == ("--embedding-field" in more)


def test_init_keeps_secrets_out_of_the_file(
    crossalign: Any, secure_opensearch: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSALIGN_PASSWORD", secure_opensearch.password)
    secure_opensearch.request("PUT", "/init-secure", {"mappings": {"properties": {"content": {"type": "text"}}}})
    authority = secure_opensearch.certificates.authority
    (folder / "ca.pem").write_bytes(Path(authority).read_bytes())
    done = crossalign("init", "--index", "init-secure", "--hosts", secure_opensearch.url, "--user", "admin",
                      "--ca-file", "ca.pem")  # fmt: skip
    text = (folder / "crossalign.toml").read_text("utf-8")
    assert secure_opensearch.password not in text + done.out + done.err
    assert (tomllib.loads(text)["profiles"]["init-secure"]["user"], 'ca_file = "ca.pem"' in text) == ("admin", True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def write_rows(folder: Path, **changes: Any) -> Path:
    rows = [
        {"id": f"{tag}{number}", "text": f"w{number} w{number + 9} and more of it", "lang": tag, "group": f"g{number}",
         "title": f"title {number}", "year": 2000 + number}
        for number in range(DOCUMENTS // 2)
        for tag in ("en", "de")
    ]  # fmt: skip
    rows[1] |= changes
    file = folder / "documents.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def write(crossalign: Any, opensearch: Any, model: Path, folder: Path) -> Any:  # noqa: ARG001
    def run(index: str, file: Path, *more: object, hosts: str = opensearch.url) -> Any:
        fields = ["--language-field", "lang", "--group-field", "group"]
        return crossalign("index", file, "--index", index, "--hosts", hosts, "--model", model, *fields, *more)

    return run


@pytest.fixture
def fresh(opensearch: Any) -> str:
    """A name that no index has."""
    if opensearch.request("GET", "/_cat/indices/start-new*?format=json"):
        opensearch.request("DELETE", "/start-new")
    return "start-new"


def test_documents_are_written_with_vectors_and_the_index_can_be_audited(
    write: Any, crossalign: Any, opensearch: Any, model: Path, fresh: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing_module, "_BATCH", 4)  # none is lost between one batch and the next

    def own() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith("CROSSALIGN")}

    environment = own()
    done = write(fresh, write_rows(folder))
    assert done.code == 0, done.err
    assert f"Writing {DOCUMENTS} documents to '{fresh}' at {opensearch.url}, which is created" in done.out
    assert f"Written: {DOCUMENTS} of {DOCUMENTS}; failed: 0" in done.out
    assert own() == environment
    mapping = opensearch.request("GET", f"/{fresh}")[fresh]["mappings"]
    assert mapping["properties"]["embedding"]["dimension"] == 16
    assert mapping["_meta"]["crossalign"]["model"]["dimension"] == 16
    (hit,) = opensearch.request("POST", f"/{fresh}/_search", {"query": {"ids": {"values": ["de2"]}}})["hits"]["hits"]
    source = hit["_source"]
    expected = {"language": "de", "parallel_id": "g2", "title": "title 2", "year": 2002}
    assert {key: source[key] for key in expected} == expected
    assert source["content"] == "w2 w11 and more of it"
    audit = crossalign("doctor", "--index", fresh, "--hosts", opensearch.url, "--model", model)
    assert audit.code == 0, audit.out
    assert "the index names it" in audit.out
    again = write(fresh, write_rows(folder))
    assert f"which holds {DOCUMENTS} documents" in again.out
    assert opensearch.request("GET", f"/{fresh}/_count")["count"] == DOCUMENTS


def test_fields_of_the_stored_names_are_not_those_that_were_chosen(
    write: Any, opensearch: Any, fresh: str, folder: Path
) -> None:
    rows = [
        {"id": "a", "text": "Guten Morgen, wie geht es Ihnen heute an diesem Tag?", "language": "Klingon",
         "parallel_id": "wrong"},
        {"id": "b", "text": "w1 w2", "lang": "fr", "group": "g", "language": "German", "parallel_id": "wrong"},
    ]  # fmt: skip
    file = folder / "documents.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = write(fresh, file)
    assert done.code == 0, done.err
    hits = opensearch.request("POST", f"/{fresh}/_search", {"sort": "_id"})["hits"]["hits"]
    stored = [(hit["_source"].get("language"), hit["_source"].get("parallel_id")) for hit in hits]
    assert stored == [("de", None), ("fr", "g")]


def test_documents_that_the_cluster_refuses_are_counted(write: Any, fresh: str, folder: Path) -> None:
    assert write(fresh, write_rows(folder), "--quiet").out == ""
    done = write(fresh, write_rows(folder, id="wrong", year="not a number"))
    assert done.code == 3
    assert f"Written: {DOCUMENTS - 1} of {DOCUMENTS}; failed: 1" in done.out
    assert f"1 of {DOCUMENTS} documents were not written: 'wrong': mapper_parsing_exception" in done.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ""}, "documents.jsonl, line 2, field 'text': empty text"),
        ({"lang": "no-such-language"}, "documents.jsonl, line 2, field 'lang'"),
        ({"id": "en0"}, "documents.jsonl, line 2, field 'id': duplicate id (first on line 1)"),
    ],
)
def test_nothing_is_written_of_a_file_with_a_wrong_line(
    write: Any, opensearch: Any, fresh: str, folder: Path, changes: dict[str, Any], message: str
) -> None:
    done = write(fresh, write_rows(folder, **changes))
    assert done.code == 2
    assert message in done.err
    assert opensearch.request("GET", "/_cat/indices/start-new*?format=json") == []


def test_an_index_of_another_mapping_or_model_is_refused(
    write: Any, opensearch: Any, indexing: Any, shop: str, folder: Path
) -> None:
    other = write(shop, write_rows(folder))
    assert other.code == 2
    assert (
        "'embedding': the index has another mapping than the pipeline would create; seen: 'no such field'" in other.err
    )
    assert opensearch.request("GET", f"/{shop}/_count")["count"] == 6
    mapping = indexing.mapping(16) | {"_meta": {"crossalign": {"model": {"name": "another", "sha256": "0"}}}}
    mapping["properties"]["parallel_id"] = {"type": "keyword"}
    indexing.create(opensearch, "start-model", {}, mapping)
    foreign = write("start-model", write_rows(folder))
    assert foreign.code == 2
    assert "is an index of 'another'" in foreign.err
    assert opensearch.request("GET", "/start-model/_count")["count"] == 0


def test_documents_are_embedded_by_openvino_where_it_is_asked_for(
    write: Any, opensearch: Any, fresh: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("openvino")
    monkeypatch.setenv("CROSSALIGN_CACHE", str(folder / "cache"))
    vectors = []
    for backend in ([], ["--backend", "openvino"]):
        assert write(fresh, write_rows(folder), "--quiet", *backend).code == 0
        hits = opensearch.request("POST", f"/{fresh}/_search", {"size": DOCUMENTS, "sort": "_id"})["hits"]["hits"]
        vectors.append([hit["_source"]["embedding"] for hit in hits])
        assert bool(list(folder.rglob("cache/**/*.xml"))) == bool(backend)
        opensearch.request("DELETE", f"/{fresh}")
    assert len(vectors[0]) == DOCUMENTS
    for row, other in zip(*vectors, strict=True):
        assert row == pytest.approx(other, abs=0.01)
    wrong = write(fresh, write_rows(folder), "--backend", "onnx")
    assert wrong.code == 2
    assert "field 'backend': not supported; seen: 'onnx'; allowed: torch, openvino" in wrong.err


@pytest.mark.parametrize(
    ("name", "value", "more", "message"),
    [
        ("index", "elsewhere", (), "field 'index': the pipeline writes to another index; seen: 'elsewhere'; allowed: "),
        ("hosts", ["http://127.0.0.1:9/"], (), "field 'hosts': the pipeline writes to another cluster; seen: 'http://"),
        ("model", "MODEL", (), "--model: the pipeline own.yaml does not read it; allowed: an embedder that takes it"),
        (
            "timeout",
            60,
            ("--timeout", "5"),
            "--timeout: the pipeline has its own; allowed: the timeout of its document",
        ),
        ("backend", "torch", ("--backend", "torch"), "--backend: the pipeline own.yaml does not read it; allowed: "),
    ],
)
def test_a_pipeline_that_would_write_elsewhere_or_leave_an_option_unread_is_refused(
    write: Any, opensearch: Any, model: Path, fresh: str, folder: Path, name: str, value: Any, more: Any, message: str
) -> None:
    file = folder / "own.yaml"
    text = yaml.safe_load((ROOT / "pipelines" / "index.yaml").read_text(encoding="utf-8"))
    store = text["components"]["writer"]["init_parameters"]["document_store"]["init_parameters"]
    for part in (text["components"]["embedder"], text["components"]["writer"]["init_parameters"]["embedder"]):
        if name in part["init_parameters"]:
            part["init_parameters"][name] = str(model) if value == "MODEL" else value
    # The tiny model has 16 dimensions, and a pipeline of one's own says so itself.
    store["embedding_dim"] = store["mappings"]["properties"]["embedding"]["dimension"] = 16
    own = copy.deepcopy(text)
    if name in store:
        store[name] = value
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    done = write(fresh, write_rows(folder), "--pipeline", file, *more)
    assert done.code == 2
    assert f"own.yaml, {message}" in done.err if name in ("index", "hosts") else message in done.err
    assert opensearch.request("GET", "/_cat/indices/start-new*,elsewhere*?format=json") == []
    if name == "index":
        own["components"]["writer"]["init_parameters"]["document_store"]["init_parameters"]["index"] = fresh
        file.write_text(yaml.safe_dump(own), encoding="utf-8")
        assert write(fresh, write_rows(folder), "--pipeline", file).code == 0
        assert opensearch.request("GET", f"/{fresh}/_count")["count"] == DOCUMENTS


def test_the_timeout_of_the_command_is_that_of_the_writes(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSALIGN_HOSTS", "http://127.0.0.1:9")
    monkeypatch.setenv("CROSSALIGN_INDEX", "any")
    monkeypatch.setenv("CROSSALIGN_MODEL", str(model))
    file = indexing_module.read_indexing_file(indexing_module.default_pipeline())
    made, ready = indexing_module.with_dimension_and_timeout(file, timeout=5)
    pipeline = load_pipeline(made, components=ready)
    store = pipeline.get_component("writer").document_store
    assert store.to_dict()["init_parameters"]["timeout"] == 5
    assert store.to_dict()["init_parameters"]["embedding_dim"] == 16


def test_a_login_that_the_pipeline_lacks_is_not_offered_and_one_of_the_settings_is_named(
    write: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in ("--token-file", "--api-key-file", "--client-certificate", "--client-key", "--aws-region"):
        done = write("start-new", write_rows(folder), option, "any")
        assert (done.code, f"no such option: {option}" in done.err.lower()) == (2, True), done.err
    done = write("start-new", write_rows(folder), "--insecure")
    assert (done.code, "no such option: --insecure" in done.err.lower()) == (2, True), done.err
    done = write("start-new", write_rows(folder), "--auth", "bearer")
    assert done.code == 2
    assert "--auth: an indexing pipeline in YAML says itself how to log in" in done.err
    monkeypatch.setenv("CROSSALIGN_TOKEN_FILE", "token")
    done = write("start-new", write_rows(folder))
    assert done.code == 2
    assert "--token-file: an indexing pipeline in YAML says itself how to log in" in done.err
