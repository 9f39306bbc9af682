"""Translation gaps: what is missing or older, whom it concerns, and where they find an answer now."""

from __future__ import annotations

from typing import Any

import pytest

from haystack_crossalign.audit.gaps import ContentVersion, Question, find_gaps, questions_of
from haystack_crossalign.errors import InputError

OLD, NEW = "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
POOL = [
    ContentVersion("a", "en", NEW),
    ContentVersion("a", "zh", OLD),
    ContentVersion("b", "en", OLD),
    ContentVersion("b", "de", NEW),
    ContentVersion("b", "zh", NEW),
    ContentVersion("c", "en", NEW),
    ContentVersion("c", "de", None),
]


def gaps(questions: list[Question], **options: Any) -> list[tuple[Any, ...]]:
    data = find_gaps(POOL, questions, demand="judged queries", **options)
    return [(gap["content"], gap["language"], gap["kind"], gap["demand"], gap["rank"]) for gap in data["gaps"]]


def test_missing_and_older_versions_are_listed() -> None:
    data = find_gaps(POOL, [], demand="judged queries")
    assert data["source"] == "en"
    # Without demand and ranks: what is missing comes before what is older, then by name.
    assert [(gap["content"], gap["language"], gap["kind"]) for gap in data["gaps"]] == [
        ("a", "de", "missing"),
        ("c", "zh", "missing"),
        ("a", "zh", "older"),
    ]
    assert (data["contents"], data["complete"]) == (3, 1)
    assert data["by_language"]["zh"] == {"versions": 2, "missing": 1, "older": 1}
    assert data["table"] == [
        {"content": "a", "demand": 0, "languages": {"de": "missing", "en": "present", "zh": "older"}},
        {"content": "b", "demand": 0, "languages": {"de": "present", "en": "present", "zh": "present"}},
        {"content": "c", "demand": 0, "languages": {"de": "present", "en": "present", "zh": "missing"}},
    ]


def test_gaps_come_in_the_order_of_demand_with_the_rank_of_what_exists() -> None:
    questions = [
        Question("zh", ("c",), {"en": 30, "de": 4}),
        Question("zh", ("c",), {"en": 8, "de": 20}),
        Question("zh", ("a",), {"zh": 1, "en": 40}, weight=5),
        Question("de", ("b",), {"de": 1, "en": 7}),
    ]
    assert gaps(questions) == [
        # The old version stands first; the newer one, in English, at rank 40.
        ("a", "zh", "older", 5, 40),
        # Best existing versions at ranks 4 and 8: median 6.
        ("c", "zh", "missing", 2, 6),
        # No German query asked for a: typically, German queries find English versions at rank 7.
        ("a", "de", "missing", 0, 7),
    ]
    data = find_gaps(POOL, questions, demand="judged queries")
    assert [gap["rank_is"] for gap in data["gaps"]] == ["measured", "measured", "typical"]
    assert [gap["in_top_10"] for gap in data["gaps"]] == [0, 1, None]


def test_what_was_not_among_the_results_has_no_rank() -> None:
    questions = [Question("zh", ("c",), {"en": None, "de": None}), Question("zh", ("c",), {"en": 3})]
    (gap, *_) = find_gaps(POOL, [*questions, questions[0]], demand="judged queries")["gaps"]
    assert (gap["content"], gap["rank"], gap["rank_is"]) == ("c", None, "measured")
    assert gap["in_top_10"] == pytest.approx(1 / 3)


def test_a_version_below_all_results_comes_before_one_that_was_found() -> None:
    questions = [Question("de", ("a",), {"en": 5}), Question("de", ("b",), {"en": None})]
    pool = [ContentVersion("a", "en"), ContentVersion("b", "en"), ContentVersion("c", "de")]
    data = find_gaps(pool, questions, demand="judged queries", languages=["de"])
    assert [(gap["content"], gap["rank"]) for gap in data["gaps"]] == [("b", None), ("a", 5)]


def test_probes_are_nobodys_demand() -> None:
    data = find_gaps(POOL, [Question("zh", ("c",), {"en": 5})], demand="probes")
    (gap,) = [gap for gap in data["gaps"] if gap["content"] == "c"]
    assert (gap["demand"], gap["rank"]) == (0, 5)


def test_languages_and_source_can_be_chosen() -> None:
    assert gaps([], languages=["zh"]) == [("c", "zh", "missing", 0, None), ("a", "zh", "older", 0, None)]
    assert [entry[:3] for entry in gaps([], languages=["en"], source="de")] == [("b", "en", "older")]
    # A language that no document has yet: everything is missing.
    assert len(gaps([], languages=["fr"])) == 3
    with pytest.raises(InputError, match="no document in this language"):
        gaps([], source="fr")
    with pytest.raises(InputError, match="no document has a content"):
        find_gaps([], [], demand="judged queries")


def test_the_newest_chunk_dates_a_version() -> None:
    chunks = [ContentVersion("a", "zh", OLD), ContentVersion("a", "zh", NEW), ContentVersion("a", "en", NEW)]
    assert find_gaps(chunks, [], demand="judged queries")["gaps"] == []


def test_questions_come_from_exact_rows_of_mixed_pools(make_row: Any, make_result: Any) -> None:
    rows = [
        make_row("zh", {"MRR": 1.0}),
        make_row("zh", {"MRR": 1.0}, kind="live", retrieval="knn"),
        make_row("zh", {"MRR": 1.0}, scenario="mono-same", pool_languages=["zh"]),
    ]
    result = make_result(rows, [{"MRR": [1.0, 0.5]}, {"MRR": [1.0]}, {"MRR": [1.0]}])
    result.queries["versions"][0], result.queries["ranks"][0] = ["en", "de", "en"], [9, None, 4]
    questions = questions_of(result, {"q0": ["a"], "q1": ["b"]}, {"q0": 3})
    assert [(question.contents, question.weight) for question in questions] == [(("a",), 3), (("b",), 0)]
    assert questions[0].ranks == {"en": 4, "de": None}
