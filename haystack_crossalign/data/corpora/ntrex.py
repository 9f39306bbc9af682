"""NTREX-128: 1,997 news sentences in 123 documents, translated by humans from English into 128 languages.

Source: Federmann, Kocmi and Xin, "NTREX-128 - News Test References for MT Evaluation of 128 Languages" (SUMEval 2022).
The repository holds ``NTREX-128/newstest2019-src.eng.txt`` and ``newstest2019-ref.<code>.txt``, one sentence per line,
and ``DOCUMENT_IDS.tsv`` with the document of each line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from haystack_crossalign.data.corpora.kinds.sentences import Lines, ParallelSentence, SentenceCorpus, choose_files
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import combined_source

_SOURCE, _REFERENCE, _DOCUMENTS = "newstest2019-src.eng.txt", "newstest2019-ref.", "DOCUMENT_IDS.tsv"


def read_ntrex_sentences(
    folder: Path | str, languages: Sequence[str] | None = None, *, partial: bool = False
) -> SentenceCorpus:
    """Read the sentences of NTREX-128 in its published layout.

    The id of a sentence is the number of its line, from 0.

    :param folder: the repository, or its folder ``NTREX-128`` with ``DOCUMENT_IDS.tsv`` in it or next to it.
    :param languages: languages other than English, in any spelling; None for all.
    :param partial: ignore languages that are missing.
    :raises InputError: for missing files, a language without a file, and files that are not aligned.
    """
    root = Path(folder)
    texts = root / "NTREX-128" if (root / "NTREX-128").is_dir() else root
    if not (texts / _SOURCE).is_file():
        raise InputError("no such file", source=texts / _SOURCE, allowed="NTREX-128 as it is published")
    documents = next((path / _DOCUMENTS for path in (root, root.parent) if (path / _DOCUMENTS).is_file()), None)
    if documents is None:
        raise InputError("no such file", source=root / _DOCUMENTS, allowed="the document of each line, as published")
    files = {path.name.removeprefix(_REFERENCE).removesuffix(".txt"): path for path in texts.glob(f"{_REFERENCE}*.txt")}
    chosen = choose_files(texts, files, languages, example=f"{_REFERENCE}deu.txt", original="en", partial=partial)
    english, names = Lines(texts / _SOURCE), Lines(documents)
    names.check_within(english)
    read = {tag: Lines(path) for tag, path in chosen.items() if tag != "en"}
    for lines in read.values():
        lines.check_within(english)
    sentences = []
    for number, text in english.texts.items():
        if number not in names.texts:
            raise InputError(
                "a sentence without document", source=documents, line=number, allowed="a name in each line"
            )
        versions = {"en": text} | {tag: lines.texts[number] for tag, lines in read.items() if number in lines.texts}
        sentences.append(ParallelSentence(names.texts[number], versions, str(number - 1)))
    source = combined_source("NTREX-128", [english.source, names.source, *(lines.source for lines in read.values())])
    return SentenceCorpus("ntrex", tuple(sentences), ("en", *read), source)
