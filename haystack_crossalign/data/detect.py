"""Languages for the documents and queries of a collection that came without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from haystack_crossalign.data.collection import Detected, JudgedCollection
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.text.detection import DETECTABLE_LANGUAGES, LanguageDetector

__all__ = ["detect_languages"]


def detect_languages(collection: JudgedCollection) -> JudgedCollection:
    """Detect the language of every document and query that is `UNDETERMINED`.

    A text whose language is not clear is never guessed: such a document stays in the pool as `UNDETERMINED`, since it
    takes a rank like any other, and such a query is left out, since no row could hold it. Both are counted in
    ``detection``. Where every document names its language, queries are told among those languages only, which short
    texts need.

    :param collection: documents and queries, some of them `UNDETERMINED`.
    :raises InputError: when no query is left, or two scripts of one language are to be told apart.
    """
    documents, queries = collection.documents, collection.queries
    given = {tag for tag in documents.languages if tag != UNDETERMINED}
    complete = UNDETERMINED not in documents.languages
    choice = sorted(given & set(DETECTABLE_LANGUAGES)) if complete and given <= set(DETECTABLE_LANGUAGES) else None
    document_tags, told_documents = _tagged(documents.languages, documents.texts, None)
    query_tags, told_queries = _tagged(queries.languages, queries.texts, choice)
    kept = np.array([number for number, tag in enumerate(query_tags) if tag != UNDETERMINED], dtype=np.int64)
    if not len(kept):
        raise InputError(
            "the language of no query is clear",
            source=collection.name,
            field="language",
            seen=queries.texts[0],
            allowed="queries that name their language, or texts of some words",
        )
    return replace(
        replace(collection, queries=replace(queries, languages=tuple(query_tags))).select_queries(kept),
        documents=replace(documents, languages=tuple(document_tags)),
        detection=Detected(
            documents=told_documents,
            undetermined_documents=document_tags.count(UNDETERMINED),
            queries=told_queries,
            undetermined_queries=tuple(
                [one for one, tag in zip(queries.ids, query_tags, strict=True) if tag == UNDETERMINED]
            ),
        ),
    )


def _tagged(tags: Sequence[str], texts: Sequence[str], choice: Sequence[str] | None) -> tuple[list[str], int]:
    """Tags with the unknown ones detected where that is clear, and how many were."""
    unknown = [number for number, tag in enumerate(tags) if tag == UNDETERMINED]
    found = list(tags)
    if unknown:
        detector = LanguageDetector(choice)
        for number, detection in zip(unknown, detector.detect([texts[number] for number in unknown]), strict=True):
            found[number] = detection.language or UNDETERMINED
    return found, sum(found[number] != UNDETERMINED for number in unknown)
