"""AuditResult as a file: the same bytes for the same result, the schema it keeps, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from haystack_crossalign.audit.result import AuditResult, audit_schema, rounded
from haystack_crossalign.errors import InputError


@pytest.fixture
def result(make_row: Any, make_result: Any) -> AuditResult:
    rows = [make_row("en", {"Max@R": 2.0}), make_row("zh", {"Max@R": 2.5, "Complete@1": None})]
    return make_result(rows, [{"Max@R": [2.0]}, {"Max@R": [2.0, 3.0], "Complete@1": [None, None]}])


def test_the_schema_is_a_schema_and_a_result_keeps_it(result: AuditResult) -> None:
    Draft202012Validator.check_schema(audit_schema())
    Draft202012Validator(audit_schema()).validate(json.loads(result.to_json()))


def test_writing_and_reading_gives_the_same_result(result: AuditResult, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(result.to_json(), encoding="utf-8")
    again = AuditResult.load(path)
    assert again.to_dict() == result.to_dict()
    assert again.to_json() == result.to_json()


def test_floats_are_rounded_to_eight_digits_and_the_infinite_is_refused() -> None:
    assert rounded({"a": [1 / 3, 123456789.123], "b": None, "c": 7}) == {
        "a": [0.33333333, 123456790.0],
        "b": None,
        "c": 7,
    }
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="None with a reason"):
            rounded([value])


def test_a_copy_without_texts_holds_none(result: AuditResult) -> None:
    words = "the text of a document"
    full = AuditResult(
        result.provenance,
        result.rows,
        {**result.queries, "text": [words] * 3},
        [],
        {"d": {"language": "en", "group": "g", "text": words}},
    )
    assert words in full.to_json()
    bare = full.without_texts()
    assert words not in bare.to_json()
    assert bare.documents == {"d": {"language": "en", "group": "g"}}
    Draft202012Validator(audit_schema()).validate(bare.to_dict())


def test_a_rows_queries_are_found(result: AuditResult) -> None:
    assert list(result.row_queries(0)) == [0]
    assert list(result.row_queries(1)) == [1, 2]
    assert list(result.row_queries(2)) == []


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["the file is empty"]),
        (b'{"schema": ', ["line 1", "not valid JSON"]),
        (b"[1]", ["not a JSON object"]),
        (b"{}", ["not an audit result", "(top level)"]),
        (b'\xff{"schema"', ["line 1", "not valid UTF-8"]),
        (b'{"schema": "crossalign.audit/2"}', ["not an audit result"]),
    ],
)
def test_what_is_no_result_is_refused_with_file_and_place(tmp_path: Path, content: bytes, parts: list[str]) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        AuditResult.load(path)
    assert all(part in str(raised.value) for part in ["a.json", *parts]), str(raised.value)


def test_the_field_that_breaks_the_schema_is_named(result: AuditResult, tmp_path: Path) -> None:
    data = json.loads(result.to_json())
    data["rows"][1]["pool_size"] = "many"
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match=r"rows\.1\.pool_size.*'many'"):
        AuditResult.load(path)


def test_columns_of_different_lengths_are_refused(result: AuditResult, tmp_path: Path) -> None:
    data = json.loads(result.to_json())
    data["queries"]["id"].append("one more")
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match="columns differ in length"):
        AuditResult.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        AuditResult.load(tmp_path / "none.json")
    with pytest.raises(InputError, match="is a directory"):
        AuditResult.load(tmp_path)
