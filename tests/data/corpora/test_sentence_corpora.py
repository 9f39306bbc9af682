"""NTREX-128, TICO-19 and FLORES+ as they are published."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_corpora import DOCUMENTS, SENTENCES, rows, write, write_ntrex, write_tico19

from haystack_crossalign.data.corpora.collections import read_corpus
from haystack_crossalign.data.corpora.flores import read_flores_sentences
from haystack_crossalign.data.corpora.kinds.sentences import SentenceCorpus, sentence_collection
from haystack_crossalign.data.corpora.ntrex import read_ntrex_sentences
from haystack_crossalign.data.corpora.tico19 import read_tico19_sentences
from haystack_crossalign.errors import InputError


@pytest.fixture
def ntrex(tmp_path: Path) -> Path:
    codes = {"zho-CN": SENTENCES["zh"], "spa": SENTENCES["es"], "spa-MX": ["otra"] * 5, "zho-TW": ["他"] * 5}
    return write_ntrex(tmp_path, codes, english=SENTENCES["en"], documents=DOCUMENTS)


def texts(corpus: SentenceCorpus, tag: str) -> list[str]:
    return [sentence.texts[tag] for sentence in corpus.sentences]


def test_ntrex_gives_the_lines_of_each_language_with_their_documents(ntrex: Path) -> None:
    corpus = read_ntrex_sentences(ntrex, ["es", "Chinese"])
    assert corpus.languages == ("en", "es", "zh")
    for tag in corpus.languages:
        assert texts(corpus, tag) == list(SENTENCES[tag])
    assert tuple(sentence.document for sentence in corpus.sentences) == DOCUMENTS
    assert [sentence.id for sentence in corpus.sentences] == ["0", "1", "2", "3", "4"]
    assert read_ntrex_sentences(ntrex / "NTREX-128", ["es", "zh"]) == corpus
    assert read_ntrex_sentences(ntrex).languages == ("en", "es", "zh", "zh-Hant")


def test_the_hash_of_a_corpus_is_that_of_the_files_that_are_read(ntrex: Path) -> None:
    before = {tags: read_ntrex_sentences(ntrex, tags).source for tags in (("es",), ("zh",), ("es", "zh"))}
    assert len(set(before.values())) == 3
    (ntrex / "NTREX-128" / "newstest2019-ref.zho-CN.txt").write_text("改\n" * 5, encoding="utf-8")
    assert read_ntrex_sentences(ntrex, ["es"]).source == before["es",]
    assert read_ntrex_sentences(ntrex, ["zh"]).source != before["zh",]


def test_a_blank_line_lacks_its_language_and_moves_no_other(ntrex: Path) -> None:
    lines = [*SENTENCES["es"][:1], "", *SENTENCES["es"][2:]]
    (ntrex / "NTREX-128" / "newstest2019-ref.spa.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    corpus = read_ntrex_sentences(ntrex, ["es"])
    assert "es" not in corpus.sentences[1].texts
    assert corpus.sentences[2].texts["es"] == SENTENCES["es"][2]


def test_files_of_ntrex_that_are_not_aligned_are_refused(ntrex: Path) -> None:
    with pytest.raises(InputError, match=r"'th'.*allowed: es, zh, zh-Hant"):
        read_ntrex_sentences(ntrex, ["th"])
    long = ntrex / "NTREX-128" / "newstest2019-ref.spa.txt"
    long.write_text(long.read_text(encoding="utf-8") + "más\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"ref\.spa\.txt, line 6: more lines than newstest2019-src\.eng\.txt"):
        read_ntrex_sentences(ntrex, ["es"])
    (ntrex / "DOCUMENT_IDS.tsv").write_text("lake.1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"DOCUMENT_IDS\.tsv, line 2: a sentence without document"):
        read_ntrex_sentences(ntrex, ["zh"])
    (ntrex / "DOCUMENT_IDS.tsv").unlink()
    with pytest.raises(InputError, match=r"DOCUMENT_IDS\.tsv: no such file"):
        read_ntrex_sentences(ntrex, ["zh"])


@pytest.fixture
def tico19(tmp_path: Path) -> Path:
    all_rows = [
        {"id": f"{name}:{number}", **{tag: lines[number - 1] for tag, lines in SENTENCES.items()}}
        for number, name in enumerate(DOCUMENTS, start=1)
    ]
    splits = {"dev": all_rows[3:], "test": [all_rows[2], all_rows[0], all_rows[1]]}
    return write_tico19(tmp_path, splits, {"zh": "zh", "es": "es-LA"})


def test_tico19_joins_both_splits_in_the_order_of_the_texts(tico19: Path) -> None:
    corpus = read_tico19_sentences(tico19, ["zh", "es"])
    for tag in ("en", "zh", "es"):
        assert texts(corpus, tag) == list(SENTENCES[tag])
    assert [sentence.id for sentence in corpus.sentences] == [
        "lake.1:1",
        "lake.1:2",
        "lake.1:3",
        "fair.2:4",
        "fair.2:5",
    ]
    assert tuple(sentence.document for sentence in corpus.sentences) == DOCUMENTS
    assert read_tico19_sentences(tico19, ["zh", "th"], partial=True).languages == ("en", "zh")


def test_files_of_tico19_side_by_side_are_read_too(tico19: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in tico19.glob("*/*.tsv"):
        path.rename(flat / path.name)
    assert len(read_tico19_sentences(flat, ["es"]).sentences) == 5


def test_another_english_text_under_one_id_is_refused(tico19: Path) -> None:
    path = tico19 / "dev" / "dev.en-zh.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("The fair opens", "The fair closes"), encoding="utf-8")
    with pytest.raises(InputError, match="field 'sourceString': another English text than in other files"):
        read_tico19_sentences(tico19)
    path.write_text("sourceString\ttargetString\nA.\t甲。\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"the first line must name the columns.*stringID"):
        read_tico19_sentences(tico19)


METADATA = "URL\tdomain\ttopic\n" + "".join(f"https://example.org/{name}\tnews\twinter\n" for name in DOCUMENTS)
CODES = {"en": "eng_Latn", "zh": "cmn_Hans", "es": "spa_Latn"}


def write_flores(root: Path, layout: str) -> Path:
    folder = root / layout
    for tag, code in CODES.items():
        lines = "".join(f"{text}\n" for text in SENTENCES[tag])
        match layout:
            case "jsonl":
                write(folder / "devtest" / f"{code}.jsonl", rows(tag))
            case "parquet":
                parquet = pytest.importorskip("pyarrow.parquet")
                arrow = pytest.importorskip("pyarrow")
                (folder / "devtest").mkdir(parents=True, exist_ok=True)
                parquet.write_table(arrow.Table.from_pylist(rows(tag)), folder / "devtest" / f"{code}.parquet")
            case "archive":
                write(folder / "devtest" / f"devtest.{code}", lines)
            case "flores200":
                write(folder / "devtest" / f"{code.replace('cmn', 'zho')}.devtest", lines)
    if layout in ("archive", "flores200"):
        write(folder / "metadata_devtest.tsv", METADATA)
    return folder


@pytest.mark.parametrize("layout", ["jsonl", "parquet", "archive", "flores200"])
def test_flores_is_read_in_each_of_its_layouts(tmp_path: Path, layout: str) -> None:
    corpus = read_flores_sentences(write_flores(tmp_path, layout), ["zh", "es"])
    assert corpus.languages == ("en", "zh", "es")
    for tag in corpus.languages:
        assert texts(corpus, tag) == list(SENTENCES[tag])
    assert tuple(sentence.document for sentence in corpus.sentences) == tuple(
        f"https://example.org/{name}" for name in DOCUMENTS
    )


def test_a_page_that_comes_again_later_is_another_document(tmp_path: Path) -> None:
    folder = write_flores(tmp_path, "jsonl")
    for tag, code in CODES.items():
        again = {"id": 9, "text": SENTENCES[tag][0], "url": "https://example.org/lake.1"}
        write(folder / "devtest" / f"{code}.jsonl", [*rows(tag), again])
    assert read_flores_sentences(folder, ["es"]).sentences[-1].document == "https://example.org/lake.1~2"


def test_faults_of_flores_are_named(tmp_path: Path) -> None:
    folder = write_flores(tmp_path, "flores200")
    with pytest.raises(InputError, match=r"unknown split.*dev, devtest"):
        read_flores_sentences(folder, split="test")
    with pytest.raises(InputError, match="no such folder"):
        read_flores_sentences(folder, split="dev")
    write(folder / "metadata_devtest.tsv", "URL\nhttps://example.org/lake.1\n")
    with pytest.raises(InputError, match="more lines than the metadata"):
        read_flores_sentences(folder)
    folder = write_flores(tmp_path, "jsonl")
    write(folder / "devtest" / "spa_Latn.jsonl", [{"id": 77, "text": "x", "url": "u"}])
    with pytest.raises(InputError, match=r"a sentence that the English file lacks.*'77'"):
        read_flores_sentences(folder, ["es"])
    (folder / "devtest" / "eng_Latn.jsonl").unlink()
    with pytest.raises(InputError, match="no English file"):
        read_flores_sentences(folder)


def test_the_first_sentence_of_a_document_asks_for_the_rest(ntrex: Path) -> None:
    collection = sentence_collection(read_ntrex_sentences(ntrex, ["zh", "es"]), ["en", "zh"])
    assert collection.queries.ids == ("en:lake.1", "en:fair.2", "zh:lake.1", "zh:fair.2")
    assert collection.queries.texts == tuple(SENTENCES[tag][place] for tag in ("en", "zh") for place in (0, 3))
    rest = {"en": " ".join(SENTENCES["en"][1:3]), "zh": "".join(SENTENCES["zh"][1:3])}
    found = dict(zip(collection.documents.ids, collection.documents.texts, strict=True))
    assert {tag: found[f"{tag}:lake.1"] for tag in rest} == rest
    assert [{collection.documents.ids[place] for place in of_query} for of_query in collection.relevant] == [
        {"en:lake.1", "zh:lake.1"}, {"en:fair.2", "zh:fair.2"},
    ] * 2  # fmt: skip
    with pytest.raises(InputError, match="language without data"):
        sentence_collection(read_ntrex_sentences(ntrex, ["zh"]), ["en", "es"])


def test_documents_that_lack_a_sentence_or_have_one_are_counted(tmp_path: Path) -> None:
    spanish = [*SENTENCES["es"][:4], "", *SENTENCES["es"][:2], "solo"]
    english = [*SENTENCES["en"], "A third.", "With two.", "Alone."]
    names = [*DOCUMENTS, "ok.3", "ok.3", "one.4"]
    folder = write_ntrex(tmp_path, {"spa": spanish}, english=english, documents=names)
    collection = read_corpus("ntrex", folder, ["en", "es"])
    assert [(one.reason, one.count, one.first) for one in collection.omissions] == [
        ("lacks a sentence in one of the languages", 1, ("fair.2",)),
        ("of one sentence", 1, ("one.4",)),
    ]
    assert collection.documents.ids == ("en:lake.1", "en:ok.3", "es:lake.1", "es:ok.3")
