"""Aggregate values per query into one row of a result: means, intervals, percentiles, and bounds for ties and cut
lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import check_whole
from haystack_crossalign.measures.base import Facts, Measure, QueryValues, evaluate
from haystack_crossalign.measures.depth import Complete, MaxAtR, max_at_r_lower_bound
from haystack_crossalign.measures.statistics import bootstrap_means, median_interval, quantiles
from haystack_crossalign.measures.ties import queries_with_ties, tie_values
from haystack_crossalign.ranks.table import CENSORED, RankTable

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Median(TypedDict):
    """Median over queries, ``None`` if cut lists hide it; an end of its interval is ``None`` if it is unbounded."""

    value: float | None
    interval: list[float | None]


CensoredBlock = TypedDict(
    "CensoredBlock",
    {
        "depth_min": int,
        "depth_max": int,
        "queries": int,
        "share": float,
        "nothing_found": int,
        "Max@R_lower_bound": float | None,
    },
)
"""What is known if lists were cut; see ``censored`` in `aggregate`."""


class RowStatistics(TypedDict):
    """Statistics of one row, in plain Python types; see `aggregate`."""

    measures: dict[str, float | None]
    reasons: dict[str, str]
    counts: dict[str, int]
    intervals: dict[str, list[float]]
    percentiles: dict[str, dict[str, float | None]]
    medians: dict[str, Median]
    ties: dict[str, int | dict[str, float | None]]
    censored: CensoredBlock | None


def aggregate(
    table: RankTable,
    measures: Sequence[Measure],
    *,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int,
    values: Mapping[str, QueryValues] | None = None,
) -> RowStatistics:
    """Compute the statistics of a row over its queries. The same arguments give the same bits.

    - ``measures``: mean over the queries to which the measure applies. ``None`` with an entry in ``reasons`` if it
      applies to none, or if a cut list hides the value of any query: leaving such queries out, or counting them as 0 or
      as the depth, would change what is measured.
    - ``counts``: number of queries in the mean, if not all of them.
    - ``intervals``: bootstrap intervals of the means, from resamples shared by all measures; none for a null mean.
    - ``percentiles``, ``medians``: of Max@R and Rank[L]. A hidden rank lies between depth + 1 and infinity: the
      statistic is given if both extremes lead to the same value. Intervals of medians are based on order statistics; an
      end is ``None`` if there are too few queries or it is unbounded, and a low end may be the bound depth + 1.
    - ``ties``: number of queries with a tie at a relevant version; for Max@R and Complete@K, and for every other
      measure that ties can change, the best and the worst mean over all orders of equal scores (the highest and the
      lowest for a measure without a better direction), and the mean over all orders. See `measures.ties`.
    - ``censored``: ``None`` for exact ranks; else depths, number and share of queries with a hidden version, number of
      these whose list is empty, and the mean of Max@R with depth + 1 for hidden versions, which is a lower bound.

    :param table: ranks of the row's queries.
    :param measures: measures of the row.
    :param samples: number of bootstrap resamples; 0 for no intervals.
    :param confidence: of the intervals.
    :param seed: of the bootstrap.
    :param values: the measures' values where `evaluate` was called already.
    :raises InputError: if ``samples``, ``confidence`` or ``seed`` is out of range.
    """
    check_whole(samples, field="samples", least=0)
    check_whole(seed, field="seed", least=0)
    evaluated = evaluate(table, measures) if values is None else values
    queries = int(table.ranks.shape[0])
    row = RowStatistics(
        measures={},
        reasons={},
        counts={},
        intervals={},
        percentiles={},
        medians={},
        ties=_ties(table, measures, evaluated),
        censored=_censored(table),
    )
    for measure in measures:
        measured = evaluated[measure.name]
        applies = ~np.isnan(measured.values)
        count = int(applies.sum())
        if count == 0 or measured.censored.any():
            row["measures"][measure.name] = None
            row["reasons"][measure.name] = measured.reason or "there are no queries"
        else:
            row["measures"][measure.name] = float(measured.values[applies].mean())
            if count != queries:
                row["counts"][measure.name] = count
        if measure.unit == "rank" and (count or measured.censored.any()):
            row["percentiles"][measure.name], row["medians"][measure.name] = _order_statistics(
                measured, table, confidence
            )
    known = [name for name, value in row["measures"].items() if value is not None]
    if samples and known:
        matrix = np.column_stack([evaluated[name].values for name in known])
        intervals = bootstrap_means(matrix, samples=samples, confidence=confidence, seed=seed)
        row["intervals"] = dict(zip(known, intervals.tolist(), strict=True))
    return row


def _order_statistics(
    measured: QueryValues, table: RankTable, confidence: float
) -> tuple[dict[str, float | None], Median]:
    """Percentiles and median of ranks, some of which may be known only to lie below their list."""
    low, high = measured.values, measured.values
    if table.depth is not None and measured.censored.any():
        low = np.where(measured.censored, table.depth + 1.0, measured.values)
        high = np.where(measured.censored, np.inf, measured.values)
    at_least, at_most = (quantiles(ends[~np.isnan(ends)], list(PERCENTILES.values())) for ends in (low, high))
    sure = [float(a) if a == b else None for a, b in zip(at_least, at_most, strict=True)]
    percentiles = dict(zip(PERCENTILES, sure, strict=True))
    ends = [median_interval(low, confidence=confidence)[0], median_interval(high, confidence=confidence)[1]]
    return percentiles, Median(value=percentiles["p50"], interval=[_finite(end) for end in ends])


def _ties(
    table: RankTable, measures: Sequence[Measure], evaluated: Mapping[str, QueryValues]
) -> dict[str, int | dict[str, float | None]]:
    ties: dict[str, int | dict[str, float | None]] = {"queries": int(queries_with_ties(table).sum())}
    for measure in measures:
        always = isinstance(measure, MaxAtR | Complete)
        values = evaluated[measure.name]
        if values.censored.any() or np.isnan(values.values).all():
            if always:
                ties[measure.name] = {"optimistic": None, "pessimistic": None, "expected": None}
            continue
        bounds = tie_values(table, measure, values)
        if not always and np.array_equal(bounds.lowest, bounds.highest, equal_nan=True):
            continue
        ends = (bounds.highest, bounds.lowest) if measure.direction >= 0 else (bounds.lowest, bounds.highest)
        ties[measure.name] = {
            "optimistic": known_mean(ends[0]),
            "pessimistic": known_mean(ends[1]),
            "expected": known_mean(bounds.expected),
        }
    return ties


def _censored(table: RankTable) -> CensoredBlock | None:
    if table.depth is None:
        return None
    hidden = int((table.ranks == CENSORED).any(axis=1).sum())
    queries = len(table.depth)
    return CensoredBlock(
        {
            "depth_min": int(table.depth.min()) if queries else 0,
            "depth_max": int(table.depth.max()) if queries else 0,
            "queries": hidden,
            "share": hidden / queries if queries else 0.0,
            "nothing_found": int(Facts(table).nothing_found.sum()),
            "Max@R_lower_bound": known_mean(max_at_r_lower_bound(table)),
        }
    )


def known_mean(values: NDArray[np.float64]) -> float | None:
    """Mean over the queries that have a value; None if none has.

    :param values: float64 [queries], NaN for a query without a value.
    """
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
