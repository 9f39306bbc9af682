"""Explain failures of a cluster: refusals, busy servers, and inconsistent responses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from opensearchpy.exceptions import ConnectionError as LostConnection
from opensearchpy.exceptions import ConnectionTimeout, SSLError, TransportError

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.redaction import redacted

_BUSY = frozenset({429, 502, 503, 504})
# Names may end in brackets, such as indices:data/write/bulk[s].
_PERMISSION = re.compile(r"no permissions for \[((?:[^\[\]]|\[[^\]]*\])*)\]")
_MISSING_SHARDS = re.compile(r"missing shards \[(.*?\])\]")
ROLE_PAGE = "docs/opensearch-role.md"


class MissingPermissionError(ExternalError):
    """The user lacks rights; `permissions` names them as the security plugin does."""

    def __init__(self, message: str, permissions: tuple[str, ...]) -> None:
        super().__init__(message)
        self.permissions = permissions


class PointInTimeLostError(ExternalError):
    """The point in time expired, or its server restarted; further searches would see a different state of the index."""


class RefusedRequestError(ExternalError):
    """The cluster rejected a request; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def is_busy(error: TransportError) -> bool:
    """Whether a retry may succeed: the server was overloaded, a circuit breaker opened, or the connection failed.

    This excludes the client's timeout: the server may still be working on the request, and a retry would double the
    load.
    """
    if isinstance(error, (SSLError, ConnectionTimeout)):
        return False
    return isinstance(error, LostConnection) or error.status_code in _BUSY


def explain(error: TransportError, *, request: str, host: str) -> CrossAlignError:
    """The error for a failed request.

    :param error: exception of opensearch-py.
    :param request: method and path, for example ``POST /prod/_search``.
    :param host: address without credentials.
    """
    if isinstance(error, SSLError):
        return ExternalError(f"{host}: {_tls_failure(_cause(error))}")
    if isinstance(error, ConnectionTimeout):
        return ExternalError(f"{host}: no answer to {request} in time; raise the time limit or lower the batch size")
    if isinstance(error, LostConnection):
        return ExternalError(f"{host}: no connection ({_cause(error)})")
    info = error.info if isinstance(error.info, Mapping) else {}
    detail = info.get("error", error.error)
    return explain_answer(int(error.status_code), detail, request=request, host=host)


def explain_answer(status: int, detail: object, *, request: str, host: str) -> CrossAlignError:
    """The error for a response with an error status.

    :param status: HTTP status of the response or of an item of a multi-search.
    :param detail: the response's ``error``: a dictionary with type and reason, or text.
    """
    kinds, reason = _kinds(detail), _reason(detail)
    if status == 401:
        return ExternalError(f"{host}: the server refused the credentials (401)")
    if status == 403 and "cluster_block_exception" in kinds:
        return RefusedRequestError(
            f"{host}: {request} is blocked, whoever asks: {reason}; lift the block first", status
        )
    if status == 403:
        permissions = tuple(part.strip() for part in ",".join(_PERMISSION.findall(reason)).split(",") if part.strip())
        named = ", ".join(f"'{name}'" for name in permissions) or reason
        return MissingPermissionError(
            f"{host}: {request} is not allowed: the user lacks the permission {named}; see {ROLE_PAGE}", permissions
        )
    if "search_context_missing_exception" in kinds:
        return PointInTimeLostError(
            f"{host}: the point in time is gone (it expired, or the server restarted); start again, or resume"
        )
    if "index_not_found_exception" in kinds:
        return InputError(f"{host}: {reason or 'no such index'}", source="index")
    if "index_closed_exception" in kinds:
        closed = next((str(part["index"]) for part in _parts(detail) if isinstance(part.get("index"), str)), "")
        return InputError(
            f"{host}: the index '{closed}' is closed", source="index", allowed="open indices: no search reads others"
        )
    if is_limit(detail):
        return ExternalError(f"{host}: the cluster's limits are too low for {request}: {_limit(detail) or reason}")
    if limit := _time_limit(detail, kinds):
        return ExternalError(
            f"{host}: {request} was cut short ({limit}), so that its numbers would be incomplete; raise that limit, or "
            "rank among fewer documents (--filter)"
        )
    if missing := _MISSING_SHARDS.search(reason):
        return ExternalError(
            f"{host}: shards of the index are missing ({missing[1]}), so that every number would be incomplete; bring "
            "them back (the cluster is red), then start again"
        )
    if status in _BUSY:
        return ExternalError(f"{host}: {request} still refused after waiting (status {status}): {reason}")
    return RefusedRequestError(f"{host}: {request} failed with status {status}: {reason}", status)


