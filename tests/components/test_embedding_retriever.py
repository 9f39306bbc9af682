"""The retriever while an alias moves: every answer is one index's own, for its own model."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret
from haystack_integrations.components.retrievers.opensearch import OpenSearchEmbeddingRetriever
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from opensearch_servers import create_index, vector_mapping
from requirements import require
from switching import (
    ALIAS,
    DIMENSION,
    EXACT,
    NEW,
    OLD,
    QUERIES,
    TEXTS,
    TOP,
    Pair,
    Traffic,
    both,
    delete,
    fill,
    listed,
    open_store,
    pair,
    point,
    same,
    two_models,
)

from haystack_crossalign.components import CrossAlignEmbeddingRetriever
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.identity import describe_model
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import write_matrix_file

__all__ = ["both", "pair", "two_models"]

SWITCHES = 100


def when_embedded(retriever: CrossAlignEmbeddingRetriever, *actions: Callable[[], object]) -> list[Any]:
    """Do something each time between embedding and searching, as long as there is something to do."""
    pending, embed = list(actions), retriever._models.embed
    models: list[Any] = []

    def embedding(model: Any, index: str, text: str) -> list[float]:
        vector = embed(model, index, text)
        models.append(index)
        if pending:
            pending.pop(0)()
        return vector

    retriever._models.embed = embedding  # type: ignore[method-assign]
    return models


def test_the_four_answers_to_each_query_can_be_told_apart(pair: Pair) -> None:
    """Else no test here could see a mixture. A second implementation gives the right two."""
    for query in QUERIES:
        answers = [*pair.right[query].values(), *pair.mixed[query].values()]
        assert len({tuple(name for name, _ in answer) for answer in answers}) == 4
        for index, encoder in ((OLD, pair.models.old), (NEW, pair.models.new)):
            cosines = encoder.encode_documents(list(TEXTS.values())) @ encoder.encode_queries([query])[0]
            best = [list(TEXTS)[row] for row in np.argsort(-cosines)[: len(pair.right[query][index])]]
            assert [name for name, _ in pair.right[query][index]] == best


def test_threads_that_search_while_the_alias_moves_get_no_mixture(pair: Pair) -> None:
    retriever = pair.retriever()
    retriever.warm_up()
    with Traffic(lambda query: retriever.run(query)["documents"]) as traffic:
        traffic.wait_for(8)
        for number in range(SWITCHES):
            pair.switch(OLD if number % 2 else NEW)
            # Often several times within one search, now and then with searches in between.
            traffic.wait_for(random.Random(number).choice([0, 0, 1, 5]))  # noqa: S311
        traffic.wait_for(8)
    assert traffic.failures == []
    origins = [pair.origin(query, found) for query, found in traffic.answers]
    assert set(origins) == {OLD, NEW}


def test_coroutines_that_search_while_the_alias_moves_get_no_mixture(pair: Pair) -> None:
    async def ask(retriever: CrossAlignEmbeddingRetriever, number: int, done: asyncio.Event) -> list[str]:
        origins = []
        while not done.is_set():
            query = QUERIES[number % len(QUERIES)]
            number += 1
            origins.append(pair.origin(query, listed((await retriever.run_async(query))["documents"])))
        return origins

    async def search() -> list[str]:
        retriever, done = pair.retriever(), asyncio.Event()
        workers = [asyncio.create_task(ask(retriever, number, done)) for number in range(6)]
        for number in range(SWITCHES):
            await asyncio.to_thread(pair.switch, OLD if number % 2 else NEW)
            await asyncio.sleep(random.Random(number).choice([0, 0, 0.01, 0.03]))  # noqa: S311
        done.set()
        found = await asyncio.gather(*workers)
        await retriever.close_async()
        return [origin for origins in found for origin in origins]

    assert set(asyncio.run(search())) == {OLD, NEW}


def test_the_same_traffic_on_the_stock_parts_finds_mixtures(pair: Pair) -> None:
    """The alias moves exactly between embedder and retriever, as it may at any time."""
    stock = OpenSearchEmbeddingRetriever(document_store=open_store(pair.server), top_k=8, search_kwargs=EXACT)
    vector = pair.models.old.encode_queries([QUERIES[0]])[0].tolist()
    pair.switch(NEW)
    assert pair.origin(QUERIES[0], listed(stock.run(query_embedding=vector)["documents"])) == "mixture"


def test_an_application_that_asks_the_alias_for_its_model_first_still_mixes(pair: Pair) -> None:
    """Under the very traffic that the retriever bears; what it takes is to search the real index."""
    stock = OpenSearchEmbeddingRetriever(document_store=open_store(pair.server), top_k=8, search_kwargs=EXACT)

    def ask(query: str) -> list[Document]:
        (index,) = pair.server.request("GET", f"/_alias/{ALIAS}")
        encoder = {OLD: pair.models.old, NEW: pair.models.new}[index]
        found: list[Document] = stock.run(query_embedding=encoder.encode_queries([query])[0].tolist())["documents"]
        return found

    origins: list[str] = []
    for _ in range(20):
        with Traffic(ask) as traffic:
            for number in range(SWITCHES):
                pair.switch(OLD if number % 2 else NEW)
                traffic.wait_for(random.Random(number).choice([0, 0, 1, 5]))  # noqa: S311
        origins += [pair.origin(query, found) for query, found in traffic.answers]
        if "mixture" in origins:
            break
        pair.switch(OLD)
    assert "mixture" in origins


def test_a_switch_between_embedding_and_searching_is_asked_again(pair: Pair) -> None:
    retriever = pair.retriever()
    retriever.warm_up()
    embedded = when_embedded(retriever, lambda: pair.switch(NEW))
    assert pair.origin(QUERIES[0], listed(retriever.run(QUERIES[0])["documents"])) == NEW
    assert embedded == [OLD, NEW]


def test_an_answer_of_the_first_query_counts_although_the_alias_has_moved(pair: Pair) -> None:
    retriever = pair.retriever()
    embedded = when_embedded(retriever, lambda: pair.switch(NEW))
    assert pair.origin(QUERIES[0], listed(retriever.run(QUERIES[0])["documents"])) == OLD
    assert pair.origin(QUERIES[0], listed(retriever.run(QUERIES[0])["documents"])) == NEW
    assert embedded == [OLD, NEW]


def test_an_index_that_is_deleted_under_the_search_is_left(pair: Pair) -> None:
    def replace() -> None:
        pair.switch(NEW)
        delete(pair.server, OLD)

    retriever = pair.retriever()
    embedded = when_embedded(retriever, replace)
    assert pair.origin(QUERIES[1], listed(retriever.run(QUERIES[1])["documents"])) == NEW
    assert embedded == [OLD, NEW]


def test_an_index_made_again_under_the_same_name_is_another_index(pair: Pair) -> None:
    """Its vectors are the new model's by then, so the first answer was a mixture that no name could tell."""

    def remake() -> None:
        vectors = pair.models.new.encode_documents(list(TEXTS.values()))
        fill(pair.server, OLD, vectors, describe_model(pair.models.new))
        point(pair.server, OLD)

    retriever = pair.retriever()
    when_embedded(retriever, remake)
    found = listed(retriever.run(QUERIES[2])["documents"])
    assert same(found, pair.right[QUERIES[2]][NEW])


