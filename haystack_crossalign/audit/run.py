"""Exact audit: from vectors to an AuditResult."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.assemble import EXAMPLES, RankedRow, assemble_result
from haystack_crossalign.audit.pools import rank_plan
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import Measure, recorded_depth
from haystack_crossalign.ranks import DEFAULT_SIMILARITY, Similarity

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

    rows = rank_plan(
        collection,
        plan,
        similarity=similarity,
        precision=precision,
        examples=examples,
        lists=recorded_depth([*(measures or ()), *also]),
    )

    def ranked() -> Iterator[RankedRow]:
        for number in range(len(plan)):
            if progress is not None:
                progress("Ranking", number, len(plan))
            yield next(rows)

    result = assemble_result(
        ranked(), provenance=provenance, measures=measures, also=also, samples=samples, seed=seed, examples=examples
    )
    if progress is not None:
        progress("Ranking", len(plan), len(plan))
    return result


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)
