"""Check the body of a user's search: it may only read, and must neither page nor leave contexts open.

It is an allow-list. The server's ``_search`` cannot write, except by components that run in addition to it: agents and
generators call models and store conversations, and a scroll or a point in time leaves a context open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.json_lines import Place

Refuse = Callable[[str, Place, object, str], NoReturn]
"""Raises the error: what is wrong, where, the value seen, what is allowed."""

LIST_PARTS = frozenset(
    [
        "query",
        "size",
        "sort",
        "post_filter",
        "rescore",
        "collapse",
        "min_score",
        "track_total_hits",
        "track_scores",
        "indices_boost",
        "timeout",
        "terminate_after",
        "explain",
        "ext",
        "search_pipeline",
        "derived",
        "from",
    ]
)
"""Keys of a body that decide which documents come back, and in which order."""

HIT_PARTS = frozenset({"_source", "fields", "stored_fields", "docvalue_fields", "script_fields"})
"""Keys that decide what a hit holds: no list depends on them, unless a search pipeline reads its hits."""

OTHER_PARTS = frozenset(
    [
        "aggs",
        "aggregations",
        "highlight",
        "suggest",
        "profile",
        "version",
        "seq_no_primary_term",
        "stats",
        "verbose_pipeline",
        "include_named_queries_score",
    ]
)
"""Keys that no list depends on. They are not sent."""

_ALLOWED = ", ".join(sorted(LIST_PARTS | HIT_PARTS | OTHER_PARTS))
_REASONS = {
    "scroll": "a scroll stays open on the server",
    "scroll_id": "a scroll stays open on the server",
    "pit": "the audit searches in a point in time of its own",
    "slice": "a slice is a part of the list",
    "search_after": "the list would begin behind its first documents",
    "preference": "it stands in the address, not in the body, and names copies of the shards; the audit's point in "
    "time keeps to one copy of each, whatever users get",
    "routing": "it stands in the address, not in the body; an alias with that routing is audited as users search it",
    "request_cache": "it stands in the address, not in the body, and changes no list",
    "requests": "this is a body of _rank_eval, whose recall counts a document as often as a list holds it (hybrid "
    "lists reach 3); an audit counts by itself",
    "metric": "this is a body of _rank_eval; an audit has its own measures",
    "script": "a script here would change documents",
    "doc": "this would change documents",
    "upsert": "this would change documents",
    "ops": "this would change documents",
    "dest": "this would write documents",
    "source": "templates are taken by the id under which the cluster stores them; or write the body itself",
}
_PROCESSORS: dict[str, frozenset[str]] = {
    "request_processors": frozenset(
        [
            "filter_query",
            "script",
            "oversample",
            "neural_query_enricher",
            "neural_sparse_two_phase_processor",
            "ml_inference",
            "mmr_over_sample",
        ]
    ),
    "phase_results_processors": frozenset({"normalization-processor", "score-ranker-processor"}),
    "response_processors": frozenset(
        [
            "collapse",
            "rename_field",
            "rerank",
            "sort",
            "split",
            "truncate_hits",
            "hybrid_score_explanation",
            "ml_inference",
            "personalize_search_ranking",
            "mmr_rerank",
        ]
    ),
}
_PIPELINE_WORDS = frozenset({"description", "version"})
_EXTENSIONS = frozenset({"rerank", "mmr", "ml_inference", "personalize_request_parameters"})
_KINDS_REFUSED = {
    "agentic": "an agent would run, and keep what was said",
    "wrapper": "what it holds is hidden, and cannot be checked",
}
_QUERIES = frozenset(
    [
        "query",
        "filter",
        "must",
        "should",
        "must_not",
        "queries",
        "positive",
        "negative",
        "rescore_query",
        "post_filter",
        "no_match_query",
    ]
)


def check_body(body: Mapping[str, Any], refuse: Refuse) -> None:
    """Reject a body that does more than search, or whose list would not begin at its first document.

    :param body: body of a search, optionally with placeholders.
    :param refuse: raises the error.
    :raises InputError: by way of `refuse`.
    """
    for key, value in body.items():
        if key not in LIST_PARTS | HIT_PARTS | OTHER_PARTS:
            reason = _REASONS.get(key)
            refuse(
                f"'{key}' has no place in an audited search" + (f": {reason}" if reason else ""), (key,), ..., _ALLOWED
            )
        if key == "from" and value != 0:
            refuse("the list would begin behind its first documents", ("from",), value, "0")
    if not isinstance(body.get("query", {}), Mapping):
        refuse("not a query", ("query",), body["query"], "a JSON object")
    extensions = body.get("ext", {})
    for key in extensions if isinstance(extensions, Mapping) else ("",):
        if key not in _EXTENSIONS:
            refuse("may run something beside the search", ("ext", key), ..., ", ".join(sorted(_EXTENSIONS)))
    check_pipeline(body.get("search_pipeline"), refuse)
    for place, kind, _ in clauses(body):
        if kind in _KINDS_REFUSED:
            refuse(f"a query of kind '{kind}' is not sent: {_KINDS_REFUSED[kind]}", place, ..., "queries that search")


def check_pipeline(pipeline: object, refuse: Refuse, place: Place = ("search_pipeline",)) -> None:
    """Reject an inline search pipeline with processors that do more than modify a search.

    :param pipeline: name, definition or None.
    :param refuse: raises the error.
    :param place: of the pipeline.
    """
    if pipeline is None or (isinstance(pipeline, str) and pipeline):
        return
    if not isinstance(pipeline, Mapping):
        refuse("not a search pipeline", place, pipeline, "its name, or its definition as a JSON object")
    for part, processors in pipeline.items():
        allowed = _PROCESSORS.get(part)
        if allowed is None:
            if part not in _PIPELINE_WORDS:
                refuse("not a part of a search pipeline", (*place, part), ..., ", ".join([*_PROCESSORS]))
            continue
        if not isinstance(processors, list):
            refuse("not a list of processors", (*place, part), processors, "a list")
        for number, processor in enumerate(processors):
            for kind in processor if isinstance(processor, Mapping) else ("",):
                if kind not in allowed:
                    refuse(
                        "may run something beside the search", (*place, part, number), kind, ", ".join(sorted(allowed))
                    )


def clauses(body: Mapping[str, Any]) -> Iterator[tuple[Place, str, Any]]:
    """Every query clause of a search: its path, kind and content."""
    pending: list[tuple[Place, Any, bool]] = [((), body, False)]
    while pending:
        place, value, is_query = pending.pop()
        if isinstance(value, list):
            pending += [((*place, number), element, is_query) for number, element in enumerate(value)]
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                if is_query:
                    yield (*place, key), key, inner
                pending.append(((*place, key), inner, key in _QUERIES))


def refuse_in(source: str, lines: Mapping[Place, int], outer: Place = ()) -> Refuse:
    """Make a function that raises errors about a body in a file.

    :param source: the file.
    :param lines: from `haystack_crossalign.files.json_lines.json_lines`.
    :param outer: path of the body in the file.
    """

    def refuse(problem: str, place: Place, seen: object, allowed: str) -> NoReturn:
        raise InputError(
            problem,
            source=source,
            line=line_of(lines, (*outer, *place)),
            field=".".join(map(str, place)) or None,
            seen=seen,
            allowed=allowed,
        )

    return refuse


def line_of(lines: Mapping[Place, int], place: Place) -> int | None:
    """Line of a value, or of its parent if it does not exist."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)
