"""Create the new index, and configure it for use once it is filled."""

from __future__ import annotations

import time
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.opensearch.model.check import META_KEY
from haystack_crossalign.upgrade.documents.target import PIPELINES, changed_settings
from haystack_crossalign.upgrade.plan import Plan
from haystack_crossalign.upgrade.records.job import Job, what_is_gone
from haystack_crossalign.upgrade.writes.writer import WriteClient, escaped

UPGRADE_KEY = "upgrade"
"""Key beside the model in ``_meta.crossalign``: the upgrade that made the index."""

_LAST = frozenset({*PIPELINES, "index.gc_deletes"})


def create_target(client: WriteClient, reader: ReadOnlyClient, job: Job, plan: Plan) -> str:
    """Create the new index, or find the one that this upgrade created before it was interrupted.

    :returns: its UUID.
    :raises InputError: if an index of that name belongs to somebody else, or the server rejects mapping or settings.
    """
    mapping = dict(plan.mapping)
    own = {**mapping["_meta"][META_KEY], UPGRADE_KEY: job.data["id"]}
    mapping["_meta"] = {**mapping["_meta"], META_KEY: own}
    body = {"settings": plan.settings, "mappings": mapping}
    try:
        client.request("PUT", f"/{escaped(job.target.name)}", body=body)
    except RefusedRequestError as error:
        if "already exists" not in str(error) and "resource_already_exists" not in str(error):
            raise
        there = reader.mapping(job.target.name)[job.target.name]["mappings"]
        if there.get("_meta", {}).get(META_KEY, {}).get(UPGRADE_KEY) != job.data["id"]:
            raise InputError("an index of that name is there and not of this upgrade", source=job.target.name) from None
    return _uuid(reader, job.target.name)


def require_all(reader: ReadOnlyClient, job: Job) -> None:
    """Stop if an index or the alias was removed or recreated by somebody else.

    :raises ExternalError: if it was.
    """
    gone = what_is_gone(reader, job)
    if gone is not None:
        raise gone


def restore(client: WriteClient, reader: ReadOnlyClient, job: Job) -> None:
    """Restore refresh and replicas of the new index, and wait for the replicas.

    :raises ExternalError: if the replicas are not ready within the client's retry time.
    """
    settings = {name: value for name, value in job.data["later"].items() if name not in _LAST}
    client.settings(job.target.name, settings)
    client.refresh(job.target.name)
    wanted = reader.health(job.source.name).get("status")
    deadline = time.monotonic() + client.patience.total
    while wanted == "green" and reader.health(job.target.name).get("status") != "green":
        if time.monotonic() > deadline:
            raise ExternalError(f"{client.host}: the replicas of '{job.target.name}' are not ready yet; run it again")
        time.sleep(0.5)


def hold_back(client: WriteClient, job: Job) -> None:
    """Undo `restore_last` of a run that ended without a switch, before more is copied.

    Documents have already passed through the pipelines, and `gc_deletes` allows them to be created again.
    """
    client.settings(job.target.name, {**dict.fromkeys(PIPELINES), "index.gc_deletes": "0s"})


def restore_last(client: WriteClient, reader: ReadOnlyClient, job: Job) -> None:
    """Set the ingest pipelines of the new index after copying, and settings changed meanwhile."""
    settings: dict[str, Any] = {name: value for name, value in job.data["later"].items() if name in _LAST}
    now = reader.settings(job.source.name)[job.source.name]["settings"]
    settings |= changed_settings(job.data.get("settings", now), now)
    client.settings(job.target.name, settings)


def _uuid(reader: ReadOnlyClient, index: str) -> str:
    return str(reader.settings(index)[index]["settings"]["index.uuid"])
