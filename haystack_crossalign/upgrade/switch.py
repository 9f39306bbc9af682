"""The switch: a short write block, the last pass, and one call that moves all aliases."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.upgrade.create import restore_last
from haystack_crossalign.upgrade.documents.reading import cut_into_units, find_documents, key_of, read_unit
from haystack_crossalign.upgrade.documents.source import sequence_numbers, write_block
from haystack_crossalign.upgrade.documents.target import follow_mapping, switch_actions
from haystack_crossalign.upgrade.records.job import BLOCKED, CATCHING_UP, SWITCHED, Job, holders, what_is_gone
from haystack_crossalign.upgrade.writes.grants import UNBLOCK
from haystack_crossalign.upgrade.writes.writer import WriteClient

if TYPE_CHECKING:
    from haystack_crossalign.upgrade.records.leases import Leases

_KEPT = 1000


def is_switched(reader: ReadOnlyClient, job: Job) -> bool:
    """Whether the alias already points to the new index, because an earlier run ended between switch and ledger."""
    return holders(reader, job.alias) == {job.target.name}


def block_and_switch(
    client: WriteClient,
    reader: ReadOnlyClient,
    job: Job,
    leases: Leases,
    *,
    blocks: bool,
    last_pass: Callable[[], None],
) -> float:
    """The last pass and the switch.

    :param client: the connection that writes.
    :param reader: the connection that reads.
    :param job: in the ledger.
    :param leases: of the run.
    :param blocks: whether the old index takes no writes meanwhile.
    :param last_pass: brings over what was written since the pass before.
    :returns: seconds in which nobody could write.
    :raises ExternalError: numbers of documents differ, or the alias was moved; then writes are allowed again.
    """
    leases.check()
    began = time.monotonic()
    if write_block(reader.settings(job.source.name)[job.source.name]["settings"]):
        raise ExternalError(
            f"{client.host}: somebody else blocked writes to '{job.source.name}' since the upgrade began; nothing was "
            "switched; lift the block and run the same command again"
        )
    if blocks:
        job.update(state=BLOCKED)
    try:
        if blocks:
            client.block_writes(job.source.name)
        last_pass()
        client.refresh(job.target.name)
        refused = job.data.get("refused")
        if blocks and not refused:
            _check_counts(reader, job)
        if refused:
            raise ExternalError(f"document '{refused[0][0]}' cannot be upgraded: {refused[0][2]}; nothing was switched")
        # Documents read again at the end of the pass may have a field that was added in between.
        follow_mapping(client, reader, job.source.name, job.target.name)
        restore_last(client, reader, job)
        leases.check()
        # Everything up to now was written by us; later writes came after the switch.
        numbers = sequence_numbers(reader, job.target.name)
        job.update(at_switch={str(shard): highest for shard, (_, highest) in numbers.items()}, blocks=blocks)
        if (gone := what_is_gone(reader, job)) is not None:
            raise gone
        move_aliases(client, reader, job)
    except BaseException:
        if blocks and not is_switched(reader, job):
            client.settings(job.source.name, UNBLOCK)
            job.update(state=CATCHING_UP)
        raise
    seconds = time.monotonic() - began if blocks else 0.0
    settle_switch(client, reader, job)
    return seconds


def settle_switch(client: WriteClient, reader: ReadOnlyClient, job: Job) -> None:
    """Finish after the aliases have moved, also for an earlier run that was interrupted.

    :param client: the connection that writes.
    :param reader: the connection that reads.
    :param job: in the ledger.
    """
    if job.data.get("blocks", True):
        job.update(state=SWITCHED)
        return
    # Applications that write by the index's own name get an error instead of writing to an unused index.
    client.block_writes(job.source.name)
    job.update(state=SWITCHED, missed=_missed(client, reader, job))


def _missed(client: WriteClient, reader: ReadOnlyClient, job: Job) -> dict[str, Any]:
    """What reached the old index after the last pass: number of operations, and the documents that only it has; up to
    which sequence numbers that is.

    Of deletes, and of changes that another one overwrote, only the number is known.
    """
    old, new = job.source.name, job.target.name
    client.refresh(old)
    client.refresh(new)
    since = job.checkpoints("read")
    upto = {shard: highest for shard, (_, highest) in sequence_numbers(reader, old).items()}
    missed: list[str] = []
    for unit in cut_into_units(since, upto, int(job.data["unit"])):
        for hits in read_unit(reader, old, unit, page=1000, source=False):
            there = find_documents(reader, new, [key_of(hit) for hit in hits], source=False)
            missed += [
                str(hit["_id"])
                for hit in hits
                if key_of(hit) not in there or there[key_of(hit)]["_version"] < hit["_version"]
            ]
    operations = sum(max(0, highest - since.get(shard, -1)) for shard, highest in upto.items())
    ends = {str(shard): highest for shard, highest in upto.items()}
    return {"operations": operations, "count": len(missed), "documents": missed[:_KEPT], "upto": ends}


def move_aliases(client: WriteClient, reader: ReadOnlyClient, job: Job, *, back: bool = False) -> None:
    """Move all aliases of an index in one atomic call.

    A rollback moves the current aliases, since a filter set meanwhile may restrict access.

    :param back: from the new index to the old one.
    :raises ExternalError: an alias points elsewhere, or, on the way forth, was given other options meanwhile.
    """
    old, new = (job.target.name, job.source.name) if back else (job.source.name, job.target.name)
    held = reader.aliases(old).get(old, {}).get("aliases", {})
    elsewhere = holders(reader, job.alias)
    if elsewhere != {old} or (not back and held != job.aliases):
        raise ExternalError(_moved(client, job, sorted(elsewhere)))
    if back:
        client.grant = replace(client.grant, aliases=frozenset(held))
    try:
        client.request("POST", "/_aliases", body={"actions": switch_actions(held, old, new)}, repeat=False)
    except RefusedRequestError as error:
        if error.status != 404:
            raise
        raise ExternalError(_moved(client, job, sorted(holders(reader, job.alias)))) from None


def _moved(client: WriteClient, job: Job, now: list[str]) -> str:
    return (
        f"{client.host}: the aliases of '{job.source.name}' were changed by somebody else since the upgrade began "
        f"('{job.alias}' points to {', '.join(now) or 'nothing'}), so nothing was switched"
    )


def _check_counts(reader: ReadOnlyClient, job: Job) -> None:
    old, new = reader.count(job.source.name), reader.count(job.target.name)
    if old != new:
        raise ExternalError(
            f"{reader.hosts[0]}: '{job.source.name}' has {old} documents and '{job.target.name}' {new}; nothing was "
            "switched"
        )
