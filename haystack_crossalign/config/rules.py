"""Rules for values and sections of a configuration: a rule reads a value, or says what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import OFFLINE_MODELS, OFFLINE_PREFIX

if TYPE_CHECKING:
    from haystack_crossalign.config.yaml_file import Settings


@dataclass(frozen=True)
class Rule:
    """A rule for reading a value.

    :param read: converts the value; raises ``ValueError`` if it is not allowed.
    :param allowed: what is allowed, in words.
    """

    read: Callable[[Any], Any]
    allowed: str


def setting(rule: Rule, default: Any = ...) -> Any:
    """Declare a field of a section that is read by a rule.

    :param rule: the rule.
    :param default: default value; without one the field is required.
    """
    metadata = {"rule": rule}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


def number(low: float, high: float = math.inf, *, above: bool = False) -> Rule:
    """A finite number within bounds.

    :param above: the lower bound itself is not allowed.
    """

    def read(value: Any) -> float:
        # YAML 1.1 reads 2e-5 as a string, since it has no decimal point.
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(value)
        try:
            number = float(value)
        except OverflowError as error:  # an integer too large for a float
            raise ValueError(value) from error
        if not math.isfinite(number) or number < low or number > high or (above and number == low):
            raise ValueError(value)
        return number

    lower = f"above {low:g}" if above else f"{low:g} or more"
    return Rule(read, f"a number, {lower}" + ("" if high == math.inf else f", at most {high:g}"))


def whole(low: int, high: int | None = None) -> Rule:
    """An integer of at least ``low``, and at most ``high`` if given."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            raise ValueError(value)
        return value

    return Rule(read, f"a whole number, {low} or more" if high is None else f"a whole number from {low} to {high}")


def boolean() -> Rule:
    """True or false."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(value)
        return value

    return Rule(read, "true or false")


def choice(*names: str) -> Rule:
    """One of several names."""

    def read(value: Any) -> str:
        if value not in names or not isinstance(value, str):
            raise ValueError(value)
        return value

    return Rule(read, ", ".join(names))


def text(*, empty: bool = False) -> Rule:
    """A text; it may be empty only if ``empty`` is set."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not (empty or value.strip()):
            raise ValueError(value)
        return value

    return Rule(read, "a text" if empty else "a text that is not empty")


def model_name() -> Rule:
    """Name of a model. A wrong name is detected here for offline models, and on loading for others."""

    def read(value: Any) -> str:
        name: str = text().read(value)
        if name.startswith(OFFLINE_PREFIX) and name not in OFFLINE_MODELS:
            raise ValueError(value)
        return name

    return Rule(read, f"a text: a name on the model hub, a folder, or {', '.join(OFFLINE_MODELS)}")


def language() -> Rule:
    """A language tag, which is normalized."""
    # Imported here: connection settings are read for the help of commands, which does not need the names of languages.
    from haystack_crossalign.languages import normalize_language

    def read(value: Any) -> str:
        # YAML 1.1 reads the tag of Norwegian as false.
        if value is False:
            return "no"
        if not isinstance(value, str):
            raise ValueError(value)
        try:
            return normalize_language(value)
        except InputError as error:
            raise ValueError(value) from error

    return Rule(read, "a BCP-47 language tag such as zh or pt-BR (quoted where YAML reads it otherwise)")


def listed(rule: Rule, *, shortest: int = 0, distinct: bool = True) -> Rule:
    """A list of values, by default without duplicates; a single value counts as a list of one."""

    def read(value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list | tuple) else [value]
        items = tuple(rule.read(item) for item in values)
        if len(items) < shortest or (distinct and len(set(items)) < len(items)):
            raise ValueError(value)
        return items

    return Rule(read, f"a list, {'each value once, ' if distinct else ''}each {rule.allowed}")


def by_language(rule: Rule) -> Rule:
    """A value for each of some languages."""
    tag = language()

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not value:
            raise ValueError(value)
        items = {tag.read(key): rule.read(item) for key, item in value.items()}
        if len(items) < len(value):
            raise ValueError(value)
        return items

    return Rule(read, f"language tags, each with {rule.allowed}")


def optional(rule: Rule) -> Rule:
    """The rule, or null."""
    return Rule(lambda value: None if value is None else rule.read(value), f"{rule.allowed}, or null")


def either(*rules: Rule) -> Rule:
    """The first of several rules that accepts the value."""

    def read(value: Any) -> Any:
        for rule in rules:
            try:
                return rule.read(value)
            except ValueError:
                continue
        raise ValueError(value)

    return Rule(read, _joined([rule.allowed for rule in rules]))


def _joined(parts: Sequence[str]) -> str:
    return ", or ".join(parts)


_Section = TypeVar("_Section")


def read_section(kind: type[_Section], values: object, path: tuple[str | int, ...], settings: Settings) -> _Section:
    """Read a section from nested values: unknown keys, missing keys and values that are not allowed are errors.

    :param kind: dataclass whose fields are made by :func:`~haystack_crossalign.config.rules.setting`, or hold
        a section themselves.
    :param values: the values.
    :param path: the keys above them.
    :param settings: has the line of each value.
    :raises InputError: naming file, line and key.
    """
    known = {setting.name: setting for setting in fields(kind) if not setting.metadata.get("hidden")}  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise settings.error("not a section", path, values, ", ".join(known))
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise settings.error("unknown key", (*path, key), value, ", ".join(known))
        made[key] = _entry(known[key].metadata, value, (*path, key), settings)
    for name, setting in known.items():
        if name not in made and setting.default is MISSING:
            raise settings.error("missing key", (*path, name), None, _allowed(setting.metadata))
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
            read_section(metadata["section"], entry, (*path, place), settings) for place, entry in enumerate(value)
        )
    if value is None and metadata.get("optional"):
        return None
    return read_section(metadata["section"], value, path, settings)


def _allowed(metadata: Mapping[str, Any]) -> str:
    if "rule" in metadata:
        return str(metadata["rule"].allowed)
    names = ", ".join(setting.name for setting in fields(metadata["section"]))
    return f"a list of sections with {names}" if metadata.get("many") else f"a section with {names}"
