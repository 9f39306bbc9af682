"""Parallel groups of an index in random order, read with nothing but searches, however many groups there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.index.pool import UNDETERMINED, IndexView

__all__ = ["parallel_groups"]

GROUPS_PER_PART = 500
MOST_PARTS = 50
"""Each part is one pass of the server over its documents: where parallel groups are rare, not all are looked at."""

_SIZES = (5_000, 20_000, 60_000)
_PRECISION = 40_000


def parallel_groups(view: IndexView, *, seed: int) -> Iterator[str]:
    """Groups with documents in two languages or more, in a random order that does not favour large groups.

    The server splits the groups into parts by a hash of their names, so that one answer holds a few hundred of them
    whatever the size of the index; parts, and the groups of a part, come in an order drawn from the seed. At most
    `MOST_PARTS` parts are read. Documents without a language may be in any: two of them make a group a candidate.

    :param view: index with a group field, its filter, best at a point in time.
    :param seed: the same seed gives the same order, as long as the index does not change.
    """
    rng = np.random.default_rng(seed)
    body = _request(view, {"groups": {"cardinality": {"field": view.fields.group, "precision_threshold": _PRECISION}}})
    estimate = int(view.client.search(body, view.target)["aggregations"]["groups"]["value"])
    parts = max(1, -(-estimate // GROUPS_PER_PART))
    for part in rng.permutation(parts)[:MOST_PARTS].tolist():
        names = sorted(str(row["key"]) for row in _part(view, part, parts) if _is_parallel(view, row))
        yield from (names[number] for number in rng.permutation(len(names)).tolist())


def _part(view: IndexView, part: int, parts: int) -> list[Answer]:
    """All groups of one part, with their documents by language."""
    for size in _SIZES:
        terms: dict[str, Any] = {"field": view.fields.group, "size": size, "min_doc_count": 2}
        terms |= {"include": {"partition": part, "num_partitions": parts}, "order": {"_key": "asc"}}
        aggregation: dict[str, Any] = {"terms": terms}
        if split := view.by_language():
            aggregation["aggs"] = split
        answer = view.client.search(_request(view, {"groups": aggregation}), view.target)["aggregations"]["groups"]
        if not answer["sum_other_doc_count"]:
            return list(answer["buckets"])
    raise InputError(
        "more groups than an aggregation can hold", field=view.fields.group, allowed=f"up to {_SIZES[-1]} of {parts}"
    )


def _is_parallel(view: IndexView, row: Answer) -> bool:
    counts = view.language_counts(row, int(row["doc_count"]))
    return len(counts) > 1 or counts.get(UNDETERMINED, 0) > 1


def _request(view: IndexView, aggregations: dict[str, Any]) -> dict[str, Any]:
    return {"size": 0, "track_total_hits": False, "query": view.scoring.pool(), "aggs": aggregations}
