"""Ids that documents of different indices behind an alias share, found in a random sample."""

from __future__ import annotations

from dataclasses import dataclass

from haystack_crossalign.opensearch.index.pool import IndexView

_SAMPLE = 200
"""Documents of each index whose ids are looked for in the others."""


@dataclass(frozen=True)
class SharedIds:
    """Ids of a sample that several indices hold.

    :param sampled: number of ids in the sample.
    :param shared: number of them that several indices hold.
    :param example: the first of them.
    :param holders: the indices that hold it.
    """

    sampled: int
    shared: int
    example: str
    holders: tuple[str, ...]

    def told(self) -> str:
        """One sentence, without its end."""
        indices = " and ".join(f"'{holder}'" for holder in self.holders)
        return (
            f"documents of different indices share ids ({self.shared:,} of {self.sampled:,} in a sample; {indices} "
            f"hold '{self.example}'): each counts as a document of its own, and judgments must name its index as well: "
            f"'{self.holders[0]}/{self.example}'"
        )


def shared_ids(view: IndexView) -> SharedIds | None:
    """Look for ids that several indices hold, by a random sample of each.

    If ids are shared by design (the same id in the index of each language), any sample shows it. Single ones are told
    when they are judged.

    :param view: index or alias, its fields and filter.
    :returns: None if there is one index, or the sample shows no shared id.
    """
    indices = view.fields.indices
    if len(indices) < 2:
        return None
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
    holders: dict[str, set[str]] = {}
    step = max(1, view.fields.most_hits // len(indices))
    for start in range(0, len(ids), step):
        only = view.scoring.pool({"ids": {"values": ids[start : start + step]}})
        body = {"size": view.fields.most_hits, "_source": False, "query": only}
        for hit in view.client.search(body, view.target)["hits"]["hits"]:
            holders.setdefault(str(hit["_id"]), set()).add(str(hit["_index"]))
    shared = {name: documents for name, documents in holders.items() if len(documents) > 1}
    if not shared:
        return None
    example = min(shared)
    return SharedIds(len(ids), len(shared), example, tuple(sorted(shared[example])))
