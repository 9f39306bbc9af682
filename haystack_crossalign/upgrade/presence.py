"""What an upgrade needs and somebody else may have taken away: its two indices and the alias."""

from __future__ import annotations

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.upgrade.job import Index, Job


def holders(reader: ReadOnlyClient, alias: str) -> set[str]:
    """Indices that an alias points to; none where it was removed."""
    try:
        return set(reader.aliases(alias))
    except InputError:
        return set()


def what_is_gone(reader: ReadOnlyClient, job: Job) -> ExternalError | None:
    """What somebody else removed since the upgrade began, and what to do; None where all is there.

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
    """Whether the very index is there, and not another one of its name."""
    try:
        settings = reader.settings(index.name)
    except InputError:
        return False
    return index.name in settings and settings[index.name]["settings"].get("index.uuid") == index.uuid
