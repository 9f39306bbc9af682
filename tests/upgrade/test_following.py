"""Mapping and settings of the old index that are changed while it is copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from upgrading import KEPT, Bed, everything

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.upgrade.documents.target import missing_fields
from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.plan import make_plan

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0)
KEYWORD = {"type": "keyword"}


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=60)


def upgrade(bed: Bed, **more: Any) -> Any:
    return run_upgrade(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS, **more)


def test_what_a_mapping_lacks_is_found_within_objects() -> None:
    vector = {"type": "knn_vector", "dimension": 3}
    old = {
        "a": KEYWORD,
        "same": {"properties": {"b": KEYWORD}},
        "list": {"type": "nested", "properties": {"b": KEYWORD, "c": {"type": "long"}}},
        "short": {"type": "keyword", "ignore_above": 9},
        "v": vector,
    }
    new = {
        "same": {"properties": {"b": KEYWORD}},
        "list": {"type": "nested", "properties": {"b": KEYWORD}},
        "short": KEYWORD,
        "v": vector | {"dimension": 2},
    }
    assert missing_fields(old, new) == {
        "a": KEYWORD,
        "list": {"type": "nested", "properties": {"c": {"type": "long"}}},
        "short": {"type": "keyword", "ignore_above": 9},
    }
    assert missing_fields(old, old) == {}


def test_fields_and_settings_that_come_while_it_is_copied_are_those_of_the_old_index(bed: Bed) -> None:
    plan = make_plan(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS)
    bed.server.request("PUT", f"/{bed.index}/_mapping", {"properties": {"early": KEYWORD}})
    bed.server.request("PUT", f"/{bed.index}/_doc/early", {"early": "a b"})

    def write(*_: Any) -> bool:
        fields = {"late": KEYWORD, "chunks": {"type": "nested", "properties": {"mark": KEYWORD}}}
        bed.server.request("PUT", f"/{bed.index}/_mapping", {"properties": fields})
        bed.server.request("PUT", f"/{bed.index}/_doc/late", {"late": "a b", "chunks": [{"mark": "c d"}], "n": "7"})
        changes = {"index.max_inner_result_window": 77, "index.refresh_interval": None}
        bed.server.request("PUT", f"/{bed.index}/_settings", changes)
        return True

    assert upgrade(bed, plan=plan, before_switch=write).state == "switched"
    new = bed.behind()
    assert new != bed.index
    assert bed.mapping(new)["properties"] == bed.mapping(bed.index)["properties"]
    assert bed.mapping(new)["properties"]["late"] == KEYWORD
    assert bed.mapping(new)["properties"]["early"] == KEYWORD
    assert bed.settings(new)["index.max_inner_result_window"] == "77"
    assert "index.refresh_interval" not in bed.settings(new)
    bed.server.request("POST", f"/{new}/_refresh")
    hits = bed.server.request("POST", f"/{new}/_search", {"query": {"term": {"late": "a b"}}})["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ["late"]


def test_a_field_of_another_type_stops_before_the_switch_and_is_named(bed: Bed) -> None:
    def interfere(_: Any, job: Any) -> bool:
        bed.server.request("PUT", f"/{job.target.name}/_mapping", {"properties": {"late": {"type": "text"}}})
        bed.server.request("PUT", f"/{bed.index}/_mapping", {"properties": {"late": KEYWORD}})
        return True

    with pytest.raises(ExternalError, match=r"cannot follow: .*\[late\].*nothing was switched"):
        upgrade(bed, before_switch=interfere)
    assert bed.behind() == bed.index
    bed.server.request("PUT", f"/{bed.index}/_doc/free-1", {"content": "not blocked any more"})
    assert ("free-1", None) in everything(bed.server, bed.index)
