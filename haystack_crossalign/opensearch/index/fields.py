"""The fields of a mapping that an audit reads, and whether they allow exact counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.search_pipelines import default_pipelines
from haystack_crossalign.opensearch.index.counting_fields import (
    CountingField,
    IgnoringField,
    constant_value,
    counting_field,
    ignoring_field,
)
from haystack_crossalign.opensearch.index.mapped_fields import MappedField, flatten_mapping
from haystack_crossalign.ranks import Similarity
from haystack_crossalign.ranks.similarity import IndexSimilarity

MOST_HITS = 10_000
"""Hits of one answer; servers refuse more unless an index allows it."""

_WINDOW = "index.max_result_window"
SPACES: dict[str, Similarity] = {
    "cosinesimil": "cosine",
    "innerproduct": "dot",
    "l2": "euclidean",
    "l1": "manhattan",
}
"""Spaces of Haystack's document store, and the similarity that orders documents as each does."""

_EXACT: dict[str, IndexSimilarity] = {**SPACES, "linf": "chebyshev"}
_EXACT_BITS: dict[str, IndexSimilarity] = {"hamming": "hamming"}
_EXACT_SPACES = {"float": _EXACT, "byte": _EXACT, "binary": _EXACT_BITS}
"""Spaces whose documents can be scored exactly, by data type."""

_DEFAULT_SPACES = {"binary": "hamming"}
_DEFAULT_SPACE = "l2"
_BITS = 8


@dataclass(frozen=True)
class VectorField:
    """A vector field whose documents can all be scored exactly.

    :param name: full path.
    :param dimension: number of components; of a binary field, of bits.
    :param space_type: the field's space.
    :param data_type: ``float``, ``byte`` or ``binary``.
    :param nested_path: the nested object that holds it, or None; a document then scores as its best nested one.
    """

    name: str
    dimension: int
    space_type: str
    data_type: str
    nested_path: str | None

    @property
    def similarity(self) -> IndexSimilarity:
        """What the space orders documents by."""
        return _EXACT_SPACES[self.data_type][self.space_type]

    @property
    def numbers(self) -> int:
        """Number of JSON numbers of a vector: eight bits are written as one."""
        return self.dimension // _BITS if self.data_type == "binary" else self.dimension


NO_VECTORS = VectorField("", 0, "", "", None)
"""Stands for the vector field of an index that has none."""


@dataclass(frozen=True)
class Fields:
    """The fields of one index (or of all indices behind an alias, which must agree).

    :param vector: field to score; `NO_VECTORS` if there is none.
    :param language: field of the language, or None if documents have none.
    :param group: field of the parallel group, or None if each document is its own version.
    :param indices: names of the real indices.
    :param search_pipelines: default search pipeline of each index that has one, which applies to the lists that users
        get.
    :param most_hits: maximum hits in a response.
    :param counted: language and group field by name.
    :param keeps_source: whether every index stores documents, at least in part.
    :param constants: by the name of an index, the language that its mapping gives to all of its documents. OpenSearch
        (2.19, 3.6) answers aggregations by such a field with the name of the index in place of its value.
    :param outside_source: fields whose values can be had without the stored document, of an index that keeps none, or
        not all of it; None if it is kept whole.
    :param ignoring: language and group field, by their names, where the mapping may ignore values.
    :param has_neighbors: whether the index can be asked for nearest neighbors of a vector (``index.knn``).
    """

    vector: VectorField
    language: str | None
    group: str | None
    indices: tuple[str, ...]
    search_pipelines: Mapping[str, str] = field(default_factory=dict)
    most_hits: int = MOST_HITS
    has_neighbors: bool = True
    counted: Mapping[str, CountingField] = field(default_factory=dict)
    outside_source: Collection[str] | None = None
    constants: Mapping[str, str] = field(default_factory=dict)
    keeps_source: bool = True
    ignoring: Mapping[str, IgnoringField] = field(default_factory=dict)

    @property
    def has_vectors(self) -> bool:
        """Whether documents can be scored exactly."""
        return self.vector != NO_VECTORS

    def counting(self, name: str) -> CountingField:
        """How documents are counted by the language or group field."""
        return self.counted.get(name) or CountingField(name)


