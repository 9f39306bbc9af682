"""Bounds under ties: the lowest, the highest and the mean value of a measure over all orders of equal scores.

Documents of equal score may be in any order, independently for each query. For every measure both bounds are attained
by some order, and the mean weighs all orders equally; all three are computed by formula. For a group of versions with
the same score, o is its first rank, s its size and r the number of relevant versions in it:

- the best order has those r at o, o + 1, ..., the worst at the last r ranks of the group, o + s - 1 and before it;
- a version stands at each rank of its group with probability 1 / s;
- the last of the r is at o - 1 + j with probability C(j - 1, r - 1) / C(s, r),
  at o - 1 + r (s + 1) / (r + 1) on average;
- the first of them is at o - 1 + j with probability C(s - j, r - 1) / C(s, r),
  at o - 1 + (s + 1) / (r + 1) on average;
- another version is ahead of all r with probability 1 / (r + 1).

For measures of whole lists (MRC, Exposure) and for PEER the bounds are not known, and the value is that of the order
of the table.

Ties with documents beyond the end of a cut list are unknown and not counted.
"""

# ruff: noqa: ARG001 - all formulas have the same signature

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.measures.base import UNRANKED, Facts, Measure, QueryValues, column_sums, select_queries
from haystack_crossalign.measures.depth import Complete, MaxAtR, MaxAtRNorm, RankOf, language_code
from haystack_crossalign.measures.fairness import EqualExpectedRank, TargetLanguageRecall, other_versions
from haystack_crossalign.measures.language import Intrusion, LangNDCG, LanguagePreferenceRate, Top1, further_ahead
from haystack_crossalign.measures.lists import ListMeasure
from haystack_crossalign.measures.relevance import MRR, NDCG, Recall
from haystack_crossalign.measures.translation import OtherOnly, OtherOnlyFound
from haystack_crossalign.ranks.table import RankTable

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TieValues:
    """Values of a measure over all orders of ties, one per query, NaN if the measure is null.

    :param lowest: float64 [Q], the smallest value.
    :param highest: float64 [Q], the largest value.
    :param expected: float64 [Q], the mean over all orders.
    """

    lowest: Floats
    highest: Floats
    expected: Floats


def queries_with_ties(table: RankTable) -> Bools:
    """Queries with a relevant version that ties with another version, bool [Q].

    :param table: ranks of Q queries.
    """
    result: Bools = ((table.ranks > 0) & (table.optimistic != table.pessimistic)).any(axis=1)
    return result


def tie_values(table: RankTable, measure: Measure, values: QueryValues) -> TieValues:
    """Bounds and mean of a measure over all orders of documents with equal scores.

    :param table: ranks of Q queries.
    :param measure: the measure.
    :param values: its values on the table.
    """
    # One array serves for all three if nothing ties, which is the common case.
    result = TieValues(values.values, values.values, values.values)
    tied = queries_with_ties(table)
    if isinstance(measure, NDCG) and (graded := _graded(table)) is not None:
        tied = queries_with_ties(graded)
    if isinstance(measure, Top1) and table.top_versions is not None:
        tied = tied | (table.top_versions.sum(axis=1) > 1)
    chosen = np.flatnonzero(tied & ~np.isnan(values.values))
    if not len(chosen):
        return result
    tied_values = _values(measure, _Groups(select_queries(table, chosen)), values.values[chosen])
    columns = []
    for part in (tied_values.lowest, tied_values.highest, tied_values.expected):
        column = values.values.copy()
        column[chosen] = part
        columns.append(column)
    return TieValues(*columns)


def _graded(table: RankTable) -> RankTable | None:
    """The table of all versions with a gain, including those that are not relevant; None without grades."""
    if table.gains is None or table.gain_ranks is None:
        return None
    if table.gain_optimistic is None or table.gain_pessimistic is None:
        return None
    return replace(
        table,
        relevant_languages=np.where(table.gains > 0, 0, -1).astype(np.int32),
        ranks=table.gain_ranks,
        optimistic=table.gain_optimistic,
        pessimistic=table.gain_pessimistic,
    )


