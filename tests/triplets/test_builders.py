from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.errors import InputError
from haystack_crossalign.triplets.builders import (
    ParallelSection,
    ParallelSentence,
    triplets_from_collection,
    triplets_from_documents,
    triplets_from_sections,
    triplets_from_sentences,
)


def sentences(*sizes: int) -> list[ParallelSentence]:
    return [
        ParallelSentence(f"d{document}", {"en": f"e{document}.{number}", "zh": f"z{document}.{number}"})
        for document, size in enumerate(sizes)
        for number in range(size)
    ]


def test_a_sentence_is_the_query_of_its_neighbours_in_every_language() -> None:
    triplets = triplets_from_sentences(sentences(4), ["zh"], block=4, queries_per_block=4).triplets
    assert [triplet.query for triplet in triplets] == ["e0.0", "e0.1", "e0.2", "e0.3"]
    assert triplets[1].passage == "e0.0 e0.2 e0.3"
    assert triplets[1].targets == {"zh": "z0.0z0.2z0.3"}
    assert triplets[1].target_queries == {"zh": "z0.1"}
    assert {triplet.group for triplet in triplets} == {"d0:0"}


def test_blocks_end_with_the_document_and_single_sentences_are_left_out() -> None:
    built = triplets_from_sentences(sentences(5, 6, 1), ["zh"], block=4)
    triplets = built.triplets
    assert built.left_out == {"sentences that lack a language": 0, "sentences alone at the end of a document": 2}
    assert [triplet.group for triplet in triplets] == ["d0:0", "d1:0", "d1:4"]
    assert all(triplet.passage.count(" ") == (0 if triplet.group == "d1:4" else 2) for triplet in triplets)


def test_the_draw_of_queries_is_seeded() -> None:
    def queries(seed: int) -> list[str]:
        return [each.query for each in triplets_from_sentences(sentences(*[8] * 20), ["zh"], seed=seed).triplets]

    assert queries(0) == queries(0)
    assert queries(0) != queries(1)


def test_sentences_that_lack_a_language_are_counted_and_scattered_documents_refused() -> None:
    given = sentences(4)
    given[1] = ParallelSentence("d0", {"en": "e", "zh": " "})
    built = triplets_from_sentences(given, ["zh"])
    (triplet,) = built.triplets
    assert built.left_out["sentences that lack a language"] == 1
    assert "e " not in triplet.passage
    with pytest.raises(InputError, match="come together"):
        triplets_from_sentences([*sentences(2, 2), ParallelSentence("d0", {})], ["zh"])
    with pytest.raises(InputError, match="block"):
        triplets_from_sentences([], ["zh"], block=1)


