"""Errors that reach users, and the exit code of the command line for each of them."""

from __future__ import annotations

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
