"""Folders in the format of the BEIR benchmark: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``.

The format has no field for languages. They are read from ``metadata.language`` or ``language``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from haystack_crossalign.data.check import check_judgments
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.detect import detect_languages
from haystack_crossalign.data.formats.jsonl import read_documents, read_queries
from haystack_crossalign.data.formats.trec import parse_judgments
from haystack_crossalign.data.judgments import QueryFile, expand_to_groups, relevant_from_qrels
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name, with_or_without_gz
from haystack_crossalign.files.reading import TextFile
from haystack_crossalign.languages import UNDETERMINED

__all__ = ["read_beir"]


def read_beir(
    folder: str | Path,
    *,
    split: str = "test",
    language_field: str = "language",
    group_field: str = "parallel_id",
    default_language: str | None = None,
    expand_groups: bool = False,
    detect: bool = False,
    name: str | None = None,
) -> JudgedCollection:
    """A judged collection from a BEIR folder.

    As in BEIR, a document's title is put before its text with a space between, and queries without any judgment in
    the split are left out.

    :param folder: the folder.
    :param split: which file of ``qrels/`` is read.
    :param language_field: field that holds the language, in ``metadata`` or beside it.
    :param group_field: field that holds the parallel group of a document, in ``metadata`` or beside it.
    :param default_language: language of documents and queries that name none; None where each must name one.
    :param expand_groups: whether all versions of a relevant document are relevant too (the documents of its group).
    :param detect: whether to detect the language of documents and queries that name none, see `detect_languages`.
    :param name: what to call the collection; the name of the folder where it is None.
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
    documents, corpus = read_documents(
        with_or_without_gz(root / "corpus.jsonl"),
        language_field=language_field,
        group_field=group_field,
        id_field="_id",
        title_field="title",
        default_language=default_language,
    )
    every = read_queries(
        with_or_without_gz(root / "queries.jsonl"),
        language_field=language_field,
        group_field=group_field,
        id_field="_id",
        default_language=default_language,
    )
    qrels = parse_judgments(
        TextFile(judgments), lambda text: text.split("\t"), ("query", "document", "grade"), header=True
    )
    file = _judged_only(every, {judgment.query for judgment in qrels.judgments})
    relevant = relevant_from_qrels(file, documents, qrels)
    collection = JudgedCollection(
        name=root.resolve().name if name is None else name,
        documents=documents,
        queries=file.queries,
        relevant=expand_to_groups(documents, relevant) if expand_groups else relevant,
        sources=(corpus, file.source, qrels.source),
    )
    check_judgments(collection, source=file.path, query_lines=[row.line for row in file.rows])
    return detect_languages(collection) if detect else collection


def _judged_only(file: QueryFile, judged: set[str]) -> QueryFile:
    kept = [number for number, row in enumerate(file.rows) if row.id in judged]
    return replace(
        file,
        rows=tuple([file.rows[number] for number in kept]),
        vectors=None if file.vectors is None else file.vectors[np.array(kept, dtype=np.int64)],
    )
