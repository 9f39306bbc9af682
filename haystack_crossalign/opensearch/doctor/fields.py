"""The examination of an index's mapping: which indices a name stands for, and the fields that an audit reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.models.names import CLUSTER_PREFIX
from haystack_crossalign.opensearch.audit.fields import has_vectors
from haystack_crossalign.opensearch.connection.client import Answer, ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings, flag_of
from haystack_crossalign.opensearch.doctor.findings import Finding, failed, ok, warning
from haystack_crossalign.opensearch.index.counting_fields import counting_field
from haystack_crossalign.opensearch.index.fields import (
    Fields,
    VectorField,
    read_fields,
    semantic_vectors,
)
from haystack_crossalign.opensearch.index.mapped_fields import MappedField, flatten_mapping

_KNN_DEFAULT = "the k-NN plugin's default engine"
_TEXTS = frozenset({"text", "match_only_text", "keyword", "wildcard", "search_as_you_type", "semantic"})
_SHOWN = 8


@dataclass(frozen=True)
class _Mapping:
    """The mapping of every index behind a name, flattened."""

    fields: Mapping[str, Mapping[str, MappedField]]
    definitions: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, mappings: Answer) -> _Mapping:
        definitions = {name: mapping.get("mappings", {}) for name, mapping in sorted(mappings.items())}
        return cls(
            {name: dict(flatten_mapping(definition.get("properties", {}))) for name, definition in definitions.items()},
            definitions,
        )

    def of_type(self, *types: str) -> str:
        """Names of the fields of some types, for advice."""
        matching = {
            name
            for fields in self.fields.values()
            for name, field in fields.items()
            if field.definition.get("type") in types and field.nested_path is None
        }
        shown = sorted(matching)[:_SHOWN]
        return ", ".join(shown) + (", …" if len(matching) > len(shown) else "") if matching else "none there"


def examine_names(index: str, mappings: Answer, aliases: Answer | None) -> Finding:
    """Resolve the name.

    :param index: index or alias.
    :param mappings: mapping by real index.
    :param aliases: aliases by real index, or None without permission to read them.
    """
    names = sorted(mappings)
    if not names:
        return failed("index", f"no index matches '{index}'", "name an index or alias that exists: --index")
    if names == [index]:
        return ok("index", index)
    filtered = any(
        index in entry.get("aliases", {}) and entry["aliases"][index].get("filter")
        for entry in (aliases or {}).values()
    )
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return ok("index", f"{index} stands for {shown}" + (", with a filter" if filtered else ""))


def examine_fields(
    client: ReadOnlyClient, settings: LiveSettings, mappings: Answer
) -> tuple[list[Finding], Fields | None]:
    """Examine the fields of the settings.

    :param client: connection.
    :param settings: names of the fields.
    :param mappings: mapping by real index.
    :returns: findings, and the fields to count by; None if no vector can be scored.
    """
    mapping = _Mapping.of(mappings)
    findings: list[Finding] = []
    fields = None
    default = settings.embedding_field == LiveSettings().embedding_field
    bare = default and not any(has_vectors(field) for field in mapping.fields.values())
    vector = None if bare else settings.embedding_field
    try:
        fields = read_fields(client, settings.index, vector=vector)
        findings.append(
            warning("vector field", "the index has no vectors", "an audit has no exact ranks, only those in lists")
            if bare
            else ok("vector field", _vector(fields.vector, mapping))
        )
    except CrossAlignError as error:
        advice = f"{flag_of('embedding_field')} NAME; vector fields: {mapping.of_type('knn_vector')}"
        findings.append(failed("vector field", error, advice, hosts=client.hosts))
    findings += _semantic(mapping, settings)
    language = _countable(mapping, settings, "language_field", "every document counts as one without a language")
    group = _countable(
        mapping,
        settings,
        "group_field",
        "every document counts as a content of its own: judge them (--queries, --qrels)",
    )
    findings += [language, group]
    findings += _texts(mapping, settings)
    if fields is not None:
        fields = read_fields(
            client,
            settings.index,
            vector=vector,
            language=settings.language_field if language.state == "ok" else None,
            group=settings.group_field if group.state == "ok" else None,
        )
    return findings, fields


def _vector(field: VectorField, mapping: _Mapping) -> str:
    engines = {
        str(fields[field.name].definition.get("method", {}).get("engine", _KNN_DEFAULT))
        for fields in mapping.fields.values()
    }
    nested = "" if field.nested_path is None else f", nested in {field.nested_path}"
    return (
        f"{field.name}: {field.dimension} dimensions, {field.space_type}, {field.data_type}, "
        f"{' and '.join(sorted(engines))}{nested}; can be scored exactly"
    )


def _semantic(mapping: _Mapping, settings: LiveSettings) -> Iterator[Finding]:
    """The fields that a model inside the cluster embeds."""
    seen: dict[str, tuple[list[str], str]] = {}
    for fields in mapping.fields.values():
        for name, field in fields.items():
            if field.definition.get("type") == "semantic":
                model = field.definition.get("search_model_id") or field.definition.get("model_id")
                seen.setdefault(name, (semantic_vectors(fields, name), str(model)))
    for name, (vectors, model) in sorted(seen.items()):
        if not vectors:
            yield warning(
                "semantic field",
                f"{name}: model {model}, without dense vectors",
                "an audit has no exact ranks of it; its lists are those of a request (--request)",
            )
            continue
        description = f"{name}: model {model}, vectors in {', '.join(vectors)}"
        if settings.embedding_field in vectors:
            yield ok("semantic field", description)
        else:
            yield warning(
                "semantic field", description, f"--embedding-field {vectors[0]} --model {CLUSTER_PREFIX}{model}"
            )


def _countable(mapping: _Mapping, settings: LiveSettings, key: str, without: str) -> Finding:
    """Whether documents can be counted by a field; a field with a default name may be missing."""
    check, name = key.replace("_", " "), getattr(settings, key)
    advice = f"{flag_of(key)} NAME; keyword fields: {mapping.of_type('keyword')}"
    if name == getattr(LiveSettings(), key) and not any(name in fields for fields in mapping.fields.values()):
        return warning(check, f"no field '{name}'", f"{advice}; without one {without}")
    for index, fields in mapping.fields.items():
        try:
            counting_field(fields, name, index, numbers=key == "group_field")
        except CrossAlignError as error:
            return failed(check, error, advice)
    return ok(check, name)


def _texts(mapping: _Mapping, settings: LiveSettings) -> Iterator[Finding]:
    wanted = {"content field": settings.content_field, "title field": settings.title_field}
    for check, name in wanted.items():
        if name is None:
            continue
        types = {index: _type(fields, name) for index, fields in mapping.fields.items()}
        wrong = {index: seen for index, seen in types.items() if seen not in _TEXTS}
        if not wrong:
            yield ok(check, f"{name} ({', '.join(sorted({str(seen) for seen in types.values()}))})")
            continue
        index, seen = next(iter(wrong.items()))
        what = "no such field" if seen is None else f"is of type {seen}"
        yield warning(
            check,
            f"{index}, field '{name}': {what}",
            f"{flag_of(check.replace(' ', '_'))} NAME; text fields: {mapping.of_type('text', 'match_only_text')}; "
            "without it there are no known-item probes, no BM25 list and no check of the model",
        )
    hidden = [
        index
        for index, definition in mapping.definitions.items()
        if definition.get("_source", {}).get("enabled") is False
    ]
    lost = [index for index in hidden if not _is_outside(mapping.fields[index].get(settings.content_field))]
    if lost:
        yield warning(
            "stored texts",
            f"{lost[0]} keeps none (_source is off)",
            "no known-item probes and no check of the model; judgments (--queries) still work",
        )


def _is_outside(field: MappedField | None) -> bool:
    """Whether the values of a field are available without the stored document."""
    definition = {} if field is None else field.definition
    return bool(definition.get("store")) or (
        definition.get("type") == "keyword" and definition.get("doc_values") is not False
    )


def _type(fields: Mapping[str, MappedField], name: str) -> str | None:
    field = fields.get(name)
    if field is not None and field.definition.get("type") == "alias":
        field = fields.get(str(field.definition.get("path")))
    return None if field is None else str(field.definition.get("type", "object"))
