"""XQuAD: 240 passages and 1,190 questions of SQuAD 1.1, translated by humans into eleven languages.

Source: Artetxe, Ruder and Yogatama, "On the Cross-lingual Transferability of Monolingual Representations" (ACL 2020).
Files in the SQuAD 1.1 format, ``xquad.<language>.json``; on the hub ``google/xquad``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.kinds.files import (
    BenchmarkData,
    BenchmarkFormat,
    Rows,
    read_benchmark,
)
from haystack_crossalign.data.corpora.kinds.parallel import ParallelRow, ParallelText
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import read_json_object
from haystack_crossalign.files.records import Record


def read_xquad(
    data: BenchmarkData,
    languages: Sequence[str] | None = None,
    *,
    query_languages: Sequence[str] | None = None,
    pool: str = "passages",
) -> JudgedCollection:
    """Read Read XQuAD as one judged collection. Passages are numbered in the order of the first language's file:
    ``en:000``, …

    Languages are matched by question ids, so files may hold the articles in different orders.

    :param data: a folder with ``xquad.<language>.json`` files or with saved `datasets` named ``xquad.<language>``, a
        name on the hub such as ``hf:google/xquad``, or rows with ``id``, ``context`` and ``question`` by language.
    :param languages: languages of the pool; None for all.
    :param query_languages: languages of the queries, among those of the pool; None for all.
    :param pool: "passages" (240 per language) or "questions" (1,190 per language, as in the paper).
    :raises InputError: for data that cannot be read or is not parallel, and for missing languages.
    :raises ExternalError: if the hub cannot be reached.
    """
    return read_benchmark(XQUAD, data, languages, query_languages=query_languages, pool=pool)


def _read_file(path: Path, language: str) -> ParallelText:  # noqa: ARG001 - the format names no language inside
    content, source = read_json_object(path)
    rows = tuple(_numbered(squad_rows(Record(content, path))))
    return ParallelText(rows=rows, place=path, source=source, numbered=True)


def squad_rows(file: Record) -> Iterator[tuple[str, str, str]]:
    """Id, question and passage of each question of a file in the SQuAD 1.1 format.

    :param file: its content.
    :raises InputError: for the first field that is missing or wrong.
    """
    for article in file.objects("data"):
        for paragraph in article.objects("paragraphs"):
            passage = paragraph.text("context")
            for question in paragraph.objects("qas"):
                yield question.identifier("id"), question.text("question"), passage


def _read_rows(rows: Rows, place: str, language: str) -> Iterable[ParallelRow]:  # noqa: ARG001 - as above
    numbered = list(_numbered(_hub_rows(rows, place)))
    if not numbered:
        raise InputError("no rows", source=place, allowed="rows with id, context and question")
    return numbered


def _hub_rows(rows: Rows, place: str) -> Iterator[tuple[str, str, str]]:
    for number, row in enumerate(rows, start=1):
        record = Record(row, place, number)
        yield record.identifier("id"), record.text("question"), record.text("context")


def _numbered(rows: Iterable[tuple[str, str, str]]) -> Iterator[ParallelRow]:
    numbers: dict[str, int] = {}
    for question_id, question, passage in rows:
        number = numbers.setdefault(passage, len(numbers))
        yield ParallelRow(question_id, f"{number:03d}", question, passage)


XQUAD = BenchmarkFormat(
    name="xquad",
    prefix="xquad.",
    ending=".json",
    split="validation",
    example="xquad.en.json",
    numbered=True,
    read_file=_read_file,
    read_rows=_read_rows,
)
"""Location and format of XQuAD's files."""
