"""The sample that ships with the package, read as a reader of each language would: texts, facts, questions."""

from __future__ import annotations

import datetime
import json
import re
import unicodedata
from collections import Counter, defaultdict
from itertools import combinations
from typing import Any

import pytest

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.sample import read_sample, sample_folder
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.text.detection import LanguageDetector

LANGUAGES = ("ar", "en", "es", "hi", "th", "zh")
REQUIRED = {"id", "title", "text", "parallel_id", "slug", "date", "tenant", "url"}
OPTIONAL = {"language", "chunk"}
# Characters of a document's text, and words (of Chinese and Thai: characters) that no question may take over in a row.
LENGTHS = {"ar": (120, 700), "en": (180, 900), "es": (180, 900), "hi": (150, 900), "th": (120, 700), "zh": (60, 300)}
IN_A_ROW = {"zh": 5, "th": 12}
# The most that two different articles of a language have in common: Jaccard index of their runs of five characters.
ALIKE = 0.15

Row = dict[str, Any]


def lines(name: str) -> list[Row]:
    text = (sample_folder() / name).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def language_of(document: Row) -> str:
    """The language by the address, which every document has."""
    return str(document["url"].split("/")[3])


@pytest.fixture(scope="module")
def documents() -> list[Row]:
    return lines("documents.jsonl")


@pytest.fixture(scope="module")
def queries() -> list[Row]:
    return lines("queries.jsonl")


@pytest.fixture(scope="module")
def articles(documents: list[Row]) -> dict[tuple[str, str], str]:
    """Title and text of each article in each language, chunks put together."""
    versions: dict[tuple[str, str], list[str]] = defaultdict(list)
    for document in documents:
        version = versions[document["parallel_id"], language_of(document)]
        if document["title"] not in version:
            version.append(document["title"])
        version.append(document["text"])
    return {key: " ".join(texts) for key, texts in versions.items()}


@pytest.fixture(scope="module")
def collection() -> JudgedCollection:
    return read_sample()


def test_it_has_sixty_articles_in_six_languages(articles: dict[tuple[str, str], str], documents: list[Row]) -> None:
    assert len({group for group, _ in articles}) >= 60
    assert {language for _, language in articles} == set(LANGUAGES)
    everywhere = Counter(Counter(group for group, _ in articles).values())
    assert everywhere[len(LANGUAGES)] >= 50
    # What makes it a real collection: articles that some languages lack, chunks, documents without a language.
    assert sum(count for size, count in everywhere.items() if size < len(LANGUAGES)) >= 5
    assert len({document["parallel_id"] for document in documents if "chunk" in document}) >= 3
    assert len({language_of(document) for document in documents if "language" not in document}) >= 3
    assert len({document["tenant"] for document in documents}) >= 2
    assert sum(path.stat().st_size for path in sample_folder().iterdir()) < 1_000_000


def test_fields_are_complete_and_agree(documents: list[Row]) -> None:
    ids = [document["id"] for document in documents]
    assert len(set(ids)) == len(ids)
    for document in documents:
        assert document.keys() >= REQUIRED, document["id"]
        assert document.keys() <= REQUIRED | OPTIONAL, document["id"]
        assert all(document[name] == document[name].strip() != "" for name in ("title", "text")), document["id"]
        assert "\n" not in document["text"]
        datetime.date.fromisoformat(document["date"])
        assert document.get("language", language_of(document)) == language_of(document)
        assert document["url"].endswith(f"/{document['slug']}")
        # An id that begins with the language would be told apart by its prefix alone.
        assert not document["id"].startswith(language_of(document) + "-")
    assert len({(d["slug"], d["parallel_id"], d["tenant"]) for d in documents}) == len({d["slug"] for d in documents})
    for (group, language), versions in grouped(documents).items():
        chunks = [document.get("chunk") for document in versions]
        assert chunks == ([None] if len(chunks) == 1 else list(range(len(chunks)))), (group, language)
        assert len({document["title"] for document in versions}) == 1


def grouped(documents: list[Row]) -> dict[tuple[str, str], list[Row]]:
    versions: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for document in documents:
        versions[document["parallel_id"], language_of(document)].append(document)
    return versions


def test_some_versions_are_older_than_their_source(documents: list[Row]) -> None:
    sources: dict[str, Row] = {}
    for document in documents:
        sources.setdefault(document["parallel_id"], document)
    older = [document for document in documents if document["date"] < sources[document["parallel_id"]]["date"]]
    assert 0.01 < len(older) / len(documents) < 0.1


def test_lengths_are_those_of_a_help_center(documents: list[Row], articles: dict[tuple[str, str], str]) -> None:
    for document in documents:
        low, high = LENGTHS[language_of(document)]
        assert low <= len(document["text"]) <= high, (document["id"], len(document["text"]))
    english = [len(text.split()) for (_, language), text in articles.items() if language == "en"]
    assert all(60 <= words <= 220 for words in english)


