"""A judged collection from the files of a user."""

from __future__ import annotations

from pathlib import Path

from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.detect import detect_languages
from haystack_crossalign.data.formats.jsonl import read_documents, read_queries
from haystack_crossalign.data.formats.relevance_workbench import judgments_as_qrels, read_judgments
from haystack_crossalign.data.formats.trec import read_qrels, read_query_tsv
from haystack_crossalign.data.judgments import (
    Qrels,
    QueryFile,
    expand_to_groups,
    relevant_from_qrels,
    relevant_from_queries,
)
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name
from haystack_crossalign.files.reading import Source
from haystack_crossalign.languages import UNDETERMINED

__all__ = ["read_collection"]


def read_collection(
    documents: str | Path,
    queries: str | Path,
    *,
    qrels: str | Path | None = None,
    workbench: str | Path | None = None,
    language_field: str = "language",
    group_field: str = "parallel_id",
    title_field: str | None = None,
    default_language: str | None = None,
    expand_groups: bool = False,
    detect: bool = False,
    name: str | None = None,
) -> JudgedCollection:
    """Documents in JSON lines, queries in JSON lines or TSV (by the ending ``.tsv``), and their judgments.

    :param documents: the documents, see `jsonl.read_documents`.
    :param queries: the queries, see `jsonl.read_queries` and `trec.read_query_tsv`.
    :param qrels: a TREC qrels file. It takes the place of all judgments in the queries file.
    :param workbench: a judgment list of OpenSearch's Search Relevance Workbench, in place of ``qrels``.
    :param language_field: field that holds the language, in both files.
    :param group_field: field that holds the parallel group, in both files.
    :param title_field: field of the documents that is put before their text; None for none.
    :param default_language: language of the queries that name none; None where each must name one.
    :param expand_groups: whether all versions of a relevant document are relevant too (the documents of its group).
    :param detect: whether to detect the language of documents and queries that name none, see `detect_languages`.
    :param name: what to call the collection; the name of the documents file without its ending where it is None.
    :raises InputError: for the first thing that is wrong, with file, line and field.
    """
    pool, source = read_documents(
        documents,
        language_field=language_field,
        group_field=group_field,
        title_field=title_field,
        default_language=UNDETERMINED if detect else None,
    )
    if detect and default_language is None:
        default_language = UNDETERMINED
    if plain_name(Path(queries)).suffix.lower() == ".tsv":
        file = read_query_tsv(queries, default_language=default_language)
    else:
        file = read_queries(
            queries, language_field=language_field, group_field=group_field, default_language=default_language
        )
    sources: tuple[Source, ...] = (source, file.source)
    judged = _judgments(qrels, workbench, file)
    if judged is None:
        relevant = relevant_from_queries(file, pool, group_field=group_field)
    else:
        relevant = relevant_from_qrels(file, pool, judged)
        sources = (*sources, judged.source)
    if expand_groups:
        relevant = expand_to_groups(pool, relevant)
    collection = JudgedCollection(
        name=plain_name(Path(documents)).stem if name is None else name,
        documents=pool,
        queries=file.queries,
        relevant=relevant,
        sources=sources,
    )
    check_judgments(collection, source=file.path, query_lines=[row.line for row in file.rows])
    return detect_languages(collection) if detect else collection


def _judgments(qrels: str | Path | None, workbench: str | Path | None, file: QueryFile) -> Qrels | None:
    if qrels is not None and workbench is not None:
        raise InputError("judgments from two files", seen=f"{qrels}, {workbench}", allowed="one of them")
    if workbench is not None:
        return judgments_as_qrels(read_judgments(workbench), file.queries)
    return None if qrels is None else read_qrels(qrels)
