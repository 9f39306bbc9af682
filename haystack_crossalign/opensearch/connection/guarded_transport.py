"""opensearch-py transports, with and without asyncio, whose connections can only read.

A Haystack document store hands its keyword arguments on to ``OpenSearch`` and ``AsyncOpenSearch``. Both take a
``transport_class``, and only there can both be reached: the store names the class of asynchronous connections itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from opensearchpy import AsyncHttpConnection, AsyncTransport, Transport
from opensearchpy.exceptions import TransportError

from haystack_crossalign.opensearch.connection.read_only import ReadOnlyConnection, operation_of
from haystack_crossalign.opensearch.connection.traffic import Exchange, Traffic

__all__ = ["ReadOnlyAsyncConnection", "guarded_transport"]


class ReadOnlyAsyncConnection(AsyncHttpConnection):
    """opensearch-py's asynchronous connection with the check of `ReadOnlyConnection` in front of it.

    :param traffic: where to record each exchange; None records nothing.
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
        operation = operation_of(method, url, params or ())
        start = time.monotonic()
        status: int | None = None
        answer = ""
        try:
            status, answer_headers, answer = await super().perform_request(
                method, url, params, body, timeout=timeout, ignore=ignore, headers=headers
            )
        except TransportError as error:
            status = error.status_code if isinstance(error.status_code, int) else None
            raise
        finally:
            if self._traffic is not None:
                self._traffic.record(
                    Exchange(
                        method,
                        url,
                        operation,
                        status,
                        bytes_out=len(body or b""),
                        bytes_in=len(answer.encode("utf-8", "surrogatepass")),
                        seconds=time.monotonic() - start,
                        server_ms=None,
                    )
                )
        return status, answer_headers, answer

    def log_request_fail(self, *_: Any, **__: Any) -> None:
        """Say nothing, as in `ReadOnlyConnection`."""


def guarded_transport(traffic: Traffic, connection: Mapping[str, Any] | None = None) -> Callable[..., Transport]:
    """What to give as ``transport_class``, so that a client only reads.

    :param traffic: record of the requests.
    :param connection: arguments that take the place of the client's own, such as credentials; they stay in here, out of
        anything that could be shown or stored.
    """

    def transport(hosts: Any, **options: Any) -> Transport:
        asked = options.pop("connection_class", None)
        if connection is not None:
            options = {**options, "http_auth": None, **connection}
        if isinstance(asked, type) and issubclass(asked, AsyncHttpConnection):
            return AsyncTransport(hosts, connection_class=ReadOnlyAsyncConnection, traffic=traffic, **options)
        return Transport(hosts, connection_class=ReadOnlyConnection, traffic=traffic, **options)

    return transport
