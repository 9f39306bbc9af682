"""Documents by parallel group: all versions of a content with their chunks, and a random draw of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.index.fields import MOST_HITS
from haystack_crossalign.opensearch.index.pool import IndexView

GROUPS_PER_REQUEST = 100
IDS_PER_REQUEST = 1000
CHUNK_FIELD = "split_id"
"""Field in which Haystack's splitters number the chunks of a document."""


@dataclass(frozen=True)
class Member:
    """A document with the data needed by an audit.

    :param identifier: its name, see `haystack_crossalign.opensearch.index.names`.
    :param language: its normalized language, or the tag of an undetermined one.
    :param group: its parallel group, None if it has none.
    :param stored: what was asked for of the stored document.
    """

    identifier: str
    language: str
    group: str | None
    stored: Answer


def group_members(view: IndexView, groups: Iterable[str], *, stored: Sequence[str] = ()) -> dict[str, list[Member]]:
    """The documents of each group in the pool, in ascending order of their names (as bytes).

    :param view: index with a group field, its filter, best at a point in time.
    :param groups: values of the group field.
    :param stored: additional stored fields to read.
    :returns: documents by group; groups that are not in the pool are left out.
    :raises InputError: if a group has so many documents that the field cannot be that of parallel groups.
    """
    names = sorted(set(groups))
    members: dict[str, list[Member]] = {}
    most = min(MOST_HITS, view.fields.most_hits)
    pending = [names[start : start + GROUPS_PER_REQUEST] for start in range(0, len(names), GROUPS_PER_REQUEST)]
    while pending:
        part = pending.pop()
        body = {
            "size": most,
            "track_total_hits": True,
            "query": view.scoring.pool({"terms": {view.fields.group: part}}),
            **_wanted(view, stored),
        }
        answer = view.client.search(body, view.target)
        total = int(answer["hits"]["total"]["value"])
        if total > most:
            if len(part) == 1:
                raise InputError(
                    "a group with too many documents: this field does not hold parallel groups",
                    field=view.fields.group,
                    seen=f"{total} documents in '{part[0]}'",
                    allowed=f"up to {most} documents, the language versions of one content",
                )
            pending += [part[: len(part) // 2], part[len(part) // 2 :]]
            continue
        for member in _members(view, answer):
            members.setdefault(member.group or "", []).append(member)
    return {name: sorted(members[name], key=lambda member: member.identifier.encode()) for name in sorted(members)}


def written_documents(view: IndexView, ids: Iterable[str]) -> dict[str, list[Member]]:
    """The documents that ids written by a person stand for, inside or outside the pool.

    Behind an alias, an id stands for the documents of all indices with it, and ``index/id`` for a single one.

    :param view: index, best at a point in time.
    :param ids: as written; those without a document are left out of the result.
    :returns: documents by what was written, more than one only behind an alias.
    :raises InputError: if several documents of one index share an id.
    """
    wanted = set(ids)
    if not view.names.with_index:
        return {name: [member] for name, member in members_by_name(view, wanted).items()}
    members: dict[str, list[Member]] = {}
    ordered = sorted(wanted)
    step = max(1, min(IDS_PER_REQUEST, view.fields.most_hits // len(view.names.indices)))
    for start in range(0, len(ordered), step):
        query = {"bool": {"filter": [{"ids": {"values": ordered[start : start + step]}}]}}
        body = {"size": view.fields.most_hits, "track_total_hits": True, "query": query, "_source": False}
        names = [view.names.of(hit) for hit in view.client.search(body, view.target)["hits"]["hits"]]
        for name, member in members_by_name(view, names).items():
            members.setdefault(view.names.id_of(name), []).append(member)
    full = [name for name in ordered if name not in members and view.names.is_written(name)]
    return members | {name: [member] for name, member in members_by_name(view, full).items()}


def members_by_name(view: IndexView, names: Iterable[str], *, stored: Sequence[str] = ()) -> dict[str, Member]:
    """Documents of the index by their names, inside or outside the pool.

    :param names: see `haystack_crossalign.opensearch.index.names`; those without a document are left out of the result.
    :param stored: additional stored fields to read.
    :raises InputError: if several documents of one index share an id, as custom routing allows.
    """
    wanted = sorted(set(names))
    members_of: dict[str, Member] = {}
    step = max(1, min(IDS_PER_REQUEST, view.fields.most_hits - 1))
    for start in range(0, len(wanted), step):
        part = wanted[start : start + step]
        # One more than needed, to detect ids shared by several documents.
        query = {"bool": {"filter": [view.names.query(part)]}}
        body = {"size": len(part) + 1, "track_total_hits": True, "query": query, **_wanted(view, stored)}
        answer = view.client.search(body, view.target)
        members = _members(view, answer)
        members_of |= {member.identifier: member for member in members}
        if int(answer["hits"]["total"]["value"]) > len({member.identifier for member in members}):
            counts = Counter(member.identifier for member in members)
            shared = [name for name in part if counts[name] > 1]
            raise InputError("several documents share an id", field="relevant", seen=shared[:3])
    return members_of


def read_stored(view: IndexView, hit: Answer) -> Answer:
    """Values in a hit of the fields requested by `stored_request`."""
    source: Answer = hit.get("_source") or {}
    if view.fields.outside_source is None:
        return source
    own = {view.fields.language, view.fields.group}
    return {**{name: values for name, values in hit.get("fields", {}).items() if name not in own}, **source}


def stored_request(view: IndexView, names: Sequence[str]) -> dict[str, Any]:
    """Parts of a request, in addition to `IndexView.hit_fields`, that read stored fields.

    If an index does not store documents completely, stored fields and doc values are also requested.
    """
    if not names:
        return {}
    if view.fields.outside_source is None:
        return {"_source": list(names)}
    countable = [name for name in names if name in view.fields.outside_source]
    wanted = [*view.hit_fields()["docvalue_fields"], *countable]
    # A server rejects requests for documents that an index does not store.
    source = list(names) if view.fields.keeps_source else False
    return {"_source": source, "stored_fields": list(names), "docvalue_fields": wanted}


def stored_text(member: Member, field: str) -> str:
    """The text of a stored field by its full path, empty if there is none or it is not a string.

    :param member: a document whose ``stored`` holds the field.
    :param field: path with dots, through nested objects or a key that contains dots.
    """
    return text if isinstance(text := stored_value(member, field), str) else ""


def stored_value(member: Member, field: str) -> object:
    """The value of a stored field by its full path, None if there is none; see `stored_text`."""
    value = stored_entry(member.stored, field)
    return value[0] if isinstance(value, list) and value else value


def stored_entry(stored: Answer, field: str) -> object:
    """What a stored document holds at a full path, None if there is nothing.

    :param stored: the document.
    :param field: path with dots, through nested objects or a key that contains dots.
    """
    value: Any = stored
    parts = field.split(".")
    while parts:
        if not isinstance(value, dict):
            return None
        key = next((".".join(parts[:end]) for end in range(len(parts), 0, -1) if ".".join(parts[:end]) in value), None)
        if key is None:
            return None
        value = value[key]
        parts = parts[key.count(".") + 1 :]
    found: object = value
    return found


def in_chunk_order(members: Iterable[Member]) -> list[Member]:
    """Documents by the number of their chunk, then by their ids (as bytes).

    :param members: documents whose ``stored`` holds `CHUNK_FIELD` where they have one.
    """

    def place(member: Member) -> float:
        value = stored_value(member, CHUNK_FIELD)
        return float(value) if isinstance(value, (int, float)) else 0.0

    return sorted(members, key=lambda member: (place(member), member.identifier.encode()))


def _wanted(view: IndexView, stored: Sequence[str]) -> dict[str, Any]:
    return view.hit_fields() | stored_request(view, stored)


def _members(view: IndexView, answer: Answer) -> list[Member]:
    return [
        Member(view.names.of(hit), view.hit_language(hit), view.hit_group(hit), read_stored(view, hit))
        for hit in answer["hits"]["hits"]
    ]


GROUPS_PER_PART = 500
MOST_PARTS = 50
"""Each part is one pass of the server over its documents: where parallel groups are rare, not all are looked at."""

_SIZES = (5_000, 20_000, 60_000)
_PRECISION = 40_000


def parallel_groups(view: IndexView, *, seed: int) -> Iterator[str]:
    """Groups with documents in at least two languages, in a random order that does not favor large groups.

    The server splits the groups into parts by a hash of their names, so that a response has a few hundred groups,
    independent of the size of the index; the order of parts, and of the groups of a part, is drawn from the seed. At
    most `MOST_PARTS` parts are read. Documents without a language may be in any language, so two of them make a group a
    candidate.

    :param view: index with a group field, its filter, best at a point in time.
    :param seed: the same seed gives the same order, as long as the index does not change.
    """
    rng = np.random.default_rng(seed)
    values = view.fields.counting(view.fields.group or "").values()
    body = _request(view, {"groups": {"cardinality": {**values, "precision_threshold": _PRECISION}}})
    estimate = int(view.client.search(body, view.target)["aggregations"]["groups"]["value"])
    parts = max(1, -(-estimate // GROUPS_PER_PART))
    for part in rng.permutation(parts)[:MOST_PARTS].tolist():
        names = sorted(
            str(row["key"]) for row in _part(view, part, parts) if row["key"] != "" and _is_parallel(view, row)
        )
        yield from (names[number] for number in rng.permutation(len(names)).tolist())


def _part(view: IndexView, part: int, parts: int) -> list[Answer]:
    """All groups of one part, with their documents by language."""
    for size in _SIZES:
        values = view.fields.counting(view.fields.group or "").values()
        terms: dict[str, Any] = {**values, "size": size, "min_doc_count": 2}
        terms |= {"include": {"partition": part, "num_partitions": parts}, "order": {"_key": "asc"}}
        aggregation: dict[str, Any] = {"terms": terms}
        if split := view.by_language():
            aggregation["aggs"] = split
        answer = view.client.search(_request(view, {"groups": aggregation}), view.target)["aggregations"]["groups"]
        if not answer["sum_other_doc_count"]:
            return list(answer["buckets"])
    raise InputError(
        "more groups than an aggregation can hold", field=view.fields.group, allowed=f"up to {_SIZES[-1]} of {parts}"
    )


def _is_parallel(view: IndexView, row: Answer) -> bool:
    counts = view.language_counts(row, int(row["doc_count"]))
    return len(counts) > 1 or counts.get(UNDETERMINED, 0) > 1


def _request(view: IndexView, aggregations: dict[str, Any]) -> dict[str, Any]:
    return {"size": 0, "track_total_hits": False, "query": view.scoring.pool(), "aggs": aggregations}
