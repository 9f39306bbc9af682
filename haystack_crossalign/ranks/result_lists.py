"""Ranks from the result lists of any retriever, censored where the list ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks.arguments import integer_column, integer_table, language_codes, relevant_versions
from haystack_crossalign.ranks.table import ABSENT, CENSORED, RankTable


def ranks_from_lists(
    retrieved: ArrayLike,
    *,
    document_languages: ArrayLike,
    languages: tuple[str, ...],
    query_languages: ArrayLike,
    relevant: ArrayLike,
    tie_order: ArrayLike | None,
    versions: ArrayLike | None = None,
    scores: ArrayLike | None = None,
    pool_languages: tuple[int, ...] | None = None,
    pool_size: int | None = None,
    merged: bool = True,
) -> RankTable:
    """Rank the relevant versions of every query in its result list.

    The document arrays describe all judged and all retrieved documents, in any order (a document of unknown language
    has the code of a tag such as ``und``). The rank of a version is that of its first document in the list; rank and
    depth count versions. A relevant version that is not in the list is `CENSORED`: its rank is greater than the list's
    depth. If a list has scores that never rise, documents of equal score are sorted by `tie_order`, and the bounds
    cover all their orders; ties with documents beyond the end of the list are unknown. If a score rises (as after a
    reranker or joiner that keeps the old scores) or is NaN, or without scores, the order of the list counts and the
    bounds equal the rank.

    Where documents are counted, a list may hold further documents of a relevant version. Documents that tie with one of
    these keep the order of the list, and their bounds equal the rank.

    :param retrieved: int [Q, depth], document indices, best first, padded at the end with -1.
    :param document_languages: int [N], code of each document's language, an index into `languages`.
    :param languages: tags of the L languages.
    :param query_languages: int [Q], code of each query's language.
    :param relevant: int [Q, R], relevant versions of each query (document indices if `versions` is None), padded with
        -1. They must be among the documents described, but need not be retrieved.
    :param tie_order: int [N], position of each document in the tie order, see
        `haystack_crossalign.ranks.ties.tie_order`; None keeps the order of the lists.
    :param versions: int [N], version of each document, or None if each document is its own version.
    :param scores: float [Q, depth], scores of the listed documents; padding is ignored.
    :param pool_languages: codes of the pool's languages, if it has others than those of the documents.
    :param pool_size: number of versions in the pool, if known.
    :param merged: count versions, so that further documents of one are left out of a list; False to count every
        document, as users see the list.
    :returns: a table with `depth` and `top_language`.
    :raises InputError: for arrays whose shapes do not match, padding before the end, and unknown indices.
    """
    count = np.asarray(document_languages).size
    codes = language_codes(document_languages, count, len(languages), "document_languages")
    version_of = np.arange(count) if versions is None else integer_column(versions, count, "versions")
    lists = integer_table(retrieved, len(np.asarray(retrieved)), "retrieved")
    if not count:
        raise InputError(
            "no documents are described", field="document_languages", allowed="at least the judged documents"
        )
    if not lists.shape[1]:  # a list of width 0 becomes a list of padding
        lists, scores = np.full((len(lists), 1), -1, dtype=np.int64), None
    listed = _checked_listed(lists, count)
    version_languages = np.full(int(version_of.max()) + 1, -1, dtype=np.int32)
    version_languages[version_of] = codes
    wanted = relevant_versions(relevant, len(lists), version_languages)

    keys = _tie_keys(listed, scores)
    version = np.where(listed, version_of[lists], -1)
    if not merged:
        keys = _split_ties(keys, _relevant(version, wanted) & ~_first_of_version(version, listed))
    if tie_order is not None:
        lists = _ordered_within_ties(lists, listed, keys, integer_column(tie_order, count, "tie_order"))
    exists = wanted >= 0
    version = np.where(listed, version_of[lists], -1)
    first = _first_of_version(version, listed)
    position = _positions(version, first, wanted)
    listed_versions = exists & (position >= 0)
    at = np.maximum(position, 0)

    def ranked(counts: NDArray[np.int64]) -> NDArray[np.int32]:
        """Look up a number by position in the list, and mark versions that are not in it."""
        taken = np.take_along_axis(counts, at, axis=1)
        return np.where(listed_versions, taken, np.where(exists, CENSORED, ABSENT)).astype(np.int32)

    counted = first if merged else listed
    through = counted.cumsum(axis=1)  # versions, or documents, up to and including each position
    start, end = _runs(keys)
    before_run = np.take_along_axis(through - counted, start, axis=1)
    through_run = np.take_along_axis(through, end, axis=1)

    above, higher, tied = (np.zeros((*wanted.shape, len(languages)), dtype=np.int32) for _ in range(3))
    further = np.zeros((*wanted.shape, wanted.shape[1]), dtype=np.int32)
    for column in range(0 if merged else wanted.shape[1]):
        own = (version == wanted[:, column, None]) & exists[:, column, None] & ~first
        until = own.cumsum(axis=1)
        before = np.take_along_axis(until - own, at, axis=1)
        further[:, :, column] = np.where(listed_versions, before, np.where(exists, until[:, -1:], 0))
    top_versions = np.zeros((len(lists), len(languages)), dtype=np.int32)
    place_languages = np.where(listed, codes[lists], -1)
    for code in range(len(languages)):
        own = counted & (place_languages == code)
        total = own.sum(axis=1)[:, None]
        until = own.cumsum(axis=1)
        before = until - own
        greater = np.take_along_axis(before, start, axis=1)
        equal = np.take_along_axis(until, end, axis=1) - greater
        above[:, :, code] = np.where(
            listed_versions, np.take_along_axis(before, at, axis=1), np.where(exists, total, 0)
        )
        higher[:, :, code] = np.where(
            listed_versions, np.take_along_axis(greater, at, axis=1), np.where(exists, total, 0)
        )
        itself = version_languages[np.maximum(wanted, 0)] == code
        tied[:, :, code] = np.where(listed_versions, np.take_along_axis(equal, at, axis=1) - itself, 0)
        top_versions[:, code] = equal[:, 0]
    has_ties = bool(tied.any())

    known = tuple(int(code) for code in np.unique(codes)) if pool_languages is None else pool_languages
    return RankTable(
        languages=tuple(languages),
        query_languages=language_codes(query_languages, len(lists), len(languages), "query_languages"),
        relevant_languages=np.where(exists, version_languages[np.maximum(wanted, 0)], -1).astype(np.int32),
        ranks=ranked(through),
        optimistic=ranked(before_run + 1),
        pessimistic=ranked(through_run),
        above=above,
        pool_languages=tuple(sorted(known)),
        pool_size=pool_size,
        depth=counted.sum(axis=1).astype(np.int32),
        top_language=place_languages[:, 0].astype(np.int32),
        top_versions=top_versions if (top_versions.sum(axis=1) > 1).any() else None,
        higher=higher if has_ties else None,
        tied=tied if has_ties else None,
        further=further if further.any() else None,
    )


def _checked_listed(lists: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    wrong = np.argwhere((lists < -1) | (lists >= count))
    if len(wrong):
        row, place = wrong[0]
        raise InputError(
            f"result {place + 1} of query {row} is not a known document",
            field="retrieved",
            seen=int(lists[row, place]),
            allowed=f"0 to {count - 1}, or -1 after the end of the list",
        )
    listed: NDArray[np.bool_] = lists >= 0
    gaps = np.argwhere(listed[:, 1:] & ~listed[:, :-1])
    if len(gaps):
        row, place = gaps[0]
        raise InputError(
            f"result {place + 1} of query {row} is missing, but the list goes on", field="retrieved", seen=-1
        )
    return listed


def _tie_keys(listed: NDArray[np.bool_], scores: ArrayLike | None) -> NDArray[np.int64]:
    """A number per position that rises along the list and is equal where scores do not order the documents."""
    places = np.broadcast_to(np.arange(listed.shape[1]), listed.shape)
    if scores is None:
        return places.astype(np.int64)
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != listed.shape:
        raise InputError("scores do not fit the lists", field="scores", seen=values.shape, allowed=str(listed.shape))
    both = listed[:, 1:]
    before, after = values[:, :-1], values[:, 1:]
    ordered: NDArray[np.bool_] = np.logical_and.reduce((before >= after) | ~both, axis=1)  # False for NaN
    new = np.ones(listed.shape, dtype=np.int64)
    new[:, 1:] = np.where(both & ordered[:, None], before > after, 1)
    keys: NDArray[np.int64] = new.cumsum(axis=1)
    return keys


def _ordered_within_ties(
    lists: NDArray[np.int64], listed: NDArray[np.bool_], keys: NDArray[np.int64], tie_order: NDArray[np.int64]
) -> NDArray[np.int64]:
    order = np.lexsort((np.where(listed, tie_order[lists], -1), keys), axis=1)
    return np.take_along_axis(lists, order, axis=1)


def _first_of_version(version: NDArray[np.int64], listed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each position holds the first document of its version."""
    rows = np.repeat(np.arange(len(version)), version.shape[1])
    order = np.lexsort((version.ravel(), rows))  # stable: positions ascend within a version
    again = np.zeros(version.size, dtype=np.bool_)
    same = (rows[order][1:] == rows[order][:-1]) & (version.ravel()[order][1:] == version.ravel()[order][:-1])
    again[order[1:]] = same
    return listed & ~again.reshape(version.shape)


