"""Audits: scenarios over a judged collection, their result, comparison of two results and the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.audit.compare import Comparison, compare_results
    from haystack_crossalign.audit.gate import Condition, Outcome, evaluate_gate, parse_condition
    from haystack_crossalign.audit.provenance import build_provenance, describe_data
    from haystack_crossalign.audit.result import AuditResult, read_result
    from haystack_crossalign.audit.run import audit_vectors, embed_collection
    from haystack_crossalign.audit.scenarios import SCENARIOS, Scenario, plan_scenarios

__all__ = [
    "SCENARIOS",
    "AuditResult",
    "Comparison",
    "Condition",
    "Outcome",
    "Scenario",
    "audit_vectors",
    "build_provenance",
    "compare_results",
    "describe_data",
    "embed_collection",
    "evaluate_gate",
    "parse_condition",
    "plan_scenarios",
    "read_result",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AuditResult": "result",
        "Comparison": "compare",
        "Condition": "gate",
        "Outcome": "gate",
        "SCENARIOS": "scenarios",
        "Scenario": "scenarios",
        "audit_vectors": "run",
        "build_provenance": "provenance",
        "compare_results": "compare",
        "describe_data": "provenance",
        "embed_collection": "run",
        "evaluate_gate": "gate",
        "parse_condition": "gate",
        "plan_scenarios": "scenarios",
        "read_result": "result",
    },
)
