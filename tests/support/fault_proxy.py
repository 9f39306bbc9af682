"""A proxy in front of a real server: spoils answers as no server can be asked to, and acts between two requests."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Fault = Callable[[BaseHTTPRequestHandler, bytes], bytes | None]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that give up on an answer are what some tests are about."""


class Proxy:
    """Forwards to a real server; each planned fault spoils one request, in order.

    `before` is called with method and path of each request before it is forwarded, for what shall happen in between.
    `rewrite` is given each request and its body; it says what is forwarded, and what becomes of the answer.
    """

    def __init__(self, url: str) -> None:
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.before: Callable[[str], object] = lambda _: None
        self.rewrite: Callable[[str, bytes], tuple[bytes, Callable[[bytes], bytes]]] = lambda _, body: (body, bytes)
        target = urlsplit(url)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                request = f"{self.command} {self.path.split('?')[0]}"
                proxy.requests.append(request)
                proxy.before(request)
                body, finish = proxy.rewrite(request, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                connection = http.client.HTTPConnection(target.hostname or "", target.port)
                headers = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "content-encoding")}
                try:
                    connection.request(self.command, self.path, body, headers)
                    answer = connection.getresponse()
                    content = finish(answer.read())
                except (OSError, http.client.HTTPException):
                    # Nobody behind the proxy: the caller sees what it would see without it.
                    reset(self, b"")
                    return
                finally:
                    connection.close()
                if proxy.faults:
                    spoiled = proxy.faults.pop(0)(self, content)
                    if spoiled is None:
                        return
                    content = spoiled
                self.reply(answer.status, content)

            def reply(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = forward  # noqa: N815

            def log_message(self, *_: Any) -> None:
                return

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()


def status(code: int, kind: str) -> Fault:
    def answer(handler: Any, _: bytes) -> None:
        handler.reply(
            code, json.dumps({"status": code, "error": {"type": kind, "reason": f"because of {kind}"}}).encode()
        )

    return answer


def reset(handler: Any, _: bytes) -> None:
    """Break the connection without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
