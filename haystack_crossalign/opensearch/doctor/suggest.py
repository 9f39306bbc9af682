"""Settings for an index whose fields have other names than the default ones, guessed from its mapping."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.mapped_fields import MappedField, flatten_mapping

_COUNTED = ("keyword", "constant_keyword")
_GROUPS = (*_COUNTED, "integer", "long", "short")
_TEXTS = ("text", "match_only_text")
_SUBFIELDS = (".keyword", ".raw")

# The most telling name first.
_KNOWN: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "language_field": (("language", "lang", "locale", "language_code", "lang_code"), _COUNTED),
    "group_field": (
        ("parallel_id", "translation_group", "translation_id", "group_id", "group", "content_id", "article_id"),
        _GROUPS,
    ),
    "content_field": (("content", "text", "body", "passage", "description"), _TEXTS),
    "title_field": (("title", "headline", "heading"), _TEXTS),
    "url_field": (("url", "link", "permalink", "canonical_url", "source_url"), (*_COUNTED, *_TEXTS)),
}


def suggested_settings(client: ReadOnlyClient, settings: LiveSettings, fixed: Collection[str]) -> LiveSettings:
    """The settings with fields that the index has, where those of the settings are missing in it.

    Only what is clear is suggested: the only vector field, and fields of the right type with a usual name.

    :param client: connection.
    :param settings: the index, and fields that are tried first.
    :param fixed: names of settings that the user has chosen, which stay as they are.
    :raises CrossAlignError: if there is no such index, or the cluster does not answer.
    """
    mappings = client.mapping(settings.index)
    fields: dict[str, MappedField] = {}
    for mapping in mappings.values():
        for name, field in flatten_mapping(mapping.get("mappings", {}).get("properties", {})):
            fields.setdefault(name, field)
    chosen: dict[str, Any] = {}
    if "embedding_field" not in fixed and settings.embedding_field not in fields:
        vectors = [name for name, field in fields.items() if field.definition.get("type") == "knn_vector"]
        if len(vectors) == 1:
            chosen["embedding_field"] = vectors[0]
    for key, (names, types) in _KNOWN.items():
        current = getattr(settings, key)
        if key in fixed or (current in fields and fields[current].definition.get("type") in types):
            continue
        if likely := _find(fields, names, types):
            chosen[key] = likely
    return replace(settings, **chosen)


def _find(fields: Mapping[str, MappedField], names: Collection[str], types: Collection[str]) -> str | None:
    """The field with the most telling name, the least nested one first."""
    for name in names:
        matching = [
            path
            for path, field in fields.items()
            if field.nested_path is None and field.definition.get("type") in types and _last_part(path) == name
        ]
        if matching:
            return min(matching, key=lambda path: (path.count("."), path))
    return None


def _last_part(path: str) -> str:
    for suffix in _SUBFIELDS:
        path = path.removesuffix(suffix)
    return path.rpartition(".")[2].lower()
