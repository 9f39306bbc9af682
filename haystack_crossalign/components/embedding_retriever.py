"""A Haystack component that embeds a query with the model of the index that is searched."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard
from weakref import WeakKeyDictionary

from haystack import Document, component, default_from_dict, default_to_dict, logging
from haystack.document_stores.types import FilterPolicy
from haystack.document_stores.types.filter_policy import apply_filter_policy
from haystack.utils import ComponentDevice, Secret
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from opensearchpy.exceptions import TransportError

from haystack_crossalign.components.index_models import IndexModels
from haystack_crossalign.components.opensearch_bulk import index_of
from haystack_crossalign.components.opensearch_search import (
    EMBEDDING,
    describe_indices,
    describe_indices_async,
    found_documents,
    search_body,
    search_serving,
    search_serving_async,
)
from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.failures import explain
from haystack_crossalign.opensearch.model.serving import Serving, read_serving

logger = logging.getLogger(__name__)

_TRIES = 5


@dataclass(frozen=True)
class _Describe:
    """Resolve names."""

    names: str


@dataclass(frozen=True)
class _Embed:
    """Embed the query with the model of some indices."""

    serving: Serving


@dataclass(frozen=True)
class _Search:
    """Search exactly these indices."""

    serving: Serving
    vector: list[float]


_Steps = Generator[_Describe | _Embed | _Search, Any, list[Document]]


@component
class CrossAlignEmbeddingRetriever:
    """Embeds a query with the model of the index that is searched, for aliases that may move.

    It combines a text embedder and an ``OpenSearchEmbeddingRetriever``: a vector passed from one to the other does not
    know its index, so if the alias moves in between, it is compared with vectors of another model.

    How model and index are kept consistent:

    1. the alias is resolved to its real index, that index's UUID, and the model in its mapping
      (``_meta.crossalign.model``), from one response;
    2. the query is embedded with that model;
    3. the search names the *real* index, with filter and routing of the alias. So whatever happens to the alias, the
       vectors that the query is compared with are those of step 1's index;
    4. step 1 is repeated. If nothing has changed, that uuid existed from the first resolution to the second, and hence
       during the search: index and model belonged together, and the alias points there. If the alias has moved,
       the query is embedded and asked again by what it stands for now; an answer of this call's own resolution
       counts even if the alias moves once more, as long as its index is still the same one.

    The resolution of step 4 serves the next query as its step 1: a search costs one small request more than the stock
    retriever's. What this rests on: the vectors of an index are those of the model that it names, which
    `CrossAlignDocumentWriter` and ``crossalign upgrade`` see to.

    ```python
    retriever = CrossAlignEmbeddingRetriever(document_store=store, models={"aligned": "/models/aligned"})
    documents = retriever.run("wie viel Eiweiß am Tag")["documents"]
    ```

    Models are loaded when an index of theirs is first searched, and stay loaded: two of them while an alias may still
    be switched back. A role needs what the stock store needs, ``indices:admin/get`` and searching; on the real indices.

    :param document_store: an ``OpenSearchDocumentStore``, whose ``index`` is an index or an alias.
    :param models: locations of models by their description in an index: the name, or at least the first eight
        characters of ``sha256``, ``revision`` or ``matrix``. A location is a hub name, a folder, ``offline:…``, or the
        matrix file that transformed the vectors of a base model. Hub names that are not listed are loaded by name.
    :param unnamed_model: model of an index without one; None refuses to search it.
    :param embedding_field: the vector field, which has a model of its own where ``--keep-old-vectors`` made it.
    :param filters: as for the stock retriever, like all parameters up to ``search_kwargs``.
    :param top_k: maximum number of documents to return.
    :param filter_policy: whether filters passed to ``run`` ``replace`` ``filters`` or ``merge`` with them.
    :param custom_query: a search with ``$query_embedding`` and ``$filters`` in it.
    :param raise_on_failure: otherwise a failure is logged and no documents are returned.
    :param efficient_filtering: filter during the approximate search, not after it.
    :param search_kwargs: further options of the ``knn`` query.
    :param device: device for computing; ``None`` for a GPU if there is one.
    :param token: access token for private models of the hub.
    :param compute_precision: how the model computes: ``"auto"``, ``"bf16"`` or ``"fp32"``.
    :param backend: what computes the model: ``"torch"``, or ``"openvino"`` on a CPU, with the extra ``openvino``.
    :param local_files_only: never contact the hub.
    :param trust_remote_code: run code that comes with a model in ``models`` or ``unnamed_model``, but never with a
        model that is only named by an index.
    """

    def __init__(
        self,
        *,
        document_store: OpenSearchDocumentStore,
        models: dict[str, str] | None = None,
        unnamed_model: str | None = None,
        embedding_field: str = EMBEDDING,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        custom_query: dict[str, Any] | None = None,
        raise_on_failure: bool = True,
        efficient_filtering: bool = False,
        search_kwargs: dict[str, Any] | None = None,
        device: ComponentDevice | None = None,
        token: Secret | None = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False),  # noqa: B008
        compute_precision: str = "auto",
        backend: str = "torch",
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self.document_store = document_store
        self.models = models
        self.unnamed_model = unnamed_model
        self.embedding_field = embedding_field
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = FilterPolicy.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy
        self.custom_query = custom_query
        self.raise_on_failure = raise_on_failure
        self.efficient_filtering = efficient_filtering
        self.search_kwargs = search_kwargs
        self.device = device
        self.token = token
        self.compute_precision = compute_precision
        self.backend = backend
        self.local_files_only = local_files_only
        self.trust_remote_code = trust_remote_code
        self._models = IndexModels(
            models or {}, unnamed_model, device=device, token=token, compute_precision=compute_precision,
            backend=backend, local_files_only=local_files_only, trust_remote_code=trust_remote_code,
        )  # fmt: skip
        self._served: WeakKeyDictionary[OpenSearchDocumentStore, Serving] = WeakKeyDictionary()

    def warm_up(self) -> None:
        """Resolve the index and load its model; a second call does nothing.

        :raises InputError: no such index, several models behind the alias, or a model that is not known.
        :raises ExternalError: the cluster does not answer, or the model cannot be loaded.
        """
        store = self._store(None)
        if store not in self._served:
            target = index_of(store)
            try:
                answer = describe_indices(store, target)
            except TransportError as error:
                raise explain(error, request=f"GET /{target}", host=target) from None
            serving = self._resolved(store, answer)
            self._models.load(serving.model, serving.names)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        custom_query: dict[str, Any] | None = None,
        efficient_filtering: bool | None = None,
        document_store: OpenSearchDocumentStore | None = None,
        search_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, list[Document]]:
        """Find documents.

        :param query: the text of the query.
        :param filters: combined with the component's own by ``filter_policy``; the following parameters override the
            component's own.
        :returns: ``{"documents": [...]}``, with scores, the best first.
        :raises TypeError: ``query`` is not a string.
        :raises InputError: no such index, several models behind the alias, or a model that is not known.
        :raises ExternalError: the cluster does not answer or refuses, or the model cannot be loaded.
        """
        store, steps, options = self._prepare(
            query, filters, top_k, custom_query, efficient_filtering, document_store, search_kwargs
        )
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._carry_out(store, query, step, options)
                except TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            return {"documents": done.value}
        except CrossAlignError as error:
            return self._give_up(error)

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        custom_query: dict[str, Any] | None = None,
        efficient_filtering: bool | None = None,
        document_store: OpenSearchDocumentStore | None = None,
        search_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, list[Document]]:
        """`run` with the store's asynchronous client; models are loaded and compute in a thread."""
        store, steps, options = self._prepare(
            query, filters, top_k, custom_query, efficient_filtering, document_store, search_kwargs
        )
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._carry_out_async(store, query, step, options)
                except TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            return {"documents": done.value}
        except CrossAlignError as error:
            return self._give_up(error)

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
            models=self.models,
            unnamed_model=self.unnamed_model,
            embedding_field=self.embedding_field,
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
            custom_query=self.custom_query,
            raise_on_failure=self.raise_on_failure,
            efficient_filtering=self.efficient_filtering,
            search_kwargs=self.search_kwargs,
            device=self.device,
            token=self.token,
            compute_precision=self.compute_precision,
            backend=self.backend,
            local_files_only=self.local_files_only,
            trust_remote_code=self.trust_remote_code,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CrossAlignEmbeddingRetriever:
        """Restore the component from the result of `to_dict`."""
        component: CrossAlignEmbeddingRetriever = default_from_dict(cls, data)
        return component

    def _prepare(
        self,
        query: str,
        filters: dict[str, Any] | None,
        top_k: int | None,
        custom_query: dict[str, Any] | None,
        efficient_filtering: bool | None,
        document_store: OpenSearchDocumentStore | None,
        search_kwargs: dict[str, Any] | None,
    ) -> tuple[OpenSearchDocumentStore, _Steps, dict[str, Any]]:
        if not isinstance(query, str):
            raise TypeError(f"CrossAlignEmbeddingRetriever expects a string, not {type(query).__name__}")
        store = self._store(document_store)
        options = {
            "embedding_field": self.embedding_field,
            "filters": apply_filter_policy(self.filter_policy, self.filters, filters),
            "top_k": top_k or self.top_k,
            "custom_query": self.custom_query if custom_query is None else custom_query,
            "efficient_filtering": self.efficient_filtering if efficient_filtering is None else efficient_filtering,
            "search_kwargs": self.search_kwargs if search_kwargs is None else search_kwargs,
        }
        return store, self._steps(store), options

    def _store(self, document_store: OpenSearchDocumentStore | None) -> OpenSearchDocumentStore:
        store = self.document_store if document_store is None else document_store
        if not isinstance(store, OpenSearchDocumentStore):
            raise InputError(
                "does not fit",
                source="CrossAlignEmbeddingRetriever",
                field="document_store",
                seen=type(store).__name__,
                allowed="OpenSearchDocumentStore",
            )
        return store

    def _steps(self, store: OpenSearchDocumentStore) -> _Steps:
        """The steps of a search, in order, independent of how they are executed; see the docstring of the class."""
        target = index_of(store)
        serving, own = self._served.get(store), False
        if serving is None:
            serving, own = self._resolved(store, (yield from _described(target))), True
        for _ in range(_TRIES):
            vector = yield _Embed(serving)
            answer: Mapping[str, Any] | TransportError
            try:
                answer = yield _Search(serving, vector)
            except TransportError as error:
                answer = error
            now = self._resolved(store, (yield from _described(target)))
            if now == serving:
                if isinstance(answer, TransportError):
                    raise explain(answer, request="a search", host=target)
                return found_documents(answer)
            if own and _is_whole(answer) and (yield from _still_holds(serving)):
                return found_documents(answer)
            serving, own = now, True
        raise ExternalError(f"{target}: its indices were replaced {_TRIES} times in a row while they were searched")

    def _resolved(self, store: OpenSearchDocumentStore, answer: Mapping[str, Any]) -> Serving:
        serving = self._served[store] = read_serving(answer, index_of(store), self.embedding_field)
        return serving

    def _carry_out(
        self,
        store: OpenSearchDocumentStore,
        query: str,
        step: _Describe | _Embed | _Search,
        options: Mapping[str, Any],
    ) -> Any:
        if isinstance(step, _Embed):
            return self._models.embed(step.serving.model, step.serving.names, query)
        if isinstance(step, _Describe):
            return describe_indices(store, step.names)
        return search_serving(store, step.serving, search_body(store, step.vector, options))

    async def _carry_out_async(
        self,
        store: OpenSearchDocumentStore,
        query: str,
        step: _Describe | _Embed | _Search,
        options: Mapping[str, Any],
    ) -> Any:
        if isinstance(step, _Embed):
            return await asyncio.to_thread(self._models.embed, step.serving.model, step.serving.names, query)
        if isinstance(step, _Describe):
            return await describe_indices_async(store, step.names)
        return await search_serving_async(store, step.serving, search_body(store, step.vector, options))

    def _give_up(self, error: CrossAlignError) -> dict[str, list[Document]]:
        if self.raise_on_failure:
            raise error
        logger.warning("Nothing was found, because the search failed: {error}", error=str(error))
        return {"documents": []}


def _described(names: str) -> Generator[_Describe, Any, Mapping[str, Any]]:
    try:
        answer: Mapping[str, Any] = yield _Describe(names)
    except TransportError as error:
        raise explain(error, request=f"GET /{names}", host=names) from None
    return answer


def _still_holds(serving: Serving) -> Generator[_Describe, Any, bool]:
    """Whether the indices that the alias has left are unchanged; indices that are no longer visible do not count."""
    try:
        answer = yield _Describe(serving.names)
    except TransportError:
        return False
    return serving.holds_in(answer)


def _is_whole(answer: Mapping[str, Any] | TransportError) -> TypeGuard[Mapping[str, Any]]:
    """Whether a response is complete: an index that is being deleted may return only the hits of some shards."""
    if isinstance(answer, TransportError):
        return False
    return not answer.get("timed_out") and not answer.get("_shards", {}).get("failed")
