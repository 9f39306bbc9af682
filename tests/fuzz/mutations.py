"""Structured mutations of user input: of JSON values, of lines, of bytes. All from one seeded generator."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

__all__ = ["mutated_bytes", "mutated_json", "mutated_lines", "odd_text"]

DEEP = 500
RAW = "\0raw:"
"""A text that begins so is written into JSON as it is: numbers and nestings that `json` would not write."""

ODD_TEXTS = (
    "", " ", "\x1b[2J\x1b]0;title\x07", "\u202ereversed", "a\nb", "a\tb", "\ud800", "x" * 5000, "nan", "null", "-1",
    "../..", "/", "\x00", "%s{}$", "0", "1e999", "é" * 300, "中文", "en", "xx-invalid-tag", "\ufeff", "'\"`<>&;",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 0.5, -0.0, 1e308, 10**30, [], {}, [[]], [None], {"a": 1},
    RAW + "NaN", RAW + "Infinity", RAW + "-Infinity", RAW + "1e999", RAW + "9" * 5000, RAW + "[" * DEEP + "]" * DEEP,
    RAW + '{"a":' * DEEP + "1" + "}" * DEEP, RAW + '"\\ud800"', RAW + '"\\udc00\\ud800"', *ODD_TEXTS,
)  # fmt: skip


def odd_text(chance: random.Random) -> str:
    """A text that an option may hold: no null character, which no program can be given."""
    return chance.choice([text for text in ODD_TEXTS if "\0" not in text])


def dumped(value: Any) -> str:
    """JSON text, with what stands behind `RAW` written as it is."""
    text = json.dumps(value)
    start = json.dumps(RAW)[:-1]
    while (place := text.find(start)) >= 0:
        end = place + 1
        while text[end] != '"' or (text[end - 1] == "\\" and text[end - 2] != "\\"):
            end += 1
        raw = json.loads(text[place : end + 1]).removeprefix(RAW)
        text = text[:place] + raw + text[end + 1 :]
    return text


def mutated_json(value: Any, chance: random.Random) -> str:
    """The JSON text of a value that was changed in one to three places."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        value = _changed(value, chance)
    text = dumped(value)
    if chance.random() < 0.1:
        text = _changed_text(text, chance)
    return text


def mutated_lines(lines: list[str], chance: random.Random, *, separator: str | None = None) -> bytes:
    """Lines of JSON, or of cells with a separator, with one to three of them changed."""
    lines = list(lines)
    for _ in range(chance.choice((1, 1, 2, 3))):
        place = chance.randrange(len(lines)) if lines else 0
        action = chance.randrange(10)
        if not lines or action == 0:
            lines.insert(place, chance.choice(ODD_TEXTS).replace("\ud800", "?"))
        elif action == 1:
            del lines[place]
        elif action == 2:
            lines.insert(place, lines[place])
        elif action == 3:
            lines[place] = _changed_text(lines[place], chance)
        elif separator is None:
            try:
                lines[place] = mutated_json(json.loads(lines[place]), chance)
            except (ValueError, RecursionError):  # changed before
                lines[place] = _changed_text(lines[place], chance)
        else:
            cells = lines[place].split(separator)
            cell = chance.randrange(len(cells))
            choice = chance.randrange(4)
            if choice == 0:
                del cells[cell]
            elif choice == 1:
                cells.insert(cell, chance.choice(ODD_TEXTS))
            else:
                cells[cell] = chance.choice(ODD_TEXTS)
            lines[place] = separator.join(cells)
    end = chance.choice(("\n", "\n", "\n", "\r\n", "\r"))
    raw = (end.join(lines) + chance.choice((end, end, ""))).encode("utf-8", "surrogatepass")
    return mutated_bytes(raw, chance) if chance.random() < 0.1 else raw


def mutated_bytes(raw: bytes, chance: random.Random) -> bytes:
    """Bytes cut off, changed, doubled, or with others put in."""
    made = bytearray(raw)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(made) + 1)
        action = chance.randrange(6)
        if action == 0:
            del made[place:]
        elif action == 1 and made:
            made[min(place, len(made) - 1)] = chance.randrange(256)
        elif action == 2:
            made[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
        elif action == 3:
            del made[place : place + chance.randrange(1, 50)]
        elif action == 4:
            made[place:place] = made[place : place + chance.randrange(1, 50)]
        else:
            made[0:0] = chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\x1f\x8b", b"PK\x03\x04"))
    return bytes(made)


def _changed(value: Any, chance: random.Random) -> Any:
    """A value with something within it changed; lists and mappings lose, gain and double entries."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        action = chance.randrange(8)
        if action == 0:
            del value[key]
        elif action == 1:
            value[chance.choice(ODD_TEXTS)] = value.pop(key)
        elif action == 2:
            value[chance.choice(ODD_TEXTS)] = copy.deepcopy(chance.choice(ODD_VALUES))
        else:
            value[key] = _changed(value[key], chance)
        return value
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        action = chance.randrange(8)
        if action == 0:
            del value[place]
        elif action == 1:
            value.insert(place, copy.deepcopy(value[place]))
        elif action == 2:
            value.insert(place, copy.deepcopy(chance.choice(ODD_VALUES)))
        else:
            value[place] = _changed(value[place], chance)
        return value
    changes: list[Callable[[], Any]] = [
        lambda: copy.deepcopy(chance.choice(ODD_VALUES)),
        lambda: copy.deepcopy(chance.choice(ODD_VALUES)),
        lambda: copy.deepcopy(chance.choice(ODD_VALUES)),
        lambda: [value],
        lambda: {"value": value},
        lambda: str(value),
    ]
    if isinstance(value, int | float) and not isinstance(value, bool):
        changes += [lambda: -value, lambda: value + 1, lambda: value * 10**6]
    return chance.choice(changes)()


def _changed_text(text: str, chance: random.Random) -> str:
    place = chance.randrange(len(text) + 1)
    return chance.choice(
        (
            text[:place],
            text[:place] + chance.choice(ODD_TEXTS) + text[place:],
            text[:place] + text[place + 1 :],
            text + text,
            "[" * DEEP * 20 + text,
            text.replace('"', "'"),
            text.replace(":", ": &a [*a, ", 1),
        )
    )
