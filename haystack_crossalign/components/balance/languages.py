"""Common parts of the balancing components: comparison of languages by tag, and checks of parameters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from haystack import Document

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import normalize_language


@lru_cache(maxsize=4096)
def _tag(value: str) -> str:
    try:
        return normalize_language(value)
    except InputError:
        return value


def tag_of(value: object) -> str | None:
    """The tag by which a language is compared: ``zh`` for ``zh-CN`` and ``Chinese``; unknown languages are unchanged.

    :param value: value of a meta field; None and empty strings mean no language.
    """
    return _tag(value) if isinstance(value, str) and value else None


def document_tag(document: Document, field: str) -> str | None:
    """The language of a document.

    :param document: the document.
    :param field: meta field of the language.
    """
    return tag_of(document.meta.get(field))


def checked_languages(languages: Iterable[object], field: str, *, least: int) -> list[str]:
    """Check that languages are valid and distinct.

    :param languages: the values.
    :param field: name of the parameter, for the message.
    :param least: minimum number.
    :raises InputError: for a text in place of a list, too few, one that is not a string, or two with the same tag.
    """
    if isinstance(languages, str):
        raise InputError("not a list of languages", field=field, seen=languages, allowed="a list such as ['en', 'zh']")
    values = list(languages)
    seen: dict[str, str] = {}
    for value in values:
        tag = tag_of(value)
        if tag is None or not isinstance(value, str):
            raise InputError("not a language", field=field, seen=value, allowed="a text such as 'zh'")
        if tag in seen:
            raise InputError("a language twice", field=field, seen=f"{seen[tag]}, {value}", allowed="each once")
        seen[tag] = value
    if len(values) < least:
        raise InputError("too few languages", field=field, seen=values, allowed=f"{least} or more")
    return list(seen.values())


def check_top_k(value: object) -> None:
    """Reject an invalid number of documents.

    :param value: None for all.
    :raises InputError: if it is neither None nor an integer of at least 1.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InputError("wrong number of documents", field="top_k", seen=value, allowed="a whole number from 1 on")
