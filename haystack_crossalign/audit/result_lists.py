"""Audit of result lists: what a search engine returned, up to a depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.assemble import EXAMPLES, Example, RankedRow, assemble_result
from haystack_crossalign.audit.provenance import describe_omissions
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.columns import codes
from haystack_crossalign.data.formats.run_files import Run, RunArrays, matching_run, run_arrays
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.measures import Measure, recorded_depth, select_queries
from haystack_crossalign.ranks import ranks_from_lists
from haystack_crossalign.ranks.arguments import padded
from haystack_crossalign.ranks.result_lists import with_asked_depth
from haystack_crossalign.ranks.table import PADDING, RankTable, TopLists, parallel_groups, top_lists, with_gains
from haystack_crossalign.ranks.ties import TIE_SEED


def audit_run(
    collection: JudgedCollection,
    run: Run,
    *,
    provenance: Mapping[str, Any],
    measures: Sequence[Measure] | None = None,
    also: Sequence[Measure] = (),
    depth: int | None = None,
    merged: bool = True,
    samples: int = 1000,
    seed: int = 0,
    log: ReadingLog | None = None,
) -> AuditResult:
    """Audit a TREC run over a collection: one row per query language, ranks censored where the lists end.

    :param collection: documents, queries and judgments; vectors are ignored.
    :param run: the lists; a query without a list counts as having found nothing, and lists of other queries are left
        out.
    :param provenance: what the result was made with.
    :param measures: what to compute; the default measures if None.
    :param also: what to compute besides, where it is not among them.
    :param depth: number of documents requested; the length of the longest list if None or smaller. A shorter list is
        assumed to have ended by itself.
    :param merged: whether ranks count versions, of which a list may hold several documents; False to count documents,
        as users see the list.
    :param samples: bootstrap samples behind each interval.
    :param seed: seed of the bootstrap.
    :param log: counts what was left out when reading the run, and decides whether documents outside the pool are left
        out.
    :raises InputError: for a document of the run that is not in the pool, or a run without any of the queries.
    """
    check_judgments(collection)
    log = ReadingLog() if log is None else log
    run = matching_run(run, collection.queries, collection.documents, log)
    provenance = {**provenance, **_described(collection, run, provenance, log)}
    arrays = run_arrays(run, collection.queries, collection.documents)
    documents, queries = collection.documents, collection.queries
    versions = documents.versions()
    gained = collection.gained_versions(versions)
    pool, languages = collection.document_languages, collection.languages
    table = ranks_from_lists(
        arrays.retrieved,
        document_languages=documents.language_codes(languages),
        languages=languages,
        query_languages=queries.language_codes(languages),
        relevant=collection.relevant_versions(versions) if gained is None else gained[0],
        tie_order=None,  # already ordered by `read_run`, by the ranks of the run if it has any
        versions=None if versions.whole else versions.of_document,
        scores=None if run.order == "rank" else arrays.scores,
        pool_size=len(versions) if merged else len(documents),
        merged=merged,
    )
    if fewer := _merged_lists(arrays.retrieved, versions.of_document):
        described = {**provenance.get("run", {}), "merged": {**fewer, "counted": "versions" if merged else "hits"}}
        provenance = {**provenance, "run": described}
    if gained is not None:
        table = with_gains(table, gained[1], collection.relevance_level)
    table = with_asked_depth(table, (arrays.retrieved >= 0).sum(axis=1), depth)
    if wanted := recorded_depth([*(measures or ()), *also]):
        of_document = versions.of_document if merged else np.arange(len(documents), dtype=np.int32)
        tags = versions.languages if merged else documents.languages
        table = replace(
            table, top_lists=_top_lists(collection, arrays, of_document, codes(tags, languages), wanted, table)
        )

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


def _top_lists(
    collection: JudgedCollection,
    arrays: RunArrays,
    unit_of: NDArray[np.int32],
    unit_languages: NDArray[np.int32],
    wanted: int,
    table: RankTable,
) -> TopLists:
    """The first units of every list: versions, or documents where every hit counts."""
    rows = [list(dict.fromkeys(unit_of[line[line >= 0]].tolist()))[:wanted] for line in arrays.retrieved]
    listed = padded(rows, PADDING, np.int32, wanted)
    ended = np.zeros(len(rows), dtype=bool) if table.ended is None else table.ended
    asked_in = collection.queries.languages
    return top_lists(
        listed,
        np.append(unit_languages, np.int32(PADDING))[listed],
        ended,
        asked_in,
        parallel_groups(collection.translations(), asked_in),
    )


def _merged_lists(retrieved: NDArray[np.int32], versions: NDArray[np.int32]) -> dict[str, int]:
    """Of the longest lists, their length and the fewest versions that one holds; empty if each hit is a version."""
    lengths = (retrieved >= 0).sum(axis=1)
    longest = int(lengths.max(initial=0))
    held = [len(np.unique(versions[row[:longest]])) for row in retrieved[lengths == longest]]
    fewest = min(held, default=longest)
    return {"hits": longest, "versions": fewest} if fewest < longest else {}


def _examples(
    collection: JudgedCollection, arrays: RunArrays, chosen: NDArray[np.int64], places: NDArray[np.int64]
) -> list[Example]:
    ids = collection.documents.ids
    examples = []
    for query in chosen[places].tolist():
        top = [index for index in arrays.retrieved[query, :EXAMPLES].tolist() if index >= 0]
        examples.append(
            Example(
                documents=[ids[index] for index in top],
                scores=arrays.scores[query, : len(top)].tolist(),
                relevant=[ids[index] for index in collection.relevant[query]],
            )
        )
    return examples


def _described(
    collection: JudgedCollection, run: Run, provenance: Mapping[str, Any], log: ReadingLog
) -> dict[str, Any]:
    """Description of the run in the result: its order, contradictions, missing queries and omissions."""
    description: dict[str, Any] = {}
    if run.order is not None:
        description["order"] = run.order
    if run.contradictions is not None:
        description["contradictions"] = asdict(run.contradictions)
    listed = set(run.query_ids)
    lacking = [query for query in collection.queries.ids if query not in listed]
    if lacking:
        description["queries_without_results"] = {"count": len(lacking), "first": lacking[:3]}
    ties = TIE_SEED if run.order == "score" else f"ranks of the run, {TIE_SEED}"
    described: dict[str, Any] = {"ties": ties, **({"run": description} if description else {})}
    left_out = describe_omissions(log.omissions())
    if left_out:
        data = dict(provenance["data"])
        described["data"] = {**data, "left_out": [*data.get("left_out", ()), *left_out]}
    return described
