"""Belebele: 488 passages of FLORES-200 and 900 questions on them, in 122 language variants.

Source: Bandarkar et al., "The Belebele Benchmark" (ACL 2024). One JSON Lines file per language in FLORES-200 codes
(``eng_Latn.jsonl``) with ``link``, ``question_number``, ``flores_passage``, ``question``, ``dialect`` and, where it is
published as an archive, ``split``, the part of FLORES-200; on the hub ``facebook/belebele``. A passage is named by link
and split (README of github.com/facebookresearch/belebele).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.kinds.files import (
    BenchmarkData,
    BenchmarkFormat,
    Rows,
    read_benchmark,
)
from haystack_crossalign.data.corpora.kinds.parallel import ParallelRow, ParallelText
from haystack_crossalign.data.formats.jsonl import records
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import TextFile
from haystack_crossalign.files.records import Record


def read_belebele(
    data: BenchmarkData,
    languages: Sequence[str] | None = None,
    *,
    query_languages: Sequence[str] | None = None,
    pool: str = "passages",
) -> JudgedCollection:
    """Read Belebele as one judged collection. A passage is named after its link, a question after link and number.

    :param data: a folder with a file or a saved dataset for each language (``eng_Latn.jsonl``, ``eng_Latn/``), a name
        on the hub such as ``hf:facebook/belebele``, or rows by language.
    :param languages: languages of the pool; None for all.
    :param query_languages: languages of the queries, among those of the pool; None for all.
    :param pool: "passages" (488 per language) or "questions" (900 per language).
    :raises InputError: for data that cannot be read or is not parallel, and for languages that are missing.
    """
    return read_benchmark(BELEBELE, data, languages, query_languages=query_languages, pool=pool)


def _read_file(path: Path, language: str) -> ParallelText:
    file = TextFile(path)
    rows = tuple(_rows(records(file), language))
    return ParallelText(rows=rows, place=path, source=file.source)


def _read_rows(rows: Rows, place: str, language: str) -> Iterable[ParallelRow]:
    questions = _rows((Record(row, place, number) for number, row in enumerate(rows, start=1)), language)
    if not questions:
        raise InputError("no rows", source=place, allowed="rows with link, question_number, flores_passage, question")
    return questions


def _rows(records: Iterable[Record], language: str) -> list[ParallelRow]:
    read: list[tuple[str, str, int, str, str, int | None]] = []
    for record in records:
        dialect = record.language("dialect", language)
        if dialect != language:
            raise record.error(
                "row of another language",
                "dialect",
                record.get("dialect"),
                f"'{language}', as the name of the data says",
            )
        read.append(
            (
                record.identifier("link"),
                # One page can have a passage in each split, and a first question on both.
                record.optional_text("split"),
                record.whole_number("question_number"),
                record.text("flores_passage"),
                record.text("question"),
                record.line,
            )
        )
    # The order of rows differs between languages, but passages must get the same names in all of them.
    read.sort(key=lambda row: row[:3])
    passages: dict[str, dict[tuple[str, str], str]] = {}
    rows = []
    for link, split, number, passage, question, line in read:
        # Several passages can come from one page; split and text distinguish them.
        of_link = passages.setdefault(link, {})
        key = (split, " ".join(passage.split()))
        passage_id = of_link.setdefault(key, link if not of_link else f"{link}~{len(of_link) + 1}")
        rows.append(ParallelRow(f"{passage_id}#{number}", passage_id, question, passage, line))
    return rows


BELEBELE = BenchmarkFormat(
    name="belebele",
    prefix="",
    ending=".jsonl",
    split="test",
    example="eng_Latn.jsonl",
    numbered=False,
    read_file=_read_file,
    read_rows=_read_rows,
)
"""Location and format of Belebele's files."""
