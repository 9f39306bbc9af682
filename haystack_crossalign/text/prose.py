"""Cut a text into the stretches that reveal its language: prose in one script, without addresses, markup and code.

A stretch is at most one sentence of one script and at most :data:`STRETCH` characters long, so that the stretches of
a text in two languages are each in one of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import regex

STRETCH = 100
"""Longest stretch, in characters."""
LONGEST_TEXT = 50_000
"""Number of characters read at the start of a text; the rest is assumed to be similar."""

# Unicode's Script_Extensions include the marks that several scripts share. Chinese and Japanese share ideographs, so a
# run may contain both ideographs and kana.
_CHARACTERS = {
    script: rf"\p{{scx={script}}}"
    for script in (
        *(
            "latin",
            "greek",
            "cyrillic",
            "armenian",
            "hebrew",
            "arabic",
            "devanagari",
            "bengali",
            "gurmukhi",
            "gujarati",
        ),
        *("oriya", "tamil", "telugu", "kannada", "malayalam", "sinhala", "thai", "lao", "tibetan", "myanmar"),
        *("georgian", "ethiopic", "khmer", "hangul", "han"),
    )
}
_CHARACTERS["latin"] += r"\p{Block=Combining_Diacritical_Marks}"
_CHARACTERS["han"] += r"\p{scx=hiragana}\p{scx=katakana}"
_CLASSES = {script: rf"[[{characters}]&&[\p{{L}}\p{{M}}]]" for script, characters in _CHARACTERS.items()}
_SCRIPT_MEMBERS = {
    "arabic": "ar fa ku ur",
    "armenian": "hy",
    "bengali": "bn",
    "cyrillic": "be bg ru sr uk",
    "devanagari": "hi mr",
    "ethiopic": "am",
    "georgian": "ka",
    "greek": "el",
    "gujarati": "gu",
    "gurmukhi": "pa",
    "han": "ja zh",
    "hangul": "ko",
    "hebrew": "he",
    "kannada": "kn",
    "lao": "lo",
    "latin": "az ca cs da de en es et eu fi fr hr hu is it lt lv ms nl no pl pt ro sk sl sq sv tl tr vi yo",
    "malayalam": "ml",
    "oriya": "or",
    "tamil": "ta",
    "telugu": "te",
    "thai": "th",
}
SCRIPT_OF_LANGUAGE = {tag: script for script, tags in _SCRIPT_MEMBERS.items() for tag in tags.split()}
"""Script in which the detector's library knows each language, by the names used here."""

# A syllable or an ideograph carries as much information as this many letters of an alphabet.
_WEIGHTS = {"han": 3.0, "hangul": 2.0, "ethiopic": 2.0}

_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)"  # fenced code
    r"|`[^`\n]*`"
    r"|<(?:script|style|code|pre)\b.{0,5000}?</(?:script|style|code|pre)\s*>"
    r"|</?[a-zA-Z][^<>]*>|&[a-zA-Z]+;|&#\d+;"
    r"|\b(?:https?|ftp|file)://\S+|\bwww\.\S+"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,190}"  # e-mail address
    r"|(?<!\w)[@#]\w+",
    re.DOTALL | re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?…؟])\s+|(?<=[。！？।؛])|[\r\n\t]+|\s[–—|]\s")
