"""Writes documents through Haystack's OpenSearch store, waiting where the cluster asks for it.

The store sends a bulk request once: what the cluster refuses with 429 stays unwritten, and the error quotes whole
documents. Here only the documents that were refused are sent again, so that none is written twice. With
`opensearch_search` the only place that reaches into the store's private parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from haystack import Document
from haystack.document_stores.errors import DocumentStoreError, DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from opensearchpy import OpenSearch
from opensearchpy.exceptions import TransportError
from opensearchpy.helpers import streaming_bulk

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.failures import explain

_CONFLICT = "version_conflict_engine_exception"
_LONGEST_WAIT = 60
_SHOWN = 3


def index_of(store: OpenSearchDocumentStore) -> str:
    """The index or alias a store writes to."""
    return str(store._index)


def open_client(store: OpenSearchDocumentStore) -> OpenSearch:
    """The client of a store; the first call creates the index where the store is told to.

    :raises InputError: there is no such index, and the store does not create it.
    :raises CrossAlignError: the cluster does not answer, or refuses.
    """
    try:
        store._ensure_initialized()
        client = store._client
        if client is None or not client.indices.exists(index=index_of(store)):
            raise InputError("no such index, and the store is told not to create it", source=index_of(store))
    except TransportError as error:
        raise explain(error, request="opening the document store", host=index_of(store)) from None
    return client


def write_patiently(
    store: OpenSearchDocumentStore,
    documents: Sequence[Document],
    policy: DuplicatePolicy,
    *,
    index: str,
    routing: str | None = None,
    retries: int,
    first_wait: float,
) -> int:
    """Write documents, sending again those that the cluster refuses as too much (429), after growing pauses.

    :param store: where to.
    :param documents: what.
    :param policy: what to do with documents that are there already.
    :param index: the real index.
    :param routing: of documents that bring none of their own.
    :param retries: how often to send a refused document again.
    :param first_wait: seconds before the first time; doubled before each further one.
    :returns: number of documents written.
    :raises DuplicateDocumentError: documents are there already, and the policy is NONE or FAIL.
    :raises DocumentStoreError: some were refused; the message names the first of them, without their texts.
    :raises CrossAlignError: a whole request failed.
    """
    open_client(store)
    _map_nested_fields(store, documents)
    request: dict[str, Any] = store._prepare_bulk_write_request(
        documents=list(documents), policy=policy, is_async=False, refresh="wait_for"
    )
    request.pop("stats_only")
    request["index"] = index
    if routing is not None:
        request["routing"] = routing
    waits: dict[str, Any] = {"max_retries": retries, "initial_backoff": first_wait, "max_backoff": _LONGEST_WAIT}
    written = 0
    present: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    try:
        for ok, item in streaming_bulk(**request, **waits):
            if ok:
                written += 1
                continue
            ((_, outcome),) = item.items()
            (present if _kind(outcome) == _CONFLICT else refused).append(outcome)
    except TransportError as error:
        raise explain(error, request="a bulk request", host=index_of(store)) from None
    if refused:
        raise DocumentStoreError(
            f"{len(refused)} of {len(documents)} documents were not written to '{index}': "
            + "; ".join(f"'{outcome.get('_id')}': {_reason(outcome)}" for outcome in refused[:_SHOWN])
        )
    if present and policy != DuplicatePolicy.SKIP:
        ids = ", ".join(f"'{outcome.get('_id')}'" for outcome in present[:_SHOWN])
        more = f" and {len(present) - _SHOWN} more" if len(present) > _SHOWN else ""
        raise DuplicateDocumentError(f"documents are in '{index}' already: {ids}{more}")
    return written


def _map_nested_fields(store: OpenSearchDocumentStore, documents: Sequence[Document]) -> None:
    """What the store does itself before it writes, where it is to find out which fields are nested."""
    if store._nested_fields == "*" and documents:
        nested_fields = store._detect_nested_fields_from_documents(list(documents)) - store._resolved_nested_fields
        if nested_fields:
            store._update_mapping_for_nested_fields(nested_fields)


def _kind(outcome: dict[str, Any]) -> str:
    error = outcome.get("error")
    return str(error.get("type")) if isinstance(error, dict) else ""


def _reason(outcome: dict[str, Any]) -> str:
    error = outcome.get("error")
    reason = error.get("reason") if isinstance(error, dict) else error
    return f"{_kind(outcome) or 'refused'} (status {outcome.get('status')}): {str(reason)[:200]}"
