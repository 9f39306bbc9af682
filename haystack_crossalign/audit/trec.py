"""TREC files of an exact audit: the ranking as a run, the judgments as qrels."""

from __future__ import annotations

from collections.abc import Sequence

from haystack_crossalign.audit.pools import top_documents
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.run_files import format_qrels, format_run
from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import DEFAULT_SIMILARITY, Similarity


def run_rows(plan: Sequence[Scenario]) -> list[Scenario]:
    """The rows of a plan that fit in one run file: those of its first scenario, if each query has only one pool.

    :raises InputError: if a query language has several pools, since a run lists each query once.
    """
    rows = [row for row in plan if row.name == plan[0].name]
    languages = [row.query_language for row in rows]
    if len(set(languages)) < len(languages):
        twice = next(language for language in languages if languages.count(language) > 1)
        raise InputError(
            f"a run holds each query once, and queries in {twice} are asked of several pools",
            source="--run",
            seen="; ".join("+".join(row.pool_languages) for row in rows if row.query_language == twice),
            allowed="one pool per query language: one scenario first in --scenario, and no --pairs",
        )
    return rows


def trec_run(
    collection: JudgedCollection,
    plan: Sequence[Scenario],
    depth: int,
    *,
    similarity: Similarity = DEFAULT_SIMILARITY,
) -> str:
    """The exact ranking of the first scenario as a TREC run.

    :param collection: documents and queries with vectors.
    :param plan: the rows of the audit.
    :param depth: documents per query.
    :param similarity: what documents are ranked by.
    :raises InputError: see `run_rows`; also for an id with white space.
    """
    ids: list[str] = []
    rankings: list[list[tuple[str, float]]] = []
    for scenario in run_rows(plan):
        row_ids, row_rankings = top_documents(collection, scenario, depth, similarity=similarity)
        ids += row_ids
        rankings += row_rankings
    return format_run(ids, rankings)


def trec_qrels(collection: JudgedCollection) -> str:
    """The judged documents of every query with their grades as TREC qrels.

    :param collection: documents, queries and judgments.
    :raises InputError: for an id with white space.
    """
    names = collection.documents.ids
    judged = [
        {names[index]: grade for index, grade in collection.judged(query).items()}
        for query in range(len(collection.queries))
    ]
    return format_qrels(collection.queries.ids, judged)
