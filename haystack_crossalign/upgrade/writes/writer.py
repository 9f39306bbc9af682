"""The client of an upgrade, which may write only what its grant allows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from opensearchpy import OpenSearch, Urllib3HttpConnection

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.patient import Patience, send_patiently
from haystack_crossalign.opensearch.connection.read_only import QuietConnection
from haystack_crossalign.upgrade.writes.grants import Grant

Answer = dict[str, Any]

# Two threads that write documents, one that reads what is to be done, one that keeps leases, and the run itself.
_CONNECTIONS = 6


class GrantedConnection(QuietConnection, Urllib3HttpConnection):
    """opensearch-py's connection with the check of a grant before each request.

    :param holder: holds the current grant.
    :param options: those of ``Urllib3HttpConnection``.
    """

    def __init__(self, *, holder: WriteClient, **options: Any) -> None:
        self._holder = holder
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
        """Send an allowed write; the arguments are those of ``Urllib3HttpConnection.perform_request``.

        :raises WriteRefusedError: the grant does not name it.
        """
        self._holder.grant.check(method, url, params or {}, body)
        return super().perform_request(method, url, params, body, timeout=timeout, ignore=ignore, headers=headers)


class WriteClient:
    """Writes of one upgrade to the cluster of a client that reads.

    :param reader: whose addresses, credentials and time limits are used.
    :param grant: what may be written; `grant` may be replaced as the ledger says more.
    """

    def __init__(self, reader: ReadOnlyClient, grant: Grant) -> None:
        self.grant = grant
        self.host = reader.hosts[0]
        self.patience: Patience = reader.patience
        self._opensearch = OpenSearch(
            connection_class=GrantedConnection,
            holder=self,
            max_retries=0,
            pool_maxsize=_CONNECTIONS,
            **reader.connection(),
        )

    def close(self) -> None:
        """Close the connections."""
        self._opensearch.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: object = None,
        repeat: bool = True,
    ) -> Answer:
        """One write, repeated while the cluster is busy or away.

        :param path: absolute path, names already escaped.
        :param parameters: query parameters.
        :param body: JSON value, or text that is sent as it is.
        :param repeat: whether it may be sent again where nobody knows if it was carried out.
        :raises CrossAlignError: what the last refusal means.
        """
        return send_patiently(
            self._opensearch,
            self.patience,
            self.host,
            method,
            path,
            parameters=parameters,
            body=body,
            repeat_lost=repeat,
            repeat_late=repeat,
        )

    def refresh(self, index: str) -> None:
        """Make writes visible to searches."""
        self.request("POST", f"/{escaped(index)}/_refresh")

    def block_writes(self, index: str) -> None:
        """Block writes to an index; returns once no write is in progress."""
        self.request("PUT", f"/{escaped(index)}/_block/write")

    def settings(self, index: str, settings: Mapping[str, Any]) -> None:
        """Change settings of an index."""
        self.request("PUT", f"/{escaped(index)}/_settings", body=dict(settings))


def escaped(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")
