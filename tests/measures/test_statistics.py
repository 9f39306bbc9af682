"""Intervals and tests, against closed forms, exact counts and naive resampling."""

import itertools
import math

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import statistics
from haystack_crossalign.measures.statistics import (
    bootstrap_means,
    holm,
    median_interval,
    paired_bootstrap_difference,
    paired_permutation_test,
    paired_permutation_tests,
    quantiles,
    queries_needed,
)

NAN, INF = math.nan, math.inf


def test_bootstrap_of_a_share_is_close_to_the_normal_approximation():
    values = np.repeat([0.0, 1.0], [700, 300])[:, None]
    low, high = bootstrap_means(values, samples=4000, seed=1)[0]
    error = 1.959964 * math.sqrt(0.3 * 0.7 / 1000)
    assert low == pytest.approx(0.3 - error, abs=0.1 * error)
    assert high == pytest.approx(0.3 + error, abs=0.1 * error)


def test_a_bootstrap_interval_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    # 400 data sets of 80 values with mean 0.5 as columns of one matrix: resamples are shared, the data are not.
    intervals = bootstrap_means(generator.random((80, 400)), samples=1000, confidence=0.9, seed=2)
    covered = np.mean((intervals[:, 0] <= 0.5) & (intervals[:, 1] >= 0.5))
    assert covered == pytest.approx(0.9, abs=4 * math.sqrt(0.9 * 0.1 / 400))


def test_bootstrap_agrees_with_drawing_queries_one_by_one():
    generator = np.random.default_rng(11)
    values = generator.normal(size=(23, 4)) * [1, 1e-6, 1e6, 1]
    values[generator.random(values.shape) < 0.3] = NAN
    drawn = np.random.default_rng(9).integers(0, 23, size=(300, 23))
    means = np.array([[np.nanmean(values[row, column]) for column in range(4)] for row in drawn])
    expected = np.quantile(means, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(bootstrap_means(values, samples=300, seed=9), expected, rtol=1e-9)


def test_queries_a_measure_does_not_apply_to_count_neither_above_nor_below():
    values = np.array([[2.0], [NAN], [2.0], [NAN]])
    np.testing.assert_array_equal(bootstrap_means(values, samples=500, seed=0), [[2, 2]])


def test_a_column_without_a_value_has_no_interval():
    intervals = bootstrap_means(np.array([[NAN, 1.0], [NAN, 1.0]]), samples=20, seed=0)
    np.testing.assert_array_equal(intervals, [[NAN, NAN], [1, 1]])


def test_bootstrap_does_not_depend_on_the_size_of_its_blocks(monkeypatch):
    values = np.random.default_rng(0).normal(size=(37, 3))
    whole = bootstrap_means(values, samples=101, seed=3)
    monkeypatch.setattr(statistics, "_BLOCK", 37 * 2)
    np.testing.assert_array_equal(bootstrap_means(values, samples=101, seed=3), whole)


def test_bootstrap_does_not_depend_on_the_order_of_addition():
    # A matrix product with few columns adds in another order than one with many.
    values = np.random.default_rng(0).normal(size=(5003, 40))
    together = bootstrap_means(values, samples=64, seed=3)
    alone = np.vstack([bootstrap_means(values[:, [column]], samples=64, seed=3) for column in range(40)])
    np.testing.assert_array_equal(together, alone)


def test_no_measures_give_no_intervals():
    assert bootstrap_means(np.empty((5, 0)), seed=0).shape == (0, 2)


def test_infinite_values_have_no_mean_to_bootstrap():
    with pytest.raises(ValueError, match="finite"):
        bootstrap_means(np.array([[INF], [1.0]]), seed=0)


@pytest.mark.parametrize("options", [{"samples": 0}, {"confidence": 0.0}, {"confidence": 1.0}])
def test_bootstrap_options_out_of_range_are_bad_input(options):
    with pytest.raises(InputError, match=next(iter(options))):
        bootstrap_means(np.ones((3, 1)), seed=0, **options)


def test_difference_is_the_second_minus_the_first_over_common_queries():
    a = np.array([1.0, 2.0, NAN, 4.0])
    b = np.array([2.0, 3.0, 9.0, NAN])
    assert paired_bootstrap_difference(a, b, samples=50, seed=0) == (1.0, 1.0, 1.0)


def test_the_interval_of_a_difference_uses_the_pairing():
    generator = np.random.default_rng(4)
    a = generator.normal(scale=100, size=400)
    noise = generator.normal(size=400)
    mean, low, high = paired_bootstrap_difference(a, a + 1 + noise, samples=4000, seed=0)
    error = 1.959964 * noise.std() / 20
    assert mean == pytest.approx(1 + noise.mean())
    assert low == pytest.approx(mean - error, abs=0.1 * error)
    assert high == pytest.approx(mean + error, abs=0.1 * error)


def test_no_common_query_gives_no_difference_and_no_p_value():
    a, b = np.array([1.0, NAN]), np.array([NAN, 1.0])
    assert np.isnan(paired_bootstrap_difference(a, b, seed=0)).all()
    assert math.isnan(paired_permutation_test(a, b, seed=0))


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1, 2, 3], 2 / 8),  # 6: only +++ and ---
        ([1, 2, -3], 8 / 8),  # 0: every pattern is at least as far
        ([1, -2, 3], 6 / 8),  # 2: all but the two patterns that sum to 0
        ([-1, 2, 3], 4 / 8),  # 4: +++ and -++ with their mirrors
        ([0, 0, 5], 1.0),  # one difference only: either sign is as far
        ([0, 0, 0], 1.0),
    ],
)
def test_a_small_permutation_test_counts_every_sign_pattern(differences, expected):
    zeros = np.zeros(3)
    assert paired_permutation_test(zeros, np.array(differences, dtype=float), seed=0) == expected


