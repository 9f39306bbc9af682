"""Comparison of two results: differences per measure, with intervals and p-values over their common queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.result import AuditResult, rounded
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures.statistics import holm, paired_bootstrap_difference, paired_permutation_test
from haystack_crossalign.ranks import similarity_words

SCHEMA = "crossalign.comparison/1"

_Key = tuple[str, str, tuple[str, ...], str, str]


@dataclass(frozen=True)
class Comparison:
    """The comparison of two results, as plain data with the structure of the JSON file.

    :param a: provenance of the first result.
    :param b: provenance of the second result.
    :param rows: one mapping per row that both results have.
    :param unmatched: rows that only one result has.
    :param notes: what a reader must know before trusting the comparison.
    """

    a: dict[str, Any]
    b: dict[str, Any]
    rows: list[dict[str, Any]]
    unmatched: list[dict[str, Any]]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as a JSON-ready mapping (schema ``crossalign.comparison/1``)."""
        data: dict[str, Any] = rounded(
            {
                "schema": SCHEMA,
                "a": self.a,
                "b": self.b,
                "rows": self.rows,
                "unmatched": self.unmatched,
                "notes": self.notes,
            }
        )
        return data

    def to_json(self) -> str:
        """The comparison as JSON text: the same comparison gives the same bytes."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def compare_results(
    a: AuditResult,
    b: AuditResult,
    *,
    names: tuple[str, str] = ("A", "B"),
    samples: int = 1000,
    permutations: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two results row by row, over their common queries.

    Differences are b - a. Intervals are paired bootstrap percentiles (95 %); p-values come from a two-sided paired
    permutation test (sign flips) and are given raw (``p``) and adjusted by Holm's method over the rows of a measure
    (``p_holm``), since among fifty languages two differences would be "significant" by chance. There is no adjustment
    across measures: they are views of the same ranks, and a reader should choose one in advance. If ties affect a
    measure, its entry has both ranges (``ties``) and whether some order of equal scores cancels the difference
    (``within_ties``).

    :param a: the result before.
    :param b: the result after.
    :param names: names of the two results, for messages.
    :param samples: bootstrap samples.
    :param permutations: number of random sign flips if there are too many queries to try all.
    :param seed: seed of both.
    :raises InputError: if no row, or no query of a row, is in both.
    """
    rows_a, rows_b = _keyed(a), _keyed(b)
    shared = [key for key in rows_a if key in rows_b]
    if not shared:
        raise InputError(
            "the two results share no row",
            source=f"{names[0]}, {names[1]}",
            seen=f"{_describe(rows_a)} and {_describe(rows_b)}",
            allowed="results with the same scenario, pool languages, query language and kind",
        )
    notes = _notes_on_data(a, b)
    rows = [
        _compare_row(key, (a, rows_a[key]), (b, rows_b[key]), names, samples, permutations, seed, notes)
        for key in shared
    ]
    _adjust(rows)
    unmatched = [
        {
            "result": label,
            "scenario": key[0],
            "query_language": key[1],
            "pool_languages": list(key[2]),
            "kind": key[3],
            **({"retrieval": key[4]} if key[4] else {}),
        }
        for label, keys, others in (("a", rows_a, rows_b), ("b", rows_b, rows_a))
        for key in keys
        if key not in others
    ]
    return Comparison(a.provenance, b.provenance, rows, unmatched, sorted(set(notes)))