def _relevant(version: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each position holds a document of a relevant version."""
    relevant = np.zeros(version.shape, dtype=np.bool_)
    for column in range(wanted.shape[1]):
        relevant |= (version == wanted[:, column, None]) & (wanted[:, column, None] >= 0)
    return relevant


def _split_ties(keys: NDArray[np.int64], further: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Keys in which every position of a run that holds a further document has a key of its own."""
    start, end = _runs(keys)
    until = np.concatenate((np.zeros((len(keys), 1), dtype=np.int64), further.cumsum(axis=1)), axis=1)
    alone = np.take_along_axis(until, end + 1, axis=1) > np.take_along_axis(until, start, axis=1)
    changes = alone.copy()
    changes[:, 1:] |= keys[:, 1:] != keys[:, :-1]
    split: NDArray[np.int64] = changes.cumsum(axis=1)
    return split


def _positions(version: NDArray[np.int64], first: NDArray[np.bool_], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of each relevant version in its list, -1 if it is not in the list."""
    position = np.full(wanted.shape, -1, dtype=np.int64)
    for column in range(wanted.shape[1]):
        here = first & (version == wanted[:, column, None])
        there = here.any(axis=1) & (wanted[:, column] >= 0)
        position[there, column] = here[there].argmax(axis=1)
    return position


def _runs(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last position of the run of equal keys around each position; keys never fall along a row."""
    places = np.broadcast_to(np.arange(keys.shape[1]), keys.shape)
    changes = np.ones(keys.shape, dtype=np.bool_)
    changes[:, 1:] = keys[:, 1:] != keys[:, :-1]
    start = np.maximum.accumulate(np.where(changes, places, 0), axis=1)
    ends = np.ones(keys.shape, dtype=np.bool_)
    ends[:, :-1] = changes[:, 1:]
    last = np.where(ends, places, keys.shape[1])
    end = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    return start, end


def with_asked_depth(table: RankTable, lengths: ArrayLike, asked: int | None = None) -> RankTable:
    """Distinguish lists that were cut from lists that ended by themselves.

    A list shorter than the requested depth has ended: nothing follows it. A version that it lacks was not found; if it
    has a rank at all, it is below the requested depth. A list of full length was cut, and versions that it lacks rank
    below its own depth.

    :param table: ranks from lists, see `ranks_from_lists`.
    :param lengths: int [Q], number of documents in each list.
    :param asked: number of documents requested. If None or smaller than the longest list, that list's length: joined
        lists can be longer than what each retriever was asked for.
    """
    if table.depth is None:
        return table
    count = np.asarray(lengths)
    wanted = max(int(count.max(initial=0)), asked or 0)
    ended = count < wanted
    deepest = np.maximum(table.depth, wanted)
    if table.pool_size is not None:
        # A missing version is in the pool, so its rank is at most the pool size.
        deepest = np.minimum(deepest, table.pool_size - (table.ranks == CENSORED).sum(axis=1))
    depth = np.where(ended, np.maximum(table.depth, deepest), table.depth)
    return replace(table, depth=depth.astype(np.int32), ended=ended)
