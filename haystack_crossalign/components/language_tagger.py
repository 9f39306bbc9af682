"""Haystack component that detects the languages of documents and queries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict, logging

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import is_missing_language
from haystack_crossalign.text.detection import MINIMUM_CONFIDENCE, Detection, LanguageDetector, undecided

logger = logging.getLogger(__name__)


@component
class LanguageTagger:
    """Writes the language of documents into their meta, and returns that of queries.

    A document that has a language keeps it. A text whose language is not clear (too short, code, numbers, several
    languages, or similar languages such as Indonesian and Malay) gets none: such texts are counted, never guessed.

    ```python
    from haystack import Document
    from haystack_crossalign.components.language_tagger import LanguageTagger

    tagger = LanguageTagger(languages=["en", "zh"])
    result = tagger.run(documents=[Document(content="今天天气很好，我们去公园吧。")], text="Where is the station?")
    result["documents"][0].meta  # {"language": "zh", "language_confidence": 0.99…}
    result["language"]  # "en"
    ```

    :param languages: the languages that texts may have, as BCP-47 tags; None for all that can be detected. Detection of
        short texts is far better among a few languages than among all.
    :param minimum_confidence: minimum confidence, 0..1, for reporting a language.
    :param language_field: meta field of the language.
    :param confidence_field: meta field of the confidence, written for every document that had no language.
    """

    def __init__(
        self,
        *,
        languages: list[str] | None = None,
        minimum_confidence: float = MINIMUM_CONFIDENCE,
        language_field: str = "language",
        confidence_field: str = "language_confidence",
    ) -> None:
        self.languages = languages
        self.minimum_confidence = minimum_confidence
        self.language_field = language_field
        self.confidence_field = confidence_field
        self._detector: LanguageDetector | None = None

    def warm_up(self) -> None:
        """Load the detector; further calls do nothing.

        :raises InputError: for a language that cannot be detected, or a confidence outside 0..1.
        :raises ExternalError: if the detection library is not installed.
        """
        self._warm_detector()

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        return default_to_dict(
            self,
            languages=self.languages,
            minimum_confidence=self.minimum_confidence,
            language_field=self.language_field,
            confidence_field=self.confidence_field,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LanguageTagger:
        """Restore the component from the result of `to_dict`."""
        restored: LanguageTagger = default_from_dict(cls, data)
        return restored

    @component.output_types(
        documents=list[Document],
        undetermined_documents=int,
        queries=list[str],
        query_languages=list[str | None],
        query_confidences=list[float],
        undetermined_queries=int,
        text=str,
        language=str | None,
        confidence=float,
        undetermined_between=dict[str, int],
    )
    def run(
        self, documents: list[Document] | None = None, queries: list[str] | None = None, text: str | None = None
    ) -> dict[str, Any]:
        """Detect the languages of documents, of queries, and of one text.

        :param documents: documents; those with a language are unchanged, the others are copied with the meta fields
            added. Undetermined documents get only the confidence.
        :param queries: queries.
        :param text: one query, for pipelines that branch on its language.
        :returns: the outputs of each given input: ``documents`` and the count ``undetermined_documents``; ``queries``
            unchanged, ``query_languages`` (None if undetermined), ``query_confidences`` (0..1) and the count
            ``undetermined_queries``; ``text`` unchanged, its ``language`` and ``confidence``. Always
            ``undetermined_between``: numbers of undetermined texts that may be in one of several similar languages, by
            these (``{"id, ms": 2}``).
        :raises InputError: if no input is given, or the parameters are invalid (see `warm_up`).
        """
        _check_inputs(documents, queries, text)
        return self._tag(self._warm_detector(), documents, queries, text)

    @component.output_types(
        documents=list[Document],
        undetermined_documents=int,
        queries=list[str],
        query_languages=list[str | None],
        query_confidences=list[float],
        undetermined_queries=int,
        text=str,
        language=str | None,
        confidence=float,
        undetermined_between=dict[str, int],
    )
    async def run_async(
        self, documents: list[Document] | None = None, queries: list[str] | None = None, text: str | None = None
    ) -> dict[str, Any]:
        """`run` in a thread, so that the event loop is not blocked."""
        _check_inputs(documents, queries, text)
        return await asyncio.to_thread(self._tag, self._warm_detector(), documents, queries, text)

    def _warm_detector(self) -> LanguageDetector:
        if self._detector is None:
            self._detector = LanguageDetector(self.languages, self.minimum_confidence)
        return self._detector

    def _tag(
        self,
        detector: LanguageDetector,
        documents: Sequence[Document] | None,
        queries: list[str] | None,
        text: str | None,
    ) -> dict[str, Any]:
        result: dict[str, Any] = {}
        results: list[Detection] = []
        if documents is not None:
            untagged = [position for position, document in enumerate(documents) if not self._has_language(document)]
            detections = detector.detect([documents[position].content or "" for position in untagged])
            tagged = list(documents)
            for position, detection in zip(untagged, detections, strict=True):
                tagged[position] = self._tagged(documents[position], detection)
            results += detections
            result |= {"documents": tagged, "undetermined_documents": _undetermined(detections)}
        if queries is not None:
            detections = detector.detect(queries)
            results += detections
            result |= {
                "queries": queries,
                "query_languages": [detection.language for detection in detections],
                "query_confidences": [detection.confidence for detection in detections],
                "undetermined_queries": _undetermined(detections),
            }
        if text is not None:
            (detection,) = detector.detect([text])
            results.append(detection)
            result |= {"text": text, "language": detection.language, "confidence": detection.confidence}
        missed = result.get("undetermined_documents", 0) + result.get("undetermined_queries", 0)
        result["undetermined_between"] = between = undecided(results)
        if missed:
            logger.info(
                "{count} texts have no clear language and stay without one; languages that look alike: {between}",
                count=missed,
                between="; ".join(f"{count} {tags}" for tags, count in between.items()) or "none",
            )
        return result

    def _has_language(self, document: Document) -> bool:
        return not is_missing_language(document.meta.get(self.language_field))

    def _tagged(self, document: Document, detection: Detection) -> Document:
        meta = {**document.meta, self.confidence_field: detection.confidence}
        if detection.language is not None:
            meta[self.language_field] = detection.language
        return replace(document, meta=meta)


def _check_inputs(documents: object, queries: object, text: object) -> None:
    if documents is None and queries is None and text is None:
        raise InputError(
            "nothing to tag", source="LanguageTagger", allowed="at least one of 'documents', 'queries' and 'text'"
        )


def _undetermined(detections: Sequence[Detection]) -> int:
    return sum(1 for detection in detections if detection.language is None)
