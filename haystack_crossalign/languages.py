"""Language tags: many spellings in, one canonical BCP-47 tag out.

Two tags are one language here when language and script agree after likely subtags are filled in (Unicode CLDR,
through ``langcodes``): ``zh`` = ``zh-CN`` = ``zh-Hans``, and ``zh-TW`` = ``zh-Hant`` is another. Regions, variants and
extensions carry no difference that a search index is split by, so they are dropped. What becomes one language beyond
CLDR's own replacements stands in `_ONE_LANGUAGE`; ``tests/test_languages.py`` holds the codes of six benchmarks against
each other and lists every two that become one.
"""

from __future__ import annotations

import codecs
import re
from functools import cache, lru_cache
from pathlib import Path

import langcodes
from langcodes import Language
from langcodes.data_dicts import ALL_SCRIPTS, LIKELY_SUBTAGS, MACROLANGUAGES
from langcodes.tag_parser import LanguageTagError
from language_data.names import get_trie_value, load_trie, normalize_name  # type: ignore[import-untyped]
from language_data.util import data_filename  # type: ignore[import-untyped]

from haystack_crossalign.errors import InputError

ALLOWED_LANGUAGES = "a BCP-47 tag or ISO 639 code such as 'zh', 'zh-Hant' or 'zho_Hans', or a language name"
"""What error messages say about the values allowed."""

UNDETERMINED = "und"
"""BCP-47's tag for a language that is not known. `normalize_language` refuses it: no input may ask for it by name."""

