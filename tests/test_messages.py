"""Foreign text in messages: one line, bounded, no control characters, no secrets."""

from __future__ import annotations

import pytest

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.messages import one_line, shortened, shown, visible

ESCAPES = "\x1b[2J\x1b]0;title\x07 \x9b31m \u202eleft \u2066x \x7f \ud800 \u2028"


def test_control_characters_become_escapes_and_other_characters_stay() -> None:
    assert visible("a\x1b[2Jb\x9bc\x7f") == "a\\x1b[2Jb\\x9bc\\x7f"
    assert visible("\u202eabc\ud800") == "\\u202eabc\\ud800"
    for text in ("naïve 漢字 العربية हिन्दी می‌خواهم 👩‍👩‍👧 a\xa0b", "plain"):
        assert visible(text) == text
    assert visible("a\nb\tc", lines=True) == "a\nb\\x09c"
    assert visible("a\nb") == "a\\x0ab"


def test_line_ends_become_blanks() -> None:
    assert one_line("a\r\n  b\n\nc\u2028d\n") == "a b c d"
    assert one_line("  indented") == "  indented"


@pytest.mark.parametrize("limit", [10, 31, 950])
def test_a_long_text_keeps_both_ends(limit: int) -> None:
    text = "start" + "x" * 5000 + "end"
    assert len(shortened(text, limit)) == limit
    assert shortened(text, limit).startswith("st")
    assert shortened(text, limit).endswith("end")
    assert len(one_line(text, limit)) == limit
    assert shortened("short", limit) == "short"


def test_values_are_shown_cut_whatever_they_are() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown("a\x1bb") == "'a\\x1bb'"
    assert shown([1, 2]) == "[1, 2]"
    assert len(shown("x" * 10**7)) == 120
    assert "list" in shown(deep)
    assert "int" in shown(10**5000)
    while deep:  # taken apart step by step: Python would recurse
        deep = deep[0]  # type: ignore[assignment]


@pytest.mark.parametrize(
    "error",
    [
        CrossAlignError(ESCAPES * 200),
        ExternalError("first line\nTraceback:\n" + "x" * 5000),
        InputError(
            ESCAPES * 30,
            source="folder/" * 500 + ESCAPES,
            line=10**9,
            field=ESCAPES * 30,
            seen={"a": ESCAPES * 1000},
            allowed=ESCAPES * 100,
        ),
    ],
)
def test_every_error_is_one_bounded_printable_line(error: CrossAlignError) -> None:
    text = str(error)
    assert len(text) <= 950
    assert text.isprintable()


def test_a_long_name_hides_neither_the_problem_nor_what_is_allowed() -> None:
    text = str(InputError("the problem", source="x" * 4000, seen="y" * 4000, allowed="the values allowed"))
    assert "the problem" in text
    assert "the values allowed" in text
