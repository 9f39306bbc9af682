from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline, component
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import FilterPolicy
from haystack_integrations.components.retrievers.opensearch import OpenSearchEmbeddingRetriever
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from opensearch_servers import create_index, vector_mapping

from haystack_crossalign.components import LanguageBalancedRetriever
from haystack_crossalign.errors import ExternalError, InputError

LANGUAGES = ["en", "de", "zh"]
DIMENSION = 8


def made_documents() -> list[Document]:
    """40 documents; those of one language lie together, so that a plain search returns one language only."""
    rng = np.random.default_rng(2)
    documents = []
    for number in range(40):
        language = [*LANGUAGES, "ar", None][number % 5]
        vector = rng.normal(size=DIMENSION)
        vector[number % 5] += 6.0
        meta: dict[str, Any] = {"year": 2000 + number}
        if language is not None:
            meta["language"] = language
        documents.append(Document(id=f"d{number:02}", content=f"word{number}", meta=meta, embedding=vector.tolist()))
    return documents


DOCUMENTS = made_documents()
QUERY = (np.eye(DIMENSION)[0] * 3 + np.random.default_rng(3).normal(size=DIMENSION)).tolist()


def balanced(documents: list[Document], own: str | None, top_k: int, *, others: bool = True) -> list[str]:
    """The definition: sort each language by cosine, then take them in turn."""
    query = np.array(QUERY)

    def cosine(document: Document) -> float:
        vector = np.array(document.embedding)
        return float(vector @ query / np.linalg.norm(vector) / np.linalg.norm(query))

    order = sorted(LANGUAGES, key=lambda tag: tag != own)
    lists = [[one for one in documents if one.meta.get("language") == tag] for tag in order]
    if others:
        lists.append([one for one in documents if one.meta.get("language") not in LANGUAGES])
    lists = [sorted(one, key=cosine, reverse=True) for one in lists]
    turns = [one[place].id for place in range(len(documents)) for one in lists if place < len(one)]
    return turns[:top_k]


@pytest.fixture(scope="module")
def memory() -> InMemoryDocumentStore:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(DOCUMENTS)
    return store


@pytest.fixture
def cluster(opensearch: Any) -> OpenSearchDocumentStore:
    """A store of its own for each test, since an asynchronous client belongs to one event loop."""
    rows = {one.id: {"id": one.id, "content": one.content, "embedding": one.embedding, **one.meta} for one in DOCUMENTS}
    create_index(opensearch, "balanced", rows, vector_mapping(DIMENSION), shards=2)
    return OpenSearchDocumentStore(hosts=opensearch.url, index="balanced", create_index=False)


def asked_async(retriever: LanguageBalancedRetriever, **inputs: Any) -> dict[str, list[Document]]:
    """The answer of a store's asynchronous client, which is closed in its own event loop."""

    async def ask() -> dict[str, list[Document]]:
        try:
            return await retriever.run_async(**inputs)
        finally:
            await retriever.retriever.close_async()

    return asyncio.run(ask())


def ids(answer: dict[str, list[Document]]) -> list[str]:
    return [one.id for one in answer["documents"]]


