"""Sections of a recipe: a mapping becomes a dataclass whose fields say what they may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from haystack_crossalign.config.rules import Rule
from haystack_crossalign.config.yaml_file import Settings

__all__ = ["read_section"]

_Section = TypeVar("_Section")


def read_section(kind: type[_Section], values: object, path: tuple[str | int, ...], settings: Settings) -> _Section:
    """A section from nested values: unknown keys, missing keys and values that are not allowed are errors.

    :param kind: dataclass whose fields are made by :func:`~haystack_crossalign.config.rules.setting`, or hold
        a section themselves.
    :param values: the values.
    :param path: where they stand.
    :param settings: says the line of each.
    :raises InputError: naming file, line and key.
    """
    known = {one.name: one for one in fields(kind) if not one.metadata.get("hidden")}  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise settings.error("not a section", path, values, ", ".join(known))
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise settings.error("unknown key", (*path, key), value, ", ".join(known))
        made[key] = _entry(known[key].metadata, value, (*path, key), settings)
    for name, one in known.items():
        if name not in made and one.default is MISSING:
            raise settings.error("missing key", (*path, name), None, _allowed(one.metadata))
    return kind(**made)


def _entry(metadata: Mapping[str, Any], value: Any, path: tuple[str | int, ...], settings: Settings) -> Any:
    if "rule" in metadata:
        rule: Rule = metadata["rule"]
        try:
            return rule.read(value)
        except (ValueError, TypeError) as error:
            raise settings.error("not allowed", path, value, rule.allowed) from error
    if metadata.get("many"):
        if not isinstance(value, list):
            raise settings.error("not a list", path, value, _allowed(metadata))
        return tuple(
            read_section(metadata["section"], one, (*path, place), settings) for place, one in enumerate(value)
        )
    if value is None and metadata.get("optional"):
        return None
    return read_section(metadata["section"], value, path, settings)


def _allowed(metadata: Mapping[str, Any]) -> str:
    if "rule" in metadata:
        return str(metadata["rule"].allowed)
    names = ", ".join(one.name for one in fields(metadata["section"]))
    return f"a list of sections with {names}" if metadata.get("many") else f"a section with {names}"
