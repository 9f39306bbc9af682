"""A second detector for texts whose first answer has similar languages: CLD2, which knows 165 languages.

It is less reliable on short texts than ``eldc``, but knows Indonesian, Afrikaans, Macedonian, Pashto, Nepali and others
that ``eldc`` confuses with similar languages. Its tables are part of the package; nothing is downloaded.
"""

from __future__ import annotations

import re
from functools import cache

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.languages import normalize_language

# Only the start of a text is read; a few sentences suffice to distinguish similar languages.
_LONGEST = 600
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# Its language names that are not ISO 639 codes or that mean something narrower.
_TAGS = {"un": None, "ku": "ckb", "sr-ME": "sr-Latn", "bh": "bho", "zh-Hant": "zh"}


def second_opinion(text: str, *, hint: str | None = None) -> tuple[str | None, bool]:
    """The language of a text and whether CLD2 calls that reliable; None if it reports no language.

    :param text: prose in one script.
    :param hint: CLD2's name of the language that the text is claimed to be in; it follows a hint easily.
    :raises ExternalError: if ``pycld2`` is not installed.
    """
    library = _library()
    printable = _UNPRINTABLE.sub(" ", text[:_LONGEST])
    try:
        reliable, _, languages = library.detect(
            printable, isPlainText=True, bestEffort=True, **({} if hint is None else {"hintLanguage": hint})
        )
    except library.error:
        # Code points that CLD2 reads as damaged UTF-8.
        return None, False
    return _tag(languages[0][1]), bool(reliable)


@cache
def _tag(code: str) -> str | None:
    if code in _TAGS:
        return _TAGS[code]
    try:
        return normalize_language(code)
    except InputError:
        return None


@cache
def _library():  # type: ignore[no-untyped-def]  # it has no types
    try:
        import pycld2  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        msg = "language detection needs the package 'pycld2': run `pip install pycld2`"
        raise ExternalError(msg) from error
    return pycld2
