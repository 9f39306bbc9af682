"""Language tags: many spellings in, one canonical BCP-47 tag out.

Two tags are one language here when language and script agree after likely subtags are filled in (Unicode CLDR,
through ``langcodes``): ``zh`` = ``zh-CN`` = ``zh-Hans``, and ``zh-TW`` = ``zh-Hant`` is another. Regions, variants and
extensions carry no difference that a search index is split by, so they are dropped.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import langcodes
from langcodes import Language
from langcodes.tag_parser import LanguageTagError
from language_data.names import get_trie_value, load_trie, normalize_name  # type: ignore[import-untyped]
from language_data.util import data_filename  # type: ignore[import-untyped]

from haystack_crossalign.errors import InputError

__all__ = [
    "ALLOWED_LANGUAGES",
    "UNDETERMINED",
    "display_name",
    "is_rtl",
    "likely_script",
    "normalise_language",
    "same_language",
]

ALLOWED_LANGUAGES = "a BCP-47 tag or ISO 639 code such as 'zh', 'zh-Hant' or 'zho_Hans', or a language name"
"""What error messages say about the values allowed."""

UNDETERMINED = "und"
"""BCP-47's tag for a language that is not known. `normalise_language` refuses it: no input may ask for it by name."""

# Valid codes that name no language: undetermined, several, uncoded, no linguistic content.
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})
# Valid codes that name no script: common, inherited, unwritten, uncoded, symbols.
_NO_SCRIPT = frozenset({"Zyyy", "Zinh", "Zxxx", "Zzzz", "Zsym", "Zsye", "Zmth"})
# Scripts written from right to left that searchable text is written in today.
_RTL_SCRIPTS = frozenset({"Adlm", "Arab", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"})
# Codes of a script that is part of another, or a style of it: Korean in Hangul alone is still Korean.
_SCRIPT_OF = {"Hang": "Kore", "Hira": "Jpan", "Kana": "Jpan", "Hrkt": "Jpan", "Aran": "Arab", "Latf": "Latn"}
# English has language names of three letters and less, but a word this short is a code.
_SHORTEST_ASCII_NAME = 4


def normalise_language(
    value: object, *, source: str | Path | None = None, line: int | None = None, field: str | None = None
) -> str:
    """Canonical tag of a language: its code, with the script only where that is not the likely one.

    Understood are BCP-47 tags in any case and with ``_`` for ``-`` (``zh_CN``, ``PT-br``), ISO 639 codes of three
    letters (``zho_Hans``, ``arb_Arab``), English names (``Chinese``) and names of languages in themselves (``中文``).
    A language that CLDR files under a macrolanguage becomes that one (``arb`` -> ``ar``, ``cmn`` -> ``zh``).

    :param value: what stands in the data.
    :param source: file, option or component input it stands in, for the message.
    :param line: 1-based line in that file, for the message.
    :param field: name of the field, for the message.
    :raises InputError: for anything that names no known language, ``und`` and ``mul`` included.
    """
    tag = _canonical(value) if isinstance(value, str) else None
    if tag is None:
        raise InputError(
            "unknown language", source=source, line=line, field=field, seen=value, allowed=ALLOWED_LANGUAGES
        )
    return tag


def same_language(first: str, second: str) -> bool:
    """Whether two spellings name one language: same language and script after likely subtags.

    :raises InputError: where one of them names no known language.
    """
    return normalise_language(first) == normalise_language(second)


@cache
def display_name(tag: str) -> str:
    """English name of a language, for people: ``zh`` -> ``Chinese``, ``zh-Hant`` -> ``Chinese (Traditional)``.

    `UNDETERMINED` is called so. A tag that names no known language is its own name: what is shown need not be valid.
    """
    if tag == UNDETERMINED:
        return "undetermined language"
    known = _canonical(tag)
    return tag if known is None else Language.get(known).display_name("en")


@cache
def likely_script(tag: str) -> str:
    """ISO 15924 code of the script of a tag, or else the likely one of its language: ``sr-Latn`` -> ``Latn``.

    Empty where the tag names no known language.
    """
    known = _canonical(tag)
    return "" if known is None else Language.get(known).maximize().script or ""


@cache
def is_rtl(tag: str) -> bool:
    """Whether the language is written from right to left, in the script of the tag or else its likely script.

    False where the tag names no known language.
    """
    return likely_script(tag) in _RTL_SCRIPTS


@lru_cache(maxsize=4096)
def _canonical(value: str) -> str | None:
    name = value.strip()
    tag = _parse_tag(name) or _find_name(name)
    if tag is None:
        return None
    language = tag.prefer_macrolanguage()
    code = language.language
    if code is None or code in _NO_LANGUAGE or language.script in _NO_SCRIPT or _is_private(code):
        return None
    script = language.maximize().script or ""
    script = _SCRIPT_OF.get(script, script)
    return code if script == Language.get(code).maximize().script else f"{code}-{script}"


def _parse_tag(text: str) -> Language | None:
    try:
        tag = Language.get(text)
    except LanguageTagError:
        return None
    # langcodes parses any well-formed tag; only is_valid asks whether its parts are registered.
    return tag if tag.is_valid() else None


def _is_private(code: str) -> bool:
    return len(code) == 3 and "qaa" <= code <= "qtz"


def _find_name(text: str) -> Language | None:
    # Language.find also takes a name that merely begins the text, so that "banana" is Bana and "klingonish" Klingon:
    # only whole names count here.
    name = normalize_name(text)
    if not name or (name.isascii() and len(name) < _SHORTEST_ASCII_NAME):
        return None
    code = _exact_name("en", name) or next(filter(None, (_own_name(folder, name) for folder in _named_in())), None)
    return None if code is None else langcodes.get(code)


def _own_name(language: str, name: str) -> str | None:
    """Tag of ``name`` where it is what speakers of ``language`` call their own language, else None."""
    code = _exact_name(language, name)
    return code if code is not None and Language.get(code).language == language else None


@cache
def _named_in() -> tuple[str, ...]:
    """Languages that language names are known in, in a fixed order."""
    root = Path(data_filename("trie"))
    return tuple(sorted(folder.name for folder in root.iterdir() if folder.name != "und"))


def _exact_name(language: str, name: str) -> str | None:
    path = Path(data_filename(f"trie/{language}/name_to_language.marisa"))
    if not path.is_file():
        return None
    names = load_trie(str(path))
    return str(get_trie_value(names, name)) if name in names else None
