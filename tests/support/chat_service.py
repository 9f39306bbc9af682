"""A chat service that translates by looking human translations up, with faults on demand."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from haystack_crossalign.languages import normalize_language

__all__ = ["ChatService", "serve_chat"]

_ASKED = re.compile(r" from (?P<source>.+?) to (?P<target>.+?)\. ")


class ChatService:
    """Answers chat messages with the human translation of the last one.

    :param lines: texts in several languages, by tag.
    :param faults: called with the text and how often it was asked before; gives the name of a fault, or None.
    """

    def __init__(
        self, lines: list[Mapping[str, str]], faults: Callable[[str, int], str | None] = lambda _text, _before: None
    ) -> None:
        self._line_of = {line["en"]: line for line in lines}
        self._faults = faults
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0

    def fault(self, text: str) -> str | None:
        """Count a question; the fault that it meets."""
        with self._lock:
            before = self.asked[text]
            self.asked[text] += 1
        return self._faults(text, before)

    def answer(self, system: str, text: str, fault: str | None) -> str:
        """What is answered."""
        found = _ASKED.search(system)
        assert found is not None, system
        line = self._line_of[text]
        right = line[normalize_language(found["target"])]
        return {
            None: right,
            "empty": "  ",
            "wrong language": line["ru"],
            "untranslated": text,
            "too long": f"{right} {right} {right} {right} {right}",
        }.get(fault, right)


@contextmanager
def serve_chat(service: ChatService, *, hold: Callable[[str], None] = lambda _text: None):
    """The service behind OpenAI's HTTP interface on a free port; yields the base URL.

    :param hold: called with the text before it is answered; may block.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            system, text = body["messages"][0]["content"], body["messages"][-1]["content"]
            fault = service.fault(text)
            hold(text)
            status = {"rate limit": 429, "unavailable": 503, "no key": 401, "refused": 400}.get(fault or "", 200)
            if fault == "hang up":
                self.connection.close()
                return
            if status != 200:
                self._send(status, {"error": {"message": "secret-in-the-message", "type": "x"}})
                return
            finish = "length" if fault == "cut off" else "stop"
            message = {"role": "assistant", "content": service.answer(system, text, fault)}
            usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
            self._send(
                200,
                {
                    "id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "usage": usage,
                    "choices": [{"index": 0, "finish_reason": finish, "message": message}],
                },
            )  # fmt: skip
            service.answered[text] += 1

        def _send(self, status: int, value: Any) -> None:
            raw = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
