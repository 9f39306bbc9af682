"""A damaged or foreign audit result is refused, each kind of damage with its field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.errors import InputError


@pytest.fixture
def data(make_row: Any, make_result: Any) -> dict[str, Any]:
    rows = [make_row("en", {"Max@R": 2.0}), make_row("zh", {"Max@R": 2.5, "Complete@1": None})]
    result = make_result(rows, [{"Max@R": [2.0]}, {"Max@R": [2.0, 3.0], "Complete@1": [None, None]}])
    return json.loads(result.to_json())  # type: ignore[no-any-return]


Damage = Callable[[dict[str, Any]], Any]


def damaged(*path: str | int, value: Any) -> Damage:
    def change(data: Any) -> None:
        *above, last = path
        for part in above:
            data = data[part]
        data[last] = value

    return change


def appended(*path: str | int, value: Any) -> Damage:
    def change(data: Any) -> None:
        for part in path:
            data = data[part]
        data.append(value)

    return change


DAMAGES: dict[str, tuple[Damage, str]] = {
    "infinite mean": (damaged("rows", 0, "measures", "Max@R", value=float("inf")), "rows.0.measures.Max@R"),
    "NaN in a column": (damaged("queries", "measures", "Max@R", 1, value=float("nan")), "queries.measures.Max@R.1"),
    "huge whole number": (damaged("rows", 0, "pool_size", value=10**30), "rows.0.pool_size"),
    "text in a column": (damaged("queries", "measures", "Max@R", 0, value="2"), "queries.measures.Max@R.0"),
    "text as ranks": (damaged("queries", "ranks", 0, value="12"), "queries.ranks.0"),
    "rank 0": (damaged("queries", "ranks", 0, value=[0]), "queries.ranks.0"),
    "a column too long": (appended("queries", "id", value="q"), "columns differ in length"),
    "a language twice": (damaged("rows", 0, "pool_languages", value=["en", "en"]), "rows.0.pool_languages"),
    "a row twice": (lambda data: data["rows"].__setitem__(1, data["rows"][0]), "duplicate row"),
    "no such row": (damaged("queries", "row", value=[0, 1, 7]), "queries.row"),
    "rows out of order": (damaged("queries", "row", value=[1, 0, 1]), "queries.row"),
    "half a surrogate": (damaged("rows", 0, "query_language", value="\ud800"), "half of a surrogate pair"),
    "a measure without a column": (damaged("rows", 0, "measures", "Rank[en]", value=1.0), "the measure has no column"),
    "no such example": (
        appended("examples", value={"row": 9, "query": 0, "documents": [], "scores": [], "relevant": []}),
        "examples.0.row",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_each_damage_is_named(data: dict[str, Any], damage: Damage, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    AuditResult.load(path)
    damage(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        AuditResult.load(path)
    assert "a.json" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 500 + "]" * 500, '{"a":' * 100_000, '{"schema": ' + "9" * 5000 + "}"])
def test_what_json_readers_choke_on_is_one_message(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        AuditResult.load(path)
