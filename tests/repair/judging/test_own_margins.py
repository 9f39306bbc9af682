"""Margins for documents in the query's own language: their vectors, what they do to cosines, how they are chosen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import unit
from haystack_crossalign.repair.directions import choose_repair, fit_language_directions
from haystack_crossalign.repair.judging.left_out import LeaveOneOut
from haystack_crossalign.repair.judging.notes import recognition_notes
from haystack_crossalign.repair.judging.own_margins import MARGINS, MarginSearch, least_margins
from haystack_crossalign.repair.language_maps import LanguageMaps, describe_map, describe_maps, fit_language_maps
from haystack_crossalign.repair.maps.detectors import BetweenOthersError
from haystack_crossalign.repair.maps.margins import margin_vectors
from haystack_crossalign.repair.scores import HeldOut, held_out_score
from haystack_crossalign.repair.trials import RepairChoice, RepairScore, Trial

DIM = 48
TAGS = ("en", "ar", "zh")
Sample = tuple[NDArray[np.float64], list[str], list[str]]


def sample(contents: int, seed: int, noise: float = 0.25) -> Sample:
    """Versions of contents in three languages: an offset for each, and noise that no translation shares."""
    draw = np.random.default_rng(seed)
    content = draw.normal(size=(contents, DIM))
    offsets = 2.5 * np.random.default_rng(7).normal(size=(len(TAGS), DIM))
    versions = [content + offset + noise * draw.normal(size=content.shape) for offset in offsets]
    groups = [f"{seed}:{number}" for number in range(contents)]
    return unit(np.concatenate(versions)), [tag for tag in TAGS for _ in range(contents)], groups * len(TAGS)


@pytest.mark.parametrize("margins", [(0.02, 0.03), (0.02, 0.0), (0.01, 0.02, 0.04), (0.0, 0.02, 0.0, 0.08), (1, 1, 1)])
def test_the_vectors_of_margins_are_the_shortest_that_give_them(margins: tuple[float, ...]) -> None:
    vectors = margin_vectors(margins)
    assert vectors.shape == (len(margins), len(margins) - 1)
    products = vectors @ vectors.T
    for place, margin in enumerate(margins):
        for other in set(range(len(margins))) - {place}:
            assert products[place, place] - products[place, other] == pytest.approx(margin, abs=1e-12)
    # With any shorter ones the products could not be those of vectors: their matrix would have a value below 0.
    shorter = products - 1e-6
    assert np.linalg.eigvalsh(shorter)[0] < -1e-7


@pytest.mark.parametrize("margins", [(0.1,), (0.1, -0.1), (0.1, float("nan")), [[0.1, 0.1]]])
def test_margins_that_cannot_be_are_refused(margins: Sequence[float]) -> None:
    with pytest.raises(InputError, match="own_margins"):
        margin_vectors(margins)


def test_a_margin_is_a_cosine_in_favor_of_the_querys_own_language() -> None:
    """At full strength what is added is orthogonal to everything else: cosines follow from those without margins."""
    data = sample(80, 1)
    shared = fit_language_directions(*data).affine(1.0, 0.5)
    margins = {"en": 0.02, "zh": 0.05}
    made, plain = (
        fit_language_maps(shared, *data, pivot="en", own_share=0.2, own_margins=chosen) for chosen in (margins, None)
    )
    assert made.metadata["own_margins"] == "en 0.02, zh 0.05"
    assert "own_margins" not in plain.metadata
    assert made.languages == ("und", *plain.languages)
    np.testing.assert_array_equal(made.matrices[1:], plain.matrices)
    raw = {}
    for place, tag in enumerate(plain.languages):
        rows = data[0][[tag == own for own in data[1]]]
        raw[tag] = rows @ plain.matrices[place].T.astype(float) + plain.biases[place]
    scale = {tag: np.sqrt((vectors**2).sum(axis=1).mean()) for tag, vectors in raw.items()}
    added = {
        tag: (made.biases[place + 1] - plain.biases[place]) / scale[tag] for place, tag in enumerate(plain.languages)
    }
    for tag, other in itertools.permutations(TAGS, 2):
        gain = float(added[tag] @ added[tag] - added[tag] @ added[other])
        assert gain == pytest.approx(margins.get(tag, 0.0), abs=1e-6)
    for tag, vectors in raw.items():
        assert np.abs(vectors @ np.stack(list(added.values())).T).max() < 1e-5 * scale[tag]


def test_what_a_weaker_repair_leaves_of_a_language_adds_to_its_margin() -> None:
    """Vectors are moved toward their own language's mean, not away from it."""
    data = sample(80, 1)
    fitted = fit_language_directions(*data)
    shared = fitted.affine(0.6)
    shares = dict.fromkeys(("ar", "zh"))
    made = fit_language_maps(shared, *data, pivot="en", own_share=shares, own_margins=dict.fromkeys(TAGS, 0.05))
    moved = made.biases[1:] - shared.bias
    means = fitted.means - fitted.means.mean(axis=0)
    order = [fitted.languages.index(tag) for tag in made.languages[1:]]
    assert (moved * means[order]).sum() > 0
    assert all(float(step @ mean) > 0 for step, mean in zip(moved, means[order], strict=True))


