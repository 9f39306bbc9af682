"""Make a query for a document that has none: its title, or a part of its text."""

from __future__ import annotations

from typing import Literal

from haystack_crossalign.text.sentences import LEAST_LETTERS, first_sentence, letters, one_line

_LEAST_PART = 20.0
"""Minimum letters of a sentence that is taken out of a text, and of the rest of the text."""


def asked_by(title: str, text: str) -> tuple[Literal["title", "text"], str] | None:
    """A query that a document answers: its title, or else its first sentence; the text is not shortened.

    :param title: empty if there is none.
    :param text: the text.
    :returns: the origin of the query, and the query on one line; None if both are too short.
    """
    queries: tuple[tuple[Literal["title", "text"], str], ...] = (
        ("title", one_line(title)),
        ("text", first_sentence(text)),
    )
    return next((query for query in queries if letters(query[1]) >= LEAST_LETTERS), None)


def known_item(title: str, text: str) -> tuple[str, str, str]:
    """A query that a document should answer, and the document without the words of the query if possible.

    :param title: empty if there is none, or if it fits other documents too.
    :param text: the text.
    :returns: ``title``, ``first sentence`` or ``first half``; the query; the text, without its first sentence if that
        is the query. The query is empty if the text is a single word.
    """
    if title:
        return "title", title, text
    first = first_sentence(text)
    rest = text.split(first, 1)[1].strip() if first and first in text else ""
    if letters(first) >= _LEAST_PART and letters(rest) >= _LEAST_PART:
        return "first sentence", first, rest
    words = " ".join(text.split())
    cut = words.rfind(" ", 0, len(words) // 2 + 1)
    return "first half", words[: cut if cut > 0 else len(words) // 2].strip(), text
