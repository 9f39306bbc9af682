"""What to do next: steps by a result's figures, each with its reason and, where there is one, its command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.report.advice.verdict import FEW_QUERIES, Verdict
from haystack_crossalign.report.content.words import count, measure_value, plural

_WEAK_ALONE = 0.5
"""Below this share of queries with a relevant document at rank 1 in a pool of their own language, the model itself is
weak in that language.
"""
_LOW_RECALL = 0.95
_GATE_MARGIN = 0.05
"""How far below today's value a gate is set, so that chance alone does not close it."""


@dataclass(frozen=True)
class Step:
    """Something to do.

    :param title: what.
    :param reason: why, or what to expect.
    :param command: the command, empty if there is none.
    """

    title: str
    reason: str
    command: str = ""


def next_steps(result: Mapping[str, Any], judged: Verdict | None) -> list[Step]:
    """Steps in the order in which they matter: first what makes the figures wrong or weak, then the ways to less bias.

    The ways are in the order of what they gained for the language served worst in our own measurements
    (``docs/balance.md``), those that change no model first.

    :param result: an audit result, schema ``crossalign.audit/1``.
    :param judged: its verdict.
    """
    if judged is None:
        return list(_mixed_pool(result))
    row = result["rows"][judged.row]
    steps = [*_languages(result), *_sample(row), *_recall(result)]
    if judged.level == "good":
        return [*steps, *_gate(row)]
    return [*steps, *_weak_model(result, row), *_ways(result), *_gate(row)]


def _mixed_pool(result: Mapping[str, Any]) -> Iterator[Step]:
    """Audits of one-language pools alone do not show what this tool is about."""
    tags = {tag for row in result["rows"] for tag in row["pool_languages"]} - {UNDETERMINED}
    if len(tags) > 1 and all(row["scenario"] != "multi" for row in result["rows"]):
        yield Step(
            "Search the mixed pool",
            "Pools of one language do not show the bias.",
            "crossalign audit … --scenario multi",
        )


def _languages(result: Mapping[str, Any]) -> Iterator[Step]:
    if any(UNDETERMINED in row["pool_languages"] for row in result["rows"]):
        yield Step(
            "Give every document its language",
            f"Documents without one count as '{UNDETERMINED}', a language of their own.",
            "" if "live" in result else "crossalign audit … --detect-languages",
        )


def _sample(row: Mapping[str, Any]) -> Iterator[Step]:
    if row["queries"] < FEW_QUERIES:
        yield Step(
            "Judge more queries",
            f"{plural(row['queries'], 'query', 'queries')} in {display_name(row['query_language'])} "
            f"{'gives' if row['queries'] == 1 else 'give'} wide intervals; {FEW_QUERIES} or more tell more.",
        )


def _recall(result: Mapping[str, Any]) -> Iterator[Step]:
    # Other lists, such as those of words, are not meant to hold what vectors find.
    near = [row for row in result["rows"] if row.get("retrieval") == "knn"]
    recalls = [row["recall"] for row in near if (row.get("recall") or {}).get("value") is not None]
    if recalls:
        worst = min(recalls, key=lambda recall: recall["value"])
        if worst["value"] < _LOW_RECALL:
            held = measure_value("recall", worst["value"], worst["queries"], limit=_LOW_RECALL)
            yield Step(
                "Search the index more thoroughly",
                f"The lists hold {held} of the exact top {count(worst['k'])}: part "
                "of what is missing is lost by the approximate search (ef_search, m, compression), not by the model.",
            )


def _weak_model(result: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[Step]:
    for other in result["rows"]:
        if other["scenario"] != "mono-same" or other["query_language"] != row["query_language"]:
            continue
        first = other["measures"].get("NDCG@1")
        if first is not None and first < _WEAK_ALONE:
            language = display_name(row["query_language"])
            share = measure_value("NDCG@1", first, other["queries"], limit=_WEAK_ALONE)
            yield Step(
                "Try another model",
                f"Over {language} documents alone, only {share} of {language} queries find an "
                "answer at rank 1: the model is weak in that language, which less bias does not change.",
            )
            return


def _ways(result: Mapping[str, Any]) -> Iterator[Step]:
    yield Step(
        "Search each language by itself and take turns",
        "Changes neither model nor index: the component LanguageBalancedRetriever (docs/balance.md). It cannot compare "
        "languages with each other.",
    )
    name = _model_name(result)
    if name is None:
        return
    model, index = shlex.quote(name), (result.get("live") or {}).get("index")
    yield Step(
        "Train the model",
        "The largest gain in one list by score. Takes parallel texts, and minutes to hours (docs/training.md).",
        "crossalign train --recipe training/recipes/multilingual.yaml --output trained",
    )
    if index:
        yield Step(
            "Repair the model, then bring the index to it",
            "No training: takes documents that exist in several languages, and minutes (docs/repair.md).",
            f"crossalign repair --index {shlex.quote(index)} --model {model} --output repaired && "
            f"crossalign upgrade --index {shlex.quote(index)} --matrix repaired/matrix.safetensors",
        )
    else:
        yield Step(
            "Repair the model",
            "No training: takes documents that exist in several languages, and minutes (docs/repair.md).",
            f"crossalign repair --parallel {shlex.quote(_documents_file(result))} --model {model} --output repaired",
        )


def _gate(row: Mapping[str, Any]) -> Iterator[Step]:
    name = next((name for name in ("Complete@10", "Max@R_norm") if row["measures"].get(name) is not None), None)
    if name is None:
        return
    bound = int(100 * max(0.0, row["measures"][name] - _GATE_MARGIN))
    if bound:
        yield Step(
            "Guard it",
            "In CI, so that a new model or new documents cannot make it worse unseen (docs/ci.md).",
            f"crossalign audit … --fail-on '{name}[{row['query_language']}]<{bound}%'",
        )


def _model_name(result: Mapping[str, Any]) -> str | None:
    """The model as a name that can be loaded; None if there is none, or embedders of a pipeline in its place."""
    model = result.get("provenance", {}).get("model") or {}
    name = model.get("name")
    if not isinstance(name, str) or "text_embedder" in model:
        return None
    # Offline models carry a description in brackets.
    return name.partition(" (")[0] or None


def _documents_file(result: Mapping[str, Any]) -> str:
    files = result.get("provenance", {}).get("data", {}).get("files") or []
    return str(files[0]["name"]) if files else "documents.jsonl"
