"""Each language is left out in turn: what is measured, and that a map that makes one worse is not taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.judging.left_out import LeaveOneOut, LeftOut, head_start
from haystack_crossalign.repair.judging.notes import choice_notes, protection_notes
from haystack_crossalign.repair.other_languages import known_languages
from haystack_crossalign.repair.scores import HeldOut, pair_depths
from haystack_crossalign.repair.trials import RepairChoice, RepairScore, Trial

DIM = 96
Vectors = NDArray[np.float64]


def versions(tags: list[str], contents: int, seed: int, push: float = 0.3) -> tuple[Vectors, list[str], list[str]]:
    """Versions of contents, language by language, with the language and group of each; Thai has less of the mean."""
    content = np.random.default_rng(seed).normal(size=(contents, DIM)) / 3
    rows = []
    for place, tag in enumerate(tags):
        noise = np.random.default_rng([seed, place]).normal(size=(contents, DIM)) / 15
        rows.append(
            content
            + np.random.default_rng(list(tag.encode())).normal(size=DIM) * push
            + noise
            + (2 if tag == "th" else 4)
        )
    vectors = np.concatenate(rows)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, [tag for tag in tags for _ in range(contents)], [f"g{n}" for n in range(contents)] * len(tags)


def judge(tags: list[str], other_tags: list[str], contents: int = 60) -> LeaveOneOut:
    vectors, languages, groups = versions(tags, contents, 1)
    others = known_languages(*versions(other_tags, 12, 2), tags[0]) if other_tags else None
    documents, queries = versions(tags, 40, 3), versions(tags, 40, 3)
    asked = queries[0] + np.random.default_rng(9).normal(size=queries[0].shape) / 100
    held_out = HeldOut(
        asked.astype(np.float32), queries[1], queries[2], documents[0].astype(np.float32), documents[1], documents[2]
    )
    fitted = fit_language_directions(vectors, languages, groups, others)
    return LeaveOneOut(fitted, vectors.astype(np.float32), languages, groups, others, held_out, tags[0])


def trial(strength: float, share: float, bias: float = 1.0) -> Trial:
    return Trial(strength, share, RepairScore(bias, {"en": 1.0}), harmless=True)


def test_the_head_start_is_its_formula() -> None:
    vectors, _, _ = versions(["en", "th"], 5, 4)
    vectors = vectors.astype(np.float32)
    same = [[float(vectors[i].astype(float) @ vectors[j].astype(float)) for j in range(5)] for i in range(5)]
    cross = [[float(vectors[i].astype(float) @ vectors[5 + j].astype(float)) for j in range(5)] for i in range(5)]
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    scores = [[table[i][j] for i, j in pairs] for table in (same, cross)]
    spread = (sum(sum((one - sum(part) / 20) ** 2 for one in part) / 20 for part in scores) / 2) ** 0.5
    expected = [sum(same[i][j] - cross[i][j] for j in range(5) if j != i) / 4 / spread for i in range(5)]
    assert head_start(vectors, range(5), range(5, 10)) == pytest.approx(expected, rel=1e-6)


def test_max_at_r_of_a_pair_counts_in_the_pool_of_both() -> None:
    held_out = judge(["de", "en", "th"], []).held_out
    assert held_out is not None
    depths = pair_depths(held_out, ("th", "en"), None)
    kept = [row for row, tag in enumerate(held_out.document_languages) if tag != "de"]
    places = []
    for query, tag in enumerate(held_out.query_languages):
        if tag == "de":
            continue
        scores = held_out.documents[kept].astype(float) @ held_out.queries[query].astype(float)
        own = [n for n, row in enumerate(kept) if held_out.document_groups[row] == held_out.query_groups[query]]
        places.append(max(1 + int((scores > scores[n]).sum()) for n in own))
    assert depths.tolist() == places


def test_two_fitted_languages_leave_out_only_protected_ones() -> None:
    one = judge(["en", "sw"], ["en", "sw", "th", "el", "hi"])
    found = one.measure(trial(1.0, 0.0))
    assert [(each.language, each.measure, each.queries) for each in found] == [
        (tag, "head start", 24) for tag in ("el", "hi", "th")
    ]
    assert judge(["en", "sw"], []).measure(trial(1.0, 0.0)) == ()


def test_of_three_fitted_languages_each_is_left_out_and_its_documents_judge() -> None:
    one = judge(["de", "en", "th"], [])
    found = one.measure(trial(1.0, 0.0))
    assert [(each.language, each.measure, each.queries) for each in found] == [
        (tag, "Max@R", 80) for tag in ("de", "en", "th")
    ]
    # Nothing is known of a language that is left out: the map is that of the other two.
    vectors, languages, groups = versions(["de", "en"], 60, 1)
    alone = fit_language_directions(vectors.astype(np.float32), languages, groups).affine(1.0, 0.4)
    assert np.abs(one.build(trial(1.0, 0.4), without="th").apply(vectors) - alone.apply(vectors)).max() < 1e-6


def test_a_map_that_makes_a_language_worse_is_not_taken() -> None:
    """Taking most of the common mean off Thai, which has less of it, turns it away from the others."""
    one = judge(["en", "sw"], ["en", "sw", "th"])
    harmful, fine, nothing = trial(1.0, 0.8, 1.0), trial(1.0, 0.0, 2.0), trial(0.0, 0.0, 9.0)
    assert [each.worse for each in one.measure(harmful)] == [True]
    assert [each.worse for each in one.measure(fine)] == [False]
    trials = (nothing, harmful, fine)
    choice, found = one.choose(RepairChoice(one.build(harmful), harmful, trials))
    assert choice.chosen is fine
    assert np.array_equal(choice.repair.matrix, one.build(fine).matrix)
    assert [each.worse for each in found] == [False]
    choice, found = one.choose(RepairChoice(one.build(harmful), harmful, trials[:2]))
    assert (choice.chosen, found) == (nothing, ())
    assert not choice.chosen.changes


def test_where_a_protecting_repair_changes_nothing_the_notes_say_what_would_help() -> None:
    one = judge(["en", "sw"], ["en", "sw", "th"])
    harmful = trial(1.0, 0.8)
    choice, _ = one.choose(RepairChoice(one.build(harmful), harmful, (trial(0.0, 0.0, 9.0), harmful)))
    assert not choice.chosen.changes
    worse = [each for each in one.measure(harmful) if each.worse]
    (_, closed) = protection_notes(one.fitted, (), (), skipped=True, changes=False, worse=worse)
    assert "worse for th," in closed
    assert "If the index holds nothing in other languages than en and sw, add --closed" in closed
    # A language of the documents themselves is judged with --closed too.
    own = LeftOut("de", "Max@R", 80, 2.0, 9.0, 0.001)
    (_, documents) = protection_notes(one.fitted, (), (), skipped=True, changes=False, worse=[*worse, own])
    assert "more documents" in documents
    assert "--closed does not" in documents
    # Where no map was better for the documents themselves, neither would help.
    assert protection_notes(one.fitted, (), (), skipped=False, changes=False) == []


@pytest.mark.parametrize(("enough", "parallel", "tolerance"), [(False, True, 0.005), (True, True, 0.005),
                                                               (False, False, 0.005), (False, True, 0.0)])  # fmt: skip
def test_more_documents_are_asked_for_only_where_more_would_be_tried(
    enough: bool, parallel: bool, tolerance: float
) -> None:
    nothing = trial(0.0, 0.0)
    choice = RepairChoice(judge(["en", "sw"], []).build(nothing), nothing, (nothing,))
    notes = choice_notes(choice, (), tolerance, 15, enough=enough, parallel=parallel)
    asked = [note for note in notes if "More documents would help: with 390 queries per language" in note]
    assert len(asked) == ((enough, parallel, tolerance) == (False, True, 0.005))


def test_notes_say_what_was_not_measured_and_for_whom_it_may_get_worse() -> None:
    one = judge(["en", "sw"], ["en", "sw", "th", "el", "hi"])
    found = one.measure(trial(1.0, 0.0))
    told = " ".join(protection_notes(one.fitted, found, ("xx",), skipped=False))
    assert "3 languages that were not fitted (el, hi, th)" in told
    assert "not measured on your documents" in told
    assert "apart: nothing protects them" in told
    closed = " ".join(protection_notes(judge(["en", "sw"], []).fitted, (), (), skipped=False))
    assert "protects no language but en and sw" in closed
    assert "may get worse" in closed
    risen = [LeftOut("th", "head start", 24, 1.0, 1.1, 0.4), LeftOut("el", "head start", 24, 3.0, 1.0, 0.001)]
    assert "it rose in th, but not beyond chance" in " ".join(protection_notes(one.fitted, risen, (), skipped=False))
    assert replace(risen[0], p_value=0.01).worse
    assert protection_notes(one.fitted, (), (), skipped=False, changes=False) == []


def test_with_nothing_left_out_it_is_the_map_of_the_trial() -> None:
    one = judge(["en", "sw"], ["en", "sw", "th"])
    assert np.array_equal(one.build(trial(1.0, 0.2)).matrix, one.fitted.affine(1.0, 0.2).matrix)
