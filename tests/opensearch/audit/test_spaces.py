"""Audits of fields whose space only the server's script scores, and of those of other engines, against numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_audit import DIMENSION, LANGUAGES, parallel_documents
from live_command import run_command
from live_judged import ranks_in_result

INDEX = "audit-spaces"
FAISS = {"engine": "faiss", "name": "hnsw"}
# Without native libraries Faiss must not build its graph; without an index there is none. Both search exactly then.
NO_GRAPH = {"index.knn": True, "index.knn.advanced.approximate_threshold": -1}
NO_INDEX = {"index.knn": False}
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "l1": ({"space_type": "l1"}, NO_INDEX, "manhattan"),
    "linf": ({"space_type": "linf"}, NO_INDEX, "chebyshev"),
    "byte l1": ({"space_type": "l1", "data_type": "byte"}, NO_INDEX, "manhattan"),
    "hamming": ({"data_type": "binary", "method": FAISS | {"space_type": "hamming"}}, NO_GRAPH, "hamming"),
    "hamming by default": ({"data_type": "binary"}, NO_INDEX, "hamming"),
    "faiss l2": ({"method": FAISS | {"space_type": "l2"}}, NO_GRAPH, "euclidean"),
    "faiss inner product": ({"method": FAISS | {"space_type": "innerproduct"}}, NO_GRAPH, "dot"),
}


def bits(vector: np.ndarray) -> list[int]:
    """The signs of a vector's components, eight to a signed byte."""
    return np.packbits(vector > 0).view(np.int8).tolist()


def closeness(similarity: str, matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Of each document to the query: higher is nearer."""
    if similarity == "dot":
        return matrix @ vector
    if similarity == "hamming":
        return -(np.unpackbits(matrix.astype(np.int8).view(np.uint8), axis=1)
                 != np.unpackbits(vector.astype(np.int8).view(np.uint8))).sum(axis=1).astype(float)  # fmt: skip
    order = {"manhattan": 1, "euclidean": 2, "chebyshev": np.inf}[similarity]
    return -np.linalg.norm(matrix - vector, ord=order, axis=1)


@pytest.fixture(params=list(FIELDS))
def field(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def vectors(field: str) -> dict[str, list[float]]:
    """Vectors of documents and queries as the field holds them: 48 bits, bytes, or floats."""
    definition = FIELDS[field][0]
    found = {}
    rng = np.random.default_rng(4)
    for name, one in parallel_documents().items():
        own = np.array(one["embedding"])
        for key, vector in ((name, own), (f"q{name}", own + rng.normal(size=DIMENSION) * 0.4)):
            if definition.get("data_type") == "binary":
                found[key] = bits(np.concatenate([vector + shift for shift in (-1.0, -0.3, 0.3, 1.0)]))
            elif definition.get("data_type") == "byte":
                found[key] = np.clip(np.rint(vector * 20), -128, 127).astype(int).tolist()
            else:
                found[key] = np.round(vector, 3).tolist()
    return found


@pytest.fixture
def index(opensearch: Any, field: str, vectors: dict[str, list[float]]) -> Iterator[str]:
    definition, settings, _ = FIELDS[field]
    dimension = DIMENSION * (4 if definition.get("data_type") == "binary" else 1)
    properties = {
        "embedding": {"type": "knn_vector", "dimension": dimension, **definition},
        "language": {"type": "keyword"},
        "parallel_id": {"type": "keyword"},
    }
    settings = {**settings, "number_of_shards": 2, "number_of_replicas": 0}
    opensearch.request("PUT", f"/{INDEX}", {"settings": settings, "mappings": {"properties": properties}})
    lines: list[dict[str, Any]] = []
    for name, one in parallel_documents().items():
        document = {"embedding": vectors[name], "language": one["language"], "parallel_id": one["group"]}
        lines += [{"index": {"_id": name}}, document]
    answer = opensearch.request("POST", f"/{INDEX}/_bulk?refresh=true", lines)
    assert not answer["errors"], answer["items"][0]
    yield INDEX
    opensearch.request("DELETE", f"/{INDEX}")


def test_exact_ranks_and_bounds_are_those_of_numpy(
    opensearch: Any, index: str, field: str, vectors: dict[str, list[float]], tmp_path: Path
) -> None:
    similarity = FIELDS[field][2]
    documents = parallel_documents()
    names = list(documents)
    matrix = np.array([vectors[name] for name in names], dtype=np.float32).astype(np.float64)
    lines, bounds = [], {}
    for name, one in documents.items():
        group = one["group"][1:]
        relevant = [f"{language}-{group}" for language in LANGUAGES]
        lines.append({"id": name, "text": "a question", "language": one["language"], "relevant": relevant,
                      "embedding": vectors[f"q{name}"]})  # fmt: skip
        near = closeness(similarity, matrix, np.array(vectors[f"q{name}"], dtype=np.float32).astype(np.float64))
        for other in relevant:
            own = near[names.index(other)]
            bounds[name, documents[other]["language"]] = (int((near > own + 1e-6).sum()) + 1,
                                                          int((near >= own - 1e-6).sum()))  # fmt: skip
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = ["--queries", str(tmp_path / "queries.jsonl"), "--index", index, "--depth", "200", "--quiet"]
    finished = run_command(tmp_path, *command, environment={"CROSSALIGN_HOSTS": opensearch.url})
    assert (finished.code, finished.message) == (0, "")
    result = finished.result
    assert result is not None
    # Where there is nothing to find neighbors with, no list of them can be had.
    without = FIELDS[field][1] is NO_INDEX
    assert [note for note in result["live"]["warnings"] if "so that there is no list knn" in note] == [
        "the index cannot be asked for nearest neighbors (index.knn is not true), so that there is no list knn"
    ] * without
    for kind in ("exact",) if without else ("exact", "live"):
        ranks = ranks_in_result(result, kind)
        assert set(ranks) == set(names)
        for name, row in ranks.items():
            for language, rank in row:
                low, high = bounds[name, language]
                assert low <= rank <= high
    assert result["provenance"]["similarity"] == {"name": similarity, "from": "index"}


def test_bits_are_not_asked_for_with_a_model(
    opensearch: Any, indexing: Any, offline_model: str, tmp_path: Path
) -> None:
    mapping = indexing.mapping(4)
    mapping["properties"] |= {
        "embedding": {"type": "knn_vector", "dimension": 8, "data_type": "binary"},
        "parallel_id": {"type": "keyword"},
    }
    document = {"embedding": [3], "language": "en", "content": "A text.", "parallel_id": "a"}
    opensearch.request("PUT", "/audit-bits", {"settings": NO_INDEX, "mappings": mapping})
    for name, language in (("a", "en"), ("b", "zh")):
        opensearch.request("PUT", f"/audit-bits/_doc/{name}?refresh=true", document | {"language": language})
    (tmp_path / "queries.jsonl").write_text(json.dumps({"id": "q", "text": "A question", "language": "en",
                                                        "relevant": ["a"]}) + "\n", encoding="utf-8")  # fmt: skip
    command = ["--queries", str(tmp_path / "queries.jsonl"), "--index", "audit-bits", "--model", offline_model]
    finished = run_command(tmp_path, *command, environment={"CROSSALIGN_HOSTS": opensearch.url})
    opensearch.request("DELETE", "/audit-bits")
    assert finished.code == 2
    assert "the field holds bits, which no model here makes" in finished.message
