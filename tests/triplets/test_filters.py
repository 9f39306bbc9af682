from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.triplets.filters import (
    Filter,
    ambiguous_queries,
    apply_filters,
    evaluation_overlap,
    language_mismatch,
    length_ratio,
    near_duplicates,
    shingles,
)
from haystack_crossalign.triplets.targets import find_evaluation_files

WORDS = [f"word{number}" for number in range(40)]


def triplet(number: int, **changes: object) -> Triplet:
    values = {
        "id": f"t{number}",
        "group": f"g{number}",
        "language": "en",
        "query": f"query {number}",
        "passage": f"passage {number} of the very same length",
        "targets": {"zh": f"第{number}段文字长度完全相同"},
    }
    return Triplet(**(values | changes))  # type: ignore[arg-type]


def dropped(each: Filter, *triplets: Triplet) -> list[str]:
    kept = {triplet.id for triplet in apply_filters(triplets, [each]).kept}
    return [triplet.id for triplet in triplets if triplet.id not in kept]


def test_each_filter_counts_what_it_dropped_of_what_was_left() -> None:
    odd = Filter("odd", lambda triplets: [int(triplet.id[1:]) % 2 == 1 for triplet in triplets])
    small = Filter("small", lambda triplets: [int(triplet.id[1:]) < 5 for triplet in triplets])
    result = apply_filters([triplet(number) for number in range(10)], [odd, small], examples=2)
    assert [triplet.id for triplet in result.kept] == ["t6", "t8"]
    assert dict(result.dropped) == {"odd": 5, "small": 3}
    assert dict(result.examples) == {"odd": ("t1", "t3"), "small": ("t0", "t2")}
    with pytest.raises(InputError, match="different names"):
        apply_filters([], [odd, odd])


def test_passages_in_another_language_than_they_say_are_dropped() -> None:
    tags = {"English": "en", "中文": "zh", "?": None}
    each = language_mismatch(lambda texts: [tags[text] for text in texts])
    right = triplet(0, passage="English", targets={"zh": "中文"})
    undetermined = triplet(1, passage="?", targets={"zh": "中文"})
    untranslated = triplet(2, passage="English", targets={"zh": "English"})
    wrong = triplet(3, passage="中文", targets={"zh": "中文"})
    assert dropped(each, right, undetermined, untranslated, wrong) == ["t2", "t3"]


def test_lengths_are_judged_by_what_is_usual_for_the_language() -> None:
    usual = [triplet(number, passage="e" * 90, targets={"zh": "z" * 30, "de": "d" * 100}) for number in range(5)]
    short = triplet(5, passage="e" * 90, targets={"zh": "z" * 11, "de": "d" * 100})
    long = triplet(6, passage="e" * 90, targets={"zh": "z" * 30, "de": "d" * 260})
    assert dropped(length_ratio(2.5), *usual, short, long) == ["t5", "t6"]
    with pytest.raises(InputError, match="factor"):
        length_ratio(1.0)


def test_headings_over_many_sections_are_dropped() -> None:
    first, second = triplet(0, query="Introduction"), triplet(1, query="introduction ")
    same_passage = [triplet(2, query="Goals", group="g"), triplet(3, query="Goals", group="g")]
    assert dropped(ambiguous_queries(), first, second, *same_passage) == ["t0", "t1"]
    assert dropped(ambiguous_queries(2), first, second, *same_passage) == []


def test_the_second_of_nearly_equal_passages_of_a_query_is_dropped() -> None:
    # 40 words hold 33 runs of 8; one more word adds one run: Jaccard index 33 / 34.
    first = triplet(0, query="q", passage=" ".join(WORDS))
    nearly = triplet(1, query="Q", passage=" ".join([*WORDS, "more"]))
    other_query = triplet(2, query="r", passage=" ".join(WORDS))
    half = triplet(3, query="q", passage=" ".join(WORDS[:20] + [f"x{word}" for word in WORDS[20:]]))
    other_target = triplet(4, query="q", passage=" ".join(WORDS), targets={"ar": "نص"})
    assert dropped(near_duplicates(), first, nearly, other_query, half, other_target) == ["t1"]
    assert dropped(near_duplicates(33.5 / 34), first, nearly) == []


