"""An index behind an alias with everything that an upgrade must keep, its matrix, and what holds after an upgrade."""

from __future__ import annotations

import json
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import write_matrix_file

DIMENSION = 8
BASE = {
    "name": "own/model",
    "sha256": "a" * 64,
    "dimension": DIMENSION,
    "prompts": {"query": "q: ", "document": "d: "},
    "normalized": True,
}
METHOD = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
VECTOR = {"type": "knn_vector", "dimension": DIMENSION, "method": METHOD}
MAPPING = {
    "_meta": {"owner": "somebody", "crossalign": {"model": BASE, "other": 1}},
    "properties": {
        "embedding": VECTOR,
        "title_vector": VECTOR,
        "chunks": {"type": "nested", "properties": {"embedding": VECTOR, "content": {"type": "text"}}},
        "language": {"type": "keyword"},
        "content": {"type": "text", "analyzer": "folded"},
    },
}
KEPT = ("chunks.embedding", "title_vector")
"""Vector fields beside ``embedding``."""
SETTINGS = {
    "index.knn": True,
    "number_of_shards": 2,
    "number_of_replicas": 0,
    "refresh_interval": "2s",
    "analysis": {"analyzer": {"folded": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]}}},
}
FILTER = {"bool": {"must_not": [{"term": {"language": "xx"}}]}}


def remove(server: Any, *names: str) -> None:
    """Delete indices where they are, by pattern."""
    for name in names:
        found = server.request("GET", f"/{name}/_settings?expand_wildcards=all&ignore_unavailable=true")
        for index in found:
            server.request("DELETE", f"/{index}")


