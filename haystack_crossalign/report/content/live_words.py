"""The audit of a live index in words: its plan, its queries, what was missing, what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.content.provenance import merged_note
from haystack_crossalign.report.content.words import DASH, count, joined, measure_value, plural, quantity

KINDS = {
    "judged": "judged queries",
    "group": "queries that each ask for one parallel group",
    "known-item": "known-item probes",
}
"""Kinds of queries."""

SERVED = {
    "knn": "nearest-neighbour list",
    "bm25": "BM25 list",
    "hybrid:rrf": "hybrid list (RRF)",
    "hybrid:minmax": "hybrid list (min-max)",
    "hybrid:native-rrf": "server's hybrid list (RRF)",
    "hybrid:native-minmax": "server's hybrid list (min-max)",
    "pipeline": "pipeline's list",
}
"""Retrieved lists, in sentences."""

LISTS = {
    "knn": "nearest neighbors",
    "bm25": "BM25",
    "hybrid:rrf": "hybrid (RRF)",
    "hybrid:minmax": "hybrid (min-max)",
    "hybrid:native-rrf": "server's hybrid (RRF)",
    "hybrid:native-minmax": "server's hybrid (min-max)",
    "pipeline": "pipeline",
}
"""Retrieved lists by the name of their retrieval."""


def plan_lines(plan: Mapping[str, Any], *, kind: str, index: str) -> list[str]:
    """The plan of an audit, for the terminal.

    :param plan: `haystack_crossalign.opensearch.audit.plan.Plan` as a mapping.
    :param kind: kind of the queries.
    :param index: its name.
    """
    limit = plan["max_load"]
    pace = f"at most {count(round(limit))} documents per second" if limit else "no limit on the load"
    if plan["exact"] == "local":
        read = plan["documents_read"]
        scored = f"  vectors read       {count(read)} ({pace}), {_bytes(plan['memory'])} here; exact ranks counted here"
        probe = f"{count(round(plan['documents_per_second']))} documents read per second"
    else:
        scored = f"  documents scored   {count(plan['documents_scored'])} ({pace})"
        probe = f"{count(round(plan['documents_per_second']))} documents per second"
    return [
        f"Plan for '{index}': {plural(plan['queries'], 'query', 'queries')} ({KINDS[kind]})",
        f"  requests           {count(plan['requests'])}",
        scored,
        f"  bytes              {_bytes(plan['bytes_out'])} to the cluster, {_bytes(plan['bytes_in'])} from it",
        f"  expected time      {duration(plan['seconds'])}, of the cluster {duration(plan['server_seconds'])} "
        f"(probe: {probe})",
    ]


def query_kind(live: Mapping[str, Any]) -> str:
    """One sentence on the kind of queries, which is important if they are probes."""
    queries = live["queries"]
    what = plural(queries["count"], "query", "queries")
    if queries["kind"] == "known-item":
        return (
            f"Nobody has judged anything here: these {what} are known-item probes, each the title or first sentence of "
            "one document, looking for all versions of it. They compare languages fairly, but they are easier than "
            "what people ask."
        )
    if queries["kind"] == "group":
        return f"These {what} each ask for one parallel group of documents."
    return f"What is relevant to these {what} was judged."


def live_notes(live: Mapping[str, Any]) -> list[str]:
    """What a reader must know about the figures, the most important first; for probes see `query_kind`."""
    notes = []
    partial = live["partial"]
    if partial is not None:
        notes.append(
            f"Partial result: {count(partial['queries'])} of {plural(partial['of'], 'query', 'queries')} were measured "
            f"({partial['reason']}). The figures are over these queries only."
        )
    if live["queries"]["kind"] != "known-item":
        notes.append(query_kind(live))
    if live["sample"] is not None:
        notes.append(
            f"Ranks are estimates from a random {measure_value('share', live['sample'])} of the documents, drawn "
            "separately for each query. The means of Max@R, Rank[L] and Intrusion[L] are unbiased; Max@R_norm, "
            "Complete@K and every other measure are approximate."
        )
    notes += [_sentence(text) for text in live["warnings"]]
    notes += [_repeated(repeated) for repeated in live.get("repeated", ())]
    notes += _merged(live.get("merged", ()))
    if ambiguous := max((entry.get("ambiguous", 0) for entry in live["parallel"]), default=0):
        notes.append(
            f"MRC@{live['parallel'][0]['k']} leaves out {plural(ambiguous, 'query', 'queries')} that share their group "
            "with another one in the same language: which of them is the translation of which is not known."
        )
    unranked = live["unranked"]
    if unranked["count"]:
        reasons = joined([f"{count(number)} {reason}" for reason, number in unranked["reasons"].items()])
        lists = [LISTS.get(name, name) for name in unranked.get("counted_in", ())]
        but = f", except that those without a vector count in {joined(lists)}, which may find them" if lists else ""
        notes.append(
            f"{plural(unranked['count'], 'relevant document')} could not be ranked ({reasons}) and count in no "
            f"figure{but}."
        )
    pool = live["pool"]
    if pool["without_vector"]:
        notes.append(
            f"{plural(pool['without_vector'], 'document')} without a vector: no vector search finds what has none, so "
            "that it is not in the pool of exact ranks."
        )
    if live["languages_detected"] is not None:
        notes.append(_sentence(live["languages_detected"]["note"]))
    notes += [_sentence(text) for text in live["queries"]["notes"]]
    return notes


def _merged(lists: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence on each list that holds several documents of a version; one for all if there are several."""
    names = [LISTS.get(merged["retrieval"], merged["retrieval"]) for merged in lists]
    if len(lists) < 2 or lists[0]["counted"] == "hits":
        return [f"{_sentence(name)[:-1]}: {merged_note(merged)}" for name, merged in zip(names, lists, strict=True)]
    held = [
        f"{name} {count(merged['versions'])} of {count(merged['hits'])}"
        for name, merged in zip(names, lists, strict=True)
    ]
    return [
        "Several hits of a list are chunks of one version and count once, so that lists hold as few versions as these: "
        f"{joined(held)} hits. What follows is not known, and measures with a cut-off above that may have no value. "
        "--count hits counts hits, as users see them."
    ]