def test_a_detector_hears_the_documents_in_their_languages(documents: list[Row]) -> None:
    found = LanguageDetector().detect([document["text"] for document in documents])
    heard = {document["id"]: detection.language for detection, document in zip(found, documents, strict=True)}
    assert heard == {document["id"]: language_of(document) for document in documents}


def test_a_detector_hears_nearly_every_question_in_its_language(queries: list[Row]) -> None:
    for language in LANGUAGES:
        texts = [query["text"] for query in queries if query["language"] == language]
        found = [detection.language for detection in LanguageDetector(LANGUAGES).detect(texts)]
        assert found.count(language) >= 0.97 * len(texts), language


def numbers(text: str) -> set[int]:
    """The numbers in a text, whatever its digits."""
    return {int("".join(str(unicodedata.digit(digit)) for digit in run)) for run in re.findall(r"\d+", text)}


def test_all_versions_of_an_article_state_the_same_figures(articles: dict[tuple[str, str], str]) -> None:
    figures: dict[str, dict[str, set[int]]] = defaultdict(dict)
    for (group, language), text in articles.items():
        figures[group][language] = numbers(text)
    for group, versions in figures.items():
        assert len(set(map(frozenset, versions.values()))) == 1, (group, versions)
        assert all(versions.values()), group


def test_native_digits_occur_and_are_read(documents: list[Row]) -> None:
    native = {language_of(d) for d in documents if any(c.isdigit() and not c.isascii() for c in d["text"])}
    assert native == {"ar", "hi", "th"}
    assert numbers("٣٠ و३ และ๑๒") == {30, 3, 12}


def runs(text: str, length: int = 5) -> set[str]:
    squeezed = re.sub(r"[\W\d_]+", "", text.lower())
    return {squeezed[place : place + length] for place in range(len(squeezed) - length + 1)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_articles_of_a_language_are_alike(articles: dict[tuple[str, str], str], language: str) -> None:
    texts = {group: runs(text) for (group, tag), text in articles.items() if tag == language}
    for (group, one), (other, two) in combinations(texts.items(), 2):
        assert len(one & two) < ALIKE * len(one | two), (group, other)


def test_no_two_questions_of_a_language_are_the_same(queries: list[Row]) -> None:
    assert len({(query["language"], query["text"]) for query in queries}) == len(queries)


def test_every_article_has_two_questions_in_each_of_its_languages(
    articles: dict[tuple[str, str], str], queries: list[Row]
) -> None:
    assert {frozenset(query) for query in queries} == {frozenset({"id", "text", "language", "parallel_id"})}
    assert len({query["id"] for query in queries}) == len(queries)
    asked = Counter((query["parallel_id"], query["language"]) for query in queries)
    assert asked == Counter(dict.fromkeys(articles, 2))


def words(text: str, language: str) -> list[str]:
    """Words; of Chinese and Thai, which put no space between them, characters."""
    if language in IN_A_ROW:
        return [
            character for character in text.lower() if character.isalnum() or unicodedata.category(character) == "Mn"
        ]
    return re.findall(r"(?:\w|[\u0900-\u097f]|[\u064b-\u0652])+", text.lower())


def test_no_question_takes_over_a_row_of_words(articles: dict[tuple[str, str], str], queries: list[Row]) -> None:
    def sequences(text: str, language: str) -> set[tuple[str, ...]]:
        parts, length = words(text, language), IN_A_ROW.get(language, 3)
        return {tuple(parts[place : place + length]) for place in range(len(parts) - length + 1)}

    for query in queries:
        language = query["language"]
        article = articles[query["parallel_id"], language]
        shared = sequences(query["text"], language) & sequences(article, language)
        assert not shared, (query["id"], shared)


def test_a_question_shares_few_of_its_words(articles: dict[tuple[str, str], str], queries: list[Row]) -> None:
    shares: dict[str, list[float]] = defaultdict(list)
    for query in queries:
        language = query["language"]
        if language not in IN_A_ROW:
            asked = set(words(query["text"], language))
            article = set(words(articles[query["parallel_id"], language], language))
            shares[language].append(len(asked & article) / len(asked))
    # Articles and prepositions count among them.
    assert all(sum(values) / len(values) < 0.45 for values in shares.values()), shares


def test_it_reads_as_a_judged_collection(collection: JudgedCollection, documents: list[Row]) -> None:
    assert sorted(set(collection.documents.languages)) == list(LANGUAGES)
    assert UNDETERMINED not in collection.documents.languages
    assert collection.detection is not None
    assert collection.detection.documents == sum("language" not in document for document in documents)
    for text, document in zip(collection.documents.texts, documents, strict=True):
        assert text == f"{document['title']} {document['text']}"
    for query, relevant in zip(collection.queries.languages, collection.relevant, strict=True):
        assert query in {collection.documents.languages[place] for place in relevant}
