"""The writer on a real server: the index knows its model, keeps to it, and gets every document once."""

from __future__ import annotations

import copy
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.document_stores.errors import DocumentStoreError, DuplicateDocumentError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from local_servers import Received, http_server

from haystack_crossalign.components import CrossAlignDocumentEmbedder, CrossAlignDocumentWriter
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.identity import describe_model
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.model.check import read_index_model

INDEX = "writer-test"
MODEL = {"name": "own/model", "revision": "a" * 40, "dimension": 3, "prompts": {"query": "q: ", "document": "d: "}}
METHOD = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}


def documents(*numbers: int) -> list[Document]:
    return [Document(id=f"d{n}", content=f"text {n}", embedding=[1.0, n, 0.5], meta={"n": n}) for n in numbers]


@pytest.fixture
def store(opensearch: Any) -> Callable[..., OpenSearchDocumentStore]:
    """Opens a store; the index is gone before each test."""
    try:
        opensearch.request("DELETE", f"/{INDEX}")
    except urllib.error.HTTPError as error:
        assert error.code == 404  # noqa: PT017

    def make(**options: Any) -> OpenSearchDocumentStore:
        given = {"hosts": opensearch.url, "index": INDEX, "embedding_dim": 3, "method": METHOD, "timeout": 30}
        return OpenSearchDocumentStore(**(given | options))

    return make


def writer(store: OpenSearchDocumentStore, **options: Any) -> CrossAlignDocumentWriter:
    return CrossAlignDocumentWriter(**({"document_store": store, "model": MODEL, "first_wait": 0.01} | options))


def meta(server: Any) -> Any:
    return server.request("GET", f"/{INDEX}/_mapping")[INDEX]["mappings"].get("_meta")


def test_the_sockets_are_those_of_the_stock_writer(store: Callable[..., OpenSearchDocumentStore]) -> None:
    stock, ours = DocumentWriter(InMemoryDocumentStore()), writer(store())
    for side in ("__haystack_input__", "__haystack_output__"):
        assert set(getattr(ours, side)._sockets_dict) == set(getattr(stock, side)._sockets_dict)


def test_documents_are_written_and_the_index_knows_their_model(
    opensearch: Any, store: Callable[..., OpenSearchDocumentStore]
) -> None:
    assert writer(store()).run(documents(1, 2)) == {"documents_written": 2}
    assert meta(opensearch) == {"crossalign": {"model": MODEL}}
    assert read_index_model(ReadOnlyClient(opensearch.url), INDEX) == MODEL
    assert store().filter_documents({"field": "meta.n", "operator": "==", "value": 2})[0].content == "text 2"
    assert writer(store()).run(documents(3)) == {"documents_written": 1}
    assert store().count_documents() == 3


async def test_asynchronous_runs_write_as_well(store: Callable[..., OpenSearchDocumentStore]) -> None:
    component = writer(store())
    assert await component.run_async(documents(1)) == {"documents_written": 1}
    await component.close_async()
    assert store().count_documents() == 1


