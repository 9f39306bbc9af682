"""Documents of a results index, and the saved objects that draw them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from synthetic import synthetic_result

from haystack_crossalign.report.export.bulk import bulk_documents

STRING, TEXT = {"type": "string"}, {"type": "string", "minLength": 1}
SAVED = {
    "type": "object",
    "required": ["id", "type", "attributes", "references", "migrationVersion"],
    "additionalProperties": False,
    "properties": {
        "id": TEXT,
        "type": {"enum": ["index-pattern", "visualization", "dashboard"]},
        "attributes": {"type": "object", "required": ["title"], "properties": {"title": TEXT}},
        "migrationVersion": {"type": "object", "additionalProperties": {"pattern": r"^7\.\d+\.\d+$"}},
        "references": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "type", "id"],
                "additionalProperties": False,
                "properties": {"name": TEXT, "type": TEXT, "id": TEXT},
            },
        },
    },
}
STATE = {
    "type": "object",
    "required": ["title", "type", "aggs", "params"],
    "properties": {
        "type": {"const": "line"},
        "aggs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "enabled", "type", "params", "schema"],
                "properties": {
                    "id": STRING,
                    "type": {"enum": ["avg", "date_histogram", "terms"]},
                    "schema": {"enum": ["metric", "segment", "group"]},
                    "params": {"type": "object", "required": ["field"]},
                },
            },
        },
    },
}

# Of the source of OpenSearch Dashboards (`saved_objects` of its plugins): the newest version that its migrations know,
# as a newer one is refused; and the attributes of its strict mappings, as others are refused.
NEWEST = {"index-pattern": "7.6.0", "visualization": "7.10.0", "dashboard": "7.9.3"}
META = {"kibanaSavedObjectMeta", "title", "description", "version"}
ATTRIBUTES = {
    "index-pattern": {
        "title", "type", "typeMeta", "timeFieldName", "fields", "fieldFormatMap", "intervalName", "notExpandable",
        "sourceFilters",
    },
    "visualization": META | {"visState", "uiStateJSON", "savedSearchRefName"},
    "dashboard": META
    | {"hits", "panelsJSON", "optionsJSON", "refreshInterval", "timeRestore", "timeFrom", "timeTo"},
}  # fmt: skip
# What its kinds of aggregation know; anything else is dropped without a word.
PARAMETERS = {
    "avg": {"field", "customLabel", "json"},
    "date_histogram": {
        "field", "timeRange", "useNormalizedOpenSearchInterval", "scaleMetricValues", "interval", "time_zone",
        "drop_partials", "format", "min_doc_count", "extended_bounds", "customLabel", "json",
    },
    "terms": {
        "field", "orderBy", "orderAgg", "order", "size", "otherBucket", "otherBucketLabel", "missingBucket",
        "missingBucketLabel", "exclude", "include", "customLabel", "json",
    },
}  # fmt: skip
COLUMNS = 48
"""Columns of a dashboard's grid."""


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    result = synthetic_result(("en", "zh"), 12)
    result["provenance"]["stamp"] = "2026-11-29T08:30:00Z"
    return result


