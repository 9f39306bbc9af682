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
from haystack_crossalign.data.judgments import Grade, QueryFile
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.exact.versions import Version
from haystack_crossalign.opensearch.index.groups import Member
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.judgments import (
    answerable_positions,
    find_named,
    judged_members,
    named_documents,
    no_judgments,
    versions_of,
)
from haystack_crossalign.text.detection import LanguageDetector, undecided


@dataclass(frozen=True, eq=False)
class LiveQueries:
    """Q queries, and the relevant documents of each in the index.

    :param ids: unique ids.
    :param languages: normalized language of each query.
    :param texts: texts of the queries.
    :param judged: ids of each query's documents with a grade above 0, all of which are ranked, ascending (as bytes);
        all chunks of the versions if a group was named or expanded.
    :param versions: versions of these documents, ascending, for
        `haystack_crossalign.opensearch.exact.versions.count_version_ranks`.
    :param groups: parallel group of each query's relevant documents; None if there is none or more than one.
    :param kind: origin of the judgments: ``judged`` (document ids), ``group`` (a group for each query), or
        ``known-item`` (probes made from the index itself).
    :param grades: for each query the grades of its judged documents by their ids, including grade 0; None if all
        judgments are binary, which means grade 1.
    :param relevance_level: least grade of a relevant document; each query has at least one.
    :param vectors: float32 [Q, dimension], or None if the queries are not embedded yet.
    :param notes: sentences for the report on what was left out and why.
    :param described: grades of the judgments and what was left out of the files, for the provenance of the data.
    """

    ids: tuple[str, ...]
    languages: tuple[str, ...]
    texts: tuple[str, ...]
    judged: tuple[tuple[str, ...], ...]
    versions: tuple[tuple[Version, ...], ...]
    groups: tuple[str | None, ...]
    kind: Literal["judged", "group", "known-item"]
    grades: tuple[Mapping[str, Grade], ...] | None = None
    relevance_level: int = 1
    vectors: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    described: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def chunked(self) -> bool:
        """Whether a relevant version has several documents, so that versions must be ranked instead of documents."""
        return any(len(ids) > len(set(versions)) for ids, versions in zip(self.judged, self.versions, strict=True))

    @property
    def relevant(self) -> tuple[tuple[str, ...], ...]:
        """Ids of each query's relevant documents, ascending (as bytes)."""
        if self.grades is None:
            return self.judged
        return tuple(
            tuple(name for name in names if grades[name] >= self.relevance_level)
            for names, grades in zip(self.judged, self.grades, strict=True)
        )

    @property
    def graded(self) -> bool:
        """Whether judgments are graded: there is a gain other than 1, or one below the relevance level."""
        return self.grades is not None and _graded(self.grades, self.relevance_level)

    def gains(self, members: Mapping[str, Member], *, by_version: bool) -> list[list[float]] | None:
        """Gains of the judged documents or versions of each query; None if judgments are not graded.

        The gain of a version is the highest grade of its documents.

        :param members: language and group of every judged document.
        :param by_version: whether versions are ranked.
        :returns: in the order of ``judged``, or of ``versions``.
        """
        if self.grades is None or not self.graded:
            return None
        gains = []
        for names, grades in zip(self.judged, self.grades, strict=True):
            best: dict[Version | str, float] = {}
            for name in names:
                member = members[name]
                unit = Version.of(name, member.language, member.group) if by_version else name
                best[unit] = max(float(grades[name]), best.get(unit, 0.0))
            gains.append([best[unit] for unit in (sorted(best) if by_version else best)])
        return gains

    def parallel(self) -> NDArray[np.int64]:
        """Group numbers of queries that are translations of each other, int64 [Q].

        -1 for queries without a group, and for groups with two queries in one language, in which pairs are ambiguous.
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
    """Read queries from a file (JSON Lines, or TSV by its extension) whose judgments refer to documents of an index.

    A query names the ids of its relevant documents or a parallel group, in its own fields or in a qrels file. The
    language of queries without one is detected among those of the index; unclear ones are left out and reported.

    :param path: the queries, in the formats of the file audit.
    :param view: the index, its fields and filter, best at a point in time.
    :param qrels: a TREC qrels file. It replaces all judgments in the queries file.
    :param workbench: a judgment list of OpenSearch's Search Relevance Workbench, instead of ``qrels``.
    :param language_field: field of the queries that holds their language.
    :param group_field: field of the queries that holds the parallel group whose documents are relevant.
    :param default_language: language of the queries without one; None detects it.
    :param expand_groups: whether all versions of a relevant document are also relevant, if the index has groups.
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
    judgments = read_given_judgments(qrels, workbench, file, log=log)
    file, named = named_documents(file, judgments, log)
    if not any(named) and not any(row.group for row in file.rows):
        raise no_judgments(file.path, group_field)
    source = file.path if judgments is None else judgments.path
    file, named, members = find_named(view, file, named, source, log)
    judged, groups = judged_members(view, file, named, members, group_field, expand_groups=expand_groups, log=log)
    answerable = answerable_positions(file, judged, relevance_level, log, source)
    languages, unclear = _languages(view, file)
    kept = [number for number in answerable if languages[number] != UNDETERMINED]
    if not kept:
        raise InputError(
            "the language of no query is clear",
            source=file.path,
            field=language_field,
            seen=file.rows[0].text,
            allowed="queries that name their language, or texts of some words",
        )
    grades = tuple(judged[number].grades for number in kept)
    plain = all(grade == 1 for row in grades for grade in row.values())
    return LiveQueries(
        ids=tuple(file.rows[number].id for number in kept),
        languages=tuple(languages[number] for number in kept),
        texts=tuple(file.rows[number].text for number in kept),
        judged=tuple(tuple(member.identifier for member in judged[number].members) for number in kept),
        versions=tuple(versions_of(judged[number].members) for number in kept),
        groups=tuple(groups[number] for number in kept),
        kind="judged" if any(named) else "group",
        grades=None if plain and relevance_level == 1 else grades,
        relevance_level=relevance_level,
        vectors=None if file.vectors is None else file.vectors[np.array(kept, dtype=np.int64)],
        notes=unclear,
        described=_described(grades, relevance_level, log),
    )


