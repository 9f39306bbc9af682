"""What is left of a text when addresses, markup and code are taken out."""

from __future__ import annotations

import pytest

from haystack_crossalign.text.prose import LONGEST_TEXT, STRETCH, stretches


def texts_of(text: str) -> list[tuple[str, str]]:
    return [(stretch.text, stretch.script) for stretch in stretches(text)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\t ",
        "2024-11-22 14:05, 3.14 + 42 = 45.14 €",
        "😀🎉👍🏽 👩‍👩‍👧",
        "https://example.org/path/to/page?q=language&lang=en",
        "www.example.org someone.else@example.org @somebody #hashtag",
        "<div class='note'><br/></div>&nbsp;",
        "```\nthis is in a fence\n```",
        "`inline code`",
        "def area(radius):",
        "import numpy as np",
        "from pathlib import Path",
        "for (int i = 0; i < n; i++) { sum += a[i]; }",
        "public static void main(String[] args) {",
        "const total = items.map(item => item.price);",
        "SELECT name, age FROM users WHERE id = 1",
        "#include <stdio.h>",
        "npm install --save-dev typescript",
        "kubectl get pods -n production",
        "$ cd /var/log && tail -f syslog",
        '{"name": "value", "list": [1, 2, 3]}',
    ],
)
def test_nothing_is_left_of_a_text_without_prose(text: str) -> None:
    assert stretches(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "private schools in London",
        "return policy for shoes",
        "class reunion invitation",
        "let it be lyrics",
        "git commit message conventions explained simply",
        "Who is O'Neill (1990)?",
        "What is TCP/IP?",
        "He said that it is fine; they left.",
        "import duties on cars from Japan",
        "select the best restaurant from a list",
    ],
)
def test_prose_with_words_that_are_keywords_is_kept(text: str) -> None:
    assert texts_of(text) == [(text, "latin")]


def test_prose_around_code_is_kept() -> None:
    text = "Please read this first.\nimport numpy as np\nThen run it again."
    assert texts_of(text) == [("Please read this first.", "latin"), ("Then run it again.", "latin")]


def test_a_text_is_cut_at_its_scripts() -> None:
    assert texts_of("Москва это capital of Russia") == [("Москва это", "cyrillic"), ("capital of Russia", "latin")]
    assert texts_of("iPhone 15 的价格") == [("iPhone 15", "latin"), ("的价格", "han")]


def test_a_text_is_cut_at_its_sentences() -> None:
    assert texts_of("Wo ist er? Where is he? 他在哪里？我不知道。") == [
        ("Wo ist er?", "latin"),
        ("Where is he?", "latin"),
        ("他在哪里？", "han"),
        ("我不知道。", "han"),
    ]


def test_the_greek_question_mark_is_no_code() -> None:
    assert texts_of("Τι σημαίνει «πλαστίτιδα»;") == [("Τι σημαίνει «πλαστίτιδα»;", "greek")]


def test_ideographs_and_syllables_count_for_several_letters() -> None:
    # Two ideographs at three letters each; three Hangul syllables at two; five Latin letters.
    assert [stretch.letters for stretch in stretches("北京")] == [6.0]
    assert [stretch.letters for stretch in stretches("한국어")] == [6.0]
    assert [stretch.letters for stretch in stretches("a1 b2 cde")] == [5.0]


def test_stretches_are_short_and_hold_all_words() -> None:
    words = [f"w{'o' * (number % 9)}rd" for number in range(400)]
    found = stretches(" ".join(words))
    assert max(len(stretch.text) for stretch in found) <= STRETCH
    assert " ".join(stretch.text for stretch in found).split() == words


@pytest.mark.parametrize(
    "unit", ["a", "中", "<script ", "_", "a@", "a.b", "`", "((((", "- ", "क्", "SELECT ", "x\ud800"]
)
def test_hostile_texts_are_read_in_bounded_work(unit: str) -> None:
    # A pattern that runs in the square of the length would not come back from these.
    found = stretches(unit * (1_000_000 // len(unit)))
    assert sum(len(stretch.text) for stretch in found) <= LONGEST_TEXT


def test_a_run_ends_where_another_script_begins() -> None:
    # Hanja beside Hangul, as Korean papers write; kana beside kanji is one run of Japanese.
    assert texts_of("漢字 한국어") == [("漢字", "han"), ("한국어", "hangul")]
    assert texts_of("東京タワーに行きます") == [("東京タワーに行きます", "han")]
    assert texts_of("ꆈꌠꉙ 漢字") == [("漢字", "han")]  # Yi is no script that a language here is written in


def test_marks_belong_to_the_letters_that_they_stand_on() -> None:
    for text, script in (
        ("e\u0301te\u0301", "latin"),
        ("\u0643\u064e\u062a\u064e\u0628\u064e", "arabic"),
        ("\u0928\u093f\u0930\u094d\u0923\u092f", "devanagari"),
        ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "hebrew"),
    ):
        assert texts_of(text) == [(text, script)]
