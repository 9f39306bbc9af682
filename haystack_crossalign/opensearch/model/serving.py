"""The real indices behind a name at this moment, and the model of their vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.identity import compare_models, model_name
from haystack_crossalign.opensearch.model.check import META_KEY, model_in_mapping

SERVING_PATHS = "*.aliases,*.mappings._meta,*.settings.index.uuid"
"""``filter_path`` of ``GET /<name>``: one answer, out of one state of the cluster, tells all that is read here."""


@dataclass(frozen=True)
class ServingIndex:
    """A real index behind a name.

    :param name: its own name.
    :param uuid: its identity; differs for a recreated index of the same name.
    :param model: the model in its mapping, None if there is none.
    :param filter: the filter of the alias.
    :param search_routing: routing of searches by the alias.
    :param index_routing: routing of documents written by the alias.
    :param takes_writes: whether documents written by the name go to this index.
    """

    name: str
    uuid: str
    model: Mapping[str, Any] | None
    filter: Mapping[str, Any] | None = None
    search_routing: str | None = None
    index_routing: str | None = None
    takes_writes: bool = True


@dataclass(frozen=True)
class Serving:
    """The indices behind a name at one moment.

    :param target: the name, of an index or an alias.
    :param indices: the real indices, ascending by name; all of the same model.
    :param vector: the vector field whose model that is; None for that of the index.
    """

    target: str
    indices: tuple[ServingIndex, ...]
    vector: str | None = None

    @property
    def names(self) -> str:
        """The real indices as a target of requests."""
        return ",".join(index.name for index in self.indices)

    @property
    def model(self) -> Mapping[str, Any] | None:
        """The model that made the vectors."""
        return self.indices[0].model

    @property
    def search_routing(self) -> str | None:
        """The routing of searches by the alias."""
        return self.indices[0].search_routing

    def restrict(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A search of the real indices that is equivalent to the search by the alias.

        Like the server, it combines the filter of the alias with the whole query.

        :param body: a search.
        """
        filters = [index.filter for index in self.indices]
        if not any(filters):
            return dict(body)
        if all(condition == filters[0] for condition in filters):
            held: list[Any] = [filters[0]]
        else:
            parts = [
                [{"term": {"_index": index.name}}, *([index.filter] if index.filter else [])] for index in self.indices
            ]
            held = [{"bool": {"should": [{"bool": {"filter": part}} for part in parts], "minimum_should_match": 1}}]
        return {**body, "query": {"bool": {"must": [body.get("query", {"match_all": {}})], "filter": held}}}

    def holds_in(self, answer: Mapping[str, Any]) -> bool:
        """Whether the real indices and their model are unchanged.

        :param answer: the response to ``GET /<names>``.
        """
        return all(
            index.name in answer
            and _entry(answer[index.name], index.name, "", self.vector)[:2] == (index.uuid, index.model)
            for index in self.indices
        )


def read_serving(answer: Mapping[str, Any], target: str, vector: str | None = None) -> Serving:
    """Resolve a name.

    :param answer: the response to ``GET /<target>``, optionally reduced to `SERVING_PATHS`.
    :param target: the name of an index or an alias.
    :param vector: the vector field whose model counts; None for that of the index.
    :raises InputError: if its indices have different models or different search routing.
    """
    indices = []
    for name, entry in sorted(answer.items()):
        uuid, model, alias = _entry(entry, name, target, vector)
        indices.append(
            ServingIndex(
                name,
                uuid,
                model,
                filter=alias.get("filter"),
                search_routing=alias.get("search_routing"),
                index_routing=alias.get("index_routing"),
                takes_writes=alias.get("is_write_index") is not False,
            )
        )
    if not indices:
        raise InputError("no such index", source=target)
    for other in indices[1:]:
        _require_one_model(indices[0], other, target)
        if other.search_routing != indices[0].search_routing:
            raise InputError(f"searches '{indices[0].name}' and '{other.name}' with different routings", source=target)
    return Serving(target, tuple(indices), vector)


def model_differences(stored: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """Differences between the models of two descriptions; without further data, different names mean different models.

    :param stored: description in an index.
    :param other: another one.
    :returns: a phrase for each difference; none where they are the same.
    """
    differences, same = compare_models(stored, other)
    if not differences and not same and stored.get("name") != other.get("name"):
        return ("their names differ, and nothing says that their weights are the same",)
    return differences


def _entry(
    entry: Mapping[str, Any], name: str, target: str, vector: str | None
) -> tuple[str, Mapping[str, Any] | None, Mapping[str, Any]]:
    """Uuid, model, and what the alias says."""
    uuid = entry.get("settings", {}).get("index", {}).get("uuid", "")
    return str(uuid), model_in_mapping(entry, name, vector), entry.get("aliases", {}).get(target, {})


def _require_one_model(first: ServingIndex, second: ServingIndex, target: str) -> None:
    if first.model is None and second.model is None:
        return
    if first.model is None or second.model is None:
        unnamed, named = (first, second) if first.model is None else (second, first)
        problem = f"'{named.name}' is an index of {model_name(named.model or {})}, '{unnamed.name}' names no model"
    elif differences := model_differences(first.model, second.model):
        problem = f"the indices '{first.name}' and '{second.name}' were made with different models: {differences[0]}"
    else:
        return
    raise InputError(
        problem, source=target, field=f"_meta.{META_KEY}.model", allowed="one model behind a name that is searched"
    )
