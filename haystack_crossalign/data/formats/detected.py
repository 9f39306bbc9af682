"""Documents, read one by one, of which some name no language: detect it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from haystack_crossalign.data.detect import detected_tags
from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.text.detection import LanguageDetector


@dataclass(frozen=True)
class DetectedRows:
    """Documents of which some named no language.

    :param rows: those with a language, in their order.
    :param detected: documents whose language was detected.
    :param unclear: documents left out because theirs is not clear.
    """

    rows: tuple[DocumentRow, ...]
    detected: int
    unclear: int

    @property
    def note(self) -> str | None:
        """What was detected, for the user; None where every document names its language."""
        if not self.detected + self.unclear:
            return None
        rest = f"; not clear, and left out: {self.unclear}" if self.unclear else ""
        return f"The language of {self.detected} documents was detected{rest}."


def detect_rows(rows: Iterable[DocumentRow]) -> DetectedRows:
    """Detect the languages of documents that are `UNDETERMINED` and leave out those whose language is not clear.

    :param rows: documents, as `document_rows` reads them with `UNDETERMINED` as the default language.
    """
    read = list(rows)
    stated = {row.language for row in read if row.language != UNDETERMINED}
    tags, detections = detected_tags(
        [row.language for row in read], [row.text for row in read], LanguageDetector(likely=stated)
    )
    clear = tuple(
        row if row.language == tag else replace(row, language=tag)
        for row, tag in zip(read, tags, strict=True)
        if tag != UNDETERMINED
    )
    unclear = len(read) - len(clear)
    return DetectedRows(clear, len(detections) - unclear, unclear)
