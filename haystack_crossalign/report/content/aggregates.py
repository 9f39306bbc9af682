"""Aggregates of the per-query columns of a result, for charts: those that the rows do not already hold."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUND_CUTOFFS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
"""Common cut-offs K."""


@dataclass(frozen=True, eq=False)
class RowRanks:
    """Ranks of a row's queries, without queries that have no ranked relevant version.

    :param positions: position of each query in the columns, int [Q].
    :param deepest: largest rank over a query's relevant versions (its Max@R), float64 [Q]; inf where one is censored.
    :param by_language: ranks of the relevant versions in each document language, float64; inf = censored.
    :param ahead: for each document language the mean number of non-relevant documents, per pool language, above the
        relevant version in it; a lower bound where versions are censored.
    """

    positions: NDArray[np.int64]
    deepest: NDArray[np.float64]
    by_language: Mapping[str, NDArray[np.float64]]
    ahead: Mapping[str, Mapping[str, float]]


def row_ranks(result: Mapping[str, Any]) -> list[RowRanks]:
    """The ranks of every row of a result, in the order of its rows."""
    members: dict[int, list[int]] = defaultdict(list)
    for position, row in enumerate(result["queries"]["row"]):
        if result["queries"]["versions"][position]:
            members[row].append(position)
    return [_ranks_of_row(result, index, members[index]) for index in range(len(result["rows"]))]


def _ranks_of_row(result: Mapping[str, Any], index: int, members: list[int]) -> RowRanks:
    columns, pool_languages = result["queries"], result["rows"][index]["pool_languages"]
    deepest: dict[int, float] = {}
    ranks: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    above: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for languages, positions in _same_versions(columns["versions"], members):
        # None (censored) becomes NaN on the way into a float array.
        table = np.array([columns["ranks"][position] for position in positions], dtype=np.float64)
        table[np.isnan(table)] = np.inf
        deepest.update(zip(positions, table.max(axis=1).tolist(), strict=True))
        for version, language in enumerate(languages):
            ranks[language].append(table[:, version])
        if "above" in columns:
            counts = np.array([columns["above"][position] for position in positions], dtype=np.float64)
            for version, language in enumerate(languages):
                above[language].append(counts[:, version])
    return RowRanks(
        positions=np.array(members, dtype=np.int64),
        deepest=np.array([deepest[position] for position in members], dtype=np.float64),
        by_language={language: np.concatenate(parts) for language, parts in ranks.items()},
        ahead={
            language: dict(zip(pool_languages, np.concatenate(parts).mean(axis=0).tolist(), strict=True))
            for language, parts in above.items()
        },
    )


def _same_versions(versions: list[list[str]], members: list[int]) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Positions grouped by the languages of their versions, so that each group is a rectangular table."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for position in members:
        groups[tuple(versions[position])].append(position)
    yield from groups.items()


def bin_labels(largest: int) -> list[str]:
    """Labels of the octave bins 1, 2, 3-4, 5-8, ... that hold the ranks 1..largest."""
    bins = max(largest - 1, 0).bit_length() + 1
    return ["1", "2", *(f"{2 ** (b - 1) + 1}–{2**b}" for b in range(2, bins))][:bins]


def histogram(ranks: NDArray[np.float64], bins: int) -> list[int]:
    """Number of ranks in each octave bin; bin b > 0 holds 2^(b-1) < rank <= 2^b. Censored ranks are left out."""
    known = ranks[np.isfinite(ranks)]
    octave = np.ceil(np.log2(known)).astype(np.int64)
    return [int(n) for n in np.bincount(octave, minlength=bins)[:bins]]


def curve_grid(largest: int, points: int = 48) -> list[int]:
    """Cut-offs K for a curve over a logarithmic axis up to ``largest``: 1 to 16, round numbers, evenly spaced ones."""
    steps = {round(2 ** (math.log2(largest) * step / points)) for step in range(points + 1)} if largest > 1 else set()
    return sorted({k for k in (*range(1, 17), *ROUND_CUTOFFS, *steps, largest) if k <= largest})


def complete_curve(deepest: NDArray[np.float64], grid: list[int]) -> list[float]:
    """Complete@K at every K of the grid: the share of queries whose deepest relevant version ranks within K."""
    ordered = np.sort(deepest)
    return [round(float(share), 5) for share in np.searchsorted(ordered, grid, side="right") / max(len(ordered), 1)]


def median_rank(row: Mapping[str, Any], name: str, ranks: NDArray[np.float64] | None) -> float | None:
    """Median of a rank measure: that of the row, else from the ranks; None if it is censored or unknown.

    :param row: a row of the result.
    :param name: ``Max@R`` or ``Rank[L]``.
    :param ranks: the ranks the measure averages, inf = censored.
    """
    stated: float | None = row.get("medians", {}).get(name, {}).get("value")
    if stated is None:
        stated = row.get("percentiles", {}).get(name, {}).get("p50")
    if stated is None and ranks is not None and len(ranks):
        value = float(np.median(ranks))
        stated = value if math.isfinite(value) else None
    return stated


def mean_rank(row: Mapping[str, Any], name: str, ranks: NDArray[np.float64]) -> float | None:
    """Mean of a rank measure: that of the row, else from the ranks; None if one of them is censored.

    :param row: a row of the result; it may lack the measure.
    :param name: ``Rank[L]``.
    :param ranks: the ranks the measure averages, inf = censored.
    """
    if name in row["measures"]:
        stated: float | None = row["measures"][name]
        return stated
    return float(ranks.mean()) if len(ranks) and np.isfinite(ranks).all() else None
