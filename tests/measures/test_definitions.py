"""Every measure against a second implementation: loops over queries, written straight from the definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haystack_crossalign.measures import (
    evaluate,
    intrusion_matrix,
    max_at_r_lower_bound,
    parse_measure,
    select_queries,
)

LANGUAGES = ("ar", "en", "zh")
CUTOFFS = (1, 2, 3, 10)
NOT_APPLICABLE = "not applicable"

Ranking = list[tuple[str, bool]]


@st.composite
def pools(draw):
    """Rankings of one pool size, query languages, and list depths or None for whole rankings."""
    size = draw(st.integers(1, 12))
    version = st.tuples(st.sampled_from(LANGUAGES), st.booleans())
    ranking = st.lists(version, min_size=size, max_size=size).filter(lambda r: any(flag for _, flag in r))
    rankings = draw(st.lists(ranking, min_size=1, max_size=5))
    count = len(rankings)
    queries = draw(st.lists(st.sampled_from(LANGUAGES), min_size=count, max_size=count))
    depths = draw(st.none() | st.lists(st.integers(0, size), min_size=count, max_size=count))
    return rankings, queries, depths


def ndcg(gains: list[int], cutoff: int) -> float:
    gained = sum(gain / math.log2(place + 2) for place, gain in enumerate(gains) if place < cutoff)
    ideal = sum(gain / math.log2(place + 2) for place, gain in enumerate(sorted(gains, reverse=True)) if place < cutoff)
    return gained / ideal


def slow(name: str, ranking: Ranking, own: str, held: set[str], *, exact: bool) -> float | str:
    """Value of one measure of one ranking: of its whole pool where it is exact, or as long as a list goes on."""
    ranks = [place + 1 for place, (_, flag) in enumerate(ranking) if flag]
    base, _, rest = name.partition("@")
    if name == "Max@R":
        return max(ranks)
    if name == "Max@R_norm":
        size, wanted = len(ranking), len(ranks)
        if size == wanted:
            return NOT_APPLICABLE
        return (math.log2(size) - math.log2(max(ranks))) / (math.log2(size) - math.log2(wanted))
    if base in ("Complete", "Recall") and exact and len(ranking) <= int(rest):
        return NOT_APPLICABLE
    if base == "Complete":
        return NOT_APPLICABLE if len(ranks) > int(rest) else float(max(ranks) <= int(rest))
    if base == "NDCG":
        return ndcg([int(flag) for _, flag in ranking], int(rest))
    if base == "Lang-nDCG":
        return ndcg([(2 if tag == own else 1) * flag for tag, flag in ranking], int(rest))
    if base == "MRR":
        return 1 / min(ranks) if not rest or min(ranks) <= int(rest) else 0.0
    if base == "Recall":
        return sum(rank <= int(rest) for rank in ranks) / len(ranks)
    if name.startswith("Rank["):
        places = [place + 1 for place, (tag, flag) in enumerate(ranking) if flag and tag == name[5:-1]]
        return min(places) if places else NOT_APPLICABLE
    if name.startswith("Intrusion["):
        places = [place for place, (tag, flag) in enumerate(ranking) if flag and tag == own]
        if not places or name[10:-1] not in held:
            return NOT_APPLICABLE
        return sum(tag == name[10:-1] and not flag for tag, flag in ranking[: min(places)])
    if name == "LPR":
        tags = [tag for tag, flag in ranking if flag]
        return float(tags[0] == own) if own in tags and len(set(tags)) > 1 else NOT_APPLICABLE
    raise AssertionError(name)


NAMES = [
    "Max@R",
    "Max@R_norm",
    "MRR",
    "LPR",
    *(f"{base}@{k}" for base in ("Complete", "NDCG", "MRR", "Recall", "Lang-nDCG") for k in CUTOFFS),
    *(f"{base}[{tag}]" for base in ("Rank", "Intrusion") for tag in LANGUAGES),
]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(pool=pools())
def test_whole_rankings_agree_with_the_definition(build_table, name: str, pool) -> None:
    rankings, queries, _ = pool
    held = {tag for ranking in rankings for tag, _ in ranking}
    values = parse_measure(name).per_query(build_table(rankings, queries))
    assert not values.censored.any()
    expected = [slow(name, ranking, own, held, exact=True) for ranking, own in zip(rankings, queries, strict=True)]
    np.testing.assert_allclose(
        values.values, [math.nan if value == NOT_APPLICABLE else value for value in expected], atol=1e-12
    )
    assert (values.reason is None) == (NOT_APPLICABLE not in expected)


def endings(hidden: Ranking, languages: set[str]) -> list[Ranking]:
    """Ways in which a cut ranking may go on in a pool that holds more: what was not found comes in turned orders, part
    of it at once and the rest after as many strangers of every language as the largest cut-off has places.
    """
    strangers = [(tag, False) for tag in sorted(languages) for _ in range(max(CUTOFFS))]
    turned = [hidden[start:] + hidden[:start] for start in range(len(hidden))]
    return [
        order[:split] + strangers + order[split:]
        for forward in turned
        for order in (forward, forward[::-1])
        for split in range(len(hidden) + 1)
    ] or [[]]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Max@R_norm"])
@settings(max_examples=40, deadline=None)
@given(pool=pools())
def test_a_cut_list_gives_a_value_exactly_where_every_continuation_gives_the_same(build_table, name, pool) -> None:
    rankings, queries, depths = pool
    depths = depths or [len(ranking) for ranking in rankings]
    held = {tag for ranking in rankings for tag, _ in ranking}
    values = parse_measure(name).per_query(build_table(rankings, queries, depths=depths))
    for q, (ranking, own, depth) in enumerate(zip(rankings, queries, depths, strict=True)):
        hidden = [version for version in ranking[depth:] if version[1]]
        possible = {slow(name, ranking[:depth] + tail, own, held, exact=False) for tail in endings(hidden, held)}
        assert values.censored[q] == (len(possible) > 1)
        (only,) = possible if len(possible) == 1 else [NOT_APPLICABLE]
        np.testing.assert_allclose(values.values[q], math.nan if only == NOT_APPLICABLE else only, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(pool=pools())
def test_the_intrusion_matrix_counts_strangers_above_every_version(build_table, pool) -> None:
    rankings, queries, depths = pool
    counts = intrusion_matrix(build_table(rankings, queries, depths=depths, languages=LANGUAGES))
    assert counts.dtype == np.int32
    for q, ranking in enumerate(rankings):
        depth = len(ranking) if depths is None else depths[q]
        places = [place for place, (_, flag) in enumerate(ranking) if flag]
        for column in range(counts.shape[1]):
            ahead = ranking[: min(places[column], depth)] if column < len(places) else []
            expected = [sum(tag == name and not flag for tag, flag in ahead) for name in LANGUAGES]
            assert counts[q, column].tolist() == expected


@settings(max_examples=40, deadline=None)
@given(pool=pools())
def test_max_at_r_is_never_below_its_lower_bound(build_table, pool) -> None:
    rankings, queries, depths = pool
    bound = max_at_r_lower_bound(build_table(rankings, queries, depths=depths))
    exact = [max(place + 1 for place, (_, flag) in enumerate(ranking) if flag) for ranking in rankings]
    assert (bound <= exact).all()
    if depths is None:
        np.testing.assert_array_equal(bound, exact)


@settings(max_examples=40, deadline=None)
@given(pool=pools())
def test_the_four_way_split_sums_to_one_and_names_what_stands_on_top(build_table, pool) -> None:
    rankings, queries, _ = pool
    table = build_table(rankings, queries)
    for q, (ranking, own) in enumerate(zip(rankings, queries, strict=True)):
        tag, relevant = ranking[0]
        expected = ("relevant" if relevant else "other", "same" if tag == own else "other")
        for relevance in ("relevant", "other"):
            for language in ("same", "other"):
                value = parse_measure(f"Top1[{relevance},{language}]").per_query(table).values[q]
                assert value == float((relevance, language) == expected)


@settings(max_examples=40, deadline=None)
@given(pool=pools(), data=st.data())
def test_a_value_depends_on_its_own_query_only(build_table, pool, data) -> None:
    rankings, queries, depths = pool
    table = build_table(rankings, queries, depths=depths)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(rankings) - 1), min_size=1, max_size=5)))
    measures = [parse_measure(name) for name in NAMES]
    whole, part = evaluate(table, measures), evaluate(select_queries(table, chosen), measures)
    for name in NAMES:
        np.testing.assert_array_equal(part[name].values, whole[name].values[chosen])
        np.testing.assert_array_equal(part[name].censored, whole[name].censored[chosen])
