"""Read a judged collection from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from haystack_crossalign.data.collection import Documents, JudgedCollection
from haystack_crossalign.data.formats.jsonl import read_documents, read_queries
from haystack_crossalign.data.formats.relevance_workbench import judgments_as_qrels, read_judgments
from haystack_crossalign.data.formats.trec import read_qrels, read_query_tsv
from haystack_crossalign.data.formats.vector_files import read_vectors
from haystack_crossalign.data.join import join_judgments
from haystack_crossalign.data.judgments import Qrels, QueryFile, grades_from_qrels, grades_from_queries
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name
from haystack_crossalign.files.reading import Source
from haystack_crossalign.languages import UNDETERMINED


def read_collection(
    documents: str | Path,
    queries: str | Path,
    *,
    qrels: str | Path | None = None,
    workbench: str | Path | None = None,
    document_vectors: str | Path | None = None,
    query_vectors: str | Path | None = None,
    language_field: str = "language",
    group_field: str = "parallel_id",
    title_field: str | None = "title",
    url_field: str | None = None,
    default_language: str | None = None,
    expand_groups: bool = False,
    detect: bool = False,
    relevance_level: int = 1,
    keep_unanswerable: bool = False,
    name: str | None = None,
    log: ReadingLog | None = None,
) -> JudgedCollection:
    """Read documents in JSON Lines, queries in JSON Lines or TSV (extension ``.tsv``), and their judgments.

    All files may be compressed with gzip. Queries whose judgments are all below ``relevance_level`` are left out and
    reported, as is everything else that is not used.

    :param documents: the documents, see `jsonl.read_documents`.
    :param queries: the queries, see `jsonl.read_queries` and `trec.read_query_tsv`.
    :param qrels: a TREC qrels file. It replaces all judgments in the queries file.
    :param workbench: a judgment list of OpenSearch's Search Relevance Workbench, instead of ``qrels``.
    :param document_vectors: vectors of the documents in a file of their own, see `vector_files.read_vectors`.
    :param query_vectors: the same for the queries.
    :param language_field: field that holds the language, in both files.
    :param group_field: field that holds the parallel group, in both files.
    :param title_field: field of the documents that is put before their text, as in BEIR; None for none.
    :param url_field: field of the documents that holds the address of their page, for reports; None for none.
    :param default_language: language of the queries without one; None if each must have one.
    :param expand_groups: whether all versions of a relevant document are relevant too (the documents of its group).
    :param detect: whether to detect the language of documents and queries without one, see `detect_languages`.
    :param relevance_level: least grade of a relevant document, at least 1.
    :param keep_unanswerable: keep queries without a relevant document, to convert judgments instead of auditing them.
    :param name: name of the collection; None for the name of the documents file without its extension.
    :param log: decides whether invalid rows are left out, and counts them.
    :raises InputError: for the first error, with file, line and field.
    """
    log = log or ReadingLog()
    pool, source = read_documents(
        documents,
        language_field=language_field,
        group_field=group_field,
        title_field=title_field,
        url_field=url_field,
        default_language=UNDETERMINED if detect else None,
        log=log,
    )
    stored: tuple[Source, ...] = (source,)
    if document_vectors is not None:
        vectors, second = read_vectors(document_vectors, pool.ids, "document", given=pool.vectors is not None, log=log)
        pool, stored = replace(pool, vectors=vectors), (source, second)
    return judged_pool(
        plain_name(Path(documents)).stem if name is None else name,
        pool,
        stored,
        queries,
        qrels=qrels,
        workbench=workbench,
        query_vectors=query_vectors,
        language_field=language_field,
        group_field=group_field,
        title_field=title_field,
        default_language=default_language,
        expand_groups=expand_groups,
        detect=detect,
        relevance_level=relevance_level,
        keep_unanswerable=keep_unanswerable,
        log=log,
    )


def judged_pool(
    name: str,
    pool: Documents,
    sources: tuple[Source, ...],
    queries: str | Path,
    *,
    qrels: str | Path | None = None,
    workbench: str | Path | None = None,
    query_vectors: str | Path | None = None,
    language_field: str = "language",
    group_field: str = "parallel_id",
    title_field: str | None = None,
    default_language: str | None = None,
    expand_groups: bool = False,
    detect: bool = False,
    relevance_level: int = 1,
    keep_unanswerable: bool = False,
    log: ReadingLog,
) -> JudgedCollection:
    """Read queries and their judgments for documents that were read already.

    :param name: name of the collection.
    :param pool: the documents.
    :param sources: where they come from; the files read here are added.
    :param queries: see `read_collection`, also for the other parameters.
    """
    if detect and default_language is None:
        default_language = UNDETERMINED
    file = read_query_file(
        queries, language_field=language_field, group_field=group_field, default_language=default_language, log=log
    )
    sources = (*sources, file.source)
    if query_vectors is not None:
        vectors, stored = read_vectors(
            query_vectors, [row.id for row in file.rows], "query", given=file.vectors is not None, log=log
        )
        file, sources = replace(file, vectors=vectors), (*sources, stored)
    judgments = read_given_judgments(qrels, workbench, file, log=log)
    if judgments is None:
        judged = grades_from_queries(file, pool, group_field=group_field, log=log)
    else:
        judged = grades_from_qrels(file, pool, judgments, log=log)
        sources = (*sources, judgments.source)
    return join_judgments(
        name,
        pool,
        file,
        judged,
        sources=sources,
        judgments_path=file.path if judgments is None else judgments.path,
        log=log,
        title_field=title_field,
        expand_groups=expand_groups,
        detect=detect,
        relevance_level=relevance_level,
        keep_unanswerable=keep_unanswerable,
    )


def read_query_file(
    path: str | Path,
    *,
    language_field: str = "language",
    group_field: str = "parallel_id",
    default_language: str | None = None,
    log: ReadingLog | None = None,
) -> QueryFile:
    """Read queries in JSON Lines, or in tab-separated columns if the extension is ``.tsv``.

    :param path: the file; a final ``.gz`` does not count as its extension.
    :param language_field: field that holds the language.
    :param group_field: field that holds the parallel group.
    :param default_language: language of the queries without one.
    :param log: decides whether invalid rows are left out, and counts them.
    """
    if plain_name(Path(path)).suffix.lower() == ".tsv":
        return read_query_tsv(path, default_language=default_language, log=log)
    return read_queries(
        path, language_field=language_field, group_field=group_field, default_language=default_language, log=log
    )


def read_given_judgments(
    qrels: str | Path | None, workbench: str | Path | None, file: QueryFile, *, log: ReadingLog | None = None
) -> Qrels | None:
    """Read the judgments of a qrels file or of a judgment list; None if neither is given.

    :param qrels: a TREC qrels file.
    :param workbench: a judgment list of the Search Relevance Workbench.
    :param file: the queries, to which a judgment list refers by their texts.
    :param log: decides whether invalid rows are left out, and counts them.
    :raises InputError: if both are given, or the file is invalid.
    """
    if qrels is not None and workbench is not None:
        raise InputError("judgments from two files", seen=f"{qrels}, {workbench}", allowed="one of them")
    if workbench is not None:
        return judgments_as_qrels(read_judgments(workbench, log=log), file.queries, log=log)
    return None if qrels is None else read_qrels(qrels, log=log)


def title_field_of(option: str | None) -> str | None:
    """The field whose titles are put before texts, None for none.

    :param option: value of the option; None for the default, ``title``, and empty for no field.
    """
    return "title" if option is None else option or None
