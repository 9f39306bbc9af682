"""Translation gaps: which contents lack a version in a language or have an old one, by demand, with the rank at which
speakers of that language find what exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from haystack_crossalign.audit.result import AuditResult, rounded
from haystack_crossalign.errors import InputError

SCHEMA = "crossalign.gaps/1"
CUTOFF = 10
_MISSING, _OLDER = "missing", "older"


@dataclass(frozen=True)
class ContentVersion:
    """A version of a content.

    :param content: the parallel group; the document's own id if it has none.
    :param language: normalized tag.
    :param date: its latest date, ISO 8601 in UTC; None if it has none.
    """

    content: str
    language: str
    date: str | None = None


@dataclass(frozen=True)
class Question:
    """A query as evidence of demand.

    :param language: its language.
    :param contents: the contents that answer it.
    :param ranks: by language, the best rank of a relevant version; None if it was not among the results.
    :param weight: how often it was asked.
    """

    language: str
    contents: tuple[str, ...]
    ranks: Mapping[str, int | None]
    weight: int = 1


def find_gaps(
    versions: Iterable[ContentVersion],
    questions: Sequence[Question],
    *,
    demand: str,
    languages: Sequence[str] | None = None,
    source: str | None = None,
    log: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The table of contents and languages, and its gaps in the order of demand.

    A version is missing if the content has none in a language. It is older if both it and the version in the source
    language have a date, and its own is earlier. The demand for a gap is the number of times that queries in its
    language asked for the content. The rank is the median over these queries of the best rank of a version in another
    language (of an older version: in the source language). Where nobody asked, the typical rank stands in its place:
    the median over all queries in the language of the rank of a version in the best language that the content has.

    :param versions: all versions of the pool.
    :param questions: the queries, with ranks.
    :param demand: where the demand comes from, in words: "judged queries", "query log", "probes".
    :param languages: languages that contents should have; None for all of the pool.
    :param source: language that others are translated from; None for the one with the most contents.
    :param log: what is known of the query log: its searches, and those of no judged query; None if there is none.
    :param notes: what a reader must know.
    :returns: mapping of schema ``crossalign.gaps/1``.
    :raises InputError: if no document has a language, or the source language has none.
    """
    contents: dict[str, dict[str, str | None]] = {}
    for version in versions:
        known = contents.setdefault(version.content, {})
        # The newest chunk dates a version.
        known[version.language] = max(filter(None, (known.get(version.language), version.date)), default=None)
    counts: dict[str, int] = {}
    for content in contents.values():
        for tag in content:
            counts[tag] = counts.get(tag, 0) + 1
    wanted = tuple(sorted(counts)) if languages is None else tuple(dict.fromkeys(languages))
    if not contents:
        raise InputError("no document has a content and a language", allowed="documents with a language")
    for tag in (*wanted, *(() if source is None else (source,))):
        if tag not in counts and languages is None:
            raise InputError("no document in this language", source="--source", seen=tag,
                             allowed=", ".join(sorted(counts)))  # fmt: skip
    if source is not None and source not in counts:
        raise InputError(
            "no document in this language", source="--source", seen=source, allowed=", ".join(sorted(counts))
        )
    origin = source or max(sorted(counts), key=lambda tag: counts[tag])
    asked: dict[tuple[str, str], list[Question]] = {}
    for question in questions:
        for name in question.contents:
            asked.setdefault((name, question.language), []).append(question)
    typical = _typical(questions)
    gaps = [
        _gap(name, tag, content, origin, asked.get((name, tag), []), typical, probes=demand == "probes")
        for name, content in contents.items()
        for tag in wanted
        if _state(content, tag, origin) is not None
    ]
    gaps.sort(key=lambda gap: (-gap["demand"], gap["kind"] != _MISSING, -_depth(gap), gap["content"], gap["language"]))
    incomplete = {gap["content"] for gap in gaps}
    demands: dict[str, int] = {}
    for gap in gaps:
        demands[gap["content"]] = demands.get(gap["content"], 0) + gap["demand"]
    data: dict[str, Any] = rounded(
        {
            "schema": SCHEMA,
            "languages": list(wanted),
            "source": origin,
            "demand": demand,
            "contents": len(contents),
            "complete": len(contents) - len(incomplete),
            "by_language": {
                tag: {
                    "versions": counts.get(tag, 0),
                    "missing": sum(gap["language"] == tag and gap["kind"] == _MISSING for gap in gaps),
                    "older": sum(gap["language"] == tag and gap["kind"] == _OLDER for gap in gaps),
                }
                for tag in wanted
            },
            "typical_rank": [
                {"query_language": asked_in, "document_language": tag, "rank": rank}
                for (asked_in, tag), rank in sorted(typical.items())
            ],
            "gaps": gaps,
            "table": [
                {
                    "content": name,
                    "demand": demands.get(name, 0),
                    "languages": {tag: _state(content, tag, origin) or "present" for tag in wanted},
                }
                for name, content in contents.items()
            ],
            **({} if log is None else {"log": dict(log)}),
            "notes": list(notes),
        }
    )
    return data


