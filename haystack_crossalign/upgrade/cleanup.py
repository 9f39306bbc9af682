"""Delete indices left by upgrades: unfinished and rolled-back ones, and on request the old index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.upgrade.records.job import (
    ABANDONED,
    BLOCKED,
    ROLLED_BACK,
    SWITCHED,
    UNFINISHED,
    Job,
    lease_name,
    read_job,
)
from haystack_crossalign.upgrade.records.leases import Leases
from haystack_crossalign.upgrade.records.ledger import Ledger
from haystack_crossalign.upgrade.records.owner import this_owner
from haystack_crossalign.upgrade.writes.grants import UNBLOCK, Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient, escaped


@dataclass(frozen=True)
class Leftover:
    """An index that may be deleted.

    :param index: its name.
    :param uuid: its identity in the ledger.
    :param why: reason why it was left.
    :param only_here: documents that are in no other index: a rollback left them behind, or they were written in the
        moment of a switch without a write block.
    """

    index: str
    uuid: str
    why: str
    only_here: int = 0


def leftovers(reader: ReadOnlyClient, alias: str, *, old: bool) -> list[Leftover]:
    """Indices that could be deleted, to none of which an alias points.

    :param reader: connection.
    :param alias: the alias.
    :param old: also the old index of a switched upgrade, which a rollback would need.
    :raises InputError: the ledger knows of no upgrade.
    """
    job = read_job(Ledger(WriteClient(reader, Grant())), alias)
    if job is None:
        raise InputError("no upgrade of this alias is in the ledger", source=alias)
    leftovers_by_index: dict[str, Leftover] = {}
    for entry in [*job.data.get("history", []), job.data]:
        target, source, state = entry["target"], entry["source"], entry["state"]
        if state in UNFINISHED or state in (ROLLED_BACK, ABANDONED):
            left = entry.get("left_behind_count", len(entry.get("left_behind", []))) if state == ROLLED_BACK else 0
            leftovers_by_index[target["name"]] = Leftover(
                target["name"], target["uuid"] or "", f"new index, {state}", left
            )
        if old and state == SWITCHED:
            missed = (entry.get("missed") or {}).get("count", 0)
            leftovers_by_index[source["name"]] = Leftover(source["name"], source["uuid"], "old index, replaced", missed)
    return [leftover for leftover in leftovers_by_index.values() if _is_unused(reader, leftover)]


def clean_up(
    reader: ReadOnlyClient,
    alias: str,
    chosen: Sequence[Leftover],
    *,
    left_behind: bool = False,
    lease: float = 30.0,
) -> list[str]:
    """Delete leftovers, and abandon an unfinished upgrade.

    :param reader: connection.
    :param alias: the alias.
    :param chosen: some results of `leftovers`.
    :param left_behind: also those with documents that are in no other index.
    :param lease: seconds without a heartbeat after which the work of another process is taken over.
    :returns: names of the deleted indices.
    :raises InputError: if an upgrade of the alias is running, or documents would be lost; nothing was deleted.
    """
    if not left_behind and (kept := [leftover for leftover in chosen if leftover.only_here]):
        raise InputError(
            f"holds {kept[0].only_here} documents that are in no other index: a rollback left them behind, or they "
            "were written in the moment of a switch without a write block",
            source=kept[0].index,
            allowed="to carry them over yourself first, or --left-behind to delete them too",
        )
    client = WriteClient(reader, Grant())
    ledger = Ledger(client)
    deleted = []
    try:
        with Leases(ledger, this_owner(), seconds=lease) as leases:
            if leases.take(lease_name(alias)) is None:
                raise InputError(
                    f"is worked on by {leases.holder(lease_name(alias)) or 'another process'}", source=alias
                )
            job = read_job(ledger, alias)
            if job is None:
                raise InputError("no upgrade of this alias is in the ledger", source=alias)
            client.grant = job.grant(delete=[leftover.index for leftover in chosen])
            _give_up(client, job)
            for leftover in chosen:
                if _is_unused(reader, leftover):
                    client.request("DELETE", f"/{escaped(leftover.index)}", repeat=False)
                    deleted.append(leftover.index)
    finally:
        client.close()
    return deleted


def _give_up(client: WriteClient, job: Job) -> None:
    if job.state not in UNFINISHED:
        return
    if job.state == BLOCKED:
        client.settings(job.source.name, UNBLOCK)
    job.update(state=ABANDONED)


def _is_unused(reader: ReadOnlyClient, one: Leftover) -> bool:
    """Whether exactly this index exists, and no alias points to it."""
    try:
        settings = reader.settings(one.index)
    except InputError:
        return False
    if set(settings) != {one.index}:
        return False
    uuid = str(settings[one.index]["settings"]["index.uuid"])
    # An index created just before its run ended has no identity in the ledger yet.
    return uuid == (one.uuid or uuid) and not reader.aliases(one.index)[one.index].get("aliases")
