"""Audits of an index by document ids, whatever of it belongs to parallel groups, held against ranks of numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_audit import GROUPS, LANGUAGES
from live_judged import INDEX, audit, grouped, judged, mapping_of, ranks_in_numpy, ranks_in_result

GROUPINGS = ("unmapped", "none", "some", "all")


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("grouping", GROUPINGS)
def test_every_judged_document_has_the_rank_that_numpy_finds(
    opensearch: Any, indexing: Any, tmp_path: Path, grouping: str, chunks: int
) -> None:
    documents = grouped(grouping, chunks)
    indexing.create(opensearch, INDEX, documents, mapping_of(indexing, grouping))
    queries = judged(tmp_path / "queries.jsonl", documents)
    expected = ranks_in_numpy(documents, queries)
    # As `crossalign audit --quiet` leaves it, and with all that is printed.
    for arguments in (["--quiet"], []):
        finished = audit(opensearch, tmp_path, *arguments)
        assert (finished.code, finished.message) == (0, "")
        result = finished.result
        assert result is not None
        assert ranks_in_result(result, "exact") == expected
        # The list is as deep as the pool: what users get is the same ranking.
        assert ranks_in_result(result, "live") == expected
        assert result["live"]["unranked"] == {"count": 0, "reasons": {}, "first": []}
    for row in result["rows"]:
        deepest = [max(rank for _, rank in expected[query["id"]]) for query in queries
                   if query["language"] == row["query_language"]]  # fmt: skip
        assert row["measures"]["Max@R"] == pytest.approx(np.mean(deepest))
        assert row["pool_size"] == len({(one.get("parallel_id", name), one["language"])
                                        for name, one in documents.items()})  # fmt: skip


def test_documents_without_groups_can_be_sampled(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    documents = grouped("some", 1)
    indexing.create(opensearch, INDEX, documents, mapping_of(indexing, "some"))
    judged(tmp_path / "queries.jsonl", documents)
    finished = audit(opensearch, tmp_path, "--sample", "0.5", "--quiet")
    assert (finished.code, finished.message) == (0, "")
    assert finished.result is not None
    assert all(row["relevant"] == GROUPS * 3 for row in finished.result["rows"])


@pytest.mark.parametrize("quiet", [True, False])
def test_a_row_without_any_rank_ends_with_an_error_and_its_result(
    opensearch: Any, indexing: Any, tmp_path: Path, quiet: bool
) -> None:
    documents = grouped("some", 3)
    indexing.create(opensearch, INDEX, documents, mapping_of(indexing, "some"))
    queries = judged(tmp_path / "queries.jsonl", documents)
    # Relevant to Arabic queries are contents outside of the filter alone; one of them is in a group, two are not.
    contents = [name for name in documents if name.split("-")[1] in {"0", "1", "2"}]
    for query in queries:
        if query["language"] == "ar":
            query["relevant"] = contents
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in queries), encoding="utf-8")
    outside = {"bool": {"must_not": [{"ids": {"values": contents}}]}}
    report = tmp_path / "report.html"
    arguments = ["--filter", json.dumps(outside), "--report", str(report), "--fail-on", "Max@R > 1"]
    finished = audit(opensearch, tmp_path, *arguments, *(["--quiet"] if quiet else []))
    assert finished.code == 2
    # Of the group three versions, of the other two contents nine chunks each that are versions of their own.
    reasons = f"{GROUPS * (3 + 18)} outside of the filter"
    sentence = f"scenario multi, queries in ar: no relevant document has a rank ({reasons}), so that this row has no"
    first, second = finished.message.splitlines()
    assert first == f"crossalign: {sentence} figures"
    assert second == "crossalign: --fail-on and --fail-if-worse-than are not applied to a partial result"
    assert finished.result is not None
    assert f"{sentence} figures" in finished.result["live"]["warnings"]
    assert [row["relevant"] > 0 for row in finished.result["rows"]] == [row["query_language"] != "ar"
                                                                        for row in finished.result["rows"]]  # fmt: skip
    assert "no relevant document has a rank" in report.read_text(encoding="utf-8")


def test_the_plain_names_are_read_where_the_index_names_its_fields_otherwise(
    opensearch: Any, indexing: Any, tmp_path: Path
) -> None:
    # What dynamic mapping makes of texts: fields that can be counted by are their sub-fields.
    documents = grouped("all", 1)
    mapping = mapping_of(indexing, "all")
    text = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
    mapping["properties"] |= {"language": text, "parallel_id": text}
    indexing.create(opensearch, INDEX, documents, mapping)
    fields = ["--language-field", "language.keyword", "--group-field", "parallel_id.keyword"]
    queries = judged(tmp_path / "queries.jsonl", documents)
    expected = ranks_in_numpy(documents, queries)
    for judgment in ("relevant", "parallel_id", "parallel_id.keyword"):
        lines = []
        for query in queries:
            # No text tells its language: a detected one would be wrong or missing.
            line = {key: query[key] for key in ("id", "language", "embedding")} | {"text": "museum"}
            line[judgment] = query["relevant"] if judgment == "relevant" else f"g{query['id'][1:].partition('-')[0]}"
            lines.append(json.dumps(line) + "\n")
        (tmp_path / "queries.jsonl").write_text("".join(lines), encoding="utf-8")
        finished = audit(opensearch, tmp_path, *fields, "--quiet")
        assert (finished.code, finished.message) == (0, "")
        assert finished.result is not None
        assert ranks_in_result(finished.result, "exact") == expected
        assert finished.result["live"]["queries"]["notes"] == []
        assert [row["query_language"] for row in finished.result["rows"][::2]] == list(LANGUAGES)