def test_indices_that_never_stay_are_given_up(pair: Pair) -> None:
    def remake() -> None:
        fill(pair.server, OLD, pair.models.old.encode_documents(list(TEXTS.values())), describe_model(pair.models.old))
        point(pair.server, OLD)

    retriever = pair.retriever()
    when_embedded(retriever, *[remake] * 5)
    with pytest.raises(ExternalError, match="replaced 5 times in a row"):
        retriever.run(QUERIES[0])


def test_a_switch_to_a_model_of_another_dimension_is_no_failure(pair: Pair, offline_model: str) -> None:
    other = Encoder(offline_model, precision="fp32")
    fill(pair.server, NEW, other.encode_documents(list(TEXTS.values())), describe_model(other))
    retriever = pair.retriever()
    retriever.warm_up()
    embedded = when_embedded(retriever, lambda: pair.switch(NEW))
    found = retriever.run(QUERIES[0])["documents"]
    assert embedded == [OLD, NEW]
    assert same(listed(found), listed(pair.stock(NEW, other.encode_queries([QUERIES[0]])[0].tolist())))


def test_filter_and_routing_of_the_alias_hold(pair: Pair) -> None:
    only = {"term": {"language": "zh"}}
    point(pair.server, OLD, filter=only, search_routing="a")
    vector = pair.models.old.encode_queries([QUERIES[0]])[0].tolist()
    by_alias = pair.stock(ALIAS, vector)
    assert {list(TEXTS).index(document.id) % 2 for document in by_alias} == {0}
    assert same(listed(pair.retriever().run(QUERIES[0])["documents"]), listed(by_alias))
    # A filter of the alias alone is a change as well.
    retriever = pair.retriever()
    retriever.warm_up()
    point(pair.server, OLD)
    assert pair.origin(QUERIES[0], listed(retriever.run(QUERIES[0])["documents"])) == OLD