def test_rounding_does_not_break_a_tie_of_sums():
    # 0.1 + 0.2 and 0.3 differ in the last bit; as sums of differences they are equal.
    differences = np.array([0.1, 0.2, 0.3, -0.3])
    sums = [
        abs(sum(sign * step for sign, step in zip(signs, (1, 2, 3, 3), strict=True)))
        for signs in itertools.product((1, -1), repeat=4)
    ]
    expected = np.mean([total >= 3 for total in sums])
    assert paired_permutation_test(np.zeros(4), differences, seed=0) == expected


def test_random_sign_patterns_agree_with_the_exact_count():
    generator = np.random.default_rng(8)
    differences = generator.normal(0.4, 1, size=12)
    exact = paired_permutation_test(np.zeros(12), differences, permutations=4096, seed=0)
    sampled = paired_permutation_test(np.zeros(12), differences, permutations=4095, seed=0)
    assert sampled != exact
    assert sampled == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4095))


def test_p_values_are_uniform_where_there_is_no_difference():
    generator = np.random.default_rng(3)
    p_values = [
        paired_permutation_test(*generator.normal(size=(2, 40)), permutations=199, seed=trial) for trial in range(500)
    ]
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert np.mean(np.array(p_values) <= level) == pytest.approx(
            level, abs=4 * math.sqrt(level * (1 - level) / 500)
        )


def test_a_large_difference_has_the_smallest_p_value_that_can_be_had():
    assert paired_permutation_test(np.zeros(100), np.ones(100), permutations=999, seed=0) == 1 / 1000


def test_the_test_is_two_sided_and_seeded():
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, 50))
    p = paired_permutation_test(a, b, permutations=500, seed=6)
    assert p == paired_permutation_test(b, a, permutations=500, seed=6)
    assert p == paired_permutation_test(a, b, permutations=500, seed=6)


def test_the_test_does_not_depend_on_the_size_of_its_blocks(monkeypatch):
    a, b = np.random.default_rng(1).normal(size=(2, 50))
    whole = paired_permutation_test(a, b, permutations=501, seed=6)
    monkeypatch.setattr(statistics, "_BLOCK", 150)
    assert paired_permutation_test(a, b, permutations=501, seed=6) == whole
    monkeypatch.setattr(statistics, "_BLOCK", 20)
    assert paired_permutation_test(np.zeros(3), np.array([-1.0, 2, 3]), seed=0) == 0.5


def test_vectors_of_different_length_are_not_paired():
    with pytest.raises(ValueError, match="one length"):
        paired_permutation_test(np.zeros(3), np.zeros(4), seed=0)


