"""A second detector, asked about texts whose first answer has a neighbor: CLD2, which knows 165 languages.

It is less sure of short texts than ``eldc``, but knows Indonesian, Afrikaans, Macedonian, Pashto, Nepali and others
that ``eldc`` takes for a neighbor. Its tables are inside the package; nothing is fetched.
"""

from __future__ import annotations

import re
from functools import cache

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.languages import normalize_language

# It reads what stands at the start; neighbors show themselves in a few sentences.
_LONGEST = 600
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# Its names of languages where they are no ISO 639 code, or mean something narrower.
_TAGS = {"un": None, "ku": "ckb", "sr-ME": "sr-Latn", "bh": "bho", "zh-Hant": "zh"}


def second_opinion(text: str, *, hint: str | None = None) -> tuple[str | None, bool]:
    """The language of a text and whether CLD2 calls that reliable; None where it does not tell.

    :param text: prose in one script.
    :param hint: language that the text is said to be in, as CLD2 calls it; it takes little for it to follow.
    :raises ExternalError: where ``pycld2`` is not installed.
    """
    library = _library()
    printable = _UNPRINTABLE.sub(" ", text[:_LONGEST])
    try:
        reliable, _, languages = library.detect(
            printable, isPlainText=True, bestEffort=True, **({} if hint is None else {"hintLanguage": hint})
        )
    except library.error:
        # Code points that CLD2 takes for damaged UTF-8.
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
