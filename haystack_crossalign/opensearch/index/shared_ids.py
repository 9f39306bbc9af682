"""Detect ids shared by documents of different indices behind an alias, which would be ambiguous."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.index.pool import IndexView

_SAMPLE = 200
"""Documents of each index whose ids are looked for in the others."""


def check_ids(view: IndexView) -> None:
    """Reject indices whose documents share ids, judged by a random sample of each.

    If ids are shared by design (the same id in the index of each language), any sample shows it. Single shared ids are
    detected later if they are judged, or if a list holds both documents.

    :param view: index or alias, its fields and filter.
    :raises InputError: naming an id and the indices that hold it.
    """
    indices = view.fields.indices
    if len(indices) < 2:
        return
    bodies = []
    for name in indices:
        drawn = {
            "query": view.scoring.pool({"term": {"_index": name}}),
            "random_score": {"seed": 0, "field": "_seq_no"},
        }
        query = {"function_score": {**drawn, "boost_mode": "replace"}}
        bodies.append({"size": min(_SAMPLE, view.fields.most_hits), "_source": False, "query": query})
    answers = view.client.search_all(bodies, view.target)
    ids = sorted({str(hit["_id"]) for answer in answers for hit in answer["hits"]["hits"]})
    step = max(1, view.fields.most_hits // len(indices))
    for start in range(0, len(ids), step):
        only = view.scoring.pool({"ids": {"values": ids[start : start + step]}})
        body = {"size": view.fields.most_hits, "_source": False, "query": only}
        found = view.client.search(body, view.target)["hits"]["hits"]
        name, count = next(iter(Counter(str(hit["_id"]) for hit in found).most_common(1)), ("", 0))
        if count > 1:
            raise shared(indices, name, {str(hit["_index"]) for hit in found if hit["_id"] == name})


def shared(indices: Iterable[str], name: str, holders: Iterable[str]) -> InputError:
    """The error for an id that several of the indices hold.

    :param indices: all of them.
    :param name: the id.
    :param holders: those that hold it.
    """
    quoted = ", ".join(f"'{one}'" for one in sorted(holders))
    return InputError(
        f"documents of different indices share ids ({quoted} hold '{name}'), so that an id names no single document",
        source=", ".join(indices),
        field="_id",
        seen=name,
        allowed="indices whose documents have ids of their own, or an audit of one of them",
    )
