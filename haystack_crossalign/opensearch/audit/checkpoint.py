"""A file with the finished work of a long audit, so that an interrupted audit can be resumed.

The file holds JSON Lines: first the identity of the audit, then one line for each finished unit of work. A line is
valid once its line feed is on disk; an incomplete last line is removed when the audit is resumed. Later results never
replace an earlier line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.writing import write_atomically

SCHEMA = "crossalign.live-state/3"


def fingerprint(value: object) -> str:
    """SHA-256 of a JSON value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Checkpoint:
    """Finished units of an audit by their number.

    :param path: the file; None to store nothing.
    :param parts: identity of the audit, one fingerprint for each part (the index, the queries, …).
    :param resume: whether to resume from the file; otherwise it must not exist.
    :raises InputError: if there is no file to resume from, a file already exists, or it belongs to another audit.
    """

    def __init__(self, path: Path | None, parts: Mapping[str, str], *, resume: bool = False) -> None:
        self.path = path
        self.done: dict[int, Any] = {}
        self._stream: IO[bytes] | None = None
        if path is None:
            return
        if resume:
            self._read(path, parts)
        else:
            if path.exists():
                raise InputError(
                    "already exists", source="--state", seen=str(path), allowed="a new file, or --resume to go on"
                )
            header = {"schema": SCHEMA, "parts": dict(parts)}
            write_atomically(path, json.dumps(header, separators=(",", ":")) + "\n")
        try:
            self._stream = path.open("ab")
        except OSError as error:
            raise ExternalError(f"{path}: cannot be written ({error.strerror})") from error

    def add(self, unit: int, record: Any) -> None:
        """Store a finished unit; it is on disk when this returns.

        :param unit: its number.
        :param record: JSON value; floats are restored exactly.
        :raises ExternalError: if the file cannot be written.
        """
        self.done[unit] = record
        if self._stream is None:
            return
        line = json.dumps({"unit": unit, "record": record}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        try:
            self._stream.write(line.encode("utf-8", "surrogatepass") + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise ExternalError(f"{self.path}: cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _read(self, path: Path, parts: Mapping[str, str]) -> None:
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise InputError("no such file", source="--resume", seen=str(path)) from None
        except OSError as error:
            raise ExternalError(f"{path}: cannot be read ({error.strerror})") from error
        whole = raw[: raw.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[:-1]
        header = _parse(path, 1, lines[0]) if lines else {}
        if header.get("schema") != SCHEMA or not isinstance(header.get("parts"), dict):
            raise InputError("not the state of an audit", source=path, line=1, allowed="a file that --state wrote")
        differing = [name for name in parts if header["parts"].get(name) != parts[name]]
        if differing:
            raise InputError(
                f"belongs to another audit: {', '.join(differing)} differ, and numbers of two audits are not mixed",
                source=path,
                allowed="the same index in the same state, the same queries, model and options; or a new --state file",
            )
        for number, line in enumerate(lines[1:], start=2):
            entry = _parse(path, number, line)
            if not isinstance(entry.get("unit"), int) or "record" not in entry:
                raise InputError("not the state of an audit", source=path, line=number)
            self.done[entry["unit"]] = entry["record"]
        if len(whole) < len(raw):
            try:
                os.truncate(path, len(whole))
            except OSError as error:
                raise ExternalError(f"{path}: cannot be written ({error.strerror})") from error


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise InputError("not the state of an audit: no JSON", source=path, line=number) from None
    if not isinstance(entry, dict):
        raise InputError("not the state of an audit", source=path, line=number)
    return entry
