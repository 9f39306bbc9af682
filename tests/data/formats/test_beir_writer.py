"""A collection written as a BEIR folder is the collection that is read from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from columns import columns

from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.formats.beir import read_beir, write_beir
from haystack_crossalign.errors import InputError


@pytest.fixture
def collection() -> JudgedCollection:
    return JudgedCollection(
        name="small",
        documents=Documents(
            ids=("en:1", "zh-Hant:1", "en:2"),
            languages=("en", "zh-Hant", "en"),
            groups=("1", "1", "en:2"),
            texts=("A line\nbreak, a tab\tand \u2028 a separator", "「你好」", '"quoted" \\ and <tag>'),
        ),
        queries=Queries(ids=("q1", "q2"), languages=("de", "zh-Hant"), texts=("Wer?", "誰？")),
        relevant=((0, 1), (2,)),
    )


def test_a_collection_round_trips(tmp_path: Path, collection: JudgedCollection) -> None:
    folder = tmp_path / "made" / "small"
    written = write_beir(folder, collection)
    assert [path.relative_to(folder).as_posix() for path in written] == [
        "corpus.jsonl",
        "queries.jsonl",
        "qrels/test.tsv",
    ]
    read = read_beir(folder)
    assert read.name == "small"
    assert columns(read.documents) == columns(collection.documents)
    assert columns(read.queries) == columns(collection.queries)
    assert read.relevant == collection.relevant


def test_the_files_are_those_of_the_format(tmp_path: Path, collection: JudgedCollection) -> None:
    write_beir(tmp_path, collection, split="dev")
    corpus = [json.loads(line) for line in (tmp_path / "corpus.jsonl").read_bytes().decode().split("\n") if line]
    assert corpus[1] == {
        "_id": "zh-Hant:1",
        "title": "",
        "text": "「你好」",
        "metadata": {"language": "zh-Hant", "parallel_id": "1"},
    }
    assert corpus[2]["metadata"] == {"language": "en"}
    queries = [json.loads(line) for line in (tmp_path / "queries.jsonl").read_text("utf-8").splitlines()]
    assert queries[0] == {"_id": "q1", "text": "Wer?", "metadata": {"language": "de"}}
    assert (tmp_path / "qrels" / "dev.tsv").read_text("utf-8") == (
        "query-id\tcorpus-id\tscore\nq1\ten:1\t1\nq1\tzh-Hant:1\t1\nq2\ten:2\t1\n"
    )


def test_fields_can_be_named(tmp_path: Path, collection: JudgedCollection) -> None:
    write_beir(tmp_path, collection, language_field="lang", group_field="group")
    read = read_beir(tmp_path, language_field="lang", group_field="group", name="small")
    assert columns(read.documents) == columns(collection.documents)


@pytest.mark.parametrize("bad", ["a\tb", "a\nb", '"a"', " a"])
def test_ids_that_the_judgments_cannot_hold_are_refused(tmp_path: Path, collection: JudgedCollection, bad: str) -> None:
    documents = replace(collection.documents, ids=(bad, "x", "y"))
    with pytest.raises(InputError, match="cannot be written to a BEIR folder"):
        write_beir(tmp_path / "folder", replace(collection, documents=documents))
    assert not (tmp_path / "folder").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, collection: JudgedCollection) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be created"):
        write_beir(tmp_path / "file", collection)


def test_documents_of_undetermined_language_round_trip(tmp_path: Path, collection: JudgedCollection) -> None:
    documents = Documents(
        ids=("en:1", "zh:1", "number"),
        languages=("en", "zh", "und"),
        groups=("1", "1", "number"),
        texts=("a", "b", "17"),
    )
    write_beir(tmp_path, replace(collection, documents=documents))
    assert json.loads((tmp_path / "corpus.jsonl").read_text("utf-8").splitlines()[2])["metadata"] == {}
    assert columns(read_beir(tmp_path, detect=True).documents) == columns(documents)
