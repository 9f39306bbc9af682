"""Standard output and error that never end a run, with any encoding, on a full disk, or if closed."""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from haystack_crossalign.messages import one_line, visible
from haystack_crossalign.redaction import redacted

if TYPE_CHECKING:
    from rich.console import Console

_ERRORS = "crossalign.plain"
# Replacements for characters of our own output that old encodings lack. Characters of external texts become escapes.
_PLAIN = {
    "–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "×": "x", "≤": "<=", "≥": ">=", "·": ".", "±": "+/-",
    "‘": "'", "’": "'", "“": '"', "”": '"', "\xa0": " ", "\u202f": " ", "\u2009": " ",
}  # fmt: skip


def say(text: str, *, err: bool = False, lines: bool = False) -> None:
    """Print a text on one line, without control characters and secrets.

    :param text: the text.
    :param err: to standard error.
    :param lines: keep line feeds, for text without external parts.
    """
    text = redacted(text, own=True)
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    with suppress(UnicodeEncodeError, ValueError):  # a stream of a caller that runs `main` in its own process
        print(visible(text, lines=True) if lines else one_line(text), file=stream, flush=True)


def console() -> Console:
    """The console for results: as wide as the terminal, or wide enough for the tables without one."""
    from rich.console import Console
    from rich.segment import Segment

    class PlainConsole(Console):
        """A console that shows control characters instead of obeying them."""

        def render(self, *arguments: Any, **options: Any) -> Iterator[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else Segment(visible(segment.text, lines=True), segment.style)

    # NO_COLOR requests plain text, so bold and italics are also left out.
    plain: dict[str, Any] = {"color_system": None} if os.environ.get("NO_COLOR") else {}
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return PlainConsole(**plain) if terminal else PlainConsole(width=120, **plain)


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Within the block, printing never raises: characters that the encoding lacks are replaced, and output that a full
    disk, a closed terminal or a closed pipe does not accept is dropped.

    So the work and its exit code do not depend on the output. This does not apply to files given by an option.
    """
    _occupy_closed_descriptors()
    sys.stdout, out = _lasting(sys.stdout, sys.__stdout__, 1)
    sys.stderr, _ = _lasting(sys.stderr, sys.__stderr__, 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        # A pipe was closed on purpose, but a full disk should be reported.
        if out is not None and out.fault is not None and out.fault.errno not in {errno.EPIPE, errno.EBADF}:
            say(f"crossalign: standard output cannot be written ({out.fault.strerror})", err=True)


class _Lasting(io.RawIOBase):
    """A descriptor that accepts everything: after its first error, output is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.fault: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        while self.fault is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.fault = error
        return len(data)


def _lasting(stream: Any, own: Any, descriptor: int) -> tuple[Any, _Lasting | None]:
    """Wrap a stream of the process; that of a caller (a test, a notebook) is not changed."""
    if stream is not own or (stream is not None and os.name != "posix"):
        return stream, None
    codecs.register_error(_ERRORS, _in_plain_characters)
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()
    raw = _Lasting(descriptor)
    encoding = "utf-8" if stream is None else stream.encoding
    buffered = io.BufferedWriter(raw)
    at_once = descriptor == 2 or raw.isatty()
    return io.TextIOWrapper(buffered, encoding=encoding, errors=_ERRORS, line_buffering=at_once), raw


def _occupy_closed_descriptors() -> None:
    """Open the null device for closed standard streams: otherwise the next opened file gets their descriptor, and
    output of any library goes into it.
    """
    if os.name != "posix":
        return
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    characters = (_PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode() for character in text)
    return "".join(characters), error.end
