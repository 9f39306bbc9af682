"""Measures by name: `parse_measure`, and the default measures of an audit."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, cast

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import normalize_language
from haystack_crossalign.measures.base import Measure
from haystack_crossalign.measures.depth import Complete, MaxAtR, MaxAtRNorm, RankOf
from haystack_crossalign.measures.fairness import EqualExpectedRank, TargetLanguageRecall
from haystack_crossalign.measures.language import Intrusion, LangNDCG, LanguagePreferenceRate, Top1
from haystack_crossalign.measures.lists import Exposure, ListMeasure, MeanRankCorrelation
from haystack_crossalign.measures.relevance import MRR, NDCG, Recall
from haystack_crossalign.measures.translation import OtherOnly, OtherOnlyFound

ALLOWED = (
    "Max@R, Max@R_norm, Complete@K, NDCG@K, MRR, MRR@K, Recall@K, Rank[L], Intrusion[L], LPR, Lang-nDCG@K, "
    "Top1[relevant|other,same|other], OtherOnly, OtherOnly@K, PEER@K, TLR@K, MRC@K, Exposure@K[L] (K a whole number "
    "from 1, L a language)"
)
"""Names that `parse_measure` reads, in words."""

# Spellings of ir_measures (nDCG@10, RR, RR@10, R@10) in addition to ours, all in lower case.
_PLAIN: dict[str, Measure] = {
    "max@r": MaxAtR(),
    "max@r_norm": MaxAtRNorm(),
    "mrr": MRR(),
    "rr": MRR(),
    "lpr": LanguagePreferenceRate(),
    "otheronly": OtherOnly(),
}
_WITH_CUTOFF: dict[str, Callable[[int], Measure]] = {
    "complete": Complete,
    "ndcg": NDCG,
    "mrr": MRR,
    "rr": MRR,
    "recall": Recall,
    "r": Recall,
    "lang-ndcg": LangNDCG,
    "otheronly": OtherOnlyFound,
    "peer": EqualExpectedRank,
    "tlr": TargetLanguageRecall,
    "mrc": MeanRankCorrelation,
}
_WITH_LANGUAGE: dict[str, Callable[[str], Measure]] = {"rank": RankOf, "intrusion": Intrusion}

# At most nine digits, so that the cut-off fits into the 32 bits of a rank.
_CUTOFF = re.compile(r"(?P<base>[a-z-]+)@(?P<cutoff>[1-9][0-9]{0,8})")
_LANGUAGE = re.compile(r"(?P<base>[a-z]+)\[(?P<language>[^\[\]]+)\]")
_EXPOSURE = re.compile(r"exposure@(?P<cutoff>[1-9][0-9]{0,8})\[(?P<language>[^\[\]]+)\]")
_TOP1 = re.compile(r"top1\[ *(?P<relevance>relevant|other) *, *(?P<language>same|other) *\]")


def parse_measure(name: str) -> Measure:
    """Parse the name of a measure, case-insensitively; common spellings of ir_measures are accepted.

    :param name: for example ``Max@R``, ``Complete@10``, ``nDCG@10``, ``RR``, ``R@100``, ``Rank[zh]``.
    :raises InputError: if there is no such measure or its language is unknown.
    """
    text = name.strip()
    lower = text.lower()
    if lower in _PLAIN:
        return _PLAIN[lower]
    if (match := _CUTOFF.fullmatch(lower)) and match["base"] in _WITH_CUTOFF:
        return _WITH_CUTOFF[match["base"]](int(match["cutoff"]))
    if match := _TOP1.fullmatch(lower):
        return Top1(
            cast(Literal["relevant", "other"], match["relevance"]), cast(Literal["same", "other"], match["language"])
        )
    if match := _EXPOSURE.fullmatch(lower):
        language = text[match.start("language") : match.end("language")].strip()
        return Exposure(int(match["cutoff"]), normalize_language(language))
    if (match := _LANGUAGE.fullmatch(lower)) and match["base"] in _WITH_LANGUAGE:
        language = text[match.start("language") : match.end("language")].strip()
        return _WITH_LANGUAGE[match["base"]](normalize_language(language))
    if lower.startswith("parity["):
        raise InputError(
            "parity is over the query languages of a pool, and every output gives it for each measure",
            field="measure",
            seen=name,
            allowed=f"the measure itself, {text[7:].removesuffix(']')!r}; Parity[…] in conditions of a gate",
        )
    raise InputError("unknown measure", field="measure", seen=name, allowed=ALLOWED)


KINDS: tuple[type[Measure], ...] = (
    MaxAtR,
    MaxAtRNorm,
    Complete,
    NDCG,
    MRR,
    Recall,
    RankOf,
    Intrusion,
    LanguagePreferenceRate,
    LangNDCG,
    Top1,
    OtherOnly,
    OtherOnlyFound,
    EqualExpectedRank,
    TargetLanguageRecall,
    MeanRankCorrelation,
    Exposure,
)
"""The measures, in the order in which results and glossaries show them."""


@lru_cache(maxsize=1024)
def known_measure(name: str) -> Measure | None:
    """Measure of a name in a result, with any language tag; None if this version does not know the measure.

    :param name: as in the result.
    """
    try:
        return parse_measure(name)
    except InputError:
        if exposure := _EXPOSURE.fullmatch(name.lower()):
            return Exposure(int(exposure["cutoff"]), name[name.index("[") + 1 : -1])
        match = _LANGUAGE.fullmatch(name.lower())
        make = _WITH_LANGUAGE.get(match["base"]) if match else None
        return make(name[name.index("[") + 1 : -1]) if make is not None else None


def default_measures(languages: Sequence[str]) -> tuple[Measure, ...]:
    """Default measures of a row of an audit.

    :param languages: normalized tags of the pool's languages, in the order of Rank[L] and Intrusion[L].
    """
    return (
        MaxAtR(),
        MaxAtRNorm(),
        Complete(10),
        NDCG(1),
        NDCG(10),
        MRR(),
        Recall(10),
        *(RankOf(language) for language in languages),
        *(Intrusion(language) for language in languages),
        LanguagePreferenceRate(),
        LangNDCG(10),
        Top1("relevant", "same"),
        Top1("relevant", "other"),
        Top1("other", "same"),
        Top1("other", "other"),
    )


def recorded_depth(measures: Sequence[Measure]) -> int:
    """The number of ranks of each list that must be recorded for some measures; 0 if none needs lists."""
    return max((measure.cutoff for measure in measures if isinstance(measure, ListMeasure)), default=0)


def gap_measures() -> tuple[Measure, ...]:
    """Measures of queries that are answered only in another language, for rows that have such queries."""
    return OtherOnly(), OtherOnlyFound(10)