def test_what_others_keep_in_the_mapping_stays(opensearch: Any, store: Callable[..., OpenSearchDocumentStore]) -> None:
    mapping = {
        "properties": {"embedding": {"type": "knn_vector", "dimension": 3, "method": METHOD}},
        "_meta": {"owner": "somebody", "crossalign": {"other": 1}},
        "dynamic_templates": [{"s": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
    }
    opensearch.request("PUT", f"/{INDEX}", {"settings": {"index.knn": True}, "mappings": mapping})
    writer(store()).warm_up()
    assert meta(opensearch) == {"owner": "somebody", "crossalign": {"other": 1, "model": MODEL}}
    assert opensearch.request("GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]["dynamic_templates"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "other/model", "revision": "b" * 40}, "'other/model' (bbbbbbbbbbbb)"),
        ({"prompts": {"query": "q: ", "document": ""}}, "the document prompt of the index is 'd: ', that in use ''"),
        ({"name": "other/model", "revision": None}, "their names differ"),
    ],
)
def test_an_index_of_another_model_is_not_extended(
    store: Callable[..., OpenSearchDocumentStore], changes: dict[str, Any], told: str
) -> None:
    writer(store()).run(documents(1))
    with pytest.raises(InputError) as caught:
        writer(store(), model=MODEL | changes).run(documents(2))
    assert "is an index of 'own/model' (aaaaaaaaaaaa), and the documents come from '" in str(caught.value)
    assert told in str(caught.value)
    assert store().count_documents() == 1


def test_another_name_of_the_same_weights_may_go_on(store: Callable[..., OpenSearchDocumentStore]) -> None:
    writer(store()).run(documents(1))
    assert writer(store(), model=MODEL | {"name": "copy"}).run(documents(2)) == {"documents_written": 1}


def test_an_index_of_an_unknown_model_is_claimed_only_on_purpose(
    opensearch: Any, store: Callable[..., OpenSearchDocumentStore]
) -> None:
    store().write_documents(documents(1))
    with pytest.raises(InputError, match="holds 1 documents and does not say which model made their vectors"):
        writer(store()).run(documents(2))
    assert meta(opensearch) is None
    writer(store(), claim_existing=True).run(documents(2))
    assert meta(opensearch) == {"crossalign": {"model": MODEL}}


def test_vectors_of_another_dimension_are_refused(store: Callable[..., OpenSearchDocumentStore]) -> None:
    with pytest.raises(InputError, match="vector of document 'd1' is not one of 'own/model'"):
        writer(store()).run([Document(id="d1", content="a", embedding=[1.0, 2.0])])
    with pytest.raises(InputError, match=r"holds vectors of 3 dimensions, those of 'own/model' .* have 4"):
        writer(store(), model=MODEL | {"dimension": 4}).warm_up()


def test_duplicates_follow_the_policy(store: Callable[..., OpenSearchDocumentStore]) -> None:
    component = writer(store())
    component.run(documents(1, 2))
    for policy in (None, DuplicatePolicy.FAIL):
        with pytest.raises(DuplicateDocumentError, match=r"already exist in '.*': 'd1', 'd2'"):
            component.run(documents(1, 2), policy=policy)
    assert component.run(documents(1, 3), policy=DuplicatePolicy.SKIP) == {"documents_written": 1}
    assert component.run(documents(1, 2), policy=DuplicatePolicy.OVERWRITE) == {"documents_written": 2}


def test_a_document_that_the_server_refuses_is_named_without_its_text(
    store: Callable[..., OpenSearchDocumentStore],
) -> None:
    component = writer(store())
    component.run(documents(1))
    wrong = Document(id="bad", content="a secret text", meta={"n": "no number"})
    with pytest.raises(
        DocumentStoreError, match=r"1 of 2 documents were not written .*'bad': mapper_parsing"
    ) as caught:
        component.run([*documents(2), wrong])
    assert "secret" not in str(caught.value)
    assert store().count_documents() == 2


def test_what_is_refused_as_too_much_is_sent_again_and_nothing_else(
    opensearch: Any, store: Callable[..., OpenSearchDocumentStore]
) -> None:
    """A busy server in front of the real one refuses a whole request, then all but one document of each."""
    sent: list[list[str]] = []

    def forward(received: Received, body: bytes) -> tuple[int, Any]:
        kind = dict(received.headers).get("content-type", "application/json")
        request = urllib.request.Request(  # noqa: S310
            opensearch.url + received.target, body or None, {"Content-Type": kind}, method=received.method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                # The answer to HEAD has no body.
                return answer.status, json.loads(text) if (text := answer.read()) else ""
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or "{}")

    def busy(received: Received) -> tuple[int, Any]:
        if "_bulk" not in received.target:
            return forward(received, received.body)
        lines = received.body.decode().splitlines()
        ids = [json.loads(line)["create"]["_id"] for line in lines[::2]]
        sent.append(ids)
        refusal = {"type": "rejected_execution_exception", "reason": "too much"}
        if len(sent) == 1:
            return 429, {"error": refusal, "status": 429}
        status, answer = forward(received, ("\n".join(lines[:2]) + "\n").encode())
        answer["errors"] = True
        answer["items"] += [{"create": {"_id": name, "status": 429, "error": refusal}} for name in ids[1:]]
        return status, answer

    writer(store()).warm_up()
    with http_server(busy) as url:
        component = writer(store(hosts=url))
        assert component.run(documents(1, 2, 3)) == {"documents_written": 3}
        assert sent == [["d1", "d2", "d3"], ["d1", "d2", "d3"], ["d2", "d3"], ["d3"]]
        assert store().count_documents() == 3
        sent.clear()
        with pytest.raises(DocumentStoreError, match=r"2 of 3 documents were not written .*'d5': rejected_exec"):
            writer(store(hosts=url), retries=1).run(documents(4, 5, 6))
        component.close()


def test_a_cluster_that_does_not_answer_is_one_message() -> None:
    away = OpenSearchDocumentStore(hosts="http://127.0.0.1:9", index=INDEX, max_retries=0)
    with pytest.raises(ExternalError, match="no connection"):
        writer(away).warm_up()


def test_an_index_that_is_not_there_is_made_only_where_the_store_makes_it(
    opensearch: Any, store: Callable[..., OpenSearchDocumentStore]
) -> None:
    with pytest.raises(InputError, match="no such index"):
        writer(store(create_index=False)).run(documents(1))
    with pytest.raises(urllib.error.HTTPError):
        opensearch.request("GET", f"/{INDEX}")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": None}, "either the embedder, or a description"),
        ({"model": {"dimension": 3}}, "a description with at least the 'name'"),
        ({"document_store": InMemoryDocumentStore()}, "OpenSearchDocumentStore"),
    ],
)
def test_parameters_that_do_not_fit_are_named(
    store: Callable[..., OpenSearchDocumentStore], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        writer(store(), **options).warm_up()


def test_the_embedder_tells_its_model_and_is_let_go_of_again(
    opensearch: Any, store: Callable[..., OpenSearchDocumentStore], offline_model: str
) -> None:
    embedder = CrossAlignDocumentEmbedder(model=offline_model, progress_bar=False)
    component = writer(store(embedding_dim=384), model=None, embedder=embedder)
    component.warm_up()
    assert embedder._encoder is None
    described = describe_model(embedder.provenance())
    assert described["prompts"] == {"query": "query: ", "document": "passage: "}
    assert len(described["sha256"]) == 64
    assert meta(opensearch)["crossalign"]["model"] == described


def test_the_dictionary_holds_every_parameter_and_comes_back() -> None:
    store = OpenSearchDocumentStore(hosts="http://127.0.0.1:9", index="i", embedding_dim=3)
    component = CrossAlignDocumentWriter(document_store=store, model=MODEL, policy=DuplicatePolicy.SKIP, retries=2)
    data = component.to_dict()
    assert data == {
        "type": "haystack_crossalign.components.document_writer.CrossAlignDocumentWriter",
        "init_parameters": {
            "document_store": store.to_dict(),
            "embedder": None,
            "model": MODEL,
            "policy": "SKIP",
            "claim_existing": False,
            "retries": 2,
            "first_wait": 1.0,
        },
    }
    # The store's own from_dict changes what it is given.
    assert CrossAlignDocumentWriter.from_dict(copy.deepcopy(data)).to_dict() == data
    with pytest.raises(InputError, match="no such policy; seen: 'MERGE'; allowed: NONE, SKIP, OVERWRITE, FAIL"):
        CrossAlignDocumentWriter.from_dict(data | {"init_parameters": data["init_parameters"] | {"policy": "MERGE"}})
    with_embedder = CrossAlignDocumentWriter(document_store=store, embedder=CrossAlignDocumentEmbedder(model="m"))
    pipeline = Pipeline()
    pipeline.add_component("writer", with_embedder)
    again = Pipeline.loads(pipeline.dumps()).get_component("writer")
    assert again.embedder.model == "m"
    assert again.to_dict() == with_embedder.to_dict()
