"""The finding of an audit in plain words: the first sentences of the HTML page, the Markdown and the terminal view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.report.content.aggregates import RowRanks, median_rank, row_ranks
from haystack_crossalign.report.content.live import live_sentences
from haystack_crossalign.report.content.live_words import query_kind
from haystack_crossalign.report.content.ties import tie_remark
from haystack_crossalign.report.content.views import View, main_view, views, weakest_row
from haystack_crossalign.report.content.words import (
    count,
    in_language,
    joined,
    measure_value,
    nothing_found,
    plural,
    quantity,
)

_CLOSE_TO_BEST, _CLOSE_NORM = 0.95, 0.8
"""Minimum Complete@10 and Max@R_norm at which the weakest language is called close to the best possible. Both, since
in a small pool everything stands in the top 10.
"""

_MOST_POOLS = 4
"""Number of other mixed pools that are listed individually."""

_MUCH_DEEPER = 4.0
"""How many times deeper a version must rank in the mixed pool than in its own pool for the mixed pool to be called
the cause.
"""


def finding(result: Mapping[str, Any]) -> list[str]:
    """The finding in sentences, the most important first.

    It is about the query language that the mixed pool serves worst (`views.weakest_row`). It states means if they
    exist, with medians, and only medians and shares for retrieved results with censored ranks.

    :param result: an audit result, schema ``crossalign.audit/1``.
    """
    if not result["rows"]:
        return ["The audit holds no queries."]
    ranks = row_ranks(result)
    all_views = views(result)
    view = main_view(result, all_views)
    subject = weakest_row(result, view.rows)
    row, its_ranks = result["rows"][subject], ranks[subject]
    sentences = [_where_versions_lie(row, its_ranks), _completeness(row), _ties(result, row), _in_front(row, its_ranks)]
    sentences += [_own_alone(result, row), _alone(result, row)]
    sentences += [_other_languages(result, view, subject), _other_pools(result, all_views, view), _caution(row)]
    if "live" in result:
        sentences[1:1] = [query_kind(result["live"])] if result["live"]["queries"]["kind"] == "known-item" else []
        sentences += live_sentences(result)
    return [sentence for sentence in sentences if sentence]


def _mean_ranks(row: Mapping[str, Any]) -> dict[str, float]:
    ranks = {tag: row["measures"].get(f"Rank[{tag}]") for tag in _told_languages(row)}
    return {tag: value for tag, value in ranks.items() if value is not None}


def _told_languages(row: Mapping[str, Any]) -> list[str]:
    """Languages of the pool for use in sentences, without an undetermined one."""
    return [tag for tag in row["pool_languages"] if tag != UNDETERMINED]


def _of_pool(row: Mapping[str, Any]) -> str:
    return f" of {count(row['pool_size'])}" if row.get("pool_size") else ""


def _mean(row: Mapping[str, Any], value: float) -> str:
    """A mean over the queries of a row."""
    return quantity(value, row["queries"])


def _share(row: Mapping[str, Any], value: float) -> str:
    """A share of the queries of a row."""
    return measure_value("share", value, row["queries"])


def _article(word: str) -> str:
    return f"{'An' if word[:1] in 'AEIO' else 'A'} {word}"


def _where_versions_lie(row: Mapping[str, Any], ranks: RowRanks) -> str:
    own, query = row["query_language"], display_name(row["query_language"])
    means = _mean_ranks(row)
    medians = {
        tag: median_rank(row, f"Rank[{tag}]", ranks.by_language.get(tag))
        for tag in _told_languages(row)
        if tag in ranks.by_language
    }
    if len(means) < len(medians) or not means:
        return _where_by_medians(row, medians)
    others = [tag for tag in means if tag != own]
    deepest = max(others, key=lambda tag: means[tag]) if others else None
    tags = [tag for tag in (own if own in means else None, deepest) if tag is not None]
    parts = []
    for tag in tags:
        version = f"the {display_name(tag)} version"
        if tag == deepest and len(tags) > 1:
            version += " of the same passage"
            if len(others) > 1:
                version += ", the one that sinks deepest,"
        parts.append(f"{version} at rank {_mean(row, means[tag])}")
    known = [medians.get(tag) for tag in tags]
    median = ""
    if None not in known:
        noun = "medians" if len(known) > 1 else "median"
        median = f"; {noun} {joined([quantity(value) for value in known])}"
    told_means = "means" if len(tags) > 1 else "mean"
    return (
        f"{_article(query)} query finds {joined(parts)}{_of_pool(row)} on average "
        f"({told_means} over {plural(row['queries'], 'query', 'queries')}{median})."
    )


def _where_by_medians(row: Mapping[str, Any], medians: Mapping[str, float | None]) -> str:
    censored = row.get("censored") or {}
    depth = censored.get("depth_max")
    beyond = f"below rank {count(depth)}, where the list ends" if depth else "below the end of the list"
    parts = []
    for tag in sorted(medians, key=lambda tag: tag != row["query_language"]):
        rank = medians[tag]
        where = beyond if rank is None else f"at rank {quantity(rank)}"
        parts.append(f"the {display_name(tag)} version {where}")
    if not parts:
        return ""
    return (
        f"The typical {display_name(row['query_language'])} query finds {joined(parts)} "
        f"(medians over {plural(row['queries'], 'query', 'queries')})."
    )


def _completeness(row: Mapping[str, Any]) -> str:
    query, measures = display_name(row["query_language"]), row["measures"]
    complete, depth, norm = measures.get("Complete@10"), measures.get("Max@R"), measures.get("Max@R_norm")
    best = row["relevant"] / row["queries"]
    parts = []
    if complete is not None:
        every = "the relevant version" if best == 1 else f"{'both' if best == 2 else 'all'} versions"
        parts.append(
            f"{_share(row, complete)} of {query} queries have {every} in the top 10 (Complete@10; "
            "100 % would be perfect)"
        )
    if depth is not None and best > 1:
        parts.append(
            f"to see every version one reads down to rank {_mean(row, depth)} on average (Max@R; the best possible is "
            f"{quantity(best)})"
        )
    if not parts:
        return ""
    text = "; ".join(parts)
    least_of = (("Complete@10", complete, _CLOSE_TO_BEST), ("Max@R_norm", norm, _CLOSE_NORM))
    # No praise that another order of equal scores would invalidate.
    known = [
        min(value, (row["ties"].get(name) or {}).get("pessimistic", value)) >= least
        for name, value, least in least_of
        if value is not None
    ]
    close = " This is close to the best possible." if known and all(known) else ""
    return f"{text[0].upper()}{text[1:]}.{close}"


def _ties(result: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Effect of the order of equal scores on the figures above."""
    measures = [name for name in row["measures"] if name == "Max@R" or name.startswith("Complete@")]
    measures += [f"Rank[{tag}]" for tag in _mean_ranks(row)]
    return tie_remark(row, measures, result.get("provenance", {}).get("ties"))