def _state(content: Mapping[str, str | None], tag: str, source: str) -> str | None:
    if tag not in content:
        return _MISSING
    own, original = content[tag], content.get(source)
    return _OLDER if tag != source and own is not None and original is not None and own < original else None


def _gap(
    name: str,
    tag: str,
    content: Mapping[str, str | None],
    source: str,
    asked: Sequence[Question],
    typical: Mapping[tuple[str, str], float | None],
    *,
    probes: bool,
) -> dict[str, Any]:
    kind = _state(content, tag, source)
    others = [source] if kind == _OLDER else sorted(content)
    ranks = [_best(question.ranks, others) for question in asked]
    rank, measured = None, bool(asked)
    if asked:
        # A version that was not among the results lies below all of them.
        deepest = median([float("inf") if place is None else place for place in ranks])
        rank = None if deepest == float("inf") else deepest
    else:
        known = [value for other in others if (value := typical.get((tag, other))) is not None]
        rank = min(known, default=None)
    inside = sum(
        question.weight for question, place in zip(asked, ranks, strict=True) if (place or CUTOFF + 1) <= CUTOFF
    )
    weight = sum(question.weight for question in asked)
    return {
        "content": name,
        "language": tag,
        "kind": kind,
        "versions": sorted(content),
        "date": content.get(tag),
        "source_date": content.get(source),
        # Probes are made by us: nobody asked.
        "demand": 0 if probes else weight,
        "queries": len(asked),
        "rank": rank,
        "rank_is": "measured" if measured else "typical" if rank is not None else None,
        "in_top_10": inside / weight if weight else None,
    }


def _depth(gap: Mapping[str, Any]) -> float:
    """The rank; infinite for a version that was measured and lies below all results, 0 where nothing is known."""
    if gap["rank"] is not None:
        return float(gap["rank"])
    return float("inf") if gap["rank_is"] == "measured" else 0.0


def _best(ranks: Mapping[str, int | None], languages: Sequence[str]) -> int | None:
    known = [rank for tag in languages if (rank := ranks.get(tag)) is not None]
    return min(known, default=None)


def _typical(questions: Sequence[Question]) -> dict[tuple[str, str], float | None]:
    """Median rank of a version by query language and its own language; None if it lies below the lists."""
    ranks: dict[tuple[str, str], list[float]] = {}
    for question in questions:
        for tag, rank in question.ranks.items():
            if tag != question.language:
                ranks.setdefault((question.language, tag), []).append(float("inf") if rank is None else rank)
    medians = {key: median(values) for key, values in ranks.items()}
    return {key: None if value == float("inf") else value for key, value in medians.items()}


def questions_of(
    result: AuditResult, contents: Mapping[str, Sequence[str]], weights: Mapping[str, int] | None = None
) -> list[Question]:
    """The queries of an audit as evidence of demand: from exact ranks, or else from the first list.

    :param result: the audit; its rows over mixed pools are used.
    :param contents: contents that answer each query, by its id.
    :param weights: how often each query was asked, by its id; None for once each.
    """
    mixed = [number for number, row in enumerate(result.rows) if row["scenario"] == "multi"]
    exact = [number for number in mixed if result.rows[number]["kind"] == "exact"]
    first = {result.rows[number].get("retrieval") for number in mixed[:1]}
    chosen = exact or [number for number in mixed if result.rows[number].get("retrieval") in first]
    questions = []
    for number in chosen:
        for place in result.row_queries(number):
            name = result.queries["id"][place]
            ranks: dict[str, int | None] = {}
            pairs = zip(result.queries["versions"][place], result.queries["ranks"][place], strict=True)
            for tag, rank in sorted(pairs, key=lambda pair: (pair[1] is None, pair[1] or 0)):
                ranks.setdefault(tag, rank)
            weight = 1 if weights is None else weights.get(name, 0)
            questions.append(
                Question(result.rows[number]["query_language"], tuple(contents.get(name, ())), ranks, weight)
            )
    return questions
