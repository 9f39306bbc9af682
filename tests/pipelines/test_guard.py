"""Pipelines as a source of live lists: that they can only read, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.errors import DocumentStoreError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from query_pipelines import (
    DIMENSION,
    INDEX,
    MEMORY_STORE,
    TEXTS,
    WRITER_KIND,
    bm25,
    join,
    knn,
    store_of,
)

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.credentials import Credentials
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.connection.read_only import WriteRefusedError
from haystack_crossalign.opensearch.connection.traffic import Traffic
from haystack_crossalign.pipelines.guard import guarded_mapping, hold_to_reading
from haystack_crossalign.pipelines.retriever import QueryPipeline


@pytest.mark.parametrize("inside", [False, True])
def test_writers_are_refused_by_name(written: Callable[..., Path], inside: bool) -> None:
    writer = {"type": WRITER_KIND, "init_parameters": {"document_store": store_of(hosts="http://127.0.0.1:9")}}
    name = "archive"
    components: dict[str, Any] = {"retriever": bm25(), "archive": writer}
    if inside:
        kind = "haystack.core.super_component.super_component.SuperComponent"
        within = {"pipeline": {"components": {"archive": writer}, "connections": []}}
        components["archive"] = {"type": kind, "init_parameters": within}
        name = "archive.archive"
    with pytest.raises(InputError, match=f"component '{name}' writes documents") as caught:
        QueryPipeline.from_yaml(written(components))
    assert caught.value.exit_code == 2


@component
class Keeper:
    """Writes what it is given, though nothing in its name says so."""

    def __init__(self, store: Any) -> None:
        self.store = store

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        self.store.write_documents(documents)
        return {"documents": documents}


def test_writers_are_refused_by_what_they_do() -> None:
    pipeline = Pipeline()
    pipeline.add_component("keeper", Keeper(InMemoryDocumentStore()))
    with pytest.raises(InputError, match="component 'keeper' writes documents"):
        hold_to_reading(pipeline, Path("query.yaml"))


def test_stores_in_memory_are_searched_and_refuse_to_be_written_to(written: Callable[..., Path]) -> None:
    store = InMemoryDocumentStore(index="lists-shared")
    store.write_documents(
        [
            Document(id="a", content="river garden", meta={"language": "en", "parallel_id": "g"}),
            Document(id="b", content="river", meta={"language": "zh"}),
        ]
    )
    memory = {"type": MEMORY_STORE, "init_parameters": {"index": "lists-shared"}}
    kind = "haystack.components.retrievers.in_memory.bm25_retriever.InMemoryBM25Retriever"
    path = written({"retriever": {"type": kind, "init_parameters": {"document_store": memory}}})
    pipeline = QueryPipeline.from_yaml(path)
    (hits,) = pipeline.retrieve(["garden"], None, 5, INDEX)
    assert (hits[0].id, hits[0].language, hits[0].group) == ("a", "en", "g")
    assert pipeline.notes == ()
    haystack_pipeline = Pipeline()
    retriever = InMemoryBM25Retriever(InMemoryDocumentStore())
    haystack_pipeline.add_component("retriever", retriever)
    hold_to_reading(haystack_pipeline, path)
    with pytest.raises(WriteRefusedError, match="retriever"):
        retriever.document_store.write_documents([Document(content="new")])


async def test_stores_refuse_writes_on_both_connections(opensearch: Any, client: ReadOnlyClient) -> None:
    traffic = Traffic()
    made = guarded_mapping(
        {"part": store_of(hosts="${CLUSTER}", create_index=True)},
        Path("query.yaml"),
        traffic=traffic,
        connection=None,
        timeout=7.0,
        environ={"CLUSTER": opensearch.url},
    )["part"]
    options = made["init_parameters"]
    assert {key: options[key] for key in ("create_index", "verify_certs", "timeout")} == {
        "create_index": False,
        "verify_certs": True,
        "timeout": 7.0,
    }
    store = OpenSearchDocumentStore.from_dict(made)
    assert store.count_documents() == await store.count_documents_async() == 60
    assert traffic.totals["count"].requests == 2
    document = Document(content="new")
    with pytest.raises(WriteRefusedError):
        store.write_documents([document])
    with pytest.raises(WriteRefusedError):
        await store.write_documents_async([document])
    with pytest.raises(DocumentStoreError, match="refused to send"):
        store.delete_by_filter({"field": "meta.language", "operator": "==", "value": "en"})
    store.close()
    await store.close_async()
    assert client.count(INDEX) == 60


def test_no_index_is_created_where_one_is_missing(
    opensearch: Any, client: ReadOnlyClient, written: Callable[..., Path]
) -> None:
    retriever = bm25(raise_on_failure=False)
    retriever["init_parameters"]["document_store"]["init_parameters"] |= {"index": "lists-typo", "create_index": True}
    pipeline = QueryPipeline.from_yaml(written({"retriever": retriever}), client=client)
    # A retriever that returned an empty list for a failure would make a wrong number.
    with pytest.raises(InputError, match=r"'retriever'.*lists-typo"):
        pipeline.retrieve(TEXTS, None, 5, INDEX)
    assert "lists-typo" not in opensearch.request("GET", "/_all/_settings")


def test_failures_name_the_component(nowhere: ReadOnlyClient, written: Callable[..., Path]) -> None:
    retriever = bm25()
    retriever["init_parameters"]["document_store"] = store_of(hosts="http://127.0.0.1:9", max_retries=0)
    pipeline = QueryPipeline.from_yaml(written({"found": retriever}), client=nowhere)
    with pytest.raises(ExternalError, match=r"query.yaml: component 'found'.*no connection") as caught:
        pipeline.retrieve(TEXTS, None, 5, INDEX)
    assert caught.value.exit_code == 3
    kind = "haystack.components.embedders.sentence_transformers_text_embedder.SentenceTransformersTextEmbedder"
    with pytest.raises(InputError, match="is no Haystack pipeline"):
        QueryPipeline.from_yaml(written({"found": {"type": f"{kind}Typo", "init_parameters": {}}}))


def test_components_that_cannot_start_are_named(
    nowhere: ReadOnlyClient, written: Callable[..., Path], tmp_path: Path
) -> None:
    embedder = {
        "type": "haystack_crossalign.components.text_embedder.CrossAlignTextEmbedder",
        "init_parameters": {"model": str(tmp_path / "missing")},
    }
    path = written({"embedder": embedder, "knn": knn()}, join(("embedder.embedding", "knn.query_embedding")))
    pipeline = QueryPipeline.from_yaml(path, client=nowhere)
    assert not pipeline.needs_vectors
    with pytest.raises(ExternalError, match="component 'embedder' cannot start"):
        pipeline.retrieve(TEXTS, None, 5, INDEX)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"http_auth": ["admin", "hunter2"]}, "plain text"),
        ({"http_auth": "admin:hunter2"}, "plain text"),
        ({"headers": {"Authorization": "Bearer hunter2"}}, "plain text"),
        ({"hosts": "https://admin:hunter2@search.example.org"}, "user name or password"),
        ({"hosts": "${NO_SUCH_VARIABLE}"}, "NO_SUCH_VARIABLE is not set"),
        ({"hosts": None}, "names no hosts"),
    ],
)
def test_secrets_and_addresses_do_not_come_from_the_file(
    written: Callable[..., Path], options: dict[str, Any], message: str
) -> None:
    retriever = bm25()
    retriever["init_parameters"]["document_store"] = store_of(**({"hosts": "http://127.0.0.1:9"} | options))
    with pytest.raises(InputError, match=message) as caught:
        QueryPipeline.from_yaml(written({"retriever": retriever}), environ={})
    assert "hunter2" not in str(caught.value)


def test_results_and_inputs_must_be_clear(nowhere: ReadOnlyClient, written: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"come out in 2 places.*first\.documents.*second\.documents"):
        QueryPipeline.from_yaml(written({"first": bm25(), "second": bm25()}), client=nowhere)
    embedder = {"type": "haystack_crossalign.components.text_embedder.CrossAlignTextEmbedder", "init_parameters": {}}
    with pytest.raises(InputError, match="come out in 0 places"):
        QueryPipeline.from_yaml(written({"embedder": embedder}), client=nowhere)
    ranker = {"type": "haystack.components.rankers.meta_field.MetaFieldRanker", "init_parameters": {"meta_field": "y"}}
    with pytest.raises(InputError, match=r"component 'ranker' needs an input that a query cannot fill"):
        QueryPipeline.from_yaml(written({"ranker": ranker}), client=nowhere)


def test_stores_without_hosts_are_connected_as_the_audit_is(
    secure_opensearch: Any, indexing: Any, written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSEARCH_USERNAME", "somebody")
    monkeypatch.setenv("OPENSEARCH_PASSWORD", "else")
    document = {"id": "d", "content": "river", "language": "en", "embedding": [1.0] * DIMENSION}
    indexing.create(secure_opensearch, INDEX, {"d": document}, indexing.mapping(DIMENSION))
    secret = Credentials("basic", secure_opensearch.password, "admin")
    trusting = {"ca_file": secure_opensearch.certificates.authority, "patience": Patience(total=1.0)}
    path = written({"retriever": bm25()})
    client = ReadOnlyClient(secure_opensearch.url, credentials=secret, **trusting)
    (hits,) = QueryPipeline.from_yaml(path, client=client).retrieve(["river"], None, 5, INDEX)
    assert [hit.id for hit in hits] == ["d"]
    for other, message in (
        (ReadOnlyClient(secure_opensearch.url, **trusting), "refused the credentials"),
        (ReadOnlyClient(secure_opensearch.url, credentials=secret, patience=Patience(total=1.0)), "verified"),
    ):
        with pytest.raises(CrossAlignError, match=f"component 'retriever'.*{message}") as caught:
            QueryPipeline.from_yaml(path, client=other).retrieve(["river"], None, 5, INDEX)
        assert secure_opensearch.password not in str(caught.value)
        other.close()
    client.close()


@pytest.mark.parametrize("granted", [True, False])
def test_the_role_of_an_audit_and_the_right_to_look_for_the_index_are_enough(
    secure_opensearch: Any, indexing: Any, written: Callable[..., Path], granted: bool
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "opensearch-role.md"
    role = json.loads(page.read_text(encoding="utf-8").split("```json")[1].split("```")[0])
    (rights,) = role["index_permissions"]
    rights["index_patterns"] = [INDEX]
    if granted:
        rights["allowed_actions"].append("indices:admin/get")
    user, password = "searcher", "a-Password-for-1-test-only"
    api = "/_plugins/_security/api"
    secure_opensearch.request("PUT", f"{api}/internalusers/{user}", {"password": password})
    secure_opensearch.request("PUT", f"{api}/roles/crossalign_searcher", role)
    secure_opensearch.request("PUT", f"{api}/rolesmapping/crossalign_searcher", {"users": [user]})
    document = {"id": "d", "content": "river", "language": "en", "embedding": [1.0] * DIMENSION}
    indexing.create(secure_opensearch, INDEX, {"d": document}, indexing.mapping(DIMENSION))
    client = ReadOnlyClient(
        secure_opensearch.url,
        credentials=Credentials("basic", password, user),
        ca_file=secure_opensearch.certificates.authority,
        patience=Patience(total=1.0),
    )
    pipeline = QueryPipeline.from_yaml(written({"retriever": bm25()}), client=client)
    if granted:
        assert [[hit.id for hit in row] for row in pipeline.retrieve(["river"], None, 5, INDEX)] == [["d"]]
    else:
        with pytest.raises(ExternalError, match=r"component 'retriever'.*indices:admin/get"):
            pipeline.retrieve(["river"], None, 5, INDEX)
    client.close()
