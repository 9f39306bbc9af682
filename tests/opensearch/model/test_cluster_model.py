"""Models inside the cluster: queries that it embeds, requests that it answers, held against the same model here."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doctor_helpers import examined, found
from live_command import Finished, run_command
from live_judged import ranks_in_numpy, ranks_in_result
from local_servers import Received, http_server
from model_cluster import ModelCluster

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.read_only import WriteRefusedError
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.model.cluster_model import ClusterModel

INDEX, SEMANTIC = "models-dense", "models-semantic"
HELD = "content_semantic_info.embedding"
TEXTS = {
    "en": ["The river flows into the sea.", "Bread is baked in the oven.", "The doctor works in a hospital.",
           "The train leaves in the morning.", "Rain falls on the roof.", "She plays the violin."],
    "de": ["Der Fluss mündet ins Meer.", "Brot wird im Ofen gebacken.", "Die Ärztin arbeitet im Krankenhaus.",
           "Der Zug fährt am Morgen ab.", "Regen fällt auf das Dach.", "Sie spielt Geige."],
    "fr": ["Le fleuve se jette dans la mer.", "Le pain est cuit au four.", "Le médecin travaille à l'hôpital.",
           "Le train part le matin.", "La pluie tombe sur le toit.", "Elle joue du violon."],
}  # fmt: skip
LUCENE = {"name": "hnsw", "engine": "lucene"}
KEYWORDS = {"language": {"type": "keyword"}, "parallel_id": {"type": "keyword"}}
Documents = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def documents(model_cluster: ModelCluster) -> Documents:
    """The documents in both indices, whose vectors the cluster made, with the vectors of the model here."""
    server = model_cluster.server
    documents = {
        f"{language}-{number}": {"content": text, "language": language, "parallel_id": f"g{number}"}
        for language, texts in TEXTS.items()
        for number, text in enumerate(texts)
    }
    embed = {"text_embedding": {"model_id": model_cluster.dense, "field_map": {"content": "embedding"}}}
    server.request("PUT", "/_ingest/pipeline/embed", {"processors": [embed]})
    vector = {"type": "knn_vector", "dimension": 384, "method": {**LUCENE, "space_type": "cosinesimil"}}
    server.request("PUT", f"/{INDEX}", {
        "settings": {"index.knn": True, "default_pipeline": "embed"},
        "mappings": {"properties": {"embedding": vector, "content": {"type": "text"}, **KEYWORDS}},
    })  # fmt: skip
    # The default engine of a semantic field, Faiss, ends a node without native libraries.
    semantic = {"type": "semantic", "model_id": model_cluster.dense, "dense_embedding_config": {"method": LUCENE}}
    server.request("PUT", f"/{SEMANTIC}", {
        "settings": {"index.knn": True}, "mappings": {"properties": {"content": semantic, **KEYWORDS}},
    })  # fmt: skip
    for index in (INDEX, SEMANTIC):
        lines: list[dict[str, Any]] = []
        for name, one in documents.items():
            lines += [{"index": {"_id": name}}, one]
        answer: Any = server.request("POST", f"/{index}/_bulk?refresh=true", lines)
        assert not answer["errors"], answer["items"][0]
    vectors = model_cluster.vectors([one["content"] for one in documents.values()])
    return {name: {**one, "embedding": vector} for (name, one), vector in zip(documents.items(), vectors, strict=True)}


@pytest.fixture
def queries(model_cluster: ModelCluster, documents: Documents, tmp_path: Path) -> list[dict[str, Any]]:
    """A query about each document, written without its vector."""
    rows = [
        {"id": f"q-{name}", "text": " ".join(one["content"].split()[:3]), "language": one["language"],
         "relevant": [other for other in documents if documents[other]["parallel_id"] == one["parallel_id"]]}
        for name, one in documents.items()
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "queries.jsonl").write_text(text, encoding="utf-8")
    vectors = model_cluster.vectors([row["text"] for row in rows])
    return [{**row, "embedding": vector} for row, vector in zip(rows, vectors, strict=True)]


def audit(cluster: ModelCluster, folder: Path, index: str, *arguments: str) -> Finished:
    command = ["--queries", str(folder / "queries.jsonl"), "--index", index, "--quiet", *arguments]
    return run_command(folder, *command, environment={"CROSSALIGN_HOSTS": cluster.url})


def result_of(finished: Finished) -> dict[str, Any]:
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    return finished.result


@pytest.mark.parametrize(("index", "field"), [(INDEX, "embedding"), (SEMANTIC, HELD)])
@pytest.mark.parametrize("which", ["dense", "single"])
def test_the_cluster_embeds_the_queries(
    model_cluster: ModelCluster,
    documents: Documents,
    queries: list[dict[str, Any]],
    tmp_path: Path,
    index: str,
    field: str,
    which: str,
) -> None:
    name = f"cluster:{getattr(model_cluster, which)}"
    result = result_of(audit(model_cluster, tmp_path, index, "--embedding-field", field, "--model", name))
    expected = ranks_in_numpy(documents, queries)
    assert ranks_in_result(result, "exact") == ranks_in_result(result, "live") == expected
    model = result["provenance"]["model"]
    assert (model["name"], model["dimension"]) == (name, 384)
    assert model["notes"] == [f"The cluster's own model '{name.partition(':')[2]}' embedded the queries."]


@pytest.mark.parametrize("index", [INDEX, SEMANTIC])
def test_a_request_of_production_with_the_clusters_model(
    model_cluster: ModelCluster, documents: Documents, queries: list[dict[str, Any]], tmp_path: Path, index: str
) -> None:
    field = "embedding" if index == INDEX else "content"
    neural: dict[str, Any] = {"query_text": "{{query}}", "k": len(documents)}
    if index == INDEX:
        neural["model_id"] = model_cluster.dense
    (tmp_path / "neural.json").write_text(json.dumps({"size": 100, "query": {"neural": {field: neural}}}))
    both = [{"neural": {field: neural}}, {"match": {"language": "{{language}}"}}]
    hybrid = {"size": 100, "query": {"hybrid": {"queries": both}}}
    hybrid["search_pipeline"] = {"phase_results_processors": [{"normalization-processor": {}}]}
    (tmp_path / "hybrid.json").write_text(json.dumps(hybrid))
    files = [part for name in ("neural", "hybrid") for part in ("--request", str(tmp_path / f"{name}.json"))]
    field = "embedding" if index == INDEX else HELD
    arguments = ["--embedding-field", field, "--model", f"cluster:{model_cluster.dense}", *files]
    result = result_of(audit(model_cluster, tmp_path, index, *arguments))
    expected = ranks_in_numpy(documents, queries)
    assert ranks_in_result(result, "exact") == expected
    lists = {}
    for name in ("neural", "hybrid"):
        rows = [place for place, row in enumerate(result["rows"]) if row.get("retrieval") == name]
        columns = result["queries"]
        lists[name] = {
            columns["id"][place]: sorted(
                zip(columns["versions"][place], columns["ranks"][place], strict=True), key=repr
            )
            for place, row in enumerate(columns["row"])
            if row in rows
        }
    assert lists["neural"] == expected
    # Documents in the language of the query get a second part, the others the first alone.
    own = {query["id"]: query["language"] for query in queries}
    assert all(rank == 1 for name, ranks in lists["hybrid"].items() for tag, rank in ranks if tag == own[name])


def test_a_sparse_model_of_the_cluster(model_cluster: ModelCluster, tmp_path: Path) -> None:
    """Weights are the numbers of each word, so that a score is the number of shared words."""
    server, index = model_cluster.server, "models-sparse"
    texts = {"a": "river river sea", "b": "river garden", "c": "garden garden garden", "d": "sea"}
    embed = {"sparse_encoding": {"model_id": model_cluster.sparse, "field_map": {"content": "tokens"}}}
    server.request("PUT", "/_ingest/pipeline/sparse", {"processors": [embed]})
    server.request("PUT", f"/{index}", {
        "settings": {"default_pipeline": "sparse"},
        "mappings": {"properties": {"tokens": {"type": "rank_features"}, "content": {"type": "text"}, **KEYWORDS}},
    })  # fmt: skip
    for name, text in texts.items():
        language = "en" if name in "ab" else "de"
        server.request("PUT", f"/{index}/_doc/{name}?refresh=true", {"content": text, "language": language})
    rows = [{"id": "q", "text": "river sea sea sea", "language": "en", "relevant": ["a", "b", "d"]}]
    (tmp_path / "queries.jsonl").write_text(json.dumps(rows[0]) + "\n", encoding="utf-8")
    query = {"neural_sparse": {"tokens": {"query_text": "{{query}}", "model_id": model_cluster.sparse}}}
    (tmp_path / "sparse.json").write_text(json.dumps({"size": 10, "query": query}))
    result = result_of(audit(model_cluster, tmp_path, index, "--request", str(tmp_path / "sparse.json")))
    # By hand: a 1 x 2 + 3 x 1 = 5, d 3 x 1 = 3, b 1 x 1 = 1, c nothing.
    (place,) = [place for place, row in enumerate(result["rows"]) if row.get("retrieval") == "sparse"]
    (column,) = [column for column, row in enumerate(result["queries"]["row"]) if row == place]
    found_ranks = zip(result["queries"]["versions"][column], result["queries"]["ranks"][column], strict=True)
    assert sorted(found_ranks) == [("de", 2), ("en", 1), ("en", 3)]


def test_the_doctor_finds_what_the_cluster_embeds(model_cluster: ModelCluster, documents: Documents) -> None:
    assert documents
    settings = LiveSettings(hosts=(model_cluster.url,), index=SEMANTIC)
    told = f"content: model {model_cluster.dense}, vectors in {HELD}"
    diagnosis = examined(settings)
    assert found(diagnosis)["semantic field"] == ("warning", told)
    (advice,) = [one.advice for one in diagnosis.findings if one.check == "semantic field"]
    assert advice == f"--embedding-field {HELD} --model cluster:{model_cluster.dense}"
    right = found(examined(LiveSettings(hosts=(model_cluster.url,), index=SEMANTIC, embedding_field=HELD)))
    assert right["semantic field"] == ("ok", told)
    assert right["content field"] == ("ok", "content (semantic)")
    wrong = found(examined(LiveSettings(hosts=(model_cluster.url,), index=SEMANTIC, embedding_field="content")))
    assert wrong["vector field"][0] == "missing"
    assert HELD in wrong["vector field"][1]
    assert "semantic field" not in found(examined(LiveSettings(hosts=(model_cluster.url,), index=INDEX)))


def test_a_wrong_prefix_is_found_by_embedding_documents_again(
    model_cluster: ModelCluster, queries: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert queries
    name = f"cluster:{model_cluster.dense}"
    finished = audit(model_cluster, tmp_path, INDEX, "--model", name, "--document-prefix", "An unusual prefix: ")
    assert finished.code == 2
    (line,) = finished.message.splitlines()
    assert "the documents were embedded without a prompt" in line


def test_what_cannot_embed_is_one_message(
    model_cluster: ModelCluster, queries: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert queries
    for name, told in {"nosuch": "Failed to find model", "": "names no model"}.items():
        finished = audit(model_cluster, tmp_path, INDEX, "--model", f"cluster:{name}")
        assert finished.code == 2
        (line,) = finished.message.splitlines()
        assert told in line
        assert "--model" in line


def test_a_model_with_prompts_of_its_own_is_told_which_texts_are_queries() -> None:
    """Such models run inside the node, which takes native libraries: this server refuses and answers as they do."""
    asked = []

    def answer(received: Received) -> tuple[int, Any]:
        body = json.loads(gzip.decompress(received.body) if received.body[:2] == b"\x1f\x8b" else received.body)
        role = body.get("parameters", {}).get("content_type")
        if role is None:
            reason = "The embedding model chosen is asymmetric. To use it, you must declare whether the input is of "
            reason += "type `QUERY` or of type `PASSAGE`."
            return 400, {"status": 400, "error": {"type": "illegal_argument_exception", "reason": reason}}
        asked.append((role, body["text_docs"]))
        made = [{"output": [{"name": "sentence_embedding", "data": [len(text), 1.0]}]} for text in body["text_docs"]]
        return 200, {"inference_results": made}

    with http_server(answer) as address:
        model = ClusterModel(ReadOnlyClient(address), "cluster:m", {"document_prefix": "> "})
        assert model.encode_queries(["ab", "a"]).tolist() == [[2.0, 1.0], [1.0, 1.0]]
        assert model.encode_documents(["ab"]).tolist() == [[4.0, 1.0]]
    assert asked == [("query", ["ab", "a"]), ("passage", ["> ab"])]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ([{"output": []}], "gave 0 vectors for 2 texts"),
        ([{"output": [{"data": [1.0]}, {"data": [1.0, 2.0]}]}], "gave 2 vectors of 1, 2 dimensions for 2 texts"),
        ([{"output": [{"data": [1.0, None]}, {"data": [1.0, 2.0]}]}], "output.data' is 'null'"),
        ([{"output": [{"dataAsMap": {"river": 1.0}}]}], "output.data' is missing"),
        ({}, "inference_results"),
    ],
)
def test_an_answer_without_a_vector_for_each_text_is_one_message(made: Any, told: str) -> None:
    with http_server(
        lambda received: (200, {"inference_results": made} if received.method == "POST" else {})
    ) as address:
        model = ClusterModel(ReadOnlyClient(address), "cluster:m", {})
        with pytest.raises(ExternalError, match=re.escape(told)):
            model.encode_queries(["a", "b"])


def test_the_connection_lets_only_the_named_model_embed(model_cluster: ModelCluster) -> None:
    client = ReadOnlyClient(model_cluster.url)
    path = f"/_plugins/_ml/_predict/text_embedding/{model_cluster.dense}"
    body = {"text_docs": ["a river"]}
    with pytest.raises(WriteRefusedError):
        client.request("POST", path, body=body)
    model = ClusterModel(client, f"cluster:{model_cluster.dense}", {})
    before = len(model_cluster.asked)
    vectors = model.encode_queries(["a river", "bread", "a river"])
    assert np.abs(vectors - model_cluster.vectors(["a river", "bread", "a river"])).max() < 1e-5
    assert model_cluster.asked[before:] == ["a river", "bread"]
    for method, other in (("GET", path), ("POST", path.replace(model_cluster.dense, model_cluster.single)),
                          ("POST", f"/_plugins/_ml/models/{model_cluster.dense}/_predict"),
                          ("POST", "/_plugins/_ml/_train/kmeans")):  # fmt: skip
        with pytest.raises(WriteRefusedError):
            client.request(method, other, body=body)
    client.close()