@pytest.mark.parametrize(
    "options",
    [
        {"filters": {"field": "language", "operator": "==", "value": "zh"}},
        {"filters": {"field": "language", "operator": "==", "value": "zh"}, "efficient_filtering": True},
        {"top_k": 3},
        {"search_kwargs": {"method_parameters": {"ef_search": 100}}},
        {"custom_query": {"query": {"knn": {"embedding": {"vector": "$query_embedding", "k": 2}}}}},
    ],
)
def test_the_options_are_those_of_the_stock_retriever(pair: Pair, options: dict[str, Any]) -> None:
    vector = pair.models.old.encode_queries([QUERIES[3]])[0].tolist()
    wanted = listed(pair.stock(ALIAS, vector, **options))
    assert same(listed(pair.retriever().run(QUERIES[3], **options)["documents"]), wanted)
    assert same(listed(pair.retriever(**options).run(QUERIES[3])["documents"]), wanted)


@pytest.mark.parametrize(
    "options", [{}, {"filters": {"field": "language", "operator": "==", "value": "zh"}, "efficient_filtering": True}]
)
def test_a_field_beside_the_old_vectors_is_searched_by_its_own_model(pair: Pair, options: dict[str, Any]) -> None:
    """The new vectors of the same texts lie beside the old ones: each field answers as the index of its model does."""
    field = "embedding_12345678"
    texts = list(TEXTS.values())
    documents = {
        key: {"id": key, "content": text, "language": "en" if n % 2 else "zh", "embedding": old, field: new}
        for n, ((key, text), old, new) in enumerate(
            zip(
                TEXTS.items(),
                pair.models.old.encode_documents(texts).tolist(),
                pair.models.new.encode_documents(texts).tolist(),
                strict=True,
            )
        )
    }
    mapping = vector_mapping(DIMENSION)
    mapping["properties"][field] = mapping["properties"]["embedding"]
    own = {"model": describe_model(pair.models.old), "fields": {field: describe_model(pair.models.new)}}
    create_index(pair.server, "switching-both", documents, mapping | {"_meta": {"crossalign": own}}, shards=1)
    try:
        store = open_store(pair.server, "switching-both")
        for name, index, encoder in (("embedding", OLD, pair.models.old), (field, NEW, pair.models.new)):
            retriever = pair.retriever(document_store=store, embedding_field=name, **options)
            for query in QUERIES[:3]:
                found = retriever.run(query, top_k=TOP)["documents"]
                wanted = pair.stock(index, encoder.encode_queries([query])[0].tolist(), **options)
                assert same(listed(found), listed(wanted))
    finally:
        delete(pair.server, "switching-both")


def test_the_sockets_are_those_of_the_stock_retriever_but_for_the_query(pair: Pair) -> None:
    ours, stock = pair.retriever(), OpenSearchEmbeddingRetriever(document_store=open_store(pair.server))
    inputs = {name.replace("query_embedding", "query") for name in stock.__haystack_input__._sockets_dict}
    assert set(ours.__haystack_input__._sockets_dict) == inputs
    assert set(ours.__haystack_output__._sockets_dict) == set(stock.__haystack_output__._sockets_dict)