def test_a_text_in_no_recognized_language_gets_no_margin() -> None:
    """Not that of the pivot either, whose map is the shared one but for its margin."""
    data = sample(80, 1)
    shared = fit_language_directions(*data).affine(1.0, 0.5)
    shares = dict.fromkeys(("ar", "zh"))
    made = fit_language_maps(shared, *data, pivot="en", own_share=shares, own_margins=dict.fromkeys(TAGS, 0.05))
    middle = unit(np.stack([data[0][[tag == own for own in data[1]]].mean(axis=0) for tag in TAGS]).mean(axis=0)[None])
    assert ((middle @ made.detectors.T - made.offsets) < -0.1).all()
    np.testing.assert_allclose(made.apply(middle), shared.apply(middle), atol=1e-6)
    english = data[0][:5]
    assert np.abs(made.apply(english) - shared.apply(english)).max() > 0.01


def test_how_many_texts_get_the_map_of_their_language_is_counted_and_said() -> None:
    data = sample(80, 1)
    shared = fit_language_directions(*data).affine(1.0, 0.5)
    made = fit_language_maps(shared, *data, pivot="en", own_margins={"zh": 0.05})
    vectors, tags, groups = sample(40, 9)
    # Six Chinese texts look like English ones, and three in no language at all.
    vectors[80:86] = vectors[:6]
    vectors[86:89] = unit(vectors.mean(axis=0)[None])
    assert made.recognized(3 * vectors, tags) == {"en": 1.0, "ar": 1.0, "zh": (40 - 9) / 40}
    plain = fit_language_maps(shared, *data, pivot="en")
    assert plain.recognized(vectors, tags) == {"en": 1.0, "ar": 1.0, "zh": (40 - 9) / 40}
    queries, documents = vectors.astype(np.float32), sample(40, 9)[0].astype(np.float32)
    (note,) = recognition_notes(made, HeldOut(queries, tags, groups, documents, tags, groups))
    assert "right for all documents and 78 % of the queries in zh" in note
    assert recognition_notes(shared, None) == []


def test_means_in_too_few_directions_hold_no_margin() -> None:
    """Four languages at the corners of a square: each can be told from the others, but they span two directions."""
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=float)
    content = np.random.default_rng(0).normal(size=(40, 6)) / 9
    vectors = np.concatenate([np.concatenate([np.tile(corner, (40, 1)), content], axis=1) for corner in corners])
    tags, groups = [tag for tag in ("a", "b", "c", "d") for _ in range(40)], [str(row) for row in range(40)] * 4
    fitted = fit_language_directions(vectors, tags, groups)
    with pytest.raises(BetweenOthersError):
        fit_language_maps(fitted.affine(), vectors, tags, groups, pivot="a", own_margins={"a": 0.1})


@pytest.mark.parametrize("seed", range(20))
def test_the_least_margins_are_those_of_trying_every_one(seed: int) -> None:
    draw = np.random.default_rng(seed)
    need = dict(zip(TAGS, draw.choice([-1.0, *MARGINS, 0.017], size=3).tolist(), strict=True))
    asked = []

    def refused(margins: Mapping[str, float]) -> list[str]:
        asked.append(dict(margins))
        return [tag for tag in TAGS if margins.get(tag, 0.0) < need[tag]]

    wanted = {tag: min(step for step in MARGINS if step >= need[tag]) for tag in TAGS}
    assert least_margins(TAGS, refused) == {tag: margin for tag, margin in wanted.items() if margin}
    assert len(asked) <= 6
    assert asked[0] == {}


