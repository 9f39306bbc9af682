"""Owner of an upgrade: recorded in the ledger, so that a second run is stopped and a dead owner's work is taken
over.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_owner() -> dict[str, Any]:
    """The running process, as the ledger names it."""
    return {
        "id": secrets.token_hex(8),
        "host": socket.gethostname(),
        "space": _space(),
        "pid": os.getpid(),
        "process_started": _process_start(os.getpid()),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether a process in the ledger has certainly ended; False if this cannot be determined here."""
    if not owner.get("space") or (owner.get("host"), owner.get("space")) != (socket.gethostname(), _space()):
        return False
    pid = owner.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    return _process_start(pid) != owner.get("process_started")


def told(owner: Mapping[str, Any]) -> str:
    """An owner in words."""
    return f"process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')}"


def _space() -> str:
    """Scope in which process ids are unique: a boot of a machine, and a namespace. Empty if unknown."""
    try:
        return f"{_BOOT.read_text(encoding='ascii').strip()} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """Start time of a process, in the system's units; None if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    # A zombie process has ended.
    return None if fields[0] in {"Z", "X"} else fields[19]


class Watch:
    """Detects an abandoned lease: its heartbeat does not change for its whole validity, by the observer's clock.

    :param seconds: how long a lease is good for without a beat.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._seen: dict[str, tuple[Any, float]] = {}

    def is_given_up(self, name: str, owner: Mapping[str, Any], beat: object) -> bool:
        """Whether the owner of a lease is dead, or silent for too long.

        :param name: of the lease.
        :param owner: who holds it.
        :param beat: its last beat, anything that changes from one to the next.
        """
        if is_dead(owner):
            return True
        now = time.monotonic()
        seen = (owner.get("id"), beat)
        before, since = self._seen.get(name, (None, now))
        if before != seen:
            self._seen[name] = (seen, now)
            return False
        return now - since > self.seconds
