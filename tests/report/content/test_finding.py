"""The finding in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.content.words import quantity

Result = dict[str, Any]


def measured(row: Result) -> Result:
    return {
        "pool_size": 480,
        "kind": "exact",
        "reasons": {},
        "counts": {},
        "intervals": {},
        "percentiles": {},
        "medians": {},
        "ties": {},
        "censored": None,
        **row,
    }


@pytest.fixture
def chinese() -> Result:
    """Two Chinese queries whose Chinese versions lie at 1 and 2 and whose English ones lie at 100 and 272."""
    return {
        "rows": [
            measured(
                {
                    "scenario": "multi",
                    "pool_languages": ["en", "zh"],
                    "query_language": "zh",
                    "queries": 2,
                    "relevant": 4,
                    "measures": {
                        "Max@R": 186.0,
                        "Max@R_norm": 0.2,
                        "Complete@10": 0.0,
                        "Rank[en]": 186.0,
                        "Rank[zh]": 1.5,
                    },
                }
            )
        ],
        "queries": {
            "row": [0, 0],
            "versions": [["en", "zh"], ["en", "zh"]],
            "ranks": [[100, 1], [272, 2]],
            "above": [[[8, 90], [0, 0]], [[20, 250], [0, 1]]],
        },
    }


def test_it_begins_with_where_each_version_lies(chinese: Result) -> None:
    assert finding(chinese) == [
        "A Chinese query finds the Chinese version at rank 1.5 and the English version of the same passage at rank 186 "
        "of 480 on average (means over 2 queries; medians 1.5 and 186).",
        "0\u00a0% of Chinese queries have both versions in the top 10 (Complete@10; 100 % would be perfect); to see "
        "every version one reads down to rank 186 on average (Max@R; the best possible is 2).",
        "In front of the English version stand on average 170 Chinese documents that do not answer the query, and 14 "
        "English ones.",
    ]


@pytest.mark.parametrize(("alone", "named"), [(3.0, True), (120.0, False)])
def test_the_mixed_pool_is_named_as_the_cause_only_where_it_is(chinese: Result, alone: float, named: bool) -> None:
    chinese["rows"].append(
        measured(
            {
                "scenario": "mono-cross",
                "pool_languages": ["en"],
                "query_language": "zh",
                "pool_size": 240,
                "queries": 2,
                "relevant": 2,
                "measures": {"Max@R": alone},
            }
        )
    )
    last = finding(chinese)[-1]
    assert last.startswith(
        f"Over English documents alone the same queries find that version at rank {alone:g} of 240 on average"
    )
    assert ("it is the mixed pool that buries one of them" in last) is named


@pytest.mark.parametrize(("alone", "unseen"), [(1.5, True), (60.0, False)])
def test_what_a_test_with_one_language_would_have_shown_is_said(chinese: Result, alone: float, unseen: bool) -> None:
    chinese["rows"].append(
        measured(
            {
                "scenario": "mono-same",
                "pool_languages": ["zh"],
                "query_language": "zh",
                "pool_size": 240,
                "queries": 2,
                "relevant": 2,
                "measures": {"Max@R": alone},
            }
        )
    )
    last = finding(chinese)[-1]
    assert last.startswith(f"Over Chinese documents alone the same queries find the answer at rank {alone:g} of 240")
    assert ("a test with one language does not show the problem" in last) is unseen


def test_an_undetermined_language_is_never_the_subject(chinese: Result) -> None:
    row = chinese["rows"][0]
    row["pool_languages"] = ["en", "zh", "und"]
    row["measures"]["Rank[und]"] = 400.0
    for above in chinese["queries"]["above"]:
        for version in above:
            version.append(3)
    sentences = finding(chinese)
    assert "the English version of the same passage at rank 186" in sentences[0]
    assert "undetermined" not in sentences[0]
    assert sentences[2].endswith("170 Chinese documents that do not answer the query, and 17 other ones.")


def test_a_result_close_to_the_best_is_called_so(chinese: Result) -> None:
    chinese["rows"][0]["measures"].update(
        {"Max@R": 2.1, "Max@R_norm": 0.99, "Complete@10": 0.99, "Rank[en]": 2.0, "Rank[zh]": 1.1}
    )
    assert "close to the best possible" in " ".join(finding(chinese))
    # In a small pool everything stands in the top 10, however badly it is ranked.
    chinese["rows"][0]["measures"].update({"Max@R_norm": 0.2})
    assert "close to the best possible" not in " ".join(finding(chinese))


def test_censored_ranks_are_told_by_medians_and_shares(chinese: Result) -> None:
    row = chinese["rows"][0]
    row["kind"] = "live"
    row["measures"] = {"Max@R": None, "Max@R_norm": None, "Complete@10": 0.0, "Rank[en]": None, "Rank[zh]": 1.5}
    row["censored"] = {"depth_min": 50, "depth_max": 50, "queries": 2, "share": 1.0, "Max@R_lower_bound": 51.0}
    chinese["queries"]["ranks"] = [[None, 1], [None, 2]]
    sentences = finding(chinese)
    assert sentences[0] == (
        "The typical Chinese query finds the Chinese version at rank 1.5 and the English version below rank 50, where "
        "the list ends (medians over 2 queries)."
    )
    assert sentences[-1] == (
        "For 100\u00a0% of these queries at least one version does not appear among the 50 results that were served, "
        "so its rank is not known; Max@R is at least 51 on average."
    )
    assert "average" not in sentences[0]


def test_the_subject_is_the_language_served_worst(chinese: Result) -> None:
    other = {**chinese["rows"][0], "query_language": "en"}
    other["measures"] = {**other["measures"], "Max@R_norm": 0.9, "Max@R": 23.0, "Complete@10": 0.7}
    chinese["rows"].insert(0, other)
    chinese["queries"]["row"] = [1, 1]
    sentences = finding(chinese)
    assert sentences[0].startswith("A Chinese query")
    assert (
        "Over the same pool, English queries reach every version by rank 23 (Complete@10 70\u00a0%) on average."
        in sentences
    )


def test_the_weakest_language_of_each_other_mixed_pool_is_named(chinese: Result) -> None:
    for tag, depth in (("es", 5.0), ("ar", 33.0)):
        measures = {"Max@R": depth, "Max@R_norm": 0.8, "Complete@10": 0.7}
        chinese["rows"].append(
            {**chinese["rows"][0], "query_language": tag, "pool_languages": ["en", tag], "measures": measures}
        )
    assert (
        "Served worst in the other mixed pools: Arabic queries over en+ar (every version by rank 33 on average) and "
        "Spanish queries over en+es (rank 5)." in finding(chinese)
    )


def test_an_article_fits_its_language(chinese: Result) -> None:
    chinese["rows"][0].update(query_language="ar", pool_languages=["en", "ar"])
    chinese["rows"][0]["measures"]["Rank[ar]"] = 1.5
    assert finding(chinese)[0].startswith("An Arabic query")


def test_no_rows_is_said() -> None:
    assert finding({"rows": [], "queries": {"row": []}}) == ["The audit holds no queries."]


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.model) for name in ("two", "live", "detected")),
        pytest.param("twelve", marks=pytest.mark.data),
    ],
)
def test_every_kind_of_result_has_a_finding(name: str, request: pytest.FixtureRequest) -> None:
    whole = request.getfixturevalue(name)
    for scenarios in ({"multi", "mono-same", "mono-cross"}, {"multi"}, {"mono-same"}):
        kept = [place for place, row in enumerate(whole["rows"]) if row["scenario"] in scenarios]
        members = [place for place, row in enumerate(whole["queries"]["row"]) if row in kept]
        columns = {key: whole["queries"][key] for key in ("row", "versions", "ranks", "above")}
        queries = {key: [column[place] for place in members] for key, column in columns.items()}
        queries["row"] = [kept.index(row) for row in queries["row"]]
        sentences = finding({"rows": [whole["rows"][place] for place in kept], "queries": queries})
        assert sentences
        assert all(
            sentence.endswith(".") and "None" not in sentence and "nan" not in sentence for sentence in sentences
        )


def test_a_real_result_is_told_with_its_own_numbers(two: Result) -> None:
    rows = {(row["scenario"], row["query_language"]): row for row in two["rows"]}
    worst = min((rows["multi", tag] for tag in ("en", "zh")), key=lambda row: row["measures"]["Max@R_norm"])
    own, other = worst["query_language"], "en" if worst["query_language"] == "zh" else "zh"
    names = {"en": "English", "zh": "Chinese"}
    ranks = {tag: quantity(worst["measures"][f"Rank[{tag}]"]) for tag in ("en", "zh")}
    assert finding(two)[0].startswith(
        f"{'An' if own == 'en' else 'A'} {names[own]} query finds the {names[own]} version at rank {ranks[own]} and "
        f"the {names[other]} version of the same passage at rank {ranks[other]} of "
        f"{worst['pool_size']} on average (means over {worst['queries']} queries"
    )
    assert f"at rank {quantity(rows['mono-same', own]['measures']['Max@R'])} of {worst['pool_size'] // 2}" in " ".join(
        finding(two)
    )


def test_what_ties_leave_open_is_said_after_the_figures(chinese: Result) -> None:
    chinese["provenance"] = {"ties": "crossalign.ties/1"}
    chinese["rows"][0]["ties"] = {
        "queries": 1,
        "Max@R": {"optimistic": 180.0, "pessimistic": 190.4, "expected": 185.0},
        "Complete@10": {"optimistic": 0.0, "pessimistic": 0.0, "expected": 0.0},
        "Rank[en]": {"optimistic": 180.0, "pessimistic": 190.4, "expected": 185.0},
        "Rank[zh]": {"optimistic": 1.501, "pessimistic": 1.502, "expected": 1.5015},
    }
    assert finding(chinese)[2] == (
        "Equal scores leave this open: for 1 of 2 queries a relevant version has the score of other documents, and "
        "nothing but their order decides where within Max@R 180 to 190 and Rank[en] 180 to 190 the figures lie (taken "
        "here: the order of a hash of the document ids, which favors no language)."
    )
    chinese["provenance"] = {"ties": "ranks of the run, crossalign.ties/1"}
    assert finding(chinese)[2].endswith("(taken here: the order of the ranks in the run).")


def test_ties_that_do_not_show_in_the_figures_are_not_spoken_of(chinese: Result) -> None:
    before = finding(chinese)
    chinese["rows"][0]["ties"] = {"queries": 2, "Max@R": {"optimistic": 185.9, "pessimistic": 186.1, "expected": 186}}
    assert finding(chinese) == before


@pytest.mark.parametrize(("worst", "praised"), [(0.97, True), (0.5, False)])
def test_no_praise_that_another_order_of_equal_scores_takes_back(chinese: Result, worst: float, praised: bool) -> None:
    row = chinese["rows"][0]
    row["measures"] |= {"Complete@10": 1.0, "Max@R_norm": 0.99}
    row["ties"] = {"queries": 2, "Complete@10": {"optimistic": 1.0, "pessimistic": worst, "expected": 0.98}}
    assert ("close to the best possible" in finding(chinese)[1]) is praised
