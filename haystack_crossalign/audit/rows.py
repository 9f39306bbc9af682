"""Rows and columns of a result, made from a rank table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.measures import Measure, QueryValues, aggregate, intrusion_matrix
from haystack_crossalign.ranks.table import ABSENT, CENSORED, RankTable


def build_row(
    scenario: Scenario,
    table: RankTable,
    measures: Sequence[Measure],
    values: Mapping[str, QueryValues],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """One row of a result: sizes, point estimates, 95 % intervals, ties and censoring.

    :param scenario: the scenario the ranks belong to.
    :param table: ranks of its queries.
    :param measures: what to compute.
    :param values: the measures' values on the table.
    :param samples: bootstrap samples behind each interval.
    :param seed: seed of the bootstrap.
    """
    return {
        "scenario": scenario.name,
        "pool_languages": list(scenario.pool_languages),
        "query_language": scenario.query_language,
        "pool_size": table.pool_size,
        "queries": len(table.ranks),
        "relevant": int(table.relevant.sum()),
        "kind": "exact" if table.depth is None else "live",
        **aggregate(table, measures, samples=samples, seed=seed, values=values),
    }


def query_columns(
    row: int,
    scenario: Scenario,
    table: RankTable,
    values: Mapping[str, QueryValues],
    *,
    ids: Sequence[str],
    languages: Sequence[str],
    texts: Sequence[str],
) -> dict[str, Any]:
    """The columns of one row's queries: languages and ranks of their relevant versions, and every measure.

    :param row: number of the row.
    :param scenario: the scenario the ranks belong to.
    :param table: ranks of Q queries.
    :param values: the measures' values on the table.
    :param ids: the Q ids; likewise ``languages`` and ``texts``.
    """
    codes = [table.languages.index(language) for language in scenario.pool_languages]
    above = intrusion_matrix(table)[:, :, codes].tolist()
    present = (table.relevant_languages >= 0).tolist()
    count = len(ids)

    def per_version(matrix: Sequence[Sequence[Any]]) -> list[list[Any]]:
        return [
            [value for value, exists in zip(line, keep, strict=True) if exists]
            for line, keep in zip(matrix, present, strict=True)
        ]

    top = [-1] * count if table.top_language is None else table.top_language.tolist()
    columns: dict[str, Any] = {
        "row": [row] * count,
        "id": list(ids),
        "language": list(languages),
        "text": list(texts),
        "versions": per_version([[table.languages[c] for c in line] for line in table.relevant_languages.tolist()]),
        "ranks": per_version(_known(table.ranks)),
        "optimistic": per_version(_known(table.optimistic)),
        "pessimistic": per_version(_known(table.pessimistic)),
        "above": per_version(above),
        "depth": [None] * count if table.depth is None else table.depth.tolist(),
        "top_language": [table.languages[code] if code >= 0 else None for code in top],
        "measures": {
            name: [None if math.isnan(value) else value for value in given.values.tolist()]
            for name, given in values.items()
        },
    }
    return columns


def merge_columns(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put the columns of several rows under one another; a measure that a row lacks is null there."""
    merged: dict[str, Any] = {}
    for name in (name for name in parts[0] if name != "measures"):
        merged[name] = [value for part in parts for value in part[name]]
    names = dict.fromkeys(name for part in parts for name in part["measures"])
    merged["measures"] = {
        name: [value for part in parts for value in part["measures"].get(name, [None] * len(part["row"]))]
        for name in names
    }
    return merged


def _known(ranks: NDArray[np.int32]) -> list[list[int | None]]:
    return [
        [None if rank in (ABSENT, CENSORED) else rank for rank in line]  # absent ones are left out by the caller
        for line in ranks.tolist()
    ]
