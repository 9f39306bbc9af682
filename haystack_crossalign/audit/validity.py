"""Check that a mapping is an audit result: by the schema, and by conditions that a schema cannot express."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from haystack_crossalign.errors import InputError
from haystack_crossalign.schemas import shipped_schema

_LARGEST = 2**53
"""Larger integers are not read alike by all JSON parsers."""
_DEEPEST = 40


def check_result(data: Mapping[str, Any], source: str | Path | None = None) -> None:
    """Reject files that are damaged or not audit results.

    :param data: mapping as returned by `AuditResult.to_dict`.
    :param source: name of its file, for the message.
    :raises InputError: naming the first field that is wrong.
    """
    check = _Check(source)
    # Before the schema is checked, which recurses and would compare infinite numbers.
    check.plain(data)
    check.schema(data)
    check.rows(data["rows"])
    check.columns(data["rows"], data["queries"])
    check.examples(data)


class _Check:
    def __init__(self, source: str | Path | None) -> None:
        self._source = source

    def refuse(self, problem: str, field: str, seen: object = ..., allowed: str | None = None) -> NoReturn:
        raise InputError(
            f"not an audit result: {problem}", source=self._source, field=field, seen=seen, allowed=allowed
        )

    def plain(self, data: object) -> None:
        """Check for finite numbers, integers in range, Unicode texts, and limited nesting."""
        pending: list[tuple[tuple[str | int, ...], object]] = [((), data)]
        while pending:
            path, value = pending.pop()
            if len(path) > _DEEPEST:
                self.refuse("nested too deeply", _dotted(path[:3]), allowed=f"{_DEEPEST} levels")
            if isinstance(value, str):
                self._text(path, value)
            elif isinstance(value, float):
                if not math.isfinite(value):
                    self.refuse("not a finite number", _dotted(path), value, "a finite number, or null")
            elif isinstance(value, int):
                if abs(value) > _LARGEST:
                    self.refuse("the number is too large", _dotted(path), value, "-2^53 to 2^53")
            elif isinstance(value, Mapping):
                for key, item in value.items():
                    self._text((*path, key), str(key))
                    pending.append(((*path, key), item))
            elif isinstance(value, list | tuple):
                pending += [((*path, number), item) for number, item in enumerate(value)]

    def schema(self, data: Mapping[str, Any]) -> None:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        error = best_match(Draft202012Validator(shipped_schema("audit-1.schema.json")).iter_errors(data))
        if error is not None:
            path = _dotted(tuple(error.absolute_path)) or "(top level)"
            allowed = f"what the schema crossalign.audit/1 allows here: {error.validator} {error.validator_value!r}"
            raise InputError(
                "not an audit result", source=self._source, field=path, seen=error.instance, allowed=allowed[:300]
            )

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Check for duplicate rows, which could not be distinguished."""
        seen: dict[tuple[Any, ...], int] = {}
        for number, row in enumerate(rows):
            key = (
                row["scenario"],
                row["query_language"],
                tuple(sorted(row["pool_languages"])),
                row["kind"],
                row.get("retrieval"),
            )
            if key in seen:
                self.refuse(f"duplicate row (also rows.{seen[key]})", f"rows.{number}", allowed="each row once")
            seen[key] = number

    def columns(self, rows: Sequence[Mapping[str, Any]], queries: Mapping[str, Any]) -> None:
        """Check that columns have equal lengths and their lists match, entry by entry."""
        columns = dict(_flat(queries))
        sizes = {name: len(column) for name, column in columns.items()}
        if len(set(sizes.values())) > 1:
            self.refuse("columns differ in length", "queries", sizes, "columns of one length")
        owners: list[int] = queries["row"]
        if owners != sorted(owners) or set(owners) != set(range(len(rows))):
            self.refuse("entries do not belong to the rows in order", "queries.row", allowed=f"0 to {len(rows) - 1}")
        for number, row in enumerate(rows):
            for name in row["measures"]:
                if name not in queries["measures"]:
                    self.refuse("the measure has no column", f"rows.{number}.measures", name, "one of queries.measures")
        seen_columns: set[tuple[int, str]] = set()
        per_version = [name for name in ("ranks", "optimistic", "pessimistic", "above") if name in queries]
        for place, owner in enumerate(owners):
            key = (owner, queries["id"][place])
            if key in seen_columns:
                self.refuse("duplicate query in a row", f"queries.id.{place}", key[1], "each query once per row")
            seen_columns.add(key)
            count = len(queries["versions"][place])
            for name in per_version:
                if len(queries[name][place]) != count:
                    field = f"queries.{name}.{place}"
                    self.refuse("not one entry per version", field, len(queries[name][place]), f"{count} entries")
            pool = len(rows[owner]["pool_languages"])
            for counts in queries["above"][place]:
                if len(counts) != pool:
                    self.refuse("not one number per language of the pool", f"queries.above.{place}", counts)

    def examples(self, data: Mapping[str, Any]) -> None:
        """Check that examples refer to existing rows, queries and documents."""
        size = len(data["queries"]["row"])
        for number, example in enumerate(data["examples"]):
            field = f"examples.{number}"
            if not 0 <= example["row"] < len(data["rows"]):
                self.refuse("no such row", f"{field}.row", example["row"], f"0 to {len(data['rows']) - 1}")
            if not 0 <= example["query"] < size:
                self.refuse("no such query", f"{field}.query", example["query"], f"0 to {size - 1}")
            if len(example["documents"]) != len(example["scores"]):
                self.refuse("documents and scores differ in number", field)
            for name in (*example["documents"], *example["relevant"]):
                if name not in data["documents"]:
                    self.refuse("names a document that is not there", field, name, "ids of 'documents'")

    def _text(self, path: tuple[str | int, ...], value: str) -> None:
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            self.refuse("not valid Unicode (half of a surrogate pair)", _dotted(path), value)


def _flat(queries: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    yield from ((name, column) for name, column in queries.items() if name != "measures")
    yield from ((f"measures.{name}", column) for name, column in queries["measures"].items())


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)
