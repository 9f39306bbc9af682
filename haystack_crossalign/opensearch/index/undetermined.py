"""Documents without a language: their number, and the languages detected in a sample of their texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.index.counting_fields import INDEX_NAME
from haystack_crossalign.opensearch.index.groups import Member, read_stored, stored_request, stored_text
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import Query
from haystack_crossalign.text.detection import LanguageDetector, undecided


@dataclass(frozen=True)
class MissingLanguages:
    """Statistics of the documents whose language is not known: the field is missing, empty or names no language.

    :param documents: their exact number.
    :param sampled: number of texts read.
    :param by_language: sampled documents by detected language, sorted; `UNDETERMINED` if it is not clear.
    :param field: name of the language field, None if the index has none.
    :param between: number of undetermined ones that may be in one of several similar languages, by these.
    :param unknown: values of the field that name no language.
    :param problem: why no text could be read; None if some were.
    """

    documents: int
    sampled: int
    by_language: Mapping[str, int]
    field: str | None
    between: Mapping[str, int]
    unknown: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def note(self) -> str:
        """One sentence for the report."""
        reasons = [] if self.field == INDEX_NAME else ["is missing", "is empty"]
        reasons += ["names no language"] if self.unknown else []
        where = (
            "the index has no language field" if self.field is None else f"field '{self.field}' {' or '.join(reasons)}"
        )
        counted = f"{self.documents} documents have no language ({where}) and are counted as '{UNDETERMINED}'"
        if self.problem is not None:
            return f"{counted}; their texts could not be read to detect it: {self.problem}"
        counts = ", ".join(f"{count} {tag}" for tag, count in self.by_language.items() if tag != UNDETERMINED)
        unclear = f"{self.by_language.get(UNDETERMINED, 0)} unclear"
        if self.between:
            left = "; ".join(f"{count} may be in one of {tags}" for tags, count in self.between.items())
            unclear += f" ({left})"
        return f"{counted}; of {self.sampled} sampled texts: {', '.join(part for part in (counts, unclear) if part)}"


def detect_missing_languages(
    view: IndexView, *, content_field: str, sample: int = 200, seed: int = 0
) -> MissingLanguages | None:
    """Count the pool's documents without a language and detect that of a random sample, for the report only.

    They stay in the ranking with the tag of an undetermined language; detections are not used for figures.

    :param view: index, its filter, best at a point in time.
    :param content_field: stored field that holds the text.
    :param sample: maximum number of texts to read.
    :param seed: the same seed draws the same documents, as long as the index does not change.
    :returns: None if every document has a language. A failed search is not an error: the figures do not depend on it.
    """
    documents = view.pool().without_language
    if not documents:
        return None
    field, unknown = view.fields.language, view.values_of(UNDETERMINED)
    body = {
        "size": min(sample, documents),
        "track_total_hits": False,
        **stored_request(view, [content_field]),
        "query": in_random_order(view.scoring.pool(*without_language(view)), seed),
    }
    try:
        hits = view.client.search(body, view.target)["hits"]["hits"]
    except CrossAlignError as error:
        return MissingLanguages(documents, 0, {}, field, {}, unknown, problem=str(error))
    texts = [stored_text(Member(hit["_id"], UNDETERMINED, None, read_stored(view, hit)), content_field) for hit in hits]
    # Of similar languages, one that is the only one among the other documents is preferred, as in files.
    detections = LanguageDetector(likely=set(view.pool().by_language) - {UNDETERMINED}).detect(texts)
    counts = Counter(detection.language or UNDETERMINED for detection in detections)
    return MissingLanguages(documents, len(texts), dict(sorted(counts.items())), field, undecided(detections), unknown)


def without_language(view: IndexView) -> list[Query]:
    """Conditions that select the documents whose language is not known; none if the index has no field for it.

    :param view: the index.
    """
    field, unknown = view.fields.language, view.values_of(UNDETERMINED)
    if field is None:
        return []
    if field == INDEX_NAME:
        # Every document has one, and no index has an empty name: the server refuses to look for it.
        return [{"terms": {field: list(unknown)}}]
    nothing = [{"bool": {"must_not": [{"exists": {"field": field}}]}}, {"terms": {field: ["", UNDETERMINED, *unknown]}}]
    return [{"bool": {"should": nothing, "minimum_should_match": 1}}]


def in_random_order(query: Query, seed: int) -> dict[str, Any]:
    """The documents of a query in a random order, the same for a seed as long as the index does not change.

    :param query: the documents.
    :param seed: of the order.
    """
    score = {"random_score": {"seed": seed, "field": "_seq_no"}, "boost_mode": "replace"}
    return {"function_score": {"query": query, **score}}
