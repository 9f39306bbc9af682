"""Mined pairs against a slow reference written from the formula, and triplets of real texts by the real model."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from haystack_crossalign.data.formats.jsonl import DocumentRow, document_rows
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import TextFile
from haystack_crossalign.mining.pairs import language_repair, mine_pairs
from haystack_crossalign.mining.triplets import (
    mine_triplets,
    read_given_queries,
)
from haystack_crossalign.models.encoder import Encoder


def row_of(name: str, language: str, text: str) -> DocumentRow:
    """A document that is in no group."""
    return DocumentRow(name, name, language, text)


def vectors(rows: int, seed: int, dim: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)) + 0.7


def reference(left: np.ndarray, right: np.ndarray, k: int) -> dict[tuple[int, int], float]:
    """Mutual best pairs by cos(x, y) / (sum of the k nearest of x / 2k + sum of the k nearest of y / 2k)."""

    def cos(x: np.ndarray, y: np.ndarray) -> float:
        return float(x @ y / (np.sqrt(x @ x) * np.sqrt(y @ y)))

    table = [[cos(x, y) for y in right] for x in left]
    margin = {}
    for row in range(len(left)):
        for column in range(len(right)):
            across = sorted(table[row], reverse=True)[:k]
            down = sorted((table[other][column] for other in range(len(left))), reverse=True)[:k]
            margin[row, column] = table[row][column] / (sum(across) / (2 * len(across)) + sum(down) / (2 * len(down)))
    best = {}
    for row in range(len(left)):
        column = max(range(len(right)), key=lambda column, row=row: margin[row, column])
        if max(range(len(left)), key=lambda other, column=column: margin[other, column]) == row:
            best[row, column] = margin[row, column]
    return best


@pytest.mark.parametrize(("rows", "columns", "k"), [(23, 31, 4), (31, 17, 1), (5, 3, 4), (1, 1, 4)])
def test_pairs_and_margins_are_those_of_the_formula_whatever_the_blocks(rows: int, columns: int, k: int) -> None:
    left, right = vectors(rows, 1), vectors(columns, 2)
    expected = reference(left, right, k)
    for block in (None, 1, 7, 1000):
        pairs = mine_pairs(left, right, neighbours=k, threshold=0.0, block=block)
        found = dict(zip(zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True), pairs.margins, strict=True))
        assert found == pytest.approx(expected, abs=1e-6)
        assert pairs.sources.tolist() == sorted(pairs.sources.tolist())
    cut = sorted(expected.values())[len(expected) // 2] - 1e-6  # with k = 1 all margins are 1
    high = mine_pairs(left, right, neighbours=k, threshold=cut)
    assert set(high.sources.tolist()) == {row for (row, _), value in expected.items() if value >= cut}


def test_equal_margins_go_to_the_first_row() -> None:
    same = np.ones((3, 2))
    pairs = mine_pairs(same, same[:2], threshold=0.0)
    assert (pairs.sources.tolist(), pairs.targets.tolist()) == ([0], [0])
    assert pairs.margins == pytest.approx([1.0])


def test_an_empty_side_gives_no_pairs_and_wrong_vectors_are_refused() -> None:
    assert len(mine_pairs(np.empty((0, 4)), vectors(3, 0, 4))) == 0
    for left, right, message in (
        (vectors(3, 0), vectors(3, 0, 5), "one dimension"),
        (np.zeros((2, 12)), vectors(3, 0), "zero or not finite"),
        (np.full((2, 12), np.nan), vectors(3, 0), "zero or not finite"),
        (np.ones(12), vectors(3, 0), "two axes"),
    ):
        with pytest.raises(InputError, match=message):
            mine_pairs(left, right)
    for wrong in ({"neighbours": 0}, {"block": 0}, {"threshold": float("nan")}):
        with pytest.raises(InputError, match="out of range"):
            mine_pairs(vectors(3, 0), vectors(3, 0), **wrong)


def test_taking_out_the_language_finds_pairs_that_it_hid() -> None:
    """Contents on the first axes, one language on an axis of its own, and noise that the languages do not share."""
    generator = np.random.default_rng(0)
    content = generator.standard_normal((60, 6))
    sides = [content + 0.35 * generator.standard_normal((60, 6)) for _ in range(2)]
    left = np.hstack([sides[0], np.full((60, 1), 2.0), np.zeros((60, 1))])
    right = np.hstack([sides[1], np.zeros((60, 1)), generator.uniform(0.0, 6.0, (60, 1))])

    def correct(a: np.ndarray, b: np.ndarray) -> int:
        pairs = mine_pairs(a, b, threshold=0.0)
        return int((pairs.sources == pairs.targets).sum())

    repair = language_repair([left.astype(np.float32), right.astype(np.float32)], ["en", "zh"])
    moved = repair.apply(left), repair.apply(right)
    assert abs(float((moved[0].mean(axis=0) - moved[1].mean(axis=0)).max())) < 0.2
    assert correct(*moved) > correct(left, right)


@pytest.fixture(scope="module")
def encoder(offline_model: str) -> Encoder:
    return Encoder(offline_model, device="cpu")


@pytest.fixture(scope="module")
def news(shared_data: Path) -> list[dict[str, str]]:
    """Every 25th line of NTREX: 80 sentences that say different things."""
    with (shared_data / "train" / "ntrex_16lang.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in islice(file, 0, None, 25)]


def test_a_real_model_finds_human_translations_among_texts_without_any(
    encoder: Encoder, news: list[dict[str, str]]
) -> None:
    """The middle third of the sentences exists in both languages, the others in one: precision and recall."""
    documents = [DocumentRow(f"e{place:02d}", f"e{place:02d}", "en", row["en"]) for place, row in enumerate(news[:54])]
    documents += [
        DocumentRow(f"z{place:02d}", f"z{place:02d}", "zh", row["zh"]) for place, row in enumerate(news) if place >= 27
    ]
    documents.append(DocumentRow("z99", "z99", "zh", news[30]["zh"]))  # a copy
    for repair in (True, False):
        mined = mine_triplets(documents[::-1], encoder, ["zh"], repair=repair, threshold=1.02)
        right = sum(triplet.targets["zh"] == news[int(triplet.group[1:])]["zh"] for triplet in mined.triplets)
        assert right >= 0.95 * len(mined.triplets)
        assert right >= 0.7 * 27
        assert mined.counts["documents in zh"] == len(news) - 27
    assert [triplet.id for triplet in mined.triplets] == sorted(triplet.id for triplet in mined.triplets)
    again = mine_triplets(documents, encoder, ["zh"], repair=False, threshold=1.02)
    assert again == mined


def test_queries_are_given_or_headings_or_first_sentences(
    encoder: Encoder, news: list[dict[str, str]], tmp_path: Path
) -> None:
    rows = [row for row in news if len(row["en"]) > 60][:4]
    lines = [
        {
            "id": f"{tag}{place}",
            "language": tag,
            "text": row[tag],
            "title": "A heading of its own" if place == 0 else "",
        }
        for place, row in enumerate(rows)
        for tag in ("en", "zh", "ar")
    ]
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    file = TextFile(path)
    documents = list(document_rows(file, title_field="title"))
    source = file.source
    assert (len(documents), source.name) == (12, "documents.jsonl")
    mined = mine_triplets(documents, encoder, ["zh", "ar"], threshold=0.0)
    assert [triplet.group for triplet in mined.triplets] == ["en0", "en1", "en2", "en3"]
    assert mined.triplets[0].query == "A heading of its own"
    # Compared with its heading in front, as audits embed it; what answers the heading is the text alone.
    assert documents[0].text == f"A heading of its own {rows[0]['en']}"
    assert mined.triplets[0].passage == rows[0]["en"]
    assert mined.triplets[0].targets == {tag: rows[0][tag] for tag in ("zh", "ar")}
    assert mined.counts["documents with their heading in front"] == 3
    assert all(rows[place]["en"].startswith(mined.triplets[place].query[:40]) for place in (1, 2, 3))
    assert mined.triplets[2].targets == {tag: rows[2][tag] for tag in ("zh", "ar")}

    queries = tmp_path / "queries.jsonl"
    asked = [
        {"id": "q1", "text": "first?", "relevant": ["en1", "zh1"]},
        {"id": "q2", "text": "second?", "relevant": ["en1 copy"]},
        {"id": "q4", "text": "of no pair?", "relevant": ["zh2"]},
        {"id": "q3", "text": "问题?", "language": "zh", "relevant": ["en2"]},
        {"id": "q5", "text": "titled?", "relevant": ["en0"]},
    ]
    queries.write_text("".join(json.dumps(line) + "\n" for line in asked), encoding="utf-8")
    copy = next(replace(one, id="en1 copy") for one in documents if one.id == "en1")
    documents = [*documents, copy]
    given, _ = read_given_queries(queries, documents)
    mined = mine_triplets(documents, encoder, ["zh"], threshold=0.0, queries=given)
    assert [(triplet.id, triplet.group, triplet.query) for triplet in mined.triplets] == [
        ("en0", "en0", "titled?"),
        ("en1", "en1", "first?"),
        ("en1~2", "en1", "second?"),
    ]
    assert mined.triplets[0].passage == f"A heading of its own {rows[0]['en']}"
    assert mined.counts["of these without a query"] == 2
    assert (mined.counts["queries given"], mined.counts["of these of no document in a pair"]) == (4, 1)
    with pytest.raises(InputError, match="no document has this language"):
        mine_triplets(documents, encoder, ["th"])
    queries.write_text('{"id": "q1", "text": "first?"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="without relevant documents"):
        read_given_queries(queries, documents)
    queries.write_text('{"id": "q1", "text": "first?", "relevant": ["en1", "nosuch"]}\n', encoding="utf-8")
    with pytest.raises(InputError, match="no such document; seen: 'nosuch'"):
        read_given_queries(queries, documents)
