"""Placeholders in a JSON value, ``{{name}}``, filled in the parsed value, so that no text can break out of its
place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from haystack_crossalign.files.json_lines import Place

_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_Fill = Callable[[Mapping[str, Any]], Any]


def placeholders(value: object, place: Place = ()) -> Iterator[tuple[Place, str, bool]]:
    """Every placeholder: its path, its name, and whether it is a whole value.

    One in a key is reported at the key, and is not a whole value.

    :param value: JSON value.
    :param place: of the value.
    """
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        if whole is not None and "{{" not in whole[1]:
            yield place, whole[1], True
        else:
            yield from ((place, match[1], False) for match in _PLACEHOLDER.finditer(value))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (((*place, key), match[1], False) for match in _PLACEHOLDER.finditer(key))
            yield from placeholders(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from placeholders(inner, (*place, number))


class Template:
    """A JSON value with placeholders.

    A string that is one placeholder becomes the value, with its type; within a string, it is replaced by the value's
    text. Placeholders without a given value are unchanged.

    :param value: the JSON value.
    """

    def __init__(self, value: Any) -> None:
        self._value = value
        self._fill = _compiled(value)

    def fill(self, values: Mapping[str, Any]) -> Any:
        """The value with its placeholders filled. Parts without placeholders are not copied.

        :param values: values by name of the placeholder.
        """
        return self._value if self._fill is None else self._fill(values)


def _compiled(value: Any) -> _Fill | None:
    """A function that fills a value; None if it contains no placeholder."""
    if isinstance(value, str):
        return _compiled_text(value)
    if isinstance(value, Mapping):
        keys = [_compiled_text(key, whole=False) for key in value]
        inner = [_compiled(inner_value) for inner_value in value.values()]
        if not any([*keys, *inner]):
            return None
        parts = list(zip(value.items(), keys, inner, strict=True))
        return lambda values: {
            (key if name is None else name(values)): (plain if fill is None else fill(values))
            for (key, plain), name, fill in parts
        }
    if isinstance(value, list):
        fills = [_compiled(inner_value) for inner_value in value]
        if not any(fills):
            return None
        items = list(zip(value, fills, strict=True))
        return lambda values: [item if fill is None else fill(values) for item, fill in items]
    return None


def _compiled_text(text: str, *, whole: bool = True) -> _Fill | None:
    alone = _PLACEHOLDER.fullmatch(text)
    if whole and alone is not None and "{{" not in alone[1]:
        name = alone[1]
        return lambda values: values.get(name, text)
    if _PLACEHOLDER.search(text) is None:
        return None
    return lambda values: _PLACEHOLDER.sub(lambda match: _as_text(values.get(match[1], match[0])), text)


def _as_text(value: object) -> str:
    """A value within a string, in JSON form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
