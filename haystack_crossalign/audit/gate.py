"""The gate: conditions on the measures of a result that make an audit fail."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from haystack_crossalign.audit.result import AuditResult, rounded
from haystack_crossalign.audit.scenarios import SCENARIOS, Scenario
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import normalize_language
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.measures.parity import compares_languages, parities

TIE_CHOICES = ("pessimistic", "expected", "optimistic", "order")
"""Value that a condition uses if ties affect a measure: the end of its range that fails the gate sooner, the mean
over all orders of the tied documents, the end that fails it later, or the value in the order of the result.
"""

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
LIVE_LISTS = (
    "knn",
    "bm25",
    "hybrid:rrf",
    "hybrid:minmax",
    "hybrid:native-rrf",
    "hybrid:native-minmax",
    "pipeline",
)
"""Retrieved lists of an audit of an index, used in place of a scenario: the mixed pool as these lists show it."""

SHORT_NAMES = {"hybrid": "hybrid:rrf"}
"""Aliases of lists."""

_FORM = "[SCENARIO:]MEASURE[QUERY-LANGUAGE] < > <= >= NUMBER[%], for example 'Max@R_norm[zh]<80%'"
_PATTERN = re.compile(
    r"^\s*(?:(?P<scenario>[A-Za-z0-9][A-Za-z0-9:_.-]*)\s*:)?\s*(?P<measure>[^\s<>=]+?)\s*(?P<operator><=|>=|<|>)\s*"
    r"(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<percent>%?)\s*$"
)
_BRACKETS = re.compile(r"^(?P<head>[^\[\]]+)(?P<brackets>(?:\[[^\[\]]+\])*)$")
_PER_DOCUMENT_LANGUAGE = ("Rank", "Intrusion", "Top1", "Exposure")
"""Measures whose own name ends in brackets, so that the query language is in a second pair of brackets."""


@dataclass(frozen=True)
class Condition:
    """A condition; the gate fails where it holds.

    :param text: as the user wrote it.
    :param scenario: scenario to which it applies.
    :param measure: name of the measure.
    :param query_language: query language to which it applies, or None for all.
    :param operator: one of < > <= >=.
    :param limit: number to compare with, in the measure's own unit (0..1 for shares).
    :param retrieval: retrieved list to which it applies, or None for exact ranks and for lists from files.
    :param ties: one of `TIE_CHOICES`.
    :param parity: whether it applies to the parity of the measure over the query languages of a pool, see
        `haystack_crossalign.measures.parity`; ties have no part in it.
    """

    text: str
    scenario: str
    measure: str
    query_language: str | None
    operator: str
    limit: float
    retrieval: str | None = None
    ties: str = TIE_CHOICES[0]
    parity: bool = False

    @property
    def name(self) -> str:
        """The measure, or its parity, as outputs show it."""
        return f"Parity[{self.measure}]" if self.parity else self.measure

    def holds(self, value: float) -> bool:
        """Whether a value makes the gate fail."""
        return _OPERATORS[self.operator](value, self.limit)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a condition in a row.

    :param condition: the condition as written.
    :param scenario: scenario of the row.
    :param measure: name of the measure.
    :param query_language: query language of the row; for a parity the language that is served worst.
    :param pool_languages: languages of the row's pool.
    :param value: the value compared: the point estimate, or the value chosen for ties.
    :param ties: lowest and highest value over all orders of equal scores, None if ties have no effect.
    :param limit: number with which it was compared.
    :param operator: one of < > <= >=.
    :param failed: whether the condition holds, that is, the gate fails.
    :param judged_by: what decided, if it was not the comparison of value and limit alone.
    """

    condition: str
    scenario: str
    measure: str
    query_language: str
    pool_languages: tuple[str, ...]
    value: float
    limit: float
    operator: str
    failed: bool
    ties: tuple[float, float] | None = None
    judged_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The outcome as a JSON-ready mapping."""
        ties = None if self.ties is None else list(self.ties)
        data = {**asdict(self), "pool_languages": list(self.pool_languages), "ties": ties}
        return {name: value for name, value in data.items() if name != "judged_by" or value is not None}


def parse_condition(
    text: str, *, source: str = "--fail-on", ties: str = TIE_CHOICES[0], lists: Sequence[str] = ()
) -> Condition:
    """Read a condition such as ``Max@R_norm<80%``, ``Max@R_norm[zh]<0.8`` or ``mono-same:NDCG@1<90%``.

    :param text: the condition.
    :param source: option or file it comes from, for messages.
    :param ties: one of `TIE_CHOICES`.
    :param lists: names of lists besides `LIVE_LISTS`.
    :raises InputError: if it does not have the form of a condition, names an unknown scenario, measure or language,
        compares an unbounded measure with a percentage, or a measure in 0..1 with a number outside this range.
    """
    match = _PATTERN.match(text)
    parity = re.fullmatch(r"[Pp]arity\[(.+)\]", match["measure"]) if match else None
    if match is not None and parity is not None:
        return _parity_condition(text, parity[1], match, source=source, ties=ties, lists=lists)
    brackets = _BRACKETS.match(match["measure"]) if match else None
    if match is None or brackets is None:
        raise InputError("not a condition", source=source, seen=text, allowed=_FORM)
    scenario = match["scenario"] or "multi"
    # A list of the user's own may have the short name of another.
    scenario = scenario if scenario in lists else SHORT_NAMES.get(scenario, scenario)
    retrieval = scenario if scenario in (*LIVE_LISTS, *lists) else None
    if retrieval is not None:
        scenario = "multi"
    if scenario not in SCENARIOS:
        raise InputError("unknown scenario", source=source, seen=text, allowed=", ".join([*SCENARIOS, *lists]))
    head, inner = brackets["head"], re.findall(r"\[([^\[\]]+)\]", brackets["brackets"])
    name = head
    if head.partition("@")[0] in _PER_DOCUMENT_LANGUAGE:
        if not inner:
            raise InputError("the measure needs a bracket", source=source, seen=text, allowed=f"{head}[…], {_FORM}")
        name = f"{head}[{inner.pop(0)}]"
    if len(inner) > 1:
        raise InputError("too many brackets", source=source, seen=text, allowed=_FORM)
    try:
        measure = parse_measure(name)
    except InputError as error:
        raise InputError(error.problem, source=source, seen=text, allowed=error.allowed) from error
    limit = float(match["number"])
    if match["percent"]:
        if measure.unit != "share":
            raise InputError(
                f"{measure.name} is not a share, so it has no percentage",
                source=source,
                seen=text,
                allowed="a bare number",
            )
        # 1.1 % must equal the value for 11 of 1,000, which a binary division does not give.
        limit = float(Decimal(match["number"]) / 100)
    if measure.unit == "share" and not 0 <= limit <= 1:
        raise InputError(
            f"{measure.name} lies in 0..1", source=source, seen=text, allowed="a number in 0..1, or 0% to 100%"
        )
    return Condition(
        text=text,
        scenario=scenario,
        measure=measure.name,
        query_language=normalize_language(inner[0], source=source) if inner else None,
        operator=match["operator"],
        limit=limit,
        retrieval=retrieval,
        ties=ties,
    )


def _parity_condition(
    text: str, measure: str, match: re.Match[str], *, source: str, ties: str, lists: Sequence[str]
) -> Condition:
    """A condition such as ``Parity[NDCG@10]<80%``: that on the measure, with limits of a share."""
    refusal = InputError(
        "parity is one share, over all query languages",
        source=source,
        seen=text,
        allowed="Parity[MEASURE] without a query language, and a number in 0..1, or 0% to 100%",
    )
    if "][" in measure and not measure.endswith("]"):  # Parity[MEASURE][LANGUAGE]
        raise refusal
    scenario = f"{match['scenario']}:" if match["scenario"] else ""
    try:
        plain = parse_condition(f"{scenario}{measure}{match['operator']}0", source=source, ties=ties, lists=lists)
    except InputError as error:
        raise InputError(error.problem, source=source, seen=text, allowed=error.allowed) from error
    limit = float(Decimal(match["number"]) / (100 if match["percent"] else 1))
    if plain.query_language is not None or not 0 <= limit <= 1:
        raise refusal
    if not compares_languages(plain.measure):
        raise InputError(
            "this measure has no parity", source=source, seen=text,
            allowed="a share or a rank with a better direction, other than Rank[L]",
        )  # fmt: skip
    return replace(plain, text=text, limit=limit, parity=True)


def evaluate_gate(conditions: Sequence[Condition], result: AuditResult, *, source: str = "--fail-on") -> list[Outcome]:
    """Evaluate conditions on the figures of a result.

    If ties affect a figure, a condition uses the value chosen by `Condition.ties`: by default the end of the range at
    which it holds, so that the gate passes only if it passes for every order of ties.

    :returns: one outcome per condition and row to which it applies.
    :raises InputError: if a condition matches no row, or the measure is null in a row.
    """
    outcomes: list[Outcome] = []
    for condition in conditions:
        if condition.parity:
            outcomes += _parity_outcomes(condition, result, source)
            continue
        rows = [
            row
            for row in result.rows
            if row["scenario"] == condition.scenario
            and condition.query_language in (None, row["query_language"])
            and condition.measure in row["measures"]
            and condition.retrieval == row.get("retrieval")
        ]
        if not rows:
            raise InputError("matches no row", source=source, seen=condition.text, allowed=_what_there_is(result))
        for row in rows:
            # Rounded as in the file, so that the gate and the published number cannot disagree.
            value = rounded(row["measures"][condition.measure])
            if value is None:
                raise InputError(
                    f"{condition.measure} has no value for queries in {row['query_language']} "
                    f"({row['reasons'].get(condition.measure, 'no reason given')})",
                    source=source,
                    seen=condition.text,
                    allowed="a condition on a measure that has a value in every row it looks at"
                    + _count_hits(result, condition.retrieval),
                )
            value, ties = _under_ties(condition, row, value)
            outcomes.append(
                Outcome(
                    condition=condition.text,
                    scenario=row["scenario"],
                    measure=condition.measure,
                    query_language=row["query_language"],
                    pool_languages=tuple(row["pool_languages"]),
                    value=value,
                    limit=condition.limit,
                    operator=condition.operator,
                    failed=condition.holds(value),
                    ties=ties,
                )
            )
    return outcomes


def _parity_outcomes(condition: Condition, result: AuditResult, source: str) -> list[Outcome]:
    outcomes = []
    for group in parities(result.rows):
        measure = group["measures"].get(condition.measure)
        if (group["scenario"], group["retrieval"]) != (condition.scenario, condition.retrieval) or measure is None:
            continue
        if measure["value"] is None:
            raise InputError(
                f"{condition.name} has no value: {condition.measure} is 0 for every query language",
                source=source,
                seen=condition.text,
            )
        value = rounded(measure["value"])
        outcomes.append(
            Outcome(
                condition=condition.text,
                scenario=condition.scenario,
                measure=condition.name,
                query_language=measure["worst"],
                pool_languages=tuple(group["pool_languages"]),
                value=value,
                limit=condition.limit,
                operator=condition.operator,
                failed=condition.holds(value),
            )
        )
    if not outcomes:
        raise InputError(
            "matches no pool",
            source=source,
            seen=condition.text,
            allowed=f"a measure with a value for two query languages or more; {_what_there_is(result)}",
        )
    return outcomes


def _count_hits(result: AuditResult, retrieval: str | None) -> str:
    """Advice where lists are too short because chunks of one version count once; empty elsewhere."""
    merged = (result.provenance.get("run") or {}).get("merged")
    if retrieval is not None:
        lists = (result.live or {}).get("merged", ())
        merged = next((ranked for ranked in lists if ranked["retrieval"] == retrieval), None)
    if merged is None or merged["counted"] == "hits":
        return ""
    return (
        f"; or --count hits: lists of {merged['hits']} hits hold as few as {merged['versions']} versions, because "
        "chunks of one count once"
    )


def _under_ties(condition: Condition, row: Mapping[str, Any], value: float) -> tuple[float, tuple[float, float] | None]:
    """The value that a condition uses, and its range under ties."""
    ends = rounded(row.get("ties", {}).get(condition.measure) or {})
    if ends.get("optimistic") is None or ends["optimistic"] == ends["pessimistic"]:
        return value, None
    low, high = sorted((ends["optimistic"], ends["pessimistic"]))
    # Which end is worse depends on the condition: 'Max@R<2' fails for low values.
    sooner, later = (low, high) if condition.operator in ("<", "<=") else (high, low)
    values = {"pessimistic": sooner, "expected": ends["expected"], "optimistic": later, "order": value}
    return values[condition.ties], (low, high)


def check_conditions(
    conditions: Sequence[Condition],
    plan: Sequence[Scenario],
    *,
    retrievals: Sequence[str] = (),
    source: str = "--fail-on",
) -> None:
    """Reject conditions that no row of a plan can match, before any work is done.

    :param plan: the rows to be computed.
    :param retrievals: retrieved lists that also have rows.
    :raises InputError: naming what exists.
    """
    for condition in conditions:
        rows = [
            row
            for row in plan
            if row.name == condition.scenario and condition.query_language in (None, row.query_language)
        ]
        language = _document_language(condition.measure)
        if condition.retrieval not in (None, *retrievals):
            raise InputError(
                "matches no row", source=source, seen=condition.text, allowed=f"lists {', '.join(retrievals) or 'none'}"
            )
        if not any(language in (None, *row.pool_languages) for row in rows):
            there = sorted({row.name for row in plan}, key=SCENARIOS.index)
            raise InputError(
                "matches no row",
                source=source,
                seen=condition.text,
                allowed=f"scenarios {', '.join(there)}; query languages "
                f"{', '.join(sorted({row.query_language for row in plan}))}; pool languages "
                f"{', '.join(sorted({tag for row in plan for tag in row.pool_languages}))}",
            )


def failed(outcomes: Iterable[Outcome]) -> bool:
    """Whether any outcome fails the gate."""
    return any(outcome.failed for outcome in outcomes)


def _document_language(measure: str) -> str | None:
    """L of Rank[L], Intrusion[L] and Exposure@K[L], None for other measures."""
    match = re.fullmatch(r"(?:Rank|Intrusion|Exposure@\d+)\[(.+)\]", measure)
    return match[1] if match else None


def _what_there_is(result: AuditResult) -> str:
    scenarios = sorted({row["scenario"] for row in result.rows}, key=SCENARIOS.index)
    languages = sorted({row["query_language"] for row in result.rows})
    measures = sorted({name for row in result.rows for name in row["measures"]})
    return f"scenarios {', '.join(scenarios)}; query languages {', '.join(languages)}; measures {', '.join(measures)}"
