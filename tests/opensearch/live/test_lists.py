"""Live lists, against Haystack's own retrievers and joiner on a real server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from haystack import Document
from haystack.components.joiners import DocumentJoiner
from haystack_integrations.components.retrievers.opensearch import OpenSearchBM25Retriever, OpenSearchEmbeddingRetriever
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.traffic import Exchange, Traffic
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.live.hybrid import HybridRetrieval, fuse
from haystack_crossalign.opensearch.live.lists import Bm25Retrieval, KnnRetrieval

DIMENSION = 8
DOCUMENTS = 150
QUERIES = 7
INDEX = "lists-own"
TENANT = {"term": {"tenant": "b"}}
TENANT_IN_HAYSTACK = {"field": "meta.tenant", "operator": "==", "value": "b"}
WORDS = ["river", "mountain", "window", "garden", "letter", "winter", "silver", "bridge", "candle", "harbour"]


def texts(rng: np.random.Generator, count: int, words: int) -> list[str]:
    return [" ".join(rng.choice(WORDS, size=words).tolist()) for _ in range(count)]


@pytest.fixture(scope="session")
def index(opensearch: Any, indexing: Any) -> str:
    rng = np.random.default_rng(3)
    documents: dict[str, dict[str, Any]] = {}
    for number, content in enumerate(texts(rng, DOCUMENTS, 6)):
        name = f"d{number * 37 % DOCUMENTS:03}"
        documents[name] = {
            "id": name,
            "content": content,
            "embedding": [float(x) for x in rng.normal(size=DIMENSION)],
            "language": ["en", "zh-cn", "ar"][number % 3],
            "tenant": "b" if number % 6 == 0 else "a",
        }
        if number % 5:
            documents[name]["group"] = f"g{number // 3}"
    indexing.create(opensearch, INDEX, documents, indexing.mapping(DIMENSION))
    return INDEX


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return np.random.default_rng(4).normal(size=(QUERIES, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="session")
def asked() -> list[str]:
    return [*texts(np.random.default_rng(5), QUERIES - 1, 2), "rivr montain"]


@pytest.fixture(scope="session")
def store(opensearch: Any, index: str) -> Any:
    store = OpenSearchDocumentStore(hosts=opensearch.url, index=index, create_index=False, timeout=60)
    yield store
    store.close()


@pytest.fixture
def client(opensearch: Any) -> Any:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


def view_of(client: ReadOnlyClient, user_filter: Any = None) -> IndexView:
    fields = read_fields(client, INDEX, vector="embedding", language="language", group="group")
    return IndexView(client, INDEX, fields, user_filter=user_filter, language_of=lambda tag: tag[:2])


def pairs(lists: list[list[Hit]]) -> list[list[tuple[str, float]]]:
    return [[(hit.id, hit.score) for hit in row] for row in lists]


def as_pairs(documents: list[Document]) -> list[tuple[str, float]]:
    return [(document.id, float(np.float32(document.score))) for document in documents]


@pytest.mark.parametrize("user_filter", [None, TENANT])
@pytest.mark.parametrize("efficient", [False, True])
def test_nearest_neighbours_are_those_of_haystacks_retriever(
    client: ReadOnlyClient, index: str, store: Any, vectors: np.ndarray, efficient: bool, user_filter: Any
) -> None:
    more = {"method_parameters": {"ef_search": 64}} if efficient else None
    retriever = OpenSearchEmbeddingRetriever(
        document_store=store,
        efficient_filtering=efficient,
        filters=TENANT_IN_HAYSTACK if user_filter else None,
        search_kwargs=more,
    )
    view = view_of(client, user_filter)
    retrieval = KnnRetrieval(view, efficient_filtering=efficient, search_kwargs=more, batch=3)
    with client.point_in_time(index) as frozen:
        lists = retrieval.retrieve([""] * QUERIES, vectors, 12, frozen)
    theirs = [retriever.run(vector.tolist(), top_k=12)["documents"] for vector in vectors]
    expected = [as_pairs(documents) for documents in theirs]
    assert [[name for name, _ in row] for row in pairs(lists)] == [[name for name, _ in row] for row in expected]
    # Once the server's sums are compiled (Java's Vector API), scores have other last bits.
    assert [score for row in pairs(lists) for _, score in row] == pytest.approx(
        [score for row in expected for _, score in row], rel=1e-6
    )
    # Filtering behind the search leaves lists short, filtering within it does not.
    full = user_filter is None or efficient
    assert all(len(row) == 12 for row in lists) == full, [len(row) for row in lists]
    shown = {document.id: document.meta for documents in theirs for document in documents}
    for hit in (hit for row in lists for hit in row):
        assert (hit.language, hit.group) == (shown[hit.id]["language"][:2], shown[hit.id].get("group"))


@pytest.mark.parametrize("user_filter", [None, TENANT])
@pytest.mark.parametrize(("fuzziness", "every_term"), [(0, False), ("AUTO", False), (0, True)])
def test_keyword_lists_are_those_of_haystacks_retriever(
    client: ReadOnlyClient,
    index: str,
    store: Any,
    asked: list[str],
    fuzziness: int | str,
    every_term: bool,
    user_filter: Any,
) -> None:
    retriever = OpenSearchBM25Retriever(
        document_store=store,
        fuzziness=fuzziness,
        all_terms_must_match=every_term,
        filters=TENANT_IN_HAYSTACK if user_filter else None,
    )
    retrieval = Bm25Retrieval(view_of(client, user_filter), fuzziness=fuzziness, all_terms_must_match=every_term)
    lists = retrieval.retrieve(asked, None, 9, index)
    assert pairs(lists) == [as_pairs(retriever.run(text, top_k=9)["documents"]) for text in asked]
    assert bool(lists[-1]) == (fuzziness == "AUTO")


def test_keyword_search_can_be_kept_to_the_content(client: ReadOnlyClient, index: str) -> None:
    everywhere = Bm25Retrieval(view_of(client)).retrieve(["ar"], None, 5, index)
    content = Bm25Retrieval(view_of(client), fields=["content"]).retrieve(["ar", "river"], None, 5, index)
    assert [hit.language for hit in everywhere[0]] == ["ar"] * 5
    assert [len(row) for row in content] == [0, 5]


def test_hybrid_lists_are_those_of_haystacks_joiner(
    client: ReadOnlyClient, index: str, store: Any, asked: list[str], vectors: np.ndarray
) -> None:
    view = view_of(client)
    lists = HybridRetrieval(KnnRetrieval(view), Bm25Retrieval(view)).retrieve(asked, vectors, 10, index)
    joiner = DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=10)
    for text, vector, row in zip(asked, vectors, lists, strict=True):
        keyword = OpenSearchBM25Retriever(document_store=store).run(text, top_k=10)["documents"]
        nearest = OpenSearchEmbeddingRetriever(document_store=store).run(vector.tolist(), top_k=10)["documents"]
        joined = joiner.run([keyword, nearest])["documents"]
        assert [(hit.id, hit.score) for hit in row] == [(document.id, document.score) for document in joined]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_fusion_makes_the_very_numbers_of_haystacks_joiner(count: int) -> None:
    rng = np.random.default_rng(count)
    names = [[f"d{number}" for number in rng.permutation(30)[:20]] for _ in range(count)]
    fused = fuse([[Hit(name, 1.0, "en", None) for name in row] for row in names])
    joiner = DocumentJoiner(join_mode="reciprocal_rank_fusion")
    joined = joiner.run([[Document(id=name, score=1.0) for name in row] for row in names])["documents"]
    assert [(hit.id, hit.score) for hit in fused] == [(document.id, document.score) for document in joined]


def test_nested_vectors_are_found_by_their_best_one(client: ReadOnlyClient, opensearch: Any, indexing: Any) -> None:
    rng = np.random.default_rng(6)
    parts = rng.normal(size=(30, 3, DIMENSION)).astype(np.float32)
    mapping = indexing.mapping(DIMENSION)
    nested = {"vector": mapping["properties"].pop("embedding")}
    mapping["properties"]["parts"] = {"type": "nested", "properties": nested}
    documents = {
        f"d{number:02}": {"language": "en", "parts": [{"vector": [float(x) for x in part]} for part in parts[number]]}
        for number in range(30)
    }
    indexing.create(opensearch, "lists-nested", documents, mapping)
    fields = read_fields(client, "lists-nested", vector="parts.vector", language="language")
    view = IndexView(client, "lists-nested", fields)
    queries = rng.normal(size=(4, DIMENSION)).astype(np.float32)
    lists = KnnRetrieval(view).retrieve([""] * 4, queries, 30, "lists-nested")
    cosines = np.einsum("qd,npd->qnp", queries, parts) / np.linalg.norm(parts, axis=2)
    best = cosines.max(axis=2)
    assert [[hit.id for hit in row] for row in lists] == [
        [f"d{number:02}" for number in np.argsort(-row)] for row in best
    ]


def test_lists_are_those_of_the_point_in_time(client: ReadOnlyClient, opensearch: Any, indexing: Any) -> None:
    document = {"embedding": [1.0] * DIMENSION, "content": "river", "language": "en"}
    indexing.create(opensearch, "lists-frozen", {"old": document}, indexing.mapping(DIMENSION), shards=1)
    view = IndexView(client, "lists-frozen", read_fields(client, "lists-frozen", vector="embedding"))
    vector = np.ones((1, DIMENSION), dtype=np.float32)
    hybrid = HybridRetrieval(KnnRetrieval(view), Bm25Retrieval(view))
    with client.point_in_time("lists-frozen") as frozen:
        opensearch.request("PUT", "/lists-frozen/_doc/new?refresh=true", document)
        assert [hit.id for hit in hybrid.retrieve(["river"], vector, 5, frozen)[0]] == ["old"]
        assert {hit.id for hit in hybrid.retrieve(["river"], vector, 5, "lists-frozen")[0]} == {"old", "new"}


def test_requests_are_bounded_and_only_read(opensearch: Any, index: str, vectors: np.ndarray) -> None:
    seen: list[Exchange] = []
    client = ReadOnlyClient(opensearch.url, traffic=Traffic(seen.append))
    view = view_of(client)
    seen.clear()
    KnnRetrieval(view, batch=3).retrieve([""] * QUERIES, vectors, 5, index)
    client.close()
    assert [exchange.operation for exchange in seen] == ["msearch"] * 3


def test_what_cannot_be_asked_for_is_refused(client: ReadOnlyClient, index: str, vectors: np.ndarray) -> None:
    view = view_of(client)
    knn, bm25 = KnnRetrieval(view), Bm25Retrieval(view)
    for depth in (0, 10_001):
        with pytest.raises(InputError, match="depth"):
            bm25.retrieve(["river"], None, depth, index)
        with pytest.raises(InputError, match="depth"):
            knn.retrieve([""] * QUERIES, vectors, depth, index)
    for wrong in (None, vectors[:2]):
        with pytest.raises(InputError, match="vector"):
            knn.retrieve([""] * QUERIES, wrong, 5, index)


@pytest.mark.usefixtures("index")
def test_provenance_tells_what_was_asked(client: ReadOnlyClient) -> None:
    view = view_of(client)
    knn = KnnRetrieval(view, search_kwargs={"method_parameters": {"ef_search": 64}})
    hybrid = HybridRetrieval(knn, Bm25Retrieval(view, fields=["content"], all_terms_must_match=True))
    assert hybrid.provenance() == {
        "name": "hybrid:rrf",
        "fusion": "reciprocal_rank_fusion",
        "parts": [
            {"name": "bm25", "fields": ["content"], "fuzziness": 0, "operator": "AND"},
            {
                "name": "knn",
                "field": "embedding",
                "efficient_filtering": False,
                "search_kwargs": {"method_parameters": {"ef_search": 64}},
            },
        ],
    }
    assert [retrieval.asked_depth(7) for retrieval in (knn, hybrid)] == [7, 7]
