"""Audit of the held-out part: ranks of the versions, and harm to same-language retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.pools import rank_scenario
from haystack_crossalign.audit.run import audit_vectors
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.triplets import Triplet, joined, normalized
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import evaluate, parse_measure
from haystack_crossalign.measures.aggregate import known_mean
from haystack_crossalign.ranks import DEFAULT_SIMILARITY, Similarity
from haystack_crossalign.repair.scores import HeldOut
from haystack_crossalign.training.batches.packing import DOCUMENT, QUERY, TextTable
from haystack_crossalign.training.recipe.sections import Evaluate

MEASURES = ("Max@R", "Max@R_norm", "Complete@10", "NDCG@1")
OWN_FIRST = "Top1[relevant,same]"
"""Measured in the pools of several languages only."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class RowScore:
    """Means over the queries of one language in one pool.

    :param scenario: ``multi``, ``mono-same`` or ``mono-cross``.
    :param pool: languages of the pool.
    :param query_language: language of the queries.
    :param queries: number of queries.
    :param pool_size: versions in the pool.
    :param measures: means by measure; None if it is defined for no query, such as Complete@10 with eleven versions.
    :param part: languages of the texts that were compared, if a one-language pool is evaluated in several parts.
    """

    scenario: str
    pool: tuple[str, ...]
    query_language: str
    queries: int
    pool_size: int
    measures: Mapping[str, float | None]
    part: str | None = None

    @property
    def name(self) -> str:
        """Short, unique name of the row, such as ``multi en+zh, zh queries``."""
        part = f" (of {self.part})" if self.part else ""
        return f"{self.scenario} {'+'.join(self.pool)}{part}, {self.query_language} queries"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return vars(self) | {"pool": list(self.pool), "measures": dict(self.measures)}


@dataclass(frozen=True)
class HeldOutScore:
    """The score of a model on the held-out part.

    :param rows: one entry for each pool and query language.
    """

    rows: tuple[RowScore, ...]

    @property
    def alignment(self) -> float:
        """Mean Max@R_norm of the pools of several languages, 0 to 1: higher is less bias."""
        return float(np.mean([_defined(row, "Max@R_norm") for row in self.rows if row.scenario == "multi"]))

    @property
    def own_first(self) -> dict[str, float]:
        """Share of queries with a relevant document in their own language at rank 1 of each pool of several languages,
        by the name of the row.
        """
        return {row.name: _defined(row, OWN_FIRST) for row in self.rows if row.scenario == "multi"}

    @property
    def quality(self) -> dict[str, float]:
        """NDCG@1 in each one-language pool, by the name of the row."""
        return {row.name: _defined(row, "NDCG@1") for row in self.rows if row.scenario != "multi"}


def harm(score: HeldOutScore, base: HeldOutScore) -> float:
    """Largest loss of a language in its own pool against the base model, in NDCG@1; negative for a gain."""
    before = base.quality
    return max((before[name] - value for name, value in score.quality.items()), default=0.0)


def own_first_lost(score: HeldOutScore, base: HeldOutScore) -> float:
    """Largest loss of :attr:`HeldOutScore.own_first` against the base model; negative for a gain."""
    before = base.own_first
    return max((before[name] - value for name, value in score.own_first.items()), default=0.0)


def keeps_own_first(score: HeldOutScore, base: HeldOutScore, options: Evaluate) -> bool:
    """Whether the queries of no language lose more of their own language first than the recipe accepts.

    :param score: of the model.
    :param base: of the base model.
    :param options: the section of the recipe.
    """
    return not own_first_refused(score, base, options)


def own_first_refused(score: HeldOutScore, base: HeldOutScore, options: Evaluate) -> list[str]:
    """Languages whose queries lose more of their own language first, in some pool, than the recipe accepts.

    :param score: of the model.
    :param base: of the base model.
    :param options: the section of the recipe.
    """
    bound, before, after = options.keep_own_first, base.own_first, score.own_first
    rows = [row for row in score.rows if row.scenario == "multi"]
    lost = {
        row.query_language
        for row in rows
        if bound is not None and before[row.name] - after[row.name] > bound + _ROUNDING
    }
    return sorted(lost)


