"""Make external text safe for a terminal or a log: one line, limited length, no control characters."""

from __future__ import annotations

import re

# C0 and C1 control characters (escape sequences begin with one), line and paragraph separators, halves of surrogate
# pairs, and characters that reorder the text around them (Unicode TR 9: embeddings, overrides, isolates).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_END = re.compile("[ \t]*[\r\n\x0b\x0c\x85\u2028\u2029]+[ \t\r\n]*")


def visible(text: str, *, lines: bool = False) -> str:
    r"""Write control characters as escapes such as ``\x1b``.

    :param text: any text.
    :param lines: keep line feeds.
    """
    if text.isprintable():
        return text
    return (_UNSAFE_IN_LINES if lines else _UNSAFE).sub(lambda match: _escape(match[0]), text)


def one_line(text: str, limit: int | None = None) -> str:
    """Put a text on one line without control characters: line ends become spaces, the rest as in :func:`visible`.

    :param text: any text.
    :param limit: maximum length in characters; the middle of a longer text is left out.
    """
    if limit is not None and len(text) > 4 * limit:
        text = shortened(text, 4 * limit)  # do not process the rest: a server's response can be megabytes
    text = visible(_LINE_END.sub(" ", text.rstrip().lstrip("\r\n")))
    return text if limit is None else shortened(text, limit)


def shortened(text: str, limit: int) -> str:
    """Leave out the middle of a text that is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 3]} … {text[len(text) - tail :]}"


def shown(value: object, limit: int = 120) -> str:
    """Format a value for an error message: its ``repr``, cut at ``limit`` characters.

    :param value: any value, however long, deep or large.
    """
    if isinstance(value, str | bytes):
        text = repr(value[: limit + 1])
    else:
        try:
            text = repr(value)
        except (RecursionError, ValueError):  # nested too deeply, or an integer of thousands of digits
            text = f"a value of type {type(value).__name__}"
    return visible(text) if len(text) <= limit else f"{visible(text[: limit - 1])}…"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
