"""Tables and the sentences beside them."""

from __future__ import annotations

from typing import Any

from haystack_crossalign.report.content.tables import parity_sentence


def row(language: str, complete: float, mrr: float) -> dict[str, Any]:
    return {
        "scenario": "multi",
        "kind": "exact",
        "retrieval": None,
        "pool_languages": ["de", "en"],
        "query_language": language,
        "queries": 1000,
        "measures": {"Complete@10": complete, "MRR": mrr},
    }


def test_parity_names_two_languages_only_where_they_differ() -> None:
    assert parity_sentence([row("de", 0.4, 1.0), row("en", 0.8, 1.0)]) == (
        "Parity of query languages, the lowest mean as a share of the highest: Complete@10 50.0\u00a0% (German against "
        "English), MRR 100\u00a0%."
    )
