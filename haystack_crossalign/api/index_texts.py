"""Documents of a live index, which is only read, in place of a file: for a repair and for training triplets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, source_of
from haystack_crossalign.opensearch.audit.run import IndexAudit
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.groups import members_by_name
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.snapshot import frozen
from haystack_crossalign.opensearch.live.index_texts import IndexTexts, TextReader
from haystack_crossalign.opensearch.live.queries import read_live_queries
from haystack_crossalign.repair.texts import RepairTexts

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class OpenedIndex:
    """An index in a frozen state.

    :param client: connection.
    :param settings: index and fields.
    :param view: the index as an audit sees it, with the vectors.
    :param notes: what a reader must know.
    """

    client: ReadOnlyClient
    settings: LiveSettings
    view: IndexView
    notes: list[str]

    def reader(self, *, detect: bool) -> TextReader:
        """Reads the texts.

        :param detect: whether to detect the language of documents without one.
        """
        settings = self.settings
        return TextReader(
            self.view, content_field=settings.content_field, title_field=settings.title_field, detect=detect
        )


@contextmanager
def opened_index(client: ReadOnlyClient, settings: LiveSettings) -> Iterator[OpenedIndex]:
    """Open an index as an audit does: its fields, its health, a point in time.

    :param client: connection.
    :param settings: index and fields.
    :raises CrossAlignError: if there is no such index, or its fields cannot be counted by.
    """
    audit = IndexAudit(client, settings)
    audit.open()
    notes = list(audit.notes)
    with frozen(client, settings.index, notes) as target:
        yield OpenedIndex(client, settings, audit.view(target), notes)


def index_repair_texts(
    index: OpenedIndex,
    *,
    per_language: int,
    languages: Sequence[str] = (),
    seed: int = 0,
    detect: bool = False,
    progress: Report | None = None,
) -> tuple[RepairTexts, bool]:
    """Documents for a repair: those of parallel groups, or of each language where no group has two of them.

    :param index: the index.
    :param per_language: documents of a language that are enough.
    :param languages: normalized tags; empty for all.
    :param seed: draws groups or documents.
    :param detect: detect the language of documents without one.
    :param progress: called with an amount done and the total.
    :returns: the texts, and whether they are parallel.
    :raises InputError: if there are no documents that fit.
    """
    reader = index.reader(detect=detect)
    choice: dict[str, Any] = {
        "per_language": per_language, "languages": languages, "seed": seed, "progress": progress
    }  # fmt: skip
    texts = None if index.view.fields.group is None else reader.parallel(**choice)
    parallel = texts is not None and bool(texts.rows)
    if texts is None or not texts.rows:
        texts = index.reader(detect=detect).tagged(**choice).require()
    return _repair_texts(texts, index.settings.title_field), parallel


def _repair_texts(texts: IndexTexts, title_field: str | None) -> RepairTexts:
    passages: dict[tuple[str, str], DocumentRow] = {}
    for row in texts.rows:
        passages.setdefault((row.group, row.language), row)
    titled = sum(row.body is not None for row in passages.values())
    return RepairTexts(
        tuple(passages.values()),
        (),
        (texts.source,),
        len(texts.rows) - len(passages),
        (title_field, titled) if title_field is not None and titled else None,
        texts.note,
    )


def index_parallel_texts(
    index: OpenedIndex,
    *,
    groups: int,
    languages: Sequence[str],
    seed: int = 0,
    detect: bool = False,
    progress: Report | None = None,
) -> IndexTexts:
    """Documents of parallel groups, with all of their chunks.

    :param index: the index, with a group field.
    :param groups: groups of a language that are enough.
    :param languages: normalized tags.
    :param seed: draws the groups.
    :param detect: detect the language of documents without one.
    :param progress: called with an amount done and the total.
    :raises InputError: if the index has no group field, or no documents that fit.
    """
    if index.view.fields.group is None:
        raise InputError(
            "the index has no field of parallel groups, so nothing says which documents are translations",
            source=index.settings.index,
            field=index.settings.group_field,
            allowed="--group-field NAME, or pairs that crossalign triplets mine finds in a file",
        )
    reader = index.reader(detect=detect)
    texts = reader.parallel(per_language=groups, languages=languages, seed=seed, progress=progress)
    if not texts.rows and not texts.left_out:
        held = ", ".join(f"{tag} {count}" for tag, count in reader.view.pool().by_language.items())
        raise InputError(
            "no parallel group has documents in two of these languages",
            source=index.settings.index,
            field=index.settings.group_field,
            seen=", ".join(languages),
            allowed=f"languages of the index ({held}), and the field that versions share (--group-field)",
        )
    return texts.require()


def index_collection(
    index: OpenedIndex,
    queries: Path,
    *,
    qrels: Path | None = None,
    relevance_level: int = 1,
    detect: bool = False,
) -> tuple[JudgedCollection, IndexTexts]:
    """Judged queries, their relevant documents and all versions of these.

    :param index: the index.
    :param queries: file of queries that name documents or groups of the index.
    :param qrels: a TREC qrels file in place of their judgments.
    :param relevance_level: least grade of a relevant document.
    :param detect: detect the language of documents without one.
    :returns: the collection, and what was left out of the index.
    :raises InputError: as for the queries of an audit of the index.
    """
    reader, settings = index.reader(detect=detect), index.settings
    live = read_live_queries(
        queries,
        reader.view,
        qrels=qrels,
        language_field=settings.language_field,
        group_field=settings.group_field,
        expand_groups=False,
        relevance_level=relevance_level,
    )
    judged = {name for row in live.relevant for name in row}
    members = members_by_name(reader.view, judged)
    groups = sorted({member.group for member in members.values() if member.group is not None})
    rows = [row for group in reader.groups(groups) for row in group]
    rows += reader.documents(name for name in sorted(judged) if members[name].group is None)
    texts = reader.finished(rows).require()
    place = {row.id: number for number, row in enumerate(rows)}
    # A document without a text or a language gives no triplet.
    relevant = tuple(tuple(sorted(place[name] for name in row if name in place)) for row in live.relevant)
    collection = JudgedCollection(
        name=settings.index,
        documents=Documents(
            ids=tuple(row.id for row in rows),
            languages=tuple(row.language for row in rows),
            groups=tuple(row.group for row in rows),
            texts=tuple(row.text for row in rows),
        ),
        queries=Queries(ids=live.ids, languages=live.languages, texts=live.texts),
        relevant=relevant,
        sources=_sources(texts.source, queries, qrels),
        relevance_level=relevance_level,
    )
    return collection, texts


def _sources(index: Source, *files: Path | None) -> tuple[Source, ...]:
    return (index, *(source_of(file) for file in files if file is not None))
