"""Reading any Haystack document store in pages, and kept from writing to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from haystack import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from haystack_crossalign.api.requests.files import FilesRequest
from haystack_crossalign.api.store import read_store
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.read_only import WriteRefusedError
from haystack_crossalign.pipelines.store import open_store, read_pages, store_similarity

SOURCE = Path("store.yaml")
IN_MEMORY = "haystack.document_stores.in_memory.document_store.InMemoryDocumentStore"


def documents(groups: int = 30, alone: int = 2) -> list[Document]:
    made = [
        Document(id=f"{tag}{group}", content=f"text {group}", meta={"language": tag, "parallel_id": f"g{group}"},
                 embedding=[1.0, float(group)])
        for group in range(groups)
        for tag in ("en", "zh")
    ]  # fmt: skip
    return made + [
        Document(id=f"alone{number}", content="text", meta={"language": "en"}, embedding=[0.0, 1.0])
        for number in range(alone)
    ]


@pytest.fixture(params=["in memory", "qdrant"])
def store(request: pytest.FixtureRequest) -> Any:
    made: Any = InMemoryDocumentStore()
    if request.param == "qdrant":
        made = QdrantDocumentStore(location=":memory:", embedding_dim=2, similarity="dot_product", progress_bar=False)
    made.write_documents(documents())
    return made


def test_pages_hold_each_document_once(store: Any) -> None:
    pages = list(read_pages(store, SOURCE, group_field="parallel_id", page=10))
    names = [document.id for page in pages for document in page]
    assert sorted(names) == sorted(document.id for document in documents())
    # 62 documents of 30 groups, about ten a page: whole groups, and those without a group at the end.
    assert max(map(len, pages)) <= 10
    assert {document.id for document in pages[-1]} == {"alone0", "alone1"}


def test_a_small_store_is_read_at_once(store: Any) -> None:
    assert [len(page) for page in read_pages(store, SOURCE, group_field="meta.parallel_id", page=62)] == [62]


class Limited:
    """A store of the plain protocol that returns no more than ten documents, as some servers do."""

    def __init__(self, store: InMemoryDocumentStore) -> None:
        self._store = store

    def count_documents(self) -> int:
        return self._store.count_documents()

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        return self._store.filter_documents(filters)[:10]


def test_a_store_that_withholds_documents_is_refused() -> None:
    whole = InMemoryDocumentStore()
    whole.write_documents(documents())
    with pytest.raises(InputError, match=r"store.yaml: the store gives other documents .* seen: '10 of 62'"):
        list(read_pages(Limited(whole), SOURCE, group_field="parallel_id", page=20))


def test_the_fault_of_a_store_names_its_file() -> None:
    class Broken(Limited):
        def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
            raise RuntimeError(f"the server went away\n{filters}")

    filled = InMemoryDocumentStore()
    filled.write_documents(documents())
    with pytest.raises(ExternalError, match=r"^store.yaml: the document store failed: the server went away$"):
        list(read_pages(Broken(filled), SOURCE, group_field="parallel_id"))


@pytest.mark.parametrize(
    ("made", "similarity"),
    [
        (lambda: InMemoryDocumentStore(embedding_similarity_function="cosine"), "cosine"),
        (lambda: InMemoryDocumentStore(embedding_similarity_function="dot_product"), "dot"),
        (lambda: QdrantDocumentStore(location=":memory:", similarity="l2"), "euclidean"),
        (object, None),
    ],
)
def test_the_similarity_is_that_of_the_store(made: Any, similarity: str | None) -> None:
    assert store_similarity(made()) == similarity


def test_a_store_that_is_opened_for_an_audit_cannot_write(tmp_path: Path) -> None:
    file = tmp_path / "store.yaml"
    file.write_text(f"type: {IN_MEMORY}\n", encoding="utf-8")
    opened = open_store(file)
    assert opened.notes == ()
    with pytest.raises(WriteRefusedError, match="write_documents"):
        opened.store.write_documents(documents())
    with pytest.raises(WriteRefusedError, match="delete_documents"):
        opened.store.delete_documents(["en1"])


def test_a_pipeline_with_one_store_in_two_places_names_it_once(tmp_path: Path) -> None:
    file = tmp_path / "query.yaml"
    store = f"document_store: {{type: {IN_MEMORY}, init_parameters: {{return_embedding: true}}}}"
    parts = "haystack.components.retrievers.in_memory"
    lines = [
        "components:",
        f"  bm25: {{type: {parts}.InMemoryBM25Retriever, init_parameters: {{{store}}}}}",
        f"  dense: {{type: {parts}.InMemoryEmbeddingRetriever, init_parameters: {{{store}}}}}",
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert isinstance(open_store(file).store, InMemoryDocumentStore)
    file.write_text("\n".join([*lines[:2], lines[2].replace("true", "false")]), encoding="utf-8")
    with pytest.raises(InputError, match="holds 2 document stores"):
        open_store(file)


def test_a_store_in_python_is_read_like_one_in_a_file(store: Any, tmp_path: Path) -> None:
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"id": "q", "text": "t", "language": "en", "parallel_id": "g1"}\n', encoding="utf-8")
    read = read_store(FilesRequest(queries=queries), log=ReadingLog(), store=store)
    pool = read.collection.documents
    assert list(pool.ids) == sorted((document.id for document in documents()), key=str.encode)
    assert pool.vectors is not None
    assert pool.vectors[pool.ids.index("zh7")].tolist() == [1.0, 7.0]
    assert [pool.ids[index] for index in read.collection.relevant[0]] == ["en1", "zh1"]


def test_a_store_that_returns_no_vectors_says_how_to_get_them(tmp_path: Path) -> None:
    store = InMemoryDocumentStore(return_embedding=False)
    store.write_documents(documents())
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"id": "q", "text": "t", "language": "en", "parallel_id": "g1"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"gives no vectors; seen: '62 documents'; allowed: return_embedding: true"):
        read_store(FilesRequest(queries=queries), log=ReadingLog(), store=store)
