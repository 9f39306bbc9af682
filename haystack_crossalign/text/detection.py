"""Detect the language of a text with a confidence, or none if it is not clear.

The n-gram statistics come from ``eldc`` (60 languages; its model is part of the package, nothing is downloaded at run
time); ``benchmarks/results/language_detection.md`` says why it was chosen and how the constants below were fitted. If
its answer has similar languages that it does not know, words and a second detector decide (``neighbors.py``). What
they do not decide, other languages that ``eldc`` does not know and texts in several languages are undetermined.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.languages import UNDETERMINED, normalize_language
from haystack_crossalign.text.neighbors import (
    CHALLENGERS,
    CLOSE,
    NEIGHBORS,
    RIVALS,
    UNHINTED,
    ideograph_language,
    is_cantonese,
    telling_words,
)
from haystack_crossalign.text.prose import SCRIPT_OF_LANGUAGE, Stretch, stretches
from haystack_crossalign.text.second_opinion import second_opinion

MINIMUM_CONFIDENCE = 0.8
"""Default minimum confidence for reporting a language."""

# The library names a few languages by the code of a wider group; these are the languages its model was trained on.
_TAG_OF = {code: normalize_language({"ku": "ckb"}.get(code, code)) for code in SCRIPT_OF_LANGUAGE}
_CODE_OF = {tag: code for code, tag in _TAG_OF.items()}
# Languages of the second detector: the neighbors, and Swahili, which is detected only if it is requested.
_BY_SECOND = frozenset().union(*CHALLENGERS.values())
_GIVEN_ONLY = frozenset({"sw"})
DETECTABLE_LANGUAGES = tuple(sorted({*_TAG_OF.values(), *_BY_SECOND, *_GIVEN_ONLY}))
"""Tags that an unrestricted detection can return."""

# Logistic regression on NTREX-128 and TICO-19 (benchmarks/detection/language_detection_fit.py): how often the best
# language was right, given its lead over the second (evidence per n-gram, times letters) and how well it explains the
# text (evidence per n-gram, capped at _FULL_FIT).
_INTERCEPT, _LEAD, _FIT, _FULL_FIT = -6.65, 1.04, 4.21, 2.0
_LEAST_LEAD = 1e-3
# Hindi and Marathi share most n-grams of the library's model: on NTREX-128 and TICO-19, Hindi is mistaken for Marathi
# with leads up to about _CLOSE_LEAD. Words that occur in only one of them decide, each with twice that weight.
_CLOSE, _CLOSE_LEAD = frozenset({"hi", "mr"}), 1.5
_HINDI = """
है हैं था थी थे में के को से और क्या कौन कहाँ कहां कब क्यों कैसे किस किसने किसके नहीं यह वह इस उस हुआ हुई कितने कितनी कितना गया गई
करने लिए साथ
"""
_MARATHI = "आहे आहेत नाही आणि मध्ये काय कोणत्या कोणते कोणती कुठे कधी किती म्हणजे म्हणून येथील त्यांनी मला"
_TELLING_WORDS = {code: frozenset(words.split()) for code, words in (("hi", _HINDI), ("mr", _MARATHI))}
_PUNCTUATION = ".,;:!?।\"'()-"
_SCORES, _CERTAIN = 10, 1e-6
# Minimum probability at which a stretch counts for a language.
_SPEAKS, _SPEAKS_QUOTED = 0.5, 0.9
# A language outside the requested ones wins against them only if there is little doubt.
_OUTSIDER = 0.9
# Languages in which the second detector is reliable where the first has no answer.
_SECOND_CONFIDENCE, _SECOND_LETTERS = 0.9, 20.0
_IDEOGRAPHS = frozenset({"ja", "zh"})
# Number of distinctive words by which a language must lead if the second detector names another of its group.
_CLEAR_LEAD = 2
# Texts with fewer letters are names, units and abbreviations, which occur in any language.
_LEAST_LETTERS = 4.0


@dataclass(frozen=True, slots=True)
class Detection:
    """The detected language of a text.

    :param language: normalized tag; None if undetermined.
    :param confidence: 0..1, the estimated probability that the most likely language is that of the whole text. Also set
        for undetermined texts; 0 if there is no prose at all.
    :param between: similar languages that the text does not distinguish, as ascending tags.
    """

    language: str | None
    confidence: float
    between: tuple[str, ...] = ()


def undecided(detections: Iterable[Detection]) -> dict[str, int]:
    """Count the texts with undistinguished languages, by the tags of these, joined with commas; ascending."""
    open_texts = (text for text in detections if text.language is None and text.between)
    counts = Counter(", ".join(text.between) for text in open_texts)
    return dict(sorted(counts.items()))


class LanguageDetector:
    """Detects the language of texts; the same text always gets the same answer.

    :param languages: the languages that texts may have (a pool's, for example), which makes short texts easier to
        detect; None for all of :data:`DETECTABLE_LANGUAGES`. Texts that are clearly in another language stay
        undetermined. Chinese in either script is reported as ``zh``, or as ``zh-Hant`` if that is in the list. Of
        similar languages that only words distinguish (Indonesian and Malay; Croatian, Bosnian and Serbian in Latin
        script), one that is listed without the others is reported.
    :param likely: languages that are known to occur, among others: if a text does not distinguish similar languages and
        only one of them is likely, that one is reported.
    :param minimum_confidence: minimum confidence for reporting a language, 0..1.
    :raises InputError: for an unknown or undetectable language, two indistinguishable ones, or a wrong confidence.
    :raises ExternalError: if ``eldc`` is not installed.
    """

    def __init__(
        self,
        languages: Sequence[str] | None = None,
        minimum_confidence: float = MINIMUM_CONFIDENCE,
        *,
        likely: Collection[str] = (),
    ) -> None:
        if not 0 <= minimum_confidence <= 1:
            raise InputError(
                "the minimum confidence is out of range",
                field="minimum_confidence",
                seen=minimum_confidence,
                allowed="a number from 0 to 1",
            )
        self.minimum_confidence = minimum_confidence
        self._allowed: Mapping[str, str] | None = None if languages is None else _candidates(languages)
        # In place of a language that it does not know, the library is asked for a similar one that it knows.
        self._codes = {
            code
            for code, tag in _TAG_OF.items()
            if self._allowed is None or tag in self._allowed or _stands_for(tag) & self._allowed.keys()
        }
        self._likely = frozenset(likely)
        self._scorer = _scorer()

    @classmethod
    def among(cls, pool: Collection[str]) -> LanguageDetector:
        """A detector for texts of a pool: restricted to the pool's languages if all of them can be detected.

        :param pool: normalized tags of the pool's languages.
        """
        tags = set(pool) - {UNDETERMINED}
        if tags and tags - {"zh-Hant"} <= set(DETECTABLE_LANGUAGES) and not {"zh", "zh-Hant"} <= tags:
            return cls(sorted(tags))
        return cls(likely=tags)

    @property
    def languages(self) -> tuple[str, ...]:
        """The tags that a detection can return, ascending."""
        return DETECTABLE_LANGUAGES if self._allowed is None else tuple(sorted(self._allowed.values()))

    def detect(self, texts: Sequence[str]) -> list[Detection]:
        """Detect the language of each text.

        :param texts: any texts; empty ones are undetermined.
        """
        return [self._detect(text) for text in texts]

    def _detect(self, text: str) -> Detection:
        runs = stretches(text)
        if sum(stretch.letters for stretch in runs) < _LEAST_LETTERS:
            return Detection(None, 0.0)
        code, confidence = self._weigh([self._evidence(stretch) for stretch in runs])
        if code is None or confidence < self.minimum_confidence:
            return self._by_second(runs, confidence)
        tag, between = self._settle(_TAG_OF[code], SCRIPT_OF_LANGUAGE[code], runs)
        if len(between) > 1:
            confidence /= len(between)
        if tag is None or confidence < self.minimum_confidence:
            return Detection(None, confidence, between)
        return Detection(self._given(tag), confidence)

    def _given(self, tag: str) -> str:
        return tag if self._allowed is None else self._allowed[tag]

    def _may_be(self, tag: str | None) -> bool:
        return tag is not None and (self._allowed is None or tag in self._allowed)

    def _by_second(self, runs: list[Stretch], confidence: float) -> Detection:
        """A language that only the second detector knows, if the first has no answer."""
        mine = _BY_SECOND if self._allowed is None else self._allowed.keys() & (_BY_SECOND | _GIVEN_ONLY)
        if not mine or sum(stretch.letters for stretch in runs) < _SECOND_LETTERS:
            return Detection(None, confidence)
        tag, reliable = second_opinion(" ".join(stretch.text for stretch in runs))
        if tag is None or not reliable or tag not in mine or any(tag in members for members in CLOSE):
            return Detection(None, confidence)
        if self.minimum_confidence > _SECOND_CONFIDENCE:
            return Detection(None, max(confidence, _SECOND_CONFIDENCE))
        return Detection(self._given(tag), _SECOND_CONFIDENCE)

    def _settle(self, tag: str, script: str, runs: list[Stretch]) -> tuple[str | None, tuple[str, ...]]:
        """The language among those similar to the library's answer, and those that remain undistinguished."""
        if tag not in CHALLENGERS and script != "han":
            return tag, ()
        text = " ".join(stretch.text for stretch in runs if stretch.script == script)
        if script == "han":
            language, group = self._ideographs(tag, text)
        else:
            group = NEIGHBORS.get(tag, (tag, *CHALLENGERS[tag]))
            close = any(tag in members for members in CLOSE)
            language = self._closest(group, text) if close else _challenged(tag, text)
        if language is None:
            likely = [neighbor for neighbor in group if neighbor in self._likely]
            language = likely[0] if len(likely) == 1 else None
        if language is not None:
            return (language if self._may_be(language) else None), ()
        left = tuple(sorted(self._given(neighbor) for neighbor in group if self._may_be(neighbor)))
        return (tag if self._may_be(tag) else None), left

    def _closest(self, group: tuple[str, ...], text: str) -> str | None:
        """Of languages that only words distinguish: the only one requested, or the one with the most words."""
        members = [tag for tag in group if self._may_be(tag)]
        return members[0] if len(members) == 1 else _most(telling_words(text, members))

    def _ideographs(self, tag: str, text: str) -> tuple[str | None, tuple[str, ...]]:
        """Chinese, Cantonese or Japanese for a text without kana, if that is clear, and the languages it may be in."""
        if any("\u3041" <= character <= "\u30ff" for character in text):
            return tag, ()
        if is_cantonese(text):
            return None, ("yue", "zh")
        written = ideograph_language(text)
        candidates = [candidate for candidate in ("ja", "zh") if self._may_be(candidate)]
        if len(candidates) == 1:
            # The pool decides, unless the text has characters that only the other language uses.
            return candidates[0] if written in (None, candidates[0]) else written, ("ja", "zh")
        if written is None and second_opinion(text)[0] == tag:
            written = tag
        return written, ("ja", "zh")

    def _evidence(self, stretch: Stretch) -> _Evidence:
        # The library reads UTF-8, in which lone surrogates cannot be encoded; a score is 1 - exp(-evidence per n-gram).
        text = stretch.text.encode("utf-8", "replace").decode("utf-8")
        totals = {
            code: -math.log(max(1.0 - score, _CERTAIN)) * stretch.letters
            for code, score in self._scorer.detect_details(text).scores.items()
            if SCRIPT_OF_LANGUAGE.get(code) == stretch.script
        }
        if totals.keys() >= _CLOSE:
            words = {word.strip(_PUNCTUATION) for word in stretch.text.split()}
            for code, telling in _TELLING_WORDS.items():
                totals[code] += 2 * _CLOSE_LEAD * len(words & telling)
        return _Evidence(stretch.script, stretch.letters, totals)

    def _weigh(self, evidence: list[_Evidence]) -> tuple[str | None, float]:
        """Most likely language of the whole text and its confidence."""
        if len(evidence) == 1:
            return self._best(evidence[0])
        pooled = _by_script(evidence)
        main = max(pooled.values(), key=lambda candidate: (candidate.letters, candidate.script)).script
        votes: defaultdict[str, float] = defaultdict(float)
        silent: list[_Evidence] = []
        for candidate in evidence:
            code, confidence = self._best(candidate)
            # Texts in other scripts quote names and terms in Latin letters, so these need a higher probability.
            quoted = candidate.script == "latin" != main
            if code is not None and confidence >= (_SPEAKS_QUOTED if quoted else _SPEAKS):
                votes[code] += candidate.letters
            elif not quoted:
                silent.append(candidate)
        if not votes:
            return self._best(pooled[main])
        winner = max(votes, key=lambda code: (votes[code], code))
        script = SCRIPT_OF_LANGUAGE[winner]
        against = sum(candidate.letters for candidate in silent if candidate.script != script)
        confidence = self._confidence(pooled[script], winner)
        return winner, confidence * votes[winner] / (sum(votes.values()) + against)

    def _best(self, evidence: _Evidence) -> tuple[str | None, float]:
        inside = [(total, code) for code, total in evidence.totals.items() if code in self._codes]
        if not inside:
            return None, 0.0
        code = max(inside)[1]
        return code, self._confidence(evidence, code)

    def _confidence(self, evidence: _Evidence, code: str) -> float:
        """Estimated probability that text in one script is in a language."""
        own = evidence.totals[code]
        rival, outsider = ("", 0.0), ("", 0.0)
        for other, total in evidence.totals.items():
            if other in self._codes:
                if other != code and total > rival[1]:
                    rival = other, total
            elif total > outsider[1]:
                outsider = other, total
        confidence = _probability(code, own, *rival, evidence.letters)
        if outsider[1] > own:
            against = _probability(*outsider, code, own, evidence.letters)
            if against >= _OUTSIDER:
                return confidence * (1.0 - against)
        return confidence


def _stands_for(tag: str) -> frozenset[str]:
    """Languages that a text may be in if the library names this one."""
    return _IDEOGRAPHS if tag in _IDEOGRAPHS else CHALLENGERS.get(tag, frozenset())


def _challenged(tag: str, text: str) -> str | None:
    """The library's answer, or the similar language that the text is really in; None if that is not clear."""
    challengers = CHALLENGERS[tag]
    opinion, reliable = second_opinion(text)
    group = NEIGHBORS.get(tag)
    if group is not None:
        counts = telling_words(text, group)
        most = _most(counts)
        if most is not None and (most == tag or most in challengers):
            others = max(count for other, count in counts.items() if other != most)
            contradicted = opinion in group and opinion != most
            return None if contradicted and counts[most] - others < _CLEAR_LEAD else most
        if opinion not in challengers and opinion != tag:
            return None
    # Its answer is reliable only if it stays the same with the other language as a hint.
    if opinion not in challengers:
        rival = RIVALS.get(tag)
        return None if rival is not None and second_opinion(text, hint=rival)[0] == rival else tag
    sure = opinion in UNHINTED or second_opinion(text, hint=tag)[0] == opinion
    return opinion if reliable and sure else None


def _most(counts: Mapping[str, int]) -> str | None:
    """The language with more words than any other, None for a draw."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return ranked[0][0] if ranked and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]) else None


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Evidence in the text of one script: evidence per n-gram for each language of that script, times letters."""

    script: str
    letters: float
    totals: Mapping[str, float]


def _by_script(evidence: list[_Evidence]) -> dict[str, _Evidence]:
    letters: defaultdict[str, float] = defaultdict(float)
    totals: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for item in evidence:
        letters[item.script] += item.letters
        for code, total in item.totals.items():
            totals[item.script][code] += total
    return {script: _Evidence(script, letters[script], totals[script]) for script in letters}


def _probability(code: str, own: float, rival: str, other: float, letters: float) -> float:
    lead = own - other - (_CLOSE_LEAD if {code, rival} == _CLOSE else 0.0)
    fit = min(own / letters, _FULL_FIT)
    return 1.0 / (1.0 + math.exp(-(_INTERCEPT + _LEAD * math.log(max(lead, _LEAST_LEAD * letters)) + _FIT * fit)))


def _candidates(languages: Sequence[str]) -> dict[str, str]:
    """Requested tags by the tag that detection uses for them."""
    tags: dict[str, str] = {}
    for value in languages:
        tag = normalize_language(value, field="languages")
        known = tag.split("-", 1)[0] if tag == "zh-Hant" else tag
        if known not in DETECTABLE_LANGUAGES:
            raise InputError(
                "this language cannot be detected",
                field="languages",
                seen=value,
                allowed=", ".join(DETECTABLE_LANGUAGES),
            )
        if tags.setdefault(known, tag) != tag:
            raise InputError(
                f"'{tags[known]}' and '{tag}' cannot be distinguished by their texts",
                field="languages",
                seen=list(languages),
                allowed="one of them",
            )
    if not tags:
        raise InputError(
            "no language is left to choose from", field="languages", seen=list(languages), allowed="at least one"
        )
    return tags


class _Scores(Protocol):
    """The part of a result of ``eldc`` that is used here."""

    scores: dict[str, float]


class _Scorer(Protocol):
    def detect_details(self, text: str, /) -> _Scores: ...


@cache
def _scorer() -> _Scorer:
    try:
        import eldc  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        msg = "language detection needs the package 'eldc': run `pip install eldc`"
        raise ExternalError(msg) from error
    eldc.init()
    instance = eldc.instance()
    instance.set_scheme("iso639-1")
    instance.set_languages([])
    instance.set_scores(_SCORES)
    return cast(_Scorer, instance)
