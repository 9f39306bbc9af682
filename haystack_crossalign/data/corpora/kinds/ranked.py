"""Corpora with queries, passages and judgments per language, as one judged collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.judgments import Qrels, QueryFile
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.languages import normalize_language

POOLS = ("passages", "judged")
"""What is in the pool: all passages, or those with a judgment for a query, relevant or not."""


class Passages(Protocol):
    """Passages of one language as (id, text); `sources` is complete once all were read."""

    sources: list[Source]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Read them."""


@dataclass(frozen=True)
class RankedLanguage:
    """One language of a corpus.

    :param queries: its queries.
    :param qrels: their judgments.
    :param passages: its passages.
    """

    queries: QueryFile
    qrels: Qrels
    passages: Passages


def ranked_collection(
    name: str,
    parts: Mapping[str, RankedLanguage],
    *,
    query_languages: Sequence[str] | None,
    pool: str,
    parallel: bool,
) -> JudgedCollection:
    """Make a judged collection with ids ``language:id``.

    Queries without a relevant passage in the pool are left out and reported.

    :param name: what to call the collection.
    :param parts: the languages by normalized tag.
    :param query_languages: languages of the queries, in any spelling; None for all.
    :param pool: one of `POOLS`.
    :param parallel: whether passages with the same id are versions of one text: then all versions of a relevant passage
        are relevant, and their parallel group is the id.
    :raises InputError: for a language without data, an unknown pool, or if no query is left.
    """
    if pool not in POOLS:
        raise InputError("unknown pool", field="pool", seen=pool, allowed=" or ".join(POOLS))
    asked = list(parts)
    if query_languages is not None:
        asked = [normalize_language(tag, field="query_languages") for tag in query_languages]
    for tag in asked:
        if tag not in parts:
            raise InputError("language without data", field="query_languages", seen=tag, allowed=", ".join(parts))
    grades: dict[str, dict[str, dict[str, int | float]]] = {}
    for tag in asked:
        wanted = {row.id for row in parts[tag].queries.rows}
        of_language = grades.setdefault(tag, {})
        for judgment in parts[tag].qrels.judgments:
            if judgment.query in wanted:
                of_language.setdefault(judgment.query, {})[judgment.document] = judgment.grade
    judged = {
        tag: {identifier for judged_ids in of_language.values() for identifier in judged_ids}
        for tag, of_language in grades.items()
    }
    everywhere = set().union(*judged.values())
    ids: list[str] = []
    languages: list[str] = []
    groups: list[str] = []
    texts: list[str] = []
    index: dict[tuple[str, str], int] = {}
    for tag, part in parts.items():
        kept = everywhere if parallel else judged.get(tag, set())
        for identifier, text in part.passages:
            if pool == "judged" and identifier not in kept:
                continue
            if (tag, identifier) in index:
                raise InputError("duplicate passage", source=f"{name}, {tag}", field="id", seen=identifier)
            index[tag, identifier] = len(ids)
            ids.append(f"{tag}:{identifier}")
            languages.append(tag)
            groups.append(identifier if parallel else f"{tag}:{identifier}")
            texts.append(text)
    log = ReadingLog()
    query_ids, query_tags, query_texts, relevant, graded = [], [], [], [], []
    for tag in asked:
        for row in parts[tag].queries.rows:
            judged_ids = {
                index[language, identifier]: grade
                for identifier, grade in grades[tag].get(row.id, {}).items()
                for language in (parts if parallel else (tag,))
                if (language, identifier) in index
            }
            chosen = tuple(sorted(place for place, grade in judged_ids.items() if grade > 0))
            if not chosen:
                log.leave_out("query", "without a relevant passage in the pool", f"{tag}:{row.id}")
                continue
            query_ids.append(f"{tag}:{row.id}")
            query_tags.append(tag)
            query_texts.append(row.text)
            relevant.append(chosen)
            graded.append(judged_ids)
    sources = {
        (source.name, source.sha256): source
        for part in parts.values()
        for source in (part.queries.source, part.qrels.source, *part.passages.sources)
    }
    collection = JudgedCollection(
        name=name,
        documents=Documents(ids=tuple(ids), languages=tuple(languages), groups=tuple(groups), texts=tuple(texts)),
        queries=Queries(ids=tuple(query_ids), languages=tuple(query_tags), texts=tuple(query_texts)),
        relevant=tuple(relevant),
        sources=tuple(sources.values()),
        pool=pool,
        grades=tuple(graded),
        omissions=log.omissions(),
    )
    check_judgments(collection)
    return collection
