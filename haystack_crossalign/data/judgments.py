"""Queries as read, and the joining of their judgments to the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.data.collection import Documents, Queries
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source

Grade = int | float
"""A relevance grade: an integer, or a rating of the Search Relevance Workbench. By default, 1 and above is relevant."""


@dataclass(frozen=True)
class QueryRow:
    """A query of a file.

    :param id: its id.
    :param language: its language, normalized.
    :param text: its text.
    :param line: 1-based line in the file.
    :param grades: grades of its judged documents by their ids, None if the file has none.
    :param group: the parallel group whose documents are all relevant, None if the file has none.
    """

    id: str
    language: str
    text: str
    line: int
    grades: Mapping[str, Grade] | None = None
    group: str | None = None

    def relevant(self, level: int = 1) -> tuple[str, ...] | None:
        """Ids of its relevant documents, None if the file has none.

        :param level: least grade of a relevant document.
        """
        return (
            None
            if self.grades is None
            else tuple(document_id for document_id, grade in self.grades.items() if grade >= level)
        )


@dataclass(frozen=True, eq=False)
class QueryFile:
    """The queries of one file.

    :param rows: the queries, in the order of the file.
    :param path: the file.
    :param source: its name and hash.
    :param vectors: float32 [Q, dim], or None if the file has no vectors.
    """

    rows: tuple[QueryRow, ...]
    path: Path
    source: Source
    vectors: NDArray[np.float32] | None = None

    def select(self, rows: Sequence[int]) -> QueryFile:
        """The file with some of its queries.

        :param rows: their positions.
        """
        return replace(
            self,
            rows=tuple([self.rows[number] for number in rows]),
            vectors=None if self.vectors is None else self.vectors[np.array(rows, dtype=np.int64)],
        )

    @property
    def queries(self) -> Queries:
        """The queries without their judgments."""
        return Queries(
            ids=tuple([row.id for row in self.rows]),
            languages=tuple([row.language for row in self.rows]),
            texts=tuple([row.text for row in self.rows]),
            vectors=self.vectors,
        )


@dataclass(frozen=True)
class Judgment:
    """A line of a qrels file.

    :param query: id of the query.
    :param document: id of the document.
    :param grade: relevance grade; 0 and below mean judged not relevant.
    :param line: 1-based line in the file, 0 if there is none.
    """

    query: str
    document: str
    grade: Grade
    line: int


@dataclass(frozen=True)
class Qrels:
    """The judgments of one qrels file.

    :param judgments: the lines, in the order of the file.
    :param path: the file.
    :param source: its name and hash.
    """

    judgments: tuple[Judgment, ...]
    path: Path
    source: Source


@dataclass(frozen=True)
class Judged:
    """Judgments joined to a pool.

    :param rows: positions of the queries that are kept, ascending.
    :param grades: for each of them the grades of its judged documents, by their index in the pool.
    """

    rows: tuple[int, ...]
    grades: tuple[Mapping[int, Grade], ...]

    def relevant(self, level: int = 1) -> tuple[tuple[int, ...], ...]:
        """Ascending indices of each query's relevant documents.

        :param level: least grade of a relevant document.
        """
        return tuple(
            tuple(sorted(index for index, grade in grades.items() if grade >= level)) for grades in self.grades
        )


def grades_from_queries(
    file: QueryFile, documents: Documents, *, group_field: str = "parallel_id", log: ReadingLog | None = None
) -> Judged:
    """Join judgments in the file of queries, given by document ids or by a parallel group.

    :param file: the queries.
    :param documents: the pool.
    :param group_field: name of the group field, for messages.
    :param log: counts what is left out.
    :raises InputError: for a query that names no document, or a document that is not in the pool.
    """
    log = log or ReadingLog()
    index = {document_id: position for position, document_id in enumerate(documents.ids)}
    groups = documents_by_group(documents)
    kept: dict[int, dict[int, Grade]] = {}
    for number, row in enumerate(file.rows):
        if row.grades is not None:
            grades: dict[int, Grade] = {}
            for document_id, grade in row.grades.items():
                if document_id in index:
                    grades[index[document_id]] = grade
                else:
                    _missing_document(log, file.path, row.line, "relevant", row.id, document_id, grade, documents)
        elif row.group is not None and row.group not in groups:
            error = InputError(
                "no document belongs to this group",
                source=file.path,
                line=row.line,
                field=group_field,
                seen=row.group,
                allowed="a group of the documents, such as " + _examples(tuple(groups)),
            )
            log.refuse("query", error, name=row.id)
            continue
        else:
            grades = {} if row.group is None else dict.fromkeys(groups[row.group], 1)
        if not grades and not (row.grades and log.skip_invalid):
            error = InputError(
                "query without relevant document",
                source=file.path,
                line=row.line,
                field="relevant",
                seen=row.id,
                allowed=f"a list of document ids in 'relevant', a group in '{group_field}', or a qrels file",
            )
            log.refuse("query", error, reason="no judgment", name=row.id)
            continue
        kept[number] = grades
    return Judged(tuple(kept), tuple(kept.values()))


def grades_from_qrels(
    file: QueryFile, documents: Documents, qrels: Qrels, *, subset: bool = False, log: ReadingLog | None = None
) -> Judged:
    """Join judgments of a qrels file. Those of queries that are not in the file are left out and reported.

    :param file: the queries.
    :param documents: the pool.
    :param qrels: the judgments.
    :param subset: whether queries may have no judgment, as in a BEIR folder with several splits; otherwise they are
        invalid.
    :param log: counts what is left out.
    :raises InputError: if no judgment belongs to one of the queries, a document with a grade above 0 is not in the
        pool, or a query has no judgment.
    """
    log = log or ReadingLog()
    index = {document_id: position for position, document_id in enumerate(documents.ids)}
    by_query = judgments_by_query(file, qrels, log=log)
    kept: dict[int, dict[int, Grade]] = {}
    for number, row in enumerate(file.rows):
        judgments = by_query[row.id]
        if not judgments:
            without_judgment(log, file, row, qrels, subset=subset)
            continue
        grades: dict[int, Grade] = {}
        for judgment in judgments:
            if judgment.document in index:
                grades[index[judgment.document]] = judgment.grade
            else:
                _missing_document(
                    log, qrels.path, judgment.line, "document", row.id, judgment.document, judgment.grade, documents
                )
        kept[number] = grades
    return Judged(tuple(kept), tuple(kept.values()))


def answerable(judged: Judged, queries: Sequence[str], level: int, log: ReadingLog, source: str | Path) -> Judged:
    """Select the queries that have a relevant document; the others are left out and reported.

    :param judged: the judgments.
    :param queries: ids of all queries of the file.
    :param level: least grade of a relevant document.
    :param log: counts what is left out.
    :param source: the file of the judgments, for messages.
    :raises InputError: if no query is left.
    """
    kept: dict[int, Mapping[int, Grade]] = {}
    for number, grades in zip(judged.rows, judged.grades, strict=True):
        if any(grade >= level for grade in grades.values()):
            kept[number] = grades
        else:
            log.leave_out("query", f"no document of grade {level} or more", queries[number])
    if judged.rows and not kept:
        raise InputError(
            f"no query has a document of grade {level} or more",
            source=source,
            field="grade",
            seen=f"grades up to {max((grade for grades in judged.grades for grade in grades.values()), default=0)}",
            allowed=f"at least one judgment of grade {level} or more, or a lower --relevance-level",
        )
    return Judged(tuple(kept), tuple(kept.values()))


def judgments_by_query(file: QueryFile, qrels: Qrels, *, log: ReadingLog | None = None) -> dict[str, list[Judgment]]:
    """Group judgments by query, in the order of the qrels file; empty for a query that has none.

    :param file: the queries.
    :param qrels: the judgments; those of other queries are left out and reported.
    :param log: counts what is left out.
    :raises InputError: if no judgment is of one of the queries.
    """
    log = log or ReadingLog()
    by_query: dict[str, list[Judgment]] = {row.id: [] for row in file.rows}
    for judgment in qrels.judgments:
        if judgment.query in by_query:
            by_query[judgment.query].append(judgment)
        else:
            log.leave_out("judgment", "query not among the queries", judgment.query)
    if qrels.judgments and not any(by_query.values()):
        first = qrels.judgments[0]
        raise InputError(
            "unknown query: none of the judgments belongs to one of the queries",
            source=qrels.path,
            line=first.line or None,
            field="query",
            seen=first.query,
            allowed=f"a query of {file.path.name}, such as " + _examples(tuple(by_query)),
        )
    return by_query


def without_judgment(log: ReadingLog, file: QueryFile, row: QueryRow, qrels: Qrels, *, subset: bool = False) -> None:
    """Leave out or reject a query that has no judgment in a qrels file.

    :param log: counts what is left out.
    :param file: the queries.
    :param row: the query.
    :param qrels: the judgments.
    :param subset: whether queries may have no judgment, see `grades_from_qrels`.
    :raises InputError: unless ``subset`` is set or invalid rows are left out.
    """
    if subset:
        log.leave_out("query", f"no judgment in {qrels.path.name}", row.id)
        return
    error = InputError(
        f"query without judgment in {qrels.path.name}",
        source=file.path,
        line=row.line,
        field="id",
        seen=row.id,
        allowed="queries with at least one judgment",
    )
    log.refuse("query", error, reason="no judgment", name=row.id)


def _missing_document(
    log: ReadingLog,
    path: Path,
    line: int,
    field: str,
    query: str,
    document: str,
    grade: Grade,
    documents: Documents,
) -> None:
    """Reject a relevant document that is not in the pool; a judgment of another document that is not in the pool is
    ignored.
    """
    name = f"{query} {document}"
    if grade <= 0:
        log.leave_out("judgment", "document not in the pool, and not relevant", name)
        return
    error = InputError(
        "unknown document",
        source=path,
        line=line or None,
        field=field,
        seen=document,
        allowed=f"an id of the documents, such as {_examples(documents.ids)}",
    )
    log.refuse("judgment", error, reason="document not in the pool", name=name)


def _examples(values: Sequence[str]) -> str:
    return ", ".join(f"'{value}'" for value in values[:3])


def documents_by_group(documents: Documents) -> dict[str, tuple[int, ...]]:
    """Ascending indices of the documents of each parallel group.

    A document without a group forms a group named after its id. So a translation may have the id of its original as its
    group, while the original itself has none.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(documents.groups):
        members.setdefault(group, []).append(index)
    return {group: tuple(indices) for group, indices in members.items()}


def expand_to_groups(documents: Documents, judged: Judged) -> Judged:
    """Extend judgments of documents to all documents of their groups.

    A document gets the highest grade of its group if that is above 0 and higher than its own.

    :param documents: the pool.
    :param judged: the judgments.
    """
    members = documents_by_group(documents)
    widened = []
    for grades in judged.grades:
        wide = dict(grades)
        for index, grade in grades.items():
            for member in members[documents.groups[index]] if grade > 0 else ():
                wide[member] = max(grade, wide.get(member, 0))
        widened.append(wide)
    return Judged(judged.rows, tuple(widened))
