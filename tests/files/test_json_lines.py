"""Lines of the values of a JSON text, against a text whose values name the line that they stand on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from haystack_crossalign.files.json_lines import Place, json_lines


def values(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from values(inner, (*place, key))


TEXT = r"""{ "a": 1, "b": {},
  "a \" } : , [": [ 2, [],
    [3, {"c": 3,
      "d": null}], "}{" ],
  "e": { "f": [
    6], "g":
    6 }, "h": 7,
  "\u0069": true }
"""


def test_every_value_has_its_line() -> None:
    read = json.loads(TEXT)
    lines = json_lines(TEXT)
    assert set(lines) == {place for place, _ in values(read)}
    # A value with a key counts by the line of its key: 'g' stands on line 6, its value on line 7.
    read["e"]["g"] = 6
    for place, value in values(read):
        if isinstance(value, int) and not isinstance(value, bool):
            expected = value
            assert lines[place] == expected, place
    assert lines["e", "g"] == 6
    assert lines['a " } : , [',] == 2
    assert lines['a " } : , [', 2, 1, "d"] == 4
    assert lines['a " } : , [', 3] == 4
    assert lines["i",] == 8


def test_a_single_value_has_its_line() -> None:
    assert json_lines('\n\n "text"') == {(): 3}