def document(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """A document with vectors, chunks and numbers; each tenth lacks the vector, each seventh the language."""
    vector = rng.normal(size=(3, DIMENSION)).astype(np.float32)
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    one: dict[str, Any] = {
        "content": f'text {number} äöü 漢字 \u2028 "quoted"',
        "language": ("en", "de", "zh")[number % 3],
        "meta": {"n": number, "big": 9007199254740993, "share": 0.1 * number, "list": [1, None, 2]},
        "embedding": vector[0].tolist(),
        "title_vector": vector[1].tolist(),
        "chunks": [{"content": "a", "embedding": vector[1].tolist()}, {"content": "b"}],
    }
    if number % 10 == 0:
        del one["embedding"]
    if number % 7 == 0:
        del one["language"]
    return one


def fill(server: Any, index: str, documents: dict[str, dict[str, Any]]) -> None:
    """Write documents; those whose number divides by five have a routing of their own."""
    if not documents:
        return
    lines: list[dict[str, Any]] = []
    for name, one in documents.items():
        number = int(name.rpartition("-")[2])
        action = {"_id": name} | ({"routing": f"r{number % 4}"} if number % 5 == 0 else {})
        lines += [{"index": action}, one]
    answer = server.request("POST", f"/{index}/_bulk?refresh=true", lines)
    assert not answer["errors"], next(item for item in answer["items"] if "error" in item["index"])


def everything(server: Any, index: str) -> dict[tuple[str, str | None], dict[str, Any]]:
    """All documents of an index, by id and routing, each with its version and its source."""
    server.request("POST", f"/{index}/_refresh")
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    shards = int(
        server.request("GET", f"/{index}/_settings?flat_settings=true")[index]["settings"]["index.number_of_shards"]
    )
    for shard in range(shards):
        after = -1
        while True:
            body = {
                "size": 1000,
                "sort": [{"_seq_no": "asc"}],
                "query": {"range": {"_seq_no": {"gt": after}}},
                "seq_no_primary_term": True,
                "version": True,
            }
            hits = server.request("POST", f"/{index}/_search?preference=_shards:{shard}", body)["hits"]["hits"]
            for hit in hits:
                key = (hit["_id"], hit.get("_routing"))
                assert key not in found, f"{key} is there twice"
                found[key] = {"version": hit["_version"], "source": hit["_source"]}
            if not hits:
                break
            after = hits[-1]["_seq_no"]
    return found


def moved(matrix: np.ndarray, vector: list[float]) -> np.ndarray:
    """A vector through ``x -> unit(A unit(x) + b)``, in double precision."""
    x = np.asarray(vector, dtype=np.float64)
    y = matrix[:, :-1] @ (x / np.linalg.norm(x)) + matrix[:, -1]
    return y / np.linalg.norm(y)


def check_moved(old: dict[Any, Any], new: dict[Any, Any], matrix: np.ndarray, *, versions: bool = True) -> None:
    """The new index holds the same documents, with other vectors in ``embedding`` and nothing else changed."""
    assert new.keys() == old.keys()
    for key, before in old.items():
        after = new[key]
        if versions:
            assert after["version"] == before["version"], key
        was, now = dict(before["source"]), dict(after["source"])
        vector, found = was.pop("embedding", None), now.pop("embedding", None)
        assert now == was, key
        assert (vector is None) == (found is None), key
        if vector is not None:
            np.testing.assert_allclose(np.asarray(found), moved(matrix, vector), atol=2e-6)


@dataclass
class ByText:
    """Embeds each text by itself: unit vectors drawn with the text and the model's number as the seed.

    :param number: another one is another model.
    :param described: what it says of itself.
    """

    number: int = 0
    described: Any = None

    def encode_documents(self, texts: Any, *, progress: Any = None) -> Any:  # noqa: ARG002 - the shape of an embedder
        made = [np.random.default_rng([self.number, *text.encode()]).normal(size=DIMENSION) for text in texts]
        return np.asarray([one / np.linalg.norm(one) for one in made], dtype=np.float32)

    encode_queries = encode_documents

    def provenance(self) -> dict[str, Any]:
        return dict(self.described or {"name": f"by/text-{self.number}", "dimension": DIMENSION, "normalized": True})


class Bed:
    """An alias of its own on a server, with an index and a matrix."""

    def __init__(self, server: Any, folder: Path, *, documents: int, name: str = "up", mapping: Any = None) -> None:
        self.server, self.alias, self.index = server, name, f"{name}-1"
        remove(server, f"{name}-*", "crossalign-ledger")
        aliases = {name: {"filter": FILTER, "is_write_index": True}, f"{name}-other": {"routing": "r1"}}
        body = {"settings": SETTINGS, "mappings": mapping or MAPPING, "aliases": aliases}
        server.request("PUT", f"/{self.index}", body)
        rng = np.random.default_rng(5)
        self.rng = rng
        fill(server, self.index, {f"d-{number}": document(number, rng) for number in range(documents)})
        weights = rng.normal(size=(DIMENSION, DIMENSION + 1)).astype(np.float32)
        self.weights = weights.astype(np.float64)
        self.matrix = folder / "matrix.safetensors"
        write_matrix_file(AffineMap(weights[:, :-1].copy(), weights[:, -1].copy()), self.matrix, base=BASE)

    def reader(self, url: str | None = None, **options: Any) -> ReadOnlyClient:
        given = {"patience": Patience(total=20.0, first=0.05, longest=0.5), "timeout": 30.0}
        return ReadOnlyClient(url or self.server.url, **(given | options))

    def behind(self) -> str:
        """The index that the alias stands for."""
        (index,) = self.server.request("GET", f"/_alias/{self.alias}")
        return str(index)

    def aliases(self, index: str) -> Any:
        return self.server.request("GET", f"/{index}/_alias")[index]["aliases"]

    def settings(self, index: str) -> Any:
        return self.server.request("GET", f"/{index}/_settings?flat_settings=true")[index]["settings"]

    def mapping(self, index: str) -> Any:
        return self.server.request("GET", f"/{index}/_mapping")[index]["mappings"]


def ledger_entries(server: Any) -> dict[str, Any]:
    """All that the ledger holds."""
    try:
        server.request("POST", "/crossalign-ledger/_refresh")
        hits = server.request("POST", "/crossalign-ledger/_search", {"size": 1000})["hits"]["hits"]
    except urllib.error.HTTPError:
        return {}
    return {hit["_id"]: json.loads(json.dumps(hit["_source"])) for hit in hits}


@pytest.fixture(scope="session")
def upgrading() -> SimpleNamespace:
    """The helpers of this module."""
    return SimpleNamespace(Bed=Bed, check_moved=check_moved, everything=everything, ledger_entries=ledger_entries)
