"""Results that look like those of an audit, from a seeded generator: for size, layout and hostile texts only.

What a report says about numbers is tested on real results (`conftest.py`); twelve languages or ten thousand queries of
those would take the model too long for a test.

The ranks are invented (a query's own language lies near the top, the others sink by a factor of their own); measures,
intervals and counts are computed from them, so that rows and columns agree as in a real result.
"""

from __future__ import annotations

import json
import math
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

SINK = {"en": 4, "es": 8, "de": 9, "ru": 14, "vi": 20, "tr": 24, "el": 30, "ro": 12, "hi": 60, "th": 90, "ar": 40}
"""Median rank, about, of another language's version for queries in a language; 150 for those not named (zh)."""

_FALLBACK = "The quick brown fox jumps over the lazy dog near the river bank"


def xquad_texts(folder: Path, language: str) -> tuple[list[str], list[tuple[str, int]]]:
    """Passages, and (question, position of its passage), of one language."""
    data = json.loads((folder / f"xquad.{language}.json").read_text(encoding="utf-8"))
    paragraphs = [paragraph for article in data["data"] for paragraph in article["paragraphs"]]
    questions = [(qa["question"], place) for place, paragraph in enumerate(paragraphs) for qa in paragraph["qas"]]
    return [paragraph["context"] for paragraph in paragraphs], questions