@pytest.mark.parametrize("own", [None, "de", "zh-CN", "fr"])
@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("top_k", [1, 10, 100])
def test_languages_take_turns_in_the_order_of_their_own_ranks(memory, own, others, top_k) -> None:
    retriever = LanguageBalancedRetriever(
        retriever=InMemoryEmbeddingRetriever(memory), languages=LANGUAGES, others=others, top_k=top_k
    )
    expected = balanced(DOCUMENTS, {"zh-CN": "zh"}.get(own, own), top_k, others=others)
    answer = retriever.run(query_embedding=QUERY, language=own)
    assert ids(answer) == expected
    assert ids(asyncio.run(retriever.run_async(query_embedding=QUERY, language=own))) == expected
    scores = [one.score for one in answer["documents"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1 / 61)


def test_a_plain_search_shows_one_language_here_and_the_balanced_one_all(memory) -> None:
    plain = InMemoryEmbeddingRetriever(memory, top_k=8).run(query_embedding=QUERY)["documents"]
    assert {one.meta.get("language") for one in plain} == {"en"}
    retriever = LanguageBalancedRetriever(retriever=InMemoryEmbeddingRetriever(memory), languages=LANGUAGES, top_k=8)
    found = retriever.run(query_embedding=QUERY)["documents"]
    assert {one.meta.get("language") for one in found} >= set(LANGUAGES)


@pytest.mark.parametrize("policy", [FilterPolicy.REPLACE, FilterPolicy.MERGE])
def test_filters_of_the_call_and_of_the_retriever_hold_in_every_language(memory, policy) -> None:
    late = {"field": "meta.year", "operator": ">=", "value": 2010}
    early = {"field": "meta.year", "operator": "<", "value": 2030}
    retriever = LanguageBalancedRetriever(
        retriever=InMemoryEmbeddingRetriever(memory, filters=late, filter_policy=policy), languages=LANGUAGES
    )
    between = [one for one in DOCUMENTS if 2010 <= one.meta["year"] < 2030]
    assert ids(retriever.run(query_embedding=QUERY, filters=early, top_k=50)) == balanced(between, None, 50)


def test_retrievers_of_texts_are_asked_by_their_own_inputs(memory) -> None:
    pipeline = Pipeline()
    inner = InMemoryBM25Retriever(memory)
    pipeline.add_component("search", LanguageBalancedRetriever(retriever=inner, languages=LANGUAGES, others=False))
    found = pipeline.run({"search": {"query": "word1 word2 word5", "language": "de"}})["search"]["documents"]
    assert found[0].meta["language"] == "de"
    again = Pipeline.loads(pipeline.dumps())
    assert again.run({"search": {"query": "word1 word2 word5", "language": "de"}})["search"]["documents"] == found


def test_documents_with_several_languages_or_other_spellings_are_found_once(opensearch: Any) -> None:
    """An index may hold lists of languages, and zh beside zh-CN; its filters tell spellings apart."""
    languages = ["en", "de", ["de", "en"], "zh-CN", ["zh", "en"], None, "zh"]
    vectors = np.eye(DIMENSION)
    rows = {
        f"m{place}": {"id": f"m{place}", "content": "a", "embedding": (vectors[0] * (9 - place) + vectors[1]).tolist()}
        | ({} if language is None else {"language": language})
        for place, language in enumerate(languages)
    }
    create_index(opensearch, "balanced-lists", rows, vector_mapping(DIMENSION), shards=1)
    store = OpenSearchDocumentStore(hosts=opensearch.url, index="balanced-lists", create_index=False)
    retriever = LanguageBalancedRetriever(
        retriever=OpenSearchEmbeddingRetriever(document_store=store), languages=LANGUAGES, top_k=20
    )
    # By hand, nearest first: en 0 2 4, de 1 2, zh 4 6, others 3 5.
    found = retriever.run(query_embedding=vectors[0].tolist(), language="zh-TW")["documents"]
    assert [one.id for one in found] == ["m0", "m1", "m4", "m3", "m2", "m6", "m5"]
    found = retriever.run(query_embedding=vectors[0].tolist(), language="zh-CN")["documents"]
    assert [one.id for one in found] == ["m4", "m0", "m1", "m3", "m6", "m2", "m5"]


@pytest.mark.parametrize("own", [None, "zh"])
def test_opensearch_is_asked_once_for_all_languages(cluster, own, monkeypatch) -> None:
    retriever = LanguageBalancedRetriever(
        retriever=OpenSearchEmbeddingRetriever(document_store=cluster), languages=LANGUAGES, top_k=30
    )
    assert ids(retriever.run(query_embedding=QUERY, language=own)) == balanced(DOCUMENTS, own, 30)
    assert ids(asked_async(retriever, query_embedding=QUERY, language=own)) == balanced(DOCUMENTS, own, 30)
    sent: list[str] = []
    transport = cluster._client.transport
    perform = transport.perform_request

    def count(method: str, url: str, *rest: Any, **named: Any) -> Any:
        sent.append(url)
        return perform(method, url, *rest, **named)

    monkeypatch.setattr(transport, "perform_request", count)
    late = {"field": "meta.year", "operator": ">=", "value": 2030}
    found = retriever.run(query_embedding=QUERY, filters=late)
    assert ids(found) == balanced([one for one in DOCUMENTS if one.meta["year"] >= 2030], None, 30)
    assert sent == ["/balanced/_msearch"]


def test_what_opensearch_refuses_is_an_error_or_an_empty_list_as_the_retriever_says(cluster) -> None:
    wrong = [1.0] * (DIMENSION + 1)
    strict = LanguageBalancedRetriever(
        retriever=OpenSearchEmbeddingRetriever(document_store=cluster), languages=LANGUAGES
    )
    with pytest.raises(ExternalError, match="a search of a batch failed"):
        strict.run(query_embedding=wrong)
    lenient = LanguageBalancedRetriever(
        retriever=OpenSearchEmbeddingRetriever(document_store=cluster, raise_on_failure=False), languages=LANGUAGES
    )
    assert lenient.run(query_embedding=wrong) == {"documents": []}
    assert asked_async(lenient, query_embedding=wrong) == {"documents": []}


def test_a_retriever_that_ignores_filters_is_found_out() -> None:
    @component
    class Deaf:
        @component.output_types(documents=list[Document])
        def run(self, query: str, filters: dict[str, Any] | None = None, top_k: int = 10) -> dict[str, Any]:
            assert query
            assert filters
            return {"documents": DOCUMENTS[:top_k]}

    retriever = LanguageBalancedRetriever(retriever=Deaf(), languages=LANGUAGES)
    with pytest.raises(InputError, match=r"another language than asked for.*filters must be obeyed"):
        retriever.run(query="x")


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        (["en"], "too few languages"),
        (["en", "de", "en"], "a language twice"),
        (["zh", "zh-CN"], "a language twice"),
        (["en", 5], "not a language"),
        (["en", ""], "not a language"),
    ],
)
def test_languages_are_checked(memory, languages, message) -> None:
    with pytest.raises(InputError, match=message):
        LanguageBalancedRetriever(retriever=InMemoryEmbeddingRetriever(memory), languages=languages)


