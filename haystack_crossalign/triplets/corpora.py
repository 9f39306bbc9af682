"""Build triplets from the parallel corpora for training: NTREX-128, TICO-19, course sections, SQuAD.

Each reader takes a folder with the corpus as it is published (see :mod:`haystack_crossalign.data.corpora`), or one
file of JSON Lines, an object a line, described at the reader. It gives English queries and passages with targets in
those of the wanted languages that the corpus has, and leaves out the ids of a drop list::

    ["id", "id", …]     or, one list per corpus,     {"squad": ["id", …], …}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from haystack_crossalign.data.corpora.courses import ParallelSection, read_course_repositories
from haystack_crossalign.data.corpora.kinds.sentences import ParallelSentence, SentenceCorpus
from haystack_crossalign.data.corpora.ntrex import read_ntrex_sentences
from haystack_crossalign.data.corpora.squad import TranslatedQuestion, read_translated_squad
from haystack_crossalign.data.corpora.tico19 import read_tico19_sentences
from haystack_crossalign.data.formats.jsonl import records
from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile, read_json
from haystack_crossalign.files.records import Record
from haystack_crossalign.languages import normalize_language
from haystack_crossalign.triplets.builders import (
    BuiltTriplets,
    triplets_from_sections,
    triplets_from_sentences,
)
from haystack_crossalign.triplets.filters import ambiguous_queries, apply_filters

_ENGLISH = "en"

DROPPED = "on the drop list"
"""Reason under which all readers count ids of a drop list."""

CorpusReader = Callable[..., tuple[BuiltTriplets, Source]]
"""``reader(path, languages, *, drop=None)`` -> triplets in the order of the file, and its name and hash."""


def read_ntrex(
    path: str | Path,
    languages: Sequence[str],
    *,
    block: int = 4,
    queries_per_block: int = 1,
    seed: int = 0,
    drop: str | Path | None = None,
) -> tuple[BuiltTriplets, Source]:
    """NTREX-128: news sentences in the order of their documents, translated by humans, including the queries.

    In JSON Lines a record is ``{"line": 0, "doc": "bbc.381790", "en": "…", "zh": "…", …}``. For how sentences become
    queries and passages, see :func:`~haystack_crossalign.triplets.builders.triplets_from_sentences`.

    :param path: the repository, or the file.
    :param languages: requested target languages.
    :param block: sentences per block.
    :param queries_per_block: maximum number of triplets per block.
    :param seed: of the draw of the queries.
    :param drop: list of ``line`` numbers to leave out.
    :raises InputError: for the first error, and if the corpus has none of the languages.
    """

    def place(record: Record) -> tuple[str, str]:
        return record.identifier("line"), record.identifier("doc")

    sentences, source = _read_sentences(path, languages, read_ntrex_sentences, ("line", "doc"), place)
    return _from_sentences(path, languages, drop, sentences, block, queries_per_block, seed), source


def read_tico19(
    path: str | Path,
    languages: Sequence[str],
    *,
    block: int = 4,
    queries_per_block: int = 1,
    seed: int = 0,
    drop: str | Path | None = None,
) -> tuple[BuiltTriplets, Source]:
    """TICO-19: sentences about COVID-19, translated by humans. The document is the part of the id before its colon.

    In JSON Lines a record is ``{"tuid": "CMU_1:1", "url": "…", "en": "…", "zh": "…", …}``. Parameters are those of
    `read_ntrex`; the drop list holds ids (``stringID``, in JSON Lines ``tuid``).
    """

    def place(record: Record) -> tuple[str, str]:
        name = record.identifier("tuid")
        return name, name.rsplit(":", 1)[0]

    sentences, source = _read_sentences(path, languages, read_tico19_sentences, ("tuid", "url"), place)
    return _from_sentences(path, languages, drop, sentences, block, queries_per_block, seed), source


def read_course_sections(
    path: str | Path,
    languages: Sequence[str],
    *,
    sections_per_heading: int = 1,
    drop: str | Path | None = None,
) -> tuple[BuiltTriplets, Source]:
    """Sections of courses with their headings as queries, in English and the languages of the section.

    In JSON Lines a record is ``{"repo": "…", "file": "…", "k": 1, "p": {"en": "passage", "zh": "…"}, "h": {"en":
    "heading", …}}``; the id of a section is ``repo/file#k``.

    :param path: a folder with clones of the repositories, or the file.
    :param languages: requested target languages; a section has those into which it is translated.
    :param sections_per_heading: sections whose heading is shared by more sections than this ("Introduction") are left
        out.
    :param drop: list of ids to leave out.
    :raises InputError: for the first error, and if the corpus has none of the languages.
    """
    wanted, dropped = _wanted(languages), _dropped(drop)
    if Path(path).is_dir():
        read, source = read_course_repositories(path, wanted)
    else:
        file = TextFile(path)
        read = tuple(_section(record, wanted) for record in records(file))
        source = file.source
    sections = [section for section in read if section.id not in dropped]
    _check_languages(path, wanted, (section.passages for section in sections))
    built = triplets_from_sections(sections, wanted, partial=True)
    kept = apply_filters(built.triplets, [ambiguous_queries(sections_per_heading)]).kept
    repeated = {"headings of several sections": len(built.triplets) - len(kept)}
    return BuiltTriplets(kept, {DROPPED: len(read) - len(sections), **built.left_out, **repeated}), source


def read_squad(
    path: str | Path, languages: Sequence[str], *, drop: str | Path | None = None
) -> tuple[BuiltTriplets, Source]:
    """SQuAD: real questions about paragraphs of Wikipedia, and translations of the paragraphs.

    In JSON Lines a record is ``{"id": "…", "title": "article", "q_en": "question", "p_en": "paragraph", "p_zh": "…"}``,
    with ``q_zh`` if the question is also translated. The parallel group is ``title#number of the paragraph``.

    :param path: a folder with SQuAD and the translations that were published with MLQA, or the file.
    :param languages: requested target languages; a triplet has those into which its paragraph is translated.
    :param drop: list of ids to leave out.
    :raises InputError: for the first error, and if the corpus has none of the languages.
    """
    wanted, dropped = _wanted(languages), _dropped(drop)
    if Path(path).is_dir():
        questions, source = read_translated_squad(path, wanted)
    else:
        file = TextFile(path)
        questions = tuple(_question(record, wanted) for record in records(file))
        source = file.source
    paragraphs: dict[str, dict[str, int]] = {}
    triplets, left_out = [], {DROPPED: 0, "without a target language": 0}
    for question in questions:
        numbers = paragraphs.setdefault(question.title, {})
        number = numbers.setdefault(
            question.passage, len(numbers)
        )  # also for dropped questions, so that groups keep their names
        if question.id in dropped or not question.passages:
            left_out[DROPPED if question.id in dropped else "without a target language"] += 1
            continue
        group = f"{question.title}#{number}"
        triplets.append(
            Triplet(question.id, group, _ENGLISH, question.query, question.passage, question.passages, question.queries)
        )
    _check_languages(path, wanted, (triplet.targets for triplet in triplets))
    return BuiltTriplets(tuple(triplets), left_out), source


def _section(record: Record, wanted: Sequence[str]) -> ParallelSection:
    name = f"{record.identifier('repo')}/{record.identifier('file')}#{record.identifier('k')}"
    return ParallelSection(name, _object(record, "p", wanted), _object(record, "h", wanted))


def _question(record: Record, wanted: Sequence[str]) -> TranslatedQuestion:
    passages = {tag: text for tag in wanted if (text := record.optional_text(f"p_{tag}"))}
    return TranslatedQuestion(
        id=record.identifier("id"),
        title=record.text("title"),
        query=record.text("q_en"),
        passage=record.text("p_en"),
        passages=passages,
        queries={tag: text for tag in passages if (text := record.optional_text(f"q_{tag}"))},
    )


CORPORA: Mapping[str, CorpusReader] = {
    "ntrex": read_ntrex,
    "tico19": read_tico19,
    "course_sections": read_course_sections,
    "squad": read_squad,
}
"""The readers, by their names in recipes and on the command line."""


def read_drop_list(path: str | Path) -> frozenset[str]:
    """Read ids to leave out: a JSON list of ids, or an object with one such list per corpus, which are combined.

    :param path: the file.
    :raises InputError: if it cannot be read or has a different structure.
    """
    value, _ = read_json(path)
    lists = list(value.values()) if isinstance(value, dict) else [value]
    ids = [identifier for part in lists if isinstance(part, list) for identifier in part]
    if not all(isinstance(part, list) for part in lists) or not all(
        isinstance(identifier, str | int) and not isinstance(identifier, bool) for identifier in ids
    ):
        raise InputError(
            "not a list of ids", source=path, seen=value, allowed="a JSON list of ids, or an object of such lists"
        )
    return frozenset(str(identifier) for identifier in ids)


def _read_sentences(
    path: str | Path,
    languages: Sequence[str],
    published: Callable[..., SentenceCorpus],
    other_fields: Collection[str],
    place: Callable[[Record], tuple[str, str]],
) -> tuple[tuple[ParallelSentence, ...], Source]:
    """Read the sentences of a corpus, from a folder as published or from JSON Lines.

    :param published: reads the folder.
    :param other_fields: fields of the records that are not languages.
    :param place: returns id and document of a record.
    """
    wanted = _wanted(languages)
    if Path(path).is_dir():
        corpus = published(path, wanted, partial=True)
        return corpus.sentences, corpus.source
    file = TextFile(path)
    sentences = []
    for record in records(file):
        name, document = place(record)
        sentences.append(ParallelSentence(document, _texts(record, wanted, other_fields), name))
    return tuple(sentences), file.source


def _from_sentences(
    path: str | Path,
    languages: Sequence[str],
    drop: str | Path | None,
    sentences: Sequence[ParallelSentence],
    block: int,
    queries_per_block: int,
    seed: int,
) -> BuiltTriplets:
    wanted, dropped = _wanted(languages), _dropped(drop)
    kept = [sentence for sentence in sentences if sentence.id not in dropped]
    present = _check_languages(path, wanted, (sentence.texts for sentence in kept))
    built = triplets_from_sentences(
        kept, present, language=_ENGLISH, block=block, queries_per_block=queries_per_block, seed=seed
    )
    return BuiltTriplets(built.triplets, {DROPPED: len(sentences) - len(kept), **built.left_out})


def _wanted(languages: Sequence[str]) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(normalize_language(tag, field="languages") for tag in languages))
    if not tags or _ENGLISH in tags:
        raise InputError(
            "English, the language of queries and passages, cannot be a target language",
            field="languages",
            seen=list(languages),
            allowed="one or more, for instance zh",
        )
    return tags


def _dropped(drop: str | Path | None) -> frozenset[str]:
    return frozenset() if drop is None else read_drop_list(drop)


def _texts(record: Record, wanted: Sequence[str], other_fields: Collection[str] = ()) -> dict[str, str]:
    """The texts of the requested languages and English; tags in the file need not be normalized."""
    texts = {}
    for key in record.values:
        if key in other_fields:
            continue
        tag = normalize_language(key, source=record.path, line=record.line, field=record.prefix + key)
        if tag == _ENGLISH or tag in wanted:
            text = record.optional_text(key)
            if text:
                texts[tag] = text
    if _ENGLISH not in texts:
        raise record.error("no English text", _ENGLISH, allowed="a text that is not empty")
    return texts


def _object(record: Record, field: str, wanted: Sequence[str]) -> dict[str, str]:
    value = record.get(field)
    if not isinstance(value, Mapping):
        raise record.error(
            "not an object", field, ... if value is None else value, "an object with a text per language"
        )
    return _texts(Record(value, record.path, record.line, prefix=f"{field}."), wanted)


def _check_languages(path: str | Path, wanted: Sequence[str], texts: Iterator[Mapping[str, str]]) -> tuple[str, ...]:
    """The requested languages that the file has, in order."""
    tags = {tag for each in texts for tag in each}
    present = tuple(tag for tag in wanted if tag in tags)
    if not present:
        raise InputError(
            "there is no text in any of the target languages",
            source=path,
            field="languages",
            seen=list(wanted),
            allowed="languages of the corpus",
        )
    return present