def test_nearly_equal_passages_of_other_groups_are_dropped_where_that_is_asked_for() -> None:
    first, footer = triplet(0, passage=" ".join(WORDS)), [f"foot{number}" for number in range(30)]
    nearly = triplet(1, passage=" ".join([*WORDS, "more"]))
    same_group = triplet(2, passage=" ".join(WORDS), group="g0")
    other_target = triplet(3, passage=" ".join(WORDS), targets={"ar": "نص"})
    # Pages with one foot of 30 words and 20 of their own: 23 of 63 runs in common.
    pages = [
        triplet(number, passage=" ".join([*(f"own{number}x{word}" for word in range(20)), *footer]))
        for number in range(4, 8)
    ]
    rows = (first, nearly, same_group, other_target, *pages)
    assert dropped(near_duplicates(across_groups=True), *rows) == ["t1"]
    assert dropped(near_duplicates(), *rows) == []
    assert dropped(near_duplicates(23 / 63, across_groups=True), *pages) == ["t5", "t6", "t7"]
    assert dropped(near_duplicates(23.5 / 63, across_groups=True), *pages) == []


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 1.0])
def test_rare_runs_find_all_that_comparing_every_pair_finds(share: float) -> None:
    draw = np.random.default_rng(7)
    rows = []
    for number in range(80):
        # Stretches of a few texts, so that many pairs are more or less alike.
        start, length, text = int(draw.integers(12)), int(draw.integers(9, 30)), int(draw.integers(4))
        rows.append(triplet(number, passage=" ".join(f"t{text}w{word}" for word in range(start, start + length))))
    kept: list[frozenset[str]] = []
    expected = []
    for row in rows:
        grams = shingles(row.passage)
        if any(len(grams & other) >= share * len(grams | other) for other in kept):
            expected.append(row.id)
        else:
            kept.append(grams)
    assert 0 < len(expected) < 80
    assert dropped(near_duplicates(share, across_groups=True), *rows) == expected


def test_eight_words_in_common_with_the_evaluation_set_are_one_too_many() -> None:
    evaluation = ["The " + " ".join(WORDS[:8]) + "."]
    eight = triplet(0, passage="Before, " + ", ".join(WORDS[:8]).upper())
    seven = triplet(1, passage="Before " + " ".join(WORDS[:7]) + " after")
    as_query = triplet(2, query=" ".join(WORDS[:8]))
    assert dropped(evaluation_overlap(evaluation), eight, seven, as_query) == ["t0", "t2"]


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    text = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"
    assert len(text) == 24
    assert shingles(text) == {text}
    assert shingles(text[:-1]) == frozenset()
    overlapping = triplet(0, targets={"zh": f"前言，{text[:10]}，{text[10:]}。"})
    assert dropped(evaluation_overlap([text]), overlapping, triplet(1)) == ["t0"]


def test_marks_and_how_letters_are_composed_do_not_count() -> None:
    vietnamese = "Tiếng Việt có nhiều dấu thanh và chữ cái khác nhau"
    assert shingles(unicodedata.normalize("NFD", vietnamese)) == shingles(vietnamese) != frozenset()
    arabic = "الكتب المفيدة كنز ثمين لكل من يقرؤها كل يوم"
    vocalised = "الكُتُبُ المُفِيدَةُ كَنْزٌ ثَمِينٌ لِكُلِّ مَنْ يَقْرَؤُهَا كُلَّ يَوْمٍ"
    assert not shingles(arabic).isdisjoint(shingles(vocalised))
    # Four words of Hindi are four, although \\w ends at each of their vowels.
    assert shingles("हिन्दी भारत की राजभाषा") == frozenset()
    assert len(shingles("हिन्दी भारत की राजभाषा है और उसे बहुत लोग बोलते हैं")) == 4


def test_folders_of_an_evaluation_set_are_read_through_links_and_to_no_end(tmp_path: Path) -> None:
    folder, other = tmp_path / "judged", tmp_path / "other"
    (folder / "below").mkdir(parents=True)
    other.mkdir()
    for path in (
        folder / "b.txt",
        folder / "below" / "a.jsonl",
        other / "c.tsv",
        folder / ".hidden.txt",
        folder / "d.gz",
    ):
        path.touch()
    (folder / "linked").symlink_to(other)
    (folder / "below" / "back").symlink_to(folder)
    found = find_evaluation_files([folder])
    assert [str(path.relative_to(folder)) for path in found.read] == ["b.txt", "below/a.jsonl", "linked/c.tsv"]
    assert [path.name for path in found.skipped] == ["d.gz"]
    for name, message in (("none", "no such file"), (300 * "x", "File name too long")):
        with pytest.raises(InputError, match=message):
            find_evaluation_files([tmp_path / name])
