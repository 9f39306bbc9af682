"""Exact ranks of all rows of an audit: each pool is prepared and searched once for all queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.assemble import EXAMPLES, Example, RankedRow, deepest_queries
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import Documents, JudgedCollection
from haystack_crossalign.data.columns import codes
from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import DEFAULT_SIMILARITY, RankTable, Similarity, exact_ranks, exact_top_k
from haystack_crossalign.ranks.table import PADDING, TopLists, parallel_groups, part_of, top_lists, with_gains


def rank_plan(
    collection: JudgedCollection,
    plan: Sequence[Scenario],
    *,
    similarity: Similarity = DEFAULT_SIMILARITY,
    precision: str = "auto",
    examples: int = EXAMPLES,
    lists: int = 0,
) -> Iterator[RankedRow]:
    """Exact ranks of the rows of a plan, in its order.

    :param collection: documents and queries with vectors.
    :param plan: pools and query languages.
    :param similarity: what documents are ranked by.
    :param precision: precision of the fast pass.
    :param examples: queries of each row that will be shown.
    :param lists: ranks of each list to record, for measures of whole lists.
    :raises InputError: if no query of a row has a relevant document in its pool.
    """
    left = Counter(scenario.pool_languages for scenario in plan)
    pools: dict[tuple[str, ...], _Pool] = {}
    for number, scenario in enumerate(plan):
        languages = scenario.pool_languages
        if languages not in pools:
            rows = [later for later in plan[number:] if later.pool_languages == languages]
            pools[languages] = _Pool(collection, rows, similarity, precision, examples, lists)
        yield pools[languages].row(scenario)
        left[languages] -= 1
        if not left[languages]:
            del pools[languages]


def rank_scenario(
    collection: JudgedCollection,
    scenario: Scenario,
    *,
    similarity: Similarity = DEFAULT_SIMILARITY,
    precision: str = "auto",
) -> RankedRow:
    """Exact ranks of one scenario; otherwise as `rank_plan`."""
    return next(rank_plan(collection, [scenario], similarity=similarity, precision=precision))


def top_documents(
    collection: JudgedCollection, scenario: Scenario, depth: int, *, similarity: Similarity = DEFAULT_SIMILARITY
) -> tuple[tuple[str, ...], list[list[tuple[str, float]]]]:
    """The exact top of each query's ranking, for a TREC run.

    :param collection: documents and queries with vectors.
    :param scenario: the pool and the query language.
    :param depth: documents per query.
    :param similarity: what documents are ranked by.
    :returns: ids of the queries, and for each its (document id, score) pairs, best first.
    """
    part = collection.restrict(scenario.pool_languages, [scenario.query_language])
    return part.queries.ids, _top(part.documents, _vectors(part)[0], depth, similarity)


@dataclass(frozen=True, eq=False)
class _Row:
    """The queries of one row and their relevant versions in a pool.

    :param part: its documents and queries.
    :param queries: where its queries stand among those of all rows.
    :param relevant: int32 [Q, R], versions to rank, padded with -1.
    :param gains: float64 [Q, R], their gains; None if judgments are not graded.
    """

    part: JudgedCollection
    queries: slice
    relevant: NDArray[np.int32]
    gains: NDArray[np.float64] | None

    def languages(self, scenario: Scenario) -> tuple[str, ...]:
        return tuple(sorted({*scenario.pool_languages, scenario.query_language}))


class _Pool:
    """The rows of one pool, all ranked when the first of them is requested."""

    def __init__(
        self,
        collection: JudgedCollection,
        scenarios: Sequence[Scenario],
        similarity: Similarity,
        precision: str,
        examples: int,
        lists: int,
    ) -> None:
        self._collection, self._similarity, self._count = collection, similarity, examples
        self._rows: dict[Scenario, _Row] = {}
        self._documents_checked = False
        first = 0
        for scenario in dict.fromkeys(scenarios):
            try:
                part = self._part(scenario)
            except InputError:
                if not self._rows:
                    raise
                continue  # reported when this row is ranked: errors of earlier rows come first
            versions = part.documents.versions()
            gained = part.gained_versions(versions)
            relevant = part.relevant_versions(versions) if gained is None else gained[0]
            queries = slice(first, first + len(part.queries))
            self._rows[scenario] = _Row(part, queries, relevant, None if gained is None else gained[1])
            first = queries.stop
        self._table = self._ranked(precision)
        if lists:
            self._table = replace(self._table, top_lists=self._top_lists(lists))
        self._shown: dict[Scenario, dict[int, Example]] | None = None

    def row(self, scenario: Scenario) -> RankedRow:
        """The ranks of one row.

        :raises InputError: what was wrong with it.
        """
        if scenario not in self._rows:
            self._part(scenario)
        row = self._rows[scenario]
        part = row.part
        return RankedRow(
            scenario,
            self._table_of(scenario),
            ids=part.queries.ids,
            languages=part.queries.languages,
            texts=part.queries.texts,
            show=lambda places: self._examples(scenario, places),
            describe=part.documents.describe,
        )

    def _part(self, scenario: Scenario) -> JudgedCollection:
        """The documents and queries of a row, checked."""
        part = self._collection.restrict(scenario.pool_languages, [scenario.query_language])
        name = self._collection.name
        if not len(part.queries):
            raise InputError(
                f"{scenario.name}: no query in {scenario.query_language} has a relevant document in the pool "
                f"({', '.join(scenario.pool_languages)})",
                source=name,
                allowed="languages in which queries and relevant documents exist",
            )
        _vectors(part)
        where = f"{name}, {scenario.name} over {'+'.join(scenario.pool_languages)}"
        multi = scenario.name == "multi"
        check_judgments(part, multi=multi, source=where, documents_checked=self._documents_checked)
        self._documents_checked = True
        return part

    def _ranked(self, precision: str) -> RankTable:
        """Ranks of the queries of all rows."""
        rows = list(self._rows.values())
        documents = rows[0].part.documents
        versions = documents.versions()
        asked = [language for row in rows for language in row.part.queries.languages]
        languages = tuple(
            sorted({*(pool_language for scenario in self._rows for pool_language in scenario.pool_languages), *asked})
        )
        width = max(row.relevant.shape[1] for row in rows)
        relevant = np.full((len(asked), width), -1, dtype=np.int32)
        for row in rows:
            relevant[row.queries, : row.relevant.shape[1]] = row.relevant
        code = {language: number for number, language in enumerate(languages)}
        return exact_ranks(
            np.concatenate([_vectors(row.part)[0] for row in rows]),
            _vectors(rows[0].part)[1],
            document_languages=documents.language_codes(languages),
            languages=languages,
            query_languages=np.array([code[language] for language in asked], dtype=np.int32),
            relevant=relevant,
            tie_order=documents.tie_order(),
            versions=None if versions.whole else versions.of_document,
            similarity=self._similarity,
            precision=precision,
            top_language=True,
        )

    def _top_lists(self, depth: int) -> TopLists:
        """The first versions of the lists of the queries of all rows."""
        parts = [row.part for row in self._rows.values()]
        documents = parts[0].documents
        vectors = np.concatenate([_vectors(part)[0] for part in parts])
        versions = documents.versions()
        depth = min(depth, len(versions))
        nearest = np.full((len(vectors), depth), PADDING, dtype=np.int32)
        left, width = np.arange(len(vectors)), depth
        while len(left):
            indices, _ = exact_top_k(
                vectors[left],
                _vectors(parts[0])[1],
                width,
                tie_order=documents.tie_order(),
                similarity=self._similarity,
            )
            rows = [list(dict.fromkeys(line))[:depth] for line in versions.of_document[indices].tolist()]
            enough = np.array([len(row) == depth for row in rows])
            for query, row in zip(left.tolist(), rows, strict=True):
                nearest[query, : len(row)] = row
            # Chunks of a version count once, so that more documents are needed for so many versions.
            left, width = left[~enough], 2 * width
        asked = [language for part in parts for language in part.queries.languages]
        named = [name for part in parts for name in part.translations()]
        return top_lists(
            nearest,
            codes(versions.languages, self._table.languages)[nearest],
            np.ones(len(nearest), dtype=bool),
            asked,
            parallel_groups(named, asked),
        )

    def _table_of(self, scenario: Scenario) -> RankTable:
        row = self._rows[scenario]
        table = part_of(self._table, row.queries, row.languages(scenario))
        return table if row.gains is None else with_gains(table, row.gains, row.part.relevance_level)

    def _examples(self, scenario: Scenario, places: NDArray[np.int64]) -> list[Example]:
        if self._shown is None:
            deepest = {
                scenario: deepest_queries(self._table_of(scenario), row.part.queries.ids, self._count)
                for scenario, row in self._rows.items()
            }
            self._shown = self._searched(deepest)
        known = self._shown[scenario]
        if not known.keys() >= set(places.tolist()):
            known = self._searched({scenario: places})[scenario]
        return [known[place] for place in places.tolist()]

    def _searched(self, wanted: dict[Scenario, NDArray[np.int64]]) -> dict[Scenario, dict[int, Example]]:
        """The examples of some queries of each row, by their positions, with one search of the pool."""
        documents = next(iter(self._rows.values())).part.documents
        queries = np.concatenate(
            [_vectors(self._rows[scenario].part)[0][places] for scenario, places in wanted.items()]
        )
        tops = iter(_top(documents, queries, EXAMPLES, self._similarity) if len(queries) else [])
        return {
            scenario: {
                place: Example(
                    documents=[document for document, _ in top],
                    scores=[score for _, score in top],
                    relevant=[documents.ids[index] for index in self._rows[scenario].part.relevant[place]],
                )
                for place, top in zip(places.tolist(), tops, strict=False)
            }
            for scenario, places in wanted.items()
        }


def _vectors(part: JudgedCollection) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of queries and documents."""
    if part.documents.vectors is None or part.queries.vectors is None:
        msg = "the collection has no vectors: embed it first"
        raise ValueError(msg)
    return part.queries.vectors, part.documents.vectors


def _top(
    documents: Documents, queries: NDArray[np.float32], depth: int, similarity: Similarity
) -> list[list[tuple[str, float]]]:
    """(document id, score) pairs of the top of each query's ranking, best first."""
    if documents.vectors is None:
        return []
    ids = documents.ids
    indices, scores = exact_top_k(
        queries, documents.vectors, min(depth, len(ids)), tie_order=documents.tie_order(), similarity=similarity
    )
    return [
        [(ids[index], score) for index, score in zip(line, line_scores, strict=True)]
        for line, line_scores in zip(indices.tolist(), scores.tolist(), strict=True)
    ]
