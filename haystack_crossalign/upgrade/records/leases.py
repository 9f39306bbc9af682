"""Leases of work, recorded in the ledger and kept by heartbeats."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from haystack_crossalign.errors import CrossAlignError, ExternalError
from haystack_crossalign.upgrade.records.ledger import Entry, Ledger, LedgerGoneError
from haystack_crossalign.upgrade.records.owner import Watch, told

FREE, HELD, DONE = "free", "held", "done"


class LeaseLostError(ExternalError):
    """Another process took over, since there was no heartbeat for too long."""


class Leases:
    """Leases of a process, renewed by a thread.

    :param ledger: the ledger.
    :param owner: the owner, from `haystack_crossalign.upgrade.records.owner.this_owner`.
    :param seconds: validity of a lease without a heartbeat; the interval between heartbeats is a third of it.
    """

    def __init__(self, ledger: Ledger, owner: Mapping[str, Any], *, seconds: float) -> None:
        self.ledger = ledger
        self.owner = dict(owner)
        self._watch = Watch(seconds)
        self._held: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._lost: CrossAlignError | None = None
        self._thread = threading.Thread(target=self._keep, args=(seconds / 3,), daemon=True)

    def __enter__(self) -> Leases:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            for name, entry in list(self._held.items()):
                self._give_back(name, entry)

    def check(self) -> None:
        """Stop if a lease was lost.

        :raises LeaseLostError: if another process continues the work.
        """
        if self._lost is not None:
            raise self._lost

    def take(self, name: str, more: Mapping[str, Any] | None = None) -> Entry | None:
        """Take a lease that is free or whose owner is dead; None if it is held or its work is done.

        :param name: id of its document.
        :param more: what its document says besides, when it is new.
        """
        there = self.ledger.read(name)
        taken: Entry | None
        if there is None:
            taken = self.ledger.add(name, {**(more or {}), **self._mark(HELD, 0)})
        elif there.data.get("state") == DONE or not self._can_take(name, there):
            return None
        else:
            taken = self.ledger.change(there, {**there.data, **self._mark(HELD, 0)})
        if taken is not None:
            with self._lock:
                self._held[name] = taken
        return taken

    def holder(self, name: str) -> str | None:
        """The holder of a lease, in words; None if there is none."""
        there = self.ledger.read(name)
        if there is None or there.data.get("state") != HELD or self._can_take(name, there):
            return None
        return told(there.data.get("owner", {}))

    def finish(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record that the work of a lease is done.

        :param facts: what the ledger should know of it.
        :raises LeaseLostError: somebody else has it.
        """
        self._settle(name, lambda data: {**data, **facts, **self._mark(DONE, 0)})

    def release(self, name: str) -> None:
        """Give a lease back without its work being done."""
        with self._lock:
            entry = self._held.get(name)
            if entry is not None:
                self._give_back(name, entry)

    def _can_take(self, name: str, there: Entry) -> bool:
        if there.data.get("state") != HELD:
            return True
        owner = there.data.get("owner", {})
        return owner.get("id") == self.owner["id"] or self._watch.is_given_up(name, owner, there.data.get("beat"))

    def _mark(self, state: str, beat: int) -> dict[str, Any]:
        return {"state": state, "owner": self.owner, "beat": beat}

    def _settle(self, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        with self._lock:
            entry = self._held.pop(name, None)
            changed = None if entry is None else self.ledger.change(entry, change(entry.data))
        if changed is None:
            raise LeaseLostError(f"'{name}' of the ledger was taken over by another run, which goes on with it")

    def _give_back(self, name: str, entry: Entry) -> None:
        self._held.pop(name, None)
        try:
            self.ledger.change(entry, {**entry.data, "state": FREE})
        except CrossAlignError:
            return  # the next process detects that its owner is dead

    def _keep(self, pause: float) -> None:
        while not self._stop.wait(pause):
            with self._lock:
                held = list(self._held.items())
                for name, entry in held:
                    try:
                        kept = self.ledger.change(entry, {**entry.data, "beat": int(entry.data["beat"]) + 1})
                    except LedgerGoneError as error:
                        self._held.pop(name)
                        self._lost = error
                        continue
                    except CrossAlignError:
                        continue  # the cluster is unavailable, which requests of the run will report
                    if kept is None:
                        self._held.pop(name)
                        self._lost = LeaseLostError(f"another run took over '{name}' of the ledger and goes on with it")
                    else:
                        self._held[name] = kept
