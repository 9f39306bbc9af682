"""Parity over query languages: how far the worst served language is behind the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.measures.depth import RankOf
from haystack_crossalign.measures.parse import known_measure

TITLE = "Parity"
DEFINITION = (
    "The lowest mean of a measure over the query languages, divided by the highest: 100 % if all languages are served "
    "alike."
)


def parities(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parity of the measures of each pool, over its query languages.

    For the means m_a of a measure for queries in the languages a, Parity = min m_a / max m_a, in 0..1; higher is better
    whether the measure itself should be high or low. It is the min-max ratio of group fairness, the "80 % rule"
    (Feldman et al. 2015, arXiv 1412.3756). Given for shares and ranks that have a better direction and a value in every
    row, not for Rank[L], which compares document languages; None where all means are 0. If there are several rows for a
    query language (one for each other pool), their mean counts.

    :param rows: rows of a result, as mappings.
    :returns: for each mixed pool, and each of the other scenarios, with two query languages or more: ``scenario``,
        ``kind``, ``retrieval``, ``pool_languages`` (empty if the pools differ) and ``measures``, by name ``value``,
        ``best`` and ``worst`` (languages).
    """
    groups: dict[tuple[str, str, str | None, tuple[str, ...]], list[Mapping[str, Any]]] = {}
    for row in rows:
        pool = tuple(row["pool_languages"]) if row["scenario"] == "multi" else ()
        groups.setdefault((row["scenario"], row["kind"], row.get("retrieval"), pool), []).append(row)
    entries = []
    for (scenario, kind, retrieval, pool), members in groups.items():
        languages = list(dict.fromkeys(row["query_language"] for row in members))
        names = [name for name in members[0]["measures"] if compares_languages(name)]
        measures = {
            name: _parity({tag: _mean(members, tag, name) for tag in languages}, name)
            for name in names
            if all(row["measures"].get(name) is not None for row in members)
        }
        if len(languages) > 1 and measures:
            entries.append(
                {
                    "scenario": scenario,
                    "kind": kind,
                    "retrieval": retrieval,
                    "pool_languages": list(pool),
                    "measures": measures,
                }
            )
    return entries


def compares_languages(name: str) -> bool:
    """Whether a measure has a parity: a share or a rank with a better direction, other than Rank[L].

    :param name: of the measure.
    """
    measure = known_measure(name)
    if measure is None or measure.direction == 0 or isinstance(measure, RankOf):
        return False
    return measure.unit in ("share", "rank")


def _mean(rows: Sequence[Mapping[str, Any]], language: str, name: str) -> float:
    # The digits that a stored result keeps: parity is the same once it is read back.
    values = [float(f"{row['measures'][name]:.8g}") for row in rows if row["query_language"] == language]
    return sum(values) / len(values)


def _parity(means: Mapping[str, float], name: str) -> dict[str, Any]:
    measure = known_measure(name)
    low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    best, worst = (low, high) if measure is not None and measure.direction < 0 else (high, low)
    return {"value": means[low] / means[high] if means[high] > 0 else None, "best": best, "worst": worst}
