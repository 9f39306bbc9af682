"""YAML read into values that know their line, with overrides from the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from haystack_crossalign.errors import InputError

__all__ = ["YAML_FAULTS", "Origin", "Settings", "apply_override", "parse_yaml", "read_yaml"]

_LARGEST = 1_000_000
_DEEPEST = 20
_MOST = 100_000


@dataclass(frozen=True)
class Origin:
    """Where a value stands: a line of a file, or an option."""

    source: str
    line: int | None = None


@dataclass
class Settings:
    """Nested values and where each of them stands.

    :param values: mappings, lists and plain values.
    :param origins: per path, such as ``("data", 0, "path")``.
    :param source: name of the file.
    """

    values: dict[str, Any]
    origins: dict[tuple[str | int, ...], Origin]
    source: str

    def error(
        self, problem: str, path: tuple[str | int, ...], seen: object = ..., allowed: str | None = None
    ) -> InputError:
        """The error for a value: names file, line and key."""
        origin = next(
            (self.origins[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.origins),
            Origin(self.source),
        )
        return InputError(
            problem, source=origin.source, line=origin.line, field=dotted(path) or None, seen=seen, allowed=allowed
        )


def read_yaml(path: Path, what: str = "recipe") -> Settings:
    """Read a YAML file whose top level is a mapping.

    :param path: the file.
    :param what: what messages call it.
    :raises InputError: when it is missing, no YAML, has a key twice or is something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("no such file", source=path, allowed=f"a {what} in YAML") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", source=path, allowed=f"a {what} in YAML, UTF-8") from error
    if len(text) > _LARGEST:
        raise InputError(f"too long for a {what}", source=path, seen=len(text), allowed=f"{_LARGEST} characters")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "cannot be read"
        raise InputError(f"not YAML: {problem}", source=path, line=mark.line + 1 if mark else None) from error
    except RecursionError as error:
        raise InputError("nested too deeply", source=path, allowed=f"{_DEEPEST} levels, {_MOST} values") from error
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"not a {what}", source=path, allowed="a mapping of sections")
    origins: dict[tuple[str | int, ...], Origin] = {}
    values = _value(node, (), origins, str(path))
    return Settings(values, origins, str(path))


def apply_override(settings: Settings, override: str) -> None:
    """Set one value from ``key=value``: the key with dots between its parts, numbers for places in lists, the value as
    YAML.

    :param settings: changed in place.
    :param override: for instance ``optimiser.learning_rate=2e-5`` or ``data.0.limit=100``.
    :raises InputError: when it is not of that form.
    """
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError("not of the form key=value", source="--set", seen=override, allowed="section.key=value")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError as error:
        raise InputError("the value is not YAML", source="--set", field=key, seen=text) from error
    path: list[str | int] = []
    made: list[int] = []  # lengths of the paths to sections that were not there
    place: Any = settings.values
    for last, part in ((number == len(parts) - 1, part) for number, part in enumerate(parts)):
        step: str | int = part
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                allowed = f"0 to {len(place) - 1}" if place else "no place, as the list is empty"
                raise InputError("no such place in the list", source="--set", field=key, seen=part, allowed=allowed)
            step = int(part)
        elif not isinstance(place, dict):
            raise InputError("the key leads into a plain value", source="--set", field=key, seen=place)
        path.append(step)
        if last:
            place[step] = value
        elif isinstance(place, dict) and not isinstance(place.get(part), dict | list):
            # A section that the file leaves out, or gives in its short form, starts empty.
            place[step] = {}
            made.append(len(path))
        place = place[step]
    origins = settings.origins
    for known in [known for known in origins if known[: len(path)] == tuple(path)]:
        del origins[known]
    origins[tuple(path)] = Origin("--set")
    for end in made:
        origins[tuple(path[:end])] = Origin("--set")


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it: ``data.0.path``."""
    return ".".join(str(part) for part in path)


def _value(node: yaml.Node, path: tuple[str | int, ...], origins: dict[Any, Origin], source: str) -> Any:
    line = node.start_mark.line + 1
    # An alias may stand inside what it names, or multiply it.
    problem = "nested too deeply" if len(path) > _DEEPEST else "too many values" if len(origins) > _MOST else None
    if problem is not None:
        allowed = f"{_DEEPEST} levels, {_MOST} values"
        raise InputError(problem, source=source, line=line, field=dotted(path[:3]), allowed=allowed)
    origins[path] = Origin(source, line)
    if isinstance(node, yaml.MappingNode):
        made: dict[str, Any] = {}
        for key, child, line in _entries(node, source):
            if key in made:
                raise InputError("the key stands twice", source=source, line=line, field=dotted((*path, key)))
            made[key] = _value(child, (*path, key), origins, source)
            origins[(*path, key)] = Origin(source, line)
        return made
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, number), origins, source) for number, child in enumerate(node.value)]
    try:
        return _Plain(node).value()
    except YAML_FAULTS as error:
        problem = "a value of an unknown kind"
        raise InputError(problem, source=source, line=node.start_mark.line + 1, field=dotted(path)) from error


def _entries(node: yaml.MappingNode, source: str) -> Iterator[tuple[str, yaml.Node, int]]:
    for key, child in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise InputError("a key must be a text", source=source, line=line)
        yield key.value, child, line


class _Plain(yaml.constructor.SafeConstructor):  # type: ignore[misc]
    """Reads one plain node by YAML's own rules for numbers, true, null and texts."""

    def __init__(self, node: yaml.Node) -> None:
        super().__init__()
        self.node = node

    def value(self) -> Any:
        return self.construct_object(self.node)


YAML_FAULTS = (yaml.YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError)
"""What PyYAML raises at values: a date that is none, ``!!int ''``, ``!!timestamp x`` are no YAMLErrors to it."""


def parse_yaml(text: str) -> Any:
    """Read a text by YAML's safe rules.

    :param text: one YAML document.
    :raises yaml.YAMLError: when it is none.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    except YAML_FAULTS as error:
        raise yaml.YAMLError("a value is not what its form or its tag says") from error
