"""Rows left out or changed during reading, counted by reason, so that every result can report them."""

from __future__ import annotations

from dataclasses import dataclass

from haystack_crossalign.errors import InputError

_FIRST = 3


@dataclass(frozen=True)
class Omission:
    """Rows left out for the same reason.

    :param what: ``document``, ``query``, ``judgment``, or ``result`` (a line of a run).
    :param reason: why, in a few words.
    :param count: number of rows.
    :param first: ids or lines of the first of them.
    """

    what: str
    reason: str
    count: int
    first: tuple[str, ...]


class ReadingLog:
    """Counts what is left out when files are read and joined.

    :param skip_invalid: whether to leave out and count invalid rows; otherwise the first one raises its error.
    :param remedy: another way out for the user, added to the error's allowed values.
    """

    def __init__(self, *, skip_invalid: bool = False, remedy: str | None = None) -> None:
        self.skip_invalid = skip_invalid
        self._remedy = remedy
        self.titled = 0
        """Number of documents whose title was put before their text."""
        self._names: dict[tuple[str, str], dict[str, None]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def leave_out(self, what: str, reason: str, name: str) -> None:
        """Count a row that is left out because it is not used.

        :param what: kind of row, see `Omission`.
        :param reason: why, one of a few fixed phrases.
        :param name: id or line of the row.
        """
        key = (what, reason)
        self._counts[key] = self._counts.get(key, 0) + 1
        names = self._names.setdefault(key, {})
        if len(names) < _FIRST:
            names[name] = None

    def refuse(self, what: str, error: InputError, *, reason: str | None = None, name: str | None = None) -> None:
        """Raise the error of an invalid row, or count the row if invalid rows are left out.

        :param what: kind of row, see `Omission`.
        :param error: what is wrong with it.
        :param reason: why, in a few words; None to use the error's problem and field.
        :param name: id of the row; None to use its line.
        :raises InputError: ``error``, unless invalid rows are left out.
        """
        if not self.skip_invalid:
            if self._remedy is None:
                raise error
            raise InputError(
                error.problem,
                source=error.source,
                line=error.line,
                field=error.field,
                seen=error.seen,
                allowed=self._remedy if error.allowed is None else f"{error.allowed}; {self._remedy}",
            ) from error
        if reason is None:
            # Text in brackets differs from row to row.
            reason = error.problem.split(" (")[0] + (f" in '{error.field}'" if error.field else "")
        self.leave_out(what, reason, f"line {error.line}" if name is None else name)

    def omissions(self) -> tuple[Omission, ...]:
        """What was left out, in the order of occurrence."""
        return tuple(
            Omission(what, reason, count, tuple(self._names[what, reason]))
            for (what, reason), count in self._counts.items()
        )
