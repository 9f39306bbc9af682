"""Whether a result is worse than an earlier one: by a paired test where both have the same queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.audit.compare import compare_with_baseline
from haystack_crossalign.audit.gate import Outcome
from haystack_crossalign.audit.result import AuditResult, rounded
from haystack_crossalign.measures.meanings import direction
from haystack_crossalign.measures.parse import parse_measure
from haystack_crossalign.measures.statistics import SIGNIFICANT, holm, queries_needed

FOLLOWED = ("Max@R_norm", "Complete@10", "NDCG@10", "Top1[relevant,same]")
"""Measures that are followed over time unless others are named: depth, completeness, order, own language first."""


def judged_measures(measures: Sequence[str] | None) -> list[str]:
    """Names of the measures to judge, as results have them, each once; those without a better direction are left out.

    :param measures: names in any accepted spelling; `FOLLOWED` if None.
    :raises InputError: for an unknown name.
    """
    names = dict.fromkeys(parse_measure(name).name for name in (FOLLOWED if measures is None else measures))
    return [name for name in names if direction(name) != 0]


@dataclass(frozen=True)
class Verdict:
    """What a result is worse in than an earlier one.

    :param outcomes: one per row and measure that both results have, for the gate.
    :param notes: what could not be tested in pairs, and why; differences of the data.
    """

    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]


def worse_than(
    last: AuditResult,
    result: AuditResult,
    *,
    names: tuple[str, str],
    measures: Sequence[str] | None = None,
    samples: int = 1000,
    permutations: int = 10_000,
    seed: int = 0,
) -> Verdict:
    """Judge whether measures got worse.

    Where both results have values for the same queries, a paired permutation test judges, adjusted by Holm's method
    over all rows and measures: the gate as a whole fails by chance in at most 5 % of runs without a change. A change
    within the range of ties does not count. A row whose queries are not the same in both is worse if the two 95 %
    intervals lie apart, and a note says so.

    :param last: the earlier result.
    :param result: the result.
    :param names: names of both, for messages.
    :param measures: measures to judge; `FOLLOWED` if None. Those without a better direction are left out, and a note
        names those that only one of the results has.
    :param samples: bootstrap samples.
    :param permutations: number of random sign flips.
    :param seed: seed of both.
    :raises InputError: if the results share no row, or a common query has another text.
    """
    chosen = judged_measures(measures)
    (comparison,) = compare_with_baseline(
        last,
        [result],
        names=[names[0], names[1]],
        samples=samples,
        permutations=permutations,
        seed=seed,
        lenient=True,
    )
    data = comparison.to_dict()
    notes = [
        *data["notes"],
        *(f"{_title(row)} is only in {names['ab'.index(row['result'])]}." for row in data["unmatched"]),
    ]
    paired = {_key(row): row for row in data["rows"]}
    earlier = {_key(row): row for row in last.rows}
    tests = [
        (row, name, row["measures"][name])
        for row in data["rows"]
        for name in chosen
        if name in row["measures"] and row["measures"][name]["p"] is not None
    ]
    adjusted = dict(zip(((_key(row), name) for row, name, _ in tests), holm([e["p"] for *_, e in tests]), strict=True))
    few = [row["queries"] for row, *_ in tests if row["queries"] < queries_needed(len(tests))]
    if few:
        notes.append(
            f"Rows of {min(few)} queries are too small for {len(tests)} tests: it takes "
            f"{queries_needed(len(tests))} to find a measure worse."
        )
    outcomes = []
    for row in result.rows:
        key, before = _key(row), earlier.get(_key(row))
        if before is None:
            continue
        if key not in paired:
            notes.append(
                f"{_title(row)} has no query in common with {names[0]}: worse only if the 95 % intervals lie apart."
            )
        for name in chosen:
            if name not in row["measures"] or name not in before["measures"]:
                if (name in row["measures"]) != (name in before["measures"]):
                    notes.append(f"{name} is only in {names[name in row['measures']]}, so it is not judged.")
                continue
            was, now = rounded(before["measures"][name]), rounded(row["measures"][name])
            if was is None or now is None:
                notes.append(f"{_title(row)}: {name} has no value in {names[0] if was is None else names[1]}.")
                continue
            entry = paired[key]["measures"][name] if key in paired else None
            if entry is not None and entry["p"] is None:
                notes.append(f"{_title(row)}: {name}: {entry['reason']}: worse only if the 95 % intervals lie apart.")
                entry = None
            if entry is not None:
                p = float(adjusted[key, name])
                was, now = entry["a"], entry["b"]
                lost = direction(name) * (now - was) < 0 and p < SIGNIFICANT and not entry.get("within_ties")
                how = f"p = {p:.3g}, paired test"
            else:
                lost, how = _apart(name, before, row), "by their intervals"
            outcomes.append(_outcome(row, name, names[0], was, now, lost, how))
    return Verdict(tuple(outcomes), tuple(dict.fromkeys(notes)))


def _apart(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the interval after lies on the worse side of the interval before."""
    ends = [row["intervals"].get(name) for row in (before, after)]
    if any(end is None or None in end for end in ends):
        return False
    (low_a, high_a), (low_b, high_b) = ends
    return bool(high_b < low_a if direction(name) > 0 else low_b > high_a)


def _outcome(row: Mapping[str, Any], name: str, last: str, was: float, now: float, lost: bool, how: str) -> Outcome:
    return Outcome(
        condition=f"{_list(row)}{name} worse than in {last}",
        scenario=row["scenario"],
        measure=name,
        query_language=row["query_language"],
        pool_languages=tuple(row["pool_languages"]),
        value=now,
        limit=was,
        operator="<" if direction(name) > 0 else ">",
        failed=lost,
        judged_by=how,
    )


def _list(row: Mapping[str, Any]) -> str:
    return f"{row['retrieval']}:" if row.get("retrieval") else ""


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["scenario"],
        row["query_language"],
        tuple(sorted(row["pool_languages"])),
        row["kind"],
        row.get("retrieval"),
    )


def _title(row: Mapping[str, Any]) -> str:
    ranked = row.get("retrieval") or row["kind"]
    return f"{row['scenario']} {'+'.join(row['pool_languages'])} asked in {row['query_language']} ({ranked})"
