"""MIRACL and mMARCO as they are published."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_corpora import write

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.miracl import read_miracl
from haystack_crossalign.data.corpora.mmarco import read_mmarco
from haystack_crossalign.errors import InputError

PASSAGES = {
    "en": {"1#0": "Ice covers the lake.", "1#1": "The ferry waits.", "2#0": "Fairs sell bread.", "3#0": "Nobody asks."},
    "es": {"7#0": "El hielo cubre el lago.", "7#1": "El ferri espera.", "8#0": "Nadie pregunta."},
}


@pytest.fixture
def miracl(tmp_path: Path) -> Path:
    root = tmp_path / "miracl"
    queries = {"en": "10\twhat covers the lake\n11\twho waits\n12\tnot judged\n", "es": "20\tqué cubre el lago\n"}
    qrels = {"en": "10 Q0 1#0 1\n10 Q0 2#0 0\n11 Q0 1#1 1\n", "es": "20\tQ0\t7#0\t1\n20\tQ0\t7#1\t0\n"}
    for tag, passages in PASSAGES.items():
        name = f"miracl-v1.0-{tag}"
        write(root / name / "topics" / f"topics.{name}-dev.tsv", queries[tag])
        write(root / name / "qrels" / f"qrels.{name}-dev.tsv", qrels[tag])
        documents = [{"docid": one, "title": f"Title {one}", "text": text} for one, text in passages.items()]
        corpus = tmp_path / "miracl-corpus" / f"miracl-corpus-v1.0-{tag}"
        write(corpus / "docs-0.jsonl.gz", documents[:2])
        write(corpus / "docs-1.jsonl.gz", documents[2:])
    return root


def relevant(collection: JudgedCollection) -> dict[str, set[str]]:
    return {
        name: {collection.documents.ids[place] for place in places}
        for name, places in zip(collection.queries.ids, collection.relevant, strict=True)
    }


def test_queries_of_miracl_have_relevant_passages_in_their_own_language(miracl: Path) -> None:
    collection = read_miracl(miracl, ["en", "es"])
    assert relevant(collection) == {"en:10": {"en:1#0"}, "en:11": {"en:1#1"}, "es:20": {"es:7#0"}}
    assert len(collection.documents) == 7
    assert collection.documents.texts[0] == "Title 1#0 Ice covers the lake."
    assert collection.documents.groups == collection.documents.ids
    assert [(one.what, one.first) for one in collection.omissions] == [("query", ("en:12",))]
    assert {source.name for source in collection.sources} >= {"docs-0.jsonl.gz", "topics.miracl-v1.0-en-dev.tsv"}


def test_the_pool_of_judged_passages_holds_those_that_judgments_name(miracl: Path) -> None:
    collection = read_miracl(miracl, ["en", "es"], pool="judged")
    assert collection.documents.ids == ("en:1#0", "en:1#1", "en:2#0", "es:7#0", "es:7#1")
    assert read_miracl(miracl, ["en", "es"], query_languages=["es"], pool="judged").documents.ids == (
        "es:7#0",
        "es:7#1",
    )


def test_faults_of_miracl_are_named(miracl: Path) -> None:
    with pytest.raises(InputError, match=r"'th'.*allowed: en, es"):
        read_miracl(miracl, ["en", "th"])
    with pytest.raises(InputError, match=r"topics\.miracl-v1\.0-en-train\.tsv: no such file"):
        read_miracl(miracl, ["en"], split="train")
    with pytest.raises(InputError, match=r"unknown pool.*passages or judged"):
        read_miracl(miracl, ["en"], pool="questions")
    for path in (miracl.parent / "miracl-corpus" / "miracl-corpus-v1.0-es").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no files of passages"):
        read_miracl(miracl, ["es"])


@pytest.fixture
def mmarco(tmp_path: Path) -> Path:
    data = tmp_path / "mmarco" / "data"
    texts = {"english": ("Ice.", "Ferry.", "Bread."), "spanish": ("Hielo.", "Ferri.", "Pan.")}
    for language, passages in texts.items():
        lines = "".join(f"{number}\t{text}\n" for number, text in enumerate(passages))
        write(data / "google" / "collections" / f"{language}_collection.tsv", lines)
        queries = f"5\t{language} asks for ice\n6\t{language} asks for nothing known\n"
        write(data / "google" / "queries" / "dev" / f"{language}_queries.dev.small.tsv", queries)
    write(data / "qrels.dev.small.tsv", "5\t0\t0\t1\n6\t0\t99\t1\n")
    return tmp_path / "mmarco"


def test_all_versions_of_a_relevant_passage_of_mmarco_are_relevant(mmarco: Path) -> None:
    collection = read_mmarco(mmarco, ["en", "es"])
    assert relevant(collection) == {"en:5": {"en:0", "es:0"}, "es:5": {"en:0", "es:0"}}
    assert collection.documents.groups == ("0", "1", "2") * 2
    assert [(one.reason, one.first) for one in collection.omissions] == [
        ("without a relevant passage in the pool", ("en:6", "es:6"))
    ]
    assert read_mmarco(mmarco / "data", ["en", "es"], query_languages=["es"]).queries.ids == ("es:5",)


def test_the_judged_pool_of_mmarco_has_every_version(mmarco: Path) -> None:
    write(mmarco / "data" / "qrels.dev.small.tsv", "5\t0\t0\t1\n5\t0\t2\t0\n")
    collection = read_mmarco(mmarco, ["en", "es"], query_languages=["en"], pool="judged")
    assert collection.documents.ids == ("en:0", "en:2", "es:0", "es:2")


def test_faults_of_mmarco_are_named(mmarco: Path) -> None:
    with pytest.raises(InputError, match=r"'th'.*allowed: en, es"):
        read_mmarco(mmarco, ["th"])
    collection = mmarco / "data" / "google" / "collections" / "spanish_collection.tsv"
    collection.write_text("0\tHielo.\n0\tOtra vez.\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"duplicate passage.*'0'"):
        read_mmarco(mmarco, ["es"])
    collection.write_text("no tab\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"spanish_collection\.tsv, line 1: wrong columns.*id, tab, text"):
        read_mmarco(mmarco, ["es"])
