"""Values that the mapping keeps out of the index: their documents count as having none, and that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from doctor_helpers import examined, found
from live_judged import INDEX, audit, grouped, judged, mapping_of, ranks_in_numpy, ranks_in_result

from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.counting_fields import ignoring_field
from haystack_crossalign.opensearch.index.mapped_fields import MappedField

Documents = dict[str, dict[str, Any]]
LONG = "a group whose name is longer than the mapping takes"
KEYWORD = {"type": "keyword", "ignore_above": 10}
KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "keyword": ("parallel_id", {"parallel_id": KEYWORD}, "ignore_above 10"),
    "field of a text": (
        "parallel_id.raw",
        {"parallel_id": {"type": "text", "fields": {"raw": KEYWORD}}},
        "ignore_above 10",
    ),
    "alias": (
        "content_key",
        {"parallel_id": KEYWORD, "content_key": {"type": "alias", "path": "parallel_id"}},
        "ignore_above 10",
    ),
    "number": ("parallel_id", {"parallel_id": {"type": "long", "ignore_malformed": True}}, "ignore_malformed"),
}


def stored_and_indexed(kind: str) -> tuple[Documents, Documents]:
    """Documents as they are written, and with the groups that the index then has: every third content lost its own."""
    stored = grouped("all", 1)
    indexed = {}
    for name, one in stored.items():
        group = int(one["parallel_id"][1:])
        one["parallel_id"] = group if kind == "number" else f"g{group}"
        if group % 3 == 0:
            one["parallel_id"] = f"{LONG} {group}"
        kept = {key: value for key, value in one.items() if key != "parallel_id"}
        indexed[name] = kept if group % 3 == 0 else {**kept, "parallel_id": f"g{group}"}
    return stored, indexed


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_group_that_the_mapping_ignores_is_told_and_its_documents_stand_alone(
    opensearch: Any, indexing: Any, tmp_path: Path, kind: str
) -> None:
    field, properties, limits = KINDS[kind]
    stored, indexed = stored_and_indexed(kind)
    mapping = mapping_of(indexing, "unmapped")
    mapping["properties"] |= properties
    indexing.create(opensearch, INDEX, stored, mapping)
    queries = judged(tmp_path / "queries.jsonl", stored)
    finished = audit(opensearch, tmp_path, "--quiet", "--group-field", field)
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    expected = ranks_in_numpy(indexed, queries)
    assert ranks_in_result(finished.result, "exact") == ranks_in_result(finished.result, "live") == expected
    told = (
        f"15 of 15 documents without a value in '{field}' do hold one, 'ar-0' for instance: the mapping ignores it "
        f"({limits}), and they count as having none"
    )
    assert told in finished.result["live"]["warnings"]
    # The audit's pool, not the whole index.
    kept = audit(
        opensearch,
        tmp_path,
        "--quiet",
        "--group-field",
        field,
        "--filter",
        '{"prefix": {"content.raw": "Content number 1"}}',
    )
    assert kept.result is not None
    (warned,) = [warning for warning in kept.result["live"]["warnings"] if "the mapping ignores" in warning]
    assert warned.startswith("3 of 3 documents")  # of contents 1 and 10 to 14, the twelfth in three languages
    diagnosis = examined(LiveSettings(hosts=(opensearch.url,), index=INDEX, group_field=field))
    assert found(diagnosis)["ignored values"] == ("warning", told)


def test_a_language_that_the_mapping_ignores_is_told(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    stored = grouped("all", 1)
    for one in stored.values():
        one["language"] = {"zh": "zh-Hans-CN"}.get(one["language"], one["language"])
    mapping = mapping_of(indexing, "all")
    mapping["properties"]["language"] = {"type": "keyword", "ignore_above": 5}
    indexing.create(opensearch, INDEX, stored, mapping)
    judged(tmp_path / "queries.jsonl", stored)
    finished = audit(opensearch, tmp_path, "--quiet")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert finished.result["live"]["pool"]["by_language"]["und"] == 15
    (told,) = [warning for warning in finished.result["live"]["warnings"] if "the mapping ignores" in warning]
    assert told.startswith("15 of 15 documents without a value in 'language' do hold one, 'zh-0' for instance")


@pytest.mark.parametrize("kind", ["keyword", "number"])
def test_one_ignored_group_among_several_is_told_and_the_other_counts(
    opensearch: Any, indexing: Any, tmp_path: Path, kind: str
) -> None:
    """Without the ignored value, the index would refuse the documents for their two groups."""
    field, properties, limits = KINDS[kind]
    stored, indexed = grouped("all", 1), grouped("all", 1)
    for name, one in stored.items():
        group = one["parallel_id"][1:]
        indexed[name]["parallel_id"] = f"g{group}"
        own = int(group) if kind == "number" else f"g{group}"
        one["parallel_id"] = [own, f"{LONG} {group}"] if group in {"3", "7"} else own
    mapping = mapping_of(indexing, "unmapped")
    mapping["properties"] |= properties
    indexing.create(opensearch, INDEX, stored, mapping)
    queries = judged(tmp_path / "queries.jsonl", stored)
    finished = audit(opensearch, tmp_path, "--quiet")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    expected = ranks_in_numpy(indexed, queries)
    assert ranks_in_result(finished.result, "exact") == ranks_in_result(finished.result, "live") == expected
    told = (
        f"6 of 45 documents with a value in '{field}' hold another one, 'ar-3' for instance: the mapping ignores it "
        f"({limits}), and only the others count"
    )
    assert told in finished.result["live"]["warnings"]
    assert found(examined(LiveSettings(hosts=(opensearch.url,), index=INDEX)))["ignored values"] == ("warning", told)


def test_one_ignored_language_among_several_is_told(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    stored = grouped("all", 1)
    for name in ("en-1", "en-2", "en-3"):
        stored[name]["language"] = ["en", "zh-Hans-CN"]
    mapping = mapping_of(indexing, "all")
    mapping["properties"]["language"] = {"type": "keyword", "ignore_above": 5}
    indexing.create(opensearch, INDEX, stored, mapping)
    judged(tmp_path / "queries.jsonl", stored)
    finished = audit(opensearch, tmp_path, "--quiet")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    # The index knows of one language, and a document with several would count as 'mul'.
    assert finished.result["live"]["pool"]["by_language"] == {"ar": 15, "en": 15, "zh": 15}
    (told,) = [warning for warning in finished.result["live"]["warnings"] if "the mapping ignores" in warning]
    assert told.startswith("3 of 45 documents with a value in 'language' hold another one, 'en-1' for instance")


@pytest.mark.parametrize(
    ("definition", "taken", "ignored"),
    [
        ({"type": "keyword", "ignore_above": 5}, ["abcde", 12345, True, "\U0001f30d\U0001f30da"], ["abcdef", 123456]),
        # Of an astral letter, Java counts two.
        ({"type": "keyword", "ignore_above": 5}, [""], ["\U0001f30d\U0001f30d\U0001f30d"]),
        (
            {"type": "byte", "ignore_malformed": True},
            [127, -128, "12", " 7 ", 1.5, "1e2"],
            [128, -129, "x", True, "nan"],
        ),
        ({"type": "unsigned_long", "ignore_malformed": True}, [0, 2**64 - 1], [-1, 2**64]),
    ],
)
def test_what_a_mapping_ignores_is_what_the_server_leaves_out(
    opensearch: Any, indexing: Any, definition: dict[str, Any], taken: list[Any], ignored: list[Any]
) -> None:
    mapping = {"properties": {"value": definition}}
    if definition["type"] == "unsigned_long" and opensearch.request("GET", "/")["version"]["number"].startswith("2."):
        ignored = []  # it refuses such documents
    values = [*taken, *ignored]
    indexing.create(opensearch, INDEX, {str(place): {"value": value} for place, value in enumerate(values)}, mapping)
    body = {"query": {"exists": {"field": "value"}}, "size": 100}
    held = {hit["_id"] for hit in opensearch.request("POST", f"/{INDEX}/_search", body)["hits"]["hits"]}
    field = ignoring_field({"value": MappedField(definition, None)}, "value")
    assert field is not None
    expected = {str(place) for place in range(len(taken))}
    assert held == {str(place) for place, value in enumerate(values) if not field.ignores(value)} == expected


@pytest.mark.parametrize("limit", [None, 10])
def test_documents_that_hold_no_value_are_no_fault_of_the_mapping(
    opensearch: Any, indexing: Any, tmp_path: Path, limit: int | None
) -> None:
    stored = grouped("some", 1)
    for name in ("ar-1", "en-1"):
        stored[name]["parallel_id"] = "" if name == "ar-1" else None
    mapping = mapping_of(indexing, "all")
    if limit is not None:
        mapping["properties"]["parallel_id"]["ignore_above"] = limit
    indexing.create(opensearch, INDEX, stored, mapping)
    judged(tmp_path / "queries.jsonl", stored)
    finished = audit(opensearch, tmp_path, "--quiet")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert not [warning for warning in finished.result["live"]["warnings"] if "the mapping ignores" in warning]
    assert "ignored values" not in found(examined(LiveSettings(hosts=(opensearch.url,), index=INDEX)))