def is_limit(detail: object) -> bool:
    """Whether a server rejected a request for its size, so that a retry does not help, whatever the status.

    :param detail: the response's ``error``.
    """
    return "too_many_buckets_exception" in _kinds(detail)


def _limit(detail: object) -> str:
    """The reason that names the setting."""
    reasons = (_told(part.get("reason")) for part in _parts(detail) if part.get("type") == "too_many_buckets_exception")
    return next(reasons, "")[:300]


def _time_limit(detail: object, kinds: set[str]) -> str:
    """The setting whose time limit ended a search, empty if none did."""
    reasons = {_told(part.get("reason")) for part in _parts(detail)}
    if any("Time exceeded" in reason for reason in reasons):
        return "search.default_search_timeout limits its time"
    if any("Cancellation timeout" in reason for reason in reasons):
        return "search.cancel_after_time_interval limits its time"
    if "task_cancelled_exception" in kinds:
        return "the cluster canceled it: search.cancel_after_time_interval, or its defense against overload"
    return ""


def _kinds(detail: object) -> set[str]:
    """Types of an error and of what caused it, at any depth."""
    return {part["type"] for part in _parts(detail) if isinstance(part.get("type"), str)}


def _parts(detail: object) -> Iterator[Mapping[str, Any]]:
    """All objects of an error, at any depth."""
    pending = [detail]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _reason(detail: object, limit: int = 300) -> str:
    """The most specific reason: that of the first root cause, with its causes."""
    texts = [_told(detail)] if not isinstance(detail, Mapping) else []
    while isinstance(detail, Mapping) and not texts:
        reason = _told(_mapping(_first(detail.get("root_cause"))).get("reason")) or _told(detail.get("reason"))
        if not reason:
            detail = detail.get("caused_by")
            continue
        texts = [reason]
        cause = _mapping(_mapping(_mapping(_first(detail.get("failed_shards"))).get("reason")).get("caused_by"))
        inner = _told(cause.get("reason"))
        if inner and inner not in reason:
            texts.append(f"({inner})")
    # Redacted before it is cut, since a part of a secret must not be shown either.
    return redacted(" ".join(texts))[:limit]


def _told(value: object) -> str:
    """The text of a field of a response, which can have any type if a proxy responds."""
    return "" if value is None else str(value)[:100_000]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None


def _tls_failure(cause: str) -> str:
    """Explain a failed handshake; ``cause`` is OpenSSL's text."""
    if "certificate verify failed" in cause or "doesn't match" in cause:
        return (
            f"the server's certificate could not be verified ({cause}); name the authority that signed it as CA file, "
            "or check that this is the right host"
        )
    if "WRONG_VERSION_NUMBER" in cause or "record layer failure" in cause:
        return f"the server does not speak TLS ({cause}); write http:// if that is meant to be so"
    return f"no agreement on TLS ({cause}); the server may demand a client certificate, or another version of TLS"


def _cause(error: TransportError) -> str:
    """The message of the network layer, without object addresses."""
    return redacted(re.sub(r"<[^>]* object at 0x[0-9a-f]+>(?:: )?", "", str(error.error)))[:300]


T = TypeVar("T")

_TRIES = 5


class ContradictionError(ExternalError):
    """A score or a count differs from an earlier response of the same server."""


def settled(ask: Callable[[], T]) -> T:
    """Call `ask`, and retry if server responses contradict each other.

    :param ask: sends all requests, from first to last, on each call.
    :raises ContradictionError: if they contradict each other five times in a row.
    """
    for _ in range(_TRIES - 1):
        try:
            return ask()
        except ContradictionError:
            continue
    return ask()
