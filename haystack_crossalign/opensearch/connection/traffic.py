"""A record of the requests to a cluster: for provenance, load limits and the proof that nothing was written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Exchange:
    """An HTTP request and its response, without headers and bodies, so that no secret and no text is stored.

    :param method: HTTP method.
    :param path: path without its query string.
    :param operation: name of the read it was, see `haystack_crossalign.opensearch.connection.read_only.operation_of`.
    :param status: HTTP status, or None without a response.
    :param bytes_out: length of the request's body as sent.
    :param bytes_in: length of the response's body; 0 for rejected and lost requests.
    :param seconds: time until the response was read.
    :param server_ms: milliseconds reported by the server, if any.
    """

    method: str
    path: str
    operation: str
    status: int | None
    bytes_out: int
    bytes_in: int
    seconds: float
    server_ms: int | None


@dataclass(frozen=True)
class Totals:
    """Sums over exchanges; the fields are those of `Exchange`."""

    requests: int = 0
    failures: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    seconds: float = 0.0
    server_ms: int = 0

    def plus(self, exchange: Exchange) -> Totals:
        """The totals with one more exchange."""
        failed = exchange.status is None or exchange.status >= 400
        return Totals(
            self.requests + 1,
            self.failures + failed,
            self.bytes_out + exchange.bytes_out,
            self.bytes_in + exchange.bytes_in,
            self.seconds + exchange.seconds,
            self.server_ms + (exchange.server_ms or 0),
        )


class Traffic:
    """Totals by operation, with constant memory. Thread-safe.

    :param observer: called with every exchange, for a complete record.
    """

    def __init__(self, observer: Callable[[Exchange], None] | None = None) -> None:
        self._observer = observer
        self._totals: dict[str, Totals] = {}
        self._lock = threading.Lock()

    def record(self, exchange: Exchange) -> None:
        """Add one exchange."""
        with self._lock:
            self._totals[exchange.operation] = self._totals.get(exchange.operation, Totals()).plus(exchange)
        if self._observer is not None:
            self._observer(exchange)

    @property
    def totals(self) -> dict[str, Totals]:
        """Totals by operation, sorted by its name."""
        with self._lock:
            return dict(sorted(self._totals.items()))