def _graded(grades: Sequence[Mapping[str, Grade]], level: int) -> bool:
    return level != 1 or any(grade > 0 and grade != 1 for row in grades for grade in row.values())


def _described(grades: Sequence[Mapping[str, Grade]], level: int, log: ReadingLog) -> dict[str, Any]:
    """Description of the judgments in the result, other than their files."""
    described: dict[str, Any] = {}
    if _graded(grades, level):
        every = [grade for row in grades for grade in row.values()]
        described["judgments"] = describe_judgments(every, level)
    if log.omissions():
        described["left_out"] = describe_omissions(log.omissions())
    return described


def _languages(view: IndexView, file: QueryFile) -> tuple[list[str], tuple[str, ...]]:
    """Language of each query, detected among the pool's if not given, and notes on it."""
    tags = [row.language for row in file.rows]
    unknown = [number for number, tag in enumerate(tags) if tag == UNDETERMINED]
    if not unknown:
        return tags, ()
    detector = LanguageDetector.among(view.pool().by_language.keys())
    detections = detector.detect([file.rows[number].text for number in unknown])
    for number, detection in zip(unknown, detections, strict=True):
        tags[number] = detection.language or UNDETERMINED
    unclear = [file.rows[number].id for number in unknown if tags[number] == UNDETERMINED]
    notes = [f"the language of {len(unknown) - len(unclear)} queries was detected"]
    if unclear:
        shown = ", ".join(f"'{name}'" for name in unclear[:3])
        between = "".join(f"; {count} may be in one of {names}" for names, count in undecided(detections).items())
        notes.append(f"{len(unclear)} queries are left out, since their language is not clear: {shown}{between}")
    return tags, tuple(notes)


def with_vectors(
    queries: LiveQueries, encoder: Embedder | None, progress: Callable[[int, int], None] | None = None
) -> tuple[LiveQueries, dict[str, Any] | None]:
    """The queries with vectors, and the provenance of the model if it embedded them.

    :raises InputError: if there are no vectors and no model.
    """
    if queries.vectors is not None:
        return queries, None
    if encoder is None:
        raise InputError("the queries have no vectors", field="embedding", allowed="a model, or a vector each")
    return replace(queries, vectors=encoder.encode_queries(queries.texts, progress=progress)), encoder.provenance()
