"""What the new index takes over from the old one, and how its aliases move."""

from __future__ import annotations

from typing import Any

import pytest

from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.upgrade.documents.reading import Unit, cut_into_units, page_size
from haystack_crossalign.upgrade.documents.source import Source
from haystack_crossalign.upgrade.documents.target import switch_actions, target_mapping, target_name, target_settings


def source(settings: dict[str, str], mapping: dict[str, Any] | None = None) -> Source:
    fields = (VectorField("a.v", 3, "cosinesimil", "float", None),)
    return Source("prod", "prod-1", "u", mapping or {"properties": {}}, settings, {}, fields, (), ())


def test_what_the_server_sets_is_left_to_it_and_all_else_is_kept() -> None:
    settings = {
        "index.uuid": "u",
        "index.creation_date": "1",
        "index.provided_name": "prod-1",
        "index.version.created": "136407927",
        "index.blocks.write": "true",
        "index.routing.allocation.initial_recovery._id": "x",
        "index.number_of_shards": "3",
        "index.knn": "true",
        "index.analysis.analyzer.a.type": "standard",
        "index.search.default_pipeline": "s",
        "index.replication.type": "SEGMENT",
    }
    loading, later = target_settings(source(settings))
    assert loading == {
        "index.number_of_shards": "3",
        "index.knn": "true",
        "index.analysis.analyzer.a.type": "standard",
        "index.search.default_pipeline": "s",
        "index.replication.type": "SEGMENT",
        "index.refresh_interval": "-1",
        "index.number_of_replicas": "0",
        "index.gc_deletes": "0s",
    }
    # None gives a setting its default back.
    assert later == {"index.refresh_interval": None, "index.number_of_replicas": None, "index.gc_deletes": None}


def test_replicas_refreshing_and_ingest_pipelines_come_back_after_loading() -> None:
    settings = {
        "index.refresh_interval": "5s",
        "index.number_of_replicas": "2",
        "index.gc_deletes": "90s",
        "index.default_pipeline": "p",
        "index.final_pipeline": "f",
    }
    loading, later = target_settings(source(settings))
    assert "index.default_pipeline" not in loading
    assert "index.final_pipeline" not in loading
    assert later == settings


def test_automatic_replicas_are_not_set_by_number() -> None:
    settings = {"index.auto_expand_replicas": "0-1", "index.number_of_replicas": "1"}
    loading, later = target_settings(source(settings))
    assert "index.auto_expand_replicas" not in loading
    assert later == {
        "index.auto_expand_replicas": "0-1",
        "index.refresh_interval": None,
        "index.gc_deletes": None,
    }


def test_only_dimension_and_model_change_in_the_mapping() -> None:
    field = {"type": "knn_vector", "dimension": 3, "method": {"name": "hnsw"}}
    mapping = {
        "dynamic": "strict",
        "_meta": {"owner": "o", "crossalign": {"model": {"name": "old"}, "other": 1}},
        "properties": {"a": {"properties": {"v": field, "t": {"type": "text"}}}},
    }
    made = target_mapping(source({}, mapping), {"name": "new"}, 4)
    assert made == {
        "dynamic": "strict",
        "_meta": {"owner": "o", "crossalign": {"model": {"name": "new"}, "other": 1}},
        "properties": {"a": {"properties": {"v": field | {"dimension": 4}, "t": {"type": "text"}}}},
    }
    assert mapping["_meta"] == {"owner": "o", "crossalign": {"model": {"name": "old"}, "other": 1}}
    assert field["dimension"] == 3


def test_a_field_for_new_vectors_comes_beside_the_old_one_and_names_its_model() -> None:
    field = {"type": "knn_vector", "dimension": 3, "method": {"name": "hnsw"}}
    mapping = {
        "_meta": {"crossalign": {"model": {"name": "old"}}},
        "properties": {"a": {"properties": {"v": field}}},
    }
    made = target_mapping(source({}, mapping), {"name": "new"}, 4, beside="_12")
    assert made == {
        "_meta": {"crossalign": {"model": {"name": "old"}, "fields": {"a.v_12": {"name": "new"}}}},
        "properties": {"a": {"properties": {"v": field, "v_12": field | {"dimension": 4}}}},
    }
    meta = {"crossalign": {"model": {"name": "old"}, "fields": {"a.v": {"name": "its own"}}}}
    renewed = target_mapping(source({}, mapping | {"_meta": meta}), {"name": "new"}, 3)
    assert renewed["_meta"] == {"crossalign": {"model": {"name": "old"}, "fields": {"a.v": {"name": "new"}}}}


def test_aliases_are_removed_before_they_are_added_and_keep_their_options() -> None:
    aliases = {"b": {}, "a": {"filter": {"term": {"x": 1}}, "index_routing": "r", "is_write_index": True}}
    assert switch_actions(aliases, "old", "new") == [
        {"remove": {"index": "old", "alias": "a", "must_exist": True}},
        {"remove": {"index": "old", "alias": "b", "must_exist": True}},
        {
            "add": {
                "index": "new",
                "alias": "a",
                "filter": {"term": {"x": 1}},
                "index_routing": "r",
                "is_write_index": True,
            }
        },
        {"add": {"index": "new", "alias": "b"}},
    ]


def test_the_name_says_alias_day_and_model() -> None:
    assert target_name("Prod", "20261129", "ABCDEF0123456789") == "prod-20261129-abcdef01"


def test_units_cover_every_sequence_number_once() -> None:
    units = cut_into_units({0: 4, 1: -1}, {0: 10, 1: 2, 2: -1, 3: 0}, 3)
    assert units == [Unit(0, 4, 7), Unit(0, 7, 10), Unit(1, -1, 2), Unit(3, -1, 0)]
    numbers = [(unit.shard, number) for unit in units for number in range(unit.low + 1, unit.high + 1)]
    assert sorted(numbers) == [(0, n) for n in range(5, 11)] + [(1, 0), (1, 1), (1, 2), (3, 0)]


@pytest.mark.parametrize(("each", "page"), [(0, 1000), (5000, 600), (10**8, 10)])
def test_pages_hold_about_three_megabytes(each: float, page: int) -> None:
    assert page_size(each) == page