def preference(score: HeldOutScore, base: HeldOutScore, options: Evaluate) -> tuple[bool, float]:
    """Sort key for models, greater is better: harmless models before harmful ones, then by bias; harmful ones by harm.

    :param score: of the model.
    :param base: of the base model.
    :param options: the section of the recipe, with the losses that count as none.
    """
    beyond = harm(score, base) - options.tolerance
    if options.keep_own_first is not None:
        beyond = max(beyond, own_first_lost(score, base) - options.keep_own_first)
    harmless = beyond <= _ROUNDING
    return (harmless, score.alignment if harmless else -beyond)


class HeldOutAudit:
    """Held-out triplets as judged collections.

    A pool holds the distinct passages; a query's relevant documents are the versions of its passage. A language without
    queries is evaluated with English ones (mono-cross), so that harm to it is also visible.

    :param triplets: the held-out triplets.
    :param table: their texts are added to it.
    :param language: language of the queries.
    :param languages: target languages.
    :param pool: ``pairs`` or ``all``; for ``all``, rows with the same query and passage are merged.
    :param similarity: similarity of the model.
    :raises InputError: if no language has two groups with queries.
    """

    #  Target languages with fewer than two held-out groups, which are not measured.
    unmeasured: tuple[str, ...]

    def __init__(
        self,
        triplets: Sequence[Triplet],
        table: TextTable,
        *,
        language: str,
        languages: Sequence[str],
        pool: str,
        similarity: Similarity = DEFAULT_SIMILARITY,
    ) -> None:
        self.similarity = similarity
        groups = [tuple(languages)] if pool == "all" else [(tag,) for tag in languages]
        if pool == "all":
            triplets = joined(triplets)
        self._parts: list[tuple[JudgedCollection, NDArray[np.int64], NDArray[np.int64], list[Scenario]]] = []
        for targets in groups:
            kept = [triplet for triplet in triplets if all(tag in triplet.targets for tag in targets)]
            part = _collect(kept, table, language, targets)
            if part is not None:
                self._parts.append(part)
        if not self._parts:
            raise InputError(
                "the held-out part is too small to measure anything",
                field="held_out",
                seen=f"{len(triplets)} triplets",
                allowed="two parallel groups in a target language"
                if pool == "pairs" or len(languages) == 1
                else "two parallel groups with all target languages, or evaluate.pool: pairs",
            )
        measured = {tag for _, _, _, plan in self._parts for scenario in plan for tag in scenario.pool_languages}
        self.unmeasured = tuple(tag for tag in languages if tag not in measured)
        self.rows = sorted({row for _, documents, queries, _ in self._parts for row in (*documents, *queries)})
        self._place = {row: place for place, row in enumerate(self.rows)}

    def score(self, vectors: NDArray[np.float32]) -> HeldOutScore:
        """Rank everything exactly.

        :param vectors: float32 ``[rows, dim]``, of the texts named by :attr:`rows`.
        """
        measures, own_first = [parse_measure(name) for name in MEASURES], parse_measure(OWN_FIRST)
        scores = []
        for collection, plan in self._with_vectors(vectors):
            for scenario in plan:
                table = rank_scenario(collection, scenario, similarity=self.similarity).table
                values = evaluate(table, [*measures, own_first] if scenario.name == "multi" else measures)
                means = {name: known_mean(measured.values) for name, measured in values.items()}
                scores.append(
                    RowScore(
                        scenario.name,
                        scenario.pool_languages,
                        scenario.query_language,
                        len(table.ranks),
                        int(table.pool_size or 0),
                        means,
                        # English is paired with each of several languages, each time with other texts.
                        "+".join(plan[0].pool_languages) if len(self._parts) > 1 and scenario.name != "multi" else None,
                    )
                )
        return HeldOutScore(tuple(scores))

    def intervals(self, vectors: NDArray[np.float32], *, seed: int, samples: int = 1000) -> list[dict[str, Any]]:
        """95 % bootstrap interval of each measure, per row in the order of :meth:`score`.

        :param vectors: as for :meth:`score`.
        :param seed: of the bootstrap.
        :param samples: bootstrap samples.
        """
        measures = [parse_measure(name) for name in MEASURES]
        entries: list[dict[str, Any]] = []
        for collection, plan in self._with_vectors(vectors):
            result = audit_vectors(
                collection,
                plan,
                provenance={},
                measures=measures,
                also=[parse_measure(OWN_FIRST)],
                seed=seed,
                samples=samples,
                similarity=self.similarity,
                examples=0,
            )
            entries += [dict(row["intervals"]) for row in result.rows]
        return entries

    def held_out(self, vectors: NDArray[np.float32]) -> HeldOut:
        """The same data in the form needed for the choice of a repair.

        :param vectors: as for :meth:`score`.
        """
        documents: dict[tuple[str, str], int] = {}
        queries: dict[tuple[str, str, str], int] = {}
        for collection, document_rows, query_rows, _ in self._parts:
            own = collection.documents
            for place, row in enumerate(document_rows.tolist()):
                documents.setdefault((own.groups[place], own.languages[place]), self._place[row])
            asked = collection.queries
            for place, row in enumerate(query_rows.tolist()):
                group = own.groups[collection.relevant[place][0]]
                queries.setdefault((asked.ids[place], group, asked.languages[place]), self._place[row])
        return HeldOut(
            queries=vectors[list(queries.values())],
            query_languages=[tag for _, _, tag in queries],
            query_groups=[group for _, group, _ in queries],
            documents=vectors[list(documents.values())],
            document_languages=[tag for _, tag in documents],
            document_groups=[group for group, _ in documents],
            similarity=self.similarity,
        )

    def _with_vectors(self, vectors: NDArray[np.float32]) -> list[tuple[JudgedCollection, list[Scenario]]]:
        tables = []
        for collection, document_rows, query_rows, plan in self._parts:
            documents = vectors[[self._place[row] for row in document_rows.tolist()]]
            queries = vectors[[self._place[row] for row in query_rows.tolist()]]
            tables.append(
                (
                    replace(
                        collection,
                        documents=replace(collection.documents, vectors=documents),
                        queries=replace(collection.queries, vectors=queries),
                    ),
                    plan,
                )
            )
        return tables