def test_a_margin_that_another_one_calls_for_is_added() -> None:
    """English is refused once Chinese has a margin."""

    def refused(margins: Mapping[str, float]) -> list[str]:
        chinese = margins.get("zh", 0.0)
        return [
            tag for tag, short in (("en", chinese and margins.get("en", 0.0) < 0.01), ("zh", chinese < 0.02)) if short
        ]

    assert least_margins(["en", "zh"], refused) == {"en": 0.01, "zh": 0.02}
    assert least_margins(["en", "zh"], lambda _: ["zh"]) is None


def held_out(seed: int) -> HeldOut:
    documents, tags, groups = sample(60, seed)
    queries = documents + 0.06 * np.random.default_rng([seed, 1]).normal(size=documents.shape)
    return HeldOut(queries.astype(np.float32), tags, groups, documents.astype(np.float32), tags, groups)


def test_with_margins_a_bound_costs_less_than_with_a_weaker_repair() -> None:
    data = sample(200, 2, noise=0.7)
    fitted = fit_language_directions(*data)
    held = held_out(5)
    score = held_out_score(held)
    bound, tolerance = 0.02, dict.fromkeys(TAGS, 1.0)
    build = LeaveOneOut(fitted, data[0].astype(np.float32), data[1], data[2], None, held, "en").build
    free = choose_repair(fitted, score, tolerance=tolerance, common_shares=(0.5,))
    weaker = choose_repair(fitted, score, tolerance=tolerance, common_shares=(0.5,), keep_own_first=bound)
    base = weaker.trials[0].score
    assert free.chosen.score.beyond(base, bound)  # the bound does forbid something
    found = MarginSearch(build, score, tolerance, bound).refine(weaker)
    margins = found.chosen.own_margins
    assert margins
    assert found.chosen.score.bias < weaker.chosen.score.bias
    assert found.chosen.score.beyond(base, bound) == []
    assert isinstance(found.repair, LanguageMaps)
    # The score is that of the map itself, and a smaller margin of any language would not do.
    assert score(found.repair) == found.chosen.score
    for tag, margin in margins.items():
        less = MARGINS[MARGINS.index(margin) - 1]
        changed = {**margins, tag: less} if less else {other: one for other, one in margins.items() if other != tag}
        assert score(build(replace(found.chosen, own_margins=changed))).beyond(base, bound)


def test_without_a_bound_nothing_is_tried() -> None:
    trial = Trial(0.0, 0.0, RepairScore(9.0, {"en": 1.0}, {"en": 0.9}), harmless=True)
    choice = RepairChoice(fit_language_directions(*sample(30, 1)).affine(), trial, (trial,))

    def fail(_: object) -> RepairScore:
        raise AssertionError

    assert MarginSearch(fail, fail, {"en": 0.0}, None).refine(choice) is choice  # type: ignore[arg-type]


def test_a_left_out_language_has_no_margin() -> None:
    data = sample(60, 3)
    fitted = fit_language_directions(*data)
    judge = LeaveOneOut(fitted, data[0].astype(np.float32), data[1], data[2], None, held_out(6), "en")
    trial = Trial(1.0, 0.5, RepairScore(1.0, {}), harmless=True, own_margins={"ar": 0.02, "zh": 0.03})
    made = judge.build(trial, without="zh")
    assert isinstance(made, LanguageMaps)
    assert made.languages == ("und", "en", "ar")
    assert made.metadata["own_margins"] == "ar 0.02"


def test_maps_are_described_in_words() -> None:
    assert describe_maps(None, None, None) == "one map for all languages"
    margin = "with a margin for the query's own language (en 0.01, zh 0.03)"
    assert describe_maps(None, None, {"zh": 0.03, "en": 0.01}) == f"one map for all languages, {margin}"
    assert describe_maps(0.1, 3.0, {"zh": 0.03, "en": 0.01}) == (
        f"a map for each language (further share 0.1, ridge 3), {margin}"
    )
    trial = Trial(0.6, 0.5, RepairScore(1.0, {}), harmless=True, whitening=3.0)
    assert describe_map(trial.setting) == (
        "strength 0.6, share of the common mean 0.5, whitening with shrinkage 3, one map for all languages"
    )
    assert "no whitening" in describe_map(Trial(1.0, 0.0, RepairScore(1.0, {}), harmless=True).setting)
