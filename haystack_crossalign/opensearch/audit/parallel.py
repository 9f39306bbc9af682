"""Measures without labels: agreement between parallel queries, and exposure of languages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from haystack_crossalign.measures.exposure import language_exposure, mean_rank_correlation
from haystack_crossalign.opensearch.audit.records import Record
from haystack_crossalign.opensearch.audit.tasks import Task, select
from haystack_crossalign.ranks.arguments import padded
from haystack_crossalign.ranks.table import PADDING, TopLists, top_lists


def parallel_block(
    task: Task,
    records: Mapping[int, Record],
    *,
    retrievals: Sequence[str],
    by_language: Mapping[str, int],
    listed: Mapping[str, int],
    top: int,
    by_version: bool = True,
) -> list[dict[str, Any]]:
    """MRC@k and language exposure of the exact lists and of all retrieved ones, as JSON values.

    :param task: a mixed pool and its queries.
    :param records: measurements by position within the task.
    :param retrievals: names of the retrieved lists.
    :param by_language: versions of the pool by language.
    :param listed: what ranks in retrieved lists count, by language of the pool.
    :param top: k.
    :param by_version: whether chunks of a version count once in retrieved lists; False to count every hit.
    """
    places = sorted(records)
    queries = select(task.queries, places)
    # Computed for all queries: in a part of them, a group with two queries in one language might look unambiguous.
    groups = task.queries.parallel()[np.array(places, dtype=np.int64)]
    pairs = []
    for name in (None, *retrievals):
        lists = [
            records[place].get("shown") if name is None else records[place].get("live", {}).get(name, {}).get("shown")
            for place in places
        ]
        asked = [number for number, hits in enumerate(lists) if hits is not None]
        if asked:
            exact = name is None
            entry = _measured(
                [lists[number] or [] for number in asked], [queries.languages[n] for n in asked],
                groups[asked].tolist(), by_language if exact else listed, top,
                chunked=queries.chunked and (exact or by_version),
            )  # fmt: skip
            # Of a group with two questions in one language nobody knows which is the translation of which.
            entry["ambiguous"] = sum(queries.groups[number] is not None and int(groups[number]) < 0 for number in asked)
            pairs.append({"kind": "exact" if exact else "live", "retrieval": name, "k": top, **entry})
    return pairs


def recorded_lists(
    task: Task,
    records: Mapping[int, Record],
    retrieval: str | None,
    languages: Sequence[str],
    top: int,
    *,
    by_version: bool = True,
) -> TopLists | None:
    """The first versions that the queries of a task found, in the order of their positions.

    :param task: a pool and its queries.
    :param records: measurements by position within the task.
    :param retrieval: name of the retrieved list; None for the exact ranking.
    :param languages: languages of the table for which the lists are.
    :param top: versions recorded of each list.
    :param by_version: whether chunks of a version count once; False to record every hit.
    :returns: None if some query has no such list.
    """
    places = sorted(records)
    parts = [records[place] if retrieval is None else records[place].get("live", {}).get(retrieval) for place in places]
    lists = [None if part is None else part.get("shown") for part in parts]
    if any(hits is None for hits in lists):
        return None
    chunked = task.queries.chunked and by_version
    code = {tag: number for number, tag in enumerate(languages)}
    number: dict[object, int] = {}
    units = [list({_unit(hit, chunked=chunked): hit[2] for hit in hits or ()}.items())[:top] for hits in lists]
    versions = [[number.setdefault(unit, len(number)) for unit, _ in row] for row in units]
    # A language that is not in the table is none of those measured, but holds a place.
    tags = [[code.get(tag, len(languages)) for _, tag in row] for row in units]
    asked = [task.queries.languages[place] for place in places]
    return top_lists(
        padded(versions, PADDING, np.int32, top),
        padded(tags, PADDING, np.int32, top),
        np.array([retrieval is None or bool(part and part["ended"]) for part in parts], dtype=bool),
        asked,
        task.queries.parallel()[np.array(places, dtype=np.int64)],
    )


def _measured(
    lists: Sequence[Sequence[Sequence[Any]]],
    query_languages: Sequence[str],
    groups: Sequence[int],
    by_language: Mapping[str, int],
    top: int,
    *,
    chunked: bool,
) -> dict[str, Any]:
    tags = sorted({*by_language, *query_languages, *(hit[2] for hits in lists for hit in hits)})
    code = {tag: number for number, tag in enumerate(tags)}
    # Versions are ranked; that of a chunk is given by its language and group.
    names = [list(dict.fromkeys(_unit(hit, chunked=chunked) for hit in hits))[:top] for hits in lists]
    languages = [list({_unit(hit, chunked=chunked): code[hit[2]] for hit in hits}.values())[:top] for hits in lists]
    known: dict[object, int] = {}
    codes = [[known.setdefault(name, len(known)) for name in row] for row in names]
    asked = np.array([code[tag] for tag in query_languages], dtype=np.int64)
    correlation = mean_rank_correlation(padded(codes, PADDING, np.int64, top), asked, np.array(groups, dtype=np.int64))
    exposure = language_exposure(
        padded(languages, PADDING, np.int64, top),
        asked,
        np.array([by_language.get(tag, 0) for tag in tags], dtype=np.int64),
    )
    return {
        "mrc": None if math.isnan(correlation.mean) else correlation.mean,
        "pairs": [
            {"languages": [tags[first], tags[second]], "mrc": value, "queries": correlation.pairs[first, second]}
            for (first, second), value in correlation.by_pair.items()
        ],
        "undefined": correlation.undefined,
        "exposure": [
            {
                "query_language": tags[int(language)],
                "queries": int(exposure.queries[row]),
                "shares": {
                    tag: {"plain": _value(exposure.plain[row, column]),
                          "discounted": _value(exposure.discounted[row, column]),
                          "pool": _value(exposure.pool[column])}
                    for tag, column in code.items() if by_language.get(tag)
                },
            }
            for row, language in enumerate(exposure.query_languages)
        ],
    }  # fmt: skip


def _unit(hit: Sequence[Any], *, chunked: bool) -> object:
    return (hit[2], hit[3]) if chunked and hit[3] is not None else hit[0]


def _value(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
