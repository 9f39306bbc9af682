"""XQuAD from its files, from saved datasets, and from memory."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter

import pytest
from columns import columns

from haystack_crossalign.data.corpora.xquad import read_xquad


def squad(*passages: tuple[str, list[tuple[str, str]]]) -> dict[str, object]:
    paragraphs = [{"context": text, "qas": [{"id": i, "question": q} for i, q in asked]} for text, asked in passages]
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}


ENGLISH = squad(("one", [("a", "first?"), ("b", "second?")]), ("two", [("c", "third?")]))
CHINESE = squad(("一", [("a", "第一？"), ("b", "第二？")]), ("二", [("c", "第三？")]))


@pytest.fixture
def folder(write):
    write("xquad.en.json", ENGLISH)
    return write("xquad.zh_CN.json", CHINESE).parent


def hub_rows(content: dict) -> list[dict[str, str]]:
    return [
        {"id": asked["id"], "context": paragraph["context"], "question": asked["question"]}
        for article in content["data"]
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


def test_all_of_xquad_has_240_passages_and_1190_questions_in_each_of_12_languages(shared_data) -> None:
    folder = shared_data / "xquad"
    languages = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
    collection = read_xquad(folder)
    assert Counter(collection.documents.languages) == dict.fromkeys(languages, 240)
    assert Counter(collection.queries.languages) == dict.fromkeys(languages, 1190)
    assert {len(indices) for indices in collection.relevant} == {12}
    assert len(collection.documents.versions()) == 12 * 240


def test_relevant_passages_of_xquad_are_those_that_hold_the_answer(shared_data) -> None:
    answers = {}
    for language in ("en", "zh"):
        content = json.loads((shared_data / "xquad" / f"xquad.{language}.json").read_text(encoding="utf-8"))
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    answers[language, asked["id"]] = (asked["answers"][0]["text"], asked["question"])
    for pool, size in (("passages", 480), ("questions", 2380)):
        collection = read_xquad(shared_data / "xquad", ["en", "zh"], query_languages=["zh"], pool=pool)
        assert (len(collection.documents), len(collection.queries), collection.pool) == (size, 1190, pool)
        for one, text, indices in zip(
            collection.queries.ids, collection.queries.texts, collection.relevant, strict=True
        ):
            question = one.removeprefix("zh:")
            assert text == answers["zh", question][1]
            assert [collection.documents.languages[index] for index in indices] == ["en", "zh"]
            for index in indices:
                assert answers[collection.documents.languages[index], question][0] in collection.documents.texts[index]


def reordered(content: dict, generator: random.Random) -> dict[str, object]:
    """The same articles, paragraphs and questions in another order."""

    def mixed(entries: list) -> list:
        return generator.sample(entries, len(entries))

    return {
        "data": mixed(
            [
                {"paragraphs": mixed([{**one, "qas": mixed(one["qas"])} for one in article["paragraphs"]])}
                for article in content["data"]
            ]
        )
    }


@pytest.mark.parametrize("pool", ["passages", "questions"])
def test_files_in_another_order_of_articles_give_the_same_collection(write, shared_data, pool: str) -> None:
    english, chinese = (
        json.loads((shared_data / "xquad" / f"xquad.{tag}.json").read_text(encoding="utf-8")) for tag in ("en", "zh")
    )
    write("mixed/xquad.en.json", english)
    folder = write("mixed/xquad.zh.json", reordered(chinese, random.Random(7))).parent  # noqa: S311
    mixed = read_xquad(folder, pool=pool)
    plain = read_xquad(shared_data / "xquad", ["en", "zh"], pool=pool)
    assert columns(mixed.documents) == columns(plain.documents)
    assert columns(mixed.queries) == columns(plain.queries)
    assert mixed.relevant == plain.relevant


def test_files_may_be_gzip(write) -> None:
    write("z/xquad.en.json.gz", gzip.compress(json.dumps(ENGLISH).encode()))
    folder = write("z/xquad.zh.json", CHINESE).parent
    assert read_xquad(folder).documents.ids == ("en:000", "en:001", "zh:000", "zh:001")


def test_passages_are_documents_once(folder) -> None:
    collection = read_xquad(folder)
    assert collection.documents.ids == ("en:000", "en:001", "zh:000", "zh:001")
    assert collection.documents.groups == ("000", "001", "000", "001")
    assert collection.documents.texts == ("one", "two", "一", "二")
    assert collection.queries.ids == ("en:a", "en:b", "en:c", "zh:a", "zh:b", "zh:c")
    assert collection.queries.texts == ("first?", "second?", "third?", "第一？", "第二？", "第三？")
    assert collection.relevant == ((0, 2), (0, 2), (1, 3)) * 2
    assert [source.name for source in collection.sources] == ["xquad.en.json", "xquad.zh_CN.json"]


def test_questions_are_documents_with_copies_of_their_passage(folder) -> None:
    collection = read_xquad(folder, ["zh", "en"], query_languages=["Chinese"], pool="questions")
    assert collection.documents.ids == ("zh:a", "zh:b", "zh:c", "en:a", "en:b", "en:c")
    assert collection.documents.groups == ("a", "b", "c") * 2
    assert collection.documents.texts == ("一", "一", "二", "one", "one", "two")
    assert collection.queries.ids == ("zh:a", "zh:b", "zh:c")
    assert collection.relevant == ((0, 3), (1, 4), (2, 5))


def test_saved_datasets_and_rows_in_memory_give_the_same_collection(folder, tmp_path) -> None:
    from datasets import Dataset, DatasetDict

    english, chinese = Dataset.from_list(hub_rows(ENGLISH)), Dataset.from_list(hub_rows(CHINESE))
    english.save_to_disk(tmp_path / "saved" / "xquad.en")
    DatasetDict({"validation": chinese}).save_to_disk(tmp_path / "saved" / "xquad.zh")
    expected = read_xquad(folder)
    for data in (tmp_path / "saved", {"en": english, "zho_Hans": chinese}, {"en": hub_rows(ENGLISH), "zh": chinese}):
        found = read_xquad(data)
        assert found.documents.ids == expected.documents.ids
        assert found.documents.texts == expected.documents.texts
        assert found.queries.ids == expected.queries.ids
        assert found.queries.texts == expected.queries.texts
        assert found.relevant == expected.relevant
    assert [source.name for source in read_xquad(tmp_path / "saved").sources] == ["xquad.en", "xquad.zh"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"languages": ["en", "th"]},
            {"problem": "language without data", "field": "languages", "seen": "th", "allowed": "en, zh"},
        ),
        ({"languages": ["zh", "zh-CN"]}, {"problem": "duplicate language", "field": "languages", "seen": "zh-CN"}),
        ({"languages": ["xx-foo"]}, {"problem": "unknown language", "field": "languages", "seen": "xx-foo"}),
        ({"languages": []}, {"problem": "no language chosen", "field": "languages", "allowed": "en, zh"}),
        (
            {"languages": ["en"], "query_languages": ["zh"]},
            {"problem": "language without data", "field": "query_languages", "seen": "zh", "allowed": "en"},
        ),
        (
            {"pool": "pages"},
            {"problem": "unknown pool", "field": "pool", "seen": "pages", "allowed": "passages or questions"},
        ),
    ],
)
def test_bad_arguments_name_the_values_allowed(folder, refused, arguments, expected) -> None:
    refused(lambda: read_xquad(folder, **arguments), **expected)


def test_folders_without_data_are_refused(folder, tmp_path, write, refused) -> None:
    refused(lambda: read_xquad(tmp_path / "no"), problem="no such folder", source=str(tmp_path / "no"), allowed="hf:")
    refused(lambda: read_xquad(folder / "xquad.en.json"), problem="is a file, not a folder")
    empty = write("empty/readme.json", {}).parent
    refused(lambda: read_xquad(empty), problem="no language found", source=str(empty), allowed="xquad.en.json")
    write("xquad.zh-Hans.json", CHINESE)
    refused(lambda: read_xquad(folder), problem="two sets of data for the language 'zh'", source=str(folder))


def changed(content: dict, *place: object, value: object) -> dict:
    copy = json.loads(json.dumps(content))
    inner = copy
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return copy


PARAGRAPH = ("data", 0, "paragraphs", 0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"data": []}, {"problem": "not a list of objects", "field": "data", "seen": []}),
        ({"rows": []}, {"problem": "not a list of objects", "field": "data"}),
        (changed(CHINESE, "data", 0, value=3), {"problem": "not a JSON object", "field": "data[0]", "seen": 3}),
        (
            changed(CHINESE, *PARAGRAPH, "context", value=" "),
            {"problem": "empty text", "field": "data[0].paragraphs[0].context", "seen": " "},
        ),
        (
            changed(CHINESE, *PARAGRAPH, "qas", 1, "question", value=None),
            {"problem": "missing field", "field": "data[0].paragraphs[0].qas[1].question"},
        ),
        (
            changed(CHINESE, *PARAGRAPH, "qas", 1, "id", value="a"),
            {"problem": "duplicate question", "field": "id", "seen": "a"},
        ),
        (
            changed(CHINESE, *PARAGRAPH, "qas", 1, "id", value="z"),
            {
                "problem": "the languages are not parallel: a question is missing",
                "seen": "b",
                "allowed": "as xquad.en.json",
            },
        ),
        (
            squad(("一", [("a", "第一？")]), ("二", [("b", "第二？"), ("c", "第三？")])),
            {
                "problem": "question 'b' belongs to another passage",
                "field": "passage",
                "seen": "001",
                "allowed": "'000'",
            },
        ),
    ],
)
def test_a_bad_file_is_named_by_its_field(folder, write, refused, content, expected) -> None:
    path = write("xquad.zh_CN.json", content)
    refused(lambda: read_xquad(folder), source=str(path), **expected)


def test_a_file_that_is_cut_off_is_named_by_its_line(folder, write, refused) -> None:
    text = json.dumps(CHINESE, indent=1)
    path = write("xquad.zh_CN.json", text[: len(text) // 2])
    line = text[: len(text) // 2].count("\n") + 1
    refused(lambda: read_xquad(folder), source=str(path), line=line, problem="not valid JSON")
