"""The new index: the old one's mapping, settings and aliases, set up for loading, then for use."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.opensearch.model.check import FIELDS_KEY, META_KEY
from haystack_crossalign.upgrade.documents.source import Source
from haystack_crossalign.upgrade.writes.writer import WriteClient, escaped

# What the server sets itself, or what describes where an index lies and not what it is.
_OF_THE_SERVER = re.compile(
    r"index\.(uuid|creation_date(_string)?|provided_name|version\..*|resize\..*|blocks\..*|verified_before_close"
    r"|routing\.allocation\.initial_recovery\..*|history\.uuid|remote_store\..*|replication\.type)"
)
_LOADING = {"index.refresh_interval": "-1", "index.number_of_replicas": "0", "index.gc_deletes": "0s"}
_AUTO_REPLICAS = "index.auto_expand_replicas"
_VECTOR = "knn_vector"
PIPELINES = ("index.default_pipeline", "index.final_pipeline")
"""Settings that name ingest pipelines."""


def target_settings(source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the new index while it is filled, and what they are changed to after that.

    Ingest pipelines stay away while documents are copied: each has passed through them once.

    :param source: the old index.
    """
    kept = kept_settings(source.settings)
    later = {name: kept.get(name) for name in _LOADING}
    if kept.pop(_AUTO_REPLICAS, "false") != "false":
        later[_AUTO_REPLICAS] = source.settings[_AUTO_REPLICAS]
        later.pop("index.number_of_replicas")
    for name in PIPELINES:
        if name in kept:
            later[name] = kept.pop(name)
    if "index.replication.type" in source.settings:
        kept["index.replication.type"] = source.settings["index.replication.type"]
    return kept | _LOADING, later


def kept_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of an index that a copy of it gets too, with flat names."""
    return {name: value for name, value in settings.items() if not _OF_THE_SERVER.fullmatch(name)}


def target_mapping(source: Source, model: Mapping[str, Any], dimension: int, *, beside: str = "") -> dict[str, Any]:
    """The mapping of the new index: the same, naming the new model.

    :param source: the old index.
    :param model: description of the model of the new vectors.
    :param dimension: of the new vectors.
    :param beside: what is put after the name of a field for a field with the new vectors, while it keeps the old ones;
        nothing for one field.
    """
    meta = dict(source.mapping.get("_meta", {}))
    stored = meta.get(META_KEY)
    own: dict[str, Any] = dict(stored) if isinstance(stored, Mapping) else {}
    fields: dict[str, Any] = dict(own.get(FIELDS_KEY) or {})
    names = [field.name + beside for field in source.vectors]
    # A field with a model of its own keeps that form; all others have the model of the index.
    named = names if beside else [name for name in names if name in fields]
    if named:
        own[FIELDS_KEY] = fields | {name: dict(model) for name in named}
    if len(named) < len(names):
        own["model"] = dict(model)
    meta[META_KEY] = own
    properties = source.mapping["properties"]
    for field in source.vectors:
        if beside or field.dimension != dimension:
            properties = _with_field(properties, field.name.split("."), beside, dimension)
    return {**source.mapping, "_meta": meta, "properties": properties}


def target_name(alias: str, day: str, digest: str) -> str:
    """Name of the new index.

    :param alias: the alias.
    :param day: date as ``20261129``.
    :param digest: hash of the model or matrix.
    """
    return f"{alias.lower()}-{day}-{digest[:8].lower()}"


def switch_actions(aliases: Mapping[str, Mapping[str, Any]], old: str, new: str) -> list[dict[str, Any]]:
    """What takes every alias from one index to another at once, its filter, routing and ``is_write_index`` kept.

    Removing comes first and must find the alias: so the whole is refused where somebody moved it meanwhile.
    """
    removed = [{"remove": {"index": old, "alias": alias, "must_exist": True}} for alias in sorted(aliases)]
    added = [{"add": {"index": new, "alias": alias, **options}} for alias, options in sorted(aliases.items())]
    return removed + added


def _with_field(properties: Mapping[str, Any], path: list[str], beside: str, dimension: int) -> dict[str, Any]:
    name, *rest = path
    field = dict(properties[name])
    if rest:
        field["properties"] = _with_field(field["properties"], rest, beside, dimension)
        return {**properties, name: field}
    return {**properties, name + beside: field | {"dimension": dimension}}


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
    missing: dict[str, Any] = {}
    for name, field in before.items():
        there = after.get(name)
        if there is None:
            missing[name] = field
        elif there == field or there.get("type") == field.get("type") == _VECTOR:
            # Vectors of the new model may have another dimension; a vector field cannot be changed anyway.
            continue
        else:
            own = {key: value for key, value in field.items() if key != "properties"}
            within = missing_fields(field.get("properties", {}), there.get("properties", {}))
            if within:
                missing[name] = {**own, "properties": within}
            elif own != {key: value for key, value in there.items() if key != "properties"}:
                missing[name] = own
    return missing


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
