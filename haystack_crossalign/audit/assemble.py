"""Assemble an AuditResult from ranked rows: exact ranks, result lists or runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.measures import (
    Measure,
    QueryValues,
    aggregate,
    default_measures,
    evaluate,
    gap_measures,
    intrusion_matrix,
)
from haystack_crossalign.ranks.table import ABSENT, CENSORED, RankTable

EXAMPLES = 10
"""Number of queries shown per row, those with the deepest Max@R, and of documents shown from the top of each
ranking.
"""


@dataclass(frozen=True)
class Example:
    """The top of a query's ranking.

    :param documents: ids, best first.
    :param scores: their scores, None if there is none.
    :param relevant: ids of the relevant documents.
    """

    documents: Sequence[str]
    scores: Sequence[float | None]
    relevant: Sequence[str]


@dataclass(frozen=True, eq=False)
class RankedRow:
    """A row with its queries and their ranks.

    :param scenario: pool and query language.
    :param table: ranks of the Q queries.
    :param ids: the Q ids; likewise ``languages`` and ``texts``.
    :param show: returns the examples of queries, given their positions.
    :param describe: returns language, group and text of a document, given its id; title and url if it has them.
    :param values: computes measures instead of `haystack_crossalign.measures.evaluate`, for estimated ranks.
    :param extra: further entries of the row, such as the retrieval and its recall.
    """

    scenario: Scenario
    table: RankTable
    ids: Sequence[str]
    languages: Sequence[str]
    texts: Sequence[str]
    show: Callable[[NDArray[np.int64]], Sequence[Example]]
    describe: Callable[[str], dict[str, str]]
    values: Callable[[Sequence[Measure]], dict[str, QueryValues]] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def assemble_result(
    rows: Iterable[RankedRow],
    *,
    provenance: Mapping[str, Any],
    measures: Sequence[Measure] | None = None,
    also: Sequence[Measure] = (),
    samples: int = 1000,
    seed: int = 0,
    examples: int = EXAMPLES,
    live: Mapping[str, Any] | None = None,
) -> AuditResult:
    """Measure ranked rows and assemble the result.

    :param rows: the rows; may be a generator, as they are consumed one by one.
    :param provenance: what the result was made with.
    :param measures: what to compute; the default measures of each pool's languages if None.
    :param also: additional measures.
    :param samples: bootstrap samples behind each interval; 0 for none.
    :param seed: seed of the bootstrap.
    :param examples: queries shown per row.
    :param live: additional data of an audit of a live index, see `AuditResult.live`.
    """
    built: list[dict[str, Any]] = []
    columns: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    documents: dict[str, dict[str, str]] = {}
    first = 0
    for number, row in enumerate(rows):
        known_languages = [language for language in row.scenario.pool_languages if language != UNDETERMINED]
        usual = default_measures(known_languages) if measures is None else measures
        gaps = gap_measures() if measures is None and has_gaps(row.scenario, row.table) else ()
        chosen = tuple(dict.fromkeys((*usual, *gaps, *also)))
        values = evaluate(row.table, chosen) if row.values is None else row.values(chosen)
        built.append({**build_row(row.scenario, row.table, chosen, values, samples=samples, seed=seed), **row.extra})
        columns.append(
            query_columns(
                number, row.scenario, row.table, values, ids=row.ids, languages=row.languages, texts=row.texts
            )
        )
        worst = deepest_queries(row.table, row.ids, examples)
        for place, example in zip(worst.tolist(), row.show(worst) if len(worst) else [], strict=True):
            shown.append(
                {
                    "row": number,
                    "query": first + place,
                    "documents": list(example.documents),
                    "scores": list(example.scores),
                    "relevant": list(example.relevant),
                }
            )
            documents.update({document: row.describe(document) for document in (*example.documents, *example.relevant)})
        first += len(row.ids)
    return AuditResult(
        provenance=dict(provenance),
        rows=built,
        queries=merge_columns(columns),
        examples=shown,
        documents=dict(sorted(documents.items())),
        live=None if live is None else dict(live),
    )


def has_gaps(scenario: Scenario, table: RankTable) -> bool:
    """Whether some queries of a mixed pool have no relevant version in their own language, though the pool holds
    documents in it.

    :param scenario: pool and query language.
    :param table: ranks of its queries.
    """
    if scenario.name != "multi" or scenario.query_language not in scenario.pool_languages:
        return False
    own = (table.relevant_languages == table.query_languages[:, None]).any(axis=1)
    return bool((~own & (table.relevant_languages >= 0).any(axis=1)).any())


def deepest_queries(table: RankTable, ids: Sequence[str], count: int) -> NDArray[np.int64]:
    """Positions of the queries whose relevant versions lie deepest, those below the end of a list first.

    :param table: ranks of the queries.
    :param ids: their ids, which decide between equal depths.
    :param count: how many.
    """
    ranks = table.ranks
    deepest = np.where((ranks == CENSORED).any(axis=1), np.iinfo(np.int32).max, ranks.max(axis=1, initial=0)).tolist()
    order = sorted(range(len(ids)), key=lambda query: (-deepest[query], ids[query]))
    return np.array(order[:count], dtype=np.int64)


def build_row(
    scenario: Scenario,
    table: RankTable,
    measures: Sequence[Measure],
    values: Mapping[str, QueryValues],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Build a row of a result: sizes, point estimates, 95 % intervals, ties and censoring.

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
    """Build the columns of a row's queries: languages and ranks of their relevant versions, and every measure.

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
            name: [None if math.isnan(value) else value for value in numbers.values.tolist()]
            for name, numbers in values.items()
        },
    }
    return columns


def merge_columns(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Concatenate the columns of several rows; a measure that a row lacks is null."""
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
        [None if rank in (ABSENT, CENSORED) else rank for rank in line]  # absent versions are left out by the caller
        for line in ranks.tolist()
    ]
