"""Filters of training triplets, each with a count of what it dropped."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from haystack_crossalign.data.triplets import Triplet, normalized
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import likely_script

_WORDS = 8
# Scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have about three characters per word.
_CHARACTERS = 3 * _WORDS
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Filter:
    """A named reason to drop triplets.

    :param name: the reason, as shown in reports.
    :param rejects: returns for each of the remaining triplets whether it is dropped.
    """

    name: str
    rejects: Callable[[Sequence[Triplet]], Sequence[bool]]


@dataclass(frozen=True)
class Filtered:
    """The remaining triplets, and the reasons for which others were dropped.

    :param kept: triplets, in their order.
    :param dropped: number by reason, in the order of the filters; each triplet is counted once.
    :param examples: ids of the first triplets dropped per reason.
    """

    kept: tuple[Triplet, ...]
    dropped: Mapping[str, int]
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def apply_filters(triplets: Iterable[Triplet], filters: Sequence[Filter], *, examples: int = 5) -> Filtered:
    """Run filters one after the other.

    :param triplets: the triplets.
    :param filters: with different names.
    :param examples: number of ids to keep per reason.
    :raises InputError: if two filters have the same name.
    """
    if len({each.name for each in filters}) < len(filters):
        raise InputError("filters need different names", field="filters", seen=[each.name for each in filters])
    left = tuple(triplets)
    dropped: dict[str, int] = {}
    shown: dict[str, tuple[str, ...]] = {}
    for each in filters:
        verdicts = each.rejects(left)
        gone = [triplet.id for triplet, rejected in zip(left, verdicts, strict=True) if rejected]
        dropped[each.name], shown[each.name] = len(gone), tuple(gone[:examples])
        left = tuple(triplet for triplet, rejected in zip(left, verdicts, strict=True) if not rejected)
    return Filtered(left, dropped, shown)


def language_mismatch(
    detect: Callable[[Sequence[str]], Sequence[str | None]], *, detectable: Collection[str] | None = None
) -> Filter:
    """Drop triplets with a passage that is not in the stated language; undetermined texts pass.

    Scripts of one language are not distinguished. For a language in an unusual script, such as ``sr-Latn``, only the
    script is checked, because detectors confuse it with a similar language.

    :param detect: normalized tag of each text, None if it is not clear.
    :param detectable: the tags that ``detect`` may return; texts in other languages pass. None for all.
    """
    known = None if detectable is None else {tag.split("-")[0] for tag in detectable}

    def rejects(triplets: Sequence[Triplet]) -> list[bool]:
        claims = [
            (number, tag, text)
            for number, triplet in enumerate(triplets)
            for tag, text in ((triplet.language, triplet.passage), *triplet.targets.items())
            if known is None or tag.split("-")[0] in known
        ]
        detected = detect([text for _, _, text in claims])
        wrong = {
            number
            for (number, tag, _), seen in zip(claims, detected, strict=True)
            if seen is not None and not _same_language(seen, tag)
        }
        return [number in wrong for number in range(len(triplets))]

    return Filter("language", rejects)


def _same_language(seen: str, tag: str) -> bool:
    language, _, script = tag.partition("-")
    return seen.split("-")[0] == language or (bool(script) and likely_script(seen) == script)


def length_ratio(factor: float = 2.5) -> Filter:
    """Drop triplets whose target is implausibly long or short for its language.

    The ratio of the lengths in characters of target and passage is compared with its median over all triplets of the
    target language: the ratio differs between languages (Chinese needs a third of the characters of English), but
    hardly within one.

    :param factor: largest plausible ratio to the median, in either direction.
    :raises InputError: for a factor that is not above 1.
    """
    if not factor > 1:
        raise InputError("must be above 1", field="factor", seen=factor)

    def rejects(triplets: Sequence[Triplet]) -> list[bool]:
        ratios: dict[str, list[float]] = {}
        for triplet in triplets:
            for tag, text in triplet.targets.items():
                ratios.setdefault(tag, []).append(len(text) / len(triplet.passage))
        usual = {tag: median(values) for tag, values in ratios.items()}
        return [
            any(
                not usual[tag] / factor <= len(text) / len(triplet.passage) <= usual[tag] * factor
                for tag, text in triplet.targets.items()
            )
            for triplet in triplets
        ]

    return Filter("length ratio", rejects)


def ambiguous_queries(passages: int = 1) -> Filter:
    """Drop triplets whose query belongs to more than this many parallel groups, such as the heading "Introduction".

    :param passages: maximum number of groups of a query.
    """

    def rejects(triplets: Sequence[Triplet]) -> list[bool]:
        groups: dict[str, set[str]] = {}
        for triplet in triplets:
            groups.setdefault(normalized(triplet.query), set()).add(triplet.group)
        return [len(groups[normalized(triplet.query)]) > passages for triplet in triplets]

    return Filter("ambiguous query", rejects)


def near_duplicates(share: float = 0.8, *, across_groups: bool = False) -> Filter:
    """Drop triplets with the query and target languages of an earlier one and nearly the same passage; the first is
    kept.

    :param share: Jaccard index of the passages' sets of n-grams (8 words, or 24 characters in scripts without spaces)
        from which they count as duplicates; passages too short for an n-gram are compared as a whole.
    :param across_groups: also drop triplets with nearly the same passage and target languages as an earlier triplet of
        another parallel group, whatever their queries: each would be a false negative of the other.
    :raises InputError: for a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise InputError("out of range", field="share", seen=share, allowed="above 0, at most 1")

    def same(first: Triplet, second: Triplet) -> bool:
        if first.targets.keys() != second.targets.keys():
            return False
        return normalized(first.query) == normalized(second.query) or (across_groups and first.group != second.group)

    def rejects(triplets: Sequence[Triplet]) -> list[bool]:
        grams_of = [shingles(built.passage) or frozenset([normalized(built.passage)]) for built in triplets]
        frequency = Counter(gram for grams in grams_of for gram in grams)
        holders: dict[str, list[int]] = {}
        verdicts = []
        for place, (triplet, grams) in enumerate(zip(triplets, grams_of, strict=True)):
            # Sets this similar share one of the rarest n-grams of each (prefix filtering: Chaudhuri, Ganti and Kaushik
            # 2006), so boilerplate on every page of a site causes no comparisons.
            rarest = sorted(grams, key=lambda gram: (frequency[gram], gram))
            rarest = rarest[: len(grams) - math.ceil(share * len(grams) - 1e-9) + 1]
            verdicts.append(
                any(
                    len(grams & grams_of[other]) >= share * len(grams | grams_of[other])
                    for other in {other for gram in rarest for other in holders.get(gram, ())}
                    if same(triplets[other], triplet)
                )
            )
            if not verdicts[-1]:
                for gram in rarest:
                    holders.setdefault(gram, []).append(place)
        return verdicts

    return Filter("near duplicate", rejects)


