"""Ranks in retrieved lists, and their recall of the exact lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.exact.versions import Version
from haystack_crossalign.opensearch.index.groups import Member
from haystack_crossalign.opensearch.live.exact_top import unit_of
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.live.queries import LiveQueries
from haystack_crossalign.ranks.arguments import padded
from haystack_crossalign.ranks.result_lists import ranks_from_lists, with_asked_depth
from haystack_crossalign.ranks.table import RankTable
from haystack_crossalign.ranks.ties import tie_key, tie_order


def live_table(
    lists: Sequence[Sequence[Hit]],
    queries: LiveQueries,
    *,
    members: Mapping[str, Member],
    asked: int | None = None,
    by_version: bool | None = None,
    merged: bool = True,
    pool_languages: Collection[str] = (),
    pool_size: int | None = None,
    lengths: Sequence[int] | None = None,
    key: Callable[[str], bytes] = tie_key,
) -> RankTable:
    """Ranks of the judged versions of every query in its retrieved list.

    Versions that are not in a list are censored: their ranks are beyond the list's depth. A list shorter than requested
    has ended by itself, so versions that it lacks were not found. Columns are in the order of ``queries.judged``, or of
    ``queries.versions`` if versions are ranked, as in the exact ranks of the same queries.

    :param lists: result list of each query, best first.
    :param queries: the queries and what is relevant to them.
    :param members: language and group of every judged document by its name, retrieved or not, see
        `haystack_crossalign.opensearch.index.groups.members_by_name`. They are also used for hits, since a pipeline may
        return less data.
    :param asked: documents requested in each list, from `Retrieval.asked_depth`; None if unknown.
    :param by_version: whether documents are chunks of versions, and versions are ranked; None: where
        ``queries.chunked``.
    :param merged: whether ranks count versions; False to count every hit, as users see the list.
    :param pool_languages: normalized languages of the pool; those of hits and relevant documents are added.
    :param pool_size: number of versions, or of documents if hits are counted, in the pool, where it is known.
    :param lengths: length of each list as it was returned, where repeated documents were left out since.
    :param key: sort key of a document's name among those of equal score.
    :returns: ranks over versions (documents unless `by_version`) with `depth`, `ended` and `top_language`.
    :raises InputError: lists that do not fit the queries, or judged documents that `members` lacks.
    """
    if len(lists) != len(queries):
        raise InputError("the lists do not fit the queries", field="lists", seen=len(lists), allowed=str(len(queries)))
    chunks = queries.chunked if by_version is None else by_version
    known = _judged_hits(queries, members)
    for hit_list in lists:
        for hit in hit_list:
            known.setdefault(hit.id, hit)
    ids = list(known)
    place = {name: number for number, name in enumerate(ids)}
    units = {name: unit_of(known[name], by_version=chunks) for name in ids}
    version_of: dict[tuple[str, str | None], int] = {}
    versions = [version_of.setdefault(units[name], len(version_of)) for name in ids]
    tags = sorted({*queries.languages, *pool_languages, *(hit.language for hit in known.values())})
    code = {tag: number for number, tag in enumerate(tags)}
    codes = [code[known[name].language] for name in ids]
    judged = [_columns(row, known, chunks) for row in queries.judged]
    table = ranks_from_lists(
        padded([[place[hit.id] for hit in row] for row in lists], -1, np.int64),
        document_languages=np.array(codes, dtype=np.int32),
        languages=tuple(tags),
        query_languages=np.array([code[tag] for tag in queries.languages], dtype=np.int32),
        relevant=padded([[version_of[units[name]] for name in row] for row in judged], -1, np.int64),
        tie_order=tie_order(ids, key=key),
        versions=np.array(versions, dtype=np.int64),
        scores=padded([[hit.score for hit in row] for row in lists], 0.0, np.float64),
        pool_languages=tuple(sorted({*codes, *(code[tag] for tag in pool_languages)})),
        pool_size=pool_size,
        merged=merged,
    )
    return with_asked_depth(table, [len(row) for row in lists] if lengths is None else lengths, asked)


def without_repeats(hits: Sequence[Hit]) -> tuple[list[Hit], dict[str, int]]:
    """A list with each document only at its first position, and the counts of duplicate documents."""
    firsts: dict[str, Hit] = {}
    for hit in hits:
        firsts.setdefault(hit.id, hit)
    if len(firsts) == len(hits):
        return list(hits), {}
    counts = Counter(hit.id for hit in hits)
    return list(firsts.values()), {name: count for name, count in counts.items() if count > 1}


def versions_held(hits: Sequence[Hit], members: Mapping[str, Member]) -> int:
    """Number of versions whose documents are in a list.

    :param hits: the list.
    :param members: as for `live_table`.
    """
    units = set()
    for hit in hits:
        member = members.get(hit.id)
        known = hit if member is None else hit._replace(language=member.language, group=member.group)
        units.add(unit_of(known, by_version=True))
    return len(units)


def list_recall(
    live: Sequence[Sequence[Hit]],
    exact: Sequence[Sequence[Hit]],
    k: int,
    *,
    by_version: bool = False,
    asked: int | None = None,
) -> NDArray[np.float64]:
    """Share of each query's exact top k that is in the first k of its retrieved list.

    Documents of equal exact score are interchangeable: with A documents that score more than the k-th, and T that score
    the same, recall = (found of A + min(found of T, k - |A|)) / k, so finding a document instead of another that ties
    with it is not a loss. If the pool has fewer than k documents, their number is used for k.

    :param live: result lists of Q queries, best first; their scores are not read.
    :param exact: from `haystack_crossalign.opensearch.live.exact_top.exact_top` with the same k, ties included.
    :param k: length of the lists that are compared.
    :param by_version: whether versions are compared, each found where any of its chunks is.
    :param asked: documents asked for in each live list, where versions are compared: a list of that length may be too
        short for k versions, and is then compared as far as it goes.
    :returns: float64 [Q], NaN if the pool is empty.
    :raises InputError: numbers of lists that differ, or a k below 1.
    """
    if k < 1 or len(live) != len(exact):
        raise InputError(
            "the lists cannot be compared", field="k", seen=(k, len(live), len(exact)), allowed="k of 1 or more"
        )
    recall = np.full(len(live), np.nan)
    for query, (found_list, exact_list) in enumerate(zip(live, exact, strict=True)):
        units = list(dict.fromkeys(unit_of(hit, by_version=by_version) for hit in found_list))
        length = min(k, len(exact_list))
        if by_version and asked is not None and len(found_list) >= asked:
            length = min(length, len(units))
        if length:
            recall[query] = _share(set(units[:length]), exact_list, length, by_version)
    return recall


def _share(served: set[tuple[str, str | None]], exact: Sequence[Hit], length: int, by_version: bool) -> float:
    lowest = exact[length - 1].score
    above = {unit_of(hit, by_version=by_version) for hit in exact if hit.score > lowest}
    tied = {unit_of(hit, by_version=by_version) for hit in exact if hit.score == lowest}
    return (len(served & above) + min(len(served & tied), length - len(above))) / length


def _judged_hits(queries: LiveQueries, members: Mapping[str, Member]) -> dict[str, Hit]:
    """Judged documents by id, with language and group."""
    known: dict[str, Hit] = {}
    for query, names in zip(queries.ids, queries.judged, strict=True):
        for name in names:
            if name not in members:
                raise InputError(
                    f"the language of a judged document of query '{query}' is not known", field="relevant", seen=name
                )
            known[name] = Hit(name, float("nan"), members[name].language, members[name].group)
    return known


def _columns(judged: Sequence[str], known: Mapping[str, Hit], chunks: bool) -> list[str]:
    """One document for each judged version, in the order of the versions."""
    if not chunks:
        return list(judged)
    firsts: dict[Version, str] = {}
    for name in judged:
        firsts.setdefault(Version.of(name, known[name].language, known[name].group), name)
    return [firsts[version] for version in sorted(firsts)]