def _notes_on_data(a: AuditResult, b: AuditResult) -> list[str]:
    notes = []
    for name, result in (("before", a), ("after", b)):
        if (partial := (result.live or {}).get("partial")) is not None:
            notes.append(f"The result {name} is partial: {partial['queries']} of {partial['of']} queries.")
    hashes = [{file["sha256"] for file in result.provenance["data"]["files"]} for result in (a, b)]
    if hashes[0] != hashes[1]:
        notes.append("The two results were made from different data files.")
    data = [result.provenance["data"] for result in (a, b)]
    levels = [(file.get("judgments") or {}).get("relevance_level", 1) for file in data]
    if levels[0] != levels[1]:
        notes.append(f"A document counts as relevant from grade {levels[0]} before and from grade {levels[1]} after.")
    gains = [file["judgments"]["gain"] for file in data if "judgments" in file]
    if len(set(gains)) > 1:
        notes.append(f"The gains of NDCG are {gains[0]} before and {gains[1]} after.")
    if data[0].get("left_out") != data[1].get("left_out"):
        notes.append("Other rows of the files were left out before than after.")
    if a.provenance.get("run") != b.provenance.get("run"):
        notes.append("The two runs differ in their order, in what contradicts it, or in the queries they lack.")
    ranked_by = [(result.provenance.get("similarity") or {}).get("name") for result in (a, b)]
    words = [similarity_words(name) for name in ranked_by if name is not None]
    if len(set(words)) > 1:
        notes.append(f"The two results are ranked by different similarities: {words[0]} before, {words[1]} after.")
    rules = [result.provenance.get("ties", "document id") for result in (a, b)]
    if rules[0] != rules[1] and any(row["ties"]["queries"] for result in (a, b) for row in result.rows):
        notes.append(
            f"The two results order equal scores by different rules ({rules[0]} before, {rules[1]} after), which alone "
            "changes figures within the ties."
        )
    return notes


def _keyed(result: AuditResult) -> dict[_Key, int]:
    return {
        (
            row["scenario"],
            row["query_language"],
            tuple(sorted(row["pool_languages"])),
            row["kind"],
            row.get("retrieval", ""),
        ): number
        for number, row in enumerate(result.rows)
    }


def _describe(keys: dict[_Key, int]) -> str:
    return "; ".join(
        f"{scenario} {'+'.join(pool)} asked in {language} ({' '.join((kind, retrieval)).strip()})"
        for scenario, language, pool, kind, retrieval in keys
    )


def _compare_row(
    key: _Key,
    first: tuple[AuditResult, int],
    second: tuple[AuditResult, int],
    names: tuple[str, str],
    samples: int,
    permutations: int,
    seed: int,
    notes: list[str],
) -> dict[str, Any]:
    (a, number_a), (b, number_b) = first, second
    row_a, row_b = a.rows[number_a], b.rows[number_b]
    span_a, span_b = a.row_queries(number_a), b.row_queries(number_b)
    ids_a = {a.queries["id"][position]: position for position in span_a}
    ids_b = {b.queries["id"][position]: position for position in span_b}
    both = sorted(ids_a.keys() & ids_b.keys())
    title = f"{key[0]}, {'+'.join(key[2])} asked in {key[1]}"
    if not both:
        raise InputError(
            f"the two results share no query ({title})",
            source=f"{names[0]}, {names[1]}",
            seen=f"{len(ids_a)} and {len(ids_b)} queries",
            allowed="results over the same queries",
        )
    _check_same_queries(title, a, b, [(ids_a[query], ids_b[query]) for query in both], names, notes)
    if len(both) < max(len(ids_a), len(ids_b)):
        notes.append(
            f"{title}: compared over the {len(both)} queries that both have, of {len(ids_a)} and {len(ids_b)}."
        )
    if row_a["pool_size"] != row_b["pool_size"]:
        notes.append(
            f"{title}: the pools differ in size ({row_a['pool_size']} and {row_b['pool_size']}), so ranks are not "
            "on one scale."
        )
    measures = {}
    for name in row_a["measures"]:
        if name not in row_b["measures"]:
            continue
        values_a = _column(a, name, [ids_a[query] for query in both])
        values_b = _column(b, name, [ids_b[query] for query in both])
        # A value hidden by a cut list is not a missing value: a mean without such queries would flatter the list.
        if row_a["measures"][name] is None or row_b["measures"][name] is None:
            reason = row_a["reasons"].get(name) or row_b["reasons"].get(name)
            measures[name] = {
                "a": row_a["measures"][name],
                "b": row_b["measures"][name],
                "difference": None,
                "interval": None,
                "p": None,
                "p_holm": None,
                "queries": 0,
                "reason": reason,
            }
            continue
        measures[name] = _difference(values_a, values_b, samples, permutations, seed)
        measures[name] |= _within_ties(name, measures[name], row_a, row_b)
    return {
        "scenario": row_a["scenario"],
        "query_language": row_a["query_language"],
        "pool_languages": row_a["pool_languages"],
        "kind": row_a["kind"],
        **({"retrieval": row_a["retrieval"]} if "retrieval" in row_a else {}),
        "pool_size": {"a": row_a["pool_size"], "b": row_b["pool_size"]},
        "queries": len(both),
        "measures": measures,
    }


