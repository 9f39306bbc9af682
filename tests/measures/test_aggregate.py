"""Rows of a result: means, nulls and their reasons, medians, percentiles, ties and cut lists, by hand."""

import json
import math

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import (
    MRR,
    NDCG,
    Complete,
    Intrusion,
    MaxAtR,
    MaxAtRNorm,
    RankOf,
    aggregate,
    default_measures,
    evaluate,
    parse_measure,
    select_queries,
)
from haystack_crossalign.measures.statistics import bootstrap_means

WORDS = {2: "zh* en* en zh en", 3: "zh* en en* zh en", 5: "zh* en en zh en*"}


def test_means_are_taken_over_the_queries_a_measure_applies_to(table_of):
    table = table_of(["en zh* en*", "en* en zh", "en zh* zh"], ["zh", "zh", "zh"])
    row = aggregate(table, [MaxAtR(), RankOf("en"), Intrusion("en"), RankOf("ar")], seed=0)
    assert row["measures"] == {"Max@R": 2.0, "Rank[en]": 2.0, "Intrusion[en]": 1.0, "Rank[ar]": None}
    assert row["counts"] == {"Rank[en]": 2, "Intrusion[en]": 2}
    assert row["reasons"] == {"Rank[ar]": "no relevant version in ar"}
    assert row["censored"] is None


def test_a_row_with_more_versions_than_places_has_a_null_with_its_reason(table_of):
    row = aggregate(table_of(["zh* en* ar* en"], ["zh"]), [Complete(2)], seed=0)
    assert row["measures"] == {"Complete@2": None}
    assert row["reasons"] == {"Complete@2": "3 versions do not fit into the top 2"}
    assert row["intervals"] == {}


def test_one_hidden_value_hides_the_mean(table_of):
    # Without its failures the list would look perfect: Max@R 2 and MRR 1 over the first query alone.
    table = table_of(["zh* en* en zh", "en zh en zh*"], ["zh", "zh"], depths=[2, 2])
    row = aggregate(table, [MaxAtR(), MRR(), NDCG(2), Complete(2)], seed=0)
    assert row["measures"] == {"Max@R": None, "MRR": None, "NDCG@2": 0.5, "Complete@2": 0.5}
    assert set(row["reasons"]) == {"Max@R", "MRR"}
    assert "1 of 2 queries" in row["reasons"]["MRR"]
    assert set(row["intervals"]) == {"NDCG@2", "Complete@2"}


def test_cut_lists_are_described_with_the_lower_bound_of_max_at_r(table_of):
    table = table_of(
        ["zh* en* en zh", "zh* zh en en*", "en zh en zh*", "zh* en* en zh"], ["zh"] * 4, depths=[2, 3, 1, 4]
    )
    assert aggregate(table, [], seed=0)["censored"] == {
        "depth_min": 1,
        "depth_max": 4,
        "queries": 2,
        "share": 0.5,
        "nothing_found": 0,
        "Max@R_lower_bound": (2 + 4 + 2 + 2) / 4,
    }


def test_a_median_is_known_while_the_hidden_ranks_lie_above_it(table_of):
    table = table_of([WORDS[r] for r in (2, 2, 3, 5, 5)], ["zh"] * 5, depths=[4] * 5)
    row = aggregate(table, [MaxAtR()], seed=0)
    assert row["measures"]["Max@R"] is None
    assert row["medians"]["Max@R"]["value"] == 3.0
    assert row["percentiles"]["Max@R"] == {"p50": 3.0, "p90": None, "p99": None}


def test_a_median_is_null_where_half_of_the_ranks_are_hidden(table_of):
    table = table_of([WORDS[r] for r in (2, 5, 2, 5)], ["zh"] * 4, depths=[4] * 4)
    assert aggregate(table, [MaxAtR()], seed=0)["medians"]["Max@R"]["value"] is None


def test_a_median_is_null_where_a_short_list_leaves_it_open(table_of):
    # One hidden rank of three, but it may be 1 + 1 = 2 or more: the median is 3 or the larger of the two others.
    table = table_of([WORDS[3], WORDS[2], WORDS[5]], ["zh"] * 3, depths=[5, 1, 5])
    assert aggregate(table, [MaxAtR()], seed=0)["medians"]["Max@R"]["value"] is None


def test_medians_and_percentiles_are_those_of_the_ranks(table_of):
    table = table_of([WORDS[r] for r in (2, 2, 2, 3, 3, 5, 5, 5)], ["zh"] * 8)
    row = aggregate(table, [MaxAtR(), RankOf("zh"), MRR()], seed=0)
    # Eight values: P(Binomial(8, 1/2) < 1) = 1/256 <= 2.5 %, P(< 2) = 9/256 > 2.5 %: the interval is the whole range.
    assert row["medians"]["Max@R"] == {"value": 3.0, "interval": [2.0, 5.0]}
    # Position 0.9 * 7 = 6.3 falls between the two last fives.
    assert row["percentiles"]["Max@R"] == {"p50": 3.0, "p90": 5.0, "p99": 5.0}
    assert set(row["medians"]) == set(row["percentiles"]) == {"Max@R", "Rank[zh]"}


def test_the_upper_end_of_a_median_is_open_where_it_is_hidden(table_of):
    table = table_of([WORDS[r] for r in (2, 2, 2, 2, 2, 3, 3, 5)], ["zh"] * 8, depths=[4] * 8)
    assert aggregate(table, [MaxAtR()], seed=0)["medians"]["Max@R"] == {"value": 2.0, "interval": [2.0, None]}


