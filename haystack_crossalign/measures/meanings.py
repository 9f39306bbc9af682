"""What each measure means, which direction is better and what the best value is, by the measure's name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

Direction = int
"""+1: higher is better; -1: lower is better; 0: neither."""


@dataclass(frozen=True)
class Meaning:
    """One entry of the glossary.

    :param title: name of the measure or of a family of measures, as shown.
    :param text: definition in plain words.
    """

    title: str
    text: str


_FAMILY = re.compile(r"^(?P<family>[^@\[]+(?:@R(?:_norm)?)?)")
_UNBOUNDED = frozenset({"Max@R", "Rank", "Intrusion"})

_MEANINGS: dict[str, Meaning] = {
    "Max@R": Meaning(
        "Max@R",
        "How deep one must read to have seen every relevant version: the largest rank among them, averaged over "
        "queries. Lower is better; the best value is the number of relevant versions.",
    ),
    "Max@R_norm": Meaning(
        "Max@R_norm",
        "Max@R on a logarithmic scale between the bottom of the pool (0 %) and perfect (100 %): "
        "(log2 pool size - log2 Max@R) / (log2 pool size - log2 number of relevant versions), averaged over queries.",
    ),
    "Complete": Meaning(
        "Complete@K", "Share of queries whose relevant versions all stand in the top K. 100 % is perfect."
    ),
    "NDCG": Meaning(
        "NDCG@K",
        "Normalised discounted cumulative gain of the top K. The gain of a version is its grade (linear, as in "
        "trec_eval's ndcg_cut), and 1 where judgments have no grades.",
    ),
    "MRR": Meaning("MRR", "Mean of 1 / rank of the first relevant version, in any language."),
    "Recall": Meaning("Recall@K", "Share of the relevant versions that stand in the top K, averaged over queries."),
    "Rank": Meaning(
        "Rank[L]", "Mean rank of the relevant version in language L, over the queries that have one. 1 is perfect."
    ),
    "Intrusion": Meaning(
        "Intrusion[L]",
        "Number of non-relevant documents in language L above the relevant version in the query's own language. "
        "0 is perfect.",
    ),
    "LPR": Meaning(
        "Language Preference Rate (LPR)",
        "Share of queries with several relevant versions whose first one is in the query's language (after MLAIRE, "
        "our formula). Neither high nor low is good in itself: it says whom the ranking prefers.",
    ),
    "Lang-nDCG": Meaning(
        "Lang-nDCG@K",
        "NDCG with a higher gain for the relevant version in the query's own language (after MLAIRE, our formula). "
        "Grades play no part in it.",
    ),
    "Top1": Meaning(
        "What stands at rank 1 (Top1)",
        "Share of queries by what stands first: relevant or not, in the query's language or in another.",
    ),
}


def _family(name: str) -> str:
    match = _FAMILY.match(name)
    return match["family"] if match else name


def is_share(name: str) -> bool:
    """Whether a measure lies in 0..1 and is shown in percent."""
    return _family(name) not in _UNBOUNDED


def direction(name: str) -> Direction:
    """Which direction of a measure is better: +1 higher, -1 lower, 0 neither."""
    family = _family(name)
    if family == "LPR" or name == "Top1[relevant,other]":
        return 0
    if family in _UNBOUNDED or name.startswith("Top1[other"):
        return -1
    return 1


def best_value(name: str, relevant_per_query: float) -> float | None:
    """The best value a measure can take, None where neither direction is good.

    :param name: name of the measure.
    :param relevant_per_query: mean number of relevant versions of a query, which is the best Max@R.
    """
    if direction(name) == 0:
        return None
    family = _family(name)
    if family == "Max@R":
        return relevant_per_query
    cutoff = name.partition("@")[2]
    if family == "Recall" and cutoff.isdigit():
        return min(1.0, int(cutoff) / relevant_per_query)
    if family == "Rank":
        return None if relevant_per_query > 1 else 1.0
    return 0.0 if direction(name) < 0 else 1.0


def meanings(names: Iterable[str]) -> list[Meaning]:
    """Glossary entries of the measures that a result holds, in the order of `ordered_names`."""
    families = dict.fromkeys(_family(name) for name in ordered_names(names))
    return [_MEANINGS[family] for family in families if family in _MEANINGS]


def ordered_names(names: Iterable[str]) -> list[str]:
    """Distinct measure names in the order of the glossary, unknown ones last."""
    order = {family: position for position, family in enumerate(_MEANINGS)}
    return sorted(dict.fromkeys(names), key=lambda name: order.get(_family(name), len(order)))
