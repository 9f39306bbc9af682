"""Languages of real texts, and texts that have none."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.text.detection import DETECTABLE_LANGUAGES, Detection, LanguageDetector

XQUAD = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector()


@pytest.fixture(scope="module")
def xquad(shared_data: Path) -> dict[str, list[dict[str, str]]]:
    """Question and passage of the first questions of each article, by language."""
    found = {}
    for language in XQUAD:
        articles = json.loads((shared_data / "xquad" / f"xquad.{language}.json").read_text("utf-8"))["data"]
        found[language] = [
            {"question": paragraph["qas"][0]["question"], "passage": paragraph["context"]}
            for article in articles
            for paragraph in article["paragraphs"][:2]
        ]
    return found


def languages_of(detector: LanguageDetector, texts: list[str]) -> list[str | None]:
    return [detection.language for detection in detector.detect(texts)]


@pytest.mark.parametrize("language", XQUAD)
@pytest.mark.parametrize("kind", ["question", "passage"])
def test_real_texts_are_told_or_left_open_but_not_mistaken(
    detector: LanguageDetector, xquad: dict[str, list[dict[str, str]]], language: str, kind: str
) -> None:
    told = languages_of(detector, [entry[kind] for entry in xquad[language]])
    assert set(told) <= {language, None}
    # Of 96 texts, at most one in twelve stays open.
    assert told.count(None) <= len(told) // 12


@pytest.mark.parametrize("first", ["en", "de"])
@pytest.mark.parametrize("second", ["es", "ru", "zh", "ar", "th"])
def test_a_text_that_is_half_in_another_language_is_undetermined(
    detector: LanguageDetector, xquad: dict[str, list[dict[str, str]]], first: str, second: str
) -> None:
    mixed = [
        f"{one['passage'][:400]}\n{other['passage'][: 200 if second == 'zh' else 400]}"
        for one, other in zip(xquad[first], xquad[second], strict=True)
    ]
    told = languages_of(detector, mixed)
    assert told.count(None) >= 0.9 * len(told)


@pytest.mark.parametrize(
    "text",
    [
        "Wo ist der Bahnhof? Where is the station?",
        "Москва это capital of Russia",
        "The quick brown fox jumps over the dog. El rápido zorro marrón salta sobre el perro",
        "Hypertext Transfer Protocol 是什么？",
    ],
)
def test_short_mixed_queries_are_undetermined(detector: LanguageDetector, text: str) -> None:
    assert languages_of(detector, [text]) == [None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "42",
        "3,14 % + 7 €",
        "😀👍",
        "https://example.org/wiki/Berlin",
        "a",
        "ok",
        "def f(x):\n    return x + 1",
        "SELECT * FROM users WHERE id = 1",
        "npm install --save-dev typescript",
        "qwx zrtk",
        "\ud800\udfff \udc00",
        "\x00\x01\x02",
    ],
)
def test_texts_without_a_language_are_undetermined(detector: LanguageDetector, text: str) -> None:
    assert languages_of(detector, [text]) == [None]


def test_texts_without_prose_have_no_confidence(detector: LanguageDetector) -> None:
    assert detector.detect(["", "42", "https://example.org"]) == [Detection(None, 0.0)] * 3


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("iPhone 15 Pro 的价格是多少？", "zh"),
        ("臺灣的首都在哪裡？", "zh"),
        ("東京タワーの高さは？", "ja"),
        ("대한민국의 수도는 어디입니까?", "ko"),
        ("भारत की राजधानी क्या है?", "hi"),
        ("महाराष्ट्राची राजधानी कोणती आहे?", "mr"),
        ("Berlin ist die Hauptstadt von Deutschland.", "de"),
        ("read https://beispiel.de/die-deutsche-seite before you call me again", "en"),
    ],
)
def test_names_of_other_languages_do_not_mislead(detector: LanguageDetector, text: str, language: str) -> None:
    assert languages_of(detector, [text]) == [language]


def test_languages_that_the_library_does_not_know_are_undetermined(
    detector: LanguageDetector, shared_data: Path
) -> None:
    lines = (shared_data / "train" / "ntrex_16lang.jsonl").read_text("utf-8").splitlines()[:300]
    told = languages_of(detector, [json.loads(line)["sw"] for line in lines])
    assert told.count(None) >= 0.98 * len(told)


def test_given_languages_are_the_only_ones_told(shared_data: Path) -> None:
    detector = LanguageDetector(["en", "zh"])
    line = json.loads((shared_data / "train" / "ntrex_16lang.jsonl").read_text("utf-8").splitlines()[3])
    told = {language: languages_of(detector, [line[language]])[0] for language in ("en", "zh", "ja", "ko", "es", "th")}
    assert told == {"en": "en", "zh": "zh", "ja": None, "ko": None, "es": None, "th": None}


def test_given_languages_help_with_short_texts() -> None:
    # Norwegian and Dutch share the word; of English and German only one has it.
    text = ["Bahnhof Berlin Mitte"]
    free, given = LanguageDetector().detect(text)[0], LanguageDetector(["de", "en"]).detect(text)[0]
    assert given.language == "de"
    assert given.confidence >= free.confidence


def test_tags_are_normalized() -> None:
    assert LanguageDetector(["zho_Hans", "PT-br", "English", "nb"]).languages == ("en", "no", "pt", "zh")


def test_chinese_is_told_in_the_script_that_was_given() -> None:
    text = ["今天天氣很好，我們去公園吧。"]
    assert languages_of(LanguageDetector(["en", "zh-Hant"]), text) == ["zh-Hant"]
    assert languages_of(LanguageDetector(["en", "zh"]), text) == ["zh"]


def test_scripts_of_one_language_cannot_both_be_given() -> None:
    with pytest.raises(InputError, match="'zh' and 'zh-Hant' cannot be distinguished"):
        LanguageDetector(["zh", "zh-Hant"])


@pytest.mark.parametrize(("languages", "problem"), [(["en", "cy"], "cannot be detected"), ([], "no language is left")])
def test_languages_that_cannot_be_detected_are_refused(languages: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        LanguageDetector(languages)


def test_unknown_languages_are_refused() -> None:
    with pytest.raises(InputError, match="unknown language"):
        LanguageDetector(["klingonish"])


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_a_confidence_outside_of_its_range_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match="minimum confidence"):
        LanguageDetector(minimum_confidence=confidence)


def test_the_minimum_confidence_decides_what_is_told() -> None:
    text = ["Where is the station?"]
    (detection,) = LanguageDetector(minimum_confidence=0).detect(text)
    assert detection.language == "en"
    just_above = LanguageDetector(minimum_confidence=min(1.0, detection.confidence + 1e-9))
    assert just_above.detect(text) == [Detection(None, detection.confidence)]


def test_the_order_and_company_of_texts_does_not_matter(
    detector: LanguageDetector, xquad: dict[str, list[dict[str, str]]]
) -> None:
    texts = [entry["question"] for language in XQUAD for entry in xquad[language][:20]]
    together = detector.detect(texts)
    assert [detector.detect([text])[0] for text in texts] == together
    assert detector.detect(texts[::-1]) == together[::-1]


def test_the_second_detector_tells_a_language_that_is_given() -> None:
    text = ["Ninaweza kurudisha tiketi ya tamasha lini na wapi?"]
    assert languages_of(LanguageDetector(["en", "sw"]), text) == ["sw"]
    assert languages_of(LanguageDetector(["en", "id"]), text) == [None]


def test_threads_agree(detector: LanguageDetector, xquad: dict[str, list[dict[str, str]]]) -> None:
    texts = [entry["question"] for language in XQUAD for entry in xquad[language][:40]]
    expected = detector.detect(texts)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.detect, [texts] * 8)) == [expected] * 8


def test_all_languages_have_normalized_tags(detector: LanguageDetector) -> None:
    # The 60 of eldc, 24 neighbors of theirs, and Swahili.
    assert len(DETECTABLE_LANGUAGES) == 85
    assert detector.languages == DETECTABLE_LANGUAGES
    assert set(XQUAD) < set(DETECTABLE_LANGUAGES)
