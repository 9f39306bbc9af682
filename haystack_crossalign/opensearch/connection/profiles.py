"""`crossalign.toml`: named profiles of connections, without secrets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
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
        found = _SYNTAX_LINE.search(str(error))
        raise InputError(f"not valid TOML: {error}", source=file, line=int(found[1]) if found else None) from None
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
