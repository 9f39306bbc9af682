"""Detect the languages of documents and queries that have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from haystack_crossalign.data.collection import Detected, JudgedCollection
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.text.detection import Detection, LanguageDetector, undecided


def detect_languages(collection: JudgedCollection, *, keep_unclear: bool = False) -> JudgedCollection:
    """Detect the language of every document and query that is `UNDETERMINED`.

    The language of an unclear text is never guessed: such a document stays in the pool as `UNDETERMINED`, since it
    takes a rank like any other; such a query is left out, since no row could hold it. Both are counted in
    ``detection``. If all documents have a language, only these languages are considered for queries, which helps with
    short texts. Of similar languages, one that is the only one among the other documents is preferred.

    :param collection: documents and queries, some of them `UNDETERMINED`.
    :param keep_unclear: keep such queries too, as `UNDETERMINED`, to convert judgments instead of auditing them.
    :raises InputError: if no query is left, or two scripts of one language would have to be distinguished.
    """
    documents, queries = collection.documents, collection.queries
    stated = {tag for tag in documents.languages if tag != UNDETERMINED}
    complete = UNDETERMINED not in documents.languages
    document_tags, told_documents = detected_tags(documents.languages, documents.texts, LanguageDetector(likely=stated))
    pool = {tag for tag in document_tags if tag != UNDETERMINED}
    detector = LanguageDetector.among(stated) if complete else LanguageDetector(likely=pool)
    query_tags, told_queries = detected_tags(queries.languages, queries.texts, detector)
    detections = [*told_documents, *told_queries]
    clear = [number for number, tag in enumerate(query_tags) if keep_unclear or tag != UNDETERMINED]
    kept = np.array(clear, dtype=np.int64)
    if not len(kept):
        raise InputError(
            "no query has a clear language",
            source=collection.name,
            field="language",
            seen=queries.texts[0],
            allowed="queries that name their language, or longer texts",
        )
    return replace(
        replace(collection, queries=replace(queries, languages=tuple(query_tags))).select_queries(kept),
        documents=replace(documents, languages=tuple(document_tags)),
        detection=Detected(
            documents=sum(document.language is not None for document in told_documents),
            undetermined_documents=document_tags.count(UNDETERMINED),
            queries=sum(query.language is not None for query in told_queries),
            undetermined_queries=tuple(
                [identifier for identifier, tag in zip(queries.ids, query_tags, strict=True) if tag == UNDETERMINED]
            ),
            languages=_counted(detection.language for detection in detections if detection.language is not None),
            between=undecided(detections),
        ),
    )


def detected_tags(
    tags: Sequence[str], texts: Sequence[str], detector: LanguageDetector
) -> tuple[list[str], list[Detection]]:
    """Fill in the tags that are `UNDETERMINED`, where the language is clear.

    :param tags: tag of each text.
    :param texts: the texts.
    :param detector: detects their languages.
    :returns: the tags, and one detection for each that was `UNDETERMINED`.
    """
    unknown = [number for number, tag in enumerate(tags) if tag == UNDETERMINED]
    detections = detector.detect([texts[number] for number in unknown])
    filled = list(tags)
    for number, detection in zip(unknown, detections, strict=True):
        filled[number] = detection.language or UNDETERMINED
    return filled, detections


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
