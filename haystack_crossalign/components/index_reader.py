"""A Haystack component that reads the documents of an existing index, page by page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from opensearchpy.exceptions import TransportError

from haystack_crossalign.components.opensearch_bulk import index_of, open_client
from haystack_crossalign.components.opensearch_search import describe_indices, found_documents
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.failures import explain
from haystack_crossalign.opensearch.model.serving import ServingIndex, read_serving

_INDEX = "index"


@component
class IndexDocumentReader:
    """Reads documents with their embeddings, so that a pipeline can give them others and write them elsewhere.

    Every call reads the next page. Give ``after`` of one call to the next one until ``complete`` is true:

    ```python
    after, complete = None, False
    while not complete:
        page = reader.run(after=after)
        after, complete = page["after"], page["complete"]
    ```

    It reads shard by shard in the order of the sequence numbers and takes what a search would find. Documents that are
    written later come in a later page; deletes do not show. For an index that people search and write to, use
    ``crossalign upgrade``, which catches up and switches the alias.

    :param document_store: an ``OpenSearchDocumentStore``; its ``index`` is one index, or an alias of one.
    :param page_size: most documents of a page, up to 10,000.
    """

    def __init__(self, *, document_store: OpenSearchDocumentStore, page_size: int = 500) -> None:
        if not 1 <= page_size <= 10_000:
            raise InputError(
                "out of range", source="IndexDocumentReader", field="page_size", seen=page_size, allowed="1 to 10,000"
            )
        self.document_store = document_store
        self.page_size = page_size

    @component.output_types(documents=list[Document], after=dict[str, Any], complete=bool, model=dict[str, Any] | None)
    def run(self, after: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read a page.

        :param after: where the page before ended; None begins.
        :returns: ``documents``; ``after``, for the next call; ``complete``, whether there was nothing more; ``model``
            that the index names, None where it names none.
        :raises InputError: there is no such index, or the alias stands for several.
        :raises ExternalError: the cluster does not answer or refuses, or the alias was moved since the page before.
        """
        target = index_of(self.document_store)
        client = open_client(self.document_store)
        try:
            index = self._index(target)
            seen = dict(after or {_INDEX: index.name, "uuid": index.uuid})
            if (seen.get(_INDEX), seen.get("uuid")) != (index.name, index.uuid):
                raise ExternalError(
                    f"'{target}' stands for '{index.name}' now, and the page before was of '{seen.get(_INDEX)}': begin "
                    "anew, without 'after'"
                )
            shards = client.indices.stats(index=index.name, metric="docs", level="shards")["indices"][index.name]
            documents: list[Document] = []
            complete = True
            for shard in sorted(shards["shards"], key=int):
                size = self.page_size - len(documents)
                if not size:
                    complete = False
                    break
                body = {
                    "size": size,
                    "query": {"range": {"_seq_no": {"gt": seen.get(shard, -1)}}},
                    "sort": [{"_seq_no": "asc"}],
                }
                answer = client.search(index=index.name, body=body, params={"preference": f"_shards:{shard}|_primary"})
                hits = answer["hits"]["hits"]
                documents += [_without_score(document) for document in found_documents(answer)]
                if hits:
                    seen[shard] = hits[-1]["sort"][0]
                complete = complete and len(hits) < size
        except TransportError as error:
            raise explain(error, request=f"reading '{target}'", host=target) from None
        model = None if index.model is None else dict(index.model)
        return {"documents": documents, "after": seen, "complete": complete, "model": model}

    @component.output_types(documents=list[Document], after=dict[str, Any], complete=bool, model=dict[str, Any] | None)
    async def run_async(self, after: dict[str, Any] | None = None) -> dict[str, Any]:
        """`run` in a thread, so that waiting for the cluster does not hold up the event loop."""
        return await asyncio.to_thread(self.run, after)

    def close(self) -> None:
        """Close the connections of the store."""
        self.document_store.close()

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary, for YAML."""
        data: dict[str, Any] = default_to_dict(self, document_store=self.document_store, page_size=self.page_size)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> IndexDocumentReader:
        """The component from its dictionary."""
        made: IndexDocumentReader = default_from_dict(cls, data)
        return made

    def _index(self, target: str) -> ServingIndex:
        serving = read_serving(describe_indices(self.document_store, target), target)
        if len(serving.indices) != 1:
            raise InputError(
                "stands for several indices",
                source=target,
                seen=", ".join(index.name for index in serving.indices),
                allowed="one index, or an alias of one",
            )
        return serving.indices[0]


def _without_score(document: Document) -> Document:
    return replace(document, score=None)
