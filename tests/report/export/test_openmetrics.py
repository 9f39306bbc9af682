"""OpenMetrics text, read back by the parsers of Prometheus's own client."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus
from synthetic import synthetic_result

from haystack_crossalign.report.export.openmetrics import openmetrics


def samples(families: Any) -> list[tuple[str, tuple[tuple[str, str], ...], float, Any]]:
    return [
        (sample.name, tuple(sorted(sample.labels.items())), sample.value, sample.timestamp)
        for family in families
        for sample in family.samples
    ]


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return synthetic_result(("en", "zh"), 12)


def test_both_formats_read_the_same_figures(result: dict[str, Any]) -> None:
    text = openmetrics(result)
    read = samples(read_openmetrics(text))
    assert read == samples(read_prometheus(text))
    # The textfile collector rejects a file with time stamps, and a sample that stands twice.
    assert all(timestamp is None for *_, timestamp in read)
    assert len({(name, labels) for name, labels, *_ in read}) == len(read)
    values = {(name, labels): value for name, labels, value, _ in read}
    for row in result["rows"]:
        for name, value in row["measures"].items():
            labels = {"scenario": row["scenario"], "query_language": row["query_language"], "kind": row["kind"],
                      "pool": "+".join(row["pool_languages"]), "retrieval": "", "measure": name}  # fmt: skip
            key = tuple(sorted(labels.items()))
            assert values.get(("crossalign_measure", key)) == value
            if value is not None and row["intervals"].get(name):
                low, high = row["intervals"][name]
                assert values["crossalign_measure_low", key] == low
                assert values["crossalign_measure_high", key] == high


def test_the_time_is_there_only_with_a_stamp(result: dict[str, Any]) -> None:
    assert "audit_time" not in openmetrics(result)
    timed = {**result, "provenance": {**result["provenance"], "stamp": "2026-11-29T08:30:00Z"}}
    read = {name: value for name, _, value, _ in samples(read_openmetrics(openmetrics(timed)))}
    assert read["crossalign_audit_time_seconds"] == datetime(2026, 11, 29, 8, 30, tzinfo=UTC).timestamp()


def test_the_gate_is_counted(result: dict[str, Any]) -> None:
    text = openmetrics(result, [{"failed": True}, {"failed": False}, {"failed": True}])
    read = {name: value for name, _, value, _ in samples(read_openmetrics(text))}
    assert (read["crossalign_gate_conditions"], read["crossalign_gate_failed_conditions"]) == (3, 2)


def test_hostile_names_stay_inside_their_labels(result: dict[str, Any]) -> None:
    name = 'a "quoted"\\name\nwith } and # EOF'
    hostile = {**result, "provenance": {**result["provenance"], "model": {"name": name}}}
    (labels,) = [
        dict(labels) for n, labels, *_ in samples(read_openmetrics(openmetrics(hostile))) if n.endswith("audit")
    ]
    assert labels["model"] == name
