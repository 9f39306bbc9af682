"""`crossalign.toml`: named profiles of connections, without secrets."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.setting_values import Place

CONFIG_NAME = "crossalign.toml"
_SECRET = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_HEADER = re.compile(r"^\s*\[\s*(.*?)\s*\]")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Profile:
    """A table ``[profiles.NAME]`` with valid keys.

    :param name: its name.
    :param values: the values by key, not yet converted.
    :param file: its file.
    :param lines: 1-based line by key, if found.
    """

    name: str
    values: Mapping[str, Any]
    file: Path
    lines: Mapping[str, int]

    def place(self, key: str) -> Place:
        """Where the value of a key stands."""
        return Place(str(self.file), self.file.parent, f"profiles.{self.name}.{key}", self.lines.get(key))


def read_profiles(file: Path, known: Collection[str]) -> dict[str, Profile]:
    """Read all profiles of a file, and check every key, including those of unused profiles.

    :param file: a TOML file.
    :param known: keys that a profile may hold.
    :raises InputError: if there is no such file, it is not TOML, or it has an unknown key or a secret, whose value is
        never repeated.
    :raises ExternalError: if the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file", source=file, allowed="a TOML file with [profiles.NAME]") from None
    except UnicodeDecodeError:
        raise InputError("not valid UTF-8", source=file) from None
    except OSError as error:
        raise ExternalError(f"{file}: cannot be read ({error.strerror})") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _SYNTAX_LINE.search(str(error))
        raise InputError(f"not valid TOML: {error}", source=file, line=int(match[1]) if match else None) from None
    except (RecursionError, ValueError):  # an integer of thousands of digits
        raise InputError("not usable TOML: nested too deeply, or a number too long", source=file) from None
    lines = text.splitlines()
    for key, value in data.items():
        if key != "profiles" or not isinstance(value, dict):
            _refuse(file, key, _line_of(lines, key, None))
    profiles = {}
    for name, values in data.get("profiles", {}).items():
        if not isinstance(values, dict):
            _refuse(file, f"profiles.{name}", _line_of(lines, name, "profiles"))
        found_lines = {key: line for key in values if (line := _line_of(lines, key, f"profiles.{name}")) is not None}
        for key in values:
            if key not in known:
                _refuse(file, f"profiles.{name}.{key}", found_lines.get(key), known=known)
        profiles[name] = Profile(name, values, file, found_lines)
    return profiles


def profile_text(name: str, values: Mapping[str, Any]) -> str:
    """A table ``[profiles.NAME]``.

    :param name: of the profile.
    :param values: texts, numbers, yes or no, and lists of texts, by key.
    """
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n".join([f"[profiles.{name if _BARE.fullmatch(name) else _toml(name)}]", *lines]) + "\n"


def with_profile(file: Path, name: str, values: Mapping[str, Any], known: Collection[str], *, replaced: bool) -> str:
    """The text of a file with a profile added at its end, or in the place of the one of that name.

    All else in the file stays as it is, comments included.

    :param file: a file with profiles, which need not exist.
    :param name: of the profile.
    :param values: see `profile_text`.
    :param known: keys that a profile may hold.
    :param replaced: whether a profile of that name may be replaced.
    :raises InputError: if the file cannot be used, or holds such a profile that may not, or cannot, be replaced.
    """
    own = profile_text(name, values)
    if not file.exists():
        return own
    before = read_profiles(file, known)
    text = file.read_text(encoding="utf-8")
    if name not in before:
        return text + ("" if not text or text.endswith("\n") else "\n") + ("\n" if text else "") + own
    if not replaced:
        raise InputError(
            "a profile of this name already exists",
            source=file,
            field=f"profiles.{name}",
            allowed="--overwrite to replace it, --profile NAME for another name, or --config FILE",
        )
    lines = text.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if _is_header(line, name)), None)
    if start is not None:
        ends = (number for number in range(start + 1, len(lines)) if lines[number].lstrip().startswith("["))
        end = next(ends, len(lines))
        while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
            end -= 1  # what introduces the next table stays with it
        made = "".join([*lines[:start], own, *lines[end:]])
        with suppress(tomllib.TOMLDecodeError):
            after = tomllib.loads(made).get("profiles", {})
            if {key: profile.values for key, profile in before.items() if key != name} | {name: dict(values)} == after:
                return made
    raise InputError(
        "is written in a way that a program cannot change without risk", source=file, field=f"profiles.{name}",
        allowed="change it by hand, or write another file (--config FILE)",
    )  # fmt: skip


def _is_header(line: str, name: str) -> bool:
    with suppress(tomllib.TOMLDecodeError, RecursionError):
        data = tomllib.loads(line)
        return line.lstrip().startswith("[") and data == {"profiles": {name: {}}}
    return False


def _toml(value: Any) -> str:
    """A value as TOML writes it: its texts are those of JSON, but for one more control character."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _refuse(file: Path, field: str, line: int | None, *, known: Collection[str] = ()) -> NoReturn:
    key = field.rpartition(".")[2]
    near = get_close_matches(key, known, n=1, cutoff=0.8)
    if near:
        raise InputError(f"unknown key; did you mean '{near[0]}'?", source=file, line=line, field=field)
    if _SECRET.search(key):
        raise InputError(
            "looks like a secret; secrets do not belong in this file",
            source=file,
            line=line,
            field=field,
            allowed="CROSSALIGN_PASSWORD, CROSSALIGN_TOKEN or CROSSALIGN_API_KEY in the environment, or a file named "
            "by password_file, token_file or api_key_file",
        )
    allowed = ", ".join(sorted(known)) or "tables [profiles.NAME]"
    raise InputError("unknown key", source=file, line=line, field=field, allowed=allowed)


def _line_of(lines: list[str], key: str, table: str | None) -> int | None:
    """The line that assigns a key in a table written as ``[table]``; None if it is written differently."""
    current: str | None = None
    assigned = re.compile(rf"""^\s*["']?{re.escape(key)}["']?\s*=""")
    for number, line in enumerate(lines, start=1):
        header = _HEADER.match(line)
        if header and "=" not in line.split("#")[0]:
            current = re.sub(r"""["']|\s""", "", header[1])
            if table is None and current.split(".")[0] == key:
                return number
        elif current == (table and re.sub(r"\s", "", table)) and assigned.match(line):
            return number
    return None