def test_several_indices_of_one_model_are_searched_as_one_and_of_two_models_refused(pair: Pair) -> None:
    vectors = pair.models.old.encode_documents(list(TEXTS.values()))
    fill(pair.server, NEW, vectors, describe_model(pair.models.old))
    point(pair.server, NEW, filter={"term": {"language": "zh"}})
    vector = pair.models.old.encode_queries([QUERIES[0]])[0].tolist()
    found = listed(pair.retriever().run(QUERIES[0])["documents"])
    # Equal scores of the two copies of a document may come in either order.
    assert same(tuple(sorted(found)), tuple(sorted(listed(pair.stock(ALIAS, vector)))))
    fill(pair.server, NEW, vectors, describe_model(pair.models.new))
    point(pair.server, NEW)
    with pytest.raises(InputError, match=f"'{NEW}' and '{OLD}' were made with different models"):
        pair.retriever().run(QUERIES[0])


def test_an_index_moved_by_a_matrix_is_searched_with_the_matrix(pair: Pair, tmp_path: Path) -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(DIMENSION, DIMENSION)))
    path = tmp_path / "matrix.safetensors"
    bias = np.linspace(-0.2, 0.2, DIMENSION)
    write_matrix_file(AffineMap(rotation.astype(np.float32), bias.astype(np.float32)), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    base = describe_model(pair.models.old)

    def moved(vectors: np.ndarray) -> np.ndarray:
        """``unit(matrix @ x + bias)`` of unit vectors, by hand."""
        made = vectors.astype(np.float64) @ rotation.T + bias
        return made / np.linalg.norm(made, axis=-1, keepdims=True)

    name = f"model with matrix {digest[:12]}"
    described = {"name": name, "dimension": DIMENSION, "normalized": True, "matrix": digest, "base": base}
    fill(pair.server, NEW, moved(pair.models.old.encode_documents(list(TEXTS.values()))), described)
    pair.switch(NEW)
    wanted = listed(pair.stock(NEW, moved(pair.models.old.encode_queries([QUERIES[0]])[0]).tolist()))
    found = pair.retriever(models=pair.models.places | {digest[:12]: str(path)}).run(QUERIES[0])["documents"]
    assert same(listed(found), wanted)
    assert not same(listed(found), listed(pair.stock(NEW, pair.models.old.encode_queries([QUERIES[0]])[0].tolist())))
    with pytest.raises(InputError, match=f"is an index of '{name}', and nothing says where that is"):
        pair.retriever().run(QUERIES[0])
    other = tmp_path / "other.safetensors"
    write_matrix_file(AffineMap(np.eye(DIMENSION, dtype=np.float32), np.zeros(DIMENSION, dtype=np.float32)), other)
    with pytest.raises(InputError, match="this is another matrix"):
        pair.retriever(models=pair.models.places | {name: str(other)}).run(QUERIES[0])
    with pytest.raises(InputError, match=r"its folder holds no matrix.safetensors with the hash"):
        pair.retriever(models=pair.models.places | {name: str(pair.models.old_folder)}).run(QUERIES[0])


def test_a_model_that_is_not_the_index_s_is_refused(pair: Pair) -> None:
    wrong = dict.fromkeys(pair.models.places, str(pair.models.new_folder))
    with pytest.raises(InputError, match="is not that model: the index was made with 'model'"):
        pair.retriever(models=wrong).run(QUERIES[0])


def test_an_unknown_model_is_one_line_that_says_what_to_write(pair: Pair) -> None:
    with pytest.raises(InputError) as caught:
        pair.retriever(models={}).run(QUERIES[0])
    digest = str(pair.models.old.provenance()["sha256"])[:12]
    assert str(caught.value) == (
        f"{OLD}, field 'models': is an index of 'model' ({digest}), and nothing says where that is; seen: []; "
        f"allowed: an entry '{digest}' with its folder"
    )


def test_an_index_that_names_no_model_needs_one_on_purpose(pair: Pair) -> None:
    fill(pair.server, OLD, pair.models.old.encode_documents(list(TEXTS.values())), None)
    point(pair.server, OLD)
    with pytest.raises(InputError, match=f"^{OLD}, .*does not say which model made its vectors"):
        pair.retriever().run(QUERIES[0])
    found = pair.retriever(unnamed_model=str(pair.models.old_folder)).run(QUERIES[0])["documents"]
    assert pair.origin(QUERIES[0], listed(found)) == OLD


def test_the_query_prompt_is_the_one_that_the_index_names(pair: Pair) -> None:
    described = describe_model(pair.models.old) | {"prompts": {"query": "w1 w2 ", "document": ""}}
    fill(pair.server, OLD, pair.models.old.encode_documents(list(TEXTS.values())), described)
    point(pair.server, OLD)
    wanted = listed(pair.stock(OLD, pair.models.old.encode_queries([f"w1 w2 {QUERIES[0]}"])[0].tolist()))
    assert same(listed(pair.retriever().run(QUERIES[0])["documents"]), wanted)
    assert not same(wanted, pair.right[QUERIES[0]][OLD])


def test_queries_are_embedded_by_openvino_where_it_is_asked_for(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("openvino")
    monkeypatch.setenv("CROSSALIGN_CACHE", str(tmp_path))
    retriever = CrossAlignEmbeddingRetriever.from_dict(pair.retriever(backend="openvino", device=None).to_dict())
    for index in (OLD, NEW):
        pair.switch(index)
        assert same(listed(retriever.run(QUERIES[0])["documents"]), pair.right[QUERIES[0]][index])
    assert list(tmp_path.rglob("*.xml"))
    with pytest.raises(InputError, match="field 'backend': unknown backend; seen: 'onnx'; allowed: torch, openvino"):
        pair.retriever(backend="onnx").warm_up()


def test_failures_raise_or_find_nothing(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    point(pair.server, OLD)
    away = open_store(pair.server, "no-such-index")
    with pytest.raises(InputError, match="no such index"):
        pair.retriever(document_store=away).run("w1")
    assert pair.retriever(document_store=away, raise_on_failure=False).run("w1") == {"documents": []}
    assert "Nothing was found, because the search failed" in caplog.text
    broken = {"query": {"no_such_query": {}}}
    with pytest.raises(ExternalError, match="no_such_query"):
        pair.retriever(custom_query=broken).run("w1")
    with pytest.raises(TypeError, match="expects a string, not list"):
        pair.retriever().run(["w1"])  # type: ignore[arg-type]
    nobody = OpenSearchDocumentStore(hosts="http://127.0.0.1:9", index=ALIAS, max_retries=0)
    with pytest.raises(ExternalError, match="no connection"):
        pair.retriever(document_store=nobody).warm_up()
    with pytest.raises(InputError, match="allowed: OpenSearchDocumentStore"):
        pair.retriever(document_store=InMemoryDocumentStore()).warm_up()


def test_a_store_given_for_one_run_is_searched_with_its_own_model(pair: Pair) -> None:
    retriever = pair.retriever()
    assert pair.origin(QUERIES[0], listed(retriever.run(QUERIES[0])["documents"])) == OLD
    other = open_store(pair.server, NEW)
    found = retriever.run(QUERIES[0], document_store=other)["documents"]
    assert pair.origin(QUERIES[0], listed(found)) == NEW


def test_the_dictionary_holds_every_parameter_and_comes_back() -> None:
    store = OpenSearchDocumentStore(hosts="http://127.0.0.1:9", index="i", embedding_dim=3)
    component = CrossAlignEmbeddingRetriever(document_store=store, models={"aligned": "/m"}, filter_policy="merge")
    data = component.to_dict()
    assert data == {
        "type": "haystack_crossalign.components.embedding_retriever.CrossAlignEmbeddingRetriever",
        "init_parameters": {
            "document_store": store.to_dict(),
            "models": {"aligned": "/m"},
            "unnamed_model": None,
            "embedding_field": "embedding",
            "filters": None,
            "top_k": 10,
            "filter_policy": "merge",
            "custom_query": None,
            "raise_on_failure": True,
            "efficient_filtering": False,
            "search_kwargs": None,
            "device": None,
            "token": Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False).to_dict(),
            "compute_precision": "auto",
            "backend": "torch",
            "local_files_only": False,
            "trust_remote_code": False,
        },
    }
    assert CrossAlignEmbeddingRetriever.from_dict(copy.deepcopy(data)).to_dict() == data
    pipeline = Pipeline()
    pipeline.add_component("retriever", component)
    assert Pipeline.loads(pipeline.dumps()).get_component("retriever").to_dict() == data
