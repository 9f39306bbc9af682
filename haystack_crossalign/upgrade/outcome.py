"""The outcome of an upgrade, from the ledger and the run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from haystack_crossalign.upgrade.copy.writing import Refused
from haystack_crossalign.upgrade.records.job import Job


@dataclass
class Outcome:
    """What an upgrade did.

    :param state: state of the job in the ledger.
    :param alias: the alias.
    :param old_index: where it pointed.
    :param new_index: where it points now.
    :param counts: documents written, vectors and documents without one by field, documents removed, passes.
    :param refused: documents that cannot be upgraded, by id, routing and reason; then nothing was switched.
    :param verified: what the comparison of both indices found; None if it was not come to.
    :param seconds: time by step.
    :param blocked_seconds: how long nobody could write.
    :param follows: whether another process leads, which goes on where this one ended.
    :param missed: without a write block: number of ``operations`` that reached the old index after the last pass, and
        ``count`` and ids of the ``documents`` that only it has; None with one.
    """

    state: str
    alias: str
    old_index: str
    new_index: str
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    verified: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    blocked_seconds: float = 0.0
    follows: bool = False
    missed: dict[str, Any] | None = None


def outcome_of(job: Job, seconds: Mapping[str, float]) -> Outcome:
    """What the ledger says of an upgrade.

    :param job: in the ledger.
    :param seconds: time by step of this run; ``blocked`` is how long nobody could write.
    """
    return Outcome(
        job.state,
        job.alias,
        job.source.name,
        job.target.name,
        Counter(job.data.get("counts", {})),
        [(str(one), routing, str(why)) for one, routing, why in job.data.get("refused", [])],
        job.data.get("verified"),
        {name: round(value, 3) for name, value in seconds.items() if name != "blocked"},
        round(seconds.get("blocked", 0.0), 3),
        missed=job.data.get("missed"),
    )


class Timed:
    """Adds the time within the block to the seconds of a step."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name, self._began = seconds, name, 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + time.perf_counter() - self._began