def read_fields(
    client: ReadOnlyClient, index: str, *, vector: str | None, language: str | None = None, group: str | None = None
) -> Fields:
    """Find the fields in the mapping and check that documents can be counted by them.

    :param client: connection.
    :param index: index or alias.
    :param vector: name of the vector field; None for an index without vectors.
    :param language: name of the language field.
    :param group: name of the field that holds the parallel group.
    :raises InputError: naming a field that is missing, differs between the indices, or does not allow exact counts.
    """
    mappings = client.mapping(index)
    settings = client.settings(index)
    if not mappings:
        raise InputError("no index matches", source="index", seen=index)
    if set(mappings) != set(settings):
        raise ExternalError(
            f"{client.hosts[0]}: mapping and settings name different indices ({', '.join(sorted(mappings))}; "
            f"{', '.join(sorted(settings))}): one was deleted or renamed in between, or this is not OpenSearch"
        )
    vectors = {}
    counted: dict[str, CountingField] = {}
    constants: dict[str, str] = {}
    ignoring: dict[str, IgnoringField] = {}
    outside: set[str] | None = None
    for name, mapping in sorted(mappings.items()):
        fields = dict(flatten_mapping(mapping.get("mappings", {}).get("properties", {})))
        default_space = settings[name]["settings"].get("index.knn.space_type")
        vectors[name] = NO_VECTORS if vector is None else _vector_field(fields, vector, name, default_space)
        for countable in (language, group):
            if countable is not None:
                if (ignored := ignoring_field(fields, countable)) is not None:
                    ignoring.setdefault(countable, ignored)
                counting = counting_field(fields, countable, name, numbers=countable == group)
                if counted.setdefault(countable, counting) != counting:
                    raise InputError(
                        "the indices define it differently, so that documents cannot be counted by it",
                        source=index,
                        field=countable,
                    )
        if language is not None and (constant := constant_value(fields, language)) is not None:
            constants[name] = constant
        texts = {key for key, value in fields.items() if _has_values(value)}
        outside = texts if outside is None else outside & texts
    first, *others = vectors.items()
    for name, other in others:
        if other != first[1]:
            raise InputError(
                f"the indices '{first[0]}' and '{name}' define it differently, so that their scores do not compare",
                source=index,
                field=vector,
                seen=(first[1], other),
            )
    return Fields(
        first[1],
        language,
        group,
        tuple(vectors),
        default_pipelines(settings),
        _most_hits(settings),
        vector is not None
        and all(str(setting["settings"].get("index.knn")) == "true" for setting in settings.values()),
        counted,
        outside if any(mapping.get("mappings", {}).get("_source") for mapping in mappings.values()) else None,
        constants,
        all(mapping.get("mappings", {}).get("_source", {}).get("enabled", True) for mapping in mappings.values()),
        ignoring,
    )


def semantic_vectors(fields: Mapping[str, MappedField], name: str) -> list[str]:
    """The vector fields that a cluster fills for a field of type ``semantic``; none for sparse models and other types.

    :param fields: every field of the index.
    :param name: full path of the field.
    """
    field = fields.get(name)
    if field is None or field.definition.get("type") != "semantic":
        return []
    above, dot, last = name.rpartition(".")
    info = field.definition.get("semantic_info_field_name") or f"{last}_semantic_info"
    beside = f"{above}{dot}{info}."
    return sorted(
        path
        for path, field in fields.items()
        if path.startswith(beside) and field.definition.get("type") == "knn_vector"
    )


def _has_values(field: MappedField) -> bool:
    """Whether a text can be read from the index itself."""
    definition = field.definition
    return definition.get("type") == "keyword" and definition.get("doc_values") is not False


def _most_hits(settings: Mapping[str, Any]) -> int:
    """The lowest limit of the indices, at most the default."""
    return min([MOST_HITS, *(int(setting["settings"].get(_WINDOW, MOST_HITS)) for setting in settings.values())])


def _vector_field(fields: Mapping[str, MappedField], name: str, index: str, default_space: str | None) -> VectorField:
    field = fields.get(name)
    if field is None:
        known = sorted(key for key, value in fields.items() if value.definition.get("type") == "knn_vector")
        raise InputError(
            "no such field in the mapping",
            source=index,
            field=name,
            allowed=", ".join(known) or "no vector field there",
        )
    definition = field.definition
    if definition.get("type") != "knn_vector":
        made = semantic_vectors(fields, name)
        raise InputError(
            "cannot be scored exactly: it is not a vector field",
            source=index,
            field=name,
            seen=definition.get("type"),
            allowed=f"the field that holds its vectors: {', '.join(made)}" if made else "knn_vector",
        )
    if "model_id" in definition:
        raise InputError(
            "cannot be scored exactly: a trained model defines it, and the mapping does not say its space",
            source=index,
            field=name,
            seen=definition["model_id"],
        )
    data_type = str(definition.get("data_type", "float")).lower()
    own = definition.get("method", {}).get("space_type") or definition.get("space_type")
    space = str(own or _DEFAULT_SPACES.get(data_type) or default_space or _DEFAULT_SPACE)
    spaces = _EXACT_SPACES.get(data_type, {})
    for seen, allowed, what in ((data_type, _EXACT_SPACES, "data type"), (space, spaces, "space type")):
        if seen not in allowed:
            raise InputError(
                f"cannot be scored exactly: its {what} is not supported",
                source=index,
                field=name,
                seen=seen,
                allowed=", ".join(allowed),
            )
    return VectorField(name, int(definition["dimension"]), space, data_type, field.nested_path)
