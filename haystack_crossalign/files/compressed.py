"""Read files line by line or whole, decompressing gzip, with the SHA-256 of the bytes on disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from haystack_crossalign.errors import InputError

_GZIP = b"\x1f\x8b"
_OTHER_FORMATS = {
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"PK\x03\x04": "a zip file",
    b"PAR1": "a Parquet file",
}

_LONGEST_LINE = 64 * 2**20
"""Maximum bytes of a line; one with a vector of 4,096 numbers takes about 90 kB."""
_MOST_EXPANSION = 200
"""Maximum expansion ratio of a gzip file larger than `_SMALL`. Text has 3 to 20, a gzip bomb 1,000."""
_SMALL = 16 * 2**20
_CHUNK = 2**20


def plain_name(path: Path) -> Path:
    """``path`` without a final ``.gz``, so that suffix and stem are those of the content."""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def with_or_without_gz(path: Path) -> Path:
    """``path``, or ``path`` with ``.gz`` added if only that exists."""
    compressed = path.with_name(f"{path.name}.gz")
    return compressed if not path.exists() and compressed.exists() else path


class HashedFile:
    """The bytes of a file, decompressed if it is gzip (judged by its first bytes, not its name).

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes on disk, in lower-case hexadecimal; valid once the file was read to its end."""
        return self._digest.hexdigest()

    def lines(self) -> Iterator[bytes]:
        """The lines, with line ends.

        :raises InputError: for another compression, UTF-16, a line of more than 64 MiB, and gzip that is damaged,
            truncated or expands too much.
        :raises OSError: if the file cannot be read.
        """
        with io.BufferedReader(self._path.open("rb", buffering=0), _CHUNK) as stream:
            if self._is_gzip(stream):
                expanded = _Expanded(self._path, stream, self._digest)
                while line := expanded.readline():
                    if len(line) > _LONGEST_LINE:
                        raise self._too_long()
                    yield line
                return
            readline, update = stream.readline, self._digest.update
            while line := readline(_LONGEST_LINE + 1):
                update(line)
                if len(line) > _LONGEST_LINE:
                    raise self._too_long()
                yield line

    def content(self) -> bytes:
        """All bytes; raises what `lines` raises."""
        with self._path.open("rb") as stream:
            if self._is_gzip(stream):
                return _Expanded(self._path, stream, self._digest).read()
            raw = stream.read()
            self._digest.update(raw)
            return raw

    def _too_long(self) -> InputError:
        return InputError("a line is too long", source=self._path, allowed=f"lines of at most {_LONGEST_LINE:,} bytes")

    def _is_gzip(self, stream: io.BufferedReader[Any]) -> bool:
        start = stream.peek(6)[:6]
        for mark, name in _OTHER_FORMATS.items():
            if start.startswith(mark):
                raise InputError(f"the file is {name}", source=self._path, allowed="text in UTF-8, plain or as gzip")
        return start.startswith(_GZIP)


class _Hashing(io.RawIOBase):
    """A stream that hashes and counts what is read from it.

    :param stream: the stream.
    :param digest: what is updated.
    """

    def __init__(self, stream: io.BufferedReader[Any], digest: Any) -> None:
        self._stream = stream
        self._digest = digest
        self.size = 0

    def readable(self) -> bool:
        """Always true; required by gzip."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        data = self._stream.read(size)
        self._digest.update(data)
        self.size += len(data)
        return data


class _Expanded:
    """Stream of the content of a gzip file, with limits on its size.

    :param path: the file, for messages.
    :param stream: its bytes.
    :param digest: what is updated with the bytes on disk.
    """

    def __init__(self, path: Path, stream: io.BufferedReader[Any], digest: Any) -> None:
        self._path = path
        self._raw = _Hashing(stream, digest)
        self._stream = io.BufferedReader(gzip.GzipFile(fileobj=self._raw, mode="rb"), _CHUNK)
        self._size = 0

    def readline(self) -> bytes:
        """The next line, cut one byte after the maximum length; empty at the end."""
        return self._checked(self._stream.readline, _LONGEST_LINE + 1)

    def read(self) -> bytes:
        """The rest of the content."""
        parts = []
        while part := self._checked(self._stream.read, _CHUNK):
            parts.append(part)
        return b"".join(parts)

    def _checked(self, read: Any, size: int) -> bytes:
        try:
            data: bytes = read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            cut = isinstance(error, EOFError)
            raise InputError(
                "the gzip file is cut off" if cut else f"the gzip file is damaged ({error})",
                source=self._path,
                allowed="a complete gzip file",
            ) from error
        self._size += len(data)
        if self._size > _SMALL and self._size > _MOST_EXPANSION * self._raw.size:
            raise InputError(
                f"the gzip file expands to more than {_MOST_EXPANSION} times its size",
                source=self._path,
                seen=f"{self._size:,} bytes from {self._raw.size:,}",
                allowed="text; decompress it first if this is correct",
            )
        return data
