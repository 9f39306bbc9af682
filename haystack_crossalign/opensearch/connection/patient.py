"""Send a request with retries while the server is busy or unavailable, and convert every failure to one of our
errors.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConnectionTimeout, SerializationError, TransportError

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.opensearch.connection.failures import explain, is_busy


@dataclass(frozen=True)
class Patience:
    """How long to wait for a busy or restarting server: exponential back-off with full jitter.

    :param total: seconds after which the last error is raised.
    :param first: maximum seconds before the second attempt; doubled for each further one.
    :param longest: maximum seconds of a wait.
    """

    total: float = 60.0
    first: float = 0.5
    longest: float = 15.0

    def wait(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number ``attempt`` (0 for the first): uniform in (0, bound)."""
        bound = min(self.longest, self.first * 2.0 ** min(attempt, 60))
        return secrets.SystemRandom().uniform(0.0, bound)

    def begin(self) -> Waiting:
        """Count the time from now on."""
        return Waiting(self)


class Waiting:
    """The pauses between attempts.

    :param patience: how long to wait, starting now.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._deadline = time.monotonic() + patience.total
        self._attempt = 0

    def pause(self) -> bool:
        """Wait before the next attempt; returns False immediately if it would be too late."""
        wait = self._patience.wait(self._attempt)
        if time.monotonic() + wait > self._deadline:
            return False
        time.sleep(wait)
        self._attempt += 1
        return True


def send_patiently(
    opensearch: OpenSearch,
    patience: Patience,
    host: str,
    method: str,
    path: str,
    *,
    parameters: Mapping[str, str] | None = None,
    body: object = None,
    repeat_lost: bool = True,
    repeat_late: bool = False,
) -> dict[str, Any]:
    """Send a request and return its response.

    :param opensearch: the client, without its own retries.
    :param patience: how long to keep trying.
    :param host: address for messages.
    :param method: HTTP method.
    :param path: absolute path, names already escaped.
    :param parameters: query parameters.
    :param body: JSON value, or text that is sent as it is.
    :param repeat_lost: whether to repeat a request whose connection broke, although it may have been executed.
    :param repeat_late: whether to repeat a request that timed out, although it may still be running.
    :raises CrossAlignError: what the last refusal means, see `haystack_crossalign.opensearch.connection.failures`.
    """
    waiting = patience.begin()
    while True:
        try:
            answer = opensearch.transport.perform_request(method, path, params=dict(parameters or {}), body=body)
            if not isinstance(answer, dict):
                raise ExternalError(not_opensearch(host, method, path))
            return answer
        except (SerializationError, RecursionError):
            # A web page, for example from a proxy; its text may be long and is not repeated.
            raise ExternalError(not_opensearch(host, method, path)) from None
        except TransportError as error:
            answered = isinstance(error.status_code, int)
            may_help = is_busy(error) or (repeat_late and isinstance(error, ConnectionTimeout))
            if not may_help or not (answered or repeat_lost) or not waiting.pause():
                raise explain(error, request=f"{method} {path}", host=host) from None


def not_opensearch(host: str, method: str, path: str) -> str:
    """The message for an answer that is no JSON object."""
    return f"{host}: what answers to {method} {path} does not look like OpenSearch"
