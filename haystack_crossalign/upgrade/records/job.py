"""An upgrade in the ledger: its indices, its state, and the writes that are allowed in it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.upgrade.documents.reading import Unit
from haystack_crossalign.upgrade.records.leases import LeaseLostError
from haystack_crossalign.upgrade.records.ledger import Entry, Ledger
from haystack_crossalign.upgrade.writes.grants import Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient

SCHEMA = "crossalign.upgrade/1"

CREATING, COPYING, CATCHING_UP, BLOCKED = "creating", "copying", "catching up", "blocked"
SWITCHED, ROLLING_BACK, ROLLED_BACK, ABANDONED = "switched", "rolling back", "rolled back", "abandoned"
UNFINISHED = (CREATING, COPYING, CATCHING_UP, BLOCKED)


@dataclass(frozen=True)
class Index:
    """An index and its identity."""

    name: str
    uuid: str | None


class Job:
    """The entry of an alias's upgrade.

    :param ledger: the ledger.
    :param entry: the entry as read or written.
    """

    def __init__(self, ledger: Ledger, entry: Entry) -> None:
        self._ledger = ledger
        self._entry = entry

    @property
    def ledger(self) -> Ledger:
        """Where it stands."""
        return self._ledger

    @property
    def data(self) -> Mapping[str, Any]:
        """What the ledger says."""
        return self._entry.data

    @property
    def state(self) -> str:
        """How far it has come."""
        return str(self.data["state"])

    @property
    def alias(self) -> str:
        """The alias that people know."""
        return str(self.data["alias"])

    @property
    def source(self) -> Index:
        """The old index."""
        return Index(**self.data["source"])

    @property
    def target(self) -> Index:
        """The new index."""
        return Index(**self.data["target"])

    @property
    def aliases(self) -> Mapping[str, Mapping[str, Any]]:
        """Every alias that moves, with its options."""
        aliases: Mapping[str, Mapping[str, Any]] = self.data["aliases"]
        return aliases

    @property
    def beside(self) -> str:
        """What stands after a field's name for the new vectors, where the old ones are kept; else nothing."""
        return str(self.data["way"].get("beside", ""))

    def checkpoints(self, name: str) -> dict[int, int]:
        """Sequence numbers by shard that were kept under a name; empty if none were."""
        return {int(shard): int(number) for shard, number in (self.data.get(name) or {}).items()}

    def grant(self, *, fill_source: bool = False, delete: Sequence[str] = ()) -> Grant:
        """What may be written in the name of this upgrade.

        :param fill_source: whether documents are carried over to the old index.
        :param delete: indices that are deleted; only those that the ledger names.
        :raises InputError: another index is to be deleted.
        """
        own = {self.source.name, self.target.name, *(entry["target"]["name"] for entry in self.data.get("history", []))}
        own |= {entry["source"]["name"] for entry in self.data.get("history", [])}
        for name in delete:
            if name not in own:
                raise InputError("is no index of an upgrade", source=name, allowed=", ".join(sorted(own)))
        return Grant(
            target=self.target.name,
            source=self.source.name,
            aliases=frozenset(self.aliases),
            delete=frozenset(delete),
            fill_source=fill_source,
            ledger=self._ledger.index,
        )

    def update(self, **changes: Any) -> None:
        """Change the entry.

        :raises LeaseLostError: if another process changed it, which then continues the upgrade.
        """
        changed = self._ledger.change(self._entry, {**self.data, **changes, "changed": now()})
        if changed is None:
            raise LeaseLostError(f"another run changed the upgrade of '{self.alias}' in the ledger and goes on with it")
        self._entry = changed

    def reload(self) -> None:
        """Read the entry again, as others may have changed it."""
        there = self._ledger.read(self._entry.identifier)
        if there is None:
            raise LeaseLostError(f"the upgrade of '{self.alias}' is gone from the ledger")
        self._entry = there

    def unit_name(self, unit: Unit) -> str:
        """Id of a unit's entry."""
        return f"unit-{self.data['id']}-{unit.shard}-{unit.low}"


def job_name(alias: str) -> str:
    """Id of the entry of an alias's upgrade."""
    return f"upgrade-{alias}"


def lease_name(alias: str) -> str:
    """Id of the lease of who leads an alias's upgrade."""
    return f"lease-{alias}"


def read_job(ledger: Ledger, alias: str) -> Job | None:
    """The upgrade of an alias in any state; None if there was none."""
    entry = ledger.read(job_name(alias))
    return None if entry is None else Job(ledger, entry)


def find_job(reader: ReadOnlyClient, alias: str) -> Job | None:
    """The upgrade of an alias, for reading only; None if there was none."""
    client = WriteClient(reader, Grant())
    try:
        return read_job(Ledger(client), alias)
    finally:
        client.close()


def begin_job(ledger: Ledger, before: Job | None, facts: Mapping[str, Any]) -> Job:
    """Begin a new upgrade; a finished one is moved to the history.

    :param ledger: where it is to stand.
    :param before: the upgrade that is over, or None.
    :param facts: ``alias``, ``source``, ``target``, ``aliases`` and what the steps need.
    :raises LeaseLostError: another run was faster.
    """
    history = []
    if before is not None:
        kept = ("id", "source", "target", "state", "began", "changed", "model", "left_behind", "left_behind_count",
                "missed")  # fmt: skip
        history = [*before.data.get("history", []), {key: before.data[key] for key in kept if key in before.data}]
    data = {
        "schema": SCHEMA,
        "id": secrets.token_hex(8),
        "state": CREATING,
        "began": now(),
        "changed": now(),
        **facts,
        "history": history,
    }
    name = job_name(str(facts["alias"]))
    entry = ledger.add(name, data) if before is None else ledger.change(before._entry, data)
    if entry is None:
        raise LeaseLostError(f"another run began an upgrade of '{facts['alias']}' at the same moment")
    return Job(ledger, entry)


def now() -> str:
    """The time, as the ledger keeps it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def holders(reader: ReadOnlyClient, alias: str) -> set[str]:
    """Indices that an alias points to; none where it was removed."""
    try:
        return set(reader.aliases(alias))
    except InputError:
        return set()


def what_is_gone(reader: ReadOnlyClient, job: Job) -> ExternalError | None:
    """What somebody else removed since the upgrade began, with advice; None if nothing is missing.

    :param reader: connection.
    :param job: in the ledger.
    """
    host = reader.hosts[0]
    if not _is_there(reader, job.source):
        return ExternalError(
            f"{host}: the old index '{job.source.name}' was deleted by somebody else since the upgrade began; nothing "
            f"was switched. The new index '{job.target.name}' is not complete; give the upgrade up (crossalign cleanup)"
        )
    if job.target.uuid is not None and not _is_there(reader, job.target):
        return ExternalError(
            f"{host}: the new index '{job.target.name}' was deleted or made again by somebody else; give the upgrade "
            "up (crossalign cleanup) and begin anew"
        )
    if not holders(reader, job.alias):
        return ExternalError(
            f"{host}: the alias '{job.alias}' was removed by somebody else since the upgrade began, so nothing was "
            f"switched and '{job.source.name}' is as it was. Give it the alias again (POST /_aliases) and run the same "
            "command, or give the upgrade up (crossalign cleanup)"
        )
    return None


def _is_there(reader: ReadOnlyClient, index: Index) -> bool:
    """Whether exactly this index exists, and not another one of the same name."""
    try:
        settings = reader.settings(index.name)
    except InputError:
        return False
    return index.name in settings and settings[index.name]["settings"].get("index.uuid") == index.uuid
