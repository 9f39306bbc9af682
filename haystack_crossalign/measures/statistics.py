"""Statistical uncertainty of measures: bootstrap intervals, paired tests, intervals of a median. NumPy only.

Every result depends only on its arguments, including the seed. Sums are computed by matrix products, whose order of
addition depends on the number of threads; so values are first rounded to a grid on which every such sum is exact
(integers below 2**53; a relative step of 2**-(51 - log2 n), 1e-11 for 10,000 queries). Any order gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError, check_whole

Floats = NDArray[np.float64]

SIGNIFICANT = 0.05
"""p-values below this are called significant."""

_BLOCK = 2_000_000
"""Number of elements in a block of resamples: 16 MB as float64. Results do not depend on it."""


def bootstrap_means(values: ArrayLike, *, samples: int = 1000, confidence: float = 0.95, seed: int) -> Floats:
    """Percentile bootstrap intervals of means over queries.

    Each resample draws Q queries with replacement, the same for all measures. NaN means "does not apply": such a query
    counts neither in the sum nor in the divisor. A resample in which a measure applies to no query has no mean and is
    left out. Source: Efron and Tibshirani 1993, chapter 13.

    :param values: float64 [Q, M], one column per measure; NaN if null.
    :param samples: number of resamples, at least 1.
    :param confidence: share of resampled means inside the interval, in (0, 1).
    :param seed: of the random generator.
    :returns: float64 [M, 2], low and high; NaN for a column without a value.
    :raises InputError: if an option is out of range.
    :raises ValueError: if the values are not a finite (or NaN) matrix.
    """
    _check(seed=seed, samples=samples, confidence=confidence)
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"values must have the shape [queries, measures], not {matrix.shape}")
    queries, measures = matrix.shape
    means = np.full((samples, measures), np.nan)
    present = ~np.isnan(matrix)
    partial = np.flatnonzero(~present.all(axis=0))
    whole_numbers, exponents = _to_grid(np.where(present, matrix, 0.0))
    columns = np.hstack((whole_numbers, present[:, partial].astype(np.float64)))
    done = 0
    for counts in _resamples(queries, samples, seed):
        sums = counts @ columns
        sizes = np.full((len(sums), measures), float(queries))
        sizes[:, partial] = sums[:, measures:]
        totals = np.ldexp(sums[:, :measures], -exponents)
        np.divide(totals, sizes, out=means[done : done + len(sums)], where=sizes > 0)
        done += len(sums)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return (
        np.stack([quantiles(column[~np.isnan(column)], tails) for column in means.T]) if measures else np.empty((0, 2))
    )


def paired_bootstrap_difference(
    a: ArrayLike, b: ArrayLike, *, samples: int = 1000, confidence: float = 0.95, seed: int
) -> tuple[float, float, float]:
    """Mean difference of two results over the same queries, with its percentile bootstrap interval.

    :param a: float64 [Q], values of the first result; NaN if null.
    :param b: float64 [Q], values of the second one for the same queries.
    :param samples: number of resamples.
    :param confidence: of the interval.
    :param seed: of the random generator.
    :returns: (mean of b - a, low, high) over the queries where both are known; NaN if there are none.
    :raises InputError: if an option is out of range.
    """
    difference = _differences(a, b)
    if not difference.size:
        return float("nan"), float("nan"), float("nan")
    low, high = bootstrap_means(difference[:, None], samples=samples, confidence=confidence, seed=seed)[0]
    return float(difference.mean()), float(low), float(high)


def paired_permutation_test(a: ArrayLike, b: ArrayLike, *, permutations: int = 10_000, seed: int) -> float:
    """Two-sided paired permutation test of equal means: the signs of the differences are flipped at random.

    If the n nonzero differences have at most ``permutations`` sign patterns (2**n), all are counted and p is exact.
    Otherwise p = (1 + hits) / (1 + permutations), where a hit is a pattern whose sum is at least as far from 0 as the
    observed one. Sums that are equal after rounding to 8 significant digits, the precision of stored results, count as
    equal; otherwise p would change when a result is read from its file. Source: Fisher 1935; for the 1 in p Phipson and
    Smyth 2010.

    :param a: float64 [Q], values of the first result; NaN if null.
    :param b: float64 [Q], values of the second one for the same queries.
    :param permutations: number of random sign patterns, at least 1.
    :param seed: of the random generator; not used if the count is exact.
    :returns: p, or NaN if no query has both values.
    :raises InputError: if an option is out of range.
    """
    _check(seed=seed, permutations=permutations)
    difference = _differences(a, b)
    if not difference.size:
        return float("nan")
    difference = difference[difference != 0]
    size = difference.size
    whole_numbers, exponents = _to_grid(difference[:, None])
    steps = whole_numbers[:, 0]
    # Rounding to the grid moves each of two sums by at most half a step per difference, and the relative error of a
    # stored value is at most 5e-8.
    stored = 1e-7 * float(np.nansum(np.abs(a) + np.abs(b)))
    seen = abs(steps.sum()) - max(size, float(np.ldexp(stored, exponents[0])))
    exact = size < 63 and 2**size <= permutations
    patterns = _all_bits(size) if exact else _random_bits(size, permutations, seed)
    hits = sum(int(np.count_nonzero(np.abs(2.0 * (bits @ steps) - steps.sum()) >= seen)) for bits in patterns)
    return hits / 2**size if exact else (1 + hits) / (1 + permutations)


def paired_permutation_tests(a: ArrayLike, b: ArrayLike, *, permutations: int = 10_000, seed: int) -> Floats:
    """Many two-sided paired permutation tests over the same number of queries, as `paired_permutation_test`.

    All tests use the same random sign patterns. A difference of 0 has no sign, so that a pattern over all queries is
    also one over those that differ. Tests with few enough differences for an exact count are counted exactly.

    :param a: float64 [Q, T], values of the first results, one column per test.
    :param b: float64 [Q, T], values of the second ones for the same queries.
    :param permutations: number of random sign patterns, at least 1.
    :param seed: of the random generator.
    :returns: p-values, float64 [T].
    :raises InputError: if an option is out of range.
    """
    _check(seed=seed, permutations=permutations)
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    differences = second - first
    changed = np.count_nonzero(differences, axis=0)
    p_values = np.ones(differences.shape[1])
    exact = 2.0 ** np.minimum(changed, 1000) <= permutations
    for test in np.flatnonzero(exact & (changed > 0)):
        p_values[test] = paired_permutation_test(first[:, test], second[:, test], permutations=permutations, seed=seed)
    sampled = np.flatnonzero(~exact)
    if not sampled.size:
        return p_values
    steps, exponents = _to_grid(differences[:, sampled])
    sums = steps.sum(axis=0)
    stored = 1e-7 * (np.abs(first[:, sampled]) + np.abs(second[:, sampled])).sum(axis=0)
    seen = np.abs(sums) - np.maximum(changed[sampled], np.ldexp(stored, exponents))
    hits = np.zeros(sampled.size)
    for bits in _random_bits(len(differences), permutations, seed, width=len(differences) + sampled.size):
        hits += np.count_nonzero(np.abs(2.0 * (bits @ steps) - sums) >= seen, axis=0)
    p_values[sampled] = (1 + hits) / (1 + permutations)
    return p_values


def median_interval(values: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a median by order statistics, without assumptions on the distribution.

    The interval reaches from the k-th smallest to the k-th largest value, where k is the largest number with
    P(Binomial(n, 1/2) < k) <= (1 - confidence) / 2. Source: Conover 1999, section 3.2.

    :param values: float64 [n]; NaN is left out, inf stands for a value known only to be large.
    :param confidence: of the interval, in (0, 1).
    :returns: (low, high), NaN if there are too few values for such an interval (fewer than 6 for 95 %).
    :raises InputError: if the confidence is out of range.
    """
    _check(confidence=confidence)
    numbers = np.asarray(values, dtype=np.float64)
    known = np.sort(numbers[~np.isnan(numbers)])
    size = known.size
    below = np.arange(size // 2 + 1, dtype=np.float64)
    # log C(n, k) is the running sum of log((n - k + 1) / k).
    ways = np.cumsum(np.log((size - below[1:] + 1) / below[1:]))
    chance = np.cumsum(np.exp(np.concatenate((np.zeros(1), ways)) - size * np.log(2.0)))
    k = int(np.searchsorted(chance, (1 - confidence) / 2, side="right"))
    if k == 0 or size == 0:
        return float("nan"), float("nan")
    return float(known[k - 1]), float(known[size - k])


def quantiles(values: ArrayLike, probabilities: Sequence[float]) -> Floats:
    """Quantiles by linear interpolation between order statistics (type 7 of Hyndman and Fan, numpy's default).

    Unlike numpy's function it supports inf: a quantile interpolated with an infinite value is inf, one that falls on a
    finite value is that value.

    :param values: float64 [n] without NaN.
    :param probabilities: P numbers in 0..1.
    :returns: float64 [P], NaN if there are no values.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not ordered.size:
        return np.full(len(probabilities), np.nan)
    position = np.asarray(probabilities, dtype=np.float64) * (ordered.size - 1)
    index = np.floor(position).astype(np.int64)
    share = position - index
    low, high = ordered[index], ordered[np.minimum(index + 1, ordered.size - 1)]
    with np.errstate(invalid="ignore"):
        between = low + share * (high - low)
    return np.where((share == 0) | (low == high), low, between)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjustment of p-values for several tests (Holm 1979): the family-wise error stays below the level.

    :param p_values: float64 [T]; NaN stays NaN and counts as no test.
    :returns: float64 [T], adjusted p-values, at most 1.
    """
    numbers = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(numbers.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(numbers))
    order = tested[np.argsort(numbers[tested], kind="stable")]
    factors = np.arange(order.size, 0, -1, dtype=np.float64)
    adjusted[order] = np.minimum(np.maximum.accumulate(numbers[order] * factors), 1.0)
    return adjusted


def queries_needed(tests: int = 1, *, level: float = SIGNIFICANT) -> int:
    """Smallest number of queries with which a paired permutation test can be significant.

    With n queries that all change alike, p = 2**(1 - n); Holm's adjustment multiplies the smallest of m p-values by m.
    So it is the smallest n with m * 2**(1 - n) < level.

    :param tests: number of tests m, at least 1.
    :param level: p-values below it are significant.
    """
    queries = 1
    while tests * 2.0 ** (1 - queries) >= level:
        queries += 1
    return queries


def _check(*, seed: int = 0, samples: int = 1, permutations: int = 1, confidence: float = 0.5) -> None:
    for field, number, least in (("samples", samples, 1), ("permutations", permutations, 1), ("seed", seed, 0)):
        check_whole(number, field=field, least=least)
    if not 0 < confidence < 1:
        raise InputError(
            "is not a level of confidence", field="confidence", seen=confidence, allowed="above 0, below 1"
        )


def _differences(a: ArrayLike, b: ArrayLike) -> Floats:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"paired values must be two vectors of one length, not {first.shape} and {second.shape}")
    difference: Floats = second - first
    return difference[~np.isnan(difference)]


