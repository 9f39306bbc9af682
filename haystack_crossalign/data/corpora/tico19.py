"""TICO-19: 3,071 sentences of 30 English texts about COVID-19, translated by humans into 38 languages.

Source: Anastasopoulos et al., "TICO-19: the Translation Initiative for COvid-19" (2020). The archive holds
``dev/dev.en-<code>.tsv`` and ``test/test.en-<code>.tsv`` with the columns ``sourceLang``, ``targetLang``,
``sourceString``, ``targetString``, ``stringID``, ``url``, ``license`` and ``translator_ID``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from haystack_crossalign.data.corpora.kinds.sentences import ParallelSentence, SentenceCorpus, choose_files
from haystack_crossalign.data.formats.tables import tsv_records
from haystack_crossalign.files.reading import Source, TextFile, combined_source

_SPLITS = ("dev", "test")
_COLUMNS = ("sourceString", "targetString", "stringID")


def read_tico19_sentences(
    folder: Path | str, languages: Sequence[str] | None = None, *, partial: bool = False
) -> SentenceCorpus:
    """Read the sentences of TICO-19 in its published layout: both splits, in the order of the texts.

    The id of a sentence is its ``stringID``, such as ``PubMed_6:142``: the text, and the number of the sentence across
    all texts.

    :param folder: the unpacked archive, or a folder with its files.
    :param languages: languages other than English, in any spelling; None for all.
    :param partial: ignore languages that are missing.
    :raises InputError: for missing files or columns, and for an id whose English text differs between files.
    """
    root = Path(folder)
    paths_by_pair: dict[str, dict[str, Path]] = {}
    for split in _SPLITS:
        prefix = f"{split}.en-"
        for path in sorted([*root.glob(f"{split}/{prefix}*.tsv"), *root.glob(f"{prefix}*.tsv")]):
            paths_by_pair.setdefault(path.name.removeprefix(prefix).removesuffix(".tsv"), {}).setdefault(split, path)
    example = "test/test.en-zh.tsv"
    first = {code: next(iter(paths.values())) for code, paths in paths_by_pair.items()}
    chosen = choose_files(root, first, languages, example=example, original="en", partial=partial)
    files = {tag: paths_by_pair[path.name.split(".en-", 1)[1].removesuffix(".tsv")] for tag, path in chosen.items()}
    english: dict[str, str] = {}
    versions: dict[str, dict[str, str]] = {}
    sources: list[Source] = []
    for tag, paths in files.items():
        for path in paths.values():
            file = TextFile(path)
            for record in tsv_records(file, _COLUMNS):
                name, text = record.identifier("stringID").strip(), record.text("sourceString").strip()
                if english.setdefault(name, text) != text:
                    raise record.error("another English text than in other files", "sourceString", text, english[name])
                if translation := record.optional_text("targetString").strip():
                    versions.setdefault(name, {})[tag] = translation
            sources.append(file.source)
    sentences = [
        ParallelSentence(name.rsplit(":", 1)[0], {"en": english[name]} | versions.get(name, {}), name)
        for name in sorted(english, key=_number)
    ]
    return SentenceCorpus("tico19", tuple(sentences), ("en", *files), combined_source("TICO-19", sources))


def _number(name: str) -> tuple[int, str]:
    """Sort key of a sentence: its number, which is unique across texts; sentences without a number come last."""
    number = name.rpartition(":")[2]
    return (int(number), name) if number.isdecimal() and len(number) < 10 else (10**9, name)
