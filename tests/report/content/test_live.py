"""What a reader of an audit of a live index must see: exact beside live, recall, estimates, probes, what is missing."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from haystack_crossalign.audit.compare import compare_results
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.report.content.comparison import row_title
from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.content.live import exposure_table, side_by_side
from haystack_crossalign.report.content.live_words import duration, live_notes, plan_lines
from haystack_crossalign.report.html import render_html
from haystack_crossalign.report.markdown import render_markdown
from haystack_crossalign.report.terminal import result_view

STATE = {"uuid": "u1", "documents": 200, "sequence_number": 205}
SNAPSHOT = {"name": "prod", "indices": {"prod-1": STATE}, "aliases": {"prod-1": ["prod"]}}


@pytest.fixture
def indexed(pair: dict[str, Any]) -> dict[str, Any]:
    """A real exact result, with live rows of invented recall beside its rows and the block of a live audit."""
    result = copy.deepcopy(pair)
    rows, columns = [], {name: [] for name in result["queries"] if name != "measures"}
    measures: dict[str, list[Any]] = {name: [] for name in result["queries"]["measures"]}
    for number, row in enumerate(pair["rows"]):
        censored = {"depth_min": 50, "depth_max": 50, "queries": 3, "share": 0.25, "Max@R_lower_bound": 61.5}
        more = {"kind": "live", "retrieval": "knn", "censored": censored}
        more["recall"] = {"k": 10, "value": 0.9 + number / 100, "interval": [0.85, 0.97], "queries": row["queries"]}
        more["measures"] = {**row["measures"], "Max@R": None, "Max@R_norm": None}
        more["reasons"] = {"Max@R": "unknown for 3 queries", "Max@R_norm": "unknown for 3 queries"}
        for one in (row, {**row, **more}):
            places = [place for place, own in enumerate(pair["queries"]["row"]) if own == number]
            for name, column in columns.items():
                own = pair["queries"][name]
                column += [len(rows) if name == "row" else own[place] for place in places]
            for name, column in measures.items():
                column += [pair["queries"]["measures"][name][place] for place in places]
            rows.append(one)
    tags = rows[0]["pool_languages"]
    shares = {tag: {"plain": 0.5, "discounted": 0.6, "pool": 1 / len(tags)} for tag in tags}
    exposure = [{"query_language": row["query_language"], "queries": 3, "shares": shares} for row in pair["rows"]]
    pairs = [{"languages": tags[:2], "mrc": -0.25, "queries": 4}]
    parallel = [
        {"kind": kind, "retrieval": name, "k": 10, "mrc": -0.25, "pairs": pairs, "undefined": 0, "exposure": exposure}
        for kind, name in (("exact", None), ("live", "knn"))
    ]
    result.update(rows=rows, queries={**columns, "measures": measures}, examples=[], documents={})
    result["live"] = {
        "index": "prod",
        "cluster": {"version": "3.4.0", "uuid": "c1"},
        "point_in_time": True,
        "snapshot": {"before": SNAPSHOT, "after": SNAPSHOT},
        "queries": {"kind": "known-item", "count": 12, "notes": ["12 groups were asked for"]},
        "sample": None,
        "depth": 50,
        "plan": {"queries": 12, "documents_scored": 4800, "max_load": None},
        "partial": {"reason": "interrupted by the user", "queries": 12, "of": 40},
        "warnings": ["the index 'prod-1' was written to while the audit ran"],
        "pool": {"documents": 200, "by_language": dict.fromkeys(tags, 1), "without_vector": 2, "without_language": 0},
        "languages_detected": None,
        "retrievals": [{"name": "knn"}],
        "unranked": {"count": 3, "reasons": {"no vector": 2, "outside of the filter": 1}, "first": []},
        "parallel": parallel,
    }
    return AuditResult.from_dict(result).to_dict()


def test_every_output_shows_exact_and_live_with_recall_and_what_was_missing(indexed: dict[str, Any]) -> None:
    page, summary = render_html(indexed), render_markdown(indexed)
    terminal = " ".join(str(part) for part in result_view(indexed) if not hasattr(part, "columns"))
    for text in (re.sub(r"<[^>]+>", " ", page), summary.replace("\\", ""), terminal):
        flat = " ".join(text.split())
        for said in (
            "Partial result: 12 of 40 queries were measured (interrupted by the user)",
            "these 12 queries are known-item probes",
            "was written to while the audit ran",
            "3 relevant documents could not be ranked (2 no vector and 1 outside of the filter)",
            "2 documents without a vector",
        ):
            assert said in flat
    for text in (page, summary):
        assert "Recall@10" in text
        assert "≥ 61.5" in text
        assert "nearest neighbors" in text
        assert "MRC@10" in text
        assert "sequence number 205" in text


def test_the_table_puts_each_list_under_the_exact_ranks_of_its_language(indexed: dict[str, Any]) -> None:
    table = side_by_side(indexed)[0]
    labels = [(label, cells[0].text) for label, cells in table.rows]
    assert labels[0][0] == labels[1][0]
    assert [kind for _, kind in labels] == ["exact", "nearest neighbors"] * (len(labels) // 2)
    recall, depth = table.columns.index("Recall@10") - 1, table.columns.index("Max@R") - 1
    assert table.rows[0][1][recall].text == ""
    assert (table.rows[1][1][recall].text, table.rows[1][1][recall].detail) == ("90.0\xa0%", "85.0 to 97.0\xa0%")
    assert table.rows[1][1][depth].text == "≥ 61.5"
    assert table.rows[1][1][depth].detail == "list ends at 50"


def test_low_recall_is_told_from_language_bias(indexed: dict[str, Any]) -> None:
    assert any("a part of what is lost is lost by the approximate search" in text for text in finding(indexed))
    for row in indexed["rows"]:
        if "recall" in row:
            row["recall"]["value"] = 0.99
    assert any("they lose by the vectors and not by the approximate search" in text for text in finding(indexed))


def test_estimates_are_marked_in_every_cell_but_the_unbiased_one(indexed: dict[str, Any]) -> None:
    indexed["live"]["sample"] = 0.05
    indexed["rows"][0]["sampled"] = {"probability": 0.05}
    table = side_by_side(indexed)[0]
    cells = dict(zip(table.columns[1:], table.rows[0][1], strict=True))
    assert cells["Ranking"].text == "exact, estimated"
    assert not cells["Max@R"].text.startswith("≈")
    assert all(cells[name].text.startswith("≈ ") for name in ("Max@R_norm", "Complete@10", "MRR"))
    assert any("random 5.00\xa0% of the documents" in note for note in live_notes(indexed["live"]))


def test_exposure_stands_beside_the_share_of_the_pool(indexed: dict[str, Any]) -> None:
    table = exposure_table(indexed)
    assert table is not None
    assert table.rows[0][0] == "Share of the pool"
    assert [cell.text for cell in table.rows[1][1]][:2] == ["exact", "-0.25"]
    indexed["live"]["parallel"] = []
    assert exposure_table(indexed) is None


def test_a_result_without_the_block_is_shown_as_before(pair: dict[str, Any]) -> None:
    assert 'id="live"' not in render_html(pair)
    assert "The index" not in render_markdown(pair).split("</details>")[-1]
    assert "live" not in AuditResult.from_dict(pair).to_dict()


def test_the_plan_is_told_in_words() -> None:
    plan = {"queries": 1200, "requests": 300, "documents_scored": 120_000_000, "bytes_out": 5_400_000,
            "bytes_in": 820, "seconds": 5400.0, "documents_per_second": 3_800_000.0, "max_load": 50_000.0}  # fmt: skip
    assert plan_lines(plan, kind="known-item", index="prod") == [
        "Plan for 'prod': 1,200 queries (known-item probes)",
        "  requests           300",
        "  documents scored   120,000,000 (at most 50,000 documents per second)",
        "  bytes              5.4 MB to the cluster, 820 bytes from it",
        "  expected time      1.5 h (probe: 3,800,000 documents per second)",
    ]
    assert [duration(seconds) for seconds in (0.01, 12.34, 90.0)] == ["0.1 s", "12.3 s", "1.5 min"]


def test_a_comparison_of_two_live_audits_keeps_the_lists_apart(indexed: dict[str, Any]) -> None:
    result = AuditResult.from_dict(indexed)
    comparison = compare_results(result, result, samples=100)
    kinds = [(row["kind"], row.get("retrieval")) for row in comparison.rows]
    assert kinds == [("exact", None), ("live", "knn")] * (len(kinds) // 2)
    assert comparison.unmatched == []
    assert row_title(comparison.rows[1]).endswith("(multi, results as served by nearest neighbors)")
    assert "The result before is partial: 12 of 40 queries." in comparison.notes