def documents(text: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    lines = [json.loads(line) for line in text.splitlines()]
    return list(zip(lines[::2], lines[1::2], strict=True))


def test_each_row_is_one_document_with_its_figures(result: dict[str, Any]) -> None:
    pairs = documents(bulk_documents(result))
    assert len(pairs) == len(result["rows"])
    for (_, document), row in zip(pairs, result["rows"], strict=True):
        assert document["@timestamp"] == "2026-11-29T08:30:00Z"
        assert document["measures"] == {k: v for k, v in row["measures"].items() if v is not None}
        assert all(isinstance(value, float) for value in document["measures"].values())
    ids = [action["index"]["_id"] for action, _ in pairs]
    assert len(set(ids)) == len(ids)


def test_ids_are_those_of_time_subject_and_row(result: dict[str, Any]) -> None:
    def ids(changed: dict[str, Any]) -> list[str]:
        return [action["index"]["_id"] for action, _ in documents(bulk_documents(changed))]

    again = {**result, "rows": [{**row, "measures": {"MRR": 0.5}} for row in result["rows"]]}
    assert ids(again) == ids(result)
    later = {**result, "provenance": {**result["provenance"], "stamp": "2026-11-30T08:30:00Z"}}
    assert not set(ids(later)) & set(ids(result))


def test_the_saved_objects_are_sound_and_use_fields_that_documents_have(
    result: dict[str, Any], project_root: Path
) -> None:
    text = (project_root / "docs" / "opensearch-dashboards.ndjson").read_text(encoding="utf-8")
    objects = [json.loads(line) for line in text.splitlines()]
    known = {(entry["type"], entry["id"]) for entry in objects}
    assert len(known) == len(objects) == 6
    mapped = {"@timestamp"}
    for _, document in documents(bulk_documents(result)):
        mapped |= {f"measures.{name}" for name in document["measures"]}
        # A dynamic mapping keeps texts as keywords too.
        mapped |= {f"{name}.keyword" for name, value in document.items() if isinstance(value, str)}
    for entry in objects:
        jsonschema.validate(entry, SAVED)
        assert {(reference["type"], reference["id"]) for reference in entry["references"]} <= known
        attributes = entry["attributes"]
        if entry["type"] == "visualization":
            state = json.loads(attributes["visState"])
            jsonschema.validate(state, STATE)
            assert {aggregation["params"]["field"] for aggregation in state["aggs"]} <= mapped
            search = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
            assert search["indexRefName"] == entry["references"][0]["name"]
            field, _, value = search["query"]["query"].partition(" : ")
            assert field in mapped
            assert json.loads(value) in {row["scenario"] for row in result["rows"]}
        if entry["type"] == "dashboard":
            panels = json.loads(attributes["panelsJSON"])
            assert {panel["panelRefName"] for panel in panels} == {
                reference["name"] for reference in entry["references"]
            }


def saved_objects(project_root: Path) -> list[dict[str, Any]]:
    text = (project_root / "docs" / "opensearch-dashboards.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_saved_objects_have_what_dashboards_takes_and_nothing_else(project_root: Path) -> None:
    for entry in saved_objects(project_root):
        kind, attributes = entry["type"], entry["attributes"]
        assert entry["migrationVersion"] == {kind: NEWEST[kind]}
        assert set(attributes) <= ATTRIBUTES[kind]
        for name, value in attributes.items():
            if name.endswith("JSON"):
                assert isinstance(json.loads(value), dict if name != "panelsJSON" else list)
        if kind != "index-pattern":
            assert set(attributes["kibanaSavedObjectMeta"]) == {"searchSourceJSON"}
            assert json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["language"] == "kuery"


def test_the_charts_name_what_is_in_them(project_root: Path) -> None:
    charts = [entry for entry in saved_objects(project_root) if entry["type"] == "visualization"]
    assert len(charts) == 4
    for entry in charts:
        state = json.loads(entry["attributes"]["visState"])
        assert state["title"] == entry["attributes"]["title"]
        by_id = {aggregation["id"]: aggregation for aggregation in state["aggs"]}
        assert len(by_id) == len(state["aggs"])
        for aggregation in state["aggs"]:
            assert set(aggregation["params"]) <= PARAMETERS[aggregation["type"]]
        axes = {axis["id"] for axis in state["params"]["valueAxes"]}
        for series in state["params"]["seriesParams"]:
            assert by_id[series["data"]["id"]]["schema"] == "metric"
            assert series["valueAxis"] in axes


def test_the_panels_lie_beside_each_other_on_the_grid(project_root: Path) -> None:
    (board,) = [entry for entry in saved_objects(project_root) if entry["type"] == "dashboard"]
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(board["attributes"]["panelsJSON"]):
        place = panel["gridData"]
        assert place["i"] == panel["panelIndex"]
        cells = {
            (column, line)
            for column in range(place["x"], place["x"] + place["w"])
            for line in range(place["y"], place["y"] + place["h"])
        }
        assert max(column for column, _ in cells) < COLUMNS
        assert not cells & taken
        taken |= cells
