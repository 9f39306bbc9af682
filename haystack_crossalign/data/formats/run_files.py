"""Read and write TREC runs, and write TREC qrels.

Each line of a run is ``query Q0 document rank score tag``. ``trec_eval`` and tools based on it take the order from the
scores alone, as 32-bit floats, and break ties in their own way; so runs are written with strictly falling scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.data.collection import Documents, Queries
from haystack_crossalign.data.formats.run_order import (
    ORDERS,
    Contradictions,
    RunLine,
    check_ranks,
    find_contradictions,
    in_order,
    rank_of,
)
from haystack_crossalign.data.judgments import Grade
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile

DEFAULT_TAG = "crossalign"
_LARGEST = float(np.finfo(np.float32).max)
PAD = -1
"""Padding after the last document of a list."""
UNKNOWN = -2
"""Index of a retrieved document that is not in the pool."""


@dataclass(frozen=True)
class Run:
    """A run as read.

    :param query_ids: ids of the queries, in the order of the file.
    :param rankings: for each query its (document id, score) pairs, best first.
    :param tag: name of the run, from its first line.
    :param path: the file.
    :param source: its name and hash.
    :param order: ``score`` or ``rank``, if one was chosen; None: by score.
    :param contradictions: where scores and ranks contradict each other; None if they do not, or if ``order`` was given.
    """

    query_ids: tuple[str, ...]
    rankings: tuple[tuple[tuple[str, float], ...], ...]
    tag: str
    path: Path
    source: Source
    order: str | None = None
    contradictions: Contradictions | None = None


@dataclass(frozen=True, eq=False)
class RunArrays:
    """A run as integer arrays, in the order of a collection's queries and documents.

    :param retrieved: int32 [Q, depth], document indices, best first; `PAD` at the end, `UNKNOWN` for documents that
        are not in the pool.
    :param scores: float64 [Q, depth], 0 if there is no document; the numbers by which `read_run` ordered the lists.
    """

    retrieved: NDArray[np.int32]
    scores: NDArray[np.float64]


def format_run(
    query_ids: Sequence[str], rankings: Sequence[Sequence[tuple[str, float]]], *, tag: str = DEFAULT_TAG
) -> str:
    """Format a TREC run.

    The given order is preserved. A score that is not below the previous one (a tie, or a ranking not sorted by score)
    is written as the next smaller 32-bit float, so that every reader sees that order.

    :param query_ids: ids of the queries.
    :param rankings: for each query its (document id, score) pairs, best first.
    :param tag: name of the run.
    :raises InputError: for an id or tag that is empty or has white space, a duplicate document in a ranking, a
        duplicate query, or a score that is not finite.
    """
    _check_id("tag", tag)
    lines = []
    for query, ranking in zip(_unique("query", query_ids), rankings, strict=True):
        before = np.float32(np.inf)
        _unique("document", [document for document, _ in ranking])
        for rank, (document, score) in enumerate(ranking, start=1):
            if not abs(score) <= _LARGEST:
                raise InputError(
                    "score is not a 32-bit float", source="run", field="score", seen=score, allowed="a finite number"
                )
            value = np.float32(score)
            if value >= before:
                if before == -_LARGEST:
                    raise InputError(
                        "no 32-bit float is left below this score", source="run", field="score", seen=score
                    )
                value = np.nextafter(before, np.float32(-np.inf))
            before = value
            lines.append(f"{query} Q0 {document} {rank} {value!s} {tag}\n")
    return "".join(lines)


def format_qrels(query_ids: Sequence[str], judged: Sequence[Sequence[str] | Mapping[str, Grade]]) -> str:
    """Format a TREC qrels file: ``query 0 document grade``, documents ascending by id.

    :param query_ids: ids of the queries.
    :param judged: ids of the judged documents of each query with their grades; ids without grades mean grade 1.
    :raises InputError: for an id that is empty, has white space or is duplicate, or a grade that is not an integer.
    """
    lines = []
    for query, documents in zip(_unique("query", query_ids), judged, strict=True):
        for document in sorted(_unique("document", list(documents))):
            grade = documents[document] if isinstance(documents, Mapping) else 1
            lines.append(f"{query} 0 {document} {whole(grade, 'a TREC qrels file')}\n")
    return "".join(lines)


def whole(grade: Grade, target: str) -> int:
    """Convert a grade to an integer.

    :param grade: the grade.
    :param target: kind of file to write, for the message.
    :raises InputError: if it is not an integer.
    """
    if grade != int(grade):
        raise InputError(
            f"{target} holds whole grades only",
            field="grade",
            seen=grade,
            allowed="whole numbers (a judgment list of the Search Relevance Workbench keeps fractions)",
        )
    return int(grade)


def read_run(path: str | Path, *, order: str | None = None, log: ReadingLog | None = None) -> Run:
    """Read a TREC run, sorted by descending score, then by rank, then in the tie order.

    The rank column is what the engine returned and users saw, so an order that prefers a language within equal scores
    is a finding, not an artifact to remove. If ranks are also equal, or not integers, the order is that of
    `haystack_crossalign.ranks.ties`.

    Scores and ranks can contradict each other, for example if the scores are distances. They are compared on pairs of
    documents with adjacent ranks: if more pairs contradict than agree, the run is rejected unless ``order`` says which
    to use; otherwise the scores count, as in trec_eval, and the contradictions are reported. A rank column whose values
    are not distinct integers within each query is ignored.

    :param path: the file: ``query Q0 document rank score tag``, separated by tabs or spaces.
    :param order: ``rank`` to use only ranks, ``score`` to use only scores; None to use both and compare them.
    :param log: decides whether invalid lines are left out, and counts them.
    :raises InputError: for a file that cannot be read, a wrong number of columns, a score that is not a finite number,
        a duplicate document of a query, scores that contradict the ranks, and with ``rank`` for ranks that are not
        distinct integers.
    """
    if order not in (None, *ORDERS):
        raise InputError("unknown order", field="order", seen=order, allowed=", ".join(ORDERS))
    log = log or ReadingLog()
    file = TextFile(path, partial(log.refuse, "result"))
    rankings: dict[str, dict[str, RunLine]] = {}
    first_tag = ""
    for number, text in file:
        cells = text.split()
        try:
            if len(cells) != 6:
                raise InputError(
                    "wrong columns",
                    source=file.path,
                    line=number,
                    seen=text,
                    allowed="6 columns: query, Q0, document, rank, score, tag",
                )
            query, _, document, rank, score, tag = cells
            if document in rankings.get(query, ()):
                raise InputError(
                    "retrieved twice",
                    source=file.path,
                    line=number,
                    field="document",
                    seen=f"{query} {document}",
                    allowed="one line for each query and document",
                )
            line = RunLine(_finite(score, file.path, number), rank_of(rank), number)
        except InputError as error:
            log.refuse("result", error)
            continue
        first_tag = first_tag or tag
        rankings.setdefault(query, {})[document] = line
    contradictions = None
    if order is None:
        contradictions = find_contradictions(rankings, file.path)
    elif order == "rank":
        check_ranks(rankings, file.path)
    ordered = [in_order(ranking, order) for ranking in rankings.values()]
    return Run(
        query_ids=tuple(rankings),
        rankings=tuple(ordered),
        tag=first_tag,
        path=file.path,
        source=file.source,
        order=order,
        contradictions=contradictions,
    )


def matching_run(run: Run, queries: Queries, documents: Documents, log: ReadingLog) -> Run:
    """The part of a run that belongs to a collection; the rest is left out and reported.

    :param run: the run.
    :param queries: the queries; lists of other queries are ignored.
    :param documents: the pool; a document outside it is invalid.
    :param log: decides whether invalid results are left out, and counts them.
    :raises InputError: if no list belongs to one of the queries, or a document is not in the pool.
    """
    query_ids, known = set(queries.ids), set(documents.ids)
    kept: dict[str, tuple[tuple[str, float], ...]] = {}
    for query, ranking in zip(run.query_ids, run.rankings, strict=True):
        if query not in query_ids:
            log.leave_out("ranking", "query not among the queries", query)
            continue
        strangers = [document for document, _ in ranking if document not in known]
        for document in strangers:
            error = InputError(
                f"query '{query}' has a document that is not in the pool",
                source=run.path,
                field="docid",
                seen=document,
                allowed=f"ids of the {len(known)} documents",
            )
            log.refuse("result", error, reason="document not in the pool", name=f"{query} {document}")
        kept[query] = tuple(pair for pair in ranking if pair[0] in known) if strangers else ranking
    if not kept:
        raise InputError(
            "unknown query: none of the lists belongs to one of the queries",
            source=run.path,
            field="query",
            seen=run.query_ids[0] if run.query_ids else "",
            allowed="a query of the collection, such as " + ", ".join(f"'{query_id}'" for query_id in queries.ids[:3]),
        )
    return replace(run, query_ids=tuple(kept), rankings=tuple(kept.values()))


def run_arrays(run: Run, queries: Queries, documents: Documents) -> RunArrays:
    """Convert a run to arrays over a collection, for ranks in its lists.

    :param run: the run; queries of the collection that it lacks get an empty list.
    :param queries: the queries.
    :param documents: the pool; retrieved documents outside it are marked as `UNKNOWN`.
    :raises InputError: for a query of the run that is not in the collection.
    """
    row_of = {identifier: row for row, identifier in enumerate(queries.ids)}
    index_of = {identifier: index for index, identifier in enumerate(documents.ids)}
    depth = max(map(len, run.rankings), default=0)
    retrieved = np.full((len(queries), depth), PAD, dtype=np.int32)
    scores = np.zeros((len(queries), depth), dtype=np.float64)
    for query, ranking in zip(run.query_ids, run.rankings, strict=True):
        row = row_of.get(query)
        if row is None:
            raise InputError(
                "unknown query",
                source=run.path,
                field="query",
                seen=query,
                allowed="a query of the collection, such as "
                + ", ".join(f"'{identifier}'" for identifier in queries.ids[:3]),
            )
        retrieved[row, : len(ranking)] = [index_of.get(document, UNKNOWN) for document, _ in ranking]
        scores[row, : len(ranking)] = [score for _, score in ranking]
    return RunArrays(retrieved, scores)


def _finite(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            "not a finite number", source=path, line=line, field="score", seen=text, allowed="a number such as 0.75"
        )
    return value


def _unique(kind: str, ids: Sequence[str]) -> Sequence[str]:
    if len(set(ids)) < len(ids):
        twice = next(identifier for number, identifier in enumerate(ids) if identifier in ids[:number])
        raise InputError(f"duplicate {kind}", source="TREC file", seen=twice, allowed=f"each {kind} once")
    for identifier in ids:
        _check_id(kind, identifier)
    return ids


def _check_id(kind: str, identifier: str) -> None:
    # Columns are separated by white space, and there is no quoting.
    if len(identifier.split()) != 1 or identifier != identifier.strip():
        raise InputError(
            f"{kind} cannot be written to a TREC file",
            field=kind,
            seen=identifier,
            allowed="a text without white space",
        )