def test_a_retriever_without_filters_is_refused() -> None:
    from haystack.components.joiners import DocumentJoiner

    with pytest.raises(InputError, match="takes no filters"):
        LanguageBalancedRetriever(retriever=DocumentJoiner(), languages=LANGUAGES)


def test_a_custom_query_that_takes_no_filters_is_refused() -> None:
    store = OpenSearchDocumentStore(hosts="http://127.0.0.1:9", index="i", create_index=False)
    query = {"query": {"knn": {"embedding": {"vector": "$query_embedding", "k": 10}}}}
    with pytest.raises(InputError, match="takes no filters"):
        LanguageBalancedRetriever(
            retriever=OpenSearchEmbeddingRetriever(document_store=store, custom_query=query), languages=LANGUAGES
        )
    retriever = LanguageBalancedRetriever(
        retriever=OpenSearchEmbeddingRetriever(document_store=store), languages=LANGUAGES
    )
    with pytest.raises(InputError, match="takes no filters"):
        retriever.run(query_embedding=QUERY, custom_query=query)


@pytest.mark.parametrize("top_k", [0, -1, True, 1.5])
def test_the_number_of_documents_is_checked(memory, top_k) -> None:
    with pytest.raises(InputError, match="wrong number of documents"):
        LanguageBalancedRetriever(retriever=InMemoryEmbeddingRetriever(memory), languages=LANGUAGES, top_k=top_k)
