"""The audit of result lists: what a search engine returned, to a depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.assemble import EXAMPLES, Example, RankedRow, assemble_result
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.run_files import UNKNOWN, Run, RunArrays, run_arrays
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import Measure, select_queries
from haystack_crossalign.ranks import ranks_from_lists
from haystack_crossalign.ranks.result_lists import with_asked_depth

__all__ = ["audit_run"]


def audit_run(
    collection: JudgedCollection,
    run: Run,
    *,
    provenance: Mapping[str, Any],
    measures: Sequence[Measure] | None = None,
    also: Sequence[Measure] = (),
    depth: int | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> AuditResult:
    """Audit a TREC run over a collection: one row per query language, ranks censored where the lists end.

    :param collection: documents, queries and judgments; vectors play no part.
    :param run: the lists; a query that it lacks found nothing.
    :param provenance: what the result was made with.
    :param measures: what to compute; the default measures if None.
    :param also: what to compute besides, where it is not among them.
    :param depth: number of documents asked for; the length of the longest list if None or smaller. A shorter list is
        taken to have ended by itself.
    :param samples: bootstrap samples behind each interval.
    :param seed: seed of the bootstrap.
    :raises InputError: for a document or query of the run that is not in the collection.
    """
    check_judgments(collection)
    arrays = run_arrays(run, collection.queries, collection.documents)
    _refuse_strangers(collection, run, arrays)
    documents, queries = collection.documents, collection.queries
    versions = documents.versions()
    pool, languages = collection.document_languages, collection.languages
    table = ranks_from_lists(
        arrays.retrieved,
        document_languages=documents.language_codes(languages),
        languages=languages,
        query_languages=queries.language_codes(languages),
        relevant=collection.relevant_versions(versions),
        tie_order=None,  # `read_run` has ordered them, by the run's own ranks where it has them
        versions=None if versions.whole else versions.of_document,
        scores=arrays.scores,
        pool_size=len(versions),
    )
    table = with_asked_depth(table, (arrays.retrieved >= 0).sum(axis=1), depth)

    def ranked() -> Iterator[RankedRow]:
        for language in collection.query_languages:
            chosen = queries.in_languages([language])
            name = "multi" if len(pool) > 1 else "mono-same" if language in pool else "mono-cross"
            part = queries.select(chosen)
            yield RankedRow(
                Scenario(name, pool, language),
                select_queries(table, chosen),
                ids=part.ids,
                languages=part.languages,
                texts=part.texts,
                show=partial(_examples, collection, arrays, chosen),
                describe=documents.describe,
            )

    return assemble_result(ranked(), provenance=provenance, measures=measures, also=also, samples=samples, seed=seed)


def _examples(
    collection: JudgedCollection, arrays: RunArrays, chosen: NDArray[np.int64], places: NDArray[np.int64]
) -> list[Example]:
    ids = collection.documents.ids
    found = []
    for query in chosen[places].tolist():
        top = [index for index in arrays.retrieved[query, :EXAMPLES].tolist() if index >= 0]
        found.append(
            Example(
                documents=[ids[index] for index in top],
                scores=arrays.scores[query, : len(top)].tolist(),
                relevant=[ids[index] for index in collection.relevant[query]],
            )
        )
    return found


def _refuse_strangers(collection: JudgedCollection, run: Run, arrays: RunArrays) -> None:
    if not (arrays.retrieved == UNKNOWN).any():
        return
    known = set(collection.documents.ids)
    for query, ranking in zip(run.query_ids, run.rankings, strict=True):
        for document, _ in ranking:
            if document not in known:
                raise InputError(
                    f"query '{query}' has a document that is not in the pool",
                    source=run.path,
                    field="docid",
                    seen=document,
                    allowed=f"ids of the {len(known)} documents",
                )
