"""Join documents, queries and judgments to the collection that an audit uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from haystack_crossalign.data.check import certain_query, check_judgments
from haystack_crossalign.data.collection import Documents, JudgedCollection
from haystack_crossalign.data.detect import detect_languages
from haystack_crossalign.data.judgments import Judged, QueryFile, answerable, expand_to_groups
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.files.reading import Source

CERTAIN = "all documents of the pool are relevant"
"""Why a query is left out on which all rankings are equally good."""


def join_judgments(
    name: str,
    documents: Documents,
    file: QueryFile,
    judged: Judged,
    *,
    sources: tuple[Source, ...],
    judgments_path: Path,
    log: ReadingLog,
    title_field: str | None,
    expand_groups: bool = False,
    detect: bool = False,
    relevance_level: int = 1,
    keep_unanswerable: bool = False,
) -> JudgedCollection:
    """Make the collection of the queries that can be measured.

    :param name: name of the collection.
    :param documents: the pool.
    :param file: the queries.
    :param judged: their judgments.
    :param sources: the files.
    :param judgments_path: the file of the judgments, for messages.
    :param log: what was left out so far; queries without a relevant document are added.
    :param title_field: field of the titles that were put before the texts.
    :param expand_groups: whether all versions of a relevant document are relevant too (the documents of its group).
    :param detect: whether to detect languages, see `detect_languages`.
    :param relevance_level: least grade of a relevant document.
    :param keep_unanswerable: keep queries without a relevant document, or without a clear language if languages are
        detected, to convert judgments instead of auditing them.
    :raises InputError: as `answerable` and `check_judgments`.
    """
    if expand_groups:
        judged = expand_to_groups(documents, judged)
    if not keep_unanswerable:
        judged = answerable(judged, [row.id for row in file.rows], relevance_level, log, judgments_path)
    file = file if len(judged.rows) == len(file.rows) else file.select(judged.rows)
    plain = all(grade == 1 for grades in judged.grades for grade in grades.values())
    collection = JudgedCollection(
        name=name,
        documents=documents,
        queries=file.queries,
        relevant=judged.relevant(relevance_level),
        sources=sources,
        grades=None if plain and relevance_level == 1 else judged.grades,
        relevance_level=relevance_level,
        omissions=log.omissions(),
        titles=(title_field, log.titled) if title_field is not None and log.titled else None,
        skip_certain=log.skip_invalid,
    )
    lines = [row.line for row in file.rows]
    if not keep_unanswerable and (certain := collection.certain()):
        errors = [certain_query(collection, query_id, source=file.path, line=lines[query_id]) for query_id in certain]
        for number, error in zip(certain, errors, strict=True):
            log.refuse("query", error, reason=CERTAIN, name=collection.queries.ids[number])
        if len(certain) == len(lines):
            raise errors[0]
        left = np.setdiff1d(np.arange(len(lines)), certain)
        collection = replace(collection.select_queries(left), omissions=log.omissions())
        lines = [lines[number] for number in left.tolist()]
    check_judgments(collection, source=file.path, query_lines=lines, unanswerable=keep_unanswerable)
    return detect_languages(collection, keep_unclear=keep_unanswerable) if detect else collection
