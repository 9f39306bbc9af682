"""Parity over query languages: ratios of means by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from haystack_crossalign.audit.result import rounded
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.measures.parity import parities


def row(
    language: str, pool: tuple[str, ...] = ("en", "zh"), scenario: str = "multi", **measures: Any
) -> dict[str, Any]:
    named = {name.replace("_at_", "@"): value for name, value in measures.items()}
    return {
        "scenario": scenario,
        "kind": "exact",
        "pool_languages": list(pool),
        "query_language": language,
        "measures": named,
    }


def test_it_is_the_lowest_mean_divided_by_the_highest() -> None:
    rows = [
        row("en", Complete_at_10=0.8, Max_at_R=5.0),
        row("zh", Complete_at_10=0.2, Max_at_R=20.0),
        row("de", Complete_at_10=0.6, Max_at_R=8.0),
    ]
    (found,) = parities(rows)
    assert found["measures"] == {
        "Complete@10": {"value": pytest.approx(0.25), "best": "en", "worst": "zh"},
        "Max@R": {"value": pytest.approx(0.25), "best": "en", "worst": "zh"},
    }
    assert (found["scenario"], found["retrieval"], found["pool_languages"]) == ("multi", None, ["en", "zh"])


def test_measures_without_a_better_end_of_one_language_or_null_have_none() -> None:
    measures = {"LPR": 0.5, "Rank[en]": 2.0, "Intrusion[en]": 1.0, "Recall@10": None, "MRR": 0.0}
    rows = [{**row("en"), "measures": measures}, {**row("zh"), "measures": measures}]
    (found,) = parities(rows)
    assert found["measures"] == {"MRR": {"value": None, "best": "en", "worst": "en"}}


def test_pools_and_lists_are_compared_apart_and_one_language_has_no_parity() -> None:
    rows = [
        row("en", MRR=1.0),
        row("zh", MRR=0.5),
        {**row("en", MRR=0.8), "kind": "live", "retrieval": "knn"},
        row("en", ("de", "en"), MRR=0.1),
    ]
    (found,) = parities(rows)
    assert found["measures"]["MRR"]["value"] == 0.5


def test_where_the_pools_differ_the_mean_of_a_query_language_counts() -> None:
    cross = [
        row("en", ("de",), "mono-cross", MRR=0.4),
        row("en", ("zh",), "mono-cross", MRR=0.8),
        row("zh", ("en",), "mono-cross", MRR=0.3),
    ]
    (found,) = parities(cross)
    assert found["measures"]["MRR"] == {"value": pytest.approx(0.5), "best": "en", "worst": "zh"}
    assert found["pool_languages"] == []


def test_it_is_no_measure_of_a_row() -> None:
    with pytest.raises(InputError, match="parity is over the query languages"):
        parse_measure("Parity[MRR]")


def test_parity_is_that_of_the_digits_which_a_result_keeps() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"scenario": "multi", "kind": "exact", "pool_languages": ["en", "zh"], "query_language": tag}
        | {"measures": {"Max@R": float(rng.uniform(1, 900)), "Complete@10": float(rng.uniform())}}
        for tag in ("en", "zh", "ar")
    ]
    assert rounded(parities(rows)) == rounded(parities(rounded(rows)))
    assert rounded(parities(rows)) != []
