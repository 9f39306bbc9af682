"""The writer behind an alias that is switched: vectors of one model never reach an index of another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from haystack import Document
from haystack.document_stores.errors import DocumentStoreError
from opensearch_servers import create_index, vector_mapping
from switching import ALIAS, NEW, OLD, delete, open_store, point

from haystack_crossalign.components import CrossAlignDocumentWriter, document_writer
from haystack_crossalign.errors import ExternalError, InputError

MODELS = {OLD: {"name": "own/model", "revision": "a" * 40}, NEW: {"name": "own/model", "revision": "b" * 40}}


@pytest.fixture
def server(opensearch: Any) -> Iterator[Any]:
    """Two empty indices of different models, the alias on the first."""
    for name, model in MODELS.items():
        mapping = vector_mapping(3) | {"_meta": {"crossalign": {"model": model}}}
        create_index(opensearch, name, {}, mapping, shards=2)
    point(opensearch, OLD)
    yield opensearch
    for name in MODELS:
        delete(opensearch, name)


def documents(*numbers: int) -> list[Document]:
    return [Document(id=f"d{n}", content=f"text {n}", embedding=[1.0, n, 0.5]) for n in numbers]


def writer(server: Any, model: str = OLD) -> CrossAlignDocumentWriter:
    return CrossAlignDocumentWriter(document_store=open_store(server), model=MODELS[model], first_wait=0.01)


def stored(server: Any, index: str) -> list[str]:
    server.request("POST", f"/{index}/_refresh")
    return sorted(hit["_id"] for hit in server.request("GET", f"/{index}/_search?size=100")["hits"]["hits"])


def switch_while_writing(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write = document_writer.write_patiently

    def late(*arguments: Any, **options: Any) -> int:
        point(server, NEW, (OLD,))
        return write(*arguments, **options)

    monkeypatch.setattr(document_writer, "write_patiently", late)


def test_a_switch_between_two_batches_ends_the_writing(server: Any) -> None:
    component = writer(server)
    assert component.run(documents(1)) == {"documents_written": 1}
    point(server, NEW, (OLD,))
    with pytest.raises(
        InputError, match=r"'own/model' \(bbbbbbbbbbbb\), and the documents come from 'own/model' \(aaa"
    ):
        component.run(documents(2))
    assert stored(server, OLD) == ["d1"]
    assert stored(server, NEW) == []
    point(server, OLD, (NEW,))
    assert component.run(documents(2)) == {"documents_written": 1}


def test_a_switch_while_a_batch_is_written_leaves_it_in_the_index_of_its_model(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = writer(server)
    switch_while_writing(server, monkeypatch)
    with pytest.raises(InputError) as caught:
        component.run(documents(1, 2))
    assert f"'{ALIAS}' was moved from '{OLD}' to '{NEW}' while 2 documents were written to '{OLD}'" in str(caught.value)
    assert stored(server, OLD) == ["d1", "d2"]
    assert stored(server, NEW) == []


def test_it_is_said_as_well_where_both_are_of_one_model(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.request("PUT", f"/{NEW}/_mapping", {"_meta": {"crossalign": {"model": MODELS[OLD]}}})
    component = writer(server)
    switch_while_writing(server, monkeypatch)
    with pytest.raises(ExternalError, match=f"was moved from '{OLD}' to '{NEW}' while 1 documents"):
        component.run(documents(1))
    assert stored(server, NEW) == []


def test_an_old_index_that_takes_no_writes_any_more_is_told_from_a_switch(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = writer(server)
    server.request("PUT", f"/{OLD}/_settings", {"index.blocks.write": True})
    with pytest.raises(DocumentStoreError, match=r"1 of 1 documents were not written .*cluster_block_exception"):
        component.run(documents(1))
    switch_while_writing(server, monkeypatch)
    with pytest.raises(InputError, match=r"is an index of 'own/model' \(bbbbbbbbbbbb\)"):
        component.run(documents(1))
    assert stored(server, OLD) == stored(server, NEW) == []


def test_an_index_without_a_model_behind_the_alias_is_refused_too(server: Any) -> None:
    component = writer(server)
    component.warm_up()
    server.request("PUT", f"/{NEW}/_mapping", {"_meta": {}})
    point(server, NEW, (OLD,))
    with pytest.raises(InputError, match=f"^{NEW}: does not say which model made its vectors"):
        component.run(documents(1))


def test_the_routing_of_the_alias_holds(server: Any) -> None:
    point(server, OLD, routing="north")
    writer(server).run(documents(*range(8)))
    hits = server.request("GET", f"/{OLD}/_search?size=100")["hits"]["hits"]
    assert [hit["_routing"] for hit in hits] == ["north"] * 8


def test_an_alias_that_writes_elsewhere_is_refused(server: Any) -> None:
    point(server, OLD, is_write_index=False)
    with pytest.raises(InputError, match="does not write to"):
        writer(server).run(documents(1))
    assert stored(server, OLD) == []
