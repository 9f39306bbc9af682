"""Names of documents: the id; of documents of several indices behind one name, the index and the id.

Two indices may hold the same id: one index per language written with the ids of the contents, or an old state of a
document that a rollover left behind. Users find both documents, so both are counted, each under a name of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.ranks.ties import tie_key


@dataclass(frozen=True)
class DocumentNames:
    """Names of the documents of some indices: ``id`` if there is one index, otherwise ``index/id``.

    The name of an index contains no slash, so that the index ends at the first one.

    :param indices: names of the real indices.
    """

    indices: tuple[str, ...]

    @property
    def with_index(self) -> bool:
        """Whether names contain the index."""
        return len(self.indices) > 1

    def of(self, hit: Mapping[str, Any]) -> str:
        """The name of a hit's document."""
        return f"{hit.get('_index', '')}/{hit['_id']}" if self.with_index else str(hit["_id"])

    def id_of(self, name: str) -> str:
        """The id within its index."""
        return name.partition("/")[2] if self.with_index and "/" in name else name

    def is_written(self, text: str) -> bool:
        """Whether a text written by a person may be a name with an index."""
        index, slash, _ = text.partition("/")
        return self.with_index and bool(slash) and index in self.indices

    def query(self, names: Collection[str]) -> dict[str, Any]:
        """OpenSearch query that exactly these documents match."""
        if not self.with_index:
            return {"ids": {"values": list(names)}}
        by_index: dict[str, list[str]] = defaultdict(list)
        for name in names:
            index, _, identifier = name.partition("/")
            by_index[index].append(identifier)
        either = [
            {"bool": {"filter": [{"term": {"_index": index}}, {"ids": {"values": ids}}]}}
            for index, ids in sorted(by_index.items())
        ]
        return {"bool": {"should": either, "minimum_should_match": 1}} if either else {"match_none": {}}

    def tie_key(self, name: str) -> bytes:
        """Sort key among documents with an equal score: by the ids, as in one index; for equal ids by the names.

        See `haystack_crossalign.ranks.ties.tie_key`.
        """
        return tie_key(self.id_of(name)) + tie_key(name) if self.with_index else tie_key(name)

    def shown(self, names: Iterable[str]) -> dict[str, str]:
        """How a report that mentions these documents calls them: by id, or by name if two of them have the same id."""
        if not self.with_index:
            return {name: name for name in names}
        by_id: dict[str, set[str]] = defaultdict(set)
        for name in names:
            by_id[self.id_of(name)].add(name)
        return {
            name: identifier if len(same) == 1 else name for identifier, same in by_id.items() for name in sorted(same)
        }
