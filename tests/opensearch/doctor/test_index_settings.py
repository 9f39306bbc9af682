"""What the doctor says of an index's settings, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from doctor_helpers import DOCUMENTS, advice, examined, found

from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.doctor.findings import Diagnosis

NAME = "doctor-settings"
PIPELINE = "doctor-pipeline"


@pytest.fixture
def server(opensearch: Any, indexing: Any) -> Iterator[Any]:
    indexing.create(opensearch, NAME, DOCUMENTS, indexing.mapping(4))
    yield opensearch
    opensearch.request("DELETE", f"/{NAME}")


def examine(server: Any) -> Diagnosis:
    return examined(LiveSettings(hosts=(server.url,), index=NAME, group_field="group"))


def test_settings_that_leave_room_are_well(server: Any) -> None:
    findings = found(examine(server))
    assert findings["search pipeline"] == ("ok", "no index has a default one")
    assert findings["limits of the index"] == ("ok", "they leave room for an audit")


def test_a_default_search_pipeline_is_named_with_what_it_does(server: Any) -> None:
    server.request("PUT", f"/_search/pipeline/{PIPELINE}", {
        "request_processors": [{"filter_query": {"query": {"term": {"language": "en"}}}}],
        "response_processors": [{"truncate_hits": {"target_size": 5}}],
    })  # fmt: skip
    server.request("PUT", f"/{NAME}/_settings", {"index.search.default_pipeline": PIPELINE})
    diagnosis = examine(server)
    server.request("PUT", f"/{NAME}/_settings", {"index.search.default_pipeline": None})
    server.request("DELETE", f"/_search/pipeline/{PIPELINE}")
    state, seen = found(diagnosis)["search pipeline"]
    assert state == "warning"
    assert f"'{NAME}' pass through the default search pipeline '{PIPELINE}' (filter_query, truncate_hits)" in seen
    assert "repeat it with --filter" in seen
    # Nothing that the doctor counts passes through it.
    assert found(diagnosis)["documents"] == ("ok", "5 with a vector")
    assert diagnosis.exit_code == 0


@pytest.mark.parametrize(
    ("values", "seen", "advised"),
    [
        ({"index.max_result_window": 50}, "index.max_result_window is 50, lists are asked for to 100", "--depth 50"),
        ({"index.max_docvalue_fields_search": 1}, "index.max_docvalue_fields_search is 1", "raise it to 2"),
        ({"index.max_terms_count": 20}, "index.max_terms_count is 20", "raise it to 100"),
    ],
    ids=["window", "docvalues", "terms"],
)
def test_limits_that_leave_little_room_are_named(server: Any, values: dict[str, Any], seen: str, advised: str) -> None:
    server.request("PUT", f"/{NAME}/_settings", values)
    diagnosis = examine(server)
    state, told = found(diagnosis)["limits of the index"]
    assert (state, advice(diagnosis, "limits of the index")) == ("warning", advised)
    assert f"{NAME}: {seen}" in told


def test_a_block_stands_in_the_way(server: Any) -> None:
    server.request("PUT", f"/{NAME}/_settings", {"index.blocks.read": True})
    diagnosis = examine(server)
    assert found(diagnosis)["limits of the index"] == ("missing", f"{NAME}: index.blocks.read blocks every search")
    assert diagnosis.exit_code == 3
