"""Indices that Haystack did not write, audited by the command and held against ranks of numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from live_audit import LANGUAGES, parallel_documents
from live_command import Finished
from live_judged import INDEX, audit, judged, ranks_in_numpy, ranks_in_result
from query_pipelines import KNN_KIND, STORE

Documents = dict[str, dict[str, Any]]
NAMES = [f"{INDEX}-{language}" for language in LANGUAGES]
MAP = ",".join(f"{name}={language}" for name, language in zip(NAMES, LANGUAGES, strict=True))


def documents_of(chunks: int) -> Documents:
    """Documents in all languages; every third content alone belongs to a group."""
    documents = parallel_documents(chunks=chunks)
    for document in documents.values():
        group = int(document.pop("group")[1:])
        if group % 3 == 0:
            document["parallel_id"] = f"g{group}"
    return documents


def expected_and_audited(
    server: Any, folder: Path, documents: Documents, *arguments: str
) -> tuple[dict[str, Any], Finished]:
    """Ranks in numpy, and the audit whose exact and live ranks are those."""
    queries = judged(folder / "queries.jsonl", documents)
    expected = ranks_in_numpy(documents, queries)
    finished = audit(server, folder, "--quiet", *arguments)
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert ranks_in_result(finished.result, "exact") == ranks_in_result(finished.result, "live") == expected
    return finished.result, finished


@pytest.fixture
def alias(opensearch: Any) -> Iterator[str]:
    """An alias over the indices of `NAMES`, once a test has made them."""
    yield "audit-tongues"
    for name in NAMES:
        opensearch.request("DELETE", f"/{name}")


def per_language(server: Any, indexing: Any, alias: str, documents: Documents, **more: dict[str, Any]) -> None:
    """One index for each language behind an alias; documents do not say their language."""
    for name, language in zip(NAMES, LANGUAGES, strict=True):
        mapping = indexing.mapping(12)
        del mapping["properties"]["language"], mapping["properties"]["group"]
        mapping["properties"] |= {"parallel_id": {"type": "keyword"}, **more.get(language, {})}
        part = {
            identifier: {key: value for key, value in one.items() if key != "language"}
            for identifier, one in documents.items()
            if one["language"] == language
        }
        indexing.create(server, name, part, mapping)
    actions = [{"add": {"index": name, "alias": alias}} for name in NAMES]
    server.request("POST", "/_aliases", {"actions": actions})


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("written", [MAP, "*-ar=ar,*-en=en,*=zh"])
def test_one_index_per_language_behind_an_alias(
    opensearch: Any, indexing: Any, alias: str, tmp_path: Path, chunks: int, written: str
) -> None:
    documents = documents_of(chunks)
    per_language(opensearch, indexing, alias, documents)
    arguments = ["--index", alias, "--language-field", "_index", "--language-map", written]
    result, _ = expected_and_audited(opensearch, tmp_path, documents, *arguments)
    assert {row["query_language"] for row in result["rows"]} == set(LANGUAGES)
    if chunks == 1:
        # Pools of single languages are made by the names of indices.
        finished = audit(opensearch, tmp_path, "--quiet", *arguments, "--scenario", "mono-same")
        assert (finished.code, finished.message) == (0, "")
        assert finished.result is not None
        assert {row["pool_size"] for row in finished.result["rows"]} == {len(documents) // len(LANGUAGES)}


def test_a_language_that_is_constant_in_each_index(opensearch: Any, indexing: Any, alias: str, tmp_path: Path) -> None:
    documents = documents_of(1)
    fields = {language: {"language": {"type": "constant_keyword", "value": language}} for language in LANGUAGES}
    per_language(opensearch, indexing, alias, documents, **fields)
    expected_and_audited(opensearch, tmp_path, documents, "--index", alias)
    finished = audit(opensearch, tmp_path, "--quiet", "--index", alias, "--scenario", "mono-same")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert {row["pool_size"] for row in finished.result["rows"]} == {len(documents) // len(LANGUAGES)}


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("kind", ["long", "unsigned_long", "flat_object"])
def test_groups_may_be_numbers_or_lie_in_a_flat_object(
    opensearch: Any, indexing: Any, tmp_path: Path, chunks: int, kind: str
) -> None:
    documents = documents_of(chunks)
    mapping = indexing.mapping(12)
    field = "meta.content" if kind == "flat_object" else "content_number"
    mapping["properties"][field.partition(".")[0]] = {"type": kind}
    stored = {}
    for name, one in documents.items():
        stored[name] = {key: value for key, value in one.items() if key != "parallel_id"}
        number = int(one["parallel_id"][1:]) if "parallel_id" in one else None
        if kind == "flat_object":
            # Other paths of the object hold the same values for all documents.
            stored[name]["meta"] = {"source": "g0", **({} if number is None else {"content": f"g{number}"})}
        elif number is not None:
            stored[name][field] = number + (2**63 if kind == "unsigned_long" else 0)
    indexing.create(opensearch, INDEX, stored, mapping)
    expected_and_audited(opensearch, tmp_path, documents, "--group-field", field)


@pytest.mark.parametrize("chunks", [1, 3])
def test_documents_in_several_languages_are_a_language_of_their_own(
    opensearch: Any, indexing: Any, tmp_path: Path, chunks: int
) -> None:
    documents = documents_of(chunks)
    mixed = [name for name in documents if name.split("-")[1] in {"0", "4"} and name.startswith("ar")]
    stored = {name: {**one, "language": ["ar", "en"]} if name in mixed else one for name, one in documents.items()}
    mapping = indexing.mapping(12)
    mapping["properties"]["parallel_id"] = {"type": "keyword"}
    indexing.create(opensearch, INDEX, stored, mapping)
    counted = {name: {**one, "language": "mul"} if name in mixed else one for name, one in documents.items()}
    result, _ = expected_and_audited(opensearch, tmp_path, counted)
    assert result["live"]["pool"]["by_language"]["mul"] == len(mixed)
    assert (
        f"{len(mixed)} documents have several languages and count as 'mul', a language of its own"
        in (result["live"]["warnings"])
    )
    finished = audit(opensearch, tmp_path, "--quiet", "--languages", "ar,en", "--no-expand-groups")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert finished.result["rows"][0]["pool_languages"] == ["ar", "en"]
    whole = {name for name, one in counted.items() if one["language"] in {"ar", "en"}}
    units = {(counted[name].get("parallel_id", name), counted[name]["language"]) for name in whole}
    assert finished.result["rows"][0]["pool_size"] == len(units)


def test_a_data_stream(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    documents = documents_of(1)
    mapping = indexing.mapping(12)
    mapping["properties"] |= {"parallel_id": {"type": "keyword"}, "@timestamp": {"type": "date"}}
    template = {"settings": {"index.knn": True, "number_of_shards": 2, "number_of_replicas": 0}, "mappings": mapping}
    opensearch.request("PUT", "/_index_template/audit-stream", {
        "index_patterns": ["audit-stream*"], "data_stream": {}, "template": template,
    })  # fmt: skip
    opensearch.request("PUT", "/_data_stream/audit-stream")
    lines: list[dict[str, Any]] = []
    for number, (name, one) in enumerate(documents.items()):
        if number == len(documents) // 2:
            answer = opensearch.request("POST", "/audit-stream/_bulk?refresh=true", lines)
            assert not answer["errors"]
            opensearch.request("POST", "/audit-stream/_rollover")
            lines = []
        lines += [{"create": {"_id": name}}, {**one, "@timestamp": "2026-01-01T00:00:00Z"}]
    assert not opensearch.request("POST", "/audit-stream/_bulk?refresh=true", lines)["errors"]
    try:
        result, _ = expected_and_audited(opensearch, tmp_path, documents, "--index", "audit-stream")
    finally:
        opensearch.request("DELETE", "/_data_stream/audit-stream")
        opensearch.request("DELETE", "/_index_template/audit-stream")
    assert len(result["live"]["snapshot"]["before"]["indices"]) == 2


@pytest.mark.parametrize("content", ["text", "keyword"])
def test_texts_outside_of_the_stored_document(opensearch: Any, indexing: Any, tmp_path: Path, content: str) -> None:
    documents = documents_of(1)
    mapping = indexing.mapping(12)
    mapping["_source"] = {"enabled": False}
    mapping["properties"] |= {
        "parallel_id": {"type": "keyword"},
        "content": {"type": "text", "store": True} if content == "text" else {"type": "keyword"},
    }
    indexing.create(opensearch, INDEX, documents, mapping)
    result, _ = expected_and_audited(opensearch, tmp_path, documents)
    shown = result["documents"]
    assert len(shown) > len(LANGUAGES)
    assert {name: one["text"] for name, one in shown.items()} == {name: documents[name]["content"] for name in shown}


def test_without_any_stored_text_the_numbers_are_there(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    documents = documents_of(1)
    mapping = indexing.mapping(12)
    mapping["_source"] = {"enabled": False}
    mapping["properties"] |= {"parallel_id": {"type": "keyword"}, "content": {"type": "text"}}
    indexing.create(opensearch, INDEX, documents, mapping)
    result, _ = expected_and_audited(opensearch, tmp_path, documents)
    assert len(result["documents"]) > len(LANGUAGES)
    assert not any(one.get("text") for one in result["documents"].values())


@pytest.mark.parametrize("written", ["docs", "=de", "docs=", "docs=klingonisch", "docs=de,docs=en", "docs=de,,"])
def test_a_map_that_is_none_is_one_message(opensearch: Any, indexing: Any, tmp_path: Path, written: str) -> None:
    indexing.create(opensearch, INDEX, {}, indexing.mapping(12))
    judged(tmp_path / "queries.jsonl", documents_of(1))
    finished = audit(opensearch, tmp_path, "--language-map", written)
    assert finished.code == 2
    (line,) = finished.message.splitlines()
    assert "--language-map" in line


def test_names_that_stand_for_no_language_are_told(opensearch: Any, indexing: Any, alias: str, tmp_path: Path) -> None:
    documents = documents_of(1)
    per_language(opensearch, indexing, alias, documents)
    judged(tmp_path / "queries.jsonl", documents)
    fields = ["--language-field", "_index", "--language-map", f"{NAMES[0]}=ar,{NAMES[1]}=en"]
    finished = audit(opensearch, tmp_path, "--quiet", "--index", alias, *fields)
    assert finished.code == 0
    assert finished.result is not None
    live = finished.result["live"]
    assert f"field '_index' holds values that name no language ('{NAMES[2]}')" in str(live["warnings"])
    # Their texts are sampled all the same: all say that they are in Chinese, in English.
    count = live["pool"]["by_language"]["und"]
    assert count == sum(document["language"] == "zh" for document in documents.values())
    detected = live["languages_detected"]
    assert (detected["documents"], detected["sampled"], detected["by_language"]) == (count, count, {"en": count})
    assert "(field '_index' names no language)" in detected["note"]


@pytest.mark.parametrize("own", [None, "other", "same"])
def test_a_pipeline_is_joined_by_the_ids_of_the_index(
    opensearch: Any, indexing: Any, tmp_path: Path, own: str | None
) -> None:
    documents = documents_of(1)
    stored = {name: {**one, **({} if own is None else {"id": name if own == "same" else f"x{number}"})}
              for number, (name, one) in enumerate(documents.items())}  # fmt: skip
    mapping = indexing.mapping(12)
    mapping["properties"] |= {"parallel_id": {"type": "keyword"}, "id": {"type": "keyword"}}
    indexing.create(opensearch, INDEX, stored, mapping)
    store = {"type": STORE, "init_parameters": {"index": INDEX}}
    retriever = {"type": KNN_KIND, "init_parameters": {"top_k": 3, "document_store": store}}
    file = tmp_path / "query.yaml"
    file.write_text(yaml.safe_dump({"components": {"retriever": retriever}, "connections": []}), encoding="utf-8")
    expected_and_audited(opensearch, tmp_path, documents, "--pipeline", str(file))
