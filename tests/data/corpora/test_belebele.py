"""Belebele from files in its own format, and from datasets."""

from __future__ import annotations

import pytest

from haystack_crossalign.data.corpora.belebele import read_belebele
from haystack_crossalign.errors import ExternalError

PAGES = [("https://w.example/b", 1), ("https://w.example/b", 2), ("https://w.example/a", 1)]


def row(dialect: str, link: str, number: int, passage: str, question: str) -> dict[str, object]:
    answers = {f"mc_answer{n}": str(n) for n in range(1, 5)}
    return {
        "link": link,
        "question_number": number,
        "flores_passage": passage,
        "question": question,
        **answers,
        "correct_answer_num": "1",
        "dialect": dialect,
        "ds": "2023-05-03",
    }


def rows(dialect: str, mark: str) -> list[dict[str, object]]:
    return [row(dialect, link, n, f"{mark} passage {link[-1]}", f"{mark} question {link[-1]}{n}") for link, n in PAGES]


@pytest.fixture
def folder(write):
    write("eng_Latn.jsonl", rows("eng_Latn", "en"))
    write("README.jsonl", "not data")
    # The rows of the real files stand in another order in every language.
    return write("zho_Hant.jsonl", rows("zho_Hant", "zh")[::-1]).parent


def test_passages_are_documents_once_whatever_the_order_of_rows(folder) -> None:
    collection = read_belebele(folder)
    assert sorted(set(collection.documents.languages)) == ["en", "zh-Hant"]
    assert collection.documents.ids == (
        "en:https://w.example/a",
        "en:https://w.example/b",
        "zh-Hant:https://w.example/a",
        "zh-Hant:https://w.example/b",
    )
    assert collection.documents.texts == ("en passage a", "en passage b", "zh passage a", "zh passage b")
    assert collection.queries.ids[3:] == (
        "zh-Hant:https://w.example/a#1",
        "zh-Hant:https://w.example/b#1",
        "zh-Hant:https://w.example/b#2",
    )
    assert collection.queries.texts[3:] == ("zh question a1", "zh question b1", "zh question b2")
    assert collection.relevant == ((0, 2), (1, 3), (1, 3)) * 2


def test_questions_are_documents_with_copies_of_their_passage(folder) -> None:
    collection = read_belebele(folder, ["English"], pool="questions")
    assert collection.documents.texts == ("en passage a", "en passage b", "en passage b")
    assert collection.documents.groups == ("https://w.example/a#1", "https://w.example/b#1", "https://w.example/b#2")
    assert collection.relevant == ((0,), (1,), (2,))


def test_passages_of_one_page_are_told_apart_by_their_text(write) -> None:
    for code, mark in (("eng_Latn", "en"), ("spa_Latn", "es")):
        extra = row(code, PAGES[2][0], 1, f"{mark} other passage", f"{mark} other question")
        folder = write(f"{code}.jsonl", [*rows(code, mark), extra]).parent
    collection = read_belebele(folder)
    assert collection.documents.groups[:3] == ("https://w.example/a", "https://w.example/a~2", "https://w.example/b")
    assert collection.documents.texts[3:5] == ("es passage a", "es other passage")
    assert collection.queries.ids[1] == "en:https://w.example/a~2#1"
    assert collection.relevant[1] == (1, 4)


def test_the_archive_names_passages_by_link_and_split_in_any_order(write) -> None:
    """The archive has the split of FLORES-200 in place of a date; one page has a passage in both, with a question 1."""
    for code, mark, step in (("eng_Latn", "en", 1), ("zho_Hans", "zh", -1)):
        content = []
        for split, numbers in (("dev", (1, 2)), ("devtest", (1,))):
            for number in numbers:
                made = row(code, "https://w.example/a", number, f"{mark} {split}", f"{mark} {split} {number}")
                del made["ds"]
                content.append({**made, "split": split})
        folder = write(f"{code}.jsonl", content[::step]).parent
    collection = read_belebele(folder, ["en", "zh"])
    assert collection.documents.texts == ("en dev", "en devtest", "zh dev", "zh devtest")
    assert collection.documents.groups == ("https://w.example/a", "https://w.example/a~2") * 2
    assert collection.queries.texts[:3] == ("en dev 1", "en dev 2", "en devtest 1")
    assert collection.relevant == ((0, 2), (0, 2), (1, 3)) * 2


def test_datasets_give_the_same_collection(folder, tmp_path) -> None:
    from datasets import Dataset, DatasetDict

    english = Dataset.from_list(rows("eng_Latn", "en"))
    chinese = Dataset.from_list(rows("zho_Hant", "zh"))
    DatasetDict({"test": english}).save_to_disk(tmp_path / "saved" / "eng_Latn")
    chinese.save_to_disk(tmp_path / "saved" / "zho_Hant")
    expected = read_belebele(folder)
    for data in (tmp_path / "saved", {"en": english, "zh-TW": chinese}):
        found = read_belebele(data)
        assert found.documents.ids == expected.documents.ids
        assert found.documents.texts == expected.documents.texts
        assert found.queries.texts == expected.queries.texts
        assert found.relevant == expected.relevant


def test_a_saved_dataset_without_the_split_names_those_it_has(tmp_path, refused) -> None:
    from datasets import Dataset, DatasetDict

    place = tmp_path / "saved" / "eng_Latn"
    DatasetDict({"train": Dataset.from_list(rows("eng_Latn", "en"))}).save_to_disk(place)
    refused(
        lambda: read_belebele(tmp_path / "saved"),
        problem="no such split",
        source=str(place),
        field="split",
        seen="test",
        allowed="train",
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"question_number": "1"}, {"problem": "not a whole number", "field": "question_number", "seen": "1"}),
        ({"flores_passage": ""}, {"problem": "empty text", "field": "flores_passage", "seen": ""}),
        ({"link": None}, {"problem": "missing field", "field": "link"}),
        (
            {"dialect": "tha_Thai"},
            {"problem": "row of another language", "field": "dialect", "seen": "tha_Thai", "allowed": "'en'"},
        ),
        ({"question_number": 1}, {"problem": "duplicate question", "field": "id", "seen": "https://w.example/b#1"}),
    ],
)
def test_a_bad_row_is_named_by_line_field_and_value(write, refused, change, expected) -> None:
    content = rows("eng_Latn", "en")
    content[1] = {**content[1], **change}
    path = write("eng_Latn.jsonl", content)
    refused(lambda: read_belebele(path.parent), source=str(path), line=2, **expected)


def test_a_language_with_fewer_questions_is_refused(folder, write, refused) -> None:
    path = write("zho_Hant.jsonl", rows("zho_Hant", "zh")[:2])
    refused(
        lambda: read_belebele(folder),
        problem="the languages are not parallel",
        source=str(path),
        seen="https://w.example/a#1",
        allowed="the same questions as eng_Latn.jsonl",
    )


def test_a_hub_that_cannot_be_reached_is_a_fault_outside() -> None:
    # The suite runs with HF_HUB_OFFLINE=1, and no cache can hold this name.
    with pytest.raises(ExternalError, match="no-such-owner/no-such-set cannot be loaded from the hub"):
        read_belebele("hf:no-such-owner/no-such-set")
