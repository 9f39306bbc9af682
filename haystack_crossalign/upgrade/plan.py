"""The plan of an upgrade and its cost, determined without writing anything."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import MissingPermissionError, RefusedRequestError
from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.opensearch.index.mapped_fields import flatten_mapping
from haystack_crossalign.upgrade.documents.reading import Unit, page_size, read_unit
from haystack_crossalign.upgrade.documents.source import (
    Source,
    checkpoints,
    read_source,
    refuse_write_block,
    write_block,
)
from haystack_crossalign.upgrade.documents.target import target_mapping, target_name, target_settings
from haystack_crossalign.upgrade.documents.vectors import move
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.records.job import BLOCKED, UNFINISHED, find_job, what_is_gone
from haystack_crossalign.upgrade.ways import NewVectors, check_fit
from haystack_crossalign.upgrade.writes.grants import LEDGER
from haystack_crossalign.upgrade.writes.rights import MissingRight, missing_rights, require_rights

_SAMPLE = 256


@dataclass(frozen=True)
class Plan:
    """A planned upgrade.

    :param source: the old index.
    :param new: where new vectors come from.
    :param target: name of the new index.
    :param settings: of the new index while it is filled.
    :param later: settings that it gets after that.
    :param mapping: of the new index.
    :param documents: number of documents.
    :param size: bytes of the old index's primaries.
    :param free: least free bytes of a node; None if they cannot be read.
    :param page: documents of a page.
    :param rate: documents per second that one process reads and computes, from a sample; writing comes on top.
    :param without: documents without a vector, by field.
    :param notes: what a user should know.
    :param beside: what stands after a field's name for the field of the new vectors, where the old ones are kept.
    :param missing: rights that the user lacks; with one that is needed, nothing is begun.
    """

    source: Source
    new: NewVectors
    target: str
    settings: dict[str, Any]
    later: dict[str, Any]
    mapping: dict[str, Any]
    documents: int
    size: int
    free: int | None
    page: int
    rate: float | None
    without: dict[str, int]
    notes: tuple[str, ...]
    missing: tuple[MissingRight, ...] = ()
    beside: str = ""

    @property
    def new_fields(self) -> list[str]:
        """Fields of the new vectors."""
        return [field.name + self.beside for field in self.source.vectors]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "alias": self.source.alias,
            "old_index": self.source.index,
            "new_index": self.target,
            "way": self.new.kind,
            "sha256": self.new.sha256,
            "model": self.new.model,
            "documents": self.documents,
            "bytes": self.size,
            "free_bytes": self.free,
            "vector_fields": [field.name for field in self.source.vectors],
            "new_vector_fields": self.new_fields,
            "other_vector_fields": list(self.source.other_vectors),
            "documents_without_vector": self.without,
            "aliases": self.source.aliases,
            "settings_while_loading": self.settings,
            "settings_after": self.later,
            "documents_per_second": self.rate,
            "missing_rights": [
                {
                    "permission": right.permission,
                    "index": right.index,
                    "purpose": right.purpose,
                    "optional": right.optional,
                }
                for right in self.missing
            ],
            "notes": list(self.notes),
        }


def make_plan(client: ReadOnlyClient, alias: str, new: NewVectors, options: UpgradeOptions) -> Plan:
    """Look at the index, and measure a sample of the work.

    :param client: connection.
    :param alias: name that stands for the index.
    :param new: where new vectors come from.
    :param options: the user's choices.
    :raises InputError: something stands in the way; nothing was written.
    :raises MissingPermissionError: the user may not read what a plan needs; each right that lacks is named.
    """
    target = target_name(alias, datetime.now(UTC).strftime("%Y%m%d"), new.sha256)
    try:
        source = _read_source(client, alias, options)
    except MissingPermissionError:
        require_rights(client, missing_rights(client, alias, None, target))
        raise
    missing = missing_rights(client, alias, source.index, target)
    if any(right.reads for right in missing):
        require_rights(client, missing)
    if write_block(source.settings):
        job = find_job(client, alias)
        # A run interrupted in its last pass leaves a write block of ours.
        if job is None or job.state != BLOCKED or job.source.uuid != source.uuid:
            refuse_write_block(source.settings, source.index)
    beside = f"_{new.sha256[:8].lower()}" if options.keep_old_vectors else ""
    _check_beside(source, beside)
    _check_kept(source, options)
    notes = check_fit(source, new, accept=options.accept_model)
    settings, later = target_settings(source)
    documents = client.count(source.index)
    size = _bytes(client, source.index)
    rate, page = _measure(client, source, new, size / max(documents, 1), beside)
    without = {field.name: client.count(source.index, _lacks_vector(field)) for field in source.vectors}
    notes += [
        f"{count} of {documents} documents have no vector in '{name}': they are kept as they are"
        for name, count in without.items()
        if count
    ]
    if options.language_field in dict(flatten_mapping(source.mapping.get("properties", {}))):
        untagged = client.count(source.index, {"bool": {"must_not": [{"exists": {"field": options.language_field}}]}})
        if untagged:
            notes.append(f"{untagged} documents name no language: they are upgraded like all others")
    notes += [f"the vectors in '{name}' are kept as they are" for name in source.other_vectors]
    if source.hidden:
        notes.append(
            f"{', '.join(source.hidden)} is left out of the sources: every document with a text gets a vector there"
        )
    if beside:
        kept, made = ([field.name + end for field in source.vectors] for end in ("", beside))
        notes.append(
            f"{', '.join(kept)} keeps the old vectors, and searches of it find what they found before; queries of the "
            f"new model name {', '.join(made)}. Until crossalign cleanup --old-vectors the new index holds both"
        )
    if not options.write_block:
        notes.append(
            f"no write block: what is written to {source.index} between the last pass and the switch stays there only; "
            "it is counted and named afterwards"
        )
    free = _free_bytes(client, notes)
    if free is not None and free < 2 * size:
        notes.append(f"{free:,} bytes are free on the fullest node, and the new index takes about {size:,}")
    return Plan(
        source,
        new,
        _free_name(client, target),
        settings,
        later,
        target_mapping(source, new.model, new.dimension, beside=beside),
        documents,
        size,
        free,
        page,
        rate,
        without,
        tuple(notes),
        missing,
        beside,
    )


def _check_kept(source: Source, options: UpgradeOptions) -> None:
    """Reject vector fields that are not named, in which queries of the index's model would be compared with another
    model.
    """
    if unknown := [name for name in options.keep_fields if name not in source.other_vectors]:
        raise InputError(
            "no other vector field",
            source="--keep-fields",
            seen=unknown[0],
            allowed=", ".join(source.other_vectors) or "none: the index has no other",
        )
    if unnamed := [name for name in source.other_vectors if name not in options.keep_fields]:
        names = ",".join(unnamed)
        raise InputError(
            "the index has more vector fields, and would say the new model while vectors of the old one stay there",
            source=source.index,
            field=", ".join(unnamed),
            allowed=f"--vector-fields {','.join(options.vector_fields)},{names} to give them new vectors, or "
            f"--keep-fields {names} if no query is embedded for them by the model that the index names",
        )


def _check_beside(source: Source, beside: str) -> None:
    """Reject what cannot keep its old vectors."""
    if not beside:
        return
    if source.hidden:
        raise InputError(
            "is left out of the sources (_source.excludes), so that its vectors cannot be read and kept",
            source=source.index,
            field=", ".join(source.hidden),
            allowed="an upgrade without --keep-old-vectors",
        )
    known = dict(flatten_mapping(source.mapping.get("properties", {})))
    if there := [field.name + beside for field in source.vectors if field.name + beside in known]:
        raise InputError("the index has these new vectors already", source=source.index, field=there[0])


def _read_source(client: ReadOnlyClient, alias: str, options: UpgradeOptions) -> Source:
    """The old index; if the alias does not exist, the error says what an unfinished upgrade needs."""
    try:
        return read_source(client, alias, options.vector_fields)
    except InputError as error:
        if error.source != "index":
            raise
        job = find_job(client, alias)
        gone = None if job is None or job.state not in UNFINISHED else what_is_gone(client, job)
        if gone is None:
            raise
        raise gone from None


def plan_lines(plan: Plan) -> list[str]:
    """A plan in words, one line each.

    :param plan: the plan.
    """
    source = plan.source
    way = "vectors moved by the matrix" if plan.new.kind == "matrix" else "texts embedded anew"
    fields = ", ".join(plan.new_fields)
    aliases = ", ".join(sorted(source.aliases))
    pipelines = [
        f"{name.removeprefix('index.')} {value}" for name, value in sorted(plan.later.items()) if "pipe" in name
    ]
    search = source.settings.get("index.search.default_pipeline")
    pipelines += [f"search.default_pipeline {search}"] if search else []
    lines = [
        f"Upgrade of '{source.alias}': {source.index} -> {plan.target} ({way}, field {fields})",
        f"Documents: {plan.documents:,}, {plan.size / 1e6:,.1f} MB; shards: {source.shards}",
        f"Kept: mapping, settings, analyzers; aliases {aliases}; pipelines {', '.join(pipelines) or 'none'}",
        f"The ledger is the index '{LEDGER}'; the old index stays until crossalign cleanup",
    ]
    if plan.rate:
        lines.append(
            f"Reading and computing: {plan.rate:,.0f} documents per second here, at least "
            f"{_duration(plan.documents / plan.rate)}; writing goes on beside it and may take longer"
        )
    lines += [f"Missing right{', not needed yet' if right.optional else ''}: {right.told()}" for right in plan.missing]
    return [*lines, *(f"Note: {note}" for note in plan.notes)]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _lacks_vector(field: VectorField) -> dict[str, Any]:
    query: dict[str, Any] = {"exists": {"field": field.name}}
    if field.nested_path is not None:
        query = {"nested": {"path": field.nested_path, "query": query}}
    return {"bool": {"must_not": [query]}}


def _bytes(client: ReadOnlyClient, index: str) -> int:
    answer = client.request("GET", f"/{index}/_stats/store")
    return int(answer["indices"][index]["primaries"]["store"]["size_in_bytes"])


def _free_bytes(client: ReadOnlyClient, notes: list[str]) -> int | None:
    try:
        nodes = client.request("GET", "/_nodes/stats/fs").get("nodes", {})
    except (MissingPermissionError, RefusedRequestError):
        notes.append("the free disk cannot be read (permission cluster:monitor/nodes/stats)")
        return None
    free = [
        int(node["fs"]["total"]["available_in_bytes"]) for node in nodes.values() if "data" in node.get("roles", [])
    ]
    return min(free, default=None)


def _free_name(client: ReadOnlyClient, name: str) -> str:
    """The name, with a number appended if an index of that name exists."""
    for number in range(1, 100):
        wanted = name if number == 1 else f"{name}-{number}"
        try:
            client.settings(wanted)
        except InputError:
            return wanted
    raise InputError("a hundred indices of this name are there; crossalign cleanup removes ours", source=name)


def _measure(
    client: ReadOnlyClient, source: Source, new: NewVectors, each: float, beside: str
) -> tuple[float | None, int]:
    """Documents per second of reading and computing, and the documents of a page, from the first ones of a shard.

    :param each: bytes of a document on disk, where vectors are binary and texts compressed: less than as JSON.
    """
    page = page_size(each)
    for shard, upto in checkpoints(client, source.index).items():
        began = time.perf_counter()
        hits = next(read_unit(client, source.index, Unit(shard, -1, upto), page=min(page, _SAMPLE)), [])
        if hits:
            sources = [hit["_source"] for hit in hits]
            moved = move(sources, source.vectors, new.way, hidden=source.hidden, beside=beside)
            rate = len(hits) / (time.perf_counter() - began)
            sizes = [len(text) for text in moved.texts if text is not None]
            return rate, page_size(max(each, sum(sizes) / max(len(sizes), 1)))
    return None, page
