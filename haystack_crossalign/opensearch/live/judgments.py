"""The judgments of a live audit's queries: documents named in files, joined to those of the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haystack_crossalign.data.judgments import Grade, Qrels, QueryFile, judgments_by_query, without_judgment
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.exact.versions import Version
from haystack_crossalign.opensearch.index.groups import Member, group_members, written_documents
from haystack_crossalign.opensearch.index.pool import IndexView


@dataclass(frozen=True, eq=False)
class JudgedMembers:
    """The judgments of a query.

    :param grades: grades by id, including grade 0.
    :param members: the documents with a grade above 0, ascending by id (as bytes).
    """

    grades: Mapping[str, Grade]
    members: Sequence[Member]


def no_judgments(source: str | Path | None, group_field: str) -> InputError:
    """The error for an audit without judgments, with advice."""
    return InputError(
        "nothing says which documents are relevant",
        source=source,
        field="relevant",
        allowed=f"queries with document ids in 'relevant', or with a parallel group in '{group_field}'; a qrels file; "
        "or an index whose documents name their parallel group in a keyword field (--group-field): probes are "
        "then made from it without any queries",
    )


def versions_of(members: Sequence[Member]) -> tuple[Version, ...]:
    """The versions of documents, ascending; a document without a group is its own version."""
    return tuple(sorted({Version.of(member.identifier, member.language, member.group) for member in members}))


def named_documents(file: QueryFile, qrels: Qrels | None, log: ReadingLog) -> tuple[QueryFile, list[dict[str, Grade]]]:
    """The queries with judgments, and the grades of the documents named for each; empty for a group."""
    by_query = None if qrels is None else judgments_by_query(file, qrels, log=log)
    kept: list[int] = []
    named: list[dict[str, Grade]] = []
    for number, row in enumerate(file.rows):
        if by_query is None or qrels is None:
            grades = dict(row.grades or {})
        else:
            grades = {judgment.document: judgment.grade for judgment in by_query[row.id]}
            if not grades and row.group is None:
                without_judgment(log, file, row, qrels)
                continue
        kept.append(number)
        named.append(grades)
    return (file if len(kept) == len(file.rows) else file.select(kept)), named


def find_named(
    view: IndexView, file: QueryFile, named: list[dict[str, Grade]], source: Path, log: ReadingLog
) -> tuple[QueryFile, list[dict[str, Grade]], dict[str, Member]]:
    """The named documents, by their names in the index instead of the ids that were written.

    The index must contain all with a grade above 0, each once, unless invalid rows are left out. Behind an alias, an id
    with documents in several indices does not say which one was judged.
    """
    written = written_documents(view, {name for grades in named for name, grade in grades.items() if grade > 0})
    lacking = [
        {name for name, grade in grades.items() if grade > 0 and len(written.get(name, ())) != 1} for grades in named
    ]
    missing = sum(name not in written for ids in lacking for name in ids)
    for row, grades, ids in zip(file.rows, named, lacking, strict=True):
        for name in grades:
            if name not in ids:
                continue
            line = row.line if source == file.path else None
            if name in written:
                error, reason = _ambiguous(row.id, name, written[name], source, line), "an id of several documents"
            else:
                error, reason = _missing(row.id, name, missing, source, line), "document not in the index"
            log.refuse("judgment", error, reason=reason, name=f"{row.id} {name}")
    resolved_rows: list[dict[str, Grade]] = []
    for grades, ids in zip(named, lacking, strict=True):
        resolved: dict[str, Grade] = {}
        for name, grade in grades.items():
            if name not in ids:
                identifier = written[name][0].identifier if grade > 0 else name
                resolved[identifier] = max(grade, resolved.get(identifier, 0))
        resolved_rows.append(resolved)
    members = {document.identifier: document for documents in written.values() for document in documents}
    kept = [
        number
        for number, grades in enumerate(resolved_rows)
        if not lacking[number] or any(grade > 0 for grade in grades.values())
    ]
    for number in sorted(set(range(len(file.rows))) - set(kept)):
        log.leave_out("query", "no relevant document in the index", file.rows[number].id)
    if file.rows and not kept:
        raise InputError("the index holds none of the relevant documents", source=source, field="relevant")
    return (
        (file if len(kept) == len(file.rows) else file.select(kept)),
        [resolved_rows[number] for number in kept],
        members,
    )


def _missing(query: str, written: str, count: int, source: Path, line: int | None) -> InputError:
    others = f" ({count - 1} other judged documents are not there either)" if count > 1 else ""
    return InputError(
        f"query '{query}' names a document that the index does not hold{others}",
        source=source,
        line=line,
        field="relevant",
        seen=written,
        allowed="ids as the index stores them; where documents were written again under other ids, name their "
        "parallel group instead",
    )


def _ambiguous(query: str, written: str, members: Sequence[Member], source: Path, line: int | None) -> InputError:
    names = [f"'{member.identifier}'" for member in sorted(members, key=lambda member: member.identifier)]
    return InputError(
        f"query '{query}' names a document by an id that {len(names)} of the indices hold",
        source=source,
        line=line,
        field="relevant",
        seen=written,
        allowed=f"the index and the id: {', '.join(names[:-1])} or {names[-1]}",
    )


def answerable_positions(
    file: QueryFile, judged: Sequence[JudgedMembers], level: int, log: ReadingLog, source: Path
) -> list[int]:
    """Positions of the queries that have a relevant document; the others are left out and reported."""
    kept = []
    for number, (row, own) in enumerate(zip(file.rows, judged, strict=True)):
        if any(grade >= level for grade in own.grades.values()):
            kept.append(number)
        elif own.grades:  # a query without any has already been rejected
            log.leave_out("query", f"no document of grade {level} or more", row.id)
    if judged and not kept:
        raise InputError(
            f"no query has a document of grade {level} or more",
            source=source,
            field="grade",
            seen=f"grades up to {max((grade for own in judged for grade in own.grades.values()), default=0)}",
            allowed=f"at least one judgment of grade {level} or more, or a lower --relevance-level",
        )
    return kept


def judged_members(
    view: IndexView,
    file: QueryFile,
    named: Sequence[Mapping[str, Grade]],
    members: Mapping[str, Member],
    group_field: str,
    *,
    expand_groups: bool,
    log: ReadingLog,
) -> tuple[list[JudgedMembers], list[str | None]]:
    """Judged documents of each query, and their group if it is the only one.

    A group's documents have grade 1 if the query names the group. If judgments are expanded, each document has the
    highest grade above 0 of its group, unless its own is higher.
    """
    wanted: list[dict[str, Grade]] = []
    for row, grades in zip(file.rows, named, strict=True):
        if not grades and row.group is None:
            raise InputError(
                "query without relevant document",
                source=file.path,
                line=row.line,
                field="relevant",
                seen=row.id,
                allowed=f"a list of document ids in 'relevant', a group in '{group_field}', or a qrels file",
            )
        groups: dict[str, Grade] = {} if grades or row.group is None else {row.group: 1}
        for name, grade in grades.items():
            if grade > 0 and (group := members[name].group) is not None:
                groups[group] = max(grade, groups.get(group, 0))
        wanted.append(groups)
    by_group: dict[str, list[Member]] = {}
    if view.fields.group is None:
        grouped = next((row for row, grades in zip(file.rows, named, strict=True) if not grades), None)
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
        everything = {
            group
            for grades, groups in zip(named, wanted, strict=True)
            if expand_groups or not grades
            for group in groups
        }
        by_group = group_members(view, everything)
    judged: list[JudgedMembers] = []
    for row, grades, groups in zip(file.rows, named, wanted, strict=True):
        wide = dict(grades)
        relevant = {name: members[name] for name, grade in grades.items() if grade > 0}
        for group, grade in groups.items() if expand_groups or not grades else ():
            for member in by_group.get(group, []):
                relevant[member.identifier] = member
                wide[member.identifier] = max(grade, wide.get(member.identifier, 0))
        if not wide:
            error = InputError(
                f"no document of the pool belongs to the group of query '{row.id}'",
                source=file.path,
                line=row.line,
                field=group_field,
                seen=row.group,
                allowed=f"a value of the index's field '{view.fields.group}'",
            )
            log.refuse("query", error, reason="no document of the pool belongs to its group", name=row.id)
        judged.append(JudgedMembers(wide, sorted(relevant.values(), key=lambda member: member.identifier.encode())))
    return judged, [next(iter(groups)) if len(groups) == 1 else None for groups in wanted]
