"""Find the line of each value in a JSON text, for error messages."""

from __future__ import annotations

import json
import re

Place = tuple[str | int, ...]
"""Keys and positions, from the outermost value inwards."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:\n]|[^\s{}\[\],:"]+', re.DOTALL)


def json_lines(text: str) -> dict[Place, int]:
    """The 1-based line of every value of a JSON text, by its path; for a value with a key, the line of the key.

    :param text: complete JSON, already read by `haystack_crossalign.files.reading.parse_json`.
    """
    lines: dict[Place, int] = {}
    line = 1
    place: list[str | int] = []
    inside: list[str] = []
    expects_key = False
    for match in _TOKEN.finditer(text):
        part = match[0]
        if part == "\n":
            line += 1
        elif part == ":":
            expects_key = False
        elif part == ",":
            if inside[-1] == "[":
                place[-1] = int(place[-1]) + 1
            else:
                place.pop()
                expects_key = True
        elif part in "}]":
            # The last key of an object is still on the path; an empty object has none.
            if inside.pop() == "[" or not expects_key:
                place.pop()
            expects_key = False
        elif expects_key:
            place.append(json.loads(part))
            lines[tuple(place)] = line
        else:
            lines.setdefault(tuple(place), line)
            if part in "{[":
                inside.append(part)
                expects_key = part == "{"
                if part == "[":
                    place.append(0)
            line += part.count("\n")
    return lines
