"""The new index: the old one's mapping, settings and aliases, set up for loading, then for use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from haystack_crossalign.opensearch.model.check import META_KEY
from haystack_crossalign.upgrade.source import Source

# What the server sets itself, or what describes where an index lies and not what it is.
_OF_THE_SERVER = re.compile(
    r"index\.(uuid|creation_date(_string)?|provided_name|version\..*|resize\..*|blocks\..*|verified_before_close"
    r"|routing\.allocation\.initial_recovery\..*|history\.uuid|remote_store\..*|replication\.type)"
)
_LOADING = {"index.refresh_interval": "-1", "index.number_of_replicas": "0", "index.gc_deletes": "0s"}
_AUTO_REPLICAS = "index.auto_expand_replicas"
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


def target_mapping(source: Source, model: Mapping[str, Any], dimension: int) -> dict[str, Any]:
    """The mapping of the new index: the same, naming the new model.

    :param source: the old index.
    :param model: description of the model of the new vectors.
    :param dimension: of the new vectors.
    """
    meta = dict(source.mapping.get("_meta", {}))
    own = meta.get(META_KEY)
    meta[META_KEY] = {**(own if isinstance(own, Mapping) else {}), "model": dict(model)}
    mapping = {**source.mapping, "_meta": meta}
    for field in source.vectors:
        if field.dimension != dimension:
            mapping = {
                **mapping,
                "properties": _with_dimension(mapping["properties"], field.name.split("."), dimension),
            }
    return mapping


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


def _with_dimension(properties: Mapping[str, Any], path: list[str], dimension: int) -> dict[str, Any]:
    name, *rest = path
    field = dict(properties[name])
    if rest:
        field["properties"] = _with_dimension(field["properties"], rest, dimension)
    else:
        field["dimension"] = dimension
    return {**properties, name: field}
