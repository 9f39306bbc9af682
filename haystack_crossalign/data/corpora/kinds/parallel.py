"""Benchmarks with the same questions on the same passages in several languages, as one judged collection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source

POOLS = ("passages", "questions")
"""What is a document: each distinct passage, or a copy of the passage for each question, as in the paper."""


@dataclass(frozen=True)
class ParallelRow:
    """One question on one passage, in one language.

    :param question_id: id of the question, the same in every language.
    :param passage_id: id of the passage, the same in every language.
    :param question: the question.
    :param passage: text of the passage.
    :param line: 1-based line in the file, None if lines are meaningless in the format.
    """

    question_id: str
    passage_id: str
    question: str
    passage: str
    line: int | None = None


@dataclass(frozen=True)
class ParallelText:
    """All rows in one language.

    :param rows: the rows.
    :param place: their file, for messages.
    :param source: name and hash of what was read.
    :param numbered: whether passages are numbered in the order of these rows, so that their ids differ between
        languages and passages are matched by their questions.
    """

    rows: tuple[ParallelRow, ...]
    place: str | Path
    source: Source
    numbered: bool = False

    @classmethod
    def from_rows(cls, rows: Iterable[ParallelRow], place: str, *, numbered: bool = False) -> ParallelText:
        """Make a text from rows that are not those of one file; the hash is that of the rows as JSON Lines.

        :param rows: the rows.
        :param place: their name in messages and in the source.
        :param numbered: see the class.
        """
        kept = tuple(rows)
        digest = hashlib.sha256()
        for row in kept:
            fields = [row.question_id, row.passage_id, row.question, row.passage]
            digest.update(json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n")
        return cls(rows=kept, place=place, source=Source(name=place, sha256=digest.hexdigest()), numbered=numbered)


def parallel_collection(
    name: str,
    texts: Mapping[str, ParallelText],
    *,
    pool: str = "passages",
    query_languages: Sequence[str] | None = None,
) -> JudgedCollection:
    """Make a judged collection in which all versions of a question's passage are relevant to it.

    Ids are ``language:passage_id`` for documents of the pool "passages", ``language:question_id`` for those of the pool
    "questions" and for queries; the parallel group is the part after the language. In the pool "questions", copies of
    the right passage for other questions are not relevant, as in the paper.

    :param name: what to call the collection.
    :param texts: the rows of each language, by normalized tag; all with the same questions.
    :param pool: "passages" or "questions".
    :param query_languages: languages of the queries, among those of ``texts``; None for all.
    :raises InputError: if the languages are not parallel, a question is repeated, or an argument has a value that is
        not allowed.
    """
    if pool not in POOLS:
        raise InputError("unknown pool", field="pool", seen=pool, allowed=" or ".join(POOLS))
    query_tags = tuple(texts) if query_languages is None else tuple(query_languages)
    for language in query_tags:
        if language not in texts:
            raise InputError("language without data", field="query_languages", seen=language, allowed=", ".join(texts))
    texts = _with_shared_passages(texts)
    _check_parallel(texts)
    order = [(row.question_id, row.passage_id) for row in next(iter(texts.values())).rows]
    groups = [passage if pool == "passages" else question for question, passage in order]
    distinct = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    documents: list[tuple[str, str, str, str]] = []
    for language, text in texts.items():
        passages = {(row.passage_id if pool == "passages" else row.question_id): row.passage for row in text.rows}
        documents += [(f"{language}:{group}", language, group, passages[group]) for group in distinct]
    queries: list[tuple[str, str, str, str]] = []
    relevant: list[tuple[int, ...]] = []
    for language in query_tags:
        questions = {row.question_id: row.question for row in texts[language].rows}
        for (question, _), group in zip(order, groups, strict=True):
            queries.append((f"{language}:{question}", language, questions[question], question))
            relevant.append(tuple(distinct[group] + number * len(distinct) for number in range(len(texts))))
    ids, languages, parallel_groups, contents = zip(*documents, strict=True)
    query_ids, asked_in, asked_texts, translations = zip(*queries, strict=True)
    collection = JudgedCollection(
        name=name,
        documents=Documents(ids=ids, languages=languages, groups=parallel_groups, texts=contents),
        queries=Queries(ids=query_ids, languages=asked_in, texts=asked_texts, translations=translations),
        relevant=tuple(relevant),
        sources=tuple(text.source for text in texts.values()),
        pool=pool,
    )
    check_judgments(collection)
    return collection


def _with_shared_passages(texts: Mapping[str, ParallelText]) -> dict[str, ParallelText]:
    """Name passages as in the first language, since files may hold the same articles in different orders.

    A passage gets the name of the passage of the first language that has its questions. If two passages of one language
    would get the same name, or one passage several, all keep theirs, and the check that follows reports the question.
    """
    first, *others = texts.items()
    reference = {row.question_id: row.passage_id for row in first[1].rows}
    shared = dict([first])
    for language, text in others:
        names: dict[str, set[str]] = {}
        for row in text.rows:
            names.setdefault(row.passage_id, set()).add(reference.get(row.question_id, row.passage_id))
        chosen = {passage: min(candidates) for passage, candidates in names.items() if len(candidates) == 1}
        if text.numbered and len(chosen) == len(names) == len(set(chosen.values())):
            rows = tuple([replace(row, passage_id=chosen[row.passage_id]) for row in text.rows])
            text = replace(text, rows=rows)
        shared[language] = text
    return shared


def _check_parallel(texts: Mapping[str, ParallelText]) -> None:
    reference: dict[str, str] = {}
    first: ParallelText | None = None
    for text in texts.values():
        passage_of: dict[str, str] = {}
        for row in text.rows:
            if row.question_id in passage_of:
                raise InputError(
                    "duplicate question",
                    source=text.place,
                    line=row.line,
                    field="id",
                    seen=row.question_id,
                    allowed="each id once",
                )
            passage_of[row.question_id] = row.passage_id
        if first is None:
            first, reference = text, passage_of
            continue
        for question in [*reference, *passage_of]:
            if (question in reference) != (question in passage_of):
                lacking = text if question in reference else first
                raise InputError(
                    "the languages are not parallel: a question is missing",
                    source=lacking.place,
                    field="id",
                    seen=question,
                    allowed=f"the same questions as {_name((first if lacking is text else text).place)}",
                )
        for question, passage in passage_of.items():
            if reference[question] != passage:
                raise InputError(
                    f"the languages are not parallel: question '{question}' belongs to another passage",
                    source=text.place,
                    field="passage",
                    seen=passage,
                    allowed=f"'{reference[question]}', as in {_name(first.place)}",
                )


def _name(place: str | Path) -> str:
    return place if isinstance(place, str) else place.name
