"""Searches as JSON text: the parts that are the same for every query are written once."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TEXTS = ("query", "language")
_NINE_DIGITS = "%.9g"
"""Nine significant digits tell every float32 from its neighbors."""


class BodyText:
    """Writes the body of a search for each query, without encoding what does not differ between queries.

    :param body: gives the body for values of the placeholders ``query``, ``language`` and ``vector``; called once.
    """

    def __init__(self, body: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        # What stands for the values until they are known; no text of the body can be the same.
        marks = {secrets.token_hex(16): name for name in (*_TEXTS, "vector")}
        text = compact(body({name: mark for mark, name in marks.items()}))
        pieces = re.split(f'("?)({"|".join(marks)})("?)', text)
        self._parts = [pieces[0]]
        self._values: list[str] = []
        for before, mark, after, rest in zip(pieces[1::4], pieces[2::4], pieces[3::4], pieces[4::4], strict=True):
            name = marks[mark]
            self._values.append(name)
            if name == "vector":  # a whole value, so that its quotation marks go with it
                self._parts.append(rest)
            else:
                self._parts[-1] += before
                self._parts.append(after + rest)
        self._numbers: dict[int, str] = {}

    def write(self, query: str, language: str, vector: NDArray[np.float32] | None) -> str:
        """The JSON text of one search.

        :param query: text of the query.
        :param language: its language.
        :param vector: float32 [dimension]; None if the body holds none.
        """
        text = self._parts[0]
        for name, part in zip(self._values, self._parts[1:], strict=True):
            if name == "query":
                value = encode_basestring_ascii(query)[1:-1]
            elif name == "language":
                value = encode_basestring_ascii(language)[1:-1]
            else:
                value = "null" if vector is None else self._decimals(vector)
            text += value + part
        return text

    def _decimals(self, vector: NDArray[np.float32]) -> str:
        # The encoder takes its time over the shortest decimals of each component.
        count = len(vector)
        if count not in self._numbers:
            self._numbers[count] = f"[{','.join([_NINE_DIGITS] * count)}]"
        return self._numbers[count] % tuple(vector.tolist())


def compact(value: object) -> str:
    """JSON text without spaces."""
    return json.dumps(value, separators=(",", ":"))