def test_ties_are_counted_and_bounded(table_of):
    table = table_of(["zh zh* en en*", "zh* en* en zh"], ["zh", "zh"], groups=[[0, 0, 1, 1], [0, 1, 2, 3]])
    row = aggregate(table, [MaxAtR(), Complete(3), Complete(1), NDCG(10)], seed=0)
    assert row["measures"]["Max@R"] == 3.0
    assert row["ties"] == {
        "queries": 1,
        "Max@R": {"optimistic": (3 + 2) / 2, "pessimistic": (4 + 2) / 2, "expected": (3.5 + 2) / 2},
        "Complete@3": {"optimistic": 1.0, "pessimistic": 0.5, "expected": 0.75},
        "Complete@1": {"optimistic": None, "pessimistic": None, "expected": None},
        # The first query's versions at 1 and 3 at best, at 2 and 4 at worst; each in two places alike.
        "NDCG@10": pytest.approx(
            {
                "optimistic": (1 + (1 + 1 / 2) / (1 + 1 / math.log2(3))) / 2,
                "pessimistic": (1 + (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))) / 2,
                "expected": (1 + (1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)) / 2 / (1 + 1 / math.log2(3))) / 2,
            }
        ),
    }


def test_measures_that_ties_cannot_change_have_no_bounds(table_of):
    row = aggregate(table_of(["zh* en* en zh"], ["zh"]), [MaxAtR(), NDCG(10), MRR()], seed=0)
    assert row["ties"] == {"queries": 0, "Max@R": {"optimistic": 2.0, "pessimistic": 2.0, "expected": 2.0}}


def test_bounds_of_ties_are_null_where_the_measure_is(table_of):
    table = table_of(["zh* en en*", "zh* en* en"], ["zh", "zh"], depths=[2, 2])
    ties = aggregate(table, [MaxAtR(), Complete(2), Complete(3)], seed=0)["ties"]
    assert ties["Max@R"] == {"optimistic": None, "pessimistic": None, "expected": None}
    assert ties["Complete@2"] == {"optimistic": 0.5, "pessimistic": 0.5, "expected": 0.5}
    assert ties["Complete@3"] == {"optimistic": None, "pessimistic": None, "expected": None}


def random_table(build_table, queries=60, seed=0):
    generator = np.random.default_rng(seed)
    rankings = []
    for _ in range(queries):
        versions = [("en", True), ("zh", True)] + [(tag, False) for tag in ("en", "zh") for _ in range(10)]
        rankings.append([versions[place] for place in generator.permutation(len(versions))])
    return build_table(rankings, [("en", "zh")[int(code)] for code in generator.integers(0, 2, queries)])


def test_intervals_are_those_of_the_bootstrap_over_queries(build_table):
    table = random_table(build_table)
    measures = default_measures(("en", "zh"))
    row = aggregate(table, measures, samples=200, seed=7)
    values = evaluate(table, measures)
    expected = bootstrap_means(np.column_stack([values[m.name].values for m in measures]), samples=200, seed=7)
    assert list(row["intervals"]) == [measure.name for measure in measures]
    np.testing.assert_array_equal(list(row["intervals"].values()), expected)


def test_the_same_arguments_give_the_same_row_in_plain_types(build_table):
    table = random_table(build_table)
    measures = default_measures(("en", "zh"))
    first = json.dumps(aggregate(table, measures, samples=50, seed=3), allow_nan=False)
    assert first == json.dumps(aggregate(table, measures, samples=50, seed=3), allow_nan=False)
    assert first == json.dumps(
        aggregate(table, measures, samples=50, seed=3, values=evaluate(table, measures)), allow_nan=False
    )
    assert first != json.dumps(aggregate(table, measures, samples=50, seed=4), allow_nan=False)


def test_a_row_of_one_query_language_is_that_of_its_queries(build_table):
    table = random_table(build_table)
    code = table.languages.index("zh")
    part = select_queries(table, table.query_languages == code)
    values = parse_measure("Max@R").per_query(table).values[table.query_languages == code]
    assert aggregate(part, [MaxAtR()], seed=0)["measures"]["Max@R"] == pytest.approx(values.mean())


def test_no_samples_means_no_intervals(build_table):
    assert aggregate(random_table(build_table), [MaxAtR()], samples=0, seed=0)["intervals"] == {}


@pytest.mark.parametrize("options", [{"samples": -1}, {"confidence": 1.0}, {"confidence": 95}])
def test_options_out_of_range_are_bad_input(build_table, options):
    with pytest.raises(InputError, match=next(iter(options))):
        aggregate(random_table(build_table), [MaxAtR()], seed=0, **options)


def test_no_queries_give_nulls_with_a_reason(build_table):
    nobody = select_queries(random_table(build_table), np.zeros(60, dtype=bool))
    row = aggregate(nobody, default_measures(("en", "zh")), seed=0)
    assert set(row["measures"].values()) == {None}
    assert all(row["reasons"].values())


def test_the_mean_of_normalized_max_at_r_is_the_mean_over_queries(table_of):
    table = table_of(["zh* en* en zh en zh en zh", "zh* en zh en* zh en zh en"], ["zh", "zh"])
    row = aggregate(table, [MaxAtRNorm()], seed=0)
    assert row["measures"]["Max@R_norm"] == pytest.approx((1 + 0.5) / 2)
    assert math.isfinite(row["intervals"]["Max@R_norm"][0])
