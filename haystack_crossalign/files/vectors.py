"""Vectors of JSON records: read straight into float32 where that gives what Python's json module gives, and kept so."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import TextFile, parse_json_object
from haystack_crossalign.files.records import Record
from haystack_crossalign.native import native_library

Built = TypeVar("Built")

_MOST_NUMBERS = 1 << 16
_MARK = uuid4().hex
"""Stands in place of a vector while the rest of its line is parsed; a value that no file holds."""

_QUOTED_MARK = f'"{_MARK}"'.encode()
_NO_PATH = Path()  # of errors that nobody sees


class QuickLine(NamedTuple):
    """A line that was parsed without the json module's part for the vector.

    :param values: its object, with a float32 array as the vector.
    :param raw: its bytes, valid UTF-8.
    """

    values: dict[str, object]
    raw: bytes

    @property
    def text(self) -> str:
        """The line without its end."""
        return self.raw.decode().rstrip("\r\n")


class QuickParser:
    """Parses lines that hold one JSON object with a vector; leaves every other line, and everything odd, alone.

    The array is cut out and its numbers are read by the compiled library; what is left of the line, with a mark in the
    array's place, goes through the parser that all JSON goes through. The mark tells that the array was the value of
    the object's own field: ``"embedding"`` after an opening brace, a comma or white space and before a colon can only
    be a key, and only if the mark is the value of that field was it this object's. A value that comes out is the one
    that the json module gives.

    :param field: name of the field of the vector.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._read = _numbers()
        self._key = f'"{field}"'.encode()
        self._start = re.compile(rb"[{,\s]" + re.escape(self._key) + rb"\s*:\s*(?=\[)")
        self._row = np.empty(_MOST_NUMBERS, dtype=np.float32)
        self._place = self._row.ctypes.data

    def __call__(self, raw: bytes) -> QuickLine | None:
        """What the line holds; None where the json module has to tell. The array is overwritten by the next call."""
        if self._read is None or (place := raw.find(self._key) - 1) < 0:
            return None
        if (match := self._start.match(raw, place)) is None:
            return None
        first = match.end()
        end = raw.find(b"]", first) + 1
        part = raw[first:end]
        count = self._read(part, len(part), self._place, _MOST_NUMBERS)
        if not count:
            return None
        try:
            values = parse_json_object((raw[:first] + _QUOTED_MARK + raw[end:]).decode().rstrip("\r\n"), _NO_PATH, None)
        except (InputError, UnicodeDecodeError):
            return None
        if values.get(self._field) != _MARK:
            return None
        values[self._field] = self._row[:count]
        return QuickLine(values, raw)


@cache
def _numbers() -> Callable[[bytes, int, int, int], int] | None:
    """The compiled reader of an array of numbers, None where it is not installed."""
    library = native_library()
    # A library that was built before has none.
    function: Any = getattr(library, "crossalign_numbers", None)
    if function is None:
        return None
    function.restype = ctypes.c_int64
    function.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
    return function  # type: ignore[no-any-return]


