"""Split a text in any script into sentences; the first one can serve as a query that the text should answer."""

from __future__ import annotations

import re

from haystack_crossalign.text.prose import stretches

LEAST_LETTERS = 8.0
"""A text with fewer letters (an ideograph counts three, a syllable two) is a number, a name or a label, not a query."""

LONGEST = 200
"""Longest query, in characters; Thai, Lao, Khmer and Burmese have whole paragraphs without sentence-final
punctuation.
"""

_READ = 2000
# Abbreviations, numbered headings and initials also end in a full stop: a sentence has at least this many letters.
_SENTENCE_LETTERS = 20.0
_MARKUP = re.compile(r"<[^<>]{1,200}>|^[#>*\-\s|=]+|[*_`]{1,3}", re.MULTILINE)
_END = re.compile(r"[.!?…؟۔։។။།॥।።՜՞]+[\"'”’»)\]]*(?=\s|$)|[。！？｡]+[」』”’）]*|\n\s*\n|(?<=\S)\n(?=\S)")
_SPACE = re.compile(r"\s+")


def first_sentence(text: str) -> str:
    """The first sentence, without markup, on one line; the first line if that is a heading.

    A text without sentence-final punctuation is cut at the last space before `LONGEST` characters, or exactly there.

    :param text: any text.
    :returns: empty if there is nothing to read.
    """
    text = _MARKUP.sub("", text[:_READ]).strip()
    for end in _END.finditer(text):
        if letters(text[: end.end()]) >= _SENTENCE_LETTERS:
            text = text[: end.end()]
            break
    return one_line(text)


def sentences(text: str, *, longest: int | None = LONGEST) -> list[str]:
    """The sentences of a text, each on one line and at most `LONGEST` characters long, without markup.

    Parts too short to be a sentence (an abbreviation, a numbered heading) are joined to the next part, or at the end to
    the previous one; parts without sentence-final punctuation are cut at spaces.

    :param text: any text.
    :param longest: maximum length in characters, or None for no maximum.
    :returns: empty if there is nothing to read.
    """
    text = _MARKUP.sub("", text).strip()
    result: list[str] = []
    start = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        part = text[start:end]
        if letters(part) >= _SENTENCE_LETTERS:
            result.append(part)
            start = end
    if start < len(text) and text[start:].strip():
        result = [*result[:-1], result[-1] + text[start:]] if result else [text]
    lines = [_SPACE.sub(" ", part).strip() for part in result]
    return lines if longest is None else [piece for line in lines for piece in _cut(line, longest)]


def _cut(sentence: str, longest: int) -> list[str]:
    pieces = []
    while len(sentence) > longest:
        piece = one_line(sentence, longest=longest)
        pieces.append(piece)
        sentence = sentence[len(piece) :].strip()
    return [*pieces, sentence] if sentence else pieces


def one_line(text: str, *, longest: int = LONGEST) -> str:
    """Put a text on one line and cut it to `LONGEST` characters, at a space if there is one.

    :param text: any text.
    :param longest: maximum length in characters.
    """
    text = _SPACE.sub(" ", text).strip()
    if len(text) <= longest:
        return text
    cut = text.rfind(" ", longest // 2, longest)
    return text[: longest if cut < 0 else cut].rstrip()


def letters(text: str) -> float:
    """Length of a text in letters of an alphabet; addresses, code, digits and symbols do not count."""
    return sum(stretch.letters for stretch in stretches(text))
