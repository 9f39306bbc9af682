"""Reader of an existing index, embedder by a matrix, and the pipeline of both with the writer, on a real server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from opensearch_servers import create_index, vector_mapping
from upgrading import BASE, remove

from haystack_crossalign.components import IndexDocumentReader, MatrixDocumentEmbedder
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.model.check import read_index_model
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import write_matrix_file

FOLDER = Path(__file__).resolve().parents[2] / "pipelines"
DIMENSION = 384
MATRIX = np.array([[0.0, 1.0], [2.0, 0.0]], dtype=np.float32)
SMALL = BASE | {"dimension": 2}


@pytest.fixture
def small(tmp_path: Path) -> MatrixDocumentEmbedder:
    path = tmp_path / "small.safetensors"
    write_matrix_file(AffineMap(MATRIX, np.zeros(2, np.float32)), path, base=SMALL)
    return MatrixDocumentEmbedder(matrix=str(path))


def test_embeddings_are_moved_and_documents_without_one_stay(small: MatrixDocumentEmbedder) -> None:
    documents = [Document(id="a", content="x", embedding=[3.0, 4.0]), Document(id="b", content="y")]
    moved = small.run(documents, model=dict(SMALL))["documents"]
    # unit((4, 6) / 5) = (2, 3) / sqrt(13)
    assert moved[0].embedding == pytest.approx([2 / math.sqrt(13), 3 / math.sqrt(13)], abs=1e-7)
    assert (moved[0].id, moved[0].content) == ("a", "x")
    assert moved[1] == documents[1]
    assert documents[0].embedding == [3.0, 4.0]
    assert asyncio.run(small.run_async(documents)) == small.run(documents)
    assert small.provenance()["base"] == SMALL


@pytest.mark.parametrize(
    ("document", "model", "told"),
    [
        ([1.0, 2.0, 3.0], None, "that of document 'd' has 3 numbers, not 2"),
        ([1.0, math.nan], None, "that of document 'd' is not finite"),
        ([1.0, 2.0], SMALL | {"sha256": "b" * 64}, "the matrix is for 'own/model'"),
    ],
)
def test_what_the_matrix_is_not_for_is_refused(
    small: MatrixDocumentEmbedder, document: list[float], model: Any, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        small.run([Document(id="d", embedding=document)], model=model)


def test_embeddings_are_not_moved_twice(small: MatrixDocumentEmbedder) -> None:
    with pytest.raises(InputError, match="moved by this matrix already"):
        small.run([Document(id="d", embedding=[1.0, 2.0])], model=SMALL | {"matrix": small.provenance()["matrix"]})


def test_it_goes_through_a_dictionary(small: MatrixDocumentEmbedder) -> None:
    data = small.to_dict()
    kind = "haystack_crossalign.components.matrix_embedder.MatrixDocumentEmbedder"
    assert data == {"type": kind, "init_parameters": {"matrix": small.matrix}}
    assert MatrixDocumentEmbedder.from_dict(data).to_dict() == data
    with pytest.raises(InputError, match="no such file"):
        MatrixDocumentEmbedder(matrix="nowhere.safetensors").warm_up()


@pytest.fixture
def filled(opensearch: Any) -> Iterator[dict[str, np.ndarray]]:
    """An index of 25 documents in two shards, each fifth without a vector."""
    remove(opensearch, "parts-*")
    vectors = np.random.default_rng(2).normal(size=(25, DIMENSION)).astype(np.float32)
    documents: dict[str, dict[str, Any]] = {
        f"p{n}": {"id": f"p{n}", "content": f"text {n}", "language": "en", "group": f"g{n}"} for n in range(25)
    }
    for number, one in enumerate(documents.values()):
        if number % 5:
            one["embedding"] = vectors[number].tolist()
    mapping = vector_mapping(DIMENSION) | {"_meta": {"crossalign": {"model": BASE | {"dimension": DIMENSION}}}}
    create_index(opensearch, "parts-1", documents, mapping, delete=("p24",))
    opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": "parts-1", "alias": "parts"}}]})
    yield {f"p{n}": vectors[n] for n in range(24)}
    remove(opensearch, "parts-*")


def store(server: Any, index: str = "parts") -> OpenSearchDocumentStore:
    return OpenSearchDocumentStore(hosts=server.url, index=index, create_index=False, timeout=60, verify_certs=True)


@pytest.mark.parametrize("size", [1, 7, 24, 500])
def test_every_document_is_read_once_page_by_page(opensearch: Any, filled: dict[str, np.ndarray], size: int) -> None:
    reader = IndexDocumentReader(document_store=store(opensearch), page_size=size)
    found: list[Document] = []
    after, complete = None, False
    while not complete:
        page = reader.run(after=after)
        assert len(page["documents"]) <= size
        assert page["model"] == BASE | {"dimension": DIMENSION}
        found += page["documents"]
        after, complete = page["after"], page["complete"]
    assert sorted(document.id for document in found) == sorted(filled)
    for document in found:
        number = int(document.id[1:])
        assert (document.content, document.meta["group"]) == (f"text {number}", f"g{number}")
        assert (document.embedding is None) == (number % 5 == 0)
    opensearch.request("PUT", "/parts/_doc/late?refresh=true", {"id": "late", "content": "later"})
    assert [document.id for document in reader.run(after=after)["documents"]] == ["late"]
    reader.close()


@pytest.mark.usefixtures("filled")
def test_an_alias_that_moves_between_two_pages_is_said(opensearch: Any) -> None:
    reader = IndexDocumentReader(document_store=store(opensearch), page_size=5)
    after = reader.run()["after"]
    meta = {"crossalign": {"model": BASE | {"dimension": DIMENSION}}}
    opensearch.request("PUT", "/parts-2", {"mappings": {"_meta": meta}})
    actions = [{"remove": {"index": "parts-1", "alias": "parts"}}, {"add": {"index": "parts-2", "alias": "parts"}}]
    opensearch.request("POST", "/_aliases", {"actions": actions})
    with pytest.raises(ExternalError, match="'parts' stands for 'parts-2' now, and the page before was of 'parts-1'"):
        reader.run(after=after)
    opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": "parts-1", "alias": "parts"}}]})
    with pytest.raises(InputError, match="parts: stands for several indices"):
        reader.run()
    reader.close()


def test_the_reader_goes_through_a_dictionary() -> None:
    reader = IndexDocumentReader(document_store=OpenSearchDocumentStore(index="parts", create_index=False), page_size=7)
    data = reader.to_dict()
    store = data["init_parameters"].pop("document_store")
    assert data == {
        "type": "haystack_crossalign.components.index_reader.IndexDocumentReader",
        "init_parameters": {"page_size": 7},
    }
    assert store["type"] == "haystack_integrations.document_stores.opensearch.document_store.OpenSearchDocumentStore"
    assert (store["init_parameters"]["index"], store["init_parameters"]["create_index"]) == ("parts", False)
    again = IndexDocumentReader.from_dict(reader.to_dict())
    assert isinstance(again.document_store, OpenSearchDocumentStore)
    assert (again.page_size, again.to_dict()) == (7, reader.to_dict())


def test_page_sizes_that_no_server_takes_are_refused() -> None:
    for size in (0, 10_001):
        with pytest.raises(InputError, match="'page_size': out of range"):
            IndexDocumentReader(document_store=OpenSearchDocumentStore(create_index=False), page_size=size)


def test_the_pipeline_fills_a_new_index_that_knows_its_model(
    opensearch: Any, filled: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = np.random.default_rng(3).normal(size=(DIMENSION, DIMENSION)).astype(np.float32)
    path = tmp_path / "matrix.safetensors"
    write_matrix_file(AffineMap(weights, np.zeros(DIMENSION, np.float32)), path, base=BASE | {"dimension": DIMENSION})
    for name, value in (("HOSTS", opensearch.url), ("INDEX", "parts"), ("NEW_INDEX", "parts-new"), ("MATRIX", path)):
        monkeypatch.setenv(f"CROSSALIGN_{name}", str(value))
    text = (FOLDER / "upgrade.yaml").read_text(encoding="utf-8").replace("page_size: 500", "page_size: 10")
    pipeline = Pipeline.loads(text)
    assert Pipeline.loads(pipeline.dumps()).to_dict()["components"] == pipeline.to_dict()["components"]
    after, complete, written = None, False, 0
    while not complete:
        answer = pipeline.run({"reader": {"after": after}}, include_outputs_from={"reader"})
        after, complete = answer["reader"]["after"], answer["reader"]["complete"]
        written += answer["writer"]["documents_written"]
    pipeline.close()
    assert written == 24
    opensearch.request("POST", "/parts-new/_refresh")
    hits = opensearch.request("GET", "/parts-new/_search?size=100")["hits"]["hits"]
    assert {hit["_id"] for hit in hits} == set(filled)
    for hit in hits:
        vector, number = hit["_source"].get("embedding"), int(hit["_id"][1:])
        assert (hit["_source"]["content"], hit["_source"]["group"]) == (f"text {number}", f"g{number}")
        if number % 5 == 0:
            assert vector is None
            continue
        expected = weights.astype(np.float64) @ filled[hit["_id"]].astype(np.float64)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=2e-6)
    model = read_index_model(ReadOnlyClient(opensearch.url), "parts-new")
    assert model is not None
    assert model["base"] == BASE | {"dimension": DIMENSION}
    assert len(model["matrix"]) == 64
