"""The gate of an upgrade with a real model: it lets a harmless matrix pass and holds back one that ruins the search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opensearch_servers import create_index
from upgrading import remove

from haystack_crossalign.api import upgrade_index
from haystack_crossalign.api.gate import Gate, gate_lines
from haystack_crossalign.api.requests.index import IndexRequest
from haystack_crossalign.audit.gate import parse_condition
from haystack_crossalign.data.sample import sample_folder
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.identity import describe_model
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import write_matrix_file
from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.plan import make_plan

pytestmark = pytest.mark.model
ALIAS, INDEX = "gated", "gated-1"
LANGUAGES = ("en", "es", "zh")
GROUPS = 8


def rows_of(name: str) -> list[dict[str, Any]]:
    text = (sample_folder() / name).read_text(encoding="utf-8")
    rows = [row for row in map(json.loads, text.splitlines()) if row.get("language") in LANGUAGES]
    few = list(dict.fromkeys(row["parallel_id"] for row in rows))[:GROUPS]
    return [row for row in rows if row["parallel_id"] in few]


@pytest.fixture(scope="module")
def encoder(offline_model: str) -> Encoder:
    return Encoder(offline_model)


@pytest.fixture
def settings(opensearch: Any, encoder: Encoder) -> LiveSettings:
    """The sample in three languages behind an alias, made by the model that the index names."""
    remove(opensearch, "gated-*", "crossalign-ledger")
    rows = rows_of("documents.jsonl")
    vectors = encoder.encode_documents([row["text"] for row in rows])
    documents = {
        row["id"]: {
            "content": row["text"],
            "language": row["language"],
            "parallel_id": row["parallel_id"],
            "embedding": vector.tolist(),
        }
        for row, vector in zip(rows, vectors, strict=True)
    }
    mapping = {
        "_meta": {"crossalign": {"model": describe_model(encoder)}},
        "properties": {
            "embedding": {
                "type": "knn_vector",
                "dimension": vectors.shape[1],
                "method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"},
            },
            "language": {"type": "keyword"},
            "parallel_id": {"type": "keyword"},
            "content": {"type": "text"},
        },
    }
    create_index(opensearch, INDEX, documents, mapping, shards=1)
    opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": INDEX, "alias": ALIAS}}]})
    return LiveSettings(hosts=(opensearch.url,), index=ALIAS)


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    path = tmp_path / "queries.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of("queries.jsonl")), encoding="utf-8")
    return path


def matrix_file(folder: Path, weights: np.ndarray, encoder: Encoder) -> Path:
    path = folder / "matrix.safetensors"
    moves = AffineMap(weights.astype(np.float32), np.zeros(len(weights), np.float32))
    write_matrix_file(moves, path, base=encoder.provenance())
    return path


def gated(
    settings: LiveSettings, matrix: Path, queries: Path, *conditions: str, keep: bool = False
) -> tuple[Any, Gate]:
    options = UpgradeOptions(lease=2.0, keep_old_vectors=keep)
    client = ReadOnlyClient(settings.hosts)
    new = open_way(matrix, None, options)
    plan = make_plan(client, ALIAS, new, options)
    gate = Gate(
        client,
        IndexRequest(settings=settings, queries=queries),
        new,
        conditions=[parse_condition(one) for one in conditions],
    )
    assert len(gate.check()) > 0
    return run_upgrade(client, ALIAS, new, options, plan=plan, before_switch=gate), gate


@pytest.mark.parametrize("keep", [False, True])
def test_a_rotation_changes_no_rank_and_passes(
    settings: LiveSettings, queries: Path, encoder: Encoder, tmp_path: Path, opensearch: Any, keep: bool
) -> None:
    """Rotated queries find nothing among vectors that are not: so this also tells which field the gate searched."""
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(384, 384)))[0]
    outcome, gate = gated(settings, matrix_file(tmp_path, rotation, encoder), queries, "NDCG@10<1%", keep=keep)
    assert outcome.state == "switched"
    assert gate.result is not None
    assert gate.result.passed
    assert len(gate.result.outcomes) == len(LANGUAGES)
    rows = {(row["scenario"], row["query_language"], row.get("retrieval")): row for row in gate.result.before.rows}
    for row in gate.result.after.rows:
        before = rows[row["scenario"], row["query_language"], row.get("retrieval")]["measures"]
        # Cosines are what they were, up to float32.
        assert row["measures"]["NDCG@10"] == pytest.approx(before["NDCG@10"], abs=0.02)
    assert {one.measure for one in gate.result.losses} >= {"mono-same:NDCG@1", "multi:Top1[relevant,same]"}
    (index,) = opensearch.request("GET", f"/_alias/{ALIAS}")
    assert index == outcome.new_index


def test_a_matrix_that_ruins_the_search_is_held_back_and_the_gate_says_where(
    settings: LiveSettings, queries: Path, encoder: Encoder, tmp_path: Path, opensearch: Any
) -> None:
    rng = np.random.default_rng(4)
    # All but three of the directions are lost.
    flat = rng.normal(size=(384, 3)) @ rng.normal(size=(3, 384))
    outcome, gate = gated(settings, matrix_file(tmp_path, flat, encoder), queries, "NDCG@10<99%")
    assert outcome.state == "catching up"
    assert list(opensearch.request("GET", f"/_alias/{ALIAS}")) == [INDEX]
    assert gate.result is not None
    told = "\n".join(gate_lines(gate.result))
    assert "Gate: mono-same:NDCG@1, queries in" in told
    assert "Gate: NDCG@10<99%" in told
    assert "Gate failed" in told
    assert gate.result.to_dict()["passed"] is False


def test_texts_are_embedded_anew_from_python(settings: LiveSettings, encoder: Encoder, opensearch: Any) -> None:
    other = Encoder("offline:multilingual-e5-small", document_prefix="")
    plan, outcome = upgrade_index(settings, model=other, apply=True)
    assert plan is not None
    assert outcome is not None
    assert outcome.state == "switched"
    hit = opensearch.request("POST", f"/{ALIAS}/_search", {"size": 1})["hits"]["hits"][0]
    expected = other.encode_documents([hit["_source"]["content"]])[0]
    assert float(np.dot(expected, hit["_source"]["embedding"])) == pytest.approx(1, abs=1e-3)
    mapping = opensearch.request("GET", f"/{ALIAS}/_mapping")[outcome.new_index]["mappings"]
    model = mapping["_meta"]["crossalign"]["model"]
    assert model["prompts"]["document"] == ""
    assert model["sha256"] == describe_model(encoder)["sha256"]
    assert outcome.verified is not None
    assert outcome.verified["faults"] == 0
