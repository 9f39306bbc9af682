"""A judged collection as a folder in the format of the BEIR benchmark.

``corpus.jsonl`` and ``queries.jsonl`` hold ``_id``, ``text`` and, for documents, ``title``; ``qrels/<split>.tsv`` holds
query, document and score under a header (https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset). Languages
and parallel groups have no field there and go into ``metadata``, where `beir.read_beir` finds them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.run_files import whole
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.languages import UNDETERMINED

_HEADER = "query-id\tcorpus-id\tscore\n"


def write_beir(
    folder: str | Path,
    collection: JudgedCollection,
    *,
    split: str = "test",
    language_field: str = "language",
    group_field: str = "parallel_id",
) -> list[Path]:
    """Write the folder; each file whole or not at all. Vectors are not part of the format and are left out.

    :param folder: the folder; it is made where it does not exist, other files in it stay.
    :param collection: the collection.
    :param split: name of the judgments file.
    :param language_field: name of the language in ``metadata``; a text of undetermined language has none, so that it is
        read back with ``detect``.
    :param group_field: name of the parallel group in ``metadata``; a document that is alone in a group named after
        itself gets none.
    :returns: the files written.
    :raises InputError: for a grade that is not a whole number, an id that the tab-separated judgments cannot hold, or a
        folder that cannot be made.
    """
    documents, queries = collection.documents, collection.queries
    for kind, ids in (("document", documents.ids), ("query", queries.ids)):
        _check_ids(kind, ids)
    corpus = _lines(
        {
            "_id": one,
            "title": "",
            "text": text,
            "metadata": _language(language_field, language) | ({} if group == one else {group_field: group}),
        }
        for one, text, language, group in zip(
            documents.ids, documents.texts, documents.languages, documents.groups, strict=True
        )
    )
    asked = _lines(
        {"_id": one, "text": text, "metadata": _language(language_field, language)}
        for one, text, language in zip(queries.ids, queries.texts, queries.languages, strict=True)
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
            f"the folder cannot be made ({error.strerror})", source=root, allowed="a folder that you may write"
        ) from error
    written = {
        root / "corpus.jsonl": corpus,
        root / "queries.jsonl": asked,
        root / "qrels" / f"{split}.tsv": _HEADER + judgments,
    }
    for path, text in written.items():
        write_atomically(path, text)
    return list(written)


def _language(field: str, tag: str) -> dict[str, str]:
    return {} if tag == UNDETERMINED else {field: tag}


def _lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _check_ids(kind: str, ids: Iterable[str]) -> None:
    # BEIR reads the judgments with Python's csv module, to which a quote at the start of a cell opens a quotation.
    for one in ids:
        if any(character in one for character in '\t\r\n"') or one != one.strip():
            raise InputError(
                f"{kind} cannot stand in a BEIR folder",
                field="_id",
                seen=one,
                allowed="ids without tabs, line ends, quotation marks and white space at their ends",
            )