def _check_same_queries(
    title: str,
    a: AuditResult,
    b: AuditResult,
    pairs: Sequence[tuple[int, int]],
    names: tuple[str, str],
    notes: list[str],
) -> None:
    """Equal ids must mean equal queries: reject different texts, note different relevant versions."""
    if "text" in a.queries and "text" in b.queries:
        for first, second in pairs:
            if a.queries["text"][first] != b.queries["text"][second]:
                raise InputError(
                    f"the query '{a.queries['id'][first]}' has another text in each result ({title})",
                    source=f"{names[0]}, {names[1]}",
                    field="queries.text",
                    seen=[a.queries["text"][first], b.queries["text"][second]],
                    allowed="results over the same queries",
                )
    differing = sum(
        sorted(a.queries["versions"][first]) != sorted(b.queries["versions"][second]) for first, second in pairs
    )
    if differing:
        notes.append(f"{title}: {differing} of {len(pairs)} queries have other relevant versions in each result.")


def _difference(
    a: NDArray[np.float64], b: NDArray[np.float64], samples: int, permutations: int, seed: int
) -> dict[str, Any]:
    known = ~(np.isnan(a) | np.isnan(b))
    if not known.any():
        return {"a": None, "b": None, "difference": None, "interval": None, "p": None, "p_holm": None, "queries": 0,
                "reason": "no query has a value in both"}  # fmt: skip
    difference, low, high = paired_bootstrap_difference(a, b, samples=samples, seed=seed)
    return {
        "a": float(a[known].mean()),
        "b": float(b[known].mean()),
        "difference": difference,
        # A single query has no spread to resample.
        "interval": [low, high] if known.sum() > 1 else None,
        "p": paired_permutation_test(a, b, permutations=permutations, seed=seed),
        "queries": int(known.sum()),
    }


def _within_ties(
    name: str, entry: Mapping[str, Any], row_a: Mapping[str, Any], row_b: Mapping[str, Any]
) -> dict[str, Any]:
    """The ranges under ties, and whether some order of equal scores cancels the difference.

    The ranges are those of all queries of a row. Over the common queries ties can change at most as much, so the ranges
    are exact if both results have the same queries, and wide enough otherwise.
    """
    if entry["difference"] is None:
        return {}
    ranges: dict[str, list[float]] = {}
    for side, row in (("a", row_a), ("b", row_b)):
        mean, whole = entry[side], row["measures"][name]
        ends = row["ties"].get(name) or {}
        known = [end for end in (ends.get("optimistic"), ends.get("pessimistic")) if end is not None]
        low, high = min([whole, *known]), max([whole, *known])
        scale = row["counts"].get(name, row["queries"]) / entry["queries"]
        ranges[side] = [mean - scale * (whole - low), mean + scale * (high - whole)]
    (low_a, high_a), (low_b, high_b) = rounded(ranges["a"]), rounded(ranges["b"])
    if low_a == high_a and low_b == high_b:
        return {}
    undone = low_b <= high_a and high_b >= low_a
    return {"ties": ranges, "within_ties": undone and rounded(entry["difference"]) != 0}


def _adjust(rows: Sequence[dict[str, Any]]) -> None:
    for name in dict.fromkeys(name for row in rows for name in row["measures"]):
        entries = [row["measures"][name] for row in rows if name in row["measures"]]
        tested = [entry for entry in entries if entry["p"] is not None]
        for entry, adjusted in zip(tested, holm([entry["p"] for entry in tested]).tolist(), strict=True):
            entry["p_holm"] = adjusted


def _column(result: AuditResult, name: str, positions: Sequence[int]) -> NDArray[np.float64]:
    column = result.queries["measures"][name]
    return np.array([np.nan if column[position] is None else column[position] for position in positions])
