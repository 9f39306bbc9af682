"""Markdown for pull requests: the finding first, tables that hold, texts that stay texts."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.markdown import render_markdown

Result = dict[str, Any]


def test_the_finding_stands_first(pair: Result) -> None:
    lines = render_markdown(pair).splitlines()
    assert lines[0].startswith("## Language bias audit: offline:multilingual-e5-small (4-bit copy")
    assert lines[2] == f"**{finding(pair)[0]}**"


def test_tables_hold_the_numbers_of_the_result(pair: Result) -> None:
    text = render_markdown(pair)
    row = next(row for row in pair["rows"] if row["scenario"] == "multi" and row["query_language"] == "zh")
    cells = next(line for line in text.splitlines() if line.startswith("| Chinese |")).split(" | ")
    assert cells[1].split(" ")[0] == f"{row['measures']['Max@R']:.1f}"
    assert row["queries"] < 100  # so that a percentage has no decimals
    assert cells[3].split("\u00a0")[0] == f"{100 * row['measures']['Max@R_norm']:.0f}"


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.model) for name in ("pair", "live")),
        pytest.param("twelve", marks=pytest.mark.data),
    ],
)
def test_every_line_of_a_table_has_the_same_number_of_cells(name: str, request: pytest.FixtureRequest) -> None:
    text = render_markdown(request.getfixturevalue(name))
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block


def test_a_measure_without_a_value_has_a_note(twelve: Result) -> None:
    text = render_markdown(twelve)
    assert "| – (1) |" in text
    assert "(1) 12 relevant versions do not fit in the top 10" in text


def test_censored_ranks_are_called_unknown(live: Result) -> None:
    assert "is not among the 20 results served; its rank is not known." in render_markdown(live)


def test_languages_that_are_not_clear_are_counted_near_the_finding(detected: Result, pair: Result) -> None:
    text = render_markdown(detected)
    note = next(line for line in text.splitlines() if line.startswith("> Languages were detected"))
    assert text.index(note) < text.index("### ")
    left_out = detected["provenance"]["data"]["detection"]["undetermined_queries"]
    counted = f"{len(left_out)} queries (left out: "
    assert f"for 3 documents (kept in the pool as 'undetermined language') and {counted}" in note
    assert left_out[0] in note
    assert f"| Data | Language not clear | 3 documents (kept in the pool), {counted}" in text
    assert "Languages were detected" not in render_markdown(pair)


def test_without_texts_queries_are_named_by_id(pair: Result) -> None:
    bare = copy.deepcopy(pair)
    del bare["queries"]["text"]
    for document in bare["documents"].values():
        del document["text"]
    text = render_markdown(bare)
    worst = pair["examples"][0]["query"]
    assert f"| {pair['queries']['id'][worst]} |" in text
    assert pair["queries"]["text"][0] not in text


def test_texts_cannot_become_markup(pair: Result) -> None:
    hostile = "<img src=x> [a](https://b) |x| `c` *d* _e_ @team #12 www.f.g $h$ &lt; \u202e\ud800\nnext"
    pair["queries"]["text"] = [hostile] * len(pair["queries"]["id"])
    text = render_markdown(pair)
    line = next(line for line in text.splitlines() if "img src" in line)
    assert line.startswith(
        "| \\<img src=x\\> [a]\\(https\u200b://b) \\|x\\| \\`c\\` \\*d\\* \\_e\\_ @\u200bteam #\u200b12 www\u200b.f.g"
    )
    assert "\u202e" not in text
    text.encode("utf-8")