# Valid codes that name no language: undetermined, several, uncoded, no linguistic content.
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})
# Valid codes that name no script: common, inherited, unwritten, uncoded, symbols.
_NO_SCRIPT = frozenset({"Zyyy", "Zinh", "Zxxx", "Zzzz", "Zsym", "Zsye", "Zmth"})
# Scripts written from right to left that searchable text is written in today.
_RTL_SCRIPTS = frozenset({"Adlm", "Arab", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"})
# Codes of a script that is part of another, or a style of it: Korean in Hangul alone is still Korean.
_SCRIPT_OF = {"Hang": "Kore", "Hira": "Jpan", "Kana": "Jpan", "Hrkt": "Jpan", "Aran": "Arab", "Latf": "Latn"}
# Where CLDR's likely script is not that of the texts: Crimean Tatar has been printed in Latin letters since 1992, and
# what there is of Min Nan in characters comes from Taiwan.
_LIKELY_SCRIPTS = {"crh": "Latn", "nan": "Hant"}
# Codes of one language that CLDR leaves apart. ISO 639-3 files each under the macrolanguage on the right (Bokmål and
# Nynorsk under Norwegian, three Pashtos, South Azerbaijani); in 2023 it withdrew South Levantine Arabic (ajp) in favor
# of Levantine (apc).
_ONE_LANGUAGE = {"nb": "no", "nn": "no", "pbt": "ps", "pst": "ps", "azb": "az-Arab", "ajp": "apc"}
# Spellings of other tables that are no BCP-47: Windows' old names of the Chinese scripts, two codes of browsers and
# dictionaries, and the canton in NTREX-128.
_SPELLINGS = {"zh-chs": "zh-Hans", "zh-cht": "zh-Hant", "zhs": "zh-Hans", "zht": "zh-Hant", "gsw-zh": "gsw"}
# Min Nan is always written with its script, since the bare code is what a missing number becomes as text.
_NEVER_BARE = frozenset({"nan"})
# What programs write for a missing value, in any case. "na" is Nauru, so that of R and pandas counts in capitals only.
_MISSING = frozenset(
    {"", "nan", "-nan", "none", "null", "nil", "n/a", "#n/a", "<na>", "<nan>", "nat", "-", "--", "–", "—", "?"}
    | {"unknown", "undefined", "missing", "empty", "not available"}
)
_MISSING_AS_WRITTEN = frozenset({"NA", "#NA"})
# Names of POSIX locales: language, region, character set, modifier. Some modifiers name a script.
_LOCALE = re.compile(r"(?P<tag>[A-Za-z]{2,3}_[A-Za-z]{2})(?:\.(?P<charset>[\w-]+))?(?:@(?P<modifier>\w+))?")
_MODIFIER_SCRIPTS = {"latin": "Latn", "cyrillic": "Cyrl", "devanagari": "Deva", "arabic": "Arab"}
# FLORES+ tells dialects of one code by their Glottolog codes: "apc_Arab_nort3139".
_GLOTTOCODE = re.compile(r"(?P<tag>[a-z]{3}_[A-Z][a-z]{3})_[a-z0-9]{4}[0-9]{4}")
# "Chinese (Traditional)", "Mon (mnw)".
_BRACKETS = re.compile(r"(?P<name>.+) \((?P<inside>[^()]+)\)")
# English has language names of three letters and less, but a word this short is a code.
_SHORTEST_ASCII_NAME = 4


def is_missing_language(value: object) -> bool:
    """Whether a value says that there is no language: None, NaN, an empty text, or what programs write for these.

    The text ``nan`` is among them, which is also the code of Min Nan Chinese: that is written ``nan-Hant`` or
    ``nan-Latn``. ``NA`` in capitals is missing, ``na`` is Nauru.
    """
    if isinstance(value, str):
        text = value.strip()
        return text.casefold() in _MISSING or text in _MISSING_AS_WRITTEN
    return value is None or (isinstance(value, float) and value != value)


def normalize_language(
    value: object, *, source: str | Path | None = None, line: int | None = None, field: str | None = None
) -> str:
    """Canonical tag of a language: its code, with the script only where that is not the likely one.

    Understood are BCP-47 tags in any case and with ``_`` for ``-`` (``zh_CN``, ``PT-br``), ISO 639 codes of three
    letters (``zho_Hans``, ``arb_Arab``), POSIX locales (``en_US.UTF-8``), English names (``Chinese``), what
    `display_name` gives (``Chinese (Traditional)``) and names of languages in themselves (``中文``).
    A language that CLDR or `_ONE_LANGUAGE` files under a macrolanguage becomes that one (``arb`` -> ``ar``,
    ``cmn`` -> ``zh``, ``nb`` and ``nn`` -> ``no``).

    :param value: what stands in the data.
    :param source: file, option or component input it stands in, for the message.
    :param line: 1-based line in that file, for the message.
    :param field: name of the field, for the message.
    :raises InputError: for anything that names no known language, ``und``, ``mul`` and `is_missing_language` included.
    """
    tag = _canonical(value) if isinstance(value, str) else None
    if tag is None:
        bare = isinstance(value, str) and value.strip().casefold() in _NEVER_BARE
        raise InputError(
            "no language (a missing value as text)" if bare else "unknown language",
            source=source,
            line=line,
            field=field,
            seen=value,
            allowed=ALLOWED_LANGUAGES + ("; Min Nan Chinese is 'nan-Hant' or 'nan-Latn'" if bare else ""),
        )
    return tag


@cache
def display_name(tag: str) -> str:
    """English name of a language, for people: ``zh`` -> ``Chinese``, ``zh-Hant`` -> ``Chinese (Traditional)``.

    `normalize_language` understands every name given here. `UNDETERMINED` is called so. A tag that names no known
    language is its own name: what is shown need not be valid.
    """
    if tag == UNDETERMINED:
        return "undetermined language"
    known = _canonical(tag)
    if known is None:
        return tag
    name = Language.get(known).display_name("en")
    # A few languages share their English name with another one, or have none.
    return name if _canonical(name) == known else f"{name} ({known})"


@cache
def likely_script(tag: str) -> str:
    """ISO 15924 code of the script of a tag, or else the likely one of its language: ``sr-Latn`` -> ``Latn``.

    Empty where the tag names no known language.
    """
    known = _canonical(tag)
    if known is None:
        return ""
    language = Language.get(known)
    return language.script or _likely_script(str(language.language))


@cache
def is_rtl(tag: str) -> bool:
    """Whether the language is written from right to left, in the script of the tag or else its likely script.

    False where the tag names no known language.
    """
    return likely_script(tag) in _RTL_SCRIPTS


@lru_cache(maxsize=4096)
def _canonical(value: str) -> str | None:
    name = value.strip()
    if any("\ud800" <= character <= "\udfff" for character in name):  # half of a pair, which no table can look up
        return None
    if is_missing_language(name):
        return None
    tag = _parse_tag(_as_tag(name)) or _find_name(name) or _find_display_name(name)
    if tag is None:
        return None
    language = tag.prefer_macrolanguage()
    code = language.language
    if code is None or code in _NO_LANGUAGE or language.script in _NO_SCRIPT or _is_private(code):
        return None
    script = language.script
    if code in _ONE_LANGUAGE:
        language = Language.get(_ONE_LANGUAGE[code])
        code, script = str(language.language), script or language.script
    likely = _likely_script(code)
    if script is None:
        # CLDR has an entry of its own for a region whose script is another: "zh-TW", "az-IR".
        script = Language.get(LIKELY_SUBTAGS.get(f"{code}-{language.territory}", code)).script
    script = _SCRIPT_OF.get(script, script) if script else likely
    return code if script == likely and code not in _NEVER_BARE else f"{code}-{script}"


@cache
def _likely_script(code: str) -> str:
    """Script of a language that is named without one: CLDR's, or else that of its macrolanguage, or else Latin."""
    for language in (code, MACROLANGUAGES.get(code)):
        if language in _LIKELY_SCRIPTS:
            return _LIKELY_SCRIPTS[language]
        if language in LIKELY_SUBTAGS:
            script = Language.get(LIKELY_SUBTAGS[language]).script or ""
            return _SCRIPT_OF.get(script, script)
    return "Latn"


def _as_tag(text: str) -> str:
    """What other tables write for a tag, as BCP-47; anything else as it is."""
    spelled = _SPELLINGS.get(text.casefold().replace("_", "-"))
    if spelled is not None:
        return spelled
    dialect = _GLOTTOCODE.fullmatch(text)
    if dialect is not None:
        return dialect["tag"]
    locale = _LOCALE.fullmatch(text)
    if locale is None or not (locale["charset"] or locale["modifier"]):
        return text
    try:
        codecs.lookup(locale["charset"] or "utf-8")
    except LookupError:
        return text
    language, _, region = locale["tag"].partition("_")
    script = _MODIFIER_SCRIPTS.get((locale["modifier"] or "").casefold())
    return "-".join(part for part in (language, script, region) if part)


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


def _find_display_name(text: str) -> Language | None:
    """The language of a name that `display_name` gives: one with a script or a code in brackets behind it."""
    match = _BRACKETS.fullmatch(text)
    if match is None:
        return None
    base, inside = match["name"], match["inside"]
    language = _parse_tag(inside)
    if language is not None and language.display_name("en").casefold() == base.casefold():
        return language
    script = _script_names().get(inside.casefold())
    language = None if script is None else _find_name(base)
    return None if language is None else language.update_dict({"script": script})


@cache
def _script_names() -> dict[str, str]:
    """Codes of scripts by their English names, as they stand behind the names of languages."""
    scripts = sorted(script for script in ALL_SCRIPTS if len(script) == 4 and script not in _NO_SCRIPT)
    return {Language.make(script=script).script_name("en").casefold(): script for script in scripts}


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
