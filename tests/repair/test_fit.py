"""What a repair is fitted on and judged by, how its strengths are chosen, and the folder that it leaves."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from numpy.typing import NDArray
from published_corpora import write_ntrex
from sentence_transformers import SentenceTransformer

from haystack_crossalign.data.formats.jsonl import DocumentRow, read_documents
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.prompts import Prompts
from haystack_crossalign.repair.fit import RepairOutcome, fit_repair
from haystack_crossalign.repair.matrix_file import read_matrix_file
from haystack_crossalign.repair.options import RepairOptions
from haystack_crossalign.repair.output import ModelToRepair, open_model, repair_schema, write_repair
from haystack_crossalign.repair.sample import make_sample, probes_of
from haystack_crossalign.repair.scores import harm_of_language, paired_share_interval, queries_needed
from haystack_crossalign.repair.texts import Question, RepairTexts, read_repair_texts

DIMENSION = 24
FAST = RepairOptions(samples=100)


class Vectors:
    """Vectors made of what a text says: ``zh c17`` is content 17, pushed towards its language and a common mean."""

    def __init__(self, push: float = 8.0, common: float = 0.0, noise: float = 0.3) -> None:
        self.push, self.common, self.noise = push, common, noise

    def _one(self, text: str, role: int) -> NDArray[np.float64]:
        tag, content = text.split()[:2]
        vector = np.random.default_rng(int(content[1:])).normal(size=DIMENSION)
        vector[:2] = 0
        vector[("en", "zh").index(tag)] = self.push
        vector += self.common
        vector += self.noise * np.random.default_rng([int(content[1:]), role, len(tag + text)]).normal(size=DIMENSION)
        return vector / np.linalg.norm(vector)

    def encode_queries(self, texts: Sequence[str], *, progress: Any = None) -> NDArray[np.float32]:  # noqa: ARG002
        return np.stack([self._one(text, 1) for text in texts]).astype(np.float32)

    def encode_documents(self, texts: Sequence[str], *, progress: Any = None) -> NDArray[np.float32]:  # noqa: ARG002
        return np.stack([self._one(text, 2) for text in texts]).astype(np.float32)

    def provenance(self) -> dict[str, Any]:
        return {"name": "vectors by hand"}


def parallel(count: int, *, first: int = 0, languages: Sequence[str] = ("en", "zh")) -> RepairTexts:
    """Contents in each language, each with a query."""
    contents = range(first, first + count)
    return RepairTexts(
        tuple(
            DocumentRow(f"{tag}:{one}", f"g{one}", tag, f"{tag} c{one} text") for one in contents for tag in languages
        ),
        tuple(Question(f"g{one}", tag, f"{tag} c{one} question") for one in contents for tag in languages),
        (),
    )


def outcome_of(sample: Any, vectors: Vectors | None = None, **options: Any) -> RepairOutcome:
    """A repair that accepts any loss of the own language first, unless told."""
    settings = RepairOptions(**{"samples": 100, "keep_own_first": None, **options})
    return fit_repair(sample, vectors or Vectors(), options=settings)


def mixed(result: Any, tag: str, measure: str) -> float:
    (row,) = [row for row in result.rows if row["scenario"] == "multi" and row["query_language"] == tag]
    return float(row["measures"][measure])


class OtherLengths(Vectors):
    """The same directions, the English ones three times as long, of a model that says a similarity."""

    def __init__(self, similarity: str, **options: float) -> None:
        super().__init__(**options)
        self.similarity = similarity

    def _one(self, text: str, role: int) -> NDArray[np.float64]:
        return super()._one(text, role) * (3 if text.startswith("en") else 1)

    def provenance(self) -> dict[str, Any]:
        return {"name": "vectors by hand", "similarity": self.similarity}


def test_choice_and_audits_rank_by_cosine_where_the_model_does() -> None:
    sample = make_sample(parallel(10), held_out=parallel(20, first=100))
    plain, other = outcome_of(sample), outcome_of(sample, OtherLengths("cosine"))
    assert other.before.provenance["similarity"] == {"name": "cosine", "from": "model"}
    assert other.before.queries["ranks"] == plain.before.queries["ranks"]
    assert other.after.queries["ranks"] == plain.after.queries["ranks"]
    assert [trial.score for trial in other.choice.trials] == [trial.score for trial in plain.choice.trials]
    # What the choice calls the model as it is has the depth that the audit before reports.
    depths = [mixed(other.before, tag, "Max@R") for tag in ("en", "zh")]
    (nothing,) = [trial for trial in other.choice.trials if not trial.changes]
    assert nothing.score.bias == pytest.approx(np.mean(depths))


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "manhattan"])
def test_a_repair_refuses_to_take_lengths_away_that_count(similarity: str) -> None:
    sample = make_sample(parallel(10), held_out=parallel(20, first=100))
    with pytest.raises(InputError, match=f"compares by {similarity} vectors of other lengths.*--similarity cosine"):
        outcome_of(sample, OtherLengths(similarity))
    outcome = outcome_of(sample, OtherLengths(similarity), similarity="cosine")
    named = {"name": "cosine", "from": "option", "own": similarity}
    assert outcome.before.provenance["similarity"] == outcome.after.provenance["similarity"] == named


def test_vectors_of_unit_length_are_repaired_whatever_they_are_compared_by() -> None:
    sample = make_sample(parallel(10), held_out=parallel(20, first=100))
    plain = outcome_of(sample)
    by_distance = outcome_of(sample, similarity="euclidean")  # of unit length both give one order
    assert by_distance.after.queries["ranks"] == plain.after.queries["ranks"]
    by_magnitude = outcome_of(sample, similarity="manhattan")
    assert by_magnitude.before.provenance["similarity"]["name"] == "manhattan"
    assert mixed(by_magnitude.after, "zh", "Max@R") < mixed(by_magnitude.before, "zh", "Max@R")


def test_ten_parallel_documents_close_the_gap_between_the_languages() -> None:
    outcome = outcome_of(make_sample(parallel(10), held_out=parallel(40, first=100)))
    # Each language's documents form a block: the other version stands behind all 40 of the query's language.
    assert mixed(outcome.before, "zh", "Max@R") > 35
    assert mixed(outcome.after, "zh", "Max@R") < 6
    assert (outcome.choice.chosen.strength, outcome.choice.chosen.common_share) == (1.0, 0.0)
    assert outcome.fitted.counts == (10, 10)


def test_few_held_out_queries_leave_the_common_mean_alone_and_say_what_they_cannot_tell() -> None:
    outcome = outcome_of(make_sample(parallel(30)), Vectors(common=0.5))
    assert {trial.common_share for trial in outcome.choice.trials} == {0.0}
    assert all(one.queries == 15 and one.verdict != "harmless" for one in outcome.harm)
    (told,) = [note for note in outcome.notes if "too small to show harm" in note]
    assert "15 queries" in told
    assert "390 queries" in told
    assert any("95 % interval" in note and "over 15 queries" in note for note in outcome.notes)
    assert outcome.comparison.notes[-len(outcome.notes) :] == list(outcome.notes)


def test_with_a_coarse_tolerance_fewer_queries_suffice_and_every_strength_is_tried() -> None:
    # 1.96 / 0.2 - 2 = 7.8 queries.
    outcome = outcome_of(make_sample(parallel(60)), Vectors(common=0.5), tolerance=0.2)
    assert {trial.common_share for trial in outcome.choice.trials} == {0.0, 0.2, 0.4, 0.6, 0.8}
    assert {trial.whitening for trial in outcome.choice.trials} == {None, 10.0, 3.0}
    assert len(outcome.choice.trials) == 83
    assert not any("too small" in note for note in outcome.notes)


def test_a_tiny_held_out_set_does_not_decide_between_strengths() -> None:
    """Where half the strength is best on five lucky queries, it is noise: the strengths stay those of the method."""
    for first in range(0, 80, 20):
        outcome = outcome_of(make_sample(parallel(20, first=1000), held_out=parallel(5, first=first)))
        assert outcome.choice.chosen.strength in (0.0, 1.0)


@pytest.mark.parametrize("one_map", [True, False])
def test_the_own_language_first_is_kept_as_far_as_asked(one_map: bool) -> None:
    sample = make_sample(parallel(60))
    free = outcome_of(sample, Vectors(noise=0.6), tolerance=0.2, one_map=one_map)
    kept = outcome_of(sample, Vectors(noise=0.6), tolerance=0.2, one_map=one_map, keep_own_first=0.1)

    def losses(outcome: RepairOutcome) -> list[float]:
        results = (outcome.before, outcome.after)
        values = [[mixed(result, tag, "Top1[relevant,same]") for tag in ("en", "zh")] for result in results]
        return [before - after for before, after in zip(*values, strict=True)]

    assert max(losses(free)) > 0.1
    assert max(losses(kept)) <= 0.1 + 1e-9
    assert kept.changes
    assert kept.choice.chosen.score.bias < kept.choice.trials[0].score.bias
    # Ten points are what is accepted where nothing is said.
    usual = outcome_of(
        sample, Vectors(noise=0.6), tolerance=0.2, one_map=one_map, keep_own_first=RepairOptions().keep_own_first
    )
    assert usual.keep_own_first == kept.keep_own_first == 0.1
    assert usual.choice.chosen == kept.choice.chosen
    assert free.keep_own_first is None
    assert not any("weaker than it could be" in note for note in free.notes)


def test_where_a_tenth_is_less_than_one_query_one_query_may_be_lost() -> None:
    options = RepairOptions()
    assert options.own_first_bound(390, parallel=True) == 0.1
    assert options.own_first_bound(5, parallel=True) == 0.2
    assert options.own_first_bound(5, parallel=False) is None
    assert RepairOptions(keep_own_first=0.02).own_first_bound(5, parallel=True) == 0.02
    assert RepairOptions(keep_own_first=None).own_first_bound(390, parallel=True) is None


def test_the_bound_on_the_own_language_first_holds_with_few_queries_too() -> None:
    """Of ten queries a language one is a tenth, which is more than was accepted."""
    sample = make_sample(parallel(20, first=1000), held_out=parallel(10))
    free, kept = (outcome_of(sample, Vectors(noise=0.6), keep_own_first=bound) for bound in (None, 0.05))
    base = free.choice.trials[0].score.own_first
    assert base is not None

    def losses(outcome: RepairOutcome) -> list[float]:
        after = outcome.choice.chosen.score.own_first
        assert after is not None
        return [base[tag] - after[tag] for tag in base]

    assert any("too small" in note for note in kept.notes)
    assert max(losses(free)) > 0.05
    assert max(losses(kept)) <= 0.05 + 1e-9


def test_the_own_language_first_needs_parallel_documents() -> None:
    english, chinese = parallel(60, languages=["en"]), parallel(60, first=60, languages=["zh"])
    tagged = RepairTexts((*english.passages, *chinese.passages), (*english.questions, *chinese.questions), ())
    with pytest.raises(InputError, match="keep_own_first"):
        outcome_of(make_sample(None, tagged), keep_own_first=0.1)
    with pytest.raises(InputError, match="out of range"):
        RepairOptions(keep_own_first=2)


class Twins(Vectors):
    """English contents 100 and 101, 102 and 103, ... differ by nothing but how far they lie from Chinese."""

    def _one(self, text: str, role: int) -> NDArray[np.float64]:
        tag, content = text.split()[:2]
        number = int(content[1:])
        if tag == "zh" or not 100 <= number < 108:
            return super()._one(text, role)
        vector = np.random.default_rng(number // 2).normal(size=DIMENSION)
        vector[:2] = (14, -6) if number % 2 else (8, 0)
        vector += self.noise * np.random.default_rng([number, role]).normal(size=DIMENSION)
        return vector / np.linalg.norm(vector)


def test_few_queries_of_one_language_excuse_no_loss_in_another() -> None:
    """Five Chinese queries cannot show a loss below a fifth; thirty English ones can show one of a thirtieth."""
    english = parallel(30, first=100, languages=["en"])
    chinese = parallel(5, first=100, languages=["zh"])
    held_out = RepairTexts((*english.passages, *chinese.passages), (*english.questions, *chinese.questions), ())
    outcome = outcome_of(make_sample(parallel(20), held_out=held_out), Twins())
    assert [(one.language, one.queries) for one in outcome.harm] == [("en", 30), ("zh", 5)]
    trials = {trial.strength: trial for trial in outcome.choice.trials}
    unrepaired, full = trials[0.0], trials[1.0]
    # Of the twins some change places: more than one query of thirty, far fewer than a fifth.
    assert 1 / 30 + 1e-9 < unrepaired.score.quality["en"] - full.score.quality["en"] < 1 / 5
    assert not full.harmless
    assert outcome.choice.chosen.strength < 1
    assert unrepaired.score.quality["en"] - outcome.choice.chosen.score.quality["en"] <= 1 / 30 + 1e-9


class Alike(Vectors):
    """Thai stands where English does."""

    def _one(self, text: str, role: int) -> NDArray[np.float64]:
        return super()._one(text.replace("th ", "en ", 1) if text.startswith("th ") else text, role)


def test_a_language_that_cannot_be_told_from_others_leaves_one_map_for_all() -> None:
    sample = make_sample(parallel(60, languages=("en", "th", "zh")))
    outcome = outcome_of(sample, Alike(), tolerance=0.2)
    assert outcome.choice.chosen.own_share is None
    assert "one map for all languages: of th, its mean lies between those of others" in outcome.notes


def test_documents_that_are_only_tagged_suffice_and_the_report_says_what_was_not_measured() -> None:
    en, zh = parallel(30, languages=["en"]), parallel(30, first=50, languages=["zh"])
    tagged = RepairTexts((*en.passages, *zh.passages), (*en.questions, *zh.questions), ())
    sample = make_sample(None, tagged)
    assert not sample.parallel
    outcome = outcome_of(sample)
    assert outcome.choice.chosen.strength == 1.0
    assert any("the bias itself was not measured" in note for note in outcome.notes)
    assert {row["scenario"] for row in outcome.comparison.rows} == {"mono-same"}
    # With parallel documents beside them these judge, all of them.
    both = make_sample(parallel(20, first=200), tagged)
    assert {one.group for one in both.held_out} == {f"g{number}" for number in range(200, 220)}
    assert {one.id for one in both.fit} == {one.id for one in tagged.passages}
    assert mixed(outcome_of(both).after, "zh", "Max@R") < 6


def test_enough_queries_do_not_make_tagged_documents_parallel() -> None:
    en, zh = parallel(30, languages=["en"]), parallel(30, first=50, languages=["zh"])
    tagged = RepairTexts((*en.passages, *zh.passages), (*en.questions, *zh.questions), ())
    outcome = outcome_of(make_sample(parallel(60, first=200), tagged), tolerance=0.2)
    assert outcome.choice.chosen.own_share is None
    assert "one map for all languages: no document to fit on in zh is parallel to en" in outcome.notes


def test_no_text_both_fits_and_judges() -> None:
    sample = make_sample(parallel(40), held_out=parallel(40, first=30))
    assert {one.text for one in sample.fit}.isdisjoint(one.text for one in sample.held_out)
    assert any("10 documents were not used for fitting" in note for note in sample.notes)
    split = make_sample(parallel(40))
    assert {one.group for one in split.fit}.isdisjoint(one.group for one in split.held_out)
    # Whole groups, whatever the order of the file.
    other = parallel(40)
    turned = RepairTexts(other.passages[::-1], other.questions[::-1], ())
    assert {one.id for one in make_sample(turned).fit} == {one.id for one in split.fit}


def test_a_document_is_asked_by_its_query_else_its_title_else_its_first_sentence_else_its_first_half() -> None:
    sentences = "The bridge over the river was opened in 1894. It carried the railway until the war destroyed it."
    passages = [
        DocumentRow(f"{tag}:{name}", name, tag, text, title)
        for tag in ("en", "es")
        for name, text, title in (
            ("asked", sentences, "A title"),
            ("titled", sentences, f"Bridges {tag}"),
            ("same title 1", sentences, "Introduction"),
            ("same title 2", sentences, "Introduction"),
            ("one sentence", "A single sentence about the weather in the north of the country", ""),
        )
    ]
    texts = RepairTexts(
        tuple(passages), (Question("asked", "en", "When was it opened?"), Question("asked", "es", "¿?")), ()
    )
    sample = make_sample(parallel(6, languages=["en", "es"]), held_out=texts)
    found = {(probe.language, probe.group): (probe.kind, probe.text) for probe in sample.probes}
    assert found["en", "asked"] == ("query", "When was it opened?")
    assert found["es", "titled"] == ("title", "Bridges es")
    assert found["en", "same title 1"] == ("first sentence", "The bridge over the river was opened in 1894.")
    assert found["en", "one sentence"] == ("first half", "A single sentence about the")
    texts_of = {one.id: one.text for one in sample.held_out}
    assert texts_of["en:same title 1"] == "It carried the railway until the war destroyed it."
    assert texts_of["en:titled"] == sentences
    assert sample.kinds()["en"] == {"query": 1, "title": 1, "first sentence": 2, "first half": 1}


def test_documents_are_read_as_audits_embed_them_and_a_title_does_not_answer_itself(tmp_path: Path) -> None:
    sentences = "The bridge over the river was opened in 1894. It carried the railway until the war destroyed it."
    path = tmp_path / "documents.jsonl"
    rows = [
        {"id": f"{tag}{number}", "text": sentences, "language": tag, "parallel_id": f"g{number}", "heading": heading}
        for tag in ("en", "es")
        for number, heading in enumerate((f"Bridges {tag}", "Same", "Same", "", " "))
    ] + [{"id": "en9", "language": "en", "heading": "A title and nothing else", "parallel_id": "g9"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read = read_repair_texts(path, title_field="heading")
    embedded, _ = read_documents(path, title_field="heading")
    assert tuple(one.text for one in read.passages) == embedded.texts
    assert embedded.texts[0] == f"Bridges en {sentences}"
    documents, probes = probes_of(read.passages, [Question("g1", "en", "When?")])
    left = {one.id: one.text for one in documents}
    asked = {probe.id: (probe.kind, probe.text) for probe in probes}
    assert (asked["en:g0:0"], left["en0"]) == (("title", "Bridges en"), sentences)
    assert (asked["en:g1:0"], left["en1"]) == (("query", "When?"), f"Same {sentences}")
    rest = "It carried the railway until the war destroyed it."
    first = "The bridge over the river was opened in 1894."
    assert (asked["en:g2:0"], left["en2"]) == (("first sentence", first), f"Same {rest}")
    assert (asked["en:g3:0"], left["en3"]) == (("first sentence", first), rest)
    assert asked["en:g9:0"][0] == "first half"
    note = "documents.jsonl: field 'heading' was put before the text of 7 documents."
    assert note in make_sample(parallel(12, languages=["en", "es"]), held_out=read).notes
    rows.pop()  # without titles, the last one has no text
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert {(one.text, one.title) for one in read_repair_texts(path, title_field=None).passages} == {(sentences, "")}


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(InputError, match=r"too few documents in 'en'.*seen: 4.*allowed: 5 or more"):
        make_sample(parallel(8))
    with pytest.raises(InputError, match="two languages"):
        make_sample(parallel(20, languages=["en"]))
    with pytest.raises(InputError, match="too few held-out"):
        make_sample(parallel(20), held_out=parallel(3, first=50))
    with pytest.raises(InputError, match="no documents"):
        make_sample(None)


def test_a_corpus_gives_a_pair_without_english_and_blocks_of_a_chosen_size(tmp_path: Path) -> None:
    lines = [f"sentence {number} ." for number in range(8)]
    write_ntrex(
        tmp_path, {code: [f"{code} {line}" for line in lines] for code in ("deu", "vie")}, english=lines,
        documents=["a"] * 8,
    )  # fmt: skip
    folder = tmp_path / "NTREX"
    for block, count in ((None, 2), (2, 4)):
        texts = read_repair_texts(folder, kind="ntrex", language="de", target_languages=["vi"], block=block)
        pair = texts.in_languages(["de", "vi"])
        assert pair.languages == ("de", "vi")
        assert len(pair.passages) == 2 * count
        assert {question.language for question in pair.questions} == {"de", "vi"}
    with pytest.raises(InputError, match="has no blocks of sentences"):
        read_repair_texts(folder, kind="squad", target_languages=["zh"], block=2)


def test_documents_and_triplets_are_told_apart_by_their_fields(tmp_path: Path) -> None:
    documents, triplets = tmp_path / "d.jsonl", tmp_path / "t.jsonl"
    rows = [
        {"id": "1", "text": "one", "language": "en", "parallel_id": "a", "title": "T"},
        {"id": "2", "content": "uno", "meta": {"language": "spa", "parallel_id": "a"}},
        {"id": "3", "text": "part two of one", "language": "en", "parallel_id": "a"},
        {"id": "4", "text": "alone", "language": "en"},
    ]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read = read_repair_texts(documents)
    assert [(one.id, one.group, one.language, one.title) for one in read.passages] == [
        ("1", "a", "en", "T"),
        ("2", "a", "es", ""),
        ("4", "4", "en", ""),
    ]
    assert read.chunks == 1
    rows = [
        {"query": "q", "passage": "p", "targets": {"zh": "z", "ar": "a"}, "target_queries": {"zh": "qz"}, "group": "g"},
        {"query": "q2", "passage": "p", "targets": {"zh": "z"}, "group": "g"},
        {"query": "q3", "passage": "another part", "targets": {"zh": "y"}, "group": "g"},
    ]
    triplets.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read = read_repair_texts(triplets)
    assert {(one.language, one.text) for one in read.passages} == {("en", "p"), ("zh", "z"), ("ar", "a")}
    assert {(one.language, one.text) for one in read.questions} == {("en", "q"), ("zh", "qz"), ("en", "q2")}
    (tmp_path / "x.jsonl").write_text('{"line": 0, "en": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.jsonl, line 1: neither documents nor triplets"):
        read_repair_texts(tmp_path / "x.jsonl")


def test_the_interval_of_paired_shares_is_that_of_agresti_and_min() -> None:
    # No pair differs: +-1.96 * sqrt(1) / 12.
    low, high = paired_share_interval([1] * 7 + [0] * 3, [1] * 7 + [0] * 3)
    assert (low, high) == (pytest.approx(-0.163330, abs=1e-6), pytest.approx(0.163330, abs=1e-6))
    # 3 lost, 1 won of 20: d = -2 / 22, width 1.96 * sqrt(5 - 4 / 22) / 22.
    before, after = [1, 1, 1, 0] + [1] * 16, [0, 0, 0, 1] + [1] * 16
    low, high = paired_share_interval(before, after)
    width = 1.959963985 * math.sqrt(5 - 4 / 22) / 22
    assert (low, high) == (pytest.approx(-2 / 22 - width), pytest.approx(-2 / 22 + width))
    with pytest.raises(InputError, match="0 or 1"):
        paired_share_interval([0.5], [1])


def test_a_verdict_is_harmless_only_where_the_interval_rules_a_loss_out() -> None:
    needed = int(queries_needed(0.005))
    assert needed == 390
    assert queries_needed(0.0) == math.inf
    same = [1.0] * needed
    assert harm_of_language("en", same, same, tolerance=0.005).verdict == "harmless"
    assert harm_of_language("en", same[:-1], same[:-1], tolerance=0.005).verdict == "not ruled out"
    lost = [0.0, 0.0, *same[2:]]
    assert harm_of_language("en", same, lost, tolerance=0.005).beyond(0.005)
    # Two lost of 390: -2 + 1.96 sqrt(3 - 4 / 392) is above 0. Eight: -8 + 1.96 sqrt(9 - 64 / 392) is not.
    assert harm_of_language("en", same, lost, tolerance=0.005).verdict == "not ruled out"
    lost = [0.0] * 8 + same[8:]
    assert harm_of_language("en", same, lost, tolerance=0.005).verdict == "harmful"
    assert harm_of_language("en", same[:30], [0.0, *same[1:30]], tolerance=0.005).verdict == "not ruled out"


@pytest.fixture
def tiny_outcome(tiny_model_folder: Path) -> tuple[RepairOutcome, ModelToRepair]:
    """The tiny model, on texts whose words tell the language: w0 to w29 in one, w30 to w59 in the other."""

    def text(tag: str, group: int, salt: int) -> str:
        words = np.random.default_rng([group, salt]).integers(30, size=6) + (30 if tag == "zh" else 0)
        return " ".join(f"w{word}" for word in words)

    texts = RepairTexts(
        tuple(
            DocumentRow(f"{tag}:{one}", str(one), tag, text(tag, one, 0)) for one in range(24) for tag in ("en", "zh")
        ),
        tuple(Question(str(one), tag, text(tag, one, 1)) for one in range(24) for tag in ("en", "zh")),
        (),
    )
    encoder = Encoder(str(tiny_model_folder), device="cpu", precision="fp32")
    outcome = fit_repair(make_sample(texts), encoder, options=FAST)
    return outcome, open_model(str(tiny_model_folder), encoder.prompts)


def test_shares_of_each_language_stand_in_the_result_and_in_the_card(
    tiny_outcome: tuple[RepairOutcome, ModelToRepair], tmp_path: Path
) -> None:
    outcome, model = tiny_outcome
    trial = replace(outcome.choice.chosen, own_share={"th": 0.1, "zh": 0.25}, ridge=3.0)
    choice = replace(outcome.choice, chosen=trial, trials=(*outcome.choice.trials, trial))
    write_repair(replace(outcome, choice=choice), tmp_path / "repaired", model=model)
    data = json.loads((tmp_path / "repaired" / "repair.json").read_text(encoding="utf-8"))
    Draft202012Validator(repair_schema()).validate(data)
    assert data["chosen"]["own_share"] == data["trials"][-1]["own_share"] == {"th": 0.1, "zh": 0.25}
    card = (tmp_path / "repaired" / "README.md").read_text(encoding="utf-8")
    assert "a map for each language (further share th 0.1, zh 0.25, ridge 3)" in card
    assert "three Dense with ReLU" in card


def test_the_folder_is_a_stock_model_that_gives_the_moved_vectors(
    tiny_outcome: tuple[RepairOutcome, ModelToRepair], tiny_model_folder: Path, tmp_path: Path
) -> None:
    outcome, model = tiny_outcome
    folder = tmp_path / "repaired"
    write_repair(outcome, folder, model=model)
    moved = read_matrix_file(folder / "matrix.safetensors").apply(
        SentenceTransformer(str(tiny_model_folder), device="cpu").encode(["w1 w2", "w40"])
    )
    again = SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(again.encode(["w1 w2", "w40"]), moved, atol=1e-6)
    data = json.loads((folder / "repair.json").read_text(encoding="utf-8"))
    Draft202012Validator(repair_schema()).validate(data)
    assert data["held_out"]["queries"] == {"en": {"query": 12}, "zh": {"query": 12}}
    assert [one["language"] for one in data["same_language"]] == ["en", "zh"]
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "report.md").is_file()
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: sentence-transformers\n")
    assert '- "zh"' in card
    assert "one linear layer follows the base model" in card
    assert "three Dense" not in card
    assert [path.name for path in tmp_path.iterdir()] == ["repaired"]


def test_prompts_that_a_model_is_only_known_by_its_name_to_need_are_written(
    tiny_outcome: tuple[RepairOutcome, ModelToRepair], tiny_model_folder: Path, tmp_path: Path
) -> None:
    outcome, _ = tiny_outcome
    assert "passage" not in str(SentenceTransformer(str(tiny_model_folder), device="cpu").prompts)
    model = open_model(str(tiny_model_folder), Prompts("w1 ", "", "family:e5"))
    write_repair(outcome, tmp_path / "repaired", model=model)
    prompts = Encoder(str(tmp_path / "repaired"), device="cpu", precision="fp32").prompts
    assert (prompts.query, prompts.document, prompts.source) == ("w1 ", "", "model")


def test_the_hash_of_the_written_weights_does_not_count_the_matrix(
    tiny_outcome: tuple[RepairOutcome, ModelToRepair], tmp_path: Path
) -> None:
    outcome, model = tiny_outcome
    written = write_repair(outcome, tmp_path / "repaired", model=model)
    named = written.after.provenance["model"]["sha256"]
    assert named == Encoder(str(tmp_path / "repaired"), device="cpu", precision="fp32").provenance()["sha256"]
    assert named != written.before.provenance["model"]["sha256"]


def test_a_model_is_compared_with_texts_cut_where_the_audit_cut(tiny_model_folder: Path, tmp_path: Path) -> None:
    words = np.random.default_rng(0).integers(30, size=(24, 2, 60)) + np.array([0, 30])[:, None]
    texts = RepairTexts(
        tuple(
            DocumentRow(f"{tag}:{one}", str(one), tag, " ".join(f"w{word}" for word in words[one, place]))
            for one in range(24)
            for place, tag in enumerate(("en", "zh"))
        ),
        (),
        (),
    )
    encoder = Encoder(str(tiny_model_folder), device="cpu", precision="fp32", max_tokens=8)
    outcome = fit_repair(make_sample(texts), encoder, options=FAST)
    write_repair(outcome, tmp_path / "out", model=open_model(str(tiny_model_folder), encoder.prompts))
    assert (tmp_path / "out" / "modules.json").is_file()


def test_the_matrix_alone_is_written_without_a_model(
    tiny_outcome: tuple[RepairOutcome, ModelToRepair], tmp_path: Path
) -> None:
    write_repair(tiny_outcome[0], tmp_path / "out", model=None, texts=False)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    results = {"repair.json", "before.json", "after.json", "comparison.json"}
    assert names == {"matrix.safetensors", *results, "report.html", "report.md"}
    for name in ("before.json", "report.html", "report.md"):
        # Two words in a row: a hash can hold one.
        assert not re.search(r"w\d+ w\d+", (tmp_path / "out" / name).read_text(encoding="utf-8"))


def test_a_folder_that_is_there_is_refused_and_a_failure_leaves_nothing(
    tiny_outcome: tuple[RepairOutcome, ModelToRepair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, model = tiny_outcome
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="already exists"):
        write_repair(outcome, tmp_path / "there", model=model)

    def fails(*_pages: Any, **_more: Any) -> dict[str, str]:
        raise ExternalError("the disk is full")

    monkeypatch.setattr("haystack_crossalign.repair.output.comparison_pages", fails)
    with pytest.raises(ExternalError, match="disk is full"):
        write_repair(outcome, tmp_path / "new", model=model)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_written_model_that_gives_other_vectors_is_not_handed_over(
    tiny_outcome: tuple[RepairOutcome, ModelToRepair], tmp_path: Path
) -> None:
    outcome, model = tiny_outcome
    # A prompt that the vectors were not made with.
    model.model.prompts = {"query": "", "document": "w9 w9 w9 w9 w9 w9 w9 w9 w9 w9 w9 w9 "}
    with pytest.raises(ExternalError, match="does not give the repaired vectors"):
        write_repair(outcome, tmp_path / "new", model=model)
    assert not list(tmp_path.iterdir())
