"""Corpora of translated sentences, and how to make a judged collection of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.kinds.parallel import ParallelRow, ParallelText, parallel_collection
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile
from haystack_crossalign.languages import normalize_language

# Languages without spaces between sentences.
_UNSPACED = frozenset({"zh", "ja", "yue"})


@dataclass(frozen=True)
class ParallelSentence:
    """A sentence in several languages.

    :param document: its document; sentences of one document are in order.
    :param texts: per normalized tag.
    :param id: its id in the corpus, if it has one.
    """

    document: str
    texts: Mapping[str, str]
    id: str = ""


@dataclass(frozen=True)
class SentenceCorpus:
    """Sentences of a corpus, document by document.

    :param name: name of the corpus.
    :param sentences: in the order of the corpus; each has English and the languages into which it is translated.
    :param languages: the languages that were read, English first.
    :param source: name of the corpus, and a hash of the files that were read.
    """

    name: str
    sentences: tuple[ParallelSentence, ...]
    languages: tuple[str, ...]
    source: Source


@dataclass
class Lines:
    """The lines of a text file by number, so that blank lines do not break the alignment of files.

    :param path: the file.
    """

    path: Path
    texts: dict[int, str] = field(init=False)
    source: Source = field(init=False)

    def __post_init__(self) -> None:
        file = TextFile(self.path)
        self.texts = {number: text.strip() for number, text in file}
        self.source = file.source

    def check_within(self, other: Lines) -> None:
        """Reject lines beyond the last line of another file, which cannot be aligned with it."""
        last = max(other.texts)
        beyond = [number for number in self.texts if number > last]
        if beyond:
            raise InputError(
                f"more lines than {other.path.name}",
                source=self.path,
                line=beyond[0],
                seen=max(self.texts),
                allowed=f"{last} lines, one for each sentence",
            )


def choose_files(
    folder: Path,
    files: Mapping[str, Path],
    languages: Sequence[str] | None,
    *,
    example: str,
    original: str | None = None,
    partial: bool = False,
) -> dict[str, Path]:
    """Choose the files of some languages, by normalized tag, in the order of the languages.

    Of two files of the same language, such as ``spa`` and ``spa-MX``, the one with the shorter code is chosen.

    :param folder: their folder, for messages.
    :param files: files by the code in their names; codes that are not languages are ignored.
    :param languages: wanted languages in any spelling; None for all.
    :param example: name of a file, for messages.
    :param original: normalized tag of the language that was translated from, if its file is not among these.
    :param partial: ignore requested languages without a file.
    :raises InputError: if there are no files, or none of a requested language.
    """
    known: dict[str, Path] = {}
    for code in sorted(files, key=lambda code: (len(code), code)):
        try:
            known.setdefault(normalize_language(code), files[code])
        except InputError:
            continue
    if not known:
        raise InputError("no files of the corpus", source=folder, allowed=f"files such as {example}")
    if languages is None:
        return dict(sorted(known.items()))
    wanted = dict.fromkeys(normalize_language(tag, field="languages") for tag in languages)
    for tag in wanted:
        if tag not in known and tag != original and not partial:
            raise InputError(
                "language without data", source=folder, field="languages", seen=tag, allowed=", ".join(sorted(known))
            )
    return {tag: known[tag] for tag in wanted if tag in known}


def joined_sentences(texts: Iterable[str], tag: str) -> str:
    """Join sentences to one text, with spaces between them if the language uses them.

    :param texts: the sentences.
    :param tag: normalized tag of their language.
    """
    separator = "" if tag.split("-")[0] in _UNSPACED else " "
    return separator.join(text.strip() for text in texts)


def sentence_collection(corpus: SentenceCorpus, languages: Sequence[str] | None = None) -> JudgedCollection:
    """Make a judged collection in which the first sentence of each document is the query for the rest of it.

    Documents with a single sentence, or without one of the languages in any sentence, are left out and reported.

    :param corpus: the sentences.
    :param languages: languages of the pool and of the queries, in any spelling; None for all that were read.
    :raises InputError: for a language that was not read, or if no document is left.
    """
    chosen = list(corpus.languages)
    if languages is not None:
        chosen = list(dict.fromkeys(normalize_language(tag, field="languages") for tag in languages))
    for tag in chosen:
        if tag not in corpus.languages:
            raise InputError("language without data", field="languages", seen=tag, allowed=", ".join(corpus.languages))
    documents: dict[str, list[ParallelSentence]] = {}
    for sentence in corpus.sentences:
        documents.setdefault(sentence.document, []).append(sentence)
    log = ReadingLog()
    rows: dict[str, list[ParallelRow]] = {tag: [] for tag in chosen}
    for document, members in documents.items():
        if len(members) < 2:
            log.leave_out("document", "of one sentence", document)
        elif any(not member.texts.get(tag) for member in members for tag in chosen):
            log.leave_out("document", "lacks a sentence in one of the languages", document)
        else:
            for tag in chosen:
                question, *rest = [member.texts[tag] for member in members]
                rows[tag].append(ParallelRow(document, document, question, joined_sentences(rest, tag)))
    if not any(rows.values()):
        raise InputError("no document left", source=corpus.name, allowed="documents with all of the languages")
    texts = {tag: ParallelText.from_rows(rows[tag], f"{corpus.name}, {tag}") for tag in chosen}
    collection = parallel_collection(corpus.name, texts)
    return replace(collection, sources=(corpus.source,), pool=None, omissions=log.omissions())
