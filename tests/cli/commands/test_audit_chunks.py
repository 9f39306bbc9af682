"""Lists of ten hits in which chunks of one version stand: told, and measured as users see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from haystack_crossalign.audit.result import audit_schema

GROUPS = 8


@pytest.fixture
def files(tmp_path: Path) -> list[Any]:
    """Eight contents in two languages, the English versions in three chunks each; lists of ten hits.

    For each query the list has three English chunks of its content, six English chunks of two others, and the Chinese
    version last: hits 1 and 10, but versions 1 and 4.
    """
    rows = [
        {"id": f"en{group}-{chunk}", "text": f"part {chunk} of {group}", "language": "en", "parallel_id": f"{group}"}
        for group in range(GROUPS)
        for chunk in range(3)
    ]
    rows += [
        {"id": f"zh{group}", "text": f"{group}", "language": "zh", "parallel_id": f"{group}"} for group in range(GROUPS)
    ]
    queries = [{"id": f"q{group}", "text": "q", "language": "en", "parallel_id": f"{group}"} for group in range(GROUPS)]
    lists = []
    for group in range(GROUPS):
        others = [(group + 1) % GROUPS, (group + 2) % GROUPS]
        hits = [f"en{one}-{chunk}" for one in (group, *others) for chunk in range(3)] + [f"zh{group}"]
        lists += [f"q{group} Q0 {hit} {rank} {100 - rank} t\n" for rank, hit in enumerate(hits, start=1)]
    for name, made in (("d.jsonl", rows), ("q.jsonl", queries)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    (tmp_path / "r.run").write_text("".join(lists), encoding="utf-8")
    return ["--documents", tmp_path / "d.jsonl", "--queries", tmp_path / "q.jsonl", "--results", tmp_path / "r.run"]


def row_of(path: Path) -> Any:
    data = json.loads(path.read_text("utf-8"))
    Draft202012Validator(audit_schema()).validate(data)
    return data["rows"][0]["measures"], data["provenance"]


def test_ranks_count_versions_and_the_report_says_that_hits_were_merged(
    crossalign: Any, files: list[Any], tmp_path: Path
) -> None:
    result, page = tmp_path / "a.json", tmp_path / "a.md"
    done = crossalign("audit", *files, "--json", result, "--markdown", page)
    assert done.code == 0, done.err
    measures, provenance = row_of(result)
    assert (measures["Rank[en]"], measures["Rank[zh]"]) == (1, 4)
    assert provenance["run"]["merged"] == {"hits": 10, "versions": 4, "counted": "versions"}
    sentence = "Lists of 10 hits hold as few as 4 versions, because several hits are chunks of one and count once"
    for text in (done.out, page.read_text("utf-8")):
        assert sentence in " ".join(text.replace("> ", "").split())


def test_hits_are_counted_as_users_see_them(crossalign: Any, files: list[Any], tmp_path: Path) -> None:
    result = tmp_path / "a.json"
    done = crossalign("audit", *files, "--count", "hits", "--json", result, "--fail-on", "Complete@10<99%")
    assert done.code == 0, done.err
    measures, provenance = row_of(result)
    assert (measures["Rank[en]"], measures["Rank[zh]"], measures["Complete@10"]) == (1, 10, 1)
    # The two further chunks of the answer, and the six of other contents, stand above the Chinese version.
    assert measures["Max@R"] == 10
    # English queries: nothing is above the English version. Of the nine English hits above the Chinese one, three are
    # chunks of the answer.
    assert measures["Intrusion[en]"] == 0
    assert json.loads(result.read_text("utf-8"))["queries"]["above"][0] == [[0, 0], [6, 0]]
    assert provenance["run"]["merged"]["counted"] == "hits"
    assert provenance["options"]["count"] == "hits"


def test_the_gate_of_the_documentation_names_the_way_out_and_passes_with_it(
    crossalign: Any, files: list[Any], tmp_path: Path
) -> None:
    run = tmp_path / "r.run"
    # One version stays out of the lists: no version at rank 10 or above is known where only three are listed.
    run.write_text("".join(line for line in run.read_text("utf-8").splitlines(True) if " zh" not in line), "utf-8")
    gate = ["--fail-on", "Complete@10<0%"]
    refused = crossalign("audit", *files, *gate)
    assert refused.code == 2
    assert "Complete@10 has no value" in refused.err
    assert "or --count hits: lists of 9 hits hold as few as 3 versions" in refused.err
    # Nine hits do not tell what stands at the tenth; nine are what users see.
    done = crossalign("audit", *files, "--fail-on", "Complete@9<0%", "--count", "hits")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "chunks"], "--count: unknown choice; seen: 'chunks'; allowed: versions, hits"),
        (["--count", "chunks", "--index", "i"], "--count: unknown choice; seen: 'chunks'; allowed: versions, hits"),
    ],
)
def test_a_wrong_way_of_counting_is_named(
    crossalign: Any, files: list[Any], arguments: list[str], message: str
) -> None:
    done = crossalign("audit", *(files if "--index" not in arguments else []), *arguments)
    assert done.code == 2
    assert message in done.err


def test_without_lists_there_is_nothing_to_count(crossalign: Any, files: list[Any]) -> None:
    done = crossalign("audit", *files[:4], "--count", "hits")
    assert done.code == 2
    assert "--count: is for lists; allowed: --results, --pipeline or --index with it" in done.err
