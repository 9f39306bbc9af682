"""Audits of any Haystack document store, and of the result lists of any Haystack query pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from haystack_crossalign.api.requests.files import FilesRequest
from haystack_crossalign.audit.run import Embedder, Progress
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.read import judged_pool
from haystack_crossalign.data.formats.run_files import Run
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, source_of
from haystack_crossalign.pipelines.retriever import QueryPipeline
from haystack_crossalign.pipelines.store import OpenedStore, open_store, store_similarity
from haystack_crossalign.pipelines.stored_documents import read_stored_documents
from haystack_crossalign.ranks import Similarity


@dataclass(frozen=True)
class StoreCollection:
    """The documents of a store, with queries and judgments.

    :param collection: the collection.
    :param similarity: by which the store compares vectors; None if it does not say.
    :param notes: sentences on what cannot be guaranteed.
    """

    collection: JudgedCollection
    similarity: Similarity | None
    notes: tuple[str, ...]


def read_store(
    request: FilesRequest, *, log: ReadingLog, progress: Progress | None = None, store: Any = None
) -> StoreCollection:
    """Read the documents of a store, and the queries for them.

    :param request: the store, the queries, and how they are read.
    :param log: decides whether invalid rows are left out, and counts them.
    :param progress: called while documents are read.
    :param store: a document store, instead of the request's file.
    :raises InputError: if store or queries are invalid.
    :raises ExternalError: if the store fails.
    """
    opened = _opened(request, store)
    try:
        return _read(request, opened, log, progress)
    finally:
        close = getattr(opened.store, "close", None)
        if store is None and callable(close):
            close()


def _read(request: FilesRequest, opened: OpenedStore, log: ReadingLog, progress: Progress | None) -> StoreCollection:
    if request.queries is None:
        raise InputError("no queries", source="--queries", allowed="a file of queries that name documents of the store")
    total = int(opened.store.count_documents()) if progress is not None else 0
    report: Callable[[int], None] | None = None
    if progress is not None:
        count = progress
        report = lambda done: count("Reading documents", done, max(total, done))  # noqa: E731
    documents, source = read_stored_documents(
        opened,
        language_field=request.language_field,
        group_field=request.group_field,
        id_field=request.id_field,
        title_field=request.title_field or None,
        url_field=request.url_field,
        detect=request.detect_languages,
        vectors=request.pipeline is None,
        log=log,
        progress=report,
    )
    sources = (Source(opened.file.path.name, opened.file.sha256), source) if opened.file.sha256 else (source,)
    collection = judged_pool(
        opened.file.path.stem,
        documents,
        sources,
        request.queries,
        qrels=request.qrels,
        workbench=request.workbench,
        query_vectors=request.query_vectors,
        language_field=request.language_field,
        group_field=request.group_field,
        default_language=request.query_language,
        expand_groups=bool(request.expand_groups),
        detect=request.detect_languages,
        relevance_level=request.relevance_level,
        log=log,
    )
    return StoreCollection(collection, store_similarity(opened.store), opened.notes)


@dataclass(frozen=True)
class PipelineLists:
    """Result lists of a pipeline.

    :param run: the lists.
    :param depth: number of documents requested; None if the pipeline decides it.
    :param described: the pipeline, for the provenance.
    :param notes: sentences on what cannot be guaranteed.
    """

    run: Run
    depth: int | None
    described: dict[str, Any]
    notes: tuple[str, ...]


def pipeline_lists(
    request: FilesRequest,
    collection: JudgedCollection,
    *,
    embedder: Callable[[], Embedder],
    progress: Progress | None = None,
) -> PipelineLists:
    """Ask a query pipeline for the queries of a collection.

    :param request: the pipeline, its depth, and the field of the ids.
    :param collection: queries, with vectors if they have any.
    :param embedder: opens the model, for a pipeline that takes vectors of queries without them.
    :param progress: called while queries are asked.
    :raises InputError: if the file is no such pipeline.
    :raises ExternalError: if a component fails.
    """
    path = Path(request.pipeline or "")
    pipeline = QueryPipeline.from_yaml(
        path,
        id_field=request.id_field,
        language_field=request.language_field,
        group_field=request.group_field,
        timeout=request.timeout,
        trust_remote_code=request.model.trust_remote_code,
    )
    queries = collection.queries
    vectors = queries.vectors
    if pipeline.needs_vectors and vectors is None:
        vectors = embedder().encode_queries(queries.texts)
    rankings: list[dict[str, float]] = []
    for row, text in enumerate(queries.texts):
        if progress is not None:
            progress("Asking the pipeline", row, len(queries))
        (hits,) = pipeline.retrieve([text], None if vectors is None else vectors[row : row + 1], request.depth, "")
        ranking: dict[str, float] = {}
        for hit in hits:
            ranking.setdefault(hit.id, hit.score)
        rankings.append(ranking)
    described = {key: value for key, value in pipeline.provenance().items() if key not in ("name", "file", "sha256")}
    pipeline.close()
    return PipelineLists(
        _run(path, queries.ids, rankings), pipeline.asked_depth(request.depth), described, pipeline.notes
    )


def _run(path: Path, ids: tuple[str, ...], rankings: list[dict[str, float]]) -> Run:
    """The lists as a run. Where scores are missing or rise with the rank, only the order counts."""
    ranked = [list(row.items()) for row in rankings]
    scores = [[score for _, score in row] for row in ranked]
    falling = all(np.isfinite(row).all() and (np.diff(row) <= 0).all() for row in scores)
    if not falling:
        ranked = [[(name, float(-rank)) for rank, (name, _) in enumerate(row, start=1)] for row in ranked]
    return Run(ids, tuple(tuple(row) for row in ranked), "pipeline", path, source_of(path), None if falling else "rank")


def _opened(request: FilesRequest, store: Any) -> OpenedStore:
    if store is not None:
        from haystack_crossalign.pipelines.file import PipelineFile

        return OpenedStore(store, PipelineFile(Path(type(store).__name__), {}, "", ""), ())
    if request.store is None:
        raise InputError("no document store", source="--store", allowed="a file in YAML")
    return open_store(request.store, timeout=request.timeout, trust_remote_code=request.model.trust_remote_code)
