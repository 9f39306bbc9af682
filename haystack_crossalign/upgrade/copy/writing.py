"""Bulk writes with retries of exactly those items that the cluster is too busy for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.messages import shortened
from haystack_crossalign.opensearch.connection.failures import explain_answer
from haystack_crossalign.redaction import redacted
from haystack_crossalign.upgrade.documents.reading import Hit, Key, key_of
from haystack_crossalign.upgrade.writes.writer import WriteClient, escaped

Refused = tuple[str, str | None, str]
"""Id, routing, and why."""

_LATER = frozenset({429, 502, 503, 504})
_CONFLICT = 409
_GONE = 404
_WRONG_DOCUMENT = 400


@dataclass(frozen=True)
class Item:
    """One action of a bulk request.

    :param key: id and routing.
    :param action: the line that says what to do.
    :param source: JSON of the document, None for a delete.
    """

    key: Key
    action: str
    source: str | None = None


@dataclass
class Written:
    """The result of bulk items.

    :param documents: number written or deleted.
    :param newer: items of which the index has a higher version.
    :param refused: documents that the index will never take.
    :param repeated: how many items were sent again.
    """

    documents: int = 0
    newer: list[Key] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    repeated: int = 0


def copy_item(hit: Hit, text: str, *, pipeline: str | None = None) -> Item:
    """The write of a document with its id, routing and version.

    The version makes repeated writes harmless and preserves the order for applications with external versions.

    :param hit: as it was read, with its version.
    :param text: JSON of its source.
    :param pipeline: ``_none`` leaves the index's default pipeline out.
    """
    action = {"_id": hit["_id"], "version": hit["_version"], "version_type": "external_gte"}
    if hit.get("_routing") is not None:
        action["routing"] = hit["_routing"]
    if pipeline is not None:
        action["pipeline"] = pipeline
    return Item(key_of(hit), json.dumps({"index": action}, ensure_ascii=False), text)


def delete_item(key: Key) -> Item:
    """The delete of a document."""
    identifier, routing = key
    action = {"_id": identifier} if routing is None else {"_id": identifier, "routing": routing}
    return Item(key, json.dumps({"delete": action}, ensure_ascii=False))


def write_items(client: WriteClient, index: str, items: Sequence[Item]) -> Written:
    """Write until every item has a result.

    :param client: client with a grant for the index.
    :param index: the index.
    :param items: the items.
    :raises ExternalError: if the cluster stays busy, full or blocked for longer than the client's retry time.
    """
    done = Written()
    pending = list(items)
    deadline = time.monotonic() + client.patience.total
    attempt = 0
    while pending:
        answer = client.request("POST", f"/{escaped(index)}/_bulk", body=bulk_body(pending))
        results = answer.get("items")
        if not isinstance(results, list) or len(results) != len(pending):
            raise ExternalError(f"{client.host}: the answer to a bulk request of {len(pending)} items has others")
        again = [item for item, one in zip(pending, results, strict=True) if _settle(client, index, item, one, done)]
        if again:
            reason = next(_result(result) for result in results if _result(result).get("status") in _LATER)
            if len(again) < len(pending):
                # There was progress, so the clock restarts: it limits the time in which the cluster accepts nothing.
                deadline, attempt = time.monotonic() + client.patience.total, 0
            wait = client.patience.wait(attempt)
            if time.monotonic() + wait > deadline:
                raise _too_busy(client, index, reason)
            time.sleep(wait)
            attempt += 1
            done.repeated += len(again)
        pending = again
    return done


def bulk_body(items: Sequence[Item]) -> str:
    """The items as a request's body."""
    lines = (line for item in items for line in ((item.action,) if item.source is None else (item.action, item.source)))
    return "\n".join(lines) + "\n"


def _settle(client: WriteClient, index: str, item: Item, answer: Mapping[str, Any], done: Written) -> bool:
    """Record the result of an item; return whether it must be sent again."""
    result = _result(answer)
    status = result.get("status")
    if status in _LATER:
        return True
    if "error" not in result or (status == _GONE and item.source is None):
        done.documents += 1
    elif status == _CONFLICT:
        done.newer.append(item.key)
    elif status == _WRONG_DOCUMENT:
        done.refused.append((*item.key, _reason(result["error"])))
    else:
        code = status if isinstance(status, int) else 500
        raise explain_answer(code, result["error"], request=f"POST /{index}/_bulk", host=client.host)
    return False


def _result(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    (result,) = answer.values()
    return result if isinstance(result, Mapping) else {}


def _too_busy(client: WriteClient, index: str, result: Mapping[str, Any]) -> ExternalError:
    reason = _reason(result.get("error"))
    full = "disk usage exceeded" in reason or "read-only-allow-delete" in reason
    cause = "the disk of the cluster is full" if full else "the cluster takes no more documents"
    return ExternalError(f"{client.host}: {cause} ({index}: {reason}); run the same command again to go on from here")


def _reason(error: object) -> str:
    """The reason of an error, without the document's text, which some reasons quote."""
    if not isinstance(error, Mapping):
        return shortened(redacted(str(error)), 200)
    cause = error.get("caused_by")
    reason = f"{error.get('type')}: {str(error.get('reason')).partition('. Preview of')[0]}"
    if isinstance(cause, Mapping) and cause.get("type"):
        reason += f" ({cause['type']})"
    return shortened(redacted(reason), 200)
