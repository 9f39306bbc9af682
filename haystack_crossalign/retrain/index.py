"""Read documents of a live index: parallel ones by their group, or all of a language."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.languages import UNDETERMINED, normalize_language
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.connection.settings import LiveSettings, read_settings
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.groups import (
    Member,
    group_members,
    parallel_groups,
    read_stored,
    stored_request,
    stored_text,
)
from haystack_crossalign.opensearch.index.pool import MULTIPLE, IndexView
from haystack_crossalign.repair.texts import RepairTexts
from haystack_crossalign.retrain.config import IndexSource

_PAGE = 500
_SETTINGS = (
    "index", "hosts", "embedding_field", "language_field", "group_field", "content_field", "title_field",
)  # fmt: skip


def read_index(
    source: IndexSource, folder: Path, environ: Mapping[str, str], *, mined: bool, seed: int
) -> tuple[RepairTexts, dict[str, Any]]:
    """Read documents in one point in time, so that concurrent writes have no effect.

    :param source: the index and its fields.
    :param folder: folder of the configuration.
    :param environ: the environment, for settings and secrets.
    :param mined: whether groups will be mined; then all documents are read, up to the limit per language.
    :param seed: of the draw of groups if there are more than the limit.
    :returns: one passage per group and language, and a description for the outcome.
    :raises InputError: for a field that is missing or cannot be used, or if no document remains.
    :raises ExternalError: if the cluster does not answer.
    """
    flags = {name: getattr(source, name) for name in _SETTINGS}
    config = None if source.config is None else Path(source.config)
    settings = read_settings(source.profile, flags, environ, folder, config=config)
    client = open_client(settings, environ)
    try:
        with client.point_in_time(settings.index) as frozen:
            fields = read_fields(
                client,
                settings.index,
                vector=settings.embedding_field,
                language=settings.language_field,
                group=None if mined else settings.group_field,
            )
            view = IndexView(
                client,
                frozen,
                fields,
                language_of=lambda value: normalize_language(
                    value, source=settings.index, field=settings.language_field
                ),
            )
            members = (
                _all_members(view, frozen, settings, source.limit)
                if mined
                else _parallel_members(view, settings, source.limit, seed)
            )
            texts, facts = _texts(members, settings)
    finally:
        client.close()
    if not texts.passages:
        raise InputError(
            "no parallel documents" if not mined else "no documents",
            source=settings.index,
            field=settings.group_field if not mined else settings.content_field,
            allowed="documents with text and language; parallel ones share a group in two languages or more",
        )
    return texts, {"index": settings.index, "notes": list(client.notes), **facts}


def _stored(settings: LiveSettings) -> list[str]:
    return [settings.content_field, *([settings.title_field] if settings.title_field else [])]


def _parallel_members(view: IndexView, settings: LiveSettings, limit: int, seed: int) -> Iterator[Member]:
    members = group_members(view, islice(parallel_groups(view, seed=seed), limit), stored=_stored(settings))
    for name in sorted(members):
        yield from (member for member in members[name] if member.language != MULTIPLE)


def _all_members(view: IndexView, frozen: PointInTime, settings: LiveSettings, limit: int) -> Iterator[Member]:
    counts: Counter[str] = Counter()
    languages = [tag for tag in view.pool().by_language if tag not in {UNDETERMINED, MULTIPLE}]
    for hit in _hits(view.client, view, frozen, _stored(settings)):
        tag = view.hit_language(hit)
        if tag != MULTIPLE and counts[tag] < limit:
            counts[tag] += 1
            yield Member(view.names.of(hit), tag, None, read_stored(view, hit))
        if all(counts[language] >= limit for language in languages):
            return


def _hits(client: ReadOnlyClient, view: IndexView, frozen: PointInTime, stored: list[str]) -> Iterator[dict[str, Any]]:
    """All documents with a vector, page by page."""
    order = _order(client)
    after: list[Any] | None = None
    while True:
        body = {"size": _PAGE, "query": view.scoring.pool(), "sort": order, **view.hit_fields()}
        body |= stored_request(view, stored)
        hits = client.search(body if after is None else {**body, "search_after": after}, frozen)["hits"]["hits"]
        yield from hits
        if len(hits) < _PAGE:
            return
        after = hits[-1]["sort"]


def _order(client: ReadOnlyClient) -> list[dict[str, str]]:
    """Sort order of all documents of a point in time: their position if the server supports it (3.3 and later), else
    their ids, which several indices may share.
    """
    version = str(client.info().get("version", {}).get("number", "0")).split(".")
    known = [int(part) for part in version[:2] if part.isdigit()] >= [3, 3]
    return [{"_shard_doc": "asc"}] if known else [{"_id": "asc"}, {"_index": "asc"}]


def _texts(members: Iterable[Member], settings: LiveSettings) -> tuple[RepairTexts, dict[str, Any]]:
    passages: dict[tuple[str, str], DocumentRow] = {}
    digest = hashlib.sha256()
    read = chunks = without_text = without_language = 0
    for member in members:
        read += 1
        text = stored_text(member, settings.content_field).strip()
        without_language += member.language == UNDETERMINED
        without_text += not text
        if member.language == UNDETERMINED or not text:
            continue
        title = stored_text(member, settings.title_field).strip() if settings.title_field else ""
        group = member.group or member.identifier
        key = (group, member.language)
        chunks += key in passages
        passages.setdefault(key, DocumentRow(member.identifier, group, member.language, text, title))
    ordered = sorted(passages.values(), key=lambda passage: (passage.group.encode(), passage.language))
    for passage in ordered:
        digest.update(
            json.dumps([passage.id, passage.group, passage.language, passage.text, passage.title]).encode() + b"\n"
        )
    source = Source(f"index {settings.index}", digest.hexdigest())
    facts = {
        "documents": read,
        "further_chunks": chunks,
        "without_text": without_text,
        "without_language": without_language,
    }
    return RepairTexts(tuple(ordered), (), (source,), chunks), facts
