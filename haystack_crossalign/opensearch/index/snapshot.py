"""The state of an index before and after an audit, and what changed in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime

# Status codes of a cluster that does not support the request.
_UNKNOWN_REQUEST = frozenset({400, 404, 405})


@dataclass(frozen=True)
class IndexState:
    """The state of an index.

    :param uuid: changes if an index of the same name is created again.
    :param documents: number of documents, without deleted and nested ones.
    :param sequence_number: sum of the shards' highest sequence numbers: grows with every write and delete.
    """

    uuid: str
    documents: int
    sequence_number: int


@dataclass(frozen=True)
class Snapshot:
    """The indices behind a name, and their states.

    :param name: index or alias.
    :param indices: each real index by its name, sorted.
    :param aliases: names of the aliases of each index, sorted.
    """

    name: str
    indices: Mapping[str, IndexState]
    aliases: Mapping[str, Sequence[str]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "indices": {name: asdict(state) for name, state in self.indices.items()},
            "aliases": {name: list(aliases) for name, aliases in self.aliases.items()},
        }


def take_snapshot(client: ReadOnlyClient, name: str) -> Snapshot:
    """The state of an index or alias now.

    :param client: connection.
    :param name: index or alias.
    :raises CrossAlignError: there is no such index, or the cluster does not answer.
    """
    aliases = client.aliases(name)
    stats = client.stats(name, shards=True)
    indices = {}
    for index, stats_of_index in sorted(stats.get("indices", {}).items()):
        highest = [
            max((int(copy.get("seq_no", {}).get("max_seq_no", -1)) for copy in copies), default=-1)
            for copies in stats_of_index.get("shards", {}).values()
        ]
        documents = stats_of_index.get("primaries", {}).get("docs", {}).get("count", 0)
        indices[index] = IndexState(str(stats_of_index.get("uuid", "")), int(documents), sum(highest))
    return Snapshot(
        name, indices, {index: sorted(answer.get("aliases", {})) for index, answer in sorted(aliases.items())}
    )


def changes_between(before: Snapshot, after: Snapshot) -> list[str]:
    """Sentences on what happened to the index; empty if nothing did."""
    changes = []
    gone = sorted(before.indices.keys() - after.indices.keys())
    new = sorted(after.indices.keys() - before.indices.keys())
    if gone or new:
        changes.append(
            f"'{before.name}' stood for {', '.join(before.indices)} before the audit and stands for "
            f"{', '.join(after.indices) or 'no index'} now: the alias was switched while the audit ran"
        )
    for index in sorted(before.indices.keys() & after.indices.keys()):
        old, now = before.indices[index], after.indices[index]
        if old.uuid != now.uuid:
            changes.append(f"the index '{index}' was deleted and created again while the audit ran")
        elif old.sequence_number != now.sequence_number:
            changes.append(
                f"the index '{index}' was written to while the audit ran: {old.documents} documents before, "
                f"{now.documents} after; sequence number {old.sequence_number} before, {now.sequence_number} after"
            )
        elif old.documents != now.documents:
            changes.append(
                f"the index '{index}' shows {old.documents} documents before the audit and {now.documents} after it"
            )
        if sorted(before.aliases.get(index, ())) != sorted(after.aliases.get(index, ())):
            changes.append(f"the aliases of the index '{index}' were changed while the audit ran")
    return changes


@contextmanager
def frozen(
    client: ReadOnlyClient, index: str, warnings: list[str], *, keep_alive: str = "5m"
) -> Iterator[str | PointInTime]:
    """A point in time of the index; or the index itself, with a warning, if the cluster does not support it.

    :param client: connection; a point in time that cannot be closed is among its notes.
    :param index: index or alias.
    :param warnings: list to which the warning is added.
    :param keep_alive: how long the server keeps the view after each search.
    """
    with ExitStack() as stack:
        try:
            target: str | PointInTime = stack.enter_context(client.point_in_time(index, keep_alive=keep_alive))
        except RefusedRequestError as error:
            if error.status not in _UNKNOWN_REQUEST:
                raise
            warnings.append(
                f"this cluster has no points in time (status {error.status}): documents written or deleted while the "
                "audit runs may change some of its numbers"
            )
            target = index
        yield target
