"""JUnit XML of the gate, read back by an XML parser."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from haystack_crossalign.report.junit import junit_xml


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text.encode("utf-8"))  # noqa: S314  (what is read was written here)


def outcome(**changes: Any) -> dict[str, Any]:
    return {
        "condition": "Max@R_norm<80%",
        "scenario": "multi",
        "measure": "Max@R_norm",
        "query_language": "zh",
        "pool_languages": ["en", "zh"],
        "value": 0.41,
        "limit": 0.8,
        "operator": "<",
        "failed": True,
        **changes,
    }


def test_each_scenario_is_a_suite_and_each_condition_and_language_a_case() -> None:
    text = junit_xml(
        [
            outcome(),
            outcome(query_language="en", value=0.85, failed=False),
            outcome(scenario="mono-same", condition="mono-same:NDCG@1<90%", measure="NDCG@1", value=0.7, limit=0.9),
        ]
    )
    root = parsed(text)
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "2", "0")
    suites = root.findall("testsuite")
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in suites] == [
        ("crossalign.multi", "2", "1"),
        ("crossalign.mono-same", "1", "1"),
    ]
    failed, passed = suites[0].findall("testcase")
    assert failed.get("name") == "Max@R_norm<80% · zh queries, en+zh pool"
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "Max@R_norm of Chinese queries over the en+zh pool is 41.0 %: fails on < 80.0 %"
    assert passed.find("failure") is None
    assert len({(case.get("classname"), case.get("name")) for case in root.iter("testcase")}) == 3


def test_a_gate_without_outcomes_is_an_empty_suite() -> None:
    root = parsed(junit_xml([]))
    assert (root.get("tests"), len(root)) == ("0", 0)


def test_markup_and_characters_that_xml_cannot_hold_do_no_harm() -> None:
    hostile = 'Max@R<5 ]]> </testcase><script>&amp;"\x00\x1b\ud800'
    root = parsed(junit_xml([outcome(condition=hostile)]))
    (case,) = root.iter("testcase")
    assert '</testcase><script>&amp;"\ufffd\ufffd\ufffd' in str(case.get("name"))


def test_a_count_is_written_as_one() -> None:
    text = junit_xml([outcome(measure="Max@R", condition="Max@R>20", value=186.4, limit=20.0, operator=">")])
    assert "is 186: fails on &gt; 20" in text
