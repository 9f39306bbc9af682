"""Settings, and the conversion of values from a file, the environment or a flag."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeGuard

from haystack_crossalign.config.rules import Rule, boolean, choice, number, text, whole
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.paths import expanded
from haystack_crossalign.opensearch.connection.addresses import checked_address

ADDRESSES = "one or several addresses such as https://name:9200"
Kind = Literal["addresses", "text", "prompt", "user", "choice", "yes/no", "count", "number", "file", "secret file"]

_YES_NO = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


def _user(value: Any) -> str:
    if ":" in value:
        raise ValueError(value)
    return str(text().read(value)).strip()


_FILE = Rule(
    lambda value: Path(text().read(str(value) if isinstance(value, Path) else value).strip()), "the name of a file"
)
_RULES: dict[str, Rule] = {
    "text": Rule(lambda value: text().read(value).strip(), text().allowed),
    # A prefix such as 'query: ' ends with a significant space.
    "prompt": text(empty=True),
    # 'user:password' in one setting is a secret.
    "user": Rule(_user, "a user name without ':' and without the password"),
    "yes/no": boolean(),
    "count": whole(1),
    "number": number(0, above=True),
    "file": _FILE,
    "secret file": _FILE,
}
_UNSEEN = frozenset({"user", "secret file", "addresses"})
"""Kinds whose values are never repeated: a person may have put a secret there."""


@dataclass(frozen=True)
class Setting:
    """One setting: the same entry makes the key of the profile, the variable of the environment and the flag.

    :param kind: what values it takes.
    :param help: one sentence for ``--help`` and the documentation.
    :param metavar: placeholder of the value there.
    :param choices: values allowed, for the kind ``choice``.

    The name of a ``secret file`` is never repeated in a message, since a user may have entered the secret itself.
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
        return ADDRESSES if self.kind == "addresses" else self.rule.allowed

    @property
    def rule(self) -> Rule:
        """How a value with its type is read."""
        return choice(*self.choices) if self.choices else _RULES[self.kind]


@dataclass(frozen=True)
class Place:
    """Source of a value, for messages, and the base of relative file names.

    :param source: file, ``environment``, or the option.
    :param folder: folder for relative file names.
    :param field: key or name of the variable; None if the source says it.
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
    """Convert a value to the type of its setting.

    :param entry: the setting.
    :param value: the value in its source.
    :param place: its source.
    :raises InputError: for a wrong type, or a value that is not allowed.
    """
    if entry.kind == "addresses":
        return _addresses(value, place)
    if not place.typed and isinstance(value, str):
        value = _typed(entry.kind, value)
    elif entry.kind == "number" and isinstance(value, str):
        place.refuse("not allowed", seen=value, allowed=entry.allowed)
    elif entry.choices and isinstance(value, str):
        value = value.strip()
    read = None
    with suppress(ValueError, TypeError):
        read = entry.rule.read(value)
    if read is None:  # rejected outside the handler, so that the error's chain does not contain the value
        place.refuse("not allowed", seen=... if entry.kind in _UNSEEN else value, allowed=entry.allowed)
    return place.folder / expanded(read, source=place.source, field=place.field) if entry.is_file else read


def _typed(kind: Kind, value: str) -> object:
    """Convert a string from the environment; a string that cannot be converted is left to the rule."""
    if kind == "yes/no":
        return _YES_NO.get(value.strip().lower(), value)
    if kind == "count":
        return int(value) if value.strip().isdecimal() else value
    return value.strip() if kind == "choice" else value


def _addresses(value: object, place: Place) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    named = [part.strip() for part in parts if part.strip()] if _are_texts(parts) else []
    if not named:
        place.refuse("not allowed", allowed=ADDRESSES)
    return tuple(checked_address(part, source=place.source, line=place.line, field=place.field) for part in named)


def _are_texts(parts: object) -> TypeGuard[Sequence[str]]:
    return isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts)
