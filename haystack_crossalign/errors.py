"""Errors that reach users, and the exit code of the command line for each of them."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

from haystack_crossalign.messages import one_line, shortened, shown
from haystack_crossalign.redaction import redacted

_LONGEST = 950
"""Characters of a message. With the program's name in front it stays below 1,000."""


class CrossAlignError(Exception):
    """Base of every error this package raises on purpose.

    Its message is one line of bounded length, without control characters and without secrets, whatever it quotes.

    :param message: what is wrong.
    """

    exit_code = 3

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(redacted(message, own=True), _LONGEST))


EXIT_CODE_FILE = "CROSSALIGN_EXIT_CODE_FILE"
"""Environment variable that names a file to which the command line writes the exit code of an error."""


class InputError(CrossAlignError, ValueError):
    """Invalid input or usage: one message that names the place, the value seen and the values allowed.

    :param problem: what is wrong, in a few words, without a full stop.
    :param source: file (or option, or component input) that holds the value.
    :param line: 1-based line in that file.
    :param field: name of the field, column or option.
    :param seen: the value seen; shown with ``repr`` and shortened. Leave it out if there is none.
    :param allowed: the values allowed, in words.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        source: str | Path | None = None,
        line: int | None = None,
        field: str | None = None,
        seen: object = ...,
        allowed: str | None = None,
    ) -> None:
        self.problem = problem
        self.source = None if source is None else str(source)
        self.line = line
        self.field = field
        self.seen = seen
        self.allowed = allowed
        super().__init__(self._message())

    def _message(self) -> str:
        # Each part is shortened separately, so that a long name hides neither the problem nor the allowed values.
        source = None if self.source is None else shortened(self.source, 250)
        where = [part for part in (source, self.line and f"line {self.line}") if part]
        if self.field is not None:
            where.append(f"field '{shortened(self.field, 120)}'")
        problem = shortened(self.problem, 300)
        text = f"{', '.join(where)}: {problem}" if where else problem
        if self.seen is not ...:
            text += f"; seen: {shown(self.seen)}"
        if self.allowed is not None:
            text += f"; allowed: {shortened(self.allowed, 400)}"
        return text


class ExternalError(CrossAlignError):
    """An external fault: a server that does not answer, a model that cannot be loaded."""

    exit_code = 3


def refuse_without_effect(*options: tuple[str, bool, bool, str]) -> None:
    """Refuse options that were given and that nothing would read.

    :param options: for each its name, whether it was given, whether something reads it, and beside what it has effect.
    :raises InputError: for the first of them.
    """
    for option, given, read, beside in options:
        if given and not read:
            raise InputError("has no effect here", source=option, allowed=f"{beside}; or the command without it")


def check_whole(value: object, *, field: str, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number in a range.

    :param value: a number; whole numbers of numpy are numbers, too.
    :param field: its name, for the message.
    :param least: the smallest that is allowed.
    :param most: the largest; None for any.
    :raises InputError: naming the field.
    """
    allowed = f"{least} or more" if most is None else f"{least} to {most}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError("is not a whole number", field=field, seen=value, allowed=allowed)
    number = int(value)
    if number < least or (most is not None and number > most):
        raise InputError(f"is too {'small' if number < least else 'large'}", field=field, seen=number, allowed=allowed)


def check_list(value: object, *, field: str) -> None:
    """Refuse a text where a list of texts belongs: it would be read letter by letter.

    :param value: what was given; None for nothing.
    :param field: its name, for the message.
    :raises InputError: naming the field.
    """
    if isinstance(value, str):
        raise InputError("is a text and not a list", field=field, seen=value, allowed=f"a list, such as [{value!r}]")
