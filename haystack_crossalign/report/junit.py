"""JUnit XML of a gate, so that a CI server shows which condition failed in which language."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.content.words import interval, measure_value

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain, even escaped."""


def junit_xml(gate_outcomes: Sequence[Mapping[str, Any]]) -> str:
    """JUnit XML: one test suite per scenario, one test case per condition, pool and query language.

    :param gate_outcomes: outcomes with the keys ``condition``, ``scenario``, ``measure``, ``query_language``,
        ``pool_languages``, ``value``, ``limit``, ``operator``, ``failed``, and ``ties``, the range of the value under
        ties.
    :returns: the XML document as text, for a file in UTF-8.
    """
    suites: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in gate_outcomes:
        suites.setdefault(outcome["scenario"], []).append(outcome)
    root = ET.Element("testsuites", _totals("crossalign gate", gate_outcomes))
    for scenario, outcomes in suites.items():
        suite = ET.SubElement(root, "testsuite", _totals(f"crossalign.{_clean(scenario)}", outcomes))
        for outcome in outcomes:
            _add_case(suite, outcome)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _totals(name: str, outcomes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    failures = sum(1 for outcome in outcomes if outcome["failed"])
    return {
        "name": name,
        "tests": str(len(outcomes)),
        "failures": str(failures),
        "errors": "0",
        "skipped": "0",
        "time": "0",
    }


def _add_case(suite: ET.Element, outcome: Mapping[str, Any]) -> None:
    pool = "+".join(outcome["pool_languages"])
    name = f"{outcome['condition']} · {outcome['query_language']} queries, {pool} pool"
    case = ET.SubElement(
        suite,
        "testcase",
        {"classname": f"crossalign.{_clean(outcome['scenario'])}.{_clean(pool)}", "name": _clean(name), "time": "0"},
    )
    value = _plain(measure_value(outcome["measure"], outcome["value"], limit=outcome["limit"]))
    limit = _plain(measure_value(outcome["measure"], outcome["limit"]))
    sentence = (
        f"{outcome['measure']} of {display_name(outcome['query_language'])} queries over the {pool} pool is {value}"
    )
    if outcome.get("ties"):
        sentence += f" ({_plain(interval(outcome['measure'], outcome['ties']))} by the order of ties)"
    if outcome.get("judged_by"):
        sentence += f", {limit} before ({outcome['judged_by']})"
    if outcome["failed"]:
        failure = ET.SubElement(
            case,
            "failure",
            {
                "type": "gate",
                "message": _clean(
                    sentence if outcome.get("judged_by") else f"{sentence}: fails on {outcome['operator']} {limit}"
                ),
            },
        )
        failure.text = _clean(
            f"condition: {outcome['condition']}\nvalue: {outcome['value']!r}\nlimit: {outcome['limit']!r}"
        )
    else:
        ET.SubElement(case, "system-out").text = _clean(sentence)


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
