"""Reader for all YAML files: recipes, jobs, pipelines, embedders, generators. It is safe, limits size and depth, and
reports each error as one message.

With aliases, a YAML file of a few hundred characters can represent billions of values, or a value that contains itself;
both are rejected before any value is constructed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from haystack_crossalign.errors import InputError

YAML_FAULTS = (yaml.YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError)
"""Errors of PyYAML for values: an invalid date, ``!!int ''`` and ``!!timestamp x`` do not raise a YAMLError."""

_LARGEST = 1_000_000
_DEEPEST = 20
_MOST = 100_000
_LIMITS = f"{_DEEPEST} levels, {_MOST} values"
_MERGE = "tag:yaml.org,2002:merge"


def read_yaml_text(path: Path, what: str, allowed: str | None = None) -> tuple[str, str]:
    """Read the text of a YAML file, and the SHA-256 of its bytes.

    :param path: the file.
    :param what: what messages call it.
    :param allowed: what is expected, in words.
    :raises InputError: if it is missing, not UTF-8, or cannot be read.
    """
    allowed = allowed or f"a {what} in YAML"
    try:
        with path.open("rb") as stream:
            raw = stream.read(4 * _LARGEST + 1)
        return raw.decode("utf-8-sig"), hashlib.sha256(raw).hexdigest()
    except FileNotFoundError as error:
        raise InputError("no such file", source=path, allowed=allowed) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", source=path, allowed=allowed) from error
    except UnicodeDecodeError as error:
        raise InputError(f"not valid UTF-8 (byte {error.start + 1})", source=path, allowed=allowed) from error
    except ValueError as error:  # a null character in the name
        raise InputError("not the name of a file", source=path, allowed=allowed) from error


def compose_yaml(text: str, source: Path | str, what: str, *, field: str | None = None) -> yaml.Node | None:
    """Parse a YAML document to nodes, and check that it is within limits and has no cycles and no duplicate keys.

    :param text: one document.
    :param source: file or option it comes from, for messages.
    :param what: what messages call it.
    :param field: key to which the text belongs, if the source is an option.
    :returns: the top node, None for an empty document.
    :raises InputError: if it is not YAML, too long, nested too deeply, contains itself or has a duplicate key.
    """
    if len(text) > _LARGEST:
        allowed = f"{_LARGEST} characters"
        raise InputError(f"too long for a {what}", source=source, field=field, seen=len(text), allowed=allowed)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        line = mark.line + 1 if mark else None
        raise InputError(f"not YAML: {problem}", source=source, line=line, field=field) from error
    except RecursionError as error:
        raise InputError("nested too deeply", source=source, field=field, allowed=_LIMITS) from error
    except YAML_FAULTS as error:  # an escape beyond Unicode
        raise InputError("not YAML: a value does not match its type", source=source, field=field) from error
    if node is not None:
        _Bounds(source, field).check(node)
    return node


def parse_yaml(text: str, source: Path | str, what: str, *, field: str | None = None) -> Any:
    """Parse a YAML document to values by YAML's safe rules; parameters and errors are those of :func:`compose_yaml`."""
    node = compose_yaml(text, source, what, field=field)
    if node is None:
        return None
    try:
        return _Values().construct_document(node)
    except YAML_FAULTS as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            "not YAML: a value does not match its type or tag",
            source=source,
            line=mark.line + 1 if mark else None,
            field=field,
        ) from error


def refuse_remote_code(data: Any, source: Path | str) -> None:
    """Reject a setting that lets a model run its own code: only the user who runs the command may allow that.

    :param data: values of a file, searched at any depth.
    :param source: the file, for the message.
    :raises InputError: naming the setting.
    """
    pending: list[tuple[str, Any]] = [("", data)]
    while pending:
        place, value = pending.pop()
        if isinstance(value, dict):
            for key, child in value.items():
                name = f"{place}.{key}" if place else str(key)
                if str(key) == "trust_remote_code" and child:
                    raise InputError(
                        "would run code that comes with a model",
                        source=source,
                        field=name,
                        seen=child,
                        allowed="false; or --trust-remote-code on the command line, for a model whose code you know",
                    )
                pending.append((name, child))
        elif isinstance(value, list | tuple):
            pending += [(f"{place}.{number}", child) for number, child in enumerate(value)]


class _Values(yaml.constructor.SafeConstructor):  # type: ignore[misc]
    """YAML's own rules for numbers, true, null, dates and texts."""


class _Bounds:
    """Walks a graph of nodes as the tree that it represents, and stops if that is too large."""

    def __init__(self, source: Path | str, field: str | None) -> None:
        self._source = source
        self._field = field
        self._values = 0

    def check(self, node: yaml.Node, above: tuple[int, ...] = ()) -> None:
        line = node.start_mark.line + 1
        self._values += 1
        if id(node) in above:
            raise self._error("a value contains itself", line, "values that do not contain themselves")
        if len(above) > _DEEPEST:
            raise self._error("nested too deeply", line, _LIMITS)
        if self._values > _MOST:
            raise self._error("too many values", line, _LIMITS)
        path = (*above, id(node))
        if isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self.check(child, path)
        elif isinstance(node, yaml.MappingNode):
            keys: set[tuple[str, str]] = set()
            for key, child in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise self._error("a key must be a text", key.start_mark.line + 1, None)
                if (key.tag, key.value) in keys and key.tag != _MERGE:
                    raise InputError(
                        "duplicate key",
                        source=self._source,
                        line=key.start_mark.line + 1,
                        field=key.value,
                    )
                keys.add((key.tag, key.value))
                self.check(child, path)

    def _error(self, problem: str, line: int, allowed: str | None) -> InputError:
        return InputError(problem, source=self._source, line=line, field=self._field, allowed=allowed)
