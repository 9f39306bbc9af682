"""Findings of an examination: a state for each item, and advice if it is not ok."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.messages import one_line
from haystack_crossalign.redaction import redacted

SCHEMA = "crossalign.doctor/1"
_LONGEST = 950


@dataclass(frozen=True)
class Finding:
    """The finding for one item.

    :param check: name of the item, in a word or two.
    :param state: ``ok``; ``warning``: an audit runs, but read this; ``missing``: no audit can run.
    :param seen: what was found.
    :param advice: advice, empty if there is nothing to do.
    :param exit_code: exit code of the command due to it: 0, or for ``missing`` 2 (settings or index) or 3 (connection,
        permissions or cluster).
    """

    check: str
    state: Literal["ok", "warning", "missing"]
    seen: str
    advice: str = ""
    exit_code: int = 0

    def __post_init__(self) -> None:
        # Much of the text comes from the server: its version, names of indices and fields.
        object.__setattr__(self, "seen", one_line(redacted(self.seen), _LONGEST))

    def to_dict(self) -> dict[str, str]:
        """As JSON values."""
        return {"check": self.check, "state": self.state, "seen": self.seen, "advice": self.advice}


@dataclass(frozen=True)
class Diagnosis:
    """All findings on an index.

    :param hosts: addresses, without credentials.
    :param index: index or alias.
    :param findings: in the order they were made.
    """

    hosts: tuple[str, ...]
    index: str
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0 if an audit can run; else that of the first finding that prevents it."""
        return next((finding.exit_code for finding in self.findings if finding.state == "missing"), 0)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema": SCHEMA,
            "hosts": list(self.hosts),
            "index": self.index,
            "exit_code": self.exit_code,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def ok(check: str, seen: str) -> Finding:
    """A thing that is well."""
    return Finding(check, "ok", seen)


def warning(check: str, seen: str, advice: str = "") -> Finding:
    """A thing to know of; an audit can run."""
    return Finding(check, "warning", seen, advice)


def failed(check: str, problem: CrossAlignError | str, advice: str = "", *, hosts: Sequence[str] = ()) -> Finding:
    """A finding that prevents an audit.

    :param problem: the error, whose exit code is used; a text means a fault of the index or the settings.
    :param advice: what to do.
    :param hosts: addresses to remove from the beginning of the error's text.
    """
    code = problem.exit_code if isinstance(problem, CrossAlignError) else InputError.exit_code
    text = str(problem).removeprefix("index: ")
    for host in hosts:
        text = text.removeprefix(f"{host}: ")
    return Finding(check, "missing", text, advice, max(code, InputError.exit_code))


def outside(check: str, seen: str, advice: str) -> Finding:
    """A fault of the cluster that stands in the way."""
    return Finding(check, "missing", seen, advice, ExternalError.exit_code)
