"""Results built by hand, so that what is read from them is known without an audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from haystack_crossalign.audit.result import AuditResult

MakeRow = Callable[..., dict[str, Any]]
MakeResult = Callable[..., AuditResult]


def _row(query_language: str, measures: Mapping[str, float | None], **changes: Any) -> dict[str, Any]:
    return {
        "scenario": "multi",
        "pool_languages": ["en", "zh"],
        "query_language": query_language,
        "pool_size": 480,
        "queries": 3,
        "relevant": 6,
        "kind": "exact",
        "measures": dict(measures),
        "reasons": {name: "no such version" for name, value in measures.items() if value is None},
        "counts": {},
        "intervals": {name: [value, value] for name, value in measures.items() if value is not None},
        "percentiles": {},
        "medians": {},
        "ties": {"queries": 0},
        "censored": None,
        **changes,
    }


def _result(rows: Sequence[Mapping[str, Any]], values: Sequence[Mapping[str, Sequence[float | None]]]) -> AuditResult:
    """A result whose row r has one query per entry of its columns in ``values[r]``."""
    names = list(dict.fromkeys(name for columns in values for name in columns))
    sizes = [len(next(iter(columns.values()))) for columns in values]
    count = sum(sizes)
    return AuditResult(
        provenance={
            "tool": {"name": "haystack-crossalign", "version": "0"},
            "command": "audit",
            "model": None,
            "data": {"name": "by hand", "pool": None, "files": []},
            "options": {},
            "seed": 0,
            "environment": {},
        },
        rows=[dict(row) for row in rows],
        queries={
            "row": [number for number, size in enumerate(sizes) for _ in range(size)],
            "id": [f"q{position}" for size in sizes for position in range(size)],
            "language": [rows[number]["query_language"] for number, size in enumerate(sizes) for _ in range(size)],
            "text": ["?"] * count,
            "versions": [["en", "zh"]] * count,
            "ranks": [[2, 1]] * count,
            "optimistic": [[2, 1]] * count,
            "pessimistic": [[2, 1]] * count,
            "above": [[[0, 0], [0, 0]]] * count,
            "depth": [None] * count,
            "top_language": ["zh"] * count,
            "measures": {
                name: [
                    value
                    for columns, size in zip(values, sizes, strict=True)
                    for value in columns.get(name, [None] * size)
                ]
                for name in names
            },
        },
    )


@pytest.fixture
def make_row() -> MakeRow:
    return _row


@pytest.fixture
def make_result() -> MakeResult:
    return _result
