"""Read documents of an index in the order of their sequence numbers, shard by shard.

Reading by sequence number needs no point in time, which would be lost with its node: a reader continues after the last
number that it has seen, even after a restart. Everything up to a global checkpoint is visible once the index was
refreshed; later writes have higher numbers and are read by a later pass. Deep paging is not needed, since a window of n
numbers holds at most n documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient

Hit = dict[str, Any]
Key = tuple[str, str | None]
"""Id and routing: an id alone may stand for a document in each of several shards."""

_WIDEST = 1_000_000


@dataclass(frozen=True, order=True)
class Unit:
    """A part of the work: the documents of a shard with a sequence number above ``low``, up to ``high``."""

    shard: int
    low: int
    high: int


def cut_into_units(done: Mapping[int, int], upto: Mapping[int, int], size: int) -> list[Unit]:
    """Split the work into units with a limited number of sequence numbers.

    :param done: last sequence number of each shard that is done.
    :param upto: last one to do.
    :param size: numbers in a unit.
    """
    units = []
    for shard, high in sorted(upto.items()):
        low = done.get(shard, -1)
        while low < high:
            top = min(low + size, high)
            units.append(Unit(shard, low, top))
            low = top
    return units


def read_unit(
    client: ReadOnlyClient, index: str, unit: Unit, *, page: int, source: object = True
) -> Iterator[list[Hit]]:
    """Documents of a unit in the order of their sequence numbers, page by page.

    :param client: connection.
    :param index: a real index.
    :param unit: shard and numbers.
    :param page: documents of a page, at most.
    :param source: what of the sources is wanted, as ``_source`` says it.
    """
    low, width = unit.low, page
    while low < unit.high:
        top = min(low + width, unit.high)
        body = {
            "size": page,
            "query": {"range": {"_seq_no": {"gt": low, "lte": top}}},
            "sort": [{"_seq_no": "asc"}],
            "version": True,
            "seq_no_primary_term": True,
            "track_total_hits": False,
            "_source": source,
        }
        (answer,) = client.search_all([body], index, preference=f"_shards:{unit.shard}|_primary")
        hits = answer["hits"]["hits"]
        if hits:
            yield hits
        low = hits[-1]["_seq_no"] if len(hits) == page else top
        # Documents that were overwritten or deleted leave gaps in the numbers; the more gaps, the wider the window.
        width = min(_WIDEST, max(page, width * page // max(len(hits), page // 16, 1)))


def find_documents(client: ReadOnlyClient, index: str, keys: Sequence[Key], *, source: object) -> dict[Key, Hit]:
    """Find documents by id and routing, as visible to a search.

    :param client: connection.
    :param index: a real index.
    :param keys: ids and routings.
    :param source: what of the sources is wanted.
    """
    wanted, hits_by_key = set(keys), {}
    ids = sorted({identifier for identifier, _ in keys})
    size = len(ids)
    while ids:
        body = {
            # An id may exist once in each shard; then the first response is full, and the rest is requested separately.
            "size": min(2 * size, 10_000),
            "query": {"ids": {"values": ids}},
            "sort": ["_doc"],
            "version": True,
            "seq_no_primary_term": True,
            "track_total_hits": True,
            "_source": source,
        }
        (answer,) = client.search_all([body], index, preference="_primary")
        for hit in answer["hits"]["hits"]:
            if key_of(hit) in wanted:
                hits_by_key[key_of(hit)] = hit
        if answer["hits"]["total"]["value"] <= len(answer["hits"]["hits"]):
            break
        if len(ids) == 1:
            break
        half = len(ids) // 2
        hits_by_key |= find_documents(client, index, [key for key in keys if key[0] in set(ids[:half])], source=source)
        ids = ids[half:]
    return hits_by_key


def key_of(hit: Mapping[str, Any]) -> Key:
    """Id and routing of a hit."""
    return str(hit["_id"]), hit.get("_routing")


def page_size(each: float, *, most: int = 1000, target: int = 3_000_000) -> int:
    """Number of documents in a page of about three megabytes of JSON.

    About ten pages are in memory at once while documents are copied, and a vector takes three times the bytes of its
    JSON there.

    :param each: bytes of a document's source.
    :param most: maximum number of documents.
    :param target: bytes of a page.
    """
    return max(10, min(most, int(target // max(each, 1))))
