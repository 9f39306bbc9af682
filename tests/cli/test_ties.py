"""Equal scores from the files to the gate: no language first, and what they leave open said in every output."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

GROUPS = 40


def tie_hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16, key=b"crossalign.ties/1").digest()


@pytest.fixture
def equal(tmp_path: Path) -> Path:
    """Forty contents in English and Chinese whose vectors are all the same; every content is asked for in Chinese."""
    with (tmp_path / "documents.jsonl").open("w", encoding="utf-8") as out:
        for number in range(GROUPS):
            for tag in ("en", "zh"):
                entry = {"id": f"{tag}:{number}", "text": f"{tag} {number}", "language": tag, "embedding": [0.6, 0.8]}
                out.write(json.dumps({**entry, "parallel_id": str(number)}) + "\n")
    with (tmp_path / "queries.jsonl").open("w", encoding="utf-8") as out:
        for number in range(GROUPS):
            entry = {"id": f"q{number}", "text": f"? {number}", "language": "zh", "embedding": [1.0, 0.0]}
            out.write(json.dumps({**entry, "parallel_id": str(number)}) + "\n")
    return tmp_path


def files(folder: Path) -> list[Any]:
    return ["--documents", folder / "documents.jsonl", "--queries", folder / "queries.jsonl"]


def result(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_equal_vectors_put_no_language_first_and_are_said_everywhere(crossalign: Any, equal: Path) -> None:
    done = crossalign(
        "audit", *files(equal), "--json", equal / "a.json", "--markdown", equal / "a.md", "--report", equal / "a.html",
        "--junit", equal / "a.xml", "--fail-on", "Max@R>79",
    )  # fmt: skip
    row = result(equal / "a.json")["rows"][0]
    # All 80 documents tie: the ranks are the places of the hashes, whatever the language.
    order = sorted((f"{tag}:{number}" for number in range(GROUPS) for tag in ("en", "zh")), key=tie_hash)
    for tag in ("en", "zh"):
        places = [order.index(f"{tag}:{number}") + 1 for number in range(GROUPS)]
        assert row["measures"][f"Rank[{tag}]"] == pytest.approx(sum(places) / GROUPS)
        assert 30 < row["measures"][f"Rank[{tag}]"] < 51  # by id: 20.5 for English, 60.5 for Chinese
    # Two of 80 at random places: at best at 2, at worst at 80, on average at 2 * 81 / 3.
    assert row["ties"]["queries"] == GROUPS
    assert row["ties"]["Max@R"] == {"optimistic": 2.0, "pessimistic": 80.0, "expected": 54.0}
    # Ten of 80 places hold both versions of one query in C(10, 2) of C(80, 2) cases.
    assert row["ties"]["Complete@10"]["expected"] == pytest.approx(45 / 3160)
    assert row["ties"]["LPR"] == {"optimistic": 1.0, "pessimistic": 0.0, "expected": 0.5}
    assert done.code == 1
    flat = " ".join(done.out.split())
    assert "Equal scores leave this open: for 40 of 40 queries" in flat
    assert "Max@R 2 to 80" in flat
    assert "80 (2 to 80 by ties) FAILED" in flat
    assert "Max@R 2 to 80" in (equal / "a.md").read_text(encoding="utf-8")
    assert "ties: 2 to 80" in (equal / "a.html").read_text(encoding="utf-8")
    assert "2 to 80 by the order of ties" in (equal / "a.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("choice", "value", "code"), [("pessimistic", 80, 1), ("expected", 54, 1), ("optimistic", 2, 0)]
)
def test_the_gate_judges_ties_as_it_is_told(crossalign: Any, equal: Path, choice: str, value: int, code: int) -> None:
    done = crossalign("audit", *files(equal), "--fail-on", "Max@R>53", "--ties", choice, "--quiet")
    assert done.code == code
    assert (f"{value}; 2 to 80 by the order of ties" in done.err) is (code == 1)


def test_an_unknown_choice_is_refused_before_the_work(crossalign: Any, equal: Path) -> None:
    done = crossalign("audit", *files(equal), "--ties", "best")
    assert done.code == 2
    assert "--ties: unknown choice; seen: 'best'" in done.err


def test_the_written_run_gives_the_same_ranks_when_it_is_read(crossalign: Any, equal: Path) -> None:
    depth = 2 * GROUPS
    written = crossalign(
        "audit", *files(equal), "--run", equal / "a.run", "--run-depth", depth, "--json", equal / "a.json"
    )
    assert written.code == 0
    read = crossalign("audit", *files(equal), "--results", equal / "a.run", "--json", equal / "b.json")
    assert read.code == 0
    first, second = result(equal / "a.json"), result(equal / "b.json")
    assert second["queries"]["ranks"] == first["queries"]["ranks"]
    # The file fixes the order: its scores fall with the rank, so that every reader sees it.
    assert second["rows"][0]["ties"]["queries"] == 0


@pytest.mark.parametrize(("first", "rank"), [("zh", 1), ("en", 2)])
def test_a_run_of_equal_scores_has_the_order_of_its_ranks_and_the_bounds_of_all(
    crossalign: Any, equal: Path, first: str, rank: int
) -> None:
    second = "en" if first == "zh" else "zh"
    lines = []
    for number in range(GROUPS):
        top = [f"{first}:{number}", f"{second}:{number}", f"en:{(number + 1) % GROUPS}", f"zh:{(number + 1) % GROUPS}"]
        # Where a line stands in the file tells nothing; the rank column does.
        lines += sorted(f"q{number} Q0 {one} {place} 1.0 engine" for place, one in enumerate(top, start=1))
    (equal / "engine.run").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = crossalign("audit", *files(equal), "--results", equal / "engine.run", "--json", equal / "a.json")
    assert done.code == 0
    row = result(equal / "a.json")["rows"][0]
    assert row["measures"]["Rank[zh]"] == rank
    assert row["ties"]["Rank[zh]"] == {"optimistic": 1.0, "pessimistic": 4.0, "expected": 2.5}
    assert row["ties"]["Max@R"] == {"optimistic": 2.0, "pessimistic": 4.0, "expected": pytest.approx(10 / 3)}
    assert "(taken here: the order of the ranks in the run)" in " ".join(done.out.split())


def test_scores_that_differ_are_not_spoken_of(crossalign: Any, parallel_files: tuple[Path, Path]) -> None:
    documents, queries = parallel_files
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--fail-on", "Max@R>1000")
    assert done.code == 0
    assert "Equal scores" not in done.out
    assert "ties" not in done.out