def _in_front(row: Mapping[str, Any], ranks: RowRanks) -> str:
    """The documents ranked above the deepest version."""
    means = _mean_ranks(row)
    if not means or len(row["pool_languages"]) < 2:
        return ""
    deepest = max(means, key=lambda tag: means[tag])
    ahead = ranks.ahead.get(deepest)
    if not ahead or sum(ahead.values()) < 1:
        return ""
    first, *rest = sorted(ahead, key=lambda tag: (-ahead[tag], tag))
    text = (
        f"In front of the {display_name(deepest)} version stand on average {_mean(row, ahead[first])} "
        f"{in_language(first, 'documents')} that do not answer the query"
    )
    others = sum(ahead[tag] for tag in rest)
    which = display_name(rest[0]) if len(rest) == 1 and rest[0] != UNDETERMINED else "other"
    return f"{text}, and {_mean(row, others)} {which} ones."


def _other_languages(result: Mapping[str, Any], view: View, subject: int) -> str:
    """Results of the other query languages over the same pool."""
    others = [index for index in view.rows if index != subject and view.mixed]
    values = [(index, value) for index in others if (value := _max_at_r(result["rows"][index])) is not None]
    if not values:
        return ""
    values.sort(key=lambda pair: pair[1])

    def phrase(index: int, value: float) -> str:
        row = result["rows"][index]
        text = f"{display_name(row['query_language'])} queries reach every version by rank {_mean(row, value)}"
        complete = row["measures"].get("Complete@10")
        return text if complete is None else f"{text} (Complete@10 {_share(row, complete)})"

    if len(values) <= 2:
        return f"Over the same pool, {joined([phrase(*pair) for pair in values])} on average."
    return f"Of the {len(values) + 1} query languages it is served worst; best served: {phrase(*values[0])} on average."


