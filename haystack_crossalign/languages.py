"""Language tags: turn many spellings into one canonical BCP-47 tag.

Two tags denote the same language if language and script agree after likely subtags are filled in (Unicode CLDR, through
``langcodes``): ``zh`` = ``zh-CN`` = ``zh-Hans``, but ``zh-TW`` = ``zh-Hant`` is a different one. Search indices are not
split by region, variant or extension, so these are dropped. `_ONE_LANGUAGE` lists the codes that are merged in addition
to CLDR's own replacements; ``tests/test_languages.py`` compares the codes of six benchmarks and lists every pair that
is merged.
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
"""BCP-47's tag for a language that is not known. `normalize_language` rejects it: it is never valid input."""

# Valid codes that name no language: undetermined, several, uncoded, no linguistic content.
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})
# Valid codes that name no script: common, inherited, unwritten, uncoded, symbols.
_NO_SCRIPT = frozenset({"Zyyy", "Zinh", "Zxxx", "Zzzz", "Zsym", "Zsye", "Zmth"})
# Scripts written from right to left that searchable text is written in today.
_RTL_SCRIPTS = frozenset({"Adlm", "Arab", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"})
# Scripts that are part, or a style, of another script: Korean written only in Hangul is still Korean.
_SCRIPT_OF = {"Hang": "Kore", "Hira": "Jpan", "Kana": "Jpan", "Hrkt": "Jpan", "Aran": "Arab", "Latf": "Latn"}
# Languages whose likely script in CLDR differs from that of real texts: Crimean Tatar has been printed in Latin letters
# since 1992, and most Min Nan written in characters comes from Taiwan.
_LIKELY_SCRIPTS = {"crh": "Latn", "nan": "Hant"}
# Codes that we merge although CLDR keeps them apart. ISO 639-3 assigns each to the macrolanguage on the right (Bokmål
# and Nynorsk under Norwegian, three Pashtos, South Azerbaijani); in 2023 it withdrew South Levantine Arabic (ajp) in
# favor of Levantine (apc).
_ONE_LANGUAGE = {"nb": "no", "nn": "no", "pbt": "ps", "pst": "ps", "azb": "az-Arab", "ajp": "apc"}
# Codes in use elsewhere that are not BCP-47: Windows' old names of the Chinese scripts, two codes of browsers and
# dictionaries, and the name of Cantonese in NTREX-128.
_SPELLINGS = {"zh-chs": "zh-Hans", "zh-cht": "zh-Hant", "zhs": "zh-Hans", "zht": "zh-Hant", "gsw-zh": "gsw"}
# Min Nan always carries its script, because its bare code, "nan", is also how a missing number is written.
_NEVER_BARE = frozenset({"nan"})
# What programs write for a missing value, in any letter case. "na" is Nauru, so the "NA" of R and pandas counts only in
# capitals.
_MISSING = frozenset(
    {"", "nan", "-nan", "none", "null", "nil", "n/a", "#n/a", "<na>", "<nan>", "nat", "-", "--", "–", "—", "?"}
    | {"unknown", "undefined", "missing", "empty", "not available"}
)
_MISSING_AS_WRITTEN = frozenset({"NA", "#NA"})
# Names of POSIX locales: language, region, character set, modifier. Some modifiers name a script.
_LOCALE = re.compile(r"(?P<tag>[A-Za-z]{2,3}_[A-Za-z]{2})(?:\.(?P<charset>[\w-]+))?(?:@(?P<modifier>\w+))?")
_MODIFIER_SCRIPTS = {"latin": "Latn", "cyrillic": "Cyrl", "devanagari": "Deva", "arabic": "Arab"}
# FLORES+ distinguishes dialects of one code by their Glottolog codes: "apc_Arab_nort3139".
_GLOTTOCODE = re.compile(r"(?P<tag>[a-z]{3}_[A-Z][a-z]{3})_[a-z0-9]{4}[0-9]{4}")
# "Chinese (Traditional)", "Mon (mnw)".
_BRACKETS = re.compile(r"(?P<name>.+) \((?P<inside>[^()]+)\)")
# Some English language names have three letters or fewer, but a word this short is read as a code.
_SHORTEST_ASCII_NAME = 4


def is_missing_language(value: object) -> bool:
    """Whether a value means "no language": None, NaN, an empty string, or what programs write for these.

    This includes ``nan``, which is also the code of Min Nan Chinese: write that as ``nan-Hant`` or ``nan-Latn``. ``NA``
    in capitals is missing, ``na`` is Nauru.
    """
    if isinstance(value, str):
        return _says_missing(value)
    return value is None or (isinstance(value, float) and value != value)


@lru_cache(1024)
def _says_missing(text: str) -> bool:
    text = text.strip()
    return text.casefold() in _MISSING or text in _MISSING_AS_WRITTEN


def normalize_language(
    value: object, *, source: str | Path | None = None, line: int | None = None, field: str | None = None
) -> str:
    """Canonical tag of a language: its code, followed by the script only if that is not the likely one.

    Accepts BCP-47 tags in any letter case and with ``_`` for ``-`` (``zh_CN``, ``PT-br``), three-letter ISO 639 codes
    (``zho_Hans``, ``arb_Arab``), POSIX locales (``en_US.UTF-8``), English names (``Chinese``), output of `display_name`
    (``Chinese (Traditional)``) and native names (``中文``). A language that CLDR or `_ONE_LANGUAGE` assigns to a
    macrolanguage becomes the macrolanguage (``arb`` -> ``ar``, ``cmn`` -> ``zh``, ``nb`` and ``nn`` -> ``no``).

    :param value: the value as it is in the data.
    :param source: file, option or component input that holds it, for the message.
    :param line: 1-based line in that file, for the message.
    :param field: name of the field, for the message.
    :raises InputError: for anything that is not a known language, including ``und``, ``mul`` and missing values.
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
    """English name of a language: ``zh`` -> ``Chinese``, ``zh-Hant`` -> ``Chinese (Traditional)``.

    `normalize_language` accepts every name returned here. An unknown tag is returned as it is: what is shown need not
    be valid.
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
    """ISO 15924 code of a tag's script, or else of its language's likely script: ``sr-Latn`` -> ``Latn``.

    Empty if the tag is not a known language.
    """
    known = _canonical(tag)
    if known is None:
        return ""
    language = Language.get(known)
    return language.script or _likely_script(str(language.language))


@cache
def is_rtl(tag: str) -> bool:
    """Whether the language is written from right to left, in the script of the tag or else its likely script.

    False if the tag is not a known language.
    """
    return likely_script(tag) in _RTL_SCRIPTS


@lru_cache(maxsize=4096)
def _canonical(value: str) -> str | None:
    name = value.strip()
    if any("\ud800" <= character <= "\udfff" for character in name):  # a lone surrogate is in no table
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
        # CLDR has a separate entry for a region that uses another script: "zh-TW", "az-IR".
        script = Language.get(LIKELY_SUBTAGS.get(f"{code}-{language.territory}", code)).script
    script = _SCRIPT_OF.get(script, script) if script else likely
    return code if script == likely and code not in _NEVER_BARE else f"{code}-{script}"


@cache
def _likely_script(code: str) -> str:
    """Script of a language whose tag has none: CLDR's, or else that of its macrolanguage, or else Latin."""
    for language in (code, MACROLANGUAGES.get(code)):
        if language in _LIKELY_SCRIPTS:
            return _LIKELY_SCRIPTS[language]
        if language in LIKELY_SUBTAGS:
            script = Language.get(LIKELY_SUBTAGS[language]).script or ""
            return _SCRIPT_OF.get(script, script)
    return "Latn"


def _as_tag(text: str) -> str:
    """Rewrite a spelling used elsewhere as BCP-47; return anything else unchanged."""
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
    # Language.find also accepts a name that is only a prefix of the text ("banana" would be Bana, "klingonish"
    # Klingon), so only whole names count here.
    name = normalize_name(text)
    if not name or (name.isascii() and len(name) < _SHORTEST_ASCII_NAME):
        return None
    code = _exact_name("en", name) or next(filter(None, (_own_name(folder, name) for folder in _named_in())), None)
    return None if code is None else langcodes.get(code)


def _find_display_name(text: str) -> Language | None:
    """The language of a name returned by `display_name`: a language name followed by a script or a code in brackets."""
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
    """Script codes by the English names that follow the names of languages."""
    scripts = sorted(script for script in ALL_SCRIPTS if len(script) == 4 and script not in _NO_SCRIPT)
    return {Language.make(script=script).script_name("en").casefold(): script for script in scripts}


def _own_name(language: str, name: str) -> str | None:
    """Tag of ``name`` if it is the native name of ``language``, else None."""
    code = _exact_name(language, name)
    return code if code is not None and Language.get(code).language == language else None


@cache
def _named_in() -> tuple[str, ...]:
    """Languages in which language names are known, in a fixed order."""
    root = Path(data_filename("trie"))
    return tuple(sorted(folder.name for folder in root.iterdir() if folder.name != "und"))


def _exact_name(language: str, name: str) -> str | None:
    path = Path(data_filename(f"trie/{language}/name_to_language.marisa"))
    if not path.is_file():
        return None
    names = load_trie(str(path))
    return str(get_trie_value(names, name)) if name in names else None
