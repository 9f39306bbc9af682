"""Small results with queries of their own, written as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

WriteResult = Callable[..., Path]


@pytest.fixture
def write_result(make_row: Any, make_result: Any, tmp_path: Path) -> WriteResult:
    """Writes a result with one row per query language; values by query language, NDCG@10 by default."""

    def write(
        name: str,
        values: dict[str, Sequence[float]],
        *,
        stamp: str | None = None,
        written: float | None = None,
        measure: str = "NDCG@10",
        model: str | None = None,
        prefix: str = "q",
    ) -> Path:
        rows = [make_row(tag, {measure: sum(v) / len(v)}, queries=len(v)) for tag, v in values.items()]
        result = make_result(rows, [{measure: list(v)} for v in values.values()])
        result = replace(
            result,
            provenance={
                **result.provenance,
                **({} if stamp is None else {"stamp": stamp}),
                "model": None if model is None else {"name": model, "sha256": None},
            },
            queries={**result.queries, "id": [f"{prefix}{place}" for place in range(len(result.queries["id"]))]},
        )
        path = tmp_path / "runs" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(result.to_json(), encoding="utf-8")
        if written is not None:
            os.utime(path, (written, written))
        return path

    return write