class _Groups(Facts):
    """The groups of equal score that hold relevant versions; arrays have the layout [R, Q], as in `Facts`."""

    def __init__(self, table: RankTable) -> None:
        super().__init__(table)
        self.start = np.where(self.known, table.optimistic.T, 0).astype(np.int64)
        self.end = np.where(self.known, table.pessimistic.T, 0).astype(np.int64)
        self.size = self.end - self.start + 1

    def members(self, mask: Bools) -> Integers:
        """Number of versions where ``mask`` (bool [R, Q]) holds in the group of each version, int64 [R, Q]."""
        counted = mask & self.known
        total = np.zeros(self.start.shape, dtype=np.int64)
        for other in range(len(self.start)):
            total += counted[other] & (self.start == self.start[other])
        return total

    def placed(self, gains: Floats) -> tuple[Integers, Integers]:
        """Ranks [R, Q] in the order with the most and in that with the least gain, `UNRANKED` if no rank is known.

        Greater gains have the better ranks of their group in the first order and the worse ranks in the second. By the
        rearrangement inequality no order has more, or less, discounted gain.

        :param gains: float64 [R, Q], above 0.
        """
        before = np.zeros(self.start.shape, dtype=np.int64)
        for version in range(len(self.start)):
            for other in range(len(self.start)):
                greater = gains[other] > gains[version] if other >= version else gains[other] >= gains[version]
                before[version] += (
                    self.known[version] & self.known[other] & (self.start[version] == self.start[other]) & greater
                )
        best = np.where(self.known, self.start + before, UNRANKED)
        worst = np.where(self.known, self.end - before, UNRANKED)
        return best, worst

    def first_group(self, mask: Bools) -> tuple[Integers, Integers, Integers, Bools]:
        """The best group with a version where ``mask`` holds: its first rank, its size, and the number of members where
        it holds.

        :returns: int64 [Q] each, and bool [Q], whether there is such a group; the numbers are 1 if there is none.
        """
        ranks = np.where(mask & self.known, self.start, UNRANKED)
        place, queries = ranks.argmin(axis=0), np.arange(self.queries)
        exists = ranks[place, queries] != UNRANKED
        best = (self.start, self.size, self.members(mask))
        start, size, members = (np.where(exists, values[place, queries], 1) for values in best)
        return start, size, members, exists


@singledispatch
def _values(measure: Measure, groups: _Groups, values: Floats) -> TieValues:
    """Bounds and mean of a measure for the queries where it has a value."""
    raise TypeError(f"no bounds under ties are known for {measure.name}")


def _last_group(groups: _Groups) -> tuple[Integers, Integers, Integers]:
    """The group of the last known version: its first rank, its size, and its number of relevant versions, int64 [Q]
    each.
    """
    place, queries = groups.start.argmax(axis=0), np.arange(groups.queries)
    members = groups.members(groups.known)
    return groups.start[place, queries], groups.size[place, queries], members[place, queries]


@_values.register
def _max_at_r(measure: MaxAtR, groups: _Groups, values: Floats) -> TieValues:
    start, size, relevant = _last_group(groups)
    return TieValues(
        (start + relevant - 1).astype(np.float64),
        (start + size - 1).astype(np.float64),
        start - 1 + relevant * (size + 1) / (relevant + 1),
    )


@_values.register
def _max_at_r_norm(measure: MaxAtRNorm, groups: _Groups, values: Floats) -> TieValues:
    start, size, relevant = _last_group(groups)
    pool = float(groups.table.pool_size or 1)
    span = np.log2(pool / groups.relevant)
    expected = _mean_over_last(np.log2, start, size, relevant)
    return TieValues(
        np.log2(pool / (start + size - 1)) / span,
        np.log2(pool / (start + relevant - 1)) / span,
        (np.log2(pool) - expected) / span,
    )


@_values.register
def _complete(measure: Complete, groups: _Groups, values: Floats) -> TieValues:
    start, size, relevant = _last_group(groups)
    lacking = groups.missing > 0  # a query that lacks a version and has a value is 0 in every order
    inside = np.clip(measure.cutoff - start + 1, 0, size)
    chance = np.ones(groups.queries)
    for number in range(int(relevant.max(initial=0))):
        step = np.maximum(inside - number, 0) / np.maximum(size - number, 1)
        chance = np.where(number < relevant, chance * step, chance)
    ends = (start + size - 1 <= measure.cutoff, start + relevant - 1 <= measure.cutoff, chance)
    return TieValues(*(np.where(lacking, 0.0, end) for end in ends))


