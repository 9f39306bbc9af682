"""MLQA: questions on passages of Wikipedia in seven languages; a question exists in four of them on average.

Source: Lewis et al., "MLQA: Evaluating Cross-lingual Extractive Question Answering" (ACL 2020). Files in the SQuAD
format, ``test/test-context-<language>-question-<language>.json``. The passages of a question in different languages
hold the same sentence, but they are not translations of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.kinds.parallel import ParallelRow, ParallelText, parallel_collection
from haystack_crossalign.data.corpora.kinds.sentences import choose_files
from haystack_crossalign.data.corpora.xquad import squad_rows
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, read_json_object
from haystack_crossalign.files.records import Record

SPLITS = ("dev", "test")


def read_mlqa(
    data: str | Path,
    languages: Sequence[str] | None = None,
    *,
    query_languages: Sequence[str] | None = None,
    pool: str = "passages",
    split: str = "test",
) -> JudgedCollection:
    """Read the questions that exist in all requested languages as one judged collection.

    Questions on one passage can belong to different passages in another language. Only the first of such questions is
    kept, so that every passage has exactly one version per language; the others, and questions that are missing in a
    language, are left out and reported.

    :param data: the folder ``MLQA_V1``, or one with its files.
    :param languages: languages of the pool; None for all.
    :param query_languages: languages of the queries, among those of the pool; None for all.
    :param pool: "passages" or "questions", as in :func:`~haystack_crossalign.data.corpora.xquad.read_xquad`.
    :param split: ``dev`` or ``test``.
    :raises InputError: for data that cannot be read, for languages without data, or if no question is left.
    """
    if split not in SPLITS:
        raise InputError("unknown split", field="split", seen=split, allowed=", ".join(SPLITS))
    folder = Path(data) / split if (Path(data) / split).is_dir() else Path(data)
    files = {}
    for path in sorted(folder.glob(f"{split}-context-*-question-*.json")):
        passages, _, questions = path.stem.removeprefix(f"{split}-context-").partition("-question-")
        if passages == questions:
            files[passages] = path
    example = f"{split}-context-en-question-en.json"
    chosen = choose_files(folder, files, languages, example=example)
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    sources: dict[str, Source] = {}
    for tag, path in chosen.items():
        content, sources[tag] = read_json_object(path)
        rows[tag] = {name: (question, passage) for name, question, passage in squad_rows(Record(content, path))}
    log = ReadingLog()
    names = dict.fromkeys(name for of_language in rows.values() for name in of_language)
    group_of: dict[tuple[str, str], str] = {}
    groups: dict[str, str] = {}
    number = 0
    for name in names:
        if any(name not in of_language for of_language in rows.values()):
            log.leave_out("query", "not in all of the languages", name)
            continue
        places = [(tag, of_language[name][1]) for tag, of_language in rows.items()]
        known = {group_of.get(place) for place in places}
        if len(known) > 1:
            log.leave_out("query", "its passages belong to different passages in another language", name)
            continue
        group = next(iter(known))
        if group is None:
            group, number = f"{number:05d}", number + 1
        groups[name] = group
        group_of.update(dict.fromkeys(places, group))
    if not groups:
        raise InputError("no question exists in all of the languages", source=folder, seen=", ".join(rows))
    texts = {
        tag: ParallelText(
            tuple(ParallelRow(name, groups[name], *of_language[name]) for name in groups), chosen[tag], sources[tag]
        )
        for tag, of_language in rows.items()
    }
    collection = parallel_collection("mlqa", texts, pool=pool, query_languages=query_languages)
    return replace(collection, omissions=log.omissions())
