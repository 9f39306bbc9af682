"""Read the texts for a repair: documents with languages, and queries if there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from haystack_crossalign.data.corpora.collections import read_corpus
from haystack_crossalign.data.corpora.registry import CORPORA as PUBLISHED
from haystack_crossalign.data.corpora.registry import corpus_folder, named_corpus
from haystack_crossalign.data.formats.detected import detect_rows
from haystack_crossalign.data.formats.jsonl import DETECT, DocumentRow, document_rows
from haystack_crossalign.data.formats.triplets import read_triplets
from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name
from haystack_crossalign.files.reading import Source, TextFile, parse_json_object
from haystack_crossalign.files.records import Record
from haystack_crossalign.languages import UNDETERMINED

CORPORA = tuple(name for name, corpus in PUBLISHED.items() if corpus.training)
"""Corpora from which :mod:`haystack_crossalign.triplets.corpora` builds triplets."""

JUDGED = ("xquad", "belebele", "mlqa", "flores")
"""Corpora that are published to evaluate, of which the pool and its queries are taken."""

SENTENCES = ("ntrex", "tico19")
"""Corpora of sentences, of which blocks become documents."""

FORMATS = ("auto", "documents", "triplets", *CORPORA, *JUDGED)

_PASSAGE_FIELDS = ("passage", "pos", "target", "targets")


@dataclass(frozen=True)
class Question:
    """A real query; all documents of its group are relevant.

    :param group: the parallel group.
    :param language: normalized tag.
    :param text: the query.
    """

    group: str
    language: str
    text: str


@dataclass(frozen=True)
class RepairTexts:
    """The texts of a file.

    :param passages: at most one per group and language.
    :param questions: queries of the file.
    :param sources: the file, with its hash.
    :param chunks: number of documents left out because their group and language already occurred.
    :param titles: field that was put before the text of passages, and the number of these; None if there were none.
    :param detection: what was detected of the languages of documents without one, in a sentence.
    :param remark: what a reader must know of the data, in a sentence.
    """

    passages: tuple[DocumentRow, ...]
    questions: tuple[Question, ...]
    sources: tuple[Source, ...]
    chunks: int = 0
    titles: tuple[str, int] | None = None
    detection: str | None = None
    remark: str | None = None

    @property
    def languages(self) -> tuple[str, ...]:
        """Tags of the passages, ascending."""
        return tuple(sorted({passage.language for passage in self.passages}))

    def in_languages(self, languages: Iterable[str]) -> RepairTexts:
        """The part in some languages."""
        wanted = frozenset(languages)
        return replace(
            self,
            passages=tuple(passage for passage in self.passages if passage.language in wanted),
            questions=tuple(question for question in self.questions if question.language in wanted),
        )


def read_repair_texts(
    path: Path | str,
    *,
    kind: str = "auto",
    language: str = "en",
    target_languages: Sequence[str] = (),
    language_field: str = "language",
    group_field: str = "parallel_id",
    title_field: str | None = "title",
    parallel: bool = False,
    detect: bool | None = None,
    block: int | None = None,
) -> RepairTexts:
    """Read documents (JSON Lines with ``id``, ``text``, ``language`` and, if they are parallel, ``parallel_id``),
    triplets (see :mod:`haystack_crossalign.data.formats.triplets`) or a corpus.

    :param path: the file.
    :param kind: one of `FORMATS`; ``auto`` distinguishes documents from triplets by the fields of the first line.
    :param language: language of queries and passages of triplets that do not state it.
    :param target_languages: the other languages of a corpus; required for a corpus.
    :param language_field: field of documents that holds the language.
    :param group_field: field of documents that holds the parallel group.
    :param title_field: field of documents to put before their text, as in audits; None for none.
    :param parallel: reject documents if none has a version in another language.
    :param detect: detect the language of documents that name none, and leave out those whose language is not clear;
        None where the caller offers no such option.
    :param block: sentences per block, of which one is the query, of a corpus of sentences (ntrex, tico19); None for 4.
    :raises InputError: for the first missing or invalid value, with file, line and field.
    """
    path = Path(path)
    if kind not in FORMATS:
        raise InputError("unknown format", source=path, field="format", seen=kind, allowed=", ".join(FORMATS))
    form = detected_format(path) if kind == "auto" else kind
    if block is not None and form not in SENTENCES:
        raise InputError(
            "has no blocks of sentences", source=path, field="block", seen=form, allowed=", ".join(SENTENCES)
        )
    if form == "documents":
        texts = _read_documents(path, language_field, group_field, title_field, detect)
        if parallel and len({passage.group for passage in texts.passages}) == len(texts.passages):
            raise InputError(
                "no document has a version in another language",
                source=path,
                field=group_field,
                seen=f"{len(texts.passages)} documents, each in a group of its own",
                allowed="a field that versions of one text share (--group-field), or --tagged for documents that are "
                "not parallel",
            )
        return texts
    if form == "triplets":
        triplets, source = read_triplets(path, language=language, target_languages=target_languages)
        return texts_from_triplets(triplets, (source,))
    if form in JUDGED:
        return _read_judged(form, path, tuple(dict.fromkeys((language, *target_languages))))
    # The corpora have English queries; a pair without English is a pair of their targets.
    targets = tuple(dict.fromkeys(tag for tag in (language, *target_languages) if tag != "en"))
    if not targets:
        raise InputError(f"the languages to take from {form} are not named", source=path, allowed="--languages en,zh,…")
    from haystack_crossalign.triplets.corpora import CORPORA as READERS

    built, source = READERS[form](path, targets, **({} if block is None else {"block": block}))
    return texts_from_triplets(built.triplets, (source,))


def texts_from_triplets(triplets: Iterable[Triplet], sources: Sequence[Source] = ()) -> RepairTexts:
    """Passages and queries of triplets; each passage and target is a version of its group's document.

    If triplets of a group have different passages (overlapping parts of one text), the first one represents the group,
    and the queries of the others are left out.

    :param triplets: the triplets.
    :param sources: the files they come from.
    """
    passages: dict[tuple[str, str], DocumentRow] = {}
    questions: dict[Question, None] = {}
    chunks = 0
    for triplet in triplets:
        versions = {triplet.language: triplet.passage, **triplet.targets}
        kept = passages.setdefault(
            (triplet.group, triplet.language), _version(triplet.group, triplet.language, triplet.passage)
        )
        if kept.text != triplet.passage:
            chunks += 1
            continue
        for tag in sorted(versions):
            passages.setdefault((triplet.group, tag), _version(triplet.group, tag, versions[tag]))
        for tag, text in ((triplet.language, triplet.query), *sorted(triplet.target_queries.items())):
            questions[Question(triplet.group, tag, text)] = None
    return RepairTexts(tuple(passages.values()), tuple(questions), tuple(sources), chunks)


def _read_judged(name: str, path: Path, languages: Sequence[str]) -> RepairTexts:
    """The pool of a corpus that is published to evaluate, and its queries."""
    if len(languages) < 2:
        raise InputError(f"the languages to take from {name} are not named", source=path, allowed="--languages de,vi,…")
    collection = read_corpus(name, corpus_folder(name, path), languages)
    documents = collection.documents
    rows = zip(documents.ids, documents.groups, documents.languages, documents.texts, strict=True)
    asked = zip(collection.queries.languages, collection.queries.texts, collection.relevant, strict=True)
    return RepairTexts(
        tuple(DocumentRow(*row) for row in rows),
        tuple(dict.fromkeys(Question(documents.groups[relevant[0]], tag, text) for tag, text, relevant in asked)),
        collection.sources,
        remark=f"{named_corpus(name).title} is published to evaluate models: figures of a model that is fitted on it "
        "say nothing when they are measured on it.",
    )


def _version(group: str, tag: str, text: str) -> DocumentRow:
    return DocumentRow(f"{tag}:{group}", group, tag, text)


def _read_documents(
    path: Path, language_field: str, group_field: str, title_field: str | None, detect: bool | None
) -> RepairTexts:
    file = TextFile(path)
    passages: dict[tuple[str, str], DocumentRow] = {}
    chunks = 0
    rows: Iterable[DocumentRow] = document_rows(
        file, language_field=language_field, group_field=group_field, title_field=title_field,
        default_language=UNDETERMINED if detect else None, advice="" if detect is None else DETECT,
    )  # fmt: skip
    note = None
    if detect:
        detected = detect_rows(rows)
        rows, note = detected.rows, detected.note
    for row in rows:
        chunks += (row.group, row.language) in passages
        passages.setdefault((row.group, row.language), row)
    titled = sum(row.body is not None for row in passages.values())
    titles = (title_field, titled) if title_field is not None and titled else None
    return RepairTexts(tuple(passages.values()), (), (file.source,), chunks, titles, note)


def detected_format(path: Path) -> str:
    """Whether a file holds ``documents`` or ``triplets``, by the fields of its first line.

    :param path: the file.
    :raises InputError: if it holds neither.
    """
    if plain_name(path).suffix in (".tsv", ".parquet"):
        return "triplets"
    for line, text in islice(TextFile(path), 1):
        first: Mapping[str, object] = parse_json_object(text, path, line)
        if first.get("query") is not None and any(first.get(field) is not None for field in _PASSAGE_FIELDS):
            return "triplets"
        record = Record(first, path, line)
        if record.get("id") is not None and (record.get("text") or record.get("content")) is not None:
            return "documents"
        raise InputError(
            "neither documents nor triplets",
            source=path,
            line=line,
            seen=sorted(first),
            allowed="documents with id, text, language and parallel_id; triplets with query, passage and targets; or "
            f"a corpus that --format names ({', '.join(CORPORA)})",
        )
    return "documents"
