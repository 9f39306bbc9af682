"""A Haystack component that writes documents, and records the model of their vectors in the index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.errors import DocumentStoreError
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from opensearchpy import OpenSearch
from opensearchpy.exceptions import TransportError

from haystack_crossalign.components.document_embedder import CrossAlignDocumentEmbedder
from haystack_crossalign.components.matrix_embedder import MatrixDocumentEmbedder
from haystack_crossalign.components.opensearch_bulk import index_of, open_client, write_patiently
from haystack_crossalign.components.opensearch_search import describe_indices
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.identity import describe_model, model_name
from haystack_crossalign.opensearch.connection.failures import explain
from haystack_crossalign.opensearch.model.check import META_KEY, model_in_mapping
from haystack_crossalign.opensearch.model.serving import ServingIndex, model_differences, read_serving

_FIELD = "embedding"


@component
class CrossAlignDocumentWriter:
    """Writes documents to OpenSearch; a drop-in for ``DocumentWriter``.

    It records the model of the vectors in the index (``_meta.crossalign.model`` of the mapping: name, revision or hash,
    dimension, prompts, normalization), and refuses to add vectors of one model to an index of another. If the cluster
    is busy (429), it waits and resends only the rejected documents.

    An alias may move while the application runs. So for each batch the alias is resolved, an index of another model is
    rejected, and the batch is written to the resolved index. If the alias has moved by the time the batch is written,
    an error says where the documents are.

    ```python
    embedder = CrossAlignDocumentEmbedder(model="intfloat/multilingual-e5-small")
    writer = CrossAlignDocumentWriter(document_store=store, embedder=embedder)
    writer.run(embedder.run(documents)["documents"])
    ```

    :param document_store: an ``OpenSearchDocumentStore``.
    :param embedder: the embedder of the vectors, if possible the same object as in the pipeline; a second one, defined
        in YAML, loads its model temporarily to learn its hash.
    :param model: instead of ``embedder``, a description of the model: ``name``, and as far as known ``revision`` or
        ``sha256``, ``dimension``, ``prompts`` (``query``, ``document``) and ``normalized``.
    :param policy: what to do with existing documents, as in ``DocumentWriter``.
    :param claim_existing: also write the description into an index with documents that does not state its model. Check
        it first: ``crossalign doctor --index NAME --model MODEL``.
    :param retries: number of retries for a document rejected with 429.
    :param first_wait: seconds to wait before the first retry; doubled before each further one.
    """

    def __init__(
        self,
        *,
        document_store: OpenSearchDocumentStore,
        embedder: CrossAlignDocumentEmbedder | MatrixDocumentEmbedder | None = None,
        model: dict[str, Any] | None = None,
        policy: DuplicatePolicy = DuplicatePolicy.NONE,
        claim_existing: bool = False,
        retries: int = 8,
        first_wait: float = 1.0,
    ) -> None:
        self.document_store = document_store
        self.embedder = embedder
        self.model = model
        self.policy = policy
        self.claim_existing = claim_existing
        self.retries = retries
        self.first_wait = first_wait
        self._described: dict[str, Any] | None = None

    def warm_up(self) -> None:
        """Learn the model, create the index where the store is told to, check or write its description.

        A second call does nothing.

        :raises InputError: the index is another model's, or that of an unknown one; or the parameters do not fit.
        :raises ExternalError: the cluster does not answer or refuses, or the model cannot be loaded.
        """
        if self._described is None:
            described = self._describe()
            self._settle_index(described)
            self._described = described

    @component.output_types(documents_written=int)
    def run(self, documents: list[Document], policy: DuplicatePolicy | None = None) -> dict[str, int]:
        """Write documents.

        :param documents: documents with embeddings of the model; without one, only text searches find them.
        :param policy: takes the place of the component's own.
        :returns: ``{"documents_written": n}``.
        :raises InputError: as `warm_up`, also where the alias was switched since, or an embedding of another dimension.
        :raises DuplicateDocumentError: documents are there already, and the policy is NONE or FAIL.
        :raises DocumentStoreError: the cluster refused some of them.
        :raises ExternalError: the cluster does not answer, or the alias was moved while they were written.
        """
        self.warm_up()
        self._check_dimensions(documents)
        index = self._writable()
        try:
            written = write_patiently(
                self.document_store,
                documents,
                policy or self.policy,
                index=index.name,
                routing=index.index_routing,
                retries=self.retries,
                first_wait=self.first_wait,
            )
        except DocumentStoreError:
            # An index that was replaced rejects writes; then the current alias explains more than the rejection.
            self._writable()
            raise
        now = self._writable(written=(index, written))
        if (now.name, now.uuid) != (index.name, index.uuid):
            raise ExternalError(_moved(index_of(self.document_store), index, now, written))
        return {"documents_written": written}

    @component.output_types(documents_written=int)
    async def run_async(self, documents: list[Document], policy: DuplicatePolicy | None = None) -> dict[str, int]:
        """`run` in a thread, so that waiting for the cluster does not block the event loop."""
        return await asyncio.to_thread(self.run, documents, policy)

    def close(self) -> None:
        """Close the connections of the store."""
        self.document_store.close()

    async def close_async(self) -> None:
        """Close the connections of the store."""
        self.document_store.close()
        await self.document_store.close_async()

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        data: dict[str, Any] = default_to_dict(
            self,
            document_store=self.document_store,
            embedder=self.embedder,
            model=self.model,
            policy=self.policy.name,
            claim_existing=self.claim_existing,
            retries=self.retries,
            first_wait=self.first_wait,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CrossAlignDocumentWriter:
        """Restore the component from the result of `to_dict`."""
        parameters = dict(data.get("init_parameters", {}))
        if isinstance(name := parameters.get("policy"), str):
            if name not in DuplicatePolicy.__members__:
                raise InputError(
                    "no such policy",
                    source="CrossAlignDocumentWriter",
                    field="policy",
                    seen=name,
                    allowed=", ".join(DuplicatePolicy.__members__),
                )
            parameters["policy"] = DuplicatePolicy[name]
        component: CrossAlignDocumentWriter = default_from_dict(cls, data | {"init_parameters": parameters})
        return component

    def _describe(self) -> dict[str, Any]:
        if not isinstance(self.document_store, OpenSearchDocumentStore):
            self._refuse("document_store", type(self.document_store).__name__, "OpenSearchDocumentStore")
        if (self.embedder is None) == (self.model is None):
            self._refuse("model", self.model, "either the embedder, or a description of the model")
        if isinstance(self.embedder, MatrixDocumentEmbedder):
            # With the base model and the hash of the matrix, by which queries are moved likewise.
            return dict(self.embedder.provenance())
        if self.embedder is not None:
            return describe_model(self.embedder.provenance())
        described = describe_model(self.model or {})
        if not isinstance(described.get("name"), str):
            self._refuse("model", self.model, "a description with at least the 'name'")
        return described

    @staticmethod
    def _refuse(field: str, seen: object, allowed: str) -> None:
        raise InputError("does not fit", source="CrossAlignDocumentWriter", field=field, seen=seen, allowed=allowed)

    def _settle_index(self, described: dict[str, Any]) -> None:
        client, index = open_client(self.document_store), index_of(self.document_store)
        try:
            name, mapping = _only_index(client, index)
            stored = model_in_mapping(mapping, name)
            _check_field(mapping, name, described)
            if stored is None:
                if not self.claim_existing and (documents := int(client.count(index=name)["count"])):
                    raise InputError(
                        f"holds {documents} documents and does not say which model made their vectors; check that it "
                        f"was {model_name(described)} (crossalign doctor), then write with claim_existing=True",
                        source=name,
                    )
                _write_model(client, name, described, mapping)
                # Another writer may have created it at the same time.
                stored = model_in_mapping(client.indices.get_mapping(index=name)[name], name)
            _check_same(stored or {}, described, name)
        except TransportError as error:
            raise explain(error, request="reading or writing the mapping", host=index) from None

    def _writable(self, written: tuple[ServingIndex, int] | None = None) -> ServingIndex:
        """Resolve the store's name to a real index, and check that its model is the described one.

        :param written: index and number of documents just written, for the message.
        """
        target, described = index_of(self.document_store), self._described or {}
        open_client(self.document_store)
        try:
            serving = read_serving(describe_indices(self.document_store, target), target)
        except TransportError as error:
            raise explain(error, request=f"GET /{target}", host=target) from None
        if len(serving.indices) != 1:
            raise _several(target, [serving_index.name for serving_index in serving.indices])
        (index,) = serving.indices
        if not index.takes_writes:
            raise InputError(f"the alias does not write to '{index.name}' (is_write_index)", source=target)
        try:
            if index.model is None:
                raise InputError("does not say which model made its vectors", source=index.name)
            _check_same(index.model, described, index.name)
        except InputError as error:
            if written is None or written[0] == index:
                raise
            raise InputError(f"{_moved(target, written[0], index, written[1])}. {error}") from None
        return index

    def _check_dimensions(self, documents: list[Document]) -> None:
        dimension = (self._described or {}).get("dimension")
        for document in documents:
            seen = None if document.embedding is None else len(document.embedding)
            if seen is not None and dimension is not None and seen != dimension:
                raise InputError(
                    f"the vector of document '{document.id}' is not one of {model_name(self._described or {})}",
                    source=index_of(self.document_store),
                    field=_FIELD,
                    seen=f"{seen} dimensions",
                    allowed=f"{dimension} dimensions",
                )


def _only_index(client: OpenSearch, index: str) -> tuple[str, dict[str, Any]]:
    mappings: dict[str, Any] = client.indices.get_mapping(index=index)
    if len(mappings) != 1:
        raise _several(index, mappings)
    return next(iter(mappings.items()))


def _several(target: str, names: Iterable[str]) -> InputError:
    return InputError(
        "stands for several indices, and each may have a model of its own",
        source=target,
        seen=", ".join(sorted(names)),
        allowed="the one index that is written to",
    )


def _moved(target: str, before: ServingIndex, now: ServingIndex, written: int) -> str:
    return (
        f"'{target}' was moved from '{before.name}' to '{now.name}' while {written} documents were written to "
        f"'{before.name}': see that they get into '{now.name}' (crossalign upgrade carries over what it found)"
    )


def _check_field(mapping: Mapping[str, Any], index: str, described: Mapping[str, Any]) -> None:
    field = mapping.get("mappings", {}).get("properties", {}).get(_FIELD, {})
    stored, dimension = field.get("dimension"), described.get("dimension")
    if stored is not None and dimension is not None and stored != dimension:
        raise InputError(
            f"holds vectors of {stored} dimensions, those of {model_name(described)} have {dimension}",
            source=index,
            field=_FIELD,
        )


def _check_same(stored: Mapping[str, Any], described: Mapping[str, Any], index: str) -> None:
    if differences := model_differences(stored, described):
        raise InputError(
            f"is an index of {model_name(stored)}, and the documents come from {model_name(described)}: "
            f"{'; '.join(differences)}. Write them into an index of their own",
            source=index,
        )


def _write_model(client: OpenSearch, index: str, described: dict[str, Any], mapping: Mapping[str, Any]) -> None:
    # The server replaces all of _meta, so existing entries of others must be included.
    meta = dict(mapping.get("mappings", {}).get("_meta", {}))
    own = meta.get(META_KEY)
    meta[META_KEY] = {**(own if isinstance(own, Mapping) else {}), "model": described}
    client.indices.put_mapping(index=index, body={"_meta": meta})