def _defined(row: RowScore, measure: str) -> float:
    """The value of a measure that must be defined."""
    value = row.measures[measure]
    if value is None:
        raise ValueError(f"{measure} of {row.name} is not defined")
    return value


def _collect(
    triplets: Sequence[Triplet], table: TextTable, language: str, targets: Sequence[str]
) -> tuple[JudgedCollection, NDArray[np.int64], NDArray[np.int64], list[Scenario]] | None:
    """A collection of the passages and queries, their rows in the table, and the pools."""
    group_of: dict[str, str] = {}
    documents: dict[tuple[str, str, str], int] = {}
    queries: dict[tuple[str, str], tuple[str, str, int]] = {}
    for triplet in triplets:
        group = group_of.setdefault(normalized(triplet.passage), triplet.group)
        for tag, text in ((language, triplet.passage), *((tag, triplet.targets[tag]) for tag in targets)):
            documents.setdefault((group, tag, normalized(text)), table.add(DOCUMENT, text))
        asked = {language: triplet.query} | {
            tag: triplet.target_queries[tag] for tag in targets if tag in triplet.target_queries
        }
        for tag, text in asked.items():
            # A question about several passages has no single answer, so the first passage is used.
            queries.setdefault((tag, normalized(text)), (f"{tag}:{triplet.id}", group, table.add(QUERY, text)))
    if len({group for group, _, _ in documents}) < 2:
        return None
    members: dict[str, list[int]] = {}
    for place, (group, _, _) in enumerate(documents):
        members.setdefault(group, []).append(place)
    collection = JudgedCollection(
        name="held-out part",
        documents=Documents(
            ids=tuple(f"{tag}:{group}:{place}" for place, (group, tag, _) in enumerate(documents)),
            languages=tuple(tag for _, tag, _ in documents),
            groups=tuple(group for group, _, _ in documents),
            texts=tuple(text for _, _, text in documents),
        ),
        queries=Queries(
            ids=tuple(query_id for query_id, _, _ in queries.values()),
            languages=tuple(tag for tag, _ in queries),
            texts=tuple(text for _, text in queries),
        ),
        relevant=tuple(tuple(members[group]) for _, group, _ in queries.values()),
    )
    pool = (language, *targets)
    asked_in = [tag for tag in pool if tag in collection.query_languages]
    plan = [Scenario("multi", pool, tag) for tag in asked_in]
    plan += [Scenario("mono-same", (tag,), tag) for tag in asked_in]
    plan += [Scenario("mono-cross", (tag,), language) for tag in pool if tag not in asked_in]
    document_rows = np.array(list(documents.values()), dtype=np.int64)
    query_rows = np.array([row for _, _, row in queries.values()], dtype=np.int64)
    return collection, document_rows, query_rows, plan
