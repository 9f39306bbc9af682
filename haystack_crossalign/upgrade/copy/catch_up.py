"""Catch up with writes to the old index while the new one is filled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.upgrade.copy.copying import Copy, UnitFacts, copy_units
from haystack_crossalign.upgrade.copy.writing import Refused, Written, copy_item, delete_item, write_items
from haystack_crossalign.upgrade.documents.reading import (
    Key,
    Unit,
    cut_into_units,
    find_documents,
    key_of,
    read_unit,
)
from haystack_crossalign.upgrade.documents.source import sequence_numbers

_TRIES = 40
_PAUSE = 0.25


@dataclass
class Pass:
    """The result of a pass.

    :param upto: sequence number by shard up to which the new index is complete.
    :param read: sequence number by shard up to which the pass read; the numbers between may be read again.
    :param documents: number of documents written.
    :param deleted: number removed from the new index.
    :param refused: documents that cannot be written.
    """

    upto: dict[int, int]
    read: dict[int, int]
    documents: int = 0
    deleted: int = 0
    refused: list[Refused] = field(default_factory=list)


def catch_up(
    copy: Copy,
    done: dict[int, int],
    *,
    unit: int,
    prepare: Callable[[], None] = lambda: None,
    check: Callable[[], None] = lambda: None,
    tell: Callable[[int], None] = lambda _: None,
) -> Pass:
    """One pass over the writes since the previous one.

    :param copy: from where to where.
    :param done: sequence number by shard up to which the new index holds everything.
    :param unit: sequence numbers that are read as one.
    :param prepare: called when the end of the pass is known, before anything is read.
    :param check: called between units; raises to stop.
    :param tell: called with the number of documents of each page.
    """
    numbers = sequence_numbers(copy.reader, copy.source)
    copy.client.refresh(copy.source)
    prepare()
    upto = {shard: highest for shard, (_, highest) in numbers.items()}
    done_pass = Pass({shard: held for shard, (held, _) in numbers.items()}, upto)
    older: list[Key] = []

    def settle(_: Unit, facts: UnitFacts) -> None:
        check()
        done_pass.documents += facts.documents
        done_pass.refused += facts.refused
        older.extend(facts.newer)

    copy_units(copy, cut_into_units(done, upto, unit), done=settle, written=tell)
    if older:
        again = write_now(copy, older)
        done_pass.documents += again.documents
        done_pass.refused += again.refused
    return done_pass


def remove_deleted(
    copy: Copy, *, spare: Mapping[int, tuple[int, int]] | None = None, check: Callable[[], None] = lambda: None
) -> int:
    """Remove documents that the old index no longer has from the new index, by iterating over all ids.

    :param copy: from where to where.
    :param spare: by shard, above and up to which sequence number documents stay although only the target has them.
    :param check: called between pages; raises to stop.
    :returns: number of documents removed.
    """
    copy.client.refresh(copy.target)
    copy.client.refresh(copy.source)
    removed = 0
    for shard, (_, upto) in sequence_numbers(copy.reader, copy.target).items():
        for hits in read_unit(copy.reader, copy.target, Unit(shard, -1, upto), page=5000, source=False):
            check()
            keys = [key_of(hit) for hit in hits]
            there = find_documents(copy.reader, copy.source, keys, source=False)
            low, high = (spare or {}).get(shard, (0, -1))
            gone = [
                delete_item(key)
                for key, hit in zip(keys, hits, strict=True)
                if key not in there and not low < hit["_seq_no"] <= high
            ]
            removed += write_items(copy.client, copy.target, gone).documents
    if removed:
        copy.client.refresh(copy.target)
    return removed


def write_now(copy: Copy, keys: Sequence[Key]) -> Written:
    """Write the current state of some documents.

    If a document was deleted and created again, its version restarts and looks older than the copy's. The copy must be
    deleted first, and the server must forget its version (``index.gc_deletes`` is 0).

    :param copy: from where to where.
    :param keys: ids and routings; documents that the old index no longer has are left out.
    """
    pending = list(dict.fromkeys(keys))
    done = Written()
    for _ in range(_TRIES):
        copy.client.refresh(copy.source)
        copy.client.refresh(copy.target)
        now = find_documents(copy.reader, copy.source, pending, source=True)
        there = find_documents(copy.reader, copy.target, pending, source=False)
        newer = [
            key for key in pending if key in there and key in now and there[key]["_version"] > now[key]["_version"]
        ]
        write_items(copy.client, copy.target, [delete_item(key) for key in newer])
        if newer:
            copy.client.refresh(copy.target)
        hits = [now[key] for key in pending if key in now]
        moved = copy.move([hit["_source"] for hit in hits])
        items = [copy_item(hit, text) for hit, text in zip(hits, moved.texts, strict=True) if text is not None]
        result = write_items(copy.client, copy.target, items)
        done.documents += result.documents
        done.refused += [
            *result.refused,
            *((*key_of(hits[one]), reason) for one, reason in sorted(moved.problems.items())),
        ]
        pending = result.newer
        if not pending:
            return done
        time.sleep(_PAUSE)
    raise ExternalError(
        f"{copy.client.host}: {len(pending)} documents that were deleted and made again are refused as older than "
        f"their deleted copies, first '{pending[0][0]}'; run the same command again"
    )
