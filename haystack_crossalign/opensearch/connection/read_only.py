"""The read-only connection: it rejects every request that is not on a short list, before it is sent.

It is an allow-list, so additions of later servers or clients are rejected. The check is in the connection, below
everything that can build a request: opensearch-py's methods, its helpers, and a Haystack document store that uses this
class as ``connection_class`` all pass through it.
"""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import quote

from opensearchpy import AsyncHttpConnection, AsyncTransport, Transport, Urllib3HttpConnection
from opensearchpy.exceptions import TransportError

from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.opensearch.connection.traffic import Exchange, Traffic

# One or several names of indices or aliases; names that start with '_', except '_all', are reserved by the server.
_INDEX = r"(?:_all|[^/_?#][^/?#]*)"
_READS: tuple[tuple[str, frozenset[str], re.Pattern[str]], ...] = tuple(
    (name, frozenset(methods.split()), re.compile(pattern))
    for name, methods, pattern in (
        ("info", "GET HEAD", r"/"),
        ("exists", "HEAD", rf"/{_INDEX}"),
        ("index", "GET", rf"/{_INDEX}"),
        ("mapping", "GET", rf"/{_INDEX}/_mapping"),
        ("settings", "GET", rf"/{_INDEX}/_settings"),
        ("search pipeline", "GET", r"/_search/pipeline/[^/?#*,]+"),
        ("alias", "GET HEAD", rf"(?:/{_INDEX})?/_alias(?:/[^/?#]+)?"),
        ("stats", "GET", rf"/{_INDEX}/_stats(?:/[a-z_,]+)?"),
        ("disk", "GET", r"/_nodes/stats/fs"),
        ("health", "GET", rf"/_cluster/health(?:/{_INDEX})?"),
        ("count", "GET POST", rf"/{_INDEX}/_count"),
        ("search", "GET POST", rf"(?:/{_INDEX})?/_search"),
        ("render template", "GET POST", r"/_render/template"),
        ("msearch", "GET POST", rf"(?:/{_INDEX})?/_msearch"),
        ("open point in time", "POST", rf"/{_INDEX}/_search/point_in_time"),
        ("close point in time", "DELETE", r"/_search/point_in_time"),
    )
)
# A scroll holds server resources under an id that other requests would have to continue.
_REFUSED_PARAMETERS = frozenset({"scroll"})
_COMPRESSED_FROM = 16_384
"""Bytes; a shorter body takes longer to compress than to send, and holds no vectors."""
_TOOK = re.compile(r'"took":(\d+)')


class WriteRefusedError(CrossAlignError):
    """A request that is not one of the allowed reads was stopped before it was sent."""


def operation_of(method: str, path: str, parameters: Collection[str] = (), models: Collection[str] = ()) -> str:
    """Name of the allowed read that a request is.

    :param method: HTTP method.
    :param path: path without host and query string, for example ``/prod/_search``.
    :param parameters: names of the query parameters.
    :param models: ids of models inside the cluster that may embed texts.
    :returns: for example ``search``.
    :raises WriteRefusedError: the request is not on the list.
    """
    if ".." not in path and not _REFUSED_PARAMETERS.intersection(parameters):
        if (read := _read_of(method, path)) is not None:
            return read
        if method == "POST" and path in map(embedding_path, models):
            return "embed"
    raise WriteRefusedError(
        f"refused to send {method} {path}: this connection only reads; allowed: "
        + ", ".join(name for name, _, _ in _READS)
    )


@lru_cache(maxsize=256)
def _read_of(method: str, path: str) -> str | None:
    return next((name for name, methods, pattern in _READS if method in methods and pattern.fullmatch(path)), None)


def embedding_path(model: str) -> str:
    """Path of the request that embeds texts with a model inside the cluster.

    :param model: its id.
    """
    return f"/_plugins/_ml/_predict/text_embedding/{quote(model, safe='')}"


class _Recording:
    """A request: checked on entry, recorded with its outcome on exit.

    :raises WriteRefusedError: if the request is not an allowed read.
    """

    def __init__(
        self,
        traffic: Traffic | None,
        method: str,
        path: str,
        parameters: Collection[str],
        body: bytes | None,
        models: Collection[str] = (),
    ) -> None:
        self._operation = operation_of(method, path, parameters, models)
        self._traffic, self._method, self._path = traffic, method, path
        self._bytes_out = len(body or b"")
        self._start = time.monotonic()
        self._status: int | None = None
        self._answer = ""

    def answered(self, answer: Any) -> Any:
        """Record status, headers and text, and return them."""
        self._status, _, self._answer = answer
        return answer

    def __enter__(self) -> _Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, TransportError):
            self._status = error.status_code if isinstance(error.status_code, int) else None
        if self._traffic is None:
            return
        answer = self._answer
        took = _TOOK.search(answer, 0, 2000)
        self._traffic.record(
            Exchange(
                self._method,
                self._path,
                self._operation,
                self._status,
                bytes_out=self._bytes_out,
                bytes_in=len(answer) if answer.isascii() else len(answer.encode("utf-8", "surrogatepass")),
                seconds=time.monotonic() - self._start,
                server_ms=int(took[1]) if took else None,
            )
        )