def live_facts(live: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The audited index and its state, as (name, value) pairs."""
    before, after = live["snapshot"]["before"], live["snapshot"]["after"]
    facts = [
        ("Index", live["index"]),
        ("OpenSearch", str(live["cluster"].get("version") or DASH)),
        ("Frozen in a point in time", "yes" if live["point_in_time"] else "no"),
    ]
    for name, state in before["indices"].items():
        facts.append((f"Index '{name}' before", _state(state)))
        later = None if after is None else after["indices"].get(name)
        facts.append((f"Index '{name}' after", "not known" if after is None else _state(later)))
    languages = ", ".join(f"{display_name(tag)} {count(n)}" for tag, n in live["pool"]["by_language"].items())
    facts += [
        ("Documents in the pool", f"{count(live['pool']['documents'])} ({languages})"),
        ("Documents without a vector", count(live["pool"]["without_vector"])),
        ("Documents without a language", count(live["pool"]["without_language"])),
        ("Queries", KINDS[live["queries"]["kind"]]),
        (
            "Live lists",
            joined([LISTS.get(retrieval["name"], retrieval["name"]) for retrieval in live["retrievals"]]) or DASH,
        ),
        ("Depth of the live lists", count(live["depth"])),
    ]
    if "exact" in live:
        here = "here, in vectors that were read once"
        facts.append(("Exact ranks counted", here if live["exact"] == "local" else "by the cluster"))
    plan = live["plan"]
    if plan is not None:
        what = "scored" if live.get("exact") != "local" else "read"
        facts.append((f"Documents {what}, as planned", count(plan[f"documents_{what}"])))
    return facts


def duration(seconds: float) -> str:
    """Format a time span."""
    if seconds < 60:
        return f"{quantity(max(seconds, 0.1))} s"
    minutes = seconds / 60
    return f"{quantity(minutes)} min" if minutes < 60 else f"{quantity(minutes / 60)} h"


def _repeated(repeated: Mapping[str, Any]) -> str:
    """Note on a list with duplicate documents."""
    first = repeated["first"][0]
    return (
        f"The {SERVED.get(repeated['retrieval'], 'list of ' + repeated['retrieval'])} holds documents more than once: "
        f"{count(repeated['documents'])} in {plural(repeated['queries'], 'query', 'queries')} (such as "
        f"'{first['document']}', {count(first['times'])} times for query '{first['query']}'). "
        f"{'Each' if repeated.get('counted') == 'hits' else 'The first'} place of each counts."
    )


def _state(state: Mapping[str, Any] | None) -> str:
    if state is None:
        return "not there"
    return f"{count(state['documents'])} documents, sequence number {count(state['sequence_number'])}, {state['uuid']}"


def _bytes(value: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{quantity(value / size)} {unit}"
    return f"{value} bytes"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
