"""What a document without a query of its own is asked by: its title, or a part of its text."""

from __future__ import annotations

from typing import Literal

from haystack_crossalign.text.sentences import LEAST_LETTERS, first_sentence, letters, one_line

_LEAST_PART = 20.0
"""Letters of a sentence that is taken out of a text, and of what is left of it."""


def asked_by(title: str, text: str) -> tuple[Literal["title", "text"], str] | None:
    """The query that a document answers: its title, or else its first sentence; the text stays whole.

    :param title: empty where it has none.
    :param text: the text.
    :returns: where the query comes from, and the query on one line; None where both are too short to be one.
    """
    queries: tuple[tuple[Literal["title", "text"], str], ...] = (
        ("title", one_line(title)),
        ("text", first_sentence(text)),
    )
    return next((query for query in queries if letters(query[1]) >= LEAST_LETTERS), None)


def known_item(title: str, text: str) -> tuple[str, str, str]:
    """A query that a document should answer, and the document without the words of the query, where that can be.

    :param title: empty where it has none, or one that asks for other documents too.
    :param text: the text.
    :returns: ``title``, ``first sentence`` or ``first half``; the query; the text, without its first sentence where
        that is the query. The query is empty where the text is a single word.
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
