"""Folders in the format of the BEIR benchmark: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``.

``corpus.jsonl`` and ``queries.jsonl`` hold ``_id``, ``text`` and, for documents, ``title``; ``qrels/<split>.tsv`` holds
query, document and score under a header (https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset). The format
has no fields for languages and parallel groups. They are written into ``metadata``, and read from there or from
top-level fields of the same names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.jsonl import read_documents, read_queries
from haystack_crossalign.data.formats.run_files import whole
from haystack_crossalign.data.formats.trec import parse_judgments
from haystack_crossalign.data.join import join_judgments
from haystack_crossalign.data.judgments import grades_from_qrels
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name, with_or_without_gz
from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.languages import UNDETERMINED

_HEADER = "query-id\tcorpus-id\tscore\n"


def read_beir(
    folder: str | Path,
    *,
    split: str = "test",
    language_field: str = "language",
    group_field: str = "parallel_id",
    title_field: str | None = "title",
    url_field: str | None = None,
    default_language: str | None = None,
    query_language: str | None = None,
    expand_groups: bool = False,
    detect: bool = False,
    relevance_level: int = 1,
    keep_unanswerable: bool = False,
    name: str | None = None,
    log: ReadingLog | None = None,
) -> JudgedCollection:
    """Read a judged collection from a BEIR folder.

    As in BEIR, a document's title is put before its text with a space between, and queries without any judgment in the
    split are left out; they are reported, as are queries whose judgments are all below ``relevance_level``. The files
    may be compressed with gzip (``corpus.jsonl.gz``, …).

    :param folder: the folder.
    :param split: name of the file in ``qrels/``.
    :param language_field: field that holds the language, in ``metadata`` or at the top level.
    :param group_field: field that holds the parallel group of a document, in ``metadata`` or at the top level.
    :param title_field: field of the documents that is put before their text; None for none.
    :param url_field: field that holds the address of a document's page, for reports; None for none.
    :param default_language: language of documents and queries without one; None if each must have one.
    :param query_language: language of queries without one; None for ``default_language``.
    :param expand_groups: whether all versions of a relevant document are relevant too (the documents of its group).
    :param detect: whether to detect the language of documents and queries without one, see `detect_languages`.
    :param relevance_level: least grade of a relevant document, at least 1.
    :param keep_unanswerable: keep queries without a relevant document, to convert judgments instead of auditing them.
    :param name: name of the collection; None for the name of the folder.
    :param log: decides whether invalid rows are left out, and counts them.
    :raises InputError: for the first error, with file, line and field.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError("no such folder", source=root, allowed="a folder with corpus.jsonl, queries.jsonl and qrels/")
    judgments = with_or_without_gz(root / "qrels" / f"{split}.tsv")
    if not judgments.is_file():
        names = map(plain_name, (root / "qrels").glob("*.tsv*"))
        splits = sorted({path.stem for path in names if path.suffix == ".tsv"})
        raise InputError(
            "no such split", source=judgments, field="split", seen=split, allowed=", ".join(splits) or None
        )
    for_queries = default_language if query_language is None else query_language
    if detect:
        default_language, for_queries = default_language or UNDETERMINED, for_queries or UNDETERMINED
    log = log or ReadingLog()
    documents, corpus = read_documents(
        with_or_without_gz(root / "corpus.jsonl"),
        language_field=language_field,
        group_field=group_field,
        id_field="_id",
        title_field=title_field,
        url_field=url_field,
        default_language=default_language,
        log=log,
    )
    file = read_queries(
        with_or_without_gz(root / "queries.jsonl"),
        language_field=language_field,
        group_field=group_field,
        id_field="_id",
        default_language=for_queries,
        log=log,
    )
    columns = ("query", "document", "grade")
    qrels = parse_judgments(judgments, lambda text: text.split("\t"), columns, header=True, log=log)
    return join_judgments(
        root.resolve().name if name is None else name,
        documents,
        file,
        grades_from_qrels(file, documents, qrels, subset=True, log=log),
        sources=(corpus, file.source, qrels.source),
        judgments_path=qrels.path,
        log=log,
        title_field=title_field,
        expand_groups=expand_groups,
        detect=detect,
        relevance_level=relevance_level,
        keep_unanswerable=keep_unanswerable,
    )


def beir_files(folder: str | Path, *, split: str = "test") -> tuple[Path, Path, Path]:
    """The files that `write_beir` writes: documents, queries and judgments.

    :param folder: the folder.
    :param split: name of the judgments file.
    """
    root = Path(folder)
    return root / "corpus.jsonl", root / "queries.jsonl", root / "qrels" / f"{split}.tsv"


def write_beir(
    folder: str | Path,
    collection: JudgedCollection,
    *,
    split: str = "test",
    language_field: str = "language",
    group_field: str = "parallel_id",
) -> list[Path]:
    """Write a BEIR folder; each file is written completely or not at all. Vectors are not part of the format and are
    left out.

    :param folder: the folder; created if it does not exist. Other files in it are kept.
    :param collection: the collection.
    :param split: name of the judgments file.
    :param language_field: name of the language in ``metadata``; it is not written for texts of undetermined language,
        which can be read back with ``detect``.
    :param group_field: name of the parallel group in ``metadata``; it is not written for a document whose group is its
        own id.
    :returns: the files written.
    :raises InputError: for a grade that is not an integer, an id that a tab-separated file cannot hold, or a folder
        that cannot be created.
    """
    documents, queries = collection.documents, collection.queries
    for kind, ids in (("document", documents.ids), ("query", queries.ids)):
        _check_ids(kind, ids)
    corpus = _lines(
        {
            "_id": identifier,
            "title": "",
            "text": text,
            "metadata": _language(language_field, language) | ({} if group == identifier else {group_field: group}),
        }
        for identifier, text, language, group in zip(
            documents.ids, documents.texts, documents.languages, documents.groups, strict=True
        )
    )
    query_lines = _lines(
        {"_id": identifier, "text": text, "metadata": _language(language_field, language)}
        for identifier, text, language in zip(queries.ids, queries.texts, queries.languages, strict=True)
    )
    judgments = "".join(
        f"{query}\t{documents.ids[index]}\t{whole(grade, 'a BEIR folder')}\n"
        for number, query in enumerate(queries.ids)
        for index, grade in sorted(collection.judged(number).items())
    )
    root = Path(folder)
    try:
        (root / "qrels").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder cannot be created ({error.strerror})", source=root, allowed="a folder that you may write"
        ) from error
    texts = (corpus, query_lines, _HEADER + judgments)
    written = dict(zip(beir_files(root, split=split), texts, strict=True))
    for path, text in written.items():
        write_atomically(path, text)
    return list(written)


def _language(field: str, tag: str) -> dict[str, str]:
    return {} if tag == UNDETERMINED else {field: tag}


def _lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _check_ids(kind: str, ids: Iterable[str]) -> None:
    # BEIR reads the judgments with Python's csv module, in which a quote at the start of a cell begins a quoted cell.
    for identifier in ids:
        if any(character in identifier for character in '\t\r\n"') or identifier != identifier.strip():
            raise InputError(
                f"{kind} cannot be written to a BEIR folder",
                field="_id",
                seen=identifier,
                allowed="ids without tabs, line ends, quotation marks and white space at their ends",
            )
