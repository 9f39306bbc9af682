"""What a reader of an audit of a live index must see: exact beside live, recall, estimates, probes, what is missing."""

from __future__ import annotations

import re
from typing import Any

from haystack_crossalign.audit.compare import compare_results
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.report.content.comparison import row_title
from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.content.live import exposure_table, side_by_side
from haystack_crossalign.report.content.live_words import duration, live_facts, live_notes, plan_lines
from haystack_crossalign.report.html import render_html
from haystack_crossalign.report.markdown import render_markdown
from haystack_crossalign.report.terminal import result_view


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


def test_lists_in_which_documents_without_vectors_count_are_named(indexed: dict[str, Any]) -> None:
    said = "count in no figure, except that those without a vector count in BM25 and hybrid (RRF), which may find them."
    assert not any(said in note for note in live_notes(indexed["live"]))
    indexed["live"]["unranked"]["counted_in"] = ["bm25", "hybrid:rrf"]
    assert any(said in note for note in live_notes(indexed["live"]))


def test_the_table_puts_each_list_under_the_exact_ranks_of_its_language(indexed: dict[str, Any]) -> None:
    table = side_by_side(indexed)[0]
    labels = [(label, cells[0].text) for label, cells in table.rows]
    assert labels[0][0] == labels[1][0]
    assert [kind for _, kind in labels] == ["exact", "nearest neighbors"] * (len(labels) // 2)
    recall, depth = table.columns.index("Recall@10") - 1, table.columns.index("Max@R") - 1
    assert table.rows[0][1][recall].text == ""
    assert (table.rows[1][1][recall].text, table.rows[1][1][recall].detail) == ("90\xa0%", "85 to 97\xa0%")
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
    assert [cell.text for cell in table.rows[1][1]][:2] == ["exact", "−0.25"]
    # Lists that count hits are compared with the share of all documents.
    lists = [entry for entry in indexed["live"]["parallel"] if entry["kind"] == "live"]
    for entry in lists:
        for exposure in entry["exposure"]:
            for number, share in enumerate(exposure["shares"].values()):
                share["pool"] = 0.75 if number == 0 else 0.25
    both = exposure_table(indexed)
    assert both is not None
    assert [label for label, _ in both.rows[:2]] == ["Share of the pool in versions", "Share of the pool in hits"]
    assert both.rows[1][1][2].text == "75.0\xa0%"
    assert not any("translation of which" in note for note in live_notes(indexed["live"]))
    indexed["live"]["merged"] = [
        {"retrieval": name, "hits": 90, "versions": held, "counted": "versions"}
        for name, held in (("knn", 84), ("bm25", 26))
    ]
    (told,) = [note for note in live_notes(indexed["live"]) if "chunks of one" in note]
    assert "nearest neighbors 84 of 90 and BM25 26 of 90 hits" in told
    lists[0]["ambiguous"] = 4
    assert any("leaves out 4 queries that share their group" in note for note in live_notes(indexed["live"]))
    indexed["live"]["parallel"] = []
    assert exposure_table(indexed) is None


def test_a_result_without_the_block_is_shown_as_before(pair: dict[str, Any]) -> None:
    assert 'id="live"' not in render_html(pair)
    assert "The index" not in render_markdown(pair).split("</details>")[-1]
    assert "live" not in AuditResult.from_dict(pair).to_dict()


def test_the_plan_is_told_in_words() -> None:
    plan = {"queries": 1200, "requests": 300, "documents_scored": 120_000_000, "bytes_out": 5_400_000,
            "bytes_in": 820, "seconds": 5400.0, "documents_per_second": 3_800_000.0, "max_load": 50_000.0,
            "exact": "server", "server_seconds": 4320.0, "documents_read": 0, "memory": 0}  # fmt: skip
    assert plan_lines(plan, kind="known-item", index="prod") == [
        "Plan for 'prod': 1,200 queries (known-item probes)",
        "  requests           300",
        "  documents scored   120,000,000 (at most 50,000 documents per second)",
        "  bytes              5.4 MB to the cluster, 820 bytes from it",
        "  expected time      1.5 h, of the cluster 1.2 h (probe: 3,800,000 documents per second)",
    ]
    plan |= {"exact": "local", "documents_scored": 0, "documents_read": 50_000, "memory": 76_800_000}
    plan |= {"seconds": 30.0, "server_seconds": 20.0, "documents_per_second": 2500.0, "bytes_in": 230_000_000}
    assert plan_lines(plan, kind="judged", index="prod")[2:] == [
        "  vectors read       50,000 (at most 50,000 documents per second), 76.8 MB here; exact ranks counted here",
        "  bytes              5.4 MB to the cluster, 230 MB from it",
        "  expected time      30 s, of the cluster 20 s (probe: 2,500 documents read per second)",
    ]
    assert [duration(seconds) for seconds in (0.01, 12.34, 90.0)] == ["0.1 s", "12.3 s", "1.5 min"]


def test_the_facts_say_who_counted(indexed: dict[str, Any]) -> None:
    plan = {"queries": 12, "documents_scored": 0, "documents_read": 200, "max_load": None}
    facts = dict(live_facts(indexed["live"] | {"exact": "local", "plan": plan}))
    assert facts["Exact ranks counted"] == "here, in vectors that were read once"
    assert facts["Documents read, as planned"] == "200"
    facts = dict(live_facts(indexed["live"] | {"exact": "server"}))
    assert (facts["Exact ranks counted"], facts["Documents scored, as planned"]) == ("by the cluster", "4,800")
    assert "Exact ranks counted" not in dict(live_facts(indexed["live"]))


def test_a_comparison_of_two_live_audits_keeps_the_lists_apart(indexed: dict[str, Any]) -> None:
    result = AuditResult.from_dict(indexed)
    comparison = compare_results(result, result, samples=100)
    kinds = [(row["kind"], row.get("retrieval")) for row in comparison.rows]
    assert kinds == [("exact", None), ("live", "knn")] * (len(kinds) // 2)
    assert comparison.unmatched == []
    assert row_title(comparison.rows[1]).endswith("(multi, results as served by nearest neighbors)")
    assert "The result before is partial: 12 of 40 queries." in comparison.notes
