"""The index to upgrade: the index behind the alias, its fields, and the checkpoints of its shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import VectorField, read_fields
from haystack_crossalign.opensearch.index.mapped_fields import flatten_mapping

_NO_SEQUENCE = -1


@dataclass(frozen=True)
class Source:
    """The index behind an alias, before anything is changed.

    :param alias: the name by which applications search and write.
    :param index: the real index.
    :param uuid: its identity; differs for a recreated index of the same name.
    :param mapping: its mapping.
    :param settings: its settings, with flat names.
    :param aliases: every alias of it with filter, routing and ``is_write_index``.
    :param vectors: the vector fields that get new vectors.
    :param other_vectors: names of vector fields that are kept as they are.
    :param hidden: those of `vectors` that are left out of ``_source``, so that they cannot be read.
    """

    alias: str
    index: str
    uuid: str
    mapping: dict[str, Any]
    settings: dict[str, Any]
    aliases: dict[str, dict[str, Any]]
    vectors: tuple[VectorField, ...]
    other_vectors: tuple[str, ...]
    hidden: tuple[str, ...]

    @property
    def shards(self) -> int:
        """Number of its primary shards."""
        return int(self.settings.get("index.number_of_shards", 1))


def read_source(client: ReadOnlyClient, name: str, vector_fields: Sequence[str]) -> Source:
    """The index behind an alias.

    :param client: connection.
    :param name: the alias.
    :param vector_fields: names of the fields that get new vectors.
    :raises InputError: not an alias, an alias of several indices, or fields that cannot be upgraded.
    """
    if any(sign in name for sign in "*?,"):
        raise InputError(
            "is a pattern or a list and no alias", source=name, allowed="an alias of one index, by its full name"
        )
    aliases = client.aliases(name)
    if len(aliases) != 1:
        raise InputError(
            "stands for several indices; upgrade each behind an alias of its own",
            source=name,
            seen=", ".join(sorted(aliases)) or "no index",
            allowed="an alias of one index",
        )
    ((index, entry),) = aliases.items()
    if index == name or name not in entry.get("aliases", {}):  # an index, or a data stream
        _explain_no_alias(name, list(entry.get("aliases", {})))
    mapping = client.mapping(index)[index]["mappings"]
    settings = client.settings(index)[index]["settings"]
    # Resolving a name returns only the requested alias, but all aliases of the index move together.
    held = client.aliases(index)[index]["aliases"]
    vectors = tuple(read_fields(client, index, vector=field).vector for field in vector_fields)
    if bits := [vector.name for vector in vectors if vector.data_type == "binary"]:
        raise InputError(
            "holds bits, which neither a model nor a map here makes",
            source=index,
            field=bits[0],
            allowed="fields of floats or bytes",
        )
    known = dict(flatten_mapping(mapping.get("properties", {})))
    others = sorted(
        key for key, field in known.items() if field.definition.get("type") == "knn_vector" and key not in vector_fields
    )
    hidden = _hidden(mapping, index, [*vector_fields, *others])
    return Source(
        name,
        index,
        str(settings["index.uuid"]),
        mapping,
        settings,
        {alias: dict(one) for alias, one in held.items()},
        vectors,
        tuple(others),
        tuple(field for field in hidden if field in vector_fields),
    )


def write_block(settings: Mapping[str, Any]) -> str | None:
    """Name of the setting that blocks writes to an index; None if there is none.

    :param settings: with flat names.
    """
    names = ("index.blocks.write", "index.blocks.read_only")
    return next((name for name in names if str(settings.get(name, "false")).lower() == "true"), None)


def refuse_write_block(settings: Mapping[str, Any], index: str) -> None:
    """Reject an index with a write block, since an upgrade ends with writable indices.

    :raises InputError: if it has a write block.
    """
    if block := write_block(settings):
        raise InputError(
            "somebody lets nobody write to this index, and the new one would take writes",
            source=index,
            field=block,
            seen="true",
            allowed="no write block; set it again afterwards, on the index behind the alias",
        )


def _explain_no_alias(name: str, others: list[str]) -> None:
    known = f"; it has the alias {', '.join(sorted(others))}: name that one" if others else ""
    raise InputError(
        f"is an index and no alias{known}. An upgrade switches an alias, so that applications need not know. Once: "
        f'(1) POST /_aliases {{"actions": [{{"add": {{"index": "{name}", "alias": "{name}-live", '
        f'"is_write_index": true}}}}]}}, (2) let applications use {name}-live, (3) upgrade --index {name}-live',
        source=name,
    )


def _hidden(mapping: Mapping[str, Any], index: str, vectors: Sequence[str]) -> list[str]:
    """Vector fields that are not in ``_source``; other missing parts would be lost."""
    stored = mapping.get("_source", {})
    if stored.get("enabled") is False:
        raise InputError(
            "keeps no sources (_source.enabled is false), so that its documents cannot be copied; fill a new index "
            "from where they came from",
            source=index,
        )
    if stored.get("includes"):
        raise InputError(
            "keeps parts of its sources only (_source.includes), so that a copy would lack the rest",
            source=index,
            seen=", ".join(stored["includes"]),
        )
    excluded = list(stored.get("excludes", []))
    lost = [name for name in excluded if name not in vectors]
    if lost:
        raise InputError(
            "leaves fields out of its sources (_source.excludes), which a copy would lack",
            source=index,
            seen=", ".join(lost),
            allowed="vector fields only",
        )
    return excluded


def checkpoints(client: ReadOnlyClient, index: str) -> dict[int, int]:
    """The global checkpoint of each shard: every operation up to it is on all copies, and will not be undone.

    :param client: connection.
    :param index: a real index.
    :raises ExternalError: a shard has no primary now.
    """
    return {shard: held for shard, (held, _) in sequence_numbers(client, index).items()}


def sequence_numbers(client: ReadOnlyClient, index: str) -> dict[int, tuple[int, int]]:
    """Global checkpoint and highest sequence number of each shard.

    What lies between them was written and is not yet known to be safe on all copies: it is read, and read again.

    :param client: connection.
    :param index: a real index.
    :raises ExternalError: a shard has no primary now.
    """
    shards = client.stats(index, shards=True).get("indices", {}).get(index, {}).get("shards", {})
    numbers = {}
    for number, copies in shards.items():
        primary = [copy for copy in copies if copy.get("routing", {}).get("primary")]
        if not primary:
            raise ExternalError(f"{client.hosts[0]}: shard {number} of '{index}' has no primary; wait until it is back")
        stats = primary[0].get("seq_no", {})
        numbers[int(number)] = tuple(int(stats.get(name, _NO_SEQUENCE)) for name in ("global_checkpoint", "max_seq_no"))
    return {shard: (held, highest) for shard, (held, highest) in sorted(numbers.items())}


def deletes(client: ReadOnlyClient, index: str) -> dict[int, tuple[str, int]]:
    """Node and number of deletes of each primary since it started there.

    Where either differs from before, something was deleted. Both the same is no proof of the contrary: a node that
    restarts counts from 0 again.

    :param client: connection.
    :param index: a real index.
    """
    shards = client.stats(index, shards=True).get("indices", {}).get(index, {}).get("shards", {})
    return {
        int(number): (str(copy["routing"].get("node")), int(copy.get("indexing", {}).get("delete_total", 0)))
        for number, copies in shards.items()
        for copy in copies
        if copy.get("routing", {}).get("primary")
    }
