"""First sentences of texts in scripts with and without spaces and sentence marks."""

from __future__ import annotations

import pytest

from haystack_crossalign.text.sentences import LONGEST, first_sentence, letters, one_line, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The harbour is old and deep. It was built later.", "The harbour is old and deep."),
        ("长城是中国古代的伟大建筑工程。它有两千多年的历史。", "长城是中国古代的伟大建筑工程。"),
        ("東京は日本の首都であり、最大の都市です。人口は多い。", "東京は日本の首都であり、最大の都市です。"),
        ("هل تعرف تاريخ هذه المدينة القديمة؟ إنها جميلة.", "هل تعرف تاريخ هذه المدينة القديمة؟"),
        ("भारत की राजधानी नई दिल्ली है जो बहुत बड़ी है। यहाँ लोग रहते हैं।", "भारत की राजधानी नई दिल्ली है जो बहुत बड़ी है।"),
        ("Dr. Smith went to the market. He came back.", "Dr. Smith went to the market."),
        ("1. Introduction to the second chapter\nThis text is long.", "1. Introduction to the second chapter"),
        ("# A heading of some more words\n\nThe text.", "A heading of some more words"),
        ("<p>Words in <b>bold</b> and in italics here.</p> More.", "Words in bold and in italics here."),
        ("no sentence mark at all", "no sentence mark at all"),
        ("  \n ", ""),
    ],
)
def test_it_ends_where_the_script_ends_sentences(text: str, expected: str) -> None:
    assert first_sentence(text) == expected


def test_a_text_without_marks_is_cut_at_a_space_where_there_is_one() -> None:
    thai = "ประเทศไทยมีประวัติศาสตร์ยาวนาน" * 4 + " " + "และวัฒนธรรมที่หลากหลาย" * 20
    cut = first_sentence(thai)
    assert LONGEST // 2 <= len(cut) <= LONGEST
    assert thai.startswith(cut + " ")
    assert len(one_line("ก" * 500)) == LONGEST


def test_ideographs_say_more_than_letters() -> None:
    assert letters("长城") == 6
    assert letters("wall") == 4
    assert letters("1234 %") == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "The harbour is old and deep. Dr. Smith built it long ago. The end.",
            ["The harbour is old and deep.", "Dr. Smith built it long ago. The end."],
        ),
        (
            "长城是中国古代的伟大建筑工程。它有两千多年的历史。",
            ["长城是中国古代的伟大建筑工程。", "它有两千多年的历史。"],
        ),
        ("1. Short.", ["1. Short."]),
        ("# A heading of some more words\n\nThe text says a little more.",
         ["A heading of some more words", "The text says a little more."]),
        (" \n ", []),
    ],
)  # fmt: skip
def test_the_sentences_of_a_text_are_all_of_it(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_long_texts_without_marks_are_cut_at_spaces_and_nothing_is_lost() -> None:
    thai = " ".join(["ประเทศไทยมีประวัติศาสตร์ยาวนาน"] * 30)
    found = sentences(thai)
    assert len(found) > 3
    assert max(map(len, found)) <= LONGEST
    assert " ".join(found) == thai
