"""FLORES+: 997 and 1,012 sentences from English Wikinews, Wikijunior and Wikivoyage, in more than 200 languages.

Source: NLLB Team et al., "No Language Left Behind" (2022), maintained by the Open Language Data Initiative. Three
layouts: the data set on the hub (``devtest/<code>.jsonl`` or ``.parquet`` with ``id``, ``text`` and ``url``), the
archive of FLORES+ (``devtest/devtest.<code>``), and FLORES-200 (``devtest/<code>.devtest``); the last two with
``metadata_devtest.tsv``, which names the page of each line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from haystack_crossalign.data.corpora.kinds.sentences import Lines, ParallelSentence, SentenceCorpus, choose_files
from haystack_crossalign.data.formats.jsonl import records
from haystack_crossalign.data.formats.tables import parquet_records, tsv_records
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile, combined_source

SPLITS = ("dev", "devtest")


def read_flores_sentences(
    folder: Path | str, languages: Sequence[str] | None = None, *, split: str = "devtest"
) -> SentenceCorpus:
    """Read the sentences of one split. Consecutive sentences of one page form a document.

    :param folder: the data set, with a folder for each split.
    :param languages: languages other than English, in any spelling; None for all.
    :param split: ``dev`` or ``devtest``.
    :raises InputError: for missing files, a language without a file, and files that are not aligned.
    """
    if split not in SPLITS:
        raise InputError("unknown split", field="split", seen=split, allowed=", ".join(SPLITS))
    root, texts = Path(folder), Path(folder) / split
    if not texts.is_dir():
        raise InputError("no such folder", source=texts, allowed="FLORES+ or FLORES-200 as published")
    files: dict[str, Path] = {}
    for path in sorted(texts.iterdir()):
        for prefix, ending in (("", ".jsonl"), ("", ".parquet"), (f"{split}.", ""), ("", f".{split}")):
            if path.name.startswith(prefix) and path.name.endswith(ending):
                files.setdefault(path.name.removeprefix(prefix).removesuffix(ending), path)
                break
    chosen = choose_files(texts, files, None, example="eng_Latn.jsonl")
    if "en" not in chosen:
        raise InputError("no English file", source=texts, allowed="eng_Latn")
    wanted = choose_files(texts, files, languages, example="eng_Latn.jsonl")
    english, pages, sources = _read(chosen["en"], root, split)
    read = {}
    for tag, path in wanted.items():
        if tag != "en":
            read[tag], _, more = _read(path, root, split)
            sources += more
            unknown = next((name for name in read[tag] if name not in english), None)
            if unknown is not None:
                raise InputError("a sentence that the English file lacks", source=path, seen=unknown)
    sentences, runs, last = [], dict[str, int](), None
    for name, text in english.items():
        page = pages[name]
        runs[page] = runs.get(page, 0) + (page != last)
        last = page
        document = page if runs[page] == 1 else f"{page}~{runs[page]}"
        versions = {"en": text} | {tag: rows[name] for tag, rows in read.items() if rows.get(name)}
        sentences.append(ParallelSentence(document, versions, name))
    source = combined_source(f"{root.name}/{split}", sources)
    return SentenceCorpus("flores", tuple(sentences), ("en", *read), source)


def _read(path: Path, root: Path, split: str) -> tuple[dict[str, str], dict[str, str], list[Source]]:
    """Texts and pages by sentence id, and the files."""
    if path.suffix in (".jsonl", ".parquet"):
        if path.suffix == ".parquet":
            rows, source = parquet_records(path)
        else:
            file = TextFile(path)
            rows = list(records(file))
            source = file.source
        texts, pages = {}, {}
        for row in rows:
            name = row.identifier("id")
            texts[name], pages[name] = row.optional_text("text").strip(), row.text("url")
        return texts, pages, [source]
    lines = Lines(path)
    metadata = TextFile(root / f"metadata_{split}.tsv")
    urls = [record.text("URL") for record in tsv_records(metadata, ("URL",))]
    if max(lines.texts) > len(urls):
        raise InputError(
            "more lines than the metadata", source=path, seen=max(lines.texts), allowed=f"{len(urls)}, as in "
            f"{metadata.path.name}",
        )  # fmt: skip
    return (
        {str(number): text for number, text in lines.texts.items()},
        {str(number): url for number, url in enumerate(urls, start=1)},
        [lines.source, metadata.source],
    )
