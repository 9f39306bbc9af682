"""Write documents through Haystack's OpenSearch store, with retries if the cluster is busy.

The store sends a bulk request once: documents rejected with 429 are not written, and the error quotes whole documents.
Here only the rejected documents are sent again, so that none is written twice. Only this module and `opensearch_search`
use private attributes of the store.
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


class RefusedDocumentsError(DocumentStoreError):
    """The cluster refused some documents of a batch.

    :param message: how many.
    :param written: number of documents that were written nevertheless.
    :param reasons: the reasons of the first of them.
    """

    def __init__(self, message: str, written: int, reasons: str) -> None:
        super().__init__(f"{message}: {reasons}")
        self.written = written
        self.reasons = reasons


def index_of(store: OpenSearchDocumentStore) -> str:
    """The index or alias a store writes to."""
    return str(store._index)


def open_client(store: OpenSearchDocumentStore) -> OpenSearch:
    """The client of a store; the first call creates the index if the store is configured to.

    :raises InputError: if there is no such index, and the store does not create it.
    :raises CrossAlignError: if the cluster does not answer, or refuses.
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
    """Write documents, and resend those that the cluster rejects as too many (429), with increasing pauses.

    :param store: the store.
    :param documents: the documents.
    :param policy: what to do with existing documents.
    :param index: the real index.
    :param routing: routing of documents without their own.
    :param retries: number of retries for a rejected document.
    :param first_wait: seconds before the first retry; doubled before each further one.
    :returns: number of documents written.
    :raises DuplicateDocumentError: if documents already exist, and the policy is NONE or FAIL.
    :raises RefusedDocumentsError: if some were rejected; the message names the first of them, without their texts.
    :raises CrossAlignError: if a whole request failed.
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
        reasons = "; ".join(f"'{outcome.get('_id')}': {_reason(outcome)}" for outcome in refused[:_SHOWN])
        raise RefusedDocumentsError(
            f"{len(refused)} of {len(documents)} documents were not written to '{index}'", written, reasons
        )
    if present and policy != DuplicatePolicy.SKIP:
        ids = ", ".join(f"'{outcome.get('_id')}'" for outcome in present[:_SHOWN])
        more = f" and {len(present) - _SHOWN} more" if len(present) > _SHOWN else ""
        raise DuplicateDocumentError(f"documents already exist in '{index}': {ids}{more}")
    return written


def _map_nested_fields(store: OpenSearchDocumentStore, documents: Sequence[Document]) -> None:
    """As the store does before it writes, if it is configured to detect nested fields."""
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
