"""Fields by which documents are counted: their types, and how their values are aggregated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.index.mapped_fields import MappedField

INDEX_NAME = "_index"
"""Metadata field with the name of the index that holds a document."""

_CONSTANT = "constant_keyword"
_NUMBERS = {
    "byte": (-(2**7), 2**7),
    "short": (-(2**15), 2**15),
    "integer": (-(2**31), 2**31),
    "long": (-(2**63), 2**63),
    "unsigned_long": (0, 2**64),
}
"""Types of whole numbers, each with its least value and the first one above its largest."""
_FLAT = "flat_object"
# A document's values of a flat object are those of all its paths, each prefixed with its path.
_VALUES = (
    "def found = []; for (def value : doc[params.field]) { if (value.startsWith(params.prefix)) { "
    "def one = value.substring(params.prefix.length()); if (!found.contains(one)) { found.add(one) } } } "
)


@dataclass(frozen=True)
class CountingField:
    """A field by which documents are counted.

    :param name: full path.
    :param flat: the flat object that contains it, None for a separate field.
    :param number: whether its values are numbers.
    """

    name: str
    flat: str | None = None
    number: bool = False

    def values(self) -> dict[str, Any]:
        """The source of an aggregation by the field's values."""
        # An aggregation by a path of a flat object returns additional wrong keys, and a composite one fails.
        return {"field": self.name} if self.flat is None else {"script": self._script("return found")}

    def one_value(self, *, missing: str, several: str) -> dict[str, Any]:
        """The source of an aggregation that counts every document once.

        :param missing: key of documents without a value.
        :param several: key of documents with several values.
        """
        source = "return found.size() == 1 ? found[0] : found.size() == 0 ? params.missing : params.several"
        return {"script": self._script(source, missing=missing, several=several)}

    def has_several(self) -> dict[str, Any]:
        """Condition that selects documents with several values."""
        return {"script": {"script": self._script("return found.size() > 1")}}

    def lacks(self) -> dict[str, Any]:
        """Condition that selects documents without a value, or with an empty one."""
        missing: dict[str, Any] = {"bool": {"must_not": [{"exists": {"field": self.name}}]}}
        if self.number:
            return missing
        return {"bool": {"should": [missing, {"term": {self.name: ""}}], "minimum_should_match": 1}}

    def _script(self, end: str, **params: str) -> dict[str, Any]:
        prefix = "" if self.flat is None else f"{self.flat}.{self.name}="
        return {"lang": "painless", "source": _VALUES + end, "params": {"field": self.name, "prefix": prefix, **params}}


def counting_field(fields: Mapping[str, MappedField], name: str, index: str, *, numbers: bool = False) -> CountingField:
    """The field with a name, if documents can be counted by it.

    :param fields: every field of the index, from `haystack_crossalign.opensearch.index.mapped_fields.flatten_mapping`.
    :param name: full path of the field, or ``_index``.
    :param index: name of the index, for the message.
    :param numbers: whether it may hold integers.
    :raises InputError: if it is missing, nested, or has another type.
    """
    if name == INDEX_NAME:
        return CountingField(name)
    flat = next((path for path in _parents(name) if _type(fields.get(path)) == _FLAT), None)
    field = fields.get(name if flat is None else flat)
    if field is None:
        raise InputError("no such field in the mapping", source=index, field=name)
    definition = field.definition
    if definition.get("type") == "alias":
        counting = counting_field(fields, str(definition.get("path")), index, numbers=numbers)
        return CountingField(name, counting.flat, counting.number)
    if field.nested_path is not None:
        raise InputError("lies in a nested object; the documents themselves must hold it", source=index, field=name)
    if flat is not None:
        return CountingField(name, flat)
    kinds = {"keyword", *(_NUMBERS if numbers else [_CONSTANT])}
    if definition.get("type") not in kinds or definition.get("doc_values") is False:
        below = [key for key in sorted(fields) if key.startswith(f"{name}.")]
        hint = f"; use '{below[0]}'" if below and _type(fields[below[0]]) == "keyword" else ""
        raise InputError(
            f"documents cannot be counted by it{hint}",
            source=index,
            field=name,
            seen=definition.get("type"),
            allowed="keyword with doc values" + (", or a whole number" if numbers else ""),
        )
    return CountingField(name, number=definition["type"] in _NUMBERS)


@dataclass(frozen=True)
class IgnoringField:
    """A field whose mapping keeps some values out of the index.

    :param stored: path of its values in the stored document.
    :param limits: parameters of the mapping that say which.
    :param longest: length of the longest value of a keyword; None for a number.
    :param least: least value of a number.
    :param end: first number above the largest value.
    """

    stored: str
    limits: str
    longest: int | None = None
    least: int = 0
    end: int = 0

    def ignores(self, value: object) -> bool:
        """Whether the mapping keeps this one value out of the index.

        :param value: string, number or truth value of a stored document.
        """
        if self.longest is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            # Java counts UTF-16 units.
            return len(text.encode("utf-16-le", "surrogatepass")) // 2 > self.longest
        if isinstance(value, bool):
            return True
        try:
            return not self.least <= Decimal(str(value).strip()) < self.end
        except InvalidOperation:
            return True


def ignoring_field(fields: Mapping[str, MappedField], name: str) -> IgnoringField | None:
    """What the mapping of a field may keep out of the index; None where it keeps everything."""
    field = fields.get(name)
    if field is None:
        return None
    definition = field.definition
    if definition.get("type") == "alias":
        return ignoring_field(fields, str(definition.get("path")))
    kind = str(definition.get("type"))
    if "ignore_above" not in definition and kind not in _NUMBERS:
        return None
    above, _, last = name.rpartition(".")
    # A field of several kinds has one value in the stored document.
    several = above in fields and last in fields[above].definition.get("fields", {})
    stored = above if several else name
    if kind in _NUMBERS:
        # Of the field or, in the settings, of the whole index.
        return IgnoringField(stored, "ignore_malformed", None, *_NUMBERS[kind])
    longest = int(definition["ignore_above"])
    return IgnoringField(stored, f"ignore_above {longest}", longest)


def constant_value(fields: Mapping[str, MappedField], name: str) -> str | None:
    """The value of a field for all documents of an index, if the mapping defines it, else None."""
    field = fields.get(name)
    if field is None or field.definition.get("type") != _CONSTANT:
        return None
    return str(field.definition.get("value", ""))


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _type(field: MappedField | None) -> object:
    return None if field is None else field.definition.get("type")
