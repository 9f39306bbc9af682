"""Small local HTTP servers, for what a real OpenSearch cannot be made to do: demand, refuse and inspect."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire, the body still compressed."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


Answerer = Callable[[Received], tuple[int, Any]]
INFO = {"name": "n", "cluster_name": "local", "version": {"number": "3.6.0", "distribution": "opensearch"}}


@contextlib.contextmanager
def http_server(answer: Answerer, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves what ``answer`` says (status, JSON value, its bytes, or text) on a free port; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            received = Received(self.command, self.path, tuple(self.headers.items()), body)
            status, value = answer(received)
            data = (
                value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
            )
            self.send_response(status)
            self.send_header("content-type", "text/plain" if isinstance(value, str) else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A refused handshake is what some tests are about."""

        def finish_request(self, request: Any, client_address: Any) -> None:
            # The handshake belongs to the connection's thread: in the accepting one it would block all others.
            if tls is not None:
                request = tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tls_context(pair: tuple[Path, Path], *, demand: Path | None = None) -> ssl.SSLContext:
    """A server's side of TLS; with ``demand`` it lets in only clients with a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if demand is not None:
        context.load_verify_locations(demand)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