@pytest.mark.parametrize("size", [6, 9, 25, 100])
def test_the_median_interval_is_the_tightest_pair_of_order_statistics_with_its_coverage(size):
    low, high = median_interval(np.random.default_rng(0).permutation(size) + 1.0)
    # Ranks of the ends are their values; both tails below them must be at most 2.5 %, one step further in more.
    tail = [sum(math.comb(size, i) for i in range(k)) / 2**size for k in range(size)]
    k = int(low)
    assert high == size + 1 - k
    assert tail[k] <= 0.025 < tail[k + 1]


@pytest.mark.parametrize("size", [0, 1, 5])
def test_few_values_bound_no_median(size):
    assert np.isnan(median_interval(np.arange(float(size)))).all()


def test_the_median_interval_leaves_out_nan_and_keeps_infinity():
    assert median_interval(np.array([NAN, 1, 2, 3, INF, INF, INF])) == (1, INF)


def test_quantiles_are_those_of_numpy_on_finite_values():
    values = np.random.default_rng(0).normal(size=37)
    np.testing.assert_allclose(quantiles(values, [0, 0.1, 0.5, 0.99, 1]), np.quantile(values, [0, 0.1, 0.5, 0.99, 1]))


def test_quantiles_next_to_infinity_are_infinite_and_others_are_not():
    np.testing.assert_array_equal(quantiles([1, 2, INF], [0, 0.5, 0.75, 1]), [1, 2, INF, INF])
    np.testing.assert_array_equal(quantiles([INF, INF], [0.5]), [INF])
    np.testing.assert_array_equal(quantiles([], [0.5]), [NAN])


def test_holm_multiplies_the_smallest_by_the_number_of_tests():
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1, never falling.
    np.testing.assert_allclose(holm([0.03, 0.01, NAN, 0.5, 0.02]), [0.06, 0.04, NAN, 0.5, 0.06])
    np.testing.assert_array_equal(holm([0.6, 0.9]), [1, 1])


def test_a_permutation_test_of_stored_values_has_the_p_of_the_values_themselves():
    # Differences of thirds: +1/3 three times and -1/3 twice, so no pattern sums nearer to 0 than the one seen.
    a, b = np.array([3, 1, 1, 1, 1]) / 3, np.array([2, 0, 2, 2, 2]) / 3
    stored = [np.array([float(f"{value:.8g}") for value in values]) for values in (a, b)]
    assert paired_permutation_test(a, b, seed=0) == 1.0
    assert paired_permutation_test(*stored, seed=0) == 1.0


def test_many_paired_tests_agree_with_single_ones():
    generator = np.random.default_rng(4)
    a = generator.random((40, 30))
    b = a + generator.normal(0.02, 0.1, size=a.shape) * (generator.random(a.shape) < np.linspace(0, 1, 30))
    many = paired_permutation_tests(a, b, permutations=4000, seed=2)
    single = np.array([paired_permutation_test(x, y, permutations=4000, seed=2) for x, y in zip(a.T, b.T, strict=True)])
    changed = np.count_nonzero(a != b, axis=0)
    exact = 2.0**changed <= 4000
    assert 0 < exact.sum() < 30
    assert many[exact].tolist() == single[exact].tolist()
    # Two samples of 4,000 patterns each: the difference has a standard deviation of at most sqrt(2 * 0.25 / 4000).
    assert np.abs(many - single).max() < 5 * math.sqrt(2 * 0.25 / 4000)


def test_many_paired_tests_keep_sums_that_are_equal_in_the_precision_of_files():
    # Every pattern of equal steps whose sum is as far from 0 counts, however the steps were rounded in a file.
    a = np.zeros((20, 1))
    b = np.full((20, 1), 1 / 3) + np.linspace(-1e-9, 1e-9, 20)[:, None]
    b[0] = -1 / 3
    p = paired_permutation_tests(a, b, permutations=5000, seed=0)[0]
    rounded = paired_permutation_tests(a, np.round(b, 8), permutations=5000, seed=0)[0]
    assert p == rounded


@pytest.mark.parametrize("tests", [1, 2, 3, 7, 50, 1000])
def test_the_queries_needed_are_the_fewest_that_can_be_significant(tests):
    needed = queries_needed(tests)
    for queries, reaches in ((needed, True), (needed - 1, False)):
        # All queries change alike: 2 of the 2**n sign patterns are as far from 0.
        p = paired_permutation_test(np.zeros(queries), np.ones(queries), permutations=2**queries, seed=0)
        assert (min(1.0, tests * p) < 0.05) is reaches
