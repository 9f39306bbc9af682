"""Read YAML into values with their lines, and apply overrides from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from haystack_crossalign.config.plain_yaml import YAML_FAULTS, compose_yaml, parse_yaml, read_yaml_text
from haystack_crossalign.errors import InputError


@dataclass(frozen=True)
class Origin:
    """The origin of a value: a line of a file, or an option."""

    source: str
    line: int | None = None


@dataclass
class Settings:
    """Nested values, with the origin of each.

    :param values: mappings, lists and plain values.
    :param origins: by path, such as ``("data", 0, "path")``.
    :param source: name of the file.
    """

    values: dict[str, Any]
    origins: dict[tuple[str | int, ...], Origin]
    source: str

    def error(
        self, problem: str, path: tuple[str | int, ...], seen: object = ..., allowed: str | None = None
    ) -> InputError:
        """The error for a value, with file, line and key."""
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
    :raises InputError: if it is missing, is not YAML or not a mapping, or has a duplicate key.
    """
    node = compose_yaml(read_yaml_text(path, what)[0], path, what)
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"not a {what}", source=path, allowed="a mapping of sections")
    origins: dict[tuple[str | int, ...], Origin] = {}
    values = _value(node, (), origins, str(path))
    return Settings(values, origins, str(path))


def apply_override(settings: Settings, override: str) -> None:
    """Set a value from ``key=value``: the key has dots between its parts and numbers for list positions, the value is
    YAML.

    :param settings: changed in place.
    :param override: for example ``optimiser.learning_rate=2e-5`` or ``data.0.limit=100``.
    :raises InputError: if it does not have that form.
    """
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError("not of the form key=value", source="--set", seen=override, allowed="section.key=value")
    value = parse_yaml(text, "--set", "value", field=key)
    path: list[str | int] = []
    created: list[int] = []  # lengths of the paths to sections that did not exist
    place: Any = settings.values
    for last, part in ((number == len(parts) - 1, part) for number, part in enumerate(parts)):
        step: str | int = part
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                allowed = f"0 to {len(place) - 1}" if place else "none: the list is empty"
                raise InputError("no such position in the list", source="--set", field=key, seen=part, allowed=allowed)
            step = int(part)
        elif not isinstance(place, dict):
            raise InputError("the key goes below a plain value", source="--set", field=key, seen=place)
        path.append(step)
        if last:
            place[step] = value
        elif isinstance(place, dict) and not isinstance(place.get(part), dict | list):
            # A section that is missing, or given in its short form, starts empty.
            place[step] = {}
            created.append(len(path))
        place = place[step]
    origins = settings.origins
    for known in [known for known in origins if known[: len(path)] == tuple(path)]:
        del origins[known]
    origins[tuple(path)] = Origin("--set")
    for end in created:
        origins[tuple(path[:end])] = Origin("--set")


def dotted(path: Sequence[str | int]) -> str:
    """A path in dotted form: ``data.0.path``."""
    return ".".join(str(part) for part in path)


def _value(node: yaml.Node, path: tuple[str | int, ...], origins: dict[Any, Origin], source: str) -> Any:
    origins[path] = Origin(source, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key, child in node.value:
            name = str(key.value)
            if name in mapping:  # 1 and "1" are different keys in YAML, but equal here
                line = key.start_mark.line + 1
                raise InputError("duplicate key", source=source, line=line, field=dotted((*path, name)))
            mapping[name] = _value(child, (*path, name), origins, source)
            origins[(*path, name)] = Origin(source, key.start_mark.line + 1)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, number), origins, source) for number, child in enumerate(node.value)]
    try:
        return _Plain(node).value()
    except YAML_FAULTS as error:
        problem = "a value of an unknown kind"
        raise InputError(problem, source=source, line=node.start_mark.line + 1, field=dotted(path)) from error


class _Plain(yaml.constructor.SafeConstructor):  # type: ignore[misc]
    """Constructs a plain node by YAML's own rules for numbers, true, null and strings."""

    def __init__(self, node: yaml.Node) -> None:
        super().__init__()
        self.node = node

    def value(self) -> Any:
        return self.construct_object(self.node)
