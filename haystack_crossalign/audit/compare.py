"""Comparison of results: differences per measure, with intervals and p-values over their common queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.comparability import check_same_queries, notes_on_data
from haystack_crossalign.audit.result import AuditResult, rounded
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures.parity import parities
from haystack_crossalign.measures.statistics import (
    SIGNIFICANT,
    holm,
    paired_bootstrap_difference,
    paired_permutation_test,
    queries_needed,
)

SCHEMA = "crossalign.comparison/1"
SEVERAL = "crossalign.comparisons/1"

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
                **({"parity": parity} if (parity := _parities(self.rows)) else {}),
                "unmatched": self.unmatched,
                "notes": self.notes,
            }
        )
        return data

    def to_json(self) -> str:
        """The comparison as JSON text: the same comparison gives the same bytes."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def several_to_dict(comparisons: Sequence[Comparison], names: Sequence[str]) -> dict[str, Any]:
    """Comparisons of several results with one as a JSON-ready mapping (schema ``crossalign.comparisons/1``).

    :param comparisons: from `compare_with_baseline`.
    :param names: names of the baseline and of the others.
    """
    return {
        "schema": SEVERAL,
        "names": list(names),
        "comparisons": [comparison.to_dict() for comparison in comparisons],
    }


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
    (``within_ties``). An entry whose test cannot reach significance, whatever the values, has the number of queries
    that it takes (``queries_needed``).

    :param a: the result before.
    :param b: the result after.
    :param names: names of the two results, for messages.
    :param samples: bootstrap samples.
    :param permutations: number of random sign flips if there are too many queries to try all.
    :param seed: seed of both.
    :raises InputError: if no row, or no query of a row, is in both.
    """
    (comparison,) = compare_with_baseline(a, [b], names=names, samples=samples, permutations=permutations, seed=seed)
    return comparison


def compare_with_baseline(
    baseline: AuditResult,
    results: Sequence[AuditResult],
    *,
    names: Sequence[str],
    samples: int = 1000,
    permutations: int = 10_000,
    seed: int = 0,
    lenient: bool = False,
) -> list[Comparison]:
    """Compare any number of results with one, as `compare_results`; p-values are adjusted over all comparisons.

    :param baseline: the result that the others are compared with.
    :param results: the others.
    :param names: names of the baseline and of the others, for messages.
    :param samples: bootstrap samples.
    :param permutations: number of random sign flips if there are too many queries to try all.
    :param seed: seed of both.
    :param lenient: leave out rows that share no query, instead of rejecting them.
    :returns: one comparison per result, in their order.
    :raises InputError: if a result shares no row with the baseline, or no query of a row.
    """
    for one in (baseline, *results):
        if not isinstance(one, AuditResult):
            raise InputError(
                "is not a result", seen=type(one).__name__, allowed="an AuditResult; read_result reads one"
            )
    if len(names) != len(results) + 1:
        raise InputError("wrong number of names", field="names", seen=len(names), allowed=str(len(results) + 1))
    comparisons = []
    for result, name in zip(results, names[1:], strict=True):
        both = (names[0], name)
        rows_a, rows_b = _keyed(baseline), _keyed(result)
        shared = [key for key in rows_a if key in rows_b]
        if not shared:
            raise InputError(
                "the two results share no row",
                source=f"{both[0]}, {both[1]}",
                seen=f"{_describe(rows_a)} and {_describe(rows_b)}",
                allowed="results with the same scenario, pool languages, query language and kind",
            )
        notes = notes_on_data(baseline, result)
        rows = [
            row
            for key in shared
            if (
                row := _compare_row(
                    key,
                    (baseline, rows_a[key]),
                    (result, rows_b[key]),
                    both,
                    samples,
                    permutations,
                    seed,
                    notes,
                    lenient,
                )
            )
        ]
        unmatched = [
            _unmatched(label, key)
            for label, keys, others in (("a", rows_a, rows_b), ("b", rows_b, rows_a))
            for key in keys
            if key not in others
        ]
        comparisons.append(Comparison(baseline.provenance, result.provenance, rows, unmatched, notes))
    remarks = _adjust([row for comparison in comparisons for row in comparison.rows], permutations)
    return [replace(comparison, notes=sorted({*comparison.notes, *remarks})) for comparison in comparisons]


def _parities(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parity over the query languages of each pool before and after, over the rows and queries that both have.

    It has no interval and no p-value: it is a ratio of two means of different queries.
    """
    before, after = (
        parities([{**row, "measures": {name: each[side] for name, each in row["measures"].items()}} for row in rows])
        for side in "ab"
    )
    others = {
        (entry["scenario"], entry["kind"], entry["retrieval"], *entry["pool_languages"]): entry for entry in after
    }
    made = []
    for entry in before:
        other = others.get((entry["scenario"], entry["kind"], entry["retrieval"], *entry["pool_languages"]))
        names = [name for name in entry["measures"] if other is not None and name in other["measures"]]
        if other is not None and names:
            values = {name: {"a": entry["measures"][name], "b": other["measures"][name]} for name in names}
            made.append({**entry, "measures": values})
    return made


