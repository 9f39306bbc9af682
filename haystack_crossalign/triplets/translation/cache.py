"""Cache of answers of a chat model, written to disk before they are used, so that a crash loses nothing.

JSON Lines, one answer per line, append-only and flushed to disk line by line. Rejected answers are included, so that
their attempts count. The key of an answer is the hash of prompt version, model, languages and text.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from filelock import BaseFileLock

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.reading import parse_json_object
from haystack_crossalign.files.records import Record
from haystack_crossalign.files.writing import take_lock
from haystack_crossalign.triplets.translation.prompt import PROMPT_VERSION, Request


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    :param text: the answer, white space around it taken off; may be empty.
    :param cut_off: it stopped at its limit.
    :param refused: the service refused to answer this text.
    :param input_tokens: tokens sent, as the service counted them; 0 if it did not say.
    :param output_tokens: tokens received.
    """

    text: str
    cut_off: bool = False
    refused: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


def request_key(model: str, request: Request) -> str:
    """Hash of prompt version, model, languages and text.

    :param model: identity of the model, see
        :func:`~haystack_crossalign.triplets.translation.chat_generator.generator_identity`.
    :param request: the text.
    """
    parts = [PROMPT_VERSION, model, request.source, request.target, request.text]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


_BEGINNING = b'{"key": "'


class TranslationCache:
    """A file of answers, as a context manager; only one process at a time may use a file.

    An incomplete last line, left by a crash, is removed; an invalid line before it is an error.

    :param path: the file, in an existing folder; created if it is missing.
    :raises InputError: if the file is not such a cache.
    :raises ExternalError: if another process uses it, or it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._answers: dict[str, list[Answer]] = {}
        self._stream: BinaryIO | None = None
        self._mutex = threading.Lock()
        self._lock: BaseFileLock | None = None

    def __enter__(self) -> TranslationCache:
        """Lock the file, read it and open it for appending."""
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise InputError(
                "no such folder, or not a file", source=self.path, allowed="a file in a folder that exists"
            )
        busy = ExternalError(f"{self.path}: another run uses this cache; wait for it, or take another file")
        self._lock = take_lock(self.path.with_name(f"{self.path.name}.lock"), busy)
        try:
            self._stream = self.path.open("r+b" if self.path.exists() else "w+b")
            self._answers.clear()
            self._read(self._stream)
        except OSError as error:
            self._close()
            raise ExternalError(f"{self.path}: cannot be used ({error.strerror})") from error
        except InputError:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close and unlock the file."""
        self._close()

    def answers(self, key: str) -> Sequence[Answer]:
        """The answers so far, oldest first."""
        with self._mutex:
            return tuple(self._answers.get(key, ()))

    def add(self, key: str, answer: Answer, about: Mapping[str, str]) -> None:
        """Append an answer; it is on disk when this returns.

        :param key: see :func:`request_key`.
        :param answer: the answer.
        :param about: information on the request, for readers of the file.
        :raises ExternalError: if it cannot be written.
        """
        values = {
            "key": key,
            **about,
            "answer": answer.text,
            "cut_off": answer.cut_off,
            "refused": answer.refused,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
        }
        line = json.dumps(values, ensure_ascii=False).encode() + b"\n"
        with self._mutex:
            if self._stream is None:
                raise ExternalError(f"{self.path}: the cache is not open")
            try:
                self._stream.write(line)
                self._stream.flush()
                os.fsync(self._stream.fileno())
            except OSError as error:
                raise ExternalError(f"{self.path}: cannot be written ({error.strerror})") from error
            self._answers.setdefault(key, []).append(answer)

    def _read(self, stream: BinaryIO) -> None:
        raw = stream.read()
        whole = raw.rfind(b"\n") + 1
        for number, line in enumerate(raw[:whole].splitlines(), start=1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError("not valid UTF-8", source=self.path, line=number) from error
            record = Record(parse_json_object(text, self.path, number), self.path, number)
            answer = Answer(
                record.optional_text("answer").strip() if record.values.get("answer") else "",
                cut_off=bool(record.get("cut_off")),
                refused=bool(record.get("refused")),
                input_tokens=record.whole_number("input_tokens"),
                output_tokens=record.whole_number("output_tokens"),
            )
            self._answers.setdefault(record.identifier("key"), []).append(answer)
        if whole < len(raw):
            torn = raw[whole:]
            if torn[: len(_BEGINNING)] != _BEGINNING[: len(torn)]:
                raise InputError("not a cache of translations", source=self.path, line=raw.count(b"\n") + 1)
            # An answer on an incomplete line was never used, so the text is requested again.
            stream.truncate(whole)
        stream.seek(whole)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                # `add` has already reported write errors.
                with suppress(OSError):
                    stream.close()
        finally:
            if self._lock is not None:
                self._lock.release()
