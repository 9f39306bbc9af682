"""The judged collection that an audit runs on: documents, queries and the relevant documents of each query.

Ids, languages and texts stay as they are read; everything that is computed on (languages, versions, relevant
documents, the order of ties) is an integer array.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.data.columns import codes, positions
from haystack_crossalign.data.reading_log import Omission
from haystack_crossalign.data.versions import Versions
from haystack_crossalign.files.reading import Source
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.ranks.arguments import padded
from haystack_crossalign.ranks.ties import tie_order


@dataclass(frozen=True, eq=False)
class Documents:
    """The document pool: N documents.

    :param ids: unique ids.
    :param languages: language of each document, as a normalized BCP-47 tag.
    :param groups: parallel group of each document; the document's own id if it belongs to none. Documents of one group
        are versions of the same content if their languages differ, and chunks of one version if not.
    :param texts: the texts to embed, never empty.
    :param vectors: float32 [N, dim], or None if the documents are not embedded yet.
    :param titles: their titles, for reports; empty for a document without one. None if no document has one.
    :param urls: their addresses, likewise.
    """

    ids: tuple[str, ...]
    languages: tuple[str, ...]
    groups: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: NDArray[np.float32] | None = None
    titles: tuple[str, ...] | None = None
    urls: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        own = {"languages": self.languages, "groups": self.groups, "texts": self.texts}
        shown = {name: column for name, column in self._shown.items() if column is not None}
        _check_lengths(len(self.ids), self.vectors, **own, **shown)

    def __len__(self) -> int:
        return len(self.ids)

    def in_languages(self, languages: Iterable[str]) -> NDArray[np.int64]:
        """Ascending indices of the documents in one of ``languages`` (normalized tags): int64."""
        return positions(self.languages, languages)

    def language_codes(self, languages: Sequence[str]) -> NDArray[np.int32]:
        """Index of each document's language in ``languages``, -1 if it is not in the list: int32 [N]."""
        return codes(self.languages, languages)

    def select(self, indices: NDArray[np.integer]) -> Documents:
        """The documents at ``indices``, in that order."""
        chosen = indices.tolist()
        return Documents(
            ids=tuple([self.ids[i] for i in chosen]),
            languages=tuple([self.languages[i] for i in chosen]),
            groups=tuple([self.groups[i] for i in chosen]),
            texts=tuple([self.texts[i] for i in chosen]),
            vectors=None if self.vectors is None else self.vectors[indices],
            titles=None if self.titles is None else tuple([self.titles[i] for i in chosen]),
            urls=None if self.urls is None else tuple([self.urls[i] for i in chosen]),
        )

    def part(self, languages: Iterable[str]) -> Documents:
        """The documents in one of ``languages``: these themselves if all are, and one object as long as it is used."""
        kept = frozenset(languages).intersection(self.languages)
        if len(kept) == len(set(self.languages)):
            return self
        part = self._parts.get(kept)
        if part is None:
            part = self._parts[kept] = self.select(self.in_languages(kept))
        return part

    @cached_property
    def _parts(self) -> WeakValueDictionary[frozenset[str], Documents]:
        return WeakValueDictionary()

    def describe(self, document_id: str) -> dict[str, str]:
        """Language, group and text of a document, by its id; title and url if it has them."""
        index = self._index_of[document_id]
        entry = {"language": self.languages[index], "group": self.groups[index], "text": self.texts[index]}
        return entry | {name: column[index] for name, column in self._shown.items() if column and column[index]}

    @property
    def _shown(self) -> dict[str, tuple[str, ...] | None]:
        return {"title": self.titles, "url": self.urls}

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {identifier: index for index, identifier in enumerate(self.ids)}

    def tie_order(self) -> NDArray[np.int64]:
        """Position of each document in the tie order: int64 [N]. See `haystack_crossalign.ranks.ties`."""
        return self._tie_order

    @cached_property
    def _tie_order(self) -> NDArray[np.int64]:
        order = tie_order(self.ids)
        order.flags.writeable = False  # shared by several callers
        return order

    def versions(self) -> Versions:
        """The versions of these documents: one for each (group, language).

        If documents of one group have the language `UNDETERMINED`, it is unknown whether they are chunks of one text or
        its translations, so each is a version of its own.
        """
        return self._versions

    @cached_property
    def _versions(self) -> Versions:
        number: dict[tuple[str, str, str], int] = {}
        of_document = np.fromiter(
            (
                number.setdefault((group, language, identifier if language == UNDETERMINED else ""), len(number))
                for group, language, identifier in zip(self.groups, self.languages, self.ids, strict=True)
            ),
            dtype=np.int32,
            count=len(self.ids),
        )
        of_document.flags.writeable = False  # shared by several callers
        return Versions(
            of_document=of_document,
            languages=tuple([language for _, language, _ in number]),
            groups=tuple([group for group, _, _ in number]),
        )


