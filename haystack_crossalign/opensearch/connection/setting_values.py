"""What a setting is, and the one way in which a value from a file, the environment or a flag becomes one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.addresses import checked_address

Kind = Literal["addresses", "text", "prompt", "user", "choice", "yes/no", "count", "number", "file", "secret file"]

_ALLOWED = {
    "addresses": "one or several addresses such as https://name:9200",
    "text": "a text that is not empty",
    "prompt": "a text",
    "user": "a user name without ':'",
    "yes/no": "true or false",
    "count": "a whole number from 1 on",
    "number": "a number above 0",
    "file": "the name of a file",
    "secret file": "the name of a file",
}
_YES_NO = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


@dataclass(frozen=True)
class Setting:
    """One setting: the same entry makes the key of the profile, the variable of the environment and the flag.

    :param kind: what values it takes.
    :param help: one sentence for ``--help`` and the documentation.
    :param metavar: what stands for the value there.
    :param choices: values allowed, for the kind ``choice``.

    The name of a ``secret file`` is never repeated in a message: a person may have put the secret itself there.
    """

    kind: Kind
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it names a file."""
        return self.kind in {"file", "secret file"}

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        return ", ".join(self.choices) if self.choices else _ALLOWED[self.kind]


@dataclass(frozen=True)
class Place:
    """Where a value was found, for messages, and what relative file names in it are relative to.

    :param source: file, ``environment``, or the option.
    :param folder: folder for relative file names.
    :param field: key or name of the variable; None where the source says it.
    :param line: 1-based line in the file, where it is known.
    :param typed: whether values come with their types (a TOML file, a parsed flag) rather than as text.
    """

    source: str
    folder: Path
    field: str | None = None
    line: int | None = None
    typed: bool = True

    def refuse(self, problem: str, *, allowed: str, seen: object = ...) -> NoReturn:
        """Raise the error that names this place.

        :raises InputError: always.
        """
        raise InputError(problem, source=self.source, line=self.line, field=self.field, seen=seen, allowed=allowed)


def convert(entry: Setting, value: object, place: Place) -> Any:
    """The value in the type the settings hold.

    :param entry: the setting.
    :param value: as it stands in its source.
    :param place: where that is.
    :raises InputError: wrong type, or a value that is not allowed.
    """
    if entry.kind == "addresses":
        return _addresses(entry, value, place)
    if entry.kind == "yes/no":
        if isinstance(value, str) and not place.typed:
            value = _YES_NO.get(value.strip().lower(), value)
        if isinstance(value, bool):
            return value
        place.refuse("has the wrong type" if place.typed else "is not understood", seen=value, allowed=entry.allowed)
    if entry.kind in {"count", "number"}:
        return _number(entry, value, place)
    if entry.is_file and isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str):
        place.refuse("has the wrong type", allowed=entry.allowed, seen=... if entry.kind == "secret file" else value)
    return _text(entry, value, place)


def _text(entry: Setting, value: str, place: Place) -> str | Path:
    if entry.kind == "prompt":
        # A prefix such as 'query: ' ends with a blank that counts.
        return value
    value = value.strip()
    if not value:
        place.refuse("is empty", allowed=entry.allowed)
    if entry.is_file:
        return place.folder / Path(value).expanduser()
    if entry.kind == "user" and ":" in value:
        # 'user:password' in one setting; the value is not shown.
        place.refuse("holds a ':', which no user name may", allowed="the user name alone, without the password")
    if entry.choices and value not in entry.choices:
        place.refuse("is not one of the values allowed", seen=value, allowed=entry.allowed)
    return value


def _addresses(entry: Setting, value: object, place: Place) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        place.refuse("has the wrong type", allowed=entry.allowed)
    named = [part.strip() for part in parts if part.strip()]
    if not named:
        place.refuse("is empty", allowed=entry.allowed)
    return tuple(checked_address(part, source=place.source, line=place.line, field=place.field) for part in named)


def _number(entry: Setting, value: object, place: Place) -> int | float:
    kind = int if entry.kind == "count" else float
    if isinstance(value, str) and not place.typed:
        try:
            value = kind(value)
        except ValueError:
            place.refuse("is not a number", seen=value, allowed=entry.allowed)
    if isinstance(value, bool) or not isinstance(value, (int,) if kind is int else (int, float)):
        place.refuse("has the wrong type", seen=value, allowed=entry.allowed)
    number = kind(value)
    if not math.isfinite(number) or number <= 0:
        place.refuse("is out of range", seen=value, allowed=entry.allowed)
    return number
