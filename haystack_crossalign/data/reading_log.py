"""Rows that were left out or changed while reading, counted by reason, so that every result can report them."""

from __future__ import annotations

from dataclasses import dataclass

from haystack_crossalign.errors import InputError

_FIRST = 3


@dataclass(frozen=True)
class Omission:
    """Rows that were left out for one reason.

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
    """Counts what is left out while files are read and joined.

    :param skip_invalid: whether invalid rows are left out and counted; otherwise the first one raises its error.
    :param remedy: what else the user can do, added to what the error allows.
    """

    def __init__(self, *, skip_invalid: bool = False, remedy: str | None = None) -> None:
        self.skip_invalid = skip_invalid
        self._remedy = remedy
        self.titled = 0
        """Documents whose title was put before their text."""
        self._names: dict[tuple[str, str], dict[str, None]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def leave_out(self, what: str, reason: str, name: str) -> None:
        """Count a row that is left out because it is not used.

        :param what: kind of row, see `Omission`.
        :param reason: why, in a few words out of a small set.
        :param name: its id, or its line.
        """
        key = (what, reason)
        self._counts[key] = self._counts.get(key, 0) + 1
        names = self._names.setdefault(key, {})
        if len(names) < _FIRST:
            names[name] = None

    def refuse(self, what: str, error: InputError, *, reason: str | None = None, name: str | None = None) -> None:
        """Raise the error of an invalid row, or count the row where invalid ones are left out.

        :param what: kind of row, see `Omission`.
        :param error: what is wrong with it.
        :param reason: why, in a few words; what the error says of problem and field where it is None.
        :param name: its id; its line where it is None.
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
            # The text in brackets differs from row to row.
            reason = error.problem.split(" (")[0] + (f" in '{error.field}'" if error.field else "")
        self.leave_out(what, reason, f"line {error.line}" if name is None else name)

    def omissions(self) -> tuple[Omission, ...]:
        """What was left out, in the order in which it came up."""
        return tuple(
            Omission(what, reason, count, tuple(self._names[what, reason]))
            for (what, reason), count in self._counts.items()
        )
