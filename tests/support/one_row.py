"""Results of one row, for tests of what reports make of them."""

from __future__ import annotations

from typing import Any

Result = dict[str, Any]


def result(
    complete: float | None, norm: float | None, *, queries: int = 100, tags: tuple[str, ...] = ("en", "zh"), **more: Any
) -> Result:
    """A result of one row over a mixed pool."""
    row = {
        "scenario": "multi",
        "kind": "exact",
        "query_language": "zh",
        "pool_languages": list(tags),
        "pool_size": 1000,
        "queries": queries,
        "relevant": 2 * queries,
        "measures": {"Complete@10": complete, "Max@R_norm": norm},
        "intervals": {},
        "ties": {},
        "recall": None,
        **more,
    }
    return {"rows": [row], "provenance": {"command": "audit"}}