def _other_pools(result: Mapping[str, Any], all_views: Sequence[View], shown: View) -> str:
    """The weakest query language of each other mixed pool, the deepest first."""
    rows = [
        result["rows"][weakest_row(result, view.rows)]
        for view in all_views
        if view.mixed and view is not shown and view.kind == shown.kind
    ]
    depths = [(value, row) for row in rows if (value := _max_at_r(row)) is not None]
    if not depths:
        return ""
    depths.sort(key=lambda pair: -pair[0])
    parts = [
        f"{display_name(row['query_language'])} queries over {'+'.join(row['pool_languages'])} "
        f"({'rank' if place else 'every version by rank'} {_mean(row, value)}{'' if place else ' on average'})"
        for place, (value, row) in enumerate(depths[:_MOST_POOLS])
    ]
    rest = len(depths) - _MOST_POOLS
    if rest > 0:
        parts.append(f"the weakest of {plural(rest, 'further pool')} (rank {quantity(depths[_MOST_POOLS][0])} or less)")
    return f"Served worst in the other mixed pools: {joined(parts)}."


def _max_at_r(row: Mapping[str, Any]) -> float | None:
    value: float | None = row["measures"].get("Max@R")
    return value


def _own_alone(result: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The same queries over a pool of their own language, as in ordinary benchmarks."""
    depth = _max_at_r(row)
    if row["scenario"] != "multi" or depth is None:
        return ""
    for other in result["rows"]:
        same = other["scenario"] == "mono-same" and other["query_language"] == row["query_language"]
        if not same or other["kind"] != row["kind"]:
            continue
        alone = _max_at_r(other)
        if alone is None:
            return ""
        unseen = ": a test with one language does not show the problem" if depth >= _MUCH_DEEPER * alone else ""
        return (
            f"Over {display_name(row['query_language'])} documents alone the same queries find the answer at rank "
            f"{_mean(other, alone)}{_of_pool(other)} on average (mono-same){unseen}."
        )
    return ""


def _alone(result: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The same queries over a pool of only the deepest version's language: can the model match the two languages at
    all?
    """
    means = {tag: value for tag, value in _mean_ranks(row).items() if tag != row["query_language"]}
    if row["scenario"] != "multi" or not means:
        return ""
    sunken = max(means, key=lambda tag: means[tag])
    for other in result["rows"]:
        same = other["scenario"] == "mono-cross" and other["query_language"] == row["query_language"]
        if not same or other["pool_languages"] != [sunken] or other["kind"] != row["kind"]:
            continue
        alone = _max_at_r(other)
        if alone is None:
            return ""
        cause = ""
        if means[sunken] >= _MUCH_DEEPER * alone:
            cause = ": the model can match the two languages, it is the mixed pool that buries one of them"
        return (
            f"Over {display_name(sunken)} documents alone the same queries find that version at rank "
            f"{_mean(other, alone)}{_of_pool(other)} on average (mono-cross){cause}."
        )
    return ""


def _caution(row: Mapping[str, Any]) -> str:
    """What is not known: ranks beyond the end of retrieved lists."""
    censored = row.get("censored")
    if not censored or not censored["queries"]:
        return ""
    low, high = censored["depth_min"], censored["depth_max"]
    depth = count(low) if low == high else f"{count(low)} to {count(high)}"
    bound = censored.get("Max@R_lower_bound")
    known = f"; Max@R is at least {_mean(row, bound)} on average" if bound is not None else ""
    return (
        f"For {_share(row, censored['share'])} of these queries at least one version does not appear among "
        f"the {depth} results that were served{nothing_found(censored)}, so its rank is not known{known}."
    )
