"""Exact audit: from vectors to an AuditResult."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.assemble import EXAMPLES, Example, RankedRow, assemble_result
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import Measure
from haystack_crossalign.ranks import DEFAULT_SIMILARITY, Similarity, exact_ranks, exact_top_k
from haystack_crossalign.ranks.table import with_gains

Progress = Callable[[str, int, int], None]
"""Called with the current step, the amount done, and the total."""


class Embedder(Protocol):
    """Anything that embeds texts: a model, a Haystack embedder, a server."""

    def encode_queries(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed queries: float32 [n, dim]."""

    def encode_documents(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed documents: float32 [n, dim]."""

    def provenance(self) -> dict[str, Any]:
        """Name, hash, dimension, precision, prompts and similarity, as a JSON-ready mapping."""


def embed_collection(
    collection: JudgedCollection, embedder: Embedder | None, *, progress: Progress | None = None
) -> JudgedCollection:
    """Embed a collection; existing vectors are kept.

    :param collection: documents and queries.
    :param embedder: embeds the texts without vectors.
    :param progress: called while embedding.
    :raises InputError: if vectors are missing and there is no embedder, or dimensions differ.
    """
    documents, queries = collection.documents, collection.queries
    if embedder is None and (documents.vectors is None or queries.vectors is None):
        missing = "documents" if documents.vectors is None else "queries"
        raise InputError(
            f"the {missing} have no vectors",
            field="embedding",
            allowed="a model (--model or --embedder), or a vector with every document and query",
        )
    if documents.vectors is None and embedder is not None:
        report = _stage(progress, "Embedding documents")
        documents = replace(documents, vectors=embedder.encode_documents(documents.texts, progress=report))
    if queries.vectors is None and embedder is not None:
        report = _stage(progress, "Embedding queries")
        queries = replace(queries, vectors=embedder.encode_queries(queries.texts, progress=report))
    if documents.vectors is not None and queries.vectors is not None:
        dimensions = documents.vectors.shape[1], queries.vectors.shape[1]
        if dimensions[0] != dimensions[1]:
            raise InputError(
                "documents and queries differ in dimension",
                field="embedding",
                seen=f"documents {dimensions[0]}, queries {dimensions[1]}",
                allowed="vectors of one model",
            )
    return replace(collection, documents=documents, queries=queries)


def audit_vectors(
    collection: JudgedCollection,
    plan: Sequence[Scenario],
    *,
    provenance: Mapping[str, Any],
    measures: Sequence[Measure] | None = None,
    also: Sequence[Measure] = (),
    seed: int = 0,
    samples: int = 1000,
    similarity: Similarity = DEFAULT_SIMILARITY,
    precision: str = "auto",
    examples: int = EXAMPLES,
    progress: Progress | None = None,
) -> AuditResult:
    """Audit a collection with vectors: exact ranks of every relevant version in every scenario.

    :param collection: documents and queries with vectors.
    :param plan: the rows to compute.
    :param provenance: what the result was made with.
    :param measures: what to compute; the default measures of each pool's languages if None.
    :param also: what to compute besides, where it is not among them.
    :param seed: seed of the bootstrap.
    :param samples: bootstrap samples behind each interval.
    :param similarity: similarity that defines the ranks.
    :param precision: "auto", "bf16" or "fp32" for the fast pass; ranks do not depend on it.
    :param examples: queries shown per row.
    :param progress: called before each row.
    :raises InputError: if a row has no query.
    """

    def ranked() -> Iterator[RankedRow]:
        for number, scenario in enumerate(plan):
            if progress is not None:
                progress("Ranking", number, len(plan))
            yield rank_scenario(collection, scenario, similarity=similarity, precision=precision)

    result = assemble_result(
        ranked(), provenance=provenance, measures=measures, also=also, samples=samples, seed=seed, examples=examples
    )
    if progress is not None:
        progress("Ranking", len(plan), len(plan))
    return result


def rank_scenario(
    collection: JudgedCollection,
    scenario: Scenario,
    *,
    similarity: Similarity = DEFAULT_SIMILARITY,
    precision: str = "auto",
) -> RankedRow:
    """Exact ranks of one scenario.

    :param collection: documents and queries with vectors.
    :param scenario: the pool and the query language.
    :param similarity: what documents are ranked by.
    :param precision: precision of the fast pass.
    :raises InputError: if no query in the language has a relevant document in the pool.
    """
    part = collection.restrict(scenario.pool_languages, [scenario.query_language])
    if not len(part.queries):
        raise InputError(
            f"{scenario.name}: no query in {scenario.query_language} has a relevant document in the pool "
            f"({', '.join(scenario.pool_languages)})",
            source=collection.name,
            allowed="languages in which queries and relevant documents exist",
        )
    if part.documents.vectors is None or part.queries.vectors is None:
        msg = "the collection has no vectors: embed it first"
        raise ValueError(msg)
    where = f"{collection.name}, {scenario.name} over {'+'.join(scenario.pool_languages)}"
    check_judgments(part, multi=scenario.name == "multi", source=where)
    versions = part.documents.versions()
    gained = part.gained_versions(versions)
    languages = tuple(sorted({*scenario.pool_languages, scenario.query_language}))
    table = exact_ranks(
        part.queries.vectors,
        part.documents.vectors,
        document_languages=part.documents.language_codes(languages),
        languages=languages,
        query_languages=part.queries.language_codes(languages),
        relevant=part.relevant_versions(versions) if gained is None else gained[0],
        tie_order=part.documents.tie_order(),
        versions=None if versions.whole else versions.of_document,
        similarity=similarity,
        precision=precision,
        top_language=True,
    )
    if gained is not None:
        table = with_gains(table, gained[1], part.relevance_level)
    return RankedRow(
        scenario,
        table,
        ids=part.queries.ids,
        languages=part.queries.languages,
        texts=part.queries.texts,
        show=lambda places: _examples(part, places, similarity),
        describe=part.documents.describe,
    )


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
    if part.documents.vectors is None or part.queries.vectors is None:
        msg = "the collection has no vectors: embed it first"
        raise ValueError(msg)
    return part.queries.ids, _top(part, part.queries.vectors, depth, similarity)


def _examples(part: JudgedCollection, places: NDArray[np.int64], similarity: Similarity) -> list[Example]:
    if part.queries.vectors is None:
        return []
    ids = part.documents.ids
    tops = _top(part, part.queries.vectors[places], EXAMPLES, similarity)
    return [
        Example(
            documents=[document for document, _ in top],
            scores=[score for _, score in top],
            relevant=[ids[index] for index in part.relevant[query]],
        )
        for query, top in zip(places.tolist(), tops, strict=True)
    ]


def _top(
    part: JudgedCollection, queries: NDArray[np.float32], depth: int, similarity: Similarity
) -> list[list[tuple[str, float]]]:
    """(document id, score) pairs of the top of each query's ranking, best first."""
    if part.documents.vectors is None:
        return []
    ids = part.documents.ids
    indices, scores = exact_top_k(
        queries,
        part.documents.vectors,
        min(depth, len(ids)),
        tie_order=part.documents.tie_order(),
        similarity=similarity,
    )
    return [
        [(ids[index], score) for index, score in zip(line, line_scores, strict=True)]
        for line, line_scores in zip(indices.tolist(), scores.tolist(), strict=True)
    ]


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)
