"""Read user-supplied text files, plain or as gzip; invalid UTF-8 or JSON raises one error with its position."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, TypeVar

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import HashedFile

_BOM = b"\xef\xbb\xbf"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Source:
    """A file that data were read from.

    :param name: name of the file without its folder.
    :param sha256: SHA-256 of its bytes, in lower-case hexadecimal.
    """

    name: str
    sha256: str


def source_of(path: str | Path) -> Source:
    """Name and SHA-256 of a file.

    :param path: the file.
    :raises InputError: if it cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return Source(name=path.name, sha256=hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise unreadable(path, error) from error


class TextFile:
    """A text file, read line by line.

    Iterating yields ``(number, text)`` with 1-based numbers. Line ends (LF or CRLF) and a byte order mark are removed,
    blank lines are skipped. A gzip file is decompressed on the fly. `source` is available once the file has been read
    to its end.

    :param path: the file.
    :param on_error: called with the error of a line that is not UTF-8, which is then skipped; None to raise it.
    """

    def __init__(self, path: str | Path, on_error: Callable[[InputError], None] | None = None) -> None:
        self.path = Path(path)
        self._on_error = on_error
        self._source: Source | None = None

    def __iter__(self) -> Iterator[tuple[int, str]]:
        yield from self.lines(_never)

    def lines(self, parse: Callable[[bytes], Parsed | None]) -> Iterator[tuple[int, Parsed | str]]:
        """The same lines, as what a quick parser makes of them, or else as text.

        :param parse: makes something of the bytes of a line that is UTF-8 and not blank; None leaves it as text.
        """
        file = HashedFile(self.path)
        empty = True
        try:
            for number, raw in enumerate(file.lines(), start=1):
                raw = raw.removeprefix(_BOM) if number == 1 else raw
                if (parsed := parse(raw)) is not None:
                    empty = False
                    yield number, parsed
                    continue
                try:
                    text = _decode(raw, self.path, number)
                except InputError as error:
                    if self._on_error is None:
                        raise
                    self._on_error(error)
                    continue
                if text.strip():
                    empty = False
                    yield number, text
        except OSError as error:
            raise unreadable(self.path, error) from error
        if empty:
            raise InputError("the file is empty", source=self.path, allowed="at least one line that is not blank")
        self._source = Source(name=self.path.name, sha256=file.sha256)

    @property
    def source(self) -> Source:
        """Name and SHA-256 of the file.

        :raises RuntimeError: before the file has been read to its end.
        """
        if self._source is None:
            msg = f"{self.path} has not been read to its end yet"
            raise RuntimeError(msg)
        return self._source


def combined_source(name: str, sources: Sequence[Source]) -> Source:
    """Combine several files to one source, whose hash is that of their names and hashes.

    :param name: name of the combined source.
    :param sources: the files, in a fixed order.
    """
    digest = hashlib.sha256("".join(f"{source.name} {source.sha256}\n" for source in sources).encode())
    return Source(name=name, sha256=digest.hexdigest())


def read_json(path: str | Path) -> tuple[object, Source]:
    """Read a JSON file; also returns its source.

    :param path: the file.
    :raises InputError: if the file cannot be read, is not UTF-8 or not complete JSON.
    """
    value, _, source = read_json_text(path)
    return value, source


def read_json_text(path: str | Path) -> tuple[object, str, Source]:
    """Read a JSON file; also returns its text, for `haystack_crossalign.files.json_lines.json_lines`, and its source.

    :param path: the file.
    :raises InputError: as :func:`read_json`.
    """
    path = Path(path)
    file = HashedFile(path)
    try:
        raw = file.content()
    except OSError as error:
        raise unreadable(path, error) from error
    if not raw.strip():
        raise InputError("the file is empty", source=path, allowed="JSON")
    lines = raw.removeprefix(_BOM).split(b"\n")
    text = "\n".join(_decode(line, path, number) for number, line in enumerate(lines, start=1))
    return parse_json(text, path, None), text, Source(name=path.name, sha256=file.sha256)


def read_json_object(path: str | Path) -> tuple[dict[str, object], Source]:
    """Read a JSON file that holds one object; also returns its source.

    :param path: the file.
    :raises InputError: as :func:`read_json`, and if it is not an object.
    """
    value, source = read_json(path)
    return _object(value, Path(path), None), source


def parse_json(text: str, path: Path, line: int | None) -> object:
    """Parse a JSON value.

    :param text: the text.
    :param path: file it comes from, for messages.
    :param line: 1-based line in that file; None if ``text`` is the whole file.
    :raises InputError: if the text is not complete JSON, or has a duplicate key in an object.
    """
    try:
        return _DECODER.decode(text)
    except _DuplicateKeyError as error:
        raise InputError(
            "duplicate key in one JSON object",
            source=path,
            line=_line_of_duplicate(text) if line is None else line,
            seen=error.key,
            allowed="each key once",
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON ({error.msg} at column {error.colno}; is it cut off?)",
            source=path,
            line=error.lineno if line is None else line,
            seen=error.doc[max(0, error.pos - 20) : error.pos + 20],
            allowed="one complete JSON value" if line is None else _one_per_line(text),
        ) from error
    except (RecursionError, ValueError) as error:
        # Nested too deeply, or an integer of thousands of digits.
        raise InputError(f"not usable JSON ({error})", source=path, line=line) from error


class _DuplicateKeyError(Exception):
    """An object has a duplicate key.

    :param key: the key.
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _with_unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DuplicateKeyError(next(key for number, key in enumerate(keys) if key in keys[:number]))
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=_with_unique_keys)


def _line_of_duplicate(text: str) -> int | None:
    """1-based line on which the object with the duplicate key begins; None if it is not found."""
    decoder: Any = json.JSONDecoder(object_pairs_hook=_with_unique_keys)
    parse_object, starts = decoder.parse_object, list[int]()

    def located(place: tuple[str, int], *rest: Any) -> Any:
        try:
            return parse_object(place, *rest)
        except _DuplicateKeyError:
            starts.append(place[1])  # the innermost object comes first
            raise

    decoder.parse_object = located
    # The scanner in C does not report positions.
    decoder.scan_once = py_make_scanner(decoder)
    with suppress(_DuplicateKeyError, RecursionError):
        decoder.decode(text)
    return text.count("\n", 0, starts[0]) + 1 if starts else None


def parse_json_object(text: str, path: Path, line: int | None) -> dict[str, object]:
    """Parse a JSON object: as :func:`parse_json`, with an error if it is not an object."""
    return _object(parse_json(text, path, line), path, line)


def _object(value: object, path: Path, line: int | None) -> dict[str, object]:
    if not isinstance(value, dict):
        allowed = (
            'an object such as {"id": …}' if line is None else _one_per_line("[" if isinstance(value, list) else "")
        )
        raise InputError("not a JSON object", source=path, line=line, seen=value, allowed=allowed)
    return value


def _one_per_line(text: str) -> str:
    """What a line of a JSON Lines file must be, and how to get there from an array or an object over several lines."""
    command = {"[": "jq -c '.[]'", "{": "jq -c ."}.get(text.lstrip()[:1]) if len(text.strip()) < 2 else None
    rewrite = "" if command is None else f"; {command} FILE writes them so"
    return f'one JSON object per line, such as {{"id": …}}{rewrite}'


def _never(_: bytes) -> None:
    return None


def _decode(raw: bytes, path: Path, line: int) -> str:
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"not valid UTF-8 (byte {error.start + 1} of the line)",
            source=path,
            line=line,
            seen=raw[error.start : error.start + 8],
            allowed="UTF-8 text",
        ) from error


def unreadable(path: Path, error: OSError) -> InputError:
    """The error for a file that cannot be opened."""
    if isinstance(error, IsADirectoryError):
        return InputError("is a directory, not a file", source=path, allowed="a file")
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", source=path, allowed="a file that exists")
    return InputError(f"the file cannot be read ({error.strerror})", source=path, allowed="a file that can be read")
