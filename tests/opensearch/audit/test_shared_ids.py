"""Aliases and data streams whose indices hold the same ids: each document counts, held against ranks of numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from doctor_helpers import examined, found
from live_audit import LANGUAGES, parallel_documents, write_queries
from live_command import Finished
from live_judged import audit, ranks_in_numpy, ranks_in_result
from query_pipelines import KNN_KIND, STORE

from haystack_crossalign.opensearch.connection.settings import LiveSettings

ALIAS = "audit-twins"
NAMES = {language: f"audit-twin-{language}" for language in LANGUAGES}
MAP = ",".join(f"{name}={language}" for language, name in NAMES.items())
FIELDS = ["--index", ALIAS, "--language-field", "_index", "--language-map", MAP]
Documents = dict[str, dict[str, Any]]


def documents_by_name(grouped: bool, chunks: int = 1) -> Documents:
    """The same ids in the index of every language, by index and id; with groups or without any."""
    documents: Documents = {}
    for name, one in parallel_documents(chunks=chunks).items():
        language, _, identifier = name.partition("-")
        group = one.pop("group")
        documents[f"{NAMES[language]}/{identifier}"] = {**one, **({"parallel_id": group} if grouped else {})}
    return documents


def write_indices(server: Any, indexing: Any, documents: Documents) -> None:
    for language, name in NAMES.items():
        mapping = indexing.mapping(12)
        del mapping["properties"]["language"], mapping["properties"]["group"]
        mapping["properties"]["parallel_id"] = {"type": "keyword"}
        part = {
            key.partition("/")[2]: {field: value for field, value in one.items() if field != "language"}
            for key, one in documents.items()
            if one["language"] == language
        }
        indexing.create(server, name, part, mapping)
    actions = [{"add": {"index": name, "alias": ALIAS}} for name in NAMES.values()]
    server.request("POST", "/_aliases", {"actions": actions})


@pytest.fixture
def _cleaned(opensearch: Any) -> Iterator[None]:
    yield
    for name in NAMES.values():
        opensearch.request("DELETE", f"/{name}")


def judged(folder: Path, documents: Documents, *, named: bool = True) -> list[dict[str, Any]]:
    """Each query names all documents of its content, by index and id or by the id alone."""
    path = folder / "queries.jsonl"
    queries = [json.loads(line) for line in write_queries(path).read_text(encoding="utf-8").splitlines()]
    for query in queries:
        content = query.pop("group")[1:]
        query["relevant"] = [name for name in documents if name.partition("/")[2].partition("-")[0] == content]
    written = [query if named else {**query, "relevant": [query["relevant"][0].partition("/")[2]]} for query in queries]
    path.write_text("".join(json.dumps(query) + "\n" for query in written), encoding="utf-8")
    return queries


def result_of(finished: Finished) -> dict[str, Any]:
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    return finished.result


@pytest.mark.usefixtures("_cleaned")
@pytest.mark.parametrize(("grouped", "chunks"), [(False, 1), (True, 1), (True, 2)])
def test_the_same_ids_in_the_index_of_every_language(
    opensearch: Any, indexing: Any, tmp_path: Path, grouped: bool, chunks: int
) -> None:
    documents = documents_by_name(grouped, chunks)
    write_indices(opensearch, indexing, documents)
    queries = judged(tmp_path, documents)
    result = result_of(audit(opensearch, tmp_path, "--quiet", *FIELDS))
    expected = ranks_in_numpy(documents, queries)
    assert ranks_in_result(result, "exact") == ranks_in_result(result, "live") == expected
    told = [warning for warning in result["live"]["warnings"] if "share ids" in warning]
    assert len(told) == 1
    # All documents of a query's content are in the result, so that every one is shown with its index.
    shown = {name for name in result["documents"] if name in documents}
    assert {documents[name]["content"] for name in shown} == {result["documents"][name]["text"] for name in shown}
    assert {name for example in result["examples"] for name in example["relevant"]} <= shown
    # The doctor says the same, and that it is no hindrance.
    settings = LiveSettings(hosts=(opensearch.url,), index=ALIAS, language_field="_index", language_map=MAP)
    diagnosis = examined(settings, {})
    assert found(diagnosis)["ids"] == ("warning", told[0])


@pytest.mark.usefixtures("_cleaned")
def test_an_id_that_several_indices_hold_is_refused_by_name_or_left_out(
    opensearch: Any, indexing: Any, tmp_path: Path
) -> None:
    documents = documents_by_name(False)
    write_indices(opensearch, indexing, documents)
    alone = {**documents[f"{NAMES['en']}/3"], "embedding": [0.1 * number - 0.5 for number in range(12)]}
    stored = {key: value for key, value in alone.items() if key != "language"}
    opensearch.request("PUT", f"/{NAMES['en']}/_doc/alone?refresh=true", stored)
    judged(tmp_path, documents, named=False)
    finished = audit(opensearch, tmp_path, *FIELDS)
    assert finished.code == 2
    (line,) = finished.message.splitlines()
    assert "line 1" in line
    assert "names a document by an id that 3 of the indices hold" in line
    names = [f"'{name}/0'" for name in sorted(NAMES.values())]
    assert f"the index and the id: {names[0]}, {names[1]} or {names[2]}" in line
    path = tmp_path / "queries.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows[:6]:
        row["relevant"] = ["alone"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    kept = audit(opensearch, tmp_path, "--quiet", "--skip-invalid", *FIELDS)
    assert kept.code == 0
    assert kept.result is not None
    assert sorted(set(kept.result["queries"]["id"])) == sorted(row["id"] for row in rows[:6])
    every = {**documents, f"{NAMES['en']}/alone": alone}
    expected = ranks_in_numpy(every, [{**row, "relevant": [f"{NAMES['en']}/alone"]} for row in rows[:6]])
    assert ranks_in_result(kept.result, "exact") == expected


def test_an_old_state_that_a_rollover_left_behind_counts_as_users_find_it(
    opensearch: Any, indexing: Any, tmp_path: Path
) -> None:
    """In a data stream an update by id writes a second document; here into the next index."""
    stream = "audit-twin-stream"
    mapping = indexing.mapping(12)
    mapping["properties"] |= {"parallel_id": {"type": "keyword"}, "@timestamp": {"type": "date"}}
    template = {"settings": {"index.knn": True, "number_of_replicas": 0}, "mappings": mapping}
    opensearch.request("PUT", f"/_index_template/{stream}", {
        "index_patterns": [f"{stream}*"], "data_stream": {}, "template": template,
    })  # fmt: skip
    documents = {name: {k: v for k, v in one.items() if k != "group"} for name, one in parallel_documents().items()}
    newer = {name: {**one, "embedding": [2 * x + 0.1 for x in one["embedding"]]} for name, one in documents.items()}
    newer = {name: newer[name] for name in ("ar-0", "en-5", "zh-7")}
    try:
        opensearch.request("PUT", f"/_data_stream/{stream}")
        for part in (documents, newer):
            lines: list[dict[str, Any]] = []
            for name, one in part.items():
                lines += [{"create": {"_id": name}}, {**one, "@timestamp": "2026-01-01T00:00:00Z"}]
            assert not opensearch.request("POST", f"/{stream}/_bulk?refresh=true", lines)["errors"]
            if part is documents:
                opensearch.request("POST", f"/{stream}/_rollover")
        backing = sorted(opensearch.request("GET", f"/{stream}/_mapping"))
        every = {f"{backing[0]}/{name}": one for name, one in documents.items()}
        every |= {f"{backing[1]}/{name}": one for name, one in newer.items()}
        queries = [json.loads(line) for line in write_queries(tmp_path / "queries.jsonl").read_text().splitlines()]
        for query in queries:
            content = query.pop("group")[1:]
            query["relevant"] = [name for name in every if name.partition("/")[2].partition("-")[2] == content]
        # Ids that one index holds may be written without the index.
        plain = [
            {**query, "relevant": [one.partition("/")[2] if one.partition("/")[2] not in newer else one
                                   for one in query["relevant"]]}
            for query in queries
        ]  # fmt: skip
        (tmp_path / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in plain), encoding="utf-8")
        qrels = tmp_path / "judged.qrels"
        result = result_of(audit(opensearch, tmp_path, "--quiet", "--index", stream, "--qrels-out", str(qrels)))
        expected = ranks_in_numpy(every, queries)
        assert ranks_in_result(result, "exact") == ranks_in_result(result, "live") == expected
        # What is written can be read again.
        again = result_of(audit(opensearch, tmp_path, "--quiet", "--index", stream, "--qrels", str(qrels)))
        assert ranks_in_result(again, "exact") == expected
        relevant = {name for example in result["examples"] for name in example["relevant"]}
        assert {name for name in relevant if name.startswith(".ds-")} <= set(every)
        assert all("/" not in name or name.partition("/")[2] in newer for name in relevant)
    finally:
        opensearch.request("DELETE", f"/_data_stream/{stream}")
        opensearch.request("DELETE", f"/_index_template/{stream}")


@pytest.mark.usefixtures("_cleaned")
def test_a_pipeline_is_joined_by_index_and_id(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    documents = documents_by_name(True)
    write_indices(opensearch, indexing, documents)
    queries = judged(tmp_path, documents)
    store = {"type": STORE, "init_parameters": {"index": ALIAS}}
    retriever = {"type": KNN_KIND, "init_parameters": {"top_k": 3, "document_store": store}}
    file = tmp_path / "query.yaml"
    file.write_text(yaml.safe_dump({"components": {"retriever": retriever}, "connections": []}), encoding="utf-8")
    result = result_of(audit(opensearch, tmp_path, "--quiet", *FIELDS, "--pipeline", str(file)))
    assert ranks_in_result(result, "live") == ranks_in_numpy(documents, queries)
