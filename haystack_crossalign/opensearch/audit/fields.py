"""The fields an audit reads: fields named by the user must exist, fields with default names may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as dataclass_fields

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.fields import Fields, read_fields
from haystack_crossalign.opensearch.index.language_map import LanguageMap
from haystack_crossalign.opensearch.index.mapped_fields import MappedField, flatten_mapping

_SHOWN = 5


class LanguageValues:
    """Converts values of the language field to normalized tags; values that are not languages become undetermined.

    :param field: name of the field.
    :param languages: what its values stand for.
    """

    def __init__(self, field: str | None, languages: LanguageMap | None = None) -> None:
        self.field = field
        self._languages = languages or LanguageMap()
        self.unknown: set[str] = set()

    def __call__(self, value: str) -> str:
        """Normalized tag of a value."""
        try:
            return self._languages.tag(value)
        except InputError:
            self.unknown.add(value)
            return UNDETERMINED

    @property
    def notes(self) -> list[str]:
        """Notes on values that could not be read, for the report."""
        if not self.unknown:
            return []
        shown = ", ".join(f"'{value}'" for value in sorted(self.unknown)[:_SHOWN])
        more = f" and {len(self.unknown) - _SHOWN} more" if len(self.unknown) > _SHOWN else ""
        return [
            f"field '{self.field}' holds values that name no language ({shown}{more}): these documents count as "
            f"'{UNDETERMINED}'"
        ]


def has_vectors(fields: Mapping[str, MappedField]) -> bool:
    """Whether an index has a vector field."""
    return any(field.definition.get("type") == "knn_vector" for field in fields.values())


def audit_fields(client: ReadOnlyClient, settings: LiveSettings) -> tuple[Fields, list[str]]:
    """The vector, language and group fields of the index, and notes on missing ones.

    :param client: connection.
    :param settings: their names. A field of the default name may be missing.
    :raises InputError: a field is missing, or cannot be counted by.
    """
    defaults = {setting.name: setting.default for setting in dataclass_fields(LiveSettings)}
    known = [
        dict(flatten_mapping(mapping.get("mappings", {}).get("properties", {})))
        for mapping in client.mapping(settings.index).values()
    ]
    names: dict[str, str | None] = {}
    notes = []
    for key, what in (("language_field", "every document has an undetermined language"),
                      ("group_field", "every document is a version of its own")):  # fmt: skip
        name = getattr(settings, key)
        missing = bool(known) and not any(name in fields for fields in known)
        names[key] = None if missing and name == defaults[key] else name
        if names[key] is None:
            notes.append(f"the index has no field '{name}': {what}")
    vector: str | None = settings.embedding_field
    if vector == defaults["embedding_field"] and known and not any(map(has_vectors, known)):
        vector = None
        notes.append("the index has no vectors: there are no exact ranks, and lists alone are audited")
    fields = read_fields(
        client,
        settings.index,
        vector=vector,
        language=names["language_field"],
        group=names["group_field"],
    )
    return fields, notes