class QuietConnection:
    """Mixin for a connection of opensearch-py that logs nothing.

    The library would log a stack trace before the caller's clear error, and at debug level whole bodies, which contain
    users' texts and credentials echoed by a server.
    """

    def log_request_fail(self, *_: Any, **__: Any) -> None:
        """Log nothing of a request that failed."""

    def log_request_success(self, *_: Any, **__: Any) -> None:
        """Log nothing of a request that was answered."""


class ReadOnlyConnection(QuietConnection, Urllib3HttpConnection):
    """opensearch-py's connection with the check before each request and a `Traffic` record after it.

    :param traffic: record of each exchange; None for no record.
    :param compress: whether to compress long bodies; this halves query vectors written as decimals.
    :param models: ids of models inside the cluster that may embed texts, as they are when a request is sent.
    :param options: those of ``Urllib3HttpConnection``.
    """

    def __init__(
        self,
        *,
        traffic: Traffic | None = None,
        compress: bool = False,
        models: Collection[str] = (),
        **options: Any,
    ) -> None:
        self._traffic = traffic
        self._models = models
        self._compress = compress
        super().__init__(**options)

    def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
        ignore: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send an allowed read; the arguments are those of ``Urllib3HttpConnection.perform_request``.

        :raises WriteRefusedError: the request is not an allowed read.
        """
        if self._compress and body is not None and len(body) >= _COMPRESSED_FROM:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers = {**(headers or {}), "content-encoding": "gzip"}
        with _Recording(self._traffic, method, url, params or (), body, self._models) as request:
            return request.answered(
                super().perform_request(method, url, params, body, timeout=timeout, ignore=ignore, headers=headers)
            )


class ReadOnlyAsyncConnection(QuietConnection, AsyncHttpConnection):
    """opensearch-py's asynchronous connection, checked and recorded like `ReadOnlyConnection`.

    :param traffic: record of each exchange; None for no record.
    :param options: those of ``AsyncHttpConnection``.
    """

    def __init__(self, *, traffic: Traffic | None = None, **options: Any) -> None:
        self._traffic = traffic
        super().__init__(**options)

    async def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
        ignore: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send an allowed read; the arguments are those of ``AsyncHttpConnection.perform_request``.

        :raises WriteRefusedError: the request is not an allowed read.
        """
        with _Recording(self._traffic, method, url, params or (), body) as request:
            return request.answered(
                await super().perform_request(
                    method, url, params, body, timeout=timeout, ignore=ignore, headers=headers
                )
            )


ID_IN_INDEX, INDEX_OF_ID = "_id", "_index"
"""Keys under which hits of a guarded transport repeat id and index in what is stored, where Haystack makes it meta."""


class _ReadOnlyTransport(Transport):
    def perform_request(self, *arguments: Any, **options: Any) -> Any:
        return _with_ids(super().perform_request(*arguments, **options))


class _ReadOnlyAsyncTransport(AsyncTransport):
    async def perform_request(self, *arguments: Any, **options: Any) -> Any:
        return _with_ids(await super().perform_request(*arguments, **options))


def _with_ids(answer: Any) -> Any:
    """A response with ids added to stored documents, which may lack them in an index not written by Haystack."""
    held = answer.get("hits") if isinstance(answer, dict) else None
    hits = held.get("hits") if isinstance(held, dict) else None
    for hit in hits if isinstance(hits, list) else ():
        source = hit.get("_source") if isinstance(hit, dict) else None
        if isinstance(source, dict):
            # Haystack accepts meta as one object or as single keys, but not both.
            meta = source["meta"] if isinstance(source.get("meta"), dict) else source
            for key in (ID_IN_INDEX, INDEX_OF_ID):
                meta.setdefault(key, hit.get(key))
    return answer


def guarded_transport(traffic: Traffic, connection: Mapping[str, Any] | None = None) -> Callable[..., Transport]:
    """A ``transport_class`` that makes a client read-only.

    :param traffic: record of the requests.
    :param connection: arguments that override the client's, such as credentials; they are kept here, where they cannot
        be shown or stored.
    """

    def transport(hosts: Any, **options: Any) -> Transport:
        asked = options.pop("connection_class", None)
        if connection is not None:
            options = {**options, "http_auth": None, **connection}
        if isinstance(asked, type) and issubclass(asked, AsyncHttpConnection):
            return _ReadOnlyAsyncTransport(hosts, connection_class=ReadOnlyAsyncConnection, traffic=traffic, **options)
        return _ReadOnlyTransport(hosts, connection_class=ReadOnlyConnection, traffic=traffic, **options)

    return transport