class Vectors:
    """Vectors of the records of a file: in every record or in none, all of the same length.

    :param field: name of the field that holds them.
    :param strict: whether a vector that does not match the first one raises an error; otherwise `misfits` lists those
        that do not match the majority.
    """

    def __init__(self, field: str = "embedding", *, strict: bool = True) -> None:
        self._field = field
        self._strict = strict
        self._lengths: list[int] = []
        self._tables: dict[int, _Table] = {}

    def lines(self, file: TextFile) -> Iterator[tuple[int, QuickLine | str]]:
        """The lines of a file with their numbers, for `built`."""
        return file.lines(QuickParser(self._field))

    def add(self, record: Record) -> None:
        """Add the vector of the next record.

        :raises InputError: for NaN, infinity or a zero vector; with `strict` also for a dimension that differs from
            that of earlier vectors, and for a vector in only some of the records.
        """
        value = record.get(self._field)
        if value is None:
            length = 0
        else:
            row = value if isinstance(value, np.ndarray) else self._row(record, value)
            length = len(row)
        if self._lengths and self._strict and length != self._lengths[0]:
            if not length or not self._lengths[0]:
                raise record.error(
                    "vector in some records only" if length else "vector missing, though records before have one",
                    self._field,
                    allowed="a vector in every record or in none",
                )
            raise record.error(
                "dimension mismatch",
                self._field,
                f"{length} numbers",
                f"{self._lengths[0]} numbers, as in the first record",
            )
        self._lengths.append(length)
        if length:
            table = self._tables.get(length)
            if table is None:
                table = self._tables[length] = _Table(length)
            table.add(row)

    def array(self) -> NDArray[np.float32] | None:
        """float32 [N, dim], or None where no record has a vector; of vectors of one length."""
        tables = list(self._tables.values())
        if len(tables) > 1:
            msg = "vectors of several lengths: drop the misfits"
            raise RuntimeError(msg)
        return tables[0].array() if tables else None

    def misfits(self) -> list[int]:
        """Ascending positions of the records whose vector, unlike that of most records, is missing or has another
        length.
        """
        if len(set(self._lengths)) < 2:
            return []
        most = max(dict.fromkeys(self._lengths), key=self._lengths.count)
        return [number for number, length in enumerate(self._lengths) if length != most]

    def drop(self, positions: Collection[int]) -> None:
        """Remove records.

        :param positions: their positions.
        """
        for kept, table in list(self._tables.items()):
            members = [number for number, length in enumerate(self._lengths) if length == kept]
            stay = [row for row, number in enumerate(members) if number not in positions]
            if not stay:
                del self._tables[kept]
            elif len(stay) < len(members):
                table.keep(stay)
        self._lengths = [length for number, length in enumerate(self._lengths) if number not in positions]

    def _row(self, record: Record, value: object) -> NDArray[np.float32]:
        allowed = "a list of finite numbers that are not all zero"
        if not isinstance(value, list) or not value or not set(map(type, value)) <= {int, float}:
            raise record.error("not a vector", self._field, value, allowed)
        try:
            with np.errstate(over="ignore"):
                row = np.array(value, dtype=np.float64).astype(np.float32)
        except OverflowError as error:
            raise record.error("number too large for a vector", self._field, value, allowed) from error
        bad = np.flatnonzero(~np.isfinite(row))
        if bad.size:
            place = int(bad[0])
            raise record.error(f"not a finite number at position {place + 1}", self._field, value[place], allowed)
        if not row.any():
            raise record.error("zero vector", self._field, value, allowed)
        return row


def built(line: QuickLine | str, path: Path, number: int, build: Callable[[Record], Built]) -> Built:
    """What is made of the record of a line; an error is always that of the json module's values.

    :param line: as `Vectors.lines` gives it.
    :param path: the file, for messages.
    :param number: 1-based number of the line.
    :param build: makes it, without changing anything where it raises `InputError`.
    :raises InputError: for a line that is no JSON object, and what `build` raises.
    """
    if isinstance(line, QuickLine):
        try:
            return build(Record(line.values, path, number))
        except InputError:
            line = line.text
    return build(Record(parse_json_object(line, path, number), path, number))


class _Table:
    """Rows that are added one by one, in memory that grows where it lies as far as the system can do that.

    :param dim: length of a row.
    """

    def __init__(self, dim: int) -> None:
        self._rows = np.empty((max(1, 4096 // dim), dim), dtype=np.float32)
        self._count = 0

    def add(self, row: NDArray[np.float32]) -> None:
        if self._count == len(self._rows):
            self._resize(self._count + self._count // 8 + 1)
        self._rows[self._count] = row
        self._count += 1

    def keep(self, rows: list[int]) -> None:
        self._rows = self._rows[rows]
        self._count = len(rows)

    def array(self) -> NDArray[np.float32]:
        """All rows; nothing can be added afterwards."""
        if self._count < len(self._rows):
            self._resize(self._count)
        return self._rows

    def _resize(self, rows: int) -> None:
        # Without the check for other references, which debuggers hold; none is handed out before the last resize.
        self._rows.resize((rows, self._rows.shape[1]), refcheck=False)
