"""Text that comes from elsewhere, made fit for a terminal and a log: one line, bounded, no control characters."""

from __future__ import annotations

import re

# C0 and C1 control characters (escape sequences begin with one), separators of lines and paragraphs, halves of
# surrogate pairs, and what reorders the text around it (Unicode TR 9: embeddings, overrides, isolates).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_END = re.compile("[ \t]*[\r\n\x0b\x0c\x85\u2028\u2029]+[ \t\r\n]*")


def visible(text: str, *, lines: bool = False) -> str:
    r"""The text with its control characters written as escapes such as ``\x1b``.

    :param text: any text.
    :param lines: leave line feeds as they are.
    """
    if text.isprintable():
        return text
    return (_UNSAFE_IN_LINES if lines else _UNSAFE).sub(lambda match: _escape(match[0]), text)


def one_line(text: str, limit: int | None = None) -> str:
    """The text in one line without control characters: line ends become blanks, the rest as in :func:`visible`.

    :param text: any text.
    :param limit: most characters; what is too long loses its middle.
    """
    if limit is not None and len(text) > 4 * limit:
        text = shortened(text, 4 * limit)  # the rest is not looked at: an answer of a server can be megabytes
    text = visible(_LINE_END.sub(" ", text.rstrip().lstrip("\r\n")))
    return text if limit is None else shortened(text, limit)


def shortened(text: str, limit: int) -> str:
    """The text with its middle left out where it is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 3]} … {text[len(text) - tail :]}"


def shown(value: object, limit: int = 120) -> str:
    """A value as an error message shows it: its ``repr``, cut at ``limit`` characters.

    :param value: anything that was read, however long, deep or large.
    """
    if isinstance(value, str | bytes):
        text = repr(value[: limit + 1])
    else:
        try:
            text = repr(value)
        except (RecursionError, ValueError):  # nested too deeply; a whole number of thousands of digits
            text = f"a value of type {type(value).__name__}"
    return visible(text) if len(text) <= limit else f"{visible(text[: limit - 1])}…"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