def synthetic_result(
    languages: tuple[str, ...] = ("en", "zh"),
    queries: int = 1190,
    *,
    xquad: Path | None = None,
    passages: int = 240,
    mono: bool = True,
    live_depth: int | None = None,
    examples: int = 20,
    sink: dict[str, int] | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """A result of ``queries`` queries in each language over one mixed pool, and the one-language pools if ``mono``."""
    rng = np.random.default_rng(seed)
    texts = {tag: xquad_texts(xquad, tag) for tag in languages} if xquad else {}
    plan = [("multi", languages, tag) for tag in languages]
    if mono:
        plan += [("mono-same", (tag,), tag) for tag in languages]
        plan += [("mono-cross", (other,), tag) for tag, other in permutations(languages, 2)]
    result: dict[str, Any] = {
        "schema": "crossalign.audit/1",
        "provenance": _provenance(languages),
        "rows": [],
        "queries": {name: [] for name in ("row", "id", "language", "text", "versions", "ranks", "optimistic")},
        "examples": [],
        "documents": {},
    }
    result["queries"].update({"pessimistic": [], "above": [], "depth": [], "top_language": [], "measures": {}})
    for number, (scenario, pool, query_language) in enumerate(plan):
        _add_row(
            result, rng, number, scenario, pool, query_language, queries, passages, live_depth, {**SINK, **(sink or {})}
        )
        _add_queries_texts(result, query_language, queries, texts)
        _add_examples(result, rng, number, pool, query_language, examples, texts, passages)
    return result


def _provenance(languages: tuple[str, ...]) -> dict[str, Any]:
    return {
        "tool": {"name": "haystack-crossalign", "version": "0.1.0"},
        "command": "benchmark",
        "model": {
            "name": "offline:multilingual-e5-small",
            "sha256": "9f" * 32,
            "dimension": 384,
            "precision": "bf16",
            "max_tokens": 256,
            "prompts": {"query": "query: ", "document": "passage: "},
            "normalized": True,
        },
        "data": {
            "name": "xquad",
            "pool": "passages",
            "files": [{"name": f"xquad.{tag}.json", "sha256": "ab" * 32} for tag in languages],
        },
        "options": {"languages": list(languages), "samples": 1000},
        "seed": 0,
        "environment": {
            "python": "3.11.2",
            "platform": "Linux",
            "cpu": "x86-64",
            "threads": 2,
            "packages": {"torch": "2.13.0", "haystack-ai": "3.4.0"},
        },
    }


def _draw_ranks(
    rng: np.random.Generator, pool: tuple[str, ...], query_language: str, n: int, size: int, sinks: dict[str, int]
) -> np.ndarray:
    columns = []
    for tag in pool:
        if tag == query_language or len(pool) == 1:
            depth = 0.5 if tag == query_language else 3.0
            columns.append(1 + np.floor(depth * rng.exponential(1, n) ** 2))
        else:
            sink = (
                sinks.get(query_language, 150) / (5 if len(pool) > 2 else 1) * (1.6 if tag in ("zh", "th", "hi") else 1)
            )
            columns.append(2 + np.floor(sink * np.exp(0.9 * rng.standard_normal(n))))
    ranks = np.minimum(np.stack(columns, axis=1), size - len(pool)).astype(int)
    # No two relevant versions share a rank: each stands below the one before it in the order of depth.
    order, steps = np.argsort(ranks, axis=1, kind="stable"), np.arange(len(pool))
    distinct = np.maximum.accumulate(np.take_along_axis(ranks, order, axis=1) - steps, axis=1) + steps
    np.put_along_axis(ranks, order, distinct, axis=1)
    return np.maximum(ranks, 1)


def _draw_above(rng: np.random.Generator, ranks: np.ndarray, pool: tuple[str, ...], query_language: str) -> np.ndarray:
    ahead = ranks - 1 - (ranks[:, :, None] > ranks[:, None, :]).sum(axis=2)
    weights = np.array([12.0 if tag == query_language else 1.0 for tag in pool])
    return rng.multinomial(np.maximum(ahead, 0), weights / weights.sum())


def _interval(values: np.ndarray) -> list[float]:
    half = 1.96 * values.std() / math.sqrt(max(len(values), 1))
    return [round(float(values.mean() - half), 6), round(float(values.mean() + half), 6)]


def _add_row(result, rng, number, scenario, pool, query_language, queries, passages, live_depth, sinks) -> None:  # type: ignore[no-untyped-def]
    size, versions = passages * len(pool), len(pool)
    ranks = _draw_ranks(rng, pool, query_language, queries, size, sinks)
    above = _draw_above(rng, ranks, pool, query_language)
    deepest = ranks.max(axis=1)
    lost = ranks > live_depth if live_depth else np.zeros_like(ranks, dtype=bool)
    per_query: dict[str, np.ndarray] = {
        "Max@R": deepest,
        "Max@R_norm": (math.log2(size) - np.log2(deepest)) / (math.log2(size) - math.log2(versions)),
        "Complete@10": (deepest <= 10).astype(float),
        "NDCG@10": np.where(ranks <= 10, 1 / np.log2(ranks + 1.0), 0).sum(axis=1)
        / sum(1 / math.log2(place + 1) for place in range(1, min(versions, 10) + 1)),
        "MRR": 1 / ranks.min(axis=1),
        "Recall@10": (ranks <= 10).mean(axis=1),
    }
    for column, tag in enumerate(pool):
        per_query[f"Rank[{tag}]"] = ranks[:, column]
        if query_language in pool:
            per_query[f"Intrusion[{tag}]"] = above[:, pool.index(query_language), column]
    same = rng.random(queries) < 0.95 if query_language in pool else np.zeros(queries, dtype=bool)
    if scenario == "mono-same":
        same[:] = True
    hit = ranks.min(axis=1) == 1
    for name, mask in {
        "Top1[relevant,same]": hit & same,
        "Top1[relevant,other]": hit & ~same,
        "Top1[other,same]": ~hit & same,
        "Top1[other,other]": ~hit & ~same,
    }.items():
        per_query[name] = mask.astype(float)
    measures: dict[str, float | None] = {name: round(float(values.mean()), 6) for name, values in per_query.items()}
    reasons = {}
    if versions > 10:
        measures["Complete@10"], reasons["Complete@10"] = None, f"{versions} relevant versions do not fit in the top 10"
    if query_language not in pool:
        measures["LPR"], reasons["LPR"] = None, "no relevant version in the query's language"
    if live_depth and lost.any():
        for name in ("Max@R", "Max@R_norm", *(f"Rank[{tag}]" for tag in pool)):
            measures[name], reasons[name] = None, "some ranks are censored: below the end of the result lists"
    row = {
        "scenario": scenario,
        "pool_languages": list(pool),
        "query_language": query_language,
        "pool_size": size,
        "queries": queries,
        "relevant": queries * versions,
        "kind": "live" if live_depth else "exact",
        "measures": measures,
        "reasons": reasons,
        "counts": {},
        "intervals": {name: _interval(per_query[name]) for name, value in measures.items() if value is not None},
        "percentiles": {},
        "medians": {},
        "ties": {"queries": 12, "Max@R": {"optimistic": 0.99 * deepest.mean(), "pessimistic": 1.01 * deepest.mean()}},
        "censored": None,
    }
    for name in ("Max@R", *(f"Rank[{tag}]" for tag in pool)):
        if measures[name] is not None:
            p50, p90, p99 = np.percentile(per_query[name], [50, 90, 99])
            row["percentiles"][name] = {"p50": float(p50), "p90": float(p90), "p99": float(p99)}
            row["medians"][name] = {"value": float(p50), "interval": [float(p50) - 1, float(p50) + 1]}
    if live_depth:
        censored = lost.any(axis=1)
        row["censored"] = {
            "depth_min": live_depth,
            "depth_max": live_depth,
            "queries": int(censored.sum()),
            "share": round(float(censored.mean()), 6),
            "Max@R_lower_bound": float(np.where(censored, live_depth + 1, deepest).mean()),
        }
    result["rows"].append(row)
    known = [
        [None if gone else rank for rank, gone in zip(*pair, strict=True)]
        for pair in zip(ranks.tolist(), lost.tolist(), strict=True)
    ]
    columns = result["queries"]
    columns["row"] += [number] * queries
    columns["id"] += [f"{query_language}:{place:05d}" for place in range(queries)]
    columns["language"] += [query_language] * queries
    columns["versions"] += [list(pool)] * queries
    columns["ranks"] += known
    columns["optimistic"] += known
    columns["pessimistic"] += known
    columns["above"] += above.tolist()
    columns["top_language"] += [pool[0] if len(pool) == 1 else query_language] * queries
    columns["depth"] += [live_depth] * queries
    before = len(columns["row"]) - queries
    for name in {**columns["measures"], **measures}:
        column = columns["measures"].setdefault(name, [None] * before)
        hidden = measures.get(name) is None
        values = per_query[name].astype(float).round(6).tolist() if name in per_query and not hidden else None
        column += values or [None] * queries


def _add_queries_texts(result, language, queries, texts) -> None:  # type: ignore[no-untyped-def]
    questions = texts[language][1] if texts else [(f"{_FALLBACK}, in {language}?", 0)]
    result["queries"]["text"] += [
        f"{questions[place % len(questions)][0]}{'' if place < len(questions) else f' ({place})'}"
        for place in range(queries)
    ]


def _add_examples(result, rng, number, pool, query_language, examples, texts, passages) -> None:  # type: ignore[no-untyped-def]
    columns = result["queries"]
    members = [place for place, row in enumerate(columns["row"]) if row == number]
    members.sort(
        key=lambda place: (
            -max(math.inf if rank is None else rank for rank in columns["ranks"][place]),
            columns["id"][place],
        )
    )
    for place in members[:examples]:
        question = int(columns["id"][place].partition(":")[2])
        passage = texts[query_language][1][question % 1190][1] if texts else question % passages
        relevant = [f"{tag}:{passage}" for tag in reversed(pool)]
        top = [
            f"{query_language if query_language in pool else pool[0]}:{p}"
            for p in rng.choice(passages, 10, replace=False)
            if p != passage
        ]
        for tag, rank in zip(columns["versions"][place], columns["ranks"][place], strict=True):
            if rank is not None and rank <= len(top):
                top[rank - 1] = f"{tag}:{passage}"
        for key in (*top, *relevant):
            tag, _, group = key.partition(":")
            text = texts[tag][0][int(group)] if texts else f"{_FALLBACK} {group}. " * 12
            result["documents"][key] = {"language": tag, "group": group, "text": text}
        scores = [round(0.91 - 0.004 * step, 6) for step in range(len(top))]
        result["examples"].append(
            {"row": number, "query": place, "documents": top, "scores": scores, "relevant": relevant}
        )
