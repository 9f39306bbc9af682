"""A judged collection from the files of a user."""

from __future__ import annotations

from pathlib import Path

from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import JudgedCollection, Source
from haystack_crossalign.data.groups import expand_to_groups
from haystack_crossalign.data.jsonl import read_documents, read_queries
from haystack_crossalign.data.judgments import relevant_from_qrels, relevant_from_queries
from haystack_crossalign.data.trec import read_qrels, read_query_tsv

__all__ = ["read_collection"]


def read_collection(
    documents: str | Path,
    queries: str | Path,
    *,
    qrels: str | Path | None = None,
    language_field: str = "language",
    group_field: str = "parallel_id",
    title_field: str | None = None,
    default_language: str | None = None,
    expand_groups: bool = False,
    name: str | None = None,
) -> JudgedCollection:
    """Documents in JSON lines, queries in JSON lines or TSV (by the ending ``.tsv``), and their judgments.

    :param documents: the documents, see `jsonl.read_documents`.
    :param queries: the queries, see `jsonl.read_queries` and `trec.read_query_tsv`.
    :param qrels: a TREC qrels file. It takes the place of all judgments in the queries file.
    :param language_field: field that holds the language, in both files.
    :param group_field: field that holds the parallel group, in both files.
    :param title_field: field of the documents that is put before their text; None for none.
    :param default_language: language of the queries that name none; None where each must name one.
    :param expand_groups: whether all versions of a relevant document are relevant too (the documents of its group).
    :param name: what to call the collection; the name of the documents file without its ending where it is None.
    :raises InputError: for the first thing that is wrong, with file, line and field.
    """
    pool, source = read_documents(
        documents, language_field=language_field, group_field=group_field, title_field=title_field
    )
    if Path(queries).suffix.lower() == ".tsv":
        file = read_query_tsv(queries, default_language=default_language)
    else:
        file = read_queries(
            queries, language_field=language_field, group_field=group_field, default_language=default_language
        )
    sources: tuple[Source, ...] = (source, file.source)
    if qrels is None:
        relevant = relevant_from_queries(file, pool, group_field=group_field)
    else:
        judged = read_qrels(qrels)
        relevant = relevant_from_qrels(file, pool, judged)
        sources = (*sources, judged.source)
    if expand_groups:
        relevant = expand_to_groups(pool, relevant)
    collection = JudgedCollection(
        name=Path(documents).stem if name is None else name,
        documents=pool,
        queries=file.queries,
        relevant=relevant,
        sources=sources,
    )
    check_judgments(collection, source=file.path, query_lines=[row.line for row in file.rows])
    return collection