def evaluation_overlap(texts: Iterable[str]) -> Filter:
    """Drop triplets that share an 8-gram of words (24 characters in scripts without spaces) with the evaluation set.

    All texts of a triplet are compared: query and passage, in every language.

    :param texts: queries and documents of the evaluation set, in all languages.
    """
    forbidden = frozenset(gram for text in texts for gram in shingles(text))

    def rejects(triplets: Sequence[Triplet]) -> list[bool]:
        return [
            any(
                not forbidden.isdisjoint(shingles(text))
                for text in (
                    triplet.query,
                    triplet.passage,
                    *triplet.targets.values(),
                    *triplet.target_queries.values(),
                )
            )
            for triplet in triplets
        ]

    return Filter("overlap with the evaluation set", rejects)


def shingles(text: str) -> frozenset[str]:
    """All runs of 8 words of a text and, for parts in scripts without spaces, of 24 characters.

    :param text: any text; case, punctuation, white space and Unicode composition are ignored, as are marks that Unicode
        cannot compose with their base letter, such as Arabic vowels.
    """
    text = unicodedata.normalize("NFKC", text)
    # \w does not match marks, so these would split words: in Hindi at each vowel.
    words = _WORD.findall(
        "".join(character for character in text if unicodedata.category(character)[0] != "M").casefold()
    )
    unspaced = "".join(_UNSPACED.findall(text))
    # In a script without spaces, the "words" between punctuation are whole sentences.
    spaced = [word for word in words if not _UNSPACED.search(word)]
    grams = {" ".join(spaced[start : start + _WORDS]) for start in range(len(spaced) - _WORDS + 1)}
    grams |= {unspaced[start : start + _CHARACTERS] for start in range(len(unspaced) - _CHARACTERS + 1)}
    return frozenset(grams)