def test_real_news_sentences_give_groups_that_share_no_sentence(shared_data: Path) -> None:
    with (shared_data / "train" / "ntrex_16lang.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    given = [ParallelSentence(row["doc"], {tag: row[tag] for tag in ("en", "zh", "th")}) for row in rows]
    triplets = triplets_from_sentences(given, ["zh", "th"], queries_per_block=2).triplets
    blocks = sum(-(-size // 4) - (size % 4 == 1) for size in Counter(row["doc"] for row in rows).values())
    assert len({triplet.group for triplet in triplets}) == blocks
    assert len(triplets) == 2 * blocks
    for triplet in triplets:
        assert triplet.query not in triplet.passage.split(" ")
        assert triplet.targets.keys() == triplet.target_queries.keys() == {"zh", "th"}


def test_a_heading_is_the_query_of_its_section() -> None:
    texts = {"en": "Text.", "zh": "文。"}
    sections = [
        ParallelSection("a", texts, {"en": "Head", "zh": "标题"}),
        ParallelSection("b", texts, {"zh": "标题"}),
        ParallelSection("c", {"en": "Text."}, {"en": "Head"}),
        ParallelSection("d", texts, {"en": "Other"}),
        ParallelSection("e", {"zh": "文。"}, {"en": "Head"}),
    ]
    built = triplets_from_sections(sections, ["zh"])
    first, second = built.triplets
    assert built.left_out == {"sections without a heading": 1, "sections that lack a language": 2}
    assert (first.id, first.query, first.passage, first.targets) == ("a", "Head", "Text.", {"zh": "文。"})
    assert first.target_queries == {"zh": "标题"}
    assert (second.id, second.target_queries) == ("d", {})


def test_judged_documents_with_a_group_are_triplets() -> None:
    collection = JudgedCollection(
        "c",
        Documents(
            ("e1", "z1", "e2", "z2"), ("en", "zh", "en", "zh"), ("1", "1", "2", "3"), ("one", "一", "two", "三"), None
        ),
        Queries(("q1", "q2", "q3"), ("en", "zh", "en"), ("one?", "一？", "two?"), None),
        ((0, 1), (0, 1), (2, 3)),
        (),
    )
    found = triplets_from_collection(collection, ["zh", "es"])
    (triplet,) = found.triplets
    assert found.left_out == {
        "queries in other languages": 1,
        "no version in a target language": 2,  # of the third query: its documents are alone in their groups
        "a version in chunks": 0,
    }
    assert (triplet.id, triplet.group, triplet.query, triplet.passage) == ("q1:1", "1", "one?", "one")
    assert triplet.targets == {"zh": "一"}


@pytest.mark.parametrize(
    ("relevant", "expected"),
    [
        (["en-2"], []),  # which Chinese chunk is about dogs nobody says
        (["en-2", "zh-2"], [("dogs", {"zh": "狗"})]),
        (["en-2", "zh-1", "zh-2"], []),
        (["zh-2"], []),
        (["en-3"], [("birds", {"zh": "鸟", "ar": "طيور"})]),
        (["zh-3"], [("birds", {"zh": "鸟", "ar": "طيور"})]),
        (["en-2", "zh-2", "en-3"], [("dogs", {"zh": "狗"}), ("birds", {"zh": "鸟", "ar": "طيور"})]),
    ],
)
def test_a_query_keeps_the_chunk_that_it_was_judged_for(
    relevant: list[str], expected: list[tuple[str, dict[str, str]]]
) -> None:
    texts = {"en-1": "cats", "en-2": "dogs", "zh-1": "猫", "zh-2": "狗", "en-3": "birds", "zh-3": "鸟", "ar-3": "طيور"}
    ids = tuple(texts)
    groups = tuple("book" if one[-1] in "12" else "page" for one in ids)
    documents = Documents(ids, tuple(one[:2] for one in ids), groups, tuple(texts.values()), None)
    judged = tuple(ids.index(one) for one in relevant)
    collection = JudgedCollection("c", documents, Queries(("q",), ("en",), ("which?",), None), (judged,), ())
    found = triplets_from_collection(collection, ["zh", "ar"])
    assert sorted((one.passage, dict(one.targets)) for one in found.triplets) == sorted(expected)
    asked = any(one[-1] in "12" for one in relevant)
    assert found.left_out["a version in chunks"] == (asked and not any(one.group == "book" for one in found.triplets))


def test_documents_without_queries_are_asked_for_by_their_titles_or_first_sentences() -> None:
    def row(name: str, group: str, text: str, title: str = "") -> DocumentRow:
        whole = f"{title} {text}" if title else text
        return DocumentRow(name, group, name[:2], whole, title, text if title else None)

    sentence, rest = "The first sentence of a document.", "The rest of the document follows it."
    german, later = "Der erste Satz eines Dokuments.", "Der Rest des Dokuments folgt darauf."
    documents = [
        # A title each, a title on one side only, no title.
        row("en-1", "1", f"{sentence} {rest}", "A title to ask by"),
        row("de-1", "1", f"{german} {later}", "Ein Titel zum Fragen"),
        row("en-2", "2", f"{sentence} {rest}", "Another title to ask by"),
        row("de-2", "2", f"{german} {later}"),
        row("en-3", "3", f"{sentence} {rest}"),
        row("de-3", "3", f"{german} {later}"),
        # A single sentence, chunks, one language.
        row("en-4", "4", sentence),
        row("de-4", "4", german),
        row("en-5", "5", f"{sentence} {rest}"),
        row("de-5", "5", german),
        row("de-6", "5", later),
        row("en-7", "7", f"{sentence} {rest}"),
    ]
    built = triplets_from_documents(documents, ["de"], language="en")
    assert [(one.query, one.passage, one.targets, one.target_queries) for one in built.triplets] == [
        ("A title to ask by", f"{sentence} {rest}", {"de": f"{german} {later}"}, {"de": "Ein Titel zum Fragen"}),
        ("Another title to ask by", f"{sentence} {rest}", {"de": f"{german} {later}"}, {}),
        (sentence, rest, {"de": later}, {"de": german}),
    ]
    assert built.left_out == {
        "contents not in both languages": 1,
        "a version in chunks": 1,
        "a text without title and second sentence": 1,
    }
