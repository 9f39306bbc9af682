"""Folders in the format of the BEIR benchmark: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``.

The format has no field for languages. They are read from ``metadata.language`` or ``language``.
"""

from __future__ import annotations

from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.jsonl import read_documents, read_queries
from haystack_crossalign.data.formats.trec import parse_judgments
from haystack_crossalign.data.join import join_judgments
from haystack_crossalign.data.judgments import grades_from_qrels
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name, with_or_without_gz
from haystack_crossalign.languages import UNDETERMINED


def read_beir(
    folder: str | Path,
    *,
    split: str = "test",
    language_field: str = "language",
    group_field: str = "parallel_id",
    title_field: str | None = "title",
    default_language: str | None = None,
    expand_groups: bool = False,
    detect: bool = False,
    relevance_level: int = 1,
    keep_unanswerable: bool = False,
    name: str | None = None,
    log: ReadingLog | None = None,
) -> JudgedCollection:
    """A judged collection from a BEIR folder.

    As in BEIR, a document's title is put before its text with a space between, and queries without any judgment in
    the split are left out; they are counted, as are queries whose judgments are all below ``relevance_level``. The
    files may be compressed with gzip (``corpus.jsonl.gz``, …).

    :param folder: the folder.
    :param split: which file of ``qrels/`` is read.
    :param language_field: field that holds the language, in ``metadata`` or beside it.
    :param group_field: field that holds the parallel group of a document, in ``metadata`` or beside it.
    :param title_field: field of the documents that is put before their text; None for none.
    :param default_language: language of documents and queries that name none; None where each must name one.
    :param expand_groups: whether all versions of a relevant document are relevant too (the documents of its group).
    :param detect: whether to detect the language of documents and queries that name none, see `detect_languages`.
    :param relevance_level: least grade of a relevant document, at least 1.
    :param keep_unanswerable: keep queries without relevant document: to convert judgments, not to audit them.
    :param name: what to call the collection; the name of the folder where it is None.
    :param log: decides whether invalid rows are left out, and counts them.
    :raises InputError: for the first thing that is wrong, with file, line and field.
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
    if detect and default_language is None:
        default_language = UNDETERMINED
    log = log or ReadingLog()
    documents, corpus = read_documents(
        with_or_without_gz(root / "corpus.jsonl"),
        language_field=language_field,
        group_field=group_field,
        id_field="_id",
        title_field=title_field,
        default_language=default_language,
        log=log,
    )
    file = read_queries(
        with_or_without_gz(root / "queries.jsonl"),
        language_field=language_field,
        group_field=group_field,
        id_field="_id",
        default_language=default_language,
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
