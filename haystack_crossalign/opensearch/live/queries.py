"""The queries of a live audit: relevant documents in the index, and vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.provenance import describe_judgments, describe_omissions
from haystack_crossalign.audit.run import Embedder
from haystack_crossalign.data.formats.read import read_given_judgments, read_query_file
from haystack_crossalign.data.judgments import Grade, Qrels, QueryFile, judgments_by_query
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.exact.versions import Version
from haystack_crossalign.opensearch.index.groups import Member, group_members, members_by_id
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.text.detection import LanguageDetector


@dataclass(frozen=True, eq=False)
class LiveQueries:
    """Q queries, and what in the index is relevant to each of them.

    :param ids: unique ids.
    :param languages: normalised language of each query.
    :param texts: what is asked.
    :param relevant: ids of each query's relevant documents, at least one, ascending (as bytes); with chunks, all
        chunks of the relevant versions where a group was named or expanded.
    :param versions: versions of each query's relevant documents, ascending, for
        `haystack_crossalign.opensearch.exact.versions.count_version_ranks`.
    :param groups: parallel group that each query asks for; None where there is none, or where there are several.
    :param kind: where the judgments come from: ``judged`` (document ids), ``group`` (a group for each query), or
        ``known-item`` (probes made from the index itself).
    :param vectors: float32 [Q, dimension], or None where the queries are still to be embedded.
    :param notes: what was left out and why, in sentences for the report.
    :param described: grades of the judgments and what was left out of the files, for the provenance of the data.
    """

    ids: tuple[str, ...]
    languages: tuple[str, ...]
    texts: tuple[str, ...]
    relevant: tuple[tuple[str, ...], ...]
    versions: tuple[tuple[Version, ...], ...]
    groups: tuple[str | None, ...]
    kind: Literal["judged", "group", "known-item"]
    vectors: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    described: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def chunked(self) -> bool:
        """Whether a relevant version has several documents, so that versions have to be ranked and not documents."""
        return any(len(ids) > len(set(versions)) for ids, versions in zip(self.relevant, self.versions, strict=True))

    def parallel(self) -> NDArray[np.int64]:
        """int64 [Q], which queries are translations of each other: those of one group, one for each language.

        -1 for queries without a group and for groups with two queries in one language, whose partners are not known.
        """
        counts = Counter((group, language) for group, language in zip(self.groups, self.languages, strict=True))
        clear = {group for group in self.groups if group is not None}
        clear -= {group for (group, _), count in counts.items() if group is not None and count > 1}
        code = {group: number for number, group in enumerate(sorted(clear))}
        return np.array([-1 if group is None else code.get(group, -1) for group in self.groups], dtype=np.int64)


def read_live_queries(
    path: str | Path,
    view: IndexView,
    *,
    qrels: str | Path | None = None,
    workbench: str | Path | None = None,
    language_field: str = "language",
    group_field: str = "parallel_id",
    default_language: str | None = None,
    expand_groups: bool = True,
    relevance_level: int = 1,
    log: ReadingLog | None = None,
) -> LiveQueries:
    """Queries from a file (JSON lines, or TSV by its ending) whose judgments name documents of an index.

    A query names the ids of its relevant documents or a parallel group, in its own fields or in a qrels file. Queries
    that name no language get the one that is detected among those of the index; unclear ones are left out and noted.

    :param path: the queries, in the formats of the file audit.
    :param view: the index, its fields and filter, best at a point in time.
    :param qrels: a TREC qrels file. It takes the place of all judgments in the queries file.
    :param workbench: a judgment list of OpenSearch's Search Relevance Workbench, in place of ``qrels``.
    :param language_field: field of the queries that holds their language.
    :param group_field: field of the queries that holds the parallel group whose documents are relevant.
    :param default_language: language of the queries that name none; None detects it.
    :param expand_groups: whether all versions of a relevant document are relevant too, where the index has groups.
    :param relevance_level: least grade of a relevant document, at least 1.
    :param log: decides whether invalid rows are left out, and counts them.
    :raises InputError: for a file that cannot be read, a query without judgment, a group that the pool lacks, and ids
        that the index lacks: the first is named, the others are counted.
    """
    default = UNDETERMINED if default_language is None else default_language
    log = log or ReadingLog()
    file = read_query_file(
        path, language_field=language_field, group_field=group_field, default_language=default, log=log
    )
    given = read_given_judgments(qrels, workbench, file, log=log)
    file, named, grades = _named_documents(file, given, relevance_level, log)
    if not any(named) and not any(row.group for row in file.rows):
        raise no_judgments(file.path, group_field)
    file, named, members = _find_named(view, file, named, file.path if given is None else given.path, log)
    relevant, groups = _relevant_members(view, file, named, members, group_field, expand_groups=expand_groups, log=log)
    languages, unclear = _languages(view, file)
    kept = [number for number, tag in enumerate(languages) if tag != UNDETERMINED and relevant[number]]
    if not kept:
        raise InputError(
            "the language of no query is clear",
            source=file.path,
            field=language_field,
            seen=file.rows[0].text,
            allowed="queries that name their language, or texts of some words",
        )
    return LiveQueries(
        ids=tuple(file.rows[number].id for number in kept),
        languages=tuple(languages[number] for number in kept),
        texts=tuple(file.rows[number].text for number in kept),
        relevant=tuple(tuple(one.identifier for one in relevant[number]) for number in kept),
        versions=tuple(versions_of(relevant[number]) for number in kept),
        groups=tuple(groups[number] for number in kept),
        kind="judged" if any(named) else "group",
        vectors=None if file.vectors is None else file.vectors[np.array(kept, dtype=np.int64)],
        notes=unclear,
        described=_described(grades, relevance_level, log),
    )


def no_judgments(source: str | Path | None, group_field: str) -> InputError:
    """The error for an audit that could not tell what is relevant, with what can be done."""
    return InputError(
        "nothing says which documents are relevant",
        source=source,
        field="relevant",
        allowed=f"queries with document ids in 'relevant', or with a parallel group in '{group_field}'; a qrels file; "
        "or an index whose documents name their parallel group in a keyword field (--group-field): probes are "
        "then made from it without any queries",
    )


def versions_of(members: Sequence[Member]) -> tuple[Version, ...]:
    """The versions that documents belong to, ascending; a document without a group is one of its own."""
    return tuple(sorted({Version.of(one.identifier, one.language, one.group) for one in members}))


def _named_documents(
    file: QueryFile, given: Qrels | None, level: int, log: ReadingLog
) -> tuple[QueryFile, list[tuple[str, ...]], list[Grade]]:
    """The queries that can be asked, the ids of relevant documents that are named for each, and all grades."""
    by_query = None if given is None else judgments_by_query(file, given, log=log)
    kept: list[int] = []
    named: list[tuple[str, ...]] = []
    every: list[Grade] = []
    for number, row in enumerate(file.rows):
        if by_query is None or given is None:
            grades = dict(row.grades or {})
        else:
            grades = {one.document: one.grade for one in by_query[row.id]}
            if not grades and row.group is None:
                error = InputError(
                    f"query without judgment in {given.path.name}",
                    source=file.path,
                    line=row.line,
                    field="id",
                    seen=row.id,
                    allowed="queries with at least one judgment",
                )
                log.refuse("query", error, reason="no judgment", name=row.id)
                continue
        ids = tuple(one for one, grade in grades.items() if grade >= level)
        if grades and not ids and row.group is None:
            log.leave_out("query", f"no document of grade {level} or more", row.id)
            continue
        kept.append(number)
        named.append(ids)
        every += grades.values()
    return (file if len(kept) == len(file.rows) else file.select(kept)), named, every


def _find_named(
    view: IndexView, file: QueryFile, named: list[tuple[str, ...]], source: Path, log: ReadingLog
) -> tuple[QueryFile, list[tuple[str, ...]], dict[str, Member]]:
    """The named documents, all of which the index must hold; else, where invalid rows are left out, without the rest"""
    members = members_by_id(view, {one for ids in named for one in ids})
    missing = [(row, one) for row, ids in zip(file.rows, named, strict=True) for one in ids if one not in members]
    if not missing:
        return file, named, members
    for row, identifier in missing:
        others = f" ({len(missing) - 1} other relevant documents are not there either)" if len(missing) > 1 else ""
        error = InputError(
            f"query '{row.id}' names a relevant document that the index does not hold{others}",
            source=source,
            line=row.line if source == file.path else None,
            field="relevant",
            seen=identifier,
            allowed="ids as the index stores them; where documents were written again under other ids, name their "
            "parallel group instead",
        )
        log.refuse("judgment", error, reason="document not in the index", name=f"{row.id} {identifier}")
    found = [tuple(one for one in ids if one in members) for ids in named]
    kept = [number for number, row in enumerate(file.rows) if found[number] or row.group is not None]
    for number in sorted(set(range(len(file.rows))) - set(kept)):
        log.leave_out("query", "no relevant document in the index", file.rows[number].id)
    if not kept:
        raise InputError("the index holds none of the relevant documents", source=source, field="relevant")
    return file.select(kept), [found[number] for number in kept], members


def _described(grades: Sequence[Grade], level: int, log: ReadingLog) -> dict[str, Any]:
    """What the result says of the judgments, beside their files."""
    described: dict[str, Any] = {}
    if level != 1 or any(grade > 0 and grade != 1 for grade in grades):
        described["judgments"] = describe_judgments(grades, level, gain="binary")
    if log.omissions():
        described["left_out"] = describe_omissions(log.omissions())
    return described


def _relevant_members(
    view: IndexView,
    file: QueryFile,
    named: Sequence[tuple[str, ...]],
    members: Mapping[str, Member],
    group_field: str,
    *,
    expand_groups: bool,
    log: ReadingLog,
) -> tuple[list[list[Member]], list[str | None]]:
    """Relevant documents of each query, and the one group they belong to."""
    wanted: list[set[str]] = []
    for row, ids in zip(file.rows, named, strict=True):
        if not ids and row.group is None:
            raise InputError(
                "query without relevant document",
                source=file.path,
                line=row.line,
                field="relevant",
                seen=row.id,
                allowed=f"a list of document ids in 'relevant', a group in '{group_field}', or a judgment above 0",
            )
        named_groups = {members[one].group for one in ids} if ids else {row.group}
        wanted.append({group for group in named_groups if group is not None})
    by_group: dict[str, list[Member]] = {}
    if view.fields.group is None:
        grouped = next((row for row, ids in zip(file.rows, named, strict=True) if not ids), None)
        if grouped is not None:
            raise InputError(
                f"query '{grouped.id}' names a parallel group, but the documents' group field is not known",
                source=file.path,
                line=grouped.line,
                field=group_field,
                seen=grouped.group,
                allowed="document ids in 'relevant', or the documents' keyword field that holds it (--group-field)",
            )
    else:
        everything = {group for groups in wanted for group in groups}
        if not expand_groups:
            everything = {group for ids, own in zip(named, wanted, strict=True) if not ids for group in own}
        by_group = group_members(view, everything)
    relevant: list[list[Member]] = []
    for row, ids, own in zip(file.rows, named, wanted, strict=True):
        found = {one: members[one] for one in ids}
        if expand_groups or not ids:
            found |= {one.identifier: one for group in own for one in by_group.get(group, [])}
        if not found:
            error = InputError(
                f"no document of the pool belongs to the group of query '{row.id}'",
                source=file.path,
                line=row.line,
                field=group_field,
                seen=row.group,
                allowed=f"a value of the index's field '{view.fields.group}'",
            )
            log.refuse("query", error, reason="no document of the pool belongs to its group", name=row.id)
        relevant.append(sorted(found.values(), key=lambda one: one.identifier.encode()))
    return relevant, [next(iter(own)) if len(own) == 1 else None for own in wanted]


def _languages(view: IndexView, file: QueryFile) -> tuple[list[str], tuple[str, ...]]:
    """Language of each query, detected among the pool's where it is not given, and what to say about it."""
    tags = [row.language for row in file.rows]
    unknown = [number for number, tag in enumerate(tags) if tag == UNDETERMINED]
    if not unknown:
        return tags, ()
    detector = LanguageDetector.among(view.pool().by_language.keys())
    for number, told in zip(unknown, detector.detect([file.rows[number].text for number in unknown]), strict=True):
        tags[number] = told.language or UNDETERMINED
    unclear = [file.rows[number].id for number in unknown if tags[number] == UNDETERMINED]
    notes = [f"the language of {len(unknown) - len(unclear)} queries was detected"]
    if unclear:
        shown = ", ".join(f"'{one}'" for one in unclear[:3])
        notes.append(f"{len(unclear)} queries are left out, since their language is not clear: {shown}")
    return tags, tuple(notes)


def with_vectors(
    queries: LiveQueries, encoder: Embedder | None, progress: Callable[[int, int], None] | None = None
) -> tuple[LiveQueries, dict[str, Any] | None]:
    """The queries with vectors, and the provenance of the model where one made them.

    :raises InputError: there are no vectors, and nothing to make them.
    """
    if queries.vectors is not None:
        return queries, None
    if encoder is None:
        raise InputError("the queries have no vectors", field="embedding", allowed="a model, or a vector each")
    return replace(queries, vectors=encoder.encode_queries(queries.texts, progress=progress)), encoder.provenance()
