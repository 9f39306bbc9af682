"""Queries as they are read, and their judgments joined to the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.data.collection import Documents, Queries
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source

__all__ = [
    "Judgment",
    "Qrels",
    "QueryFile",
    "QueryRow",
    "documents_by_group",
    "expand_to_groups",
    "judged_documents",
    "relevant_from_qrels",
    "relevant_from_queries",
]


@dataclass(frozen=True)
class QueryRow:
    """One query of a file.

    :param id: its id.
    :param language: its language, normalised.
    :param text: its text.
    :param line: 1-based line in the file.
    :param relevant: ids of its relevant documents, None where the file names none.
    :param group: the parallel group whose documents are all relevant, None where the file names none.
    """

    id: str
    language: str
    text: str
    line: int
    relevant: tuple[str, ...] | None = None
    group: str | None = None


@dataclass(frozen=True, eq=False)
class QueryFile:
    """The queries of one file.

    :param rows: the queries, in the order of the file.
    :param path: the file.
    :param source: its name and hash.
    :param vectors: float32 [Q, dim], or None where the file holds none.
    """

    rows: tuple[QueryRow, ...]
    path: Path
    source: Source
    vectors: NDArray[np.float32] | None = None

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
    """One line of a qrels file.

    :param query: id of the query.
    :param document: id of the document.
    :param grade: relevance grade; the document is relevant where it is above 0.
    :param line: 1-based line in the file.
    """

    query: str
    document: str
    grade: int
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


def relevant_from_queries(
    file: QueryFile, documents: Documents, *, group_field: str = "parallel_id"
) -> tuple[tuple[int, ...], ...]:
    """Relevant documents that the queries name themselves, by their ids or by a parallel group.

    :param file: the queries.
    :param documents: the pool.
    :param group_field: name of the group field, for messages.
    :returns: ascending document indices of each query.
    :raises InputError: for a query that names none, or one that is not in the pool.
    """
    index = {one: position for position, one in enumerate(documents.ids)}
    groups = documents_by_group(documents)
    relevant: list[tuple[int, ...]] = []
    for row in file.rows:
        if row.relevant is not None:
            unknown = [one for one in row.relevant if one not in index]
            if unknown:
                raise _unknown_document(file.path, row.line, "relevant", unknown[0], documents)
            relevant.append(tuple(sorted(index[one] for one in row.relevant)))
        else:
            if row.group is not None and row.group not in groups:
                raise InputError(
                    "no document belongs to this group",
                    source=file.path,
                    line=row.line,
                    field=group_field,
                    seen=row.group,
                    allowed="a group of the documents, such as " + _examples(tuple(groups)),
                )
            relevant.append(() if row.group is None else groups[row.group])
        if not relevant[-1]:
            raise InputError(
                "query without relevant document",
                source=file.path,
                line=row.line,
                field="relevant",
                seen=row.id,
                allowed=f"a list of document ids in 'relevant', a group in '{group_field}', or a qrels file",
            )
    return tuple(relevant)


def relevant_from_qrels(file: QueryFile, documents: Documents, qrels: Qrels) -> tuple[tuple[int, ...], ...]:
    """Relevant documents from a qrels file: those with a grade above 0.

    :param file: the queries; each must have a relevant document.
    :param documents: the pool.
    :param qrels: the judgments.
    :returns: ascending document indices of each query.
    :raises InputError: for a judgment of an unknown query, a relevant document that is not in the pool, or a query
        without one.
    """
    index = {one: position for position, one in enumerate(documents.ids)}
    relevant: list[tuple[int, ...]] = []
    by_query = judged_documents(file, qrels)
    for judgment in qrels.judgments:
        if judgment.grade > 0 and judgment.document not in index:
            raise _unknown_document(qrels.path, judgment.line, "document", judgment.document, documents)
    for row in file.rows:
        if not by_query[row.id]:
            raise InputError(
                f"query without relevant document in {qrels.path.name}",
                source=file.path,
                line=row.line,
                field="id",
                seen=row.id,
                allowed="queries with at least one judgment above 0",
            )
        relevant.append(tuple(sorted(index[judgment.document] for judgment in by_query[row.id])))
    return tuple(relevant)


def judged_documents(file: QueryFile, qrels: Qrels) -> dict[str, list[Judgment]]:
    """The judgments above 0 of each query, in the order of the qrels file; empty for a query that has none.

    :param file: the queries.
    :param qrels: the judgments.
    :raises InputError: for a judgment of a query that the file does not hold.
    """
    relevant: dict[str, list[Judgment]] = {row.id: [] for row in file.rows}
    for judgment in qrels.judgments:
        if judgment.query not in relevant:
            raise InputError(
                "unknown query",
                source=qrels.path,
                line=judgment.line,
                field="query",
                seen=judgment.query,
                allowed=f"a query of {file.path.name}, such as " + _examples(tuple(relevant)),
            )
        if judgment.grade > 0:
            relevant[judgment.query].append(judgment)
    return relevant


def _unknown_document(path: Path, line: int, field: str, seen: str, documents: Documents) -> InputError:
    return InputError(
        "unknown document",
        source=path,
        line=line,
        field=field,
        seen=seen,
        allowed="an id of the documents, such as " + _examples(documents.ids),
    )


def _examples(values: Sequence[str]) -> str:
    return ", ".join(f"'{value}'" for value in values[:3])


def documents_by_group(documents: Documents) -> dict[str, tuple[int, ...]]:
    """Ascending indices of the documents of each parallel group.

    A document without a group stands for a group of its own, named after its id. So a translation may give the id of
    its original as its group, while the original itself has none.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(documents.groups):
        members.setdefault(group, []).append(index)
    return {group: tuple(indices) for group, indices in members.items()}


def expand_to_groups(documents: Documents, relevant: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Judgments of single documents, widened to all documents of the groups that these belong to.

    :param documents: the pool.
    :param relevant: document indices of each query.
    :returns: ascending document indices of each query.
    """
    members = documents_by_group(documents)
    return tuple(
        tuple(sorted({member for index in indices for member in members[documents.groups[index]]}))
        for indices in relevant
    )