# Python, JavaScript, Java, C, SQL and shell at the start of a line. The patterns are narrow, since keywords are also
# words: "private schools in London" and "if possible" are prose.
_CODE_LINE = re.compile(
    r"\s*(?:"
    + "|".join(
        (
            r"(?:from\s+[\w.]+\s+)?import\s+[\w.{*]+(?:\s+as\s+\w+|,.*)?;?\s*$",
            r"import\s+.*\bfrom\s+['\"]",
            r"#include\b",
            r"package\s+[\w.]+;",
            r"def\s+\w+\s*\(",
            r"class\s+\w+\s*[(:{]",
            r"function\s*\w*\s*\(",
            r"return\b.*[;()\[\]+*/]",
            r"(?:const|let|var)\s+\w+\s*=",
            r"(?:public|private|protected)\s+(?:static|void|class|final|int|bool|String|async)\b",
            r"for\s+\w+\s+in\s+[\w.()]+:\s*$",
            r"(?:if|while|elif)\s+[\w.()]+(?:\s*[=!<>]=?\s*\S+)?:\s*$",
            r"SELECT\b.+\bFROM\b",
            r"INSERT\s+INTO\b",
            r"UPDATE\s+\S+\s+SET\b",
            r"DELETE\s+FROM\b",
            r"(?:CREATE|ALTER|DROP)\s+(?:TABLE|INDEX|VIEW)\b",
            r"(?:\$|>>>|sudo)\s",
            r"(?:pip3?|npm|git|docker|kubectl|apt|apt-get|cargo|yarn|conda)\s+"
            r"(?:install|add|run|get|apply|clone|commit|push|pull|build|exec|update|checkout)\b"
            r"(?:(?:\s+\S+){0,2}\s*$|.*\s-)",
        )
    )
    + ")"
)
_CODE_TOKEN = re.compile(
    "|".join(
        (
            r"[{}\[\]=<>\\|^~]",
            r"[)\]}\"'];",
            r"\w\(|\)\.|\(\)|::|->|&&|\+\+",
            r"^-{1,2}[a-zA-Z]|^\$\w",  # options and variables of a shell
            r"\w_\w|_\w+_|[a-z\d][A-Z]\w*[A-Z]|^[a-z]+[A-Z]\w+[.(]",  # snake_case and camelCase
            r"^[./~]*/\w|\w/\w+/|\w\.\w+\.\w",  # paths and attributes
            r"\.(?:py|js|ts|json|ya?ml|txt|csv|html?|exe|jar|cpp|java|sh|md|xml|toml)\b",
        )
    )
)
_CODE_SHARE = 0.3
# In scripts without spaces a whole sentence is one token; names in code are shorter.
_LONGEST_TOKEN = 80
_RUN = regex.compile(
    "(?V1)" + "|".join(f"(?P<{script}>{one}(?:{one}|[^\\w]|[\\d_])*)" for script, one in _CLASSES.items())
)
_LETTERS = {script: regex.compile(f"(?V1){one}") for script, one in _CLASSES.items()}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of prose in one script.

    :param text: the characters.
    :param script: name of the script, a value of :data:`SCRIPT_OF_LANGUAGE` or a script of no language there.
    :param letters: length in letters of an alphabet: an ideograph counts three, a syllable two.
    """

    text: str
    script: str
    letters: float


def stretches(text: str) -> list[Stretch]:
    """Cut ``text`` into stretches of prose; addresses, markup, code, digits and symbols are left out.

    :param text: any text, lone surrogates included.
    """
    runs: list[Stretch] = []
    for sentence in _SENTENCE_END.split(_NO_PROSE.sub(" ", text[:LONGEST_TEXT])):
        if not sentence or _is_code(sentence):
            continue
        for match in _RUN.finditer(sentence):
            script = match.lastgroup or ""
            runs.extend(_measured(piece, script) for piece in _pieces(match.group().strip()))
    return runs


def _is_code(sentence: str) -> bool:
    if _CODE_LINE.match(sentence):
        return True
    tokens = sentence.split()
    code = sum(1 for token in tokens if _CODE_TOKEN.search(token, 0, _LONGEST_TOKEN))
    return code >= max(1, _CODE_SHARE * len(tokens))


def _pieces(run: str) -> list[str]:
    pieces = []
    while len(run) > STRETCH:
        cut = run.rfind(" ", STRETCH // 2, STRETCH)
        cut = STRETCH if cut < 0 else cut
        pieces.append(run[:cut])
        run = run[cut:].lstrip()
    pieces.append(run)
    return pieces


def _measured(piece: str, script: str) -> Stretch:
    return Stretch(piece, script, len(_LETTERS[script].findall(piece)) * _WEIGHTS.get(script, 1.0))
