"""Which rows scenarios make up."""

from __future__ import annotations

import pytest

from haystack_crossalign.audit.scenarios import Scenario, parse_scenarios, plan_scenarios
from haystack_crossalign.errors import InputError


def test_multi_is_one_pool_asked_in_each_of_its_languages() -> None:
    assert plan_scenarios(["multi"], ["en", "zh", "ar"]) == [
        Scenario("multi", ("en", "zh", "ar"), "en"),
        Scenario("multi", ("en", "zh", "ar"), "zh"),
        Scenario("multi", ("en", "zh", "ar"), "ar"),
    ]


def test_pairs_make_a_pool_of_the_language_and_each_other_one() -> None:
    assert plan_scenarios(["multi"], ["zh", "en", "ar"], pairs="en") == [
        Scenario("multi", ("en", "zh"), "zh"),
        Scenario("multi", ("en", "zh"), "en"),
        Scenario("multi", ("en", "ar"), "en"),
        Scenario("multi", ("en", "ar"), "ar"),
    ]


def test_mono_same_asks_each_language_in_itself_and_mono_cross_in_every_other_one() -> None:
    assert plan_scenarios(["mono-same", "mono-cross"], ["en", "zh", "ar"]) == [
        Scenario("mono-same", ("en",), "en"),
        Scenario("mono-same", ("zh",), "zh"),
        Scenario("mono-same", ("ar",), "ar"),
        Scenario("mono-cross", ("zh",), "en"),
        Scenario("mono-cross", ("ar",), "en"),
        Scenario("mono-cross", ("en",), "zh"),
        Scenario("mono-cross", ("ar",), "zh"),
        Scenario("mono-cross", ("en",), "ar"),
        Scenario("mono-cross", ("zh",), "ar"),
    ]


def test_mono_cross_in_pairs_always_has_the_pair_language_on_one_side() -> None:
    rows = plan_scenarios(["mono-cross"], ["en", "zh", "ar"], pairs="en")
    assert {(row.query_language, row.pool_languages[0]) for row in rows} == {
        ("en", "zh"),
        ("zh", "en"),
        ("en", "ar"),
        ("ar", "en"),
    }


def test_queries_may_be_in_a_language_that_the_pool_lacks() -> None:
    assert plan_scenarios(["multi", "mono-same", "mono-cross"], ["en", "zh"], ["de"]) == [
        Scenario("multi", ("en", "zh"), "de"),
        Scenario("mono-cross", ("en",), "de"),
        Scenario("mono-cross", ("zh",), "de"),
    ]


def test_repeated_scenarios_count_once() -> None:
    assert parse_scenarios(["multi", "mono-same", "multi"]) == ("multi", "mono-same")


@pytest.mark.parametrize(
    ("names", "languages", "pairs", "parts"),
    [
        (["mutli"], ["en", "zh"], None, ["--scenario", "'mutli'", "multi, mono-same, mono-cross"]),
        ([], ["en", "zh"], None, ["--scenario", "multi, mono-same, mono-cross"]),
        (["multi"], ["en"], None, ["--languages", "'en'", "two or more"]),
        (["mono-same", "mono-cross"], ["en"], None, ["mono-cross", "'en'"]),
        (["multi"], ["en", "zh"], "fr", ["--pairs", "'fr'", "en, zh"]),
    ],
)
def test_what_makes_no_row_is_refused_by_name(
    names: list[str], languages: list[str], pairs: str | None, parts: list[str]
) -> None:
    with pytest.raises(InputError) as raised:
        plan_scenarios(names, languages, pairs=pairs)
    assert all(part in str(raised.value) for part in parts), str(raised.value)


def test_mono_same_without_a_query_in_the_pools_language_is_refused() -> None:
    with pytest.raises(InputError, match="no query is in a language"):
        plan_scenarios(["mono-same"], ["en"], ["de"])
