"""The fields of a mapping by their full paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MappedField:
    """A field as the mapping defines it, with the nested object around it or None."""

    definition: Mapping[str, Any]
    nested_path: str | None


def flatten_mapping(
    properties: Mapping[str, Any], prefix: str = "", nested: str | None = None
) -> Iterator[tuple[str, MappedField]]:
    """Every field by its full path, sub-fields included, with the nested object around it.

    :param properties: the ``properties`` of a mapping.
    :param prefix: path of what holds them, with a dot behind it.
    :param nested: path of the nested object around them.
    """
    for key, definition in properties.items():
        name = f"{prefix}{key}"
        yield name, MappedField(definition, nested)
        inside = name if definition.get("type") == "nested" else nested
        yield from flatten_mapping(definition.get("properties", {}), f"{name}.", inside)
        yield from flatten_mapping(definition.get("fields", {}), f"{name}.", nested)