@dataclass(frozen=True, eq=False)
class Queries:
    """Q queries.

    :param ids: unique ids.
    :param languages: language of each query, as a normalized BCP-47 tag.
    :param texts: the texts of the queries, never empty.
    :param vectors: float32 [Q, dim], or None if the queries are not embedded yet.
    :param translations: for each query a name that it shares with its translations only; None if they are not known.
    """

    ids: tuple[str, ...]
    languages: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: NDArray[np.float32] | None = None
    translations: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        columns = {} if self.translations is None else {"translations": self.translations}
        _check_lengths(len(self.ids), self.vectors, languages=self.languages, texts=self.texts, **columns)

    def __len__(self) -> int:
        return len(self.ids)

    def in_languages(self, languages: Iterable[str]) -> NDArray[np.int64]:
        """Ascending indices of the queries in one of ``languages`` (normalized tags): int64."""
        return positions(self.languages, languages)

    def language_codes(self, languages: Sequence[str]) -> NDArray[np.int32]:
        """Index of each query's language in ``languages``, -1 if it is not in the list: int32 [Q]."""
        return codes(self.languages, languages)

    def select(self, indices: NDArray[np.integer]) -> Queries:
        """The queries at ``indices``, in that order."""
        chosen = indices.tolist()
        return Queries(
            ids=tuple([self.ids[i] for i in chosen]),
            languages=tuple([self.languages[i] for i in chosen]),
            texts=tuple([self.texts[i] for i in chosen]),
            vectors=None if self.vectors is None else self.vectors[indices],
            translations=None if self.translations is None else tuple([self.translations[i] for i in chosen]),
        )


