"""What is changed on the old index while it is copied: its mapping and settings are carried over to the new one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.upgrade.target import kept_settings
from haystack_crossalign.upgrade.writer import WriteClient, escaped

_VECTOR = "knn_vector"


def follow_mapping(client: WriteClient, reader: ReadOnlyClient, old: str, new: str) -> None:
    """Give the new index the fields that the old one has more.

    Called after the sequence numbers of a pass were read: the mapping of a document is there before the document is.

    :param client: connection that writes.
    :param reader: connection that reads.
    :param old: the old index.
    :param new: the new index.
    :raises ExternalError: a field has another type there, or other parameters that cannot be changed.
    """
    before = reader.mapping(old)[old]["mappings"]
    after = reader.mapping(new)[new]["mappings"]
    missing = missing_fields(before.get("properties", {}), after.get("properties", {}))
    body = {key: value for key, value in before.items() if key not in {"_meta", "properties"}}
    body = {key: value for key, value in body.items() if after.get(key) != value}
    if missing:
        body["properties"] = missing
    if not body:
        return
    try:
        client.request("PUT", f"/{escaped(new)}/_mapping", body=body)
    except RefusedRequestError as error:
        if error.status != 400:
            raise
        raise ExternalError(
            f"the mapping of '{old}' was changed while it was copied, and '{new}' cannot follow: {error}; nothing was "
            "switched; give the upgrade up (crossalign cleanup) and begin anew"
        ) from None


def missing_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a mapping that another lacks or has otherwise, with the objects around them.

    :param before: ``properties`` of the one.
    :param after: ``properties`` of the other.
    """
    found: dict[str, Any] = {}
    for name, field in before.items():
        there = after.get(name)
        if there is None:
            found[name] = field
        elif there == field or there.get("type") == field.get("type") == _VECTOR:
            # Vectors of the new model may have another dimension; a vector field cannot be changed anyway.
            continue
        else:
            own = {key: value for key, value in field.items() if key != "properties"}
            within = missing_fields(field.get("properties", {}), there.get("properties", {}))
            if within:
                found[name] = {**own, "properties": within}
            elif own != {key: value for key, value in there.items() if key != "properties"}:
                found[name] = own
    return found


def changed_settings(began: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the old index that were changed since the upgrade began; None for those that were taken away.

    :param began: its settings then, with flat names.
    :param now: its settings now.
    """
    began, now = kept_settings(began), kept_settings(now)
    names: Collection[str] = began.keys() | now.keys()
    changed = {name: now.get(name) for name in sorted(names) if began.get(name) != now.get(name)}
    if now.get("index.auto_expand_replicas", "false") != "false":
        changed.pop("index.number_of_replicas", None)  # the server sets it itself
    return changed
