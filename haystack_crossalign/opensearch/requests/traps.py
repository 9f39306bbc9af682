"""Warnings, for the result, about searches whose lists are misleading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from haystack_crossalign.opensearch.requests.guard import clauses

_NONE = "_none"


def traps(body: Mapping[str, Any], pipeline: Mapping[str, Any] | str | None) -> list[str]:
    """Known misleading parts of a search, each as a part of a sentence.

    Tried on servers 2.19.1 and 3.6.0.

    :param body: body of the search.
    :param pipeline: definition of the search pipeline that it passes through, its name if the definition is unknown,
        None if there is none.
    """
    return list(dict.fromkeys([*_of_hybrid(body, pipeline), *_of_chance(body)]))


def _of_hybrid(body: Mapping[str, Any], pipeline: Mapping[str, Any] | str | None) -> Iterator[str]:
    places = [place for place, kind, _ in clauses(body) if kind == "hybrid"]
    if not places:
        return
    inner = [place for place in places if place != ("query", "hybrid")]
    if inner:
        around = inner[0][-3] if len(inner[0]) > 2 and isinstance(inner[0][-2], int) else inner[0][-2]
        yield (
            f"a hybrid query stands within another query (at {'.'.join(map(str, inner[0]))}, in '{around}'): the "
            "server refuses it, or adds the raw scores of its parts, which no search pipeline normalizes"
        )
        return
    if body.get("explain"):
        yield "'explain' changes the scores of a hybrid query and may change its ranks"
    named = None if pipeline == _NONE else pipeline
    if named is None or (isinstance(named, Mapping) and not named.get("phase_results_processors")):
        yield (
            "a hybrid query passes through no search pipeline that fuses its parts: its list holds documents several "
            "times, with raw scores and with scores of about -9.5e9 and -4.4e9 that are none"
        )


def _of_chance(body: Mapping[str, Any]) -> Iterator[str]:
    if any(_holds_random(definition) for _, kind, definition in clauses(body) if kind == "function_score"):
        yield "'random_score' without a seed and a field gives another list every time"
    for key in ("timeout", "terminate_after"):
        if body.get(key):
            yield f"'{key}' may end the search before all documents were looked at: the list may differ every time"


def _holds_random(definition: Any) -> bool:
    if not isinstance(definition, Mapping):
        return False
    functions = definition.get("functions")
    return any(
        isinstance(function, Mapping)
        and isinstance(function.get("random_score"), Mapping)
        and not {"seed", "field"} <= function["random_score"].keys()
        for function in (definition, *(functions if isinstance(functions, list) else ()))
    )