def _unmatched(label: str, key: _Key) -> dict[str, Any]:
    return {
        "result": label,
        "scenario": key[0],
        "query_language": key[1],
        "pool_languages": list(key[2]),
        "kind": key[3],
        **({"retrieval": key[4]} if key[4] else {}),
    }


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
    lenient: bool,
) -> dict[str, Any] | None:
    (a, number_a), (b, number_b) = first, second
    row_a, row_b = a.rows[number_a], b.rows[number_b]
    span_a, span_b = a.row_queries(number_a), b.row_queries(number_b)
    ids_a = {a.queries["id"][position]: position for position in span_a}
    ids_b = {b.queries["id"][position]: position for position in span_b}
    both = sorted(ids_a.keys() & ids_b.keys())
    title = f"{key[0]}, {'+'.join(key[2])} asked in {key[1]}"
    if not both and lenient:
        return None
    if not both:
        raise InputError(
            f"the two results share no query ({title})",
            source=f"{names[0]}, {names[1]}",
            seen=f"{len(ids_a)} and {len(ids_b)} queries",
            allowed="results over the same queries",
        )
    check_same_queries(title, a, b, [(ids_a[query], ids_b[query]) for query in both], names, notes)
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
        measures[name] |= within_ties(name, measures[name], row_a, row_b)
    only = {
        side: [name for name in row["measures"] if name not in other["measures"]]
        for side, row, other in (("a", row_a, row_b), ("b", row_b, row_a))
    }
    return {
        "scenario": row_a["scenario"],
        "query_language": row_a["query_language"],
        "pool_languages": row_a["pool_languages"],
        "kind": row_a["kind"],
        **({"retrieval": row_a["retrieval"]} if "retrieval" in row_a else {}),
        "pool_size": {"a": row_a["pool_size"], "b": row_b["pool_size"]},
        "queries": len(both),
        "measures": measures,
        **({"one_sided": only} if only["a"] or only["b"] else {}),
    }


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


def within_ties(
    name: str, entry: Mapping[str, Any], row_a: Mapping[str, Any], row_b: Mapping[str, Any]
) -> dict[str, Any]:
    """The ranges under ties, and whether some order of equal scores cancels the difference; empty without ties.

    The ranges are those of all queries of a row. Over the common queries ties can change at most as much, so the ranges
    are exact if both results have the same queries, and wide enough otherwise.

    :param name: name of the measure.
    :param entry: means ``a`` and ``b`` over the ``queries`` that both have, and their ``difference``.
    :param row_a: the row before.
    :param row_b: the row after.
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


def _adjust(rows: Sequence[dict[str, Any]], permutations: int) -> list[str]:
    """Adjust p-values over the rows of each measure, and say where a test cannot reach significance."""
    remarks = []
    for name in dict.fromkeys(name for row in rows for name in row["measures"]):
        entries = [row["measures"][name] for row in rows if name in row["measures"]]
        tested = [entry for entry in entries if entry["p"] is not None]
        sizes = [entry["queries"] for entry in tested]
        for entry, adjusted in zip(tested, holm([entry["p"] for entry in tested]).tolist(), strict=True):
            entry["p_holm"] = adjusted
            # At best, all tests over more queries have smaller p-values, and Holm's factor counts the rest.
            if entry["queries"] < queries_needed(sum(size <= entry["queries"] for size in sizes)):
                entry["queries_needed"] = queries_needed(len(tested))
        if len(tested) >= SIGNIFICANT * (1 + permutations):
            remarks.append(
                f"With {permutations} permutations no change can be significant among {len(tested)} tests of a "
                f"measure: it takes --permutations {int(len(tested) / SIGNIFICANT) + 1}."
            )
    return list(dict.fromkeys(remarks))


def _column(result: AuditResult, name: str, positions: Sequence[int]) -> NDArray[np.float64]:
    column = result.queries["measures"][name]
    return np.array([np.nan if column[position] is None else column[position] for position in positions])
