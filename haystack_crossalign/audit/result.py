"""AuditResult: the result of an audit, with everything needed to reproduce, compare and report it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.audit.validity import check_result
from haystack_crossalign.errors import ExternalError
from haystack_crossalign.files.reading import read_json_object
from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.measures.parity import parities
from haystack_crossalign.schemas import shipped_schema

if TYPE_CHECKING:
    import pandas

SCHEMA = "crossalign.audit/1"

_SIGNIFICANT_DIGITS = 8
"""Enough digits to distinguish results, few enough to hide the last bits of a float64 sum."""


def audit_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an audit result."""
    return shipped_schema("audit-1.schema.json")


@dataclass(frozen=True, repr=False)
class AuditResult:
    """The result of an audit, as plain data with the structure of the JSON file.

    :param provenance: tool, model, data, options, seed and environment.
    :param rows: one mapping per scenario, pool and query language: sizes, measures, intervals, ties.
    :param queries: columns of equal length, one entry per query and row.
    :param examples: the worst queries of each row, with their top documents.
    :param documents: the documents of the examples, by id.
    :param live: for an audit of a live index: its state before and after, the kind of queries, warnings, what is
        missing; None for other audits.
    """

    provenance: dict[str, Any]
    rows: list[dict[str, Any]]
    queries: dict[str, Any]
    examples: list[dict[str, Any]] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    live: dict[str, Any] | None = None

    def row_queries(self, row: int) -> range:
        """Positions of a row's entries in the columns of `queries`; they are contiguous."""
        column = self.queries["row"]
        start = column.index(row) if row in column else len(column)
        stop = start
        while stop < len(column) and column[stop] == row:
            stop += 1
        return range(start, stop)

    def without_texts(self) -> AuditResult:
        """A copy without the texts of queries, and the texts and titles of documents, for sharing."""
        return replace(
            self,
            queries={name: column for name, column in self.queries.items() if name != "text"},
            documents={
                key: {name: value for name, value in entry.items() if name not in ("text", "title")}
                for key, entry in self.documents.items()
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as a JSON-ready mapping (schema ``crossalign.audit/1``), floats rounded to 8 digits."""
        data: dict[str, Any] = rounded(
            {
                "schema": SCHEMA,
                "provenance": self.provenance,
                "rows": self.rows,
                "queries": self.queries,
                "examples": self.examples,
                "documents": self.documents,
                **({"parity": parity} if (parity := parities(self.rows)) else {}),
                **({} if self.live is None else {"live": self.live}),
            }
        )
        return data

    def to_json(self) -> str:
        """The result as JSON text, with one line per row, column and document; equal results give equal bytes."""
        return "".join(_lines(self.to_dict()))

    def __repr__(self) -> str:
        """Number of rows and queries, and the main figure of the first row."""
        head = f"AuditResult({len(self.rows)} rows, {len(self.queries['id'])} queries"
        if not self.rows:
            return head + ")"
        row = self.rows[0]
        depth = row["measures"].get("Max@R")
        value = "" if depth is None else f": Max@R {depth:.3g}"
        return f"{head}; {row['scenario']}, queries in {row['query_language']}{value})"

    def _repr_html_(self) -> str:
        """The finding and the table of measures, for notebooks."""
        from haystack_crossalign.report.notebook import notebook_html

        return notebook_html(self.to_dict())

    def to_dataframe(self) -> pandas.DataFrame:
        """One line per row of the result: scenario, pool, query language, sizes, and each measure in its own unit.

        Shares are 0 to 1, ranks start at 1; a measure without a value in a row is missing (NaN).

        :raises ExternalError: if pandas is not installed.
        """
        return _dataframe(
            [
                {
                    "scenario": row["scenario"],
                    "pool_languages": "+".join(row["pool_languages"]),
                    "query_language": row["query_language"],
                    "kind": row["kind"],
                    "retrieval": row.get("retrieval"),
                    "pool_size": row["pool_size"],
                    "queries": row["queries"],
                    **row["measures"],
                }
                for row in self.rows
            ]
        )

    def per_query(self) -> pandas.DataFrame:
        """One line per query and row: id, language, text, ranks of its relevant versions, and every measure.

        ``versions`` and ``ranks`` are lists of the same length; a rank beyond the end of a result list is None.

        :raises ExternalError: if pandas is not installed.
        """
        columns = {name: column for name, column in self.queries.items() if name != "measures"}
        columns |= self.queries["measures"]
        for name in ("scenario", "query_language"):
            columns[name] = [self.rows[number][name] for number in self.queries["row"]]
        names = list(columns)
        return _dataframe([dict(zip(names, line, strict=True)) for line in zip(*columns.values(), strict=True)])

    def save(self, path: str | Path) -> None:
        """Write the result as JSON, atomically, for `load`, `crossalign compare` and reports.

        :raises InputError: if the folder does not exist.
        :raises ExternalError: if the file cannot be written.
        """
        write_atomically(path, self.to_json())

    def write_html(self, path: str | Path) -> None:
        """Write the report: a self-contained HTML page.

        :raises InputError: if the folder does not exist.
        :raises ExternalError: if the file cannot be written.
        """
        from haystack_crossalign.report.html import render_html

        write_atomically(path, render_html(self.to_dict()))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str | Path | None = None) -> AuditResult:
        """Read a result from its mapping, validated against the JSON Schema.

        :param data: mapping as returned by `to_dict`.
        :param source: name of its file, for the message.
        :raises InputError: if it does not fit the schema.
        """
        check_result(data, source)
        return cls(
            provenance=dict(data["provenance"]),
            rows=list(data["rows"]),
            queries=dict(data["queries"]),
            examples=list(data["examples"]),
            documents=dict(data["documents"]),
            live=dict(data["live"]) if "live" in data else None,
        )

    @classmethod
    def load(cls, path: str | Path) -> AuditResult:
        """Read a result from a JSON file.

        :raises InputError: if the file cannot be read, is not JSON or does not fit the schema.
        """
        data, _ = read_json_object(path)
        return cls.from_dict(data, source=path)


def read_result(path: str | Path) -> AuditResult:
    """Read a result written by `AuditResult.save` or ``crossalign audit --json``.

    :raises InputError: if the file cannot be read, is not JSON or does not fit the schema.
    """
    return AuditResult.load(path)


def _dataframe(lines: list[dict[str, Any]]) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError as error:
        msg = "data frames need pandas: run `pip install pandas`"
        raise ExternalError(msg) from error
    return pandas.DataFrame(lines)


def rounded(value: Any) -> Any:
    """Copy JSON-ready data with floats rounded to 8 significant digits; integral floats stay floats.

    :raises ValueError: for NaN and infinities, which JSON does not support.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be stored in a result: use None with a reason")
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    if isinstance(value, Mapping):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield f'{{"schema":{_compact(data["schema"])},\n"provenance":{_compact(data["provenance"])},\n"rows":['
    yield ",".join(f"\n{_compact(row)}" for row in data["rows"])
    yield '],\n"queries":{'
    yield ",".join(f"\n{_compact(name)}:{_compact(column)}" for name, column in data["queries"].items())
    yield '},\n"examples":['
    yield ",".join(f"\n{_compact(example)}" for example in data["examples"])
    yield '],\n"documents":{'
    yield ",".join(f"\n{_compact(name)}:{_compact(entry)}" for name, entry in data["documents"].items())
    yield "}"
    for name in ("parity", "live"):
        if name in data:
            yield f',\n"{name}":{_compact(data[name])}'
    yield "}\n"