def _to_grid(columns: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Integers proportional to the values of each column, scaled so that n of them sum to less than 2**53.

    :returns: (integers as float64 [n, M], exponents int64 [M]): value = integer * 2**-exponent.
    """
    if not np.isfinite(columns).all():
        raise ValueError("values must be finite")
    _, above = np.frexp(np.abs(columns).max(axis=0, initial=0.0))
    exponents = 52 - len(columns).bit_length() - above.astype(np.int64)
    return np.rint(np.ldexp(columns, exponents)), exponents


def _blocks(rows: int, width: int) -> Iterator[int]:
    size = max(1, _BLOCK // max(1, width))
    for start in range(0, rows, size):
        yield min(size, rows - start)


def _resamples(queries: int, samples: int, seed: int) -> Iterator[Floats]:
    """How often each query was drawn in each resample: blocks of float64 [samples of the block, Q]."""
    generator = np.random.default_rng(seed)
    for rows in _blocks(samples, queries) if queries else ():
        drawn = generator.integers(0, queries, size=(rows, queries))
        drawn += np.arange(0, rows * queries, queries)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * queries)
        yield counts.reshape(rows, queries).astype(np.float64)


def _all_bits(size: int) -> Iterator[Floats]:
    """Every pattern of ``size`` bits once, as 0.0 and 1.0."""
    start = 0
    for rows in _blocks(2**size, size):
        numbers = np.arange(start, start + rows, dtype=np.int64)
        yield (numbers[:, None] >> np.arange(size) & 1).astype(np.float64)
        start += rows


def _random_bits(size: int, rows: int, seed: int, *, width: int | None = None) -> Iterator[Floats]:
    """Random patterns of ``size`` bits, as 0.0 and 1.0; ``width`` is the number of elements in use per pattern."""
    generator = np.random.default_rng(seed)
    words = -(-size // 32)
    for block in _blocks(rows, width or size):
        drawn = generator.integers(0, 2**32, size=(block, words), dtype=np.uint32).astype("<u4")
        yield np.unpackbits(drawn.view(np.uint8), axis=1, count=size).astype(np.float64)