@dataclass(frozen=True)
class Detected:
    """Numbers of texts without a language, and the results of detection.

    :param documents: documents whose language was detected.
    :param undetermined_documents: number of documents whose language is not clear; they stay in the pool as
        `UNDETERMINED`.
    :param queries: queries whose language was detected.
    :param undetermined_queries: ids of the queries whose language is not clear; only a conversion keeps them.
    :param languages: number of texts by detected language, ascending.
    :param between: number of texts that may be in one of several similar languages, by these, joined with commas.
    """

    documents: int
    undetermined_documents: int
    queries: int
    undetermined_queries: tuple[str, ...]
    languages: Mapping[str, int]
    between: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class JudgedCollection:
    """Documents, queries, and the relevant documents of each query.

    :param name: name of the collection in tables and results.
    :param documents: the pool.
    :param queries: the queries.
    :param relevant: ascending indices into ``documents`` for each query.
    :param grades: for each query the grades of its judged documents by their index, including documents that are not
        relevant; None if all judgments are binary, which means grade 1.
    :param relevance_level: least grade of a relevant document.
    :param sources: the files it was read from.
    :param pool: "passages" or "questions" if the data set can be pooled either way, else None.
    :param detection: result of language detection; None if it was not used.
    :param omissions: rows that were left out during reading.
    :param titles: field whose text was put before the texts, and the number of documents; None if there were none.
    :param skip_certain: whether to leave out queries to which the whole pool is relevant; otherwise they are an error.
    """

    name: str
    documents: Documents
    queries: Queries
    relevant: tuple[tuple[int, ...], ...]
    sources: tuple[Source, ...] = ()
    pool: str | None = None
    detection: Detected | None = None
    grades: tuple[Mapping[int, int | float], ...] | None = None
    relevance_level: int = 1
    omissions: tuple[Omission, ...] = ()
    titles: tuple[str, int] | None = None
    skip_certain: bool = False

    def __post_init__(self) -> None:
        _check_lengths(len(self.queries), None, relevant=self.relevant)
        if self.grades is not None:
            _check_lengths(len(self.queries), None, grades=self.grades)

    def judged(self, query: int) -> Mapping[int, int | float]:
        """Grades of the judged documents of a query, by their index.

        :param query: its position.
        """
        return dict.fromkeys(self.relevant[query], 1) if self.grades is None else self.grades[query]

    @property
    def graded(self) -> bool:
        """Whether judgments are graded: there is a gain other than 1, or one below the relevance level."""
        return self.grades is not None and (
            self.relevance_level != 1
            or any(grade > 0 and grade != 1 for grades in self.grades for grade in grades.values())
        )

    @property
    def document_languages(self) -> tuple[str, ...]:
        """The languages of the pool, in ascending order."""
        return tuple(sorted(set(self.documents.languages)))

    @property
    def query_languages(self) -> tuple[str, ...]:
        """The languages of the queries, in ascending order."""
        return tuple(sorted(set(self.queries.languages)))

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages of documents and queries, in ascending order."""
        return tuple(sorted({*self.documents.languages, *self.queries.languages}))

    def translations(self) -> Sequence[Hashable]:
        """For each query a name that it shares with its translations; if not known, the groups of what is relevant."""
        if self.queries.translations is not None:
            return self.queries.translations
        groups = self.documents.groups
        return [frozenset(groups[index] for index in indices) for indices in self.relevant]

    def relevant_versions(self, versions: Versions) -> NDArray[np.int32]:
        """Relevant versions of each query, ascending and padded with -1 on the right: int32 [Q, R].

        A version is relevant if any of its documents is.

        :param versions: the versions of ``documents``.
        """
        of_document = versions.of_document.tolist()
        return padded([sorted({of_document[index] for index in indices}) for indices in self.relevant], -1, np.int32)

    def gained_versions(self, versions: Versions) -> tuple[NDArray[np.int32], NDArray[np.float64]] | None:
        """Versions with a grade above 0, and their gains; None if judgments are not graded.

        The gain of a version is the highest grade of its documents.

        :param versions: the versions of ``documents``.
        :returns: versions ascending and padded with -1 on the right, int32 [Q, G], and their gains with 0 as padding,
            float64 [Q, G].
        """
        if self.grades is None or not self.graded:
            return None
        of_document = versions.of_document.tolist()
        gains: list[dict[int, float]] = []
        for grades in self.grades:
            best: dict[int, float] = {}
            for index, grade in grades.items():
                if grade > 0:
                    version = of_document[index]
                    best[version] = max(float(grade), best.get(version, 0.0))
            gains.append(dict(sorted(best.items())))
        return padded([list(row) for row in gains], -1, np.int32), padded(
            [list(row.values()) for row in gains], 0.0, np.float64
        )

    def certain(self) -> list[int]:
        """Positions of the queries to which the whole pool is relevant, so that their ranks are certain."""
        # Chunks of a version count once, so comparing numbers of documents is not enough.
        longest = max(map(len, self.relevant), default=0)
        if longest < len(set(self.documents.groups)):
            return []
        versions = self.documents.versions()
        of_document = versions.of_document.tolist()
        return [
            query
            for query, indices in enumerate(self.relevant)
            if len(indices) >= len(versions) and len({of_document[index] for index in indices}) == len(versions)
        ]

    def without_certain(self) -> JudgedCollection:
        """The collection without the queries to which the whole pool is relevant."""
        certain = self.certain()
        if not certain:
            return self
        return self.select_queries(np.setdiff1d(np.arange(len(self.queries)), certain))

    def select_queries(self, indices: NDArray[np.integer]) -> JudgedCollection:
        """The collection with some of its queries.

        :param indices: their positions.
        """
        chosen = indices.tolist()
        return replace(
            self,
            queries=self.queries.select(indices),
            relevant=tuple([self.relevant[query] for query in chosen]),
            grades=None if self.grades is None else tuple([self.grades[query] for query in chosen]),
        )

    def restrict(
        self, document_languages: Iterable[str] | None = None, query_languages: Iterable[str] | None = None
    ) -> JudgedCollection:
        """The part of the collection in some languages: one row of a result.

        Queries that lose all their relevant documents are left out, since they cannot be measured; with `skip_certain`,
        so are those to which the whole part is relevant.

        :param document_languages: languages of the pool, as normalized tags; None for all.
        :param query_languages: languages of the queries, as normalized tags; None for all.
        """
        languages = self.documents.languages if document_languages is None else tuple(document_languages)
        documents = self.documents.part(languages)
        kept_queries = self.queries.in_languages(self.queries.languages if query_languages is None else query_languages)
        new_index = np.arange(len(self.documents))
        if documents is not self.documents:
            new_index = np.full(len(self.documents), -1, dtype=np.int64)
            new_index[self.documents.in_languages(languages)] = np.arange(len(documents))
        moved = new_index.tolist()
        part = self.select_queries(kept_queries)
        relevant = [tuple([moved[index] for index in indices if moved[index] >= 0]) for indices in part.relevant]
        grades = None
        if part.grades is not None:
            grades = tuple(
                [{moved[index]: grade for index, grade in row.items() if moved[index] >= 0} for row in part.grades]
            )
        answerable = np.flatnonzero(np.array([bool(indices) for indices in relevant], dtype=bool))
        part = replace(part, documents=documents, relevant=tuple(relevant), grades=grades)
        part = part if len(answerable) == len(relevant) else part.select_queries(answerable)
        return part.without_certain() if self.skip_certain else part


def _check_lengths(count: int, vectors: NDArray[np.float32] | None, **columns: Sequence[object]) -> None:
    for name, column in columns.items():
        if len(column) != count:
            msg = f"{name} has {len(column)} entries for {count} ids"
            raise ValueError(msg)
    if vectors is not None and (vectors.ndim != 2 or len(vectors) != count or vectors.dtype != np.float32):
        msg = f"vectors must be float32 [{count}, dim], not {vectors.dtype} {list(vectors.shape)}"
        raise ValueError(msg)