def _discounted(cutoff: int, groups: _Groups, gains: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Lowest, highest and mean sum of discounted gains in the top K, and the sum of the ideal ranking: [Q] each."""
    deepest = max(int(groups.end.max(initial=0)), len(gains))
    size = min(cutoff, deepest)
    steps = 1.0 / np.log2(np.arange(2, size + 2, dtype=np.float64))
    discount = np.concatenate((np.zeros(1), steps, np.zeros(1)))  # the last entry is used for every deeper rank
    until = np.concatenate((np.zeros(1), np.cumsum(steps)))
    best, worst = groups.placed(gains)
    least, most = (column_sums(gains * discount[np.minimum(ranks, size + 1)]) for ranks in (worst, best))
    share = (
        until[np.minimum(groups.end, size)] - until[np.minimum(np.maximum(groups.start, 1) - 1, size)]
    ) / groups.size
    mean = column_sums(gains * np.where(groups.known, share, 0.0))
    ordered = -np.sort(-np.where(groups.present, gains, 0.0), axis=0)[:size]
    ideal = column_sums(ordered * steps[: len(ordered), None])
    return least, most, mean, ideal


@_values.register
def _ndcg(measure: NDCG, groups: _Groups, values: Floats) -> TieValues:
    graded, gains = _graded(groups.table), groups.table.gains
    if graded is None or gains is None:
        least, most, mean, ideal = _discounted(measure.cutoff, groups, np.ones(groups.start.shape))
    else:
        least, most, mean, ideal = _discounted(measure.cutoff, _Groups(graded), gains.T)
    return TieValues(least / ideal, most / ideal, mean / ideal)


@_values.register
def _lang_ndcg(measure: LangNDCG, groups: _Groups, values: Floats) -> TieValues:
    least, most, mean, ideal = _discounted(measure.cutoff, groups, np.where(groups.same, 2.0, 1.0))
    return TieValues(least / ideal, most / ideal, mean / ideal)


@_values.register
def _mrr(measure: MRR, groups: _Groups, values: Floats) -> TieValues:
    start, size, relevant, exists = groups.first_group(groups.known)
    cutoff = UNRANKED if measure.cutoff is None else measure.cutoff

    def reciprocal(rank: Floats) -> Floats:
        return np.where(rank <= cutoff, 1.0 / rank, 0.0)

    expected = (
        reciprocal((start + size - relevant).astype(np.float64)),
        reciprocal(start.astype(np.float64)),
        _mean_over_first(reciprocal, start, size, relevant),
    )
    return TieValues(*(np.where(exists, end, values) for end in expected))


@_values.register
def _other_only(measure: OtherOnly, groups: _Groups, values: Floats) -> TieValues:
    start, size, relevant, exists = groups.first_group(groups.known)
    ends = (start, start + size - relevant, start - 1 + (size + 1) / (relevant + 1))
    return TieValues(*(np.where(exists, end, values) for end in ends))


@_values.register
def _other_only_found(measure: OtherOnlyFound, groups: _Groups, values: Floats) -> TieValues:
    start, size, relevant, exists = groups.first_group(groups.known)

    def found(rank: Floats) -> Floats:
        return (rank <= measure.cutoff).astype(np.float64)

    ends = (
        found((start + size - relevant).astype(np.float64)),
        found(start.astype(np.float64)),
        _mean_over_first(found, start, size, relevant),
    )
    return TieValues(*(np.where(exists, end, values) for end in ends))


@_values.register
def _recall(measure: Recall, groups: _Groups, values: Floats) -> TieValues:
    best, worst = groups.placed(np.ones(groups.start.shape))
    share = np.clip(measure.cutoff - groups.start + 1, 0, groups.size) / groups.size
    sums = (worst <= measure.cutoff, best <= measure.cutoff, np.where(groups.known, share, 0.0))
    return TieValues(*(column_sums(end.astype(np.float64)) / groups.relevant for end in sums))


@_values.register
def _target_language_recall(measure: TargetLanguageRecall, groups: _Groups, values: Floats) -> TieValues:
    others = other_versions(groups)
    members = groups.members(others)
    place = np.zeros(groups.start.shape, dtype=np.int64)
    for version in range(len(place)):
        for other in range(version):
            place[version] += others[other] & groups.known[other] & (groups.start[version] == groups.start[other])
    counted = others & groups.known
    best = groups.start + place <= measure.cutoff
    worst = groups.end - (members - 1 - place) <= measure.cutoff
    share = np.clip(measure.cutoff - groups.start + 1, 0, groups.size) / groups.size
    sums = (counted & worst, counted & best, np.where(counted, share, 0.0))
    return TieValues(*(column_sums(end.astype(np.float64)) / others.sum(axis=0) for end in sums))


@_values.register(EqualExpectedRank)
@_values.register(ListMeasure)
def _of_one_order(measure: Measure, groups: _Groups, values: Floats) -> TieValues:
    return TieValues(values, values, values)


@_values.register
def _rank_of(measure: RankOf, groups: _Groups, values: Floats) -> TieValues:
    own = groups.present & (groups.languages == language_code(groups.table, measure.language))
    start, size, members, exists = groups.first_group(own)
    ends = (start, start + size - members, start - 1 + (size + 1) / (members + 1))
    return TieValues(*(np.where(exists, end, values) for end in ends))


@_values.register
def _intrusion(measure: Intrusion, groups: _Groups, values: Floats) -> TieValues:
    table = groups.table
    code = language_code(table, measure.language)
    if table.higher is None or table.tied is None:
        return TieValues(values, values, values)
    start, _, members, exists = groups.first_group(groups.same)
    place = np.where(groups.same & groups.known, groups.start, UNRANKED).argmin(axis=0)
    queries = np.arange(groups.queries)
    relevant = groups.known & (groups.languages == code)
    ahead = table.higher[queries, place, code] - (relevant & (groups.start < start)).sum(axis=0)
    ahead -= further_ahead(groups, place, code)  # none of these is in a group, see `ranks_from_lists`
    itself = groups.languages[place, queries] == code
    equal = table.tied[queries, place, code] + itself - (relevant & (groups.start == start)).sum(axis=0)
    ends = (ahead, ahead + equal, ahead + equal / (members + 1))
    return TieValues(*(np.where(exists, end, values) for end in ends))


@_values.register
def _preference(measure: LanguagePreferenceRate, groups: _Groups, values: Floats) -> TieValues:
    start, _, members, exists = groups.first_group(groups.known)
    own = (groups.same & groups.known & (groups.start == start)).sum(axis=0)
    ends = (own == members, own > 0, own / members)
    return TieValues(*(np.where(exists, end, values) for end in ends))


@_values.register
def _top1(measure: Top1, groups: _Groups, values: Floats) -> TieValues:
    table = groups.table
    if table.top_versions is None:
        return TieValues(values, values, values)
    first = groups.known & (groups.start == 1)
    queries = np.arange(groups.queries)
    everything = table.top_versions.sum(axis=1)
    in_language = table.top_versions[queries, table.query_languages]
    relevant, relevant_same = first.sum(axis=0), (first & groups.same).sum(axis=0)
    total = in_language if measure.language == "same" else everything - in_language
    of_relevant = relevant_same if measure.language == "same" else relevant - relevant_same
    count = of_relevant if measure.relevance == "relevant" else total - of_relevant
    ends = (count == everything, count > 0, count / np.maximum(everything, 1))
    return TieValues(*(np.where(everything > 0, end, values) for end in ends))


def _mean_over_last(
    function: Callable[[Floats], Floats], start: Integers, size: Integers, relevant: Integers
) -> Floats:
    """Mean of a function of the rank of the last of r versions at random positions in a group of s: float64 [Q]."""
    # Counted from the end of the group, the last of them is the first.
    return _mean_over(function, start, size, relevant, from_end=True)


def _mean_over_first(
    function: Callable[[Floats], Floats], start: Integers, size: Integers, relevant: Integers
) -> Floats:
    """Mean of a function of the rank of the first of r versions at random positions in a group of s: float64 [Q]."""
    return _mean_over(function, start, size, relevant, from_end=False)


def _mean_over(
    function: Callable[[Floats], Floats], start: Integers, size: Integers, relevant: Integers, *, from_end: bool
) -> Floats:
    cases, case = np.unique(np.stack((start, size, relevant)), axis=1, return_inverse=True)
    means = np.empty(cases.shape[1])
    for number, (first, total, some) in enumerate(cases.T.tolist()):
        place = np.arange(1, total - some + 2)
        # C(s - j, r - 1) / C(s, r) starts with r / s; each is (s - j - r + 2) / (s - j + 1) times the previous one.
        steps = (total - place[1:] - some + 2) / (total - place[1:] + 1)
        chance = np.cumprod(np.concatenate(([some / total], steps)))
        ranks = first - 1 + (total + 1 - place if from_end else place)
        means[number] = float((chance * function(ranks.astype(np.float64))).sum())
    result: Floats = means[case.reshape(-1)]
    return result
