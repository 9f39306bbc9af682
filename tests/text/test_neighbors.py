"""Languages that look alike: told rightly, left open, or decided by what is given; never mistaken."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from haystack_crossalign.languages import normalize_language
from haystack_crossalign.text.detection import DETECTABLE_LANGUAGES, LanguageDetector
from haystack_crossalign.text.neighbors import NEIGHBORS, WORDS, ideograph_language, is_cantonese, telling_words
from haystack_crossalign.text.second_opinion import second_opinion

SENTENCES: dict[str, list[str]] = tomllib.loads(
    (Path(__file__).parent.parent / "support" / "neighbor_sentences.toml").read_text("utf-8")
)
# Languages of which most sentences have no word that tells them from their neighbors.
MOSTLY_OPEN = {"hr", "bs", "sr-Latn", "yue"}


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector()


def tag_of(code: str) -> str:
    """The tag of a detection: Chinese is one in both scripts."""
    return "zh" if code == "zh-Hant" else normalize_language(code)


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_a_sentence_is_never_taken_for_its_neighbor(detector: LanguageDetector, code: str) -> None:
    told = [detection.language for detection in detector.detect(SENTENCES[code])]
    assert set(told) <= {tag_of(code), None}
    if code not in MOSTLY_OPEN:
        # At most three of eight are left open.
        assert told.count(None) <= 3


@pytest.mark.parametrize(
    ("code", "given"),
    [
        *(("id", ["en", "id"]), ("ms", ["en", "ms"]), ("hr", ["en", "hr"]), ("bs", ["en", "bs"])),
        *(("sr-Latn", ["en", "sr-Latn"]), ("sr", ["en", "sr"]), ("mk", ["en", "mk"]), ("af", ["af", "nl"])),
        *(("nl", ["af", "nl"]), ("ne", ["hi", "ne"]), ("ps", ["fa", "ps"]), ("zh", ["en", "zh"]), ("ja", ["en", "ja"])),
    ],
)
def test_the_languages_given_decide_among_neighbors(code: str, given: list[str]) -> None:
    told = [detection.language for detection in LanguageDetector(given).detect(SENTENCES[code])]
    assert set(told) <= {code, None}
    assert told.count(code) >= 6


@pytest.mark.parametrize(("code", "given"), [("af", ["en", "nl"]), ("ps", ["en", "fa"]), ("ne", ["en", "hi"])])
def test_a_neighbor_that_is_not_given_is_not_taken_for_one_that_is(code: str, given: list[str]) -> None:
    told = [detection.language for detection in LanguageDetector(given).detect(SENTENCES[code])]
    assert told == [None] * len(told)


def test_what_is_left_open_names_the_languages_it_is_between(detector: LanguageDetector) -> None:
    (open_,) = detector.detect(["Potreban nam je muzej u gradu."])
    assert open_.language is None
    assert open_.between == ("bs", "hr", "sr-Latn")
    assert open_.confidence <= 1 / 3
    (chinese,) = detector.detect(["北京大学"])
    assert (chinese.language, chinese.between) == (None, ("ja", "zh"))


def test_a_likely_language_decides_what_the_text_leaves_open() -> None:
    text = ["Potreban nam je muzej u gradu."]
    assert LanguageDetector(likely=["hr", "en"]).detect(text)[0].language == "hr"
    assert LanguageDetector(likely=["hr", "bs"]).detect(text)[0].language is None


def test_a_low_minimum_confidence_takes_the_first_answer() -> None:
    assert LanguageDetector(minimum_confidence=0.1).detect(["Potreban nam je muzej u gradu."])[0].language == "hr"


@pytest.mark.parametrize(
    ("pool", "languages"),
    [
        (["en", "id"], ("en", "id")),
        (["en", "zh-Hant"], ("en", "zh-Hant")),
        (["en", "zh", "zh-Hant"], DETECTABLE_LANGUAGES),
        (["en", "cy"], DETECTABLE_LANGUAGES),
        (["und"], DETECTABLE_LANGUAGES),
    ],
)
def test_a_pool_restricts_where_all_its_languages_can_be_told(pool: list[str], languages: tuple[str, ...]) -> None:
    assert LanguageDetector.among(pool).languages == languages


def test_words_of_a_group_are_not_all_shared() -> None:
    for tag, group in NEIGHBORS.items():
        others = frozenset().union(*(WORDS[other] for other in group if other != tag))
        assert WORDS[tag] - others, tag
        assert all(word == word.casefold() and word.strip() for word in WORDS[tag])


def test_a_word_counts_once_for_each_language_that_has_it() -> None:
    counts = telling_words("Gdje je EVROPA? Evropa, gdje?", ("hr", "bs", "sr-Latn"))
    assert counts == {"hr": 1, "bs": 2, "sr-Latn": 1}


@pytest.mark.parametrize(
    ("text", "language"),
    [("駅前広場", "ja"), ("上海天气预报", "zh"), ("臺灣高鐵時刻表", None), ("人口", None), ("们駅", None), ("", None)],
)
def test_characters_of_one_language_only(text: str, language: str | None) -> None:
    assert ideograph_language(text) == language


def test_cantonese_has_characters_of_its_own() -> None:
    assert is_cantonese("佢哋喺度")
    assert is_cantonese("點解")
    assert not is_cantonese("他們在這裡")


@pytest.mark.parametrize("text", ["", " ", "42", "\ud800", "\ufffe\uffff\x00\x7f", "\U0001ffff", "a" * 10_000])
def test_the_second_detector_takes_any_text(text: str) -> None:
    tag, reliable = second_opinion(text)
    assert tag is None or normalize_language(tag) == tag
    assert isinstance(reliable, bool)


def test_words_that_languages_share_stand_in_the_list_of_each() -> None:
    """A shared word in one list alone would speak against the language that lacks it."""
    shared = {
        ("es", "gl"): "a o como con un para por pero en esta este desde son",
        ("es", "pt"): "a o no como para por",
        ("pt", "gl"): "a o no na ao aos do da dos das é e como outro outra pode seu seus os as nas ano",
    }
    for tags, words in shared.items():
        for tag in tags:
            assert set(words.split()) - WORDS[tag] == set(), tag


@pytest.mark.parametrize(
    "text",
    [
        "En tu cuenta tienes un enlace personal: compártelo con quien todavía no compra aquí.",
        "Algunos envíos, como el vino o un teléfono con contrato, solo se entregan a la persona indicada.",
        "he recibido la vajilla con dos platos rotos, quiero otra o mi dinero",
        "Quiero devolver unos zapatos pero no tengo impresora",
    ],
)
def test_spanish_of_words_that_galician_and_portuguese_share_is_spanish(text: str) -> None:
    assert LanguageDetector().detect([text])[0].language == "es"
