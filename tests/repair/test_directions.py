from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.directions import choose_repair, fit_language_directions
from haystack_crossalign.repair.scores import HeldOut, held_out_score
from haystack_crossalign.repair.trials import RepairScore

DIMENSION = 48


@dataclass
class Clusters:
    """Parallel contents: a direction per content, one per language, and a common one (the cone of real models)."""

    vectors: NDArray[np.float32]
    languages: list[str]
    groups: list[str]


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.sqrt((vectors**2).sum(axis=-1, keepdims=True)))


def clusters(contents: int, languages: list[str], seed: int, noise: float = 0.15) -> Clusters:
    world = np.random.default_rng(99)
    common, offsets = unit(world.normal(size=DIMENSION)), unit(world.normal(size=(4, DIMENSION)))
    generator = np.random.default_rng(seed)
    meanings = unit(generator.normal(size=(contents, DIMENSION)))
    rows, tags, groups = [], [], []
    for code, tag in enumerate(languages):
        shift = 2.0 * common + 1.2 * offsets[code]
        rows.append(0.8 * meanings + shift + noise * unit(generator.normal(size=(contents, DIMENSION))))
        tags += [tag] * contents
        groups += [f"{seed}-{number}" for number in range(contents)]
    return Clusters(unit(np.concatenate(rows)).astype(np.float32), tags, groups)


def held_out(languages: list[str], seed: int = 2) -> HeldOut:
    documents = clusters(80, languages, seed)
    generator = np.random.default_rng(seed)
    queries = documents.vectors + 0.2 * unit(generator.normal(size=documents.vectors.shape)).astype(np.float32)
    return HeldOut(
        queries,
        documents.languages,
        documents.groups,
        documents.vectors,
        documents.languages,
        documents.groups,
    )


@pytest.mark.parametrize("languages", [["en", "zh"], ["ar", "en", "th", "zh"]])
def test_full_strength_makes_the_language_means_coincide_and_leaves_the_rest_alone(languages: list[str]) -> None:
    data = clusters(60, languages, 1)
    fitted = fit_language_directions(data.vectors, data.languages)
    assert fitted.basis.shape == (len(languages) - 1, DIMENSION)
    matrix = fitted.affine().matrix.astype(float)
    # A projection: symmetric, idempotent, of the rank that is left.
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    np.testing.assert_allclose(matrix @ matrix, matrix, atol=1e-6)
    assert np.trace(matrix) == pytest.approx(DIMENSION - len(languages) + 1, abs=1e-4)
    tags = np.asarray(data.languages)
    means = [data.vectors[tags == language].astype(float).mean(axis=0) for language in languages]
    for mean in means[1:]:
        np.testing.assert_allclose(matrix @ mean, matrix @ means[0], atol=1e-6)
    across = np.random.default_rng(5).normal(size=DIMENSION)
    differences = np.stack([mean - means[0] for mean in means[1:]])
    across -= np.linalg.lstsq(differences.T, across, rcond=None)[0] @ differences
    np.testing.assert_allclose(matrix @ across, across, atol=1e-5)


def test_two_languages_give_the_direction_of_the_difference_of_their_means() -> None:
    vectors = np.asarray([[1, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0.8, 0.6, 0]], dtype=np.float32)
    fitted = fit_language_directions(vectors, ["en", "en", "zh", "zh"])
    np.testing.assert_allclose(fitted.common, [0.6, 0.6, 0], atol=1e-7)
    np.testing.assert_allclose(np.abs(fitted.basis), [[2**-0.5, 2**-0.5, 0]], atol=1e-7)
    half = fitted.affine(strength=0.5, common_share=0.25)
    np.testing.assert_allclose(half.matrix, [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0, 1]], atol=1e-7)
    np.testing.assert_allclose(half.bias, [-0.15, -0.15, 0], atol=1e-7)
    assert half.metadata["documents"] == "en:2,zh:2"


def test_a_language_counts_once_however_many_documents_it_has() -> None:
    data = clusters(40, ["en", "zh"], 1)
    more = np.concatenate([data.vectors, data.vectors[:40], data.vectors[:40]])
    once = fit_language_directions(data.vectors, data.languages)
    thrice = fit_language_directions(more, [*data.languages, *["en"] * 80])
    np.testing.assert_allclose(thrice.common, once.common, atol=1e-12)
    np.testing.assert_allclose(thrice.basis, once.basis, atol=1e-9)


def test_zero_strength_changes_nothing() -> None:
    data = clusters(10, ["en", "zh"], 1)
    unchanged = fit_language_directions(data.vectors, data.languages).affine(0.0, 0.0)
    np.testing.assert_array_equal(unchanged.matrix, np.eye(DIMENSION, dtype=np.float32))
    np.testing.assert_array_equal(unchanged.bias, np.zeros(DIMENSION, dtype=np.float32))


def test_a_repair_fitted_on_other_documents_brings_the_versions_together() -> None:
    data = clusters(30, ["en", "zh"], 1)
    score = held_out_score(held_out(["en", "zh"]))
    fitted = fit_language_directions(data.vectors, data.languages)
    before, after = score(fitted.affine(0.0)), score(fitted.affine(1.0))
    assert before.bias > 20
    assert after.bias < before.bias / 5
    for tag in ("en", "zh"):
        assert after.quality[tag] >= before.quality[tag] - 0.02


def test_held_out_score_counts_ranks_as_the_formulas_say() -> None:
    data = held_out(["en", "th", "zh"])
    score = held_out_score(data)(AffineMap(np.eye(DIMENSION, dtype=np.float32), np.zeros(DIMENSION, np.float32)))
    queries, documents = unit(data.queries.astype(float)), unit(data.documents.astype(float))
    scores = queries @ documents.T
    depths: dict[str, list[int]] = {}
    hits: dict[str, list[bool]] = {}
    own_first: dict[str, list[bool]] = {}
    for row, tag, group in zip(scores, data.query_languages, data.query_groups, strict=True):
        order = np.argsort(-row)
        ranks = [rank for rank, document in enumerate(order, 1) if data.document_groups[document] == group]
        depths.setdefault(tag, []).append(max(ranks))
        first = order[0]
        own_first.setdefault(tag, []).append(
            data.document_groups[first] == group and data.document_languages[first] == tag
        )
        same = [document for document in order if data.document_languages[document] == tag]
        hits.setdefault(tag, []).append(data.document_groups[same[0]] == group)
    assert score.bias == pytest.approx(np.mean([np.mean(values) for values in depths.values()]), rel=1e-12)
    assert score.quality == pytest.approx({tag: np.mean(values) for tag, values in hits.items()}, rel=1e-12)
    assert score.own_first == pytest.approx({tag: np.mean(values) for tag, values in own_first.items()}, rel=1e-12)


def test_the_least_biased_harmless_strengths_are_chosen() -> None:
    data = clusters(10, ["en", "zh"], 1)
    fitted = fit_language_directions(data.vectors, data.languages)

    def score(repair: AffineMap) -> RepairScore:
        strength, share = float(repair.metadata["strength"]), float(repair.metadata["common_share"])
        # The more the better, but Chinese suffers from the common mean and English from full strength.
        return RepairScore(
            100 - 50 * strength - 40 * share,
            {"en": 0.9 - (0.1 if strength == 1 else 0), "zh": 0.8 - 0.01 * share},
        )

    choice = choose_repair(fitted, score, tolerance=0.005)
    assert (choice.chosen.strength, choice.chosen.common_share) == (0.75, 0.4)
    assert choice.repair.metadata["strength"] == "0.75"
    assert len(choice.trials) == 25
    assert choice.trials[0].harmless
    for trial in choice.trials[1:]:
        assert trial.harmless == (trial.strength < 1 and trial.common_share <= 0.4)


@pytest.mark.parametrize(("keep", "strength"), [(None, 1.0), (0.5, 1.0), (0.11, 0.5), (0.05, 0.25), (0.0, 0.0)])
def test_no_language_loses_more_of_its_own_documents_in_front_than_it_may(keep: float | None, strength: float) -> None:
    data = clusters(10, ["en", "zh"], 1)
    fitted = fit_language_directions(data.vectors, data.languages)

    def score(repair: AffineMap) -> RepairScore:
        taken = float(repair.metadata["strength"])
        return RepairScore(100 - 50 * taken, {"en": 0.9, "zh": 0.8}, {"en": 0.7, "zh": 0.9 - 0.2 * taken})

    choice = choose_repair(fitted, score, strengths=(0.0, 0.25, 0.5, 1.0), common_shares=(0.0,), keep_own_first=keep)
    assert choice.chosen.strength == strength
    for trial in choice.trials:
        assert trial.harmless == (keep is None or 0.2 * trial.strength <= keep)


def test_each_language_may_have_a_tolerance_of_its_own() -> None:
    data = clusters(10, ["en", "zh"], 1)
    fitted = fit_language_directions(data.vectors, data.languages)

    def score(repair: AffineMap) -> RepairScore:
        loss = 0.1 * float(repair.metadata["strength"])
        return RepairScore(100 - loss, {"en": 0.9 - loss, "zh": 0.8 - loss})

    shares = {"common_shares": (0.0,)}
    assert choose_repair(fitted, score, tolerance={"en": 0.2, "zh": 0.2}, **shares).chosen.strength == 1.0
    assert choose_repair(fitted, score, tolerance={"en": 0.05, "zh": 0.2}, **shares).chosen.strength == 0.5
    with pytest.raises(InputError, match="of each language"):
        choose_repair(fitted, score, tolerance={"en": 0.2}, **shares)
    with pytest.raises(InputError, match="at least 0"):
        choose_repair(fitted, score, tolerance=-0.1)


def test_strengths_are_chosen_for_the_directions_that_are_taken() -> None:
    data = clusters(10, ["en", "zh", "th"], 1)
    fitted = fit_language_directions(data.vectors, data.languages)
    seen: list[AffineMap] = []

    def score(repair: AffineMap) -> RepairScore:
        seen.append(repair)
        return RepairScore(100 - float(repair.metadata["strength"]), {"en": 0.9})

    choice = choose_repair(fitted, score, directions=1)
    assert [np.linalg.matrix_rank(one.matrix) for one in seen if one.metadata["strength"] == "1"][:1] == [DIMENSION - 1]
    assert np.linalg.matrix_rank(choice.repair.matrix) == DIMENSION - 1
    assert np.linalg.matrix_rank(fitted.affine().matrix) == DIMENSION - 2


def test_nothing_is_changed_where_everything_harms() -> None:
    data = clusters(10, ["en", "zh"], 1)
    fitted = fit_language_directions(data.vectors, data.languages)

    def score(repair: AffineMap) -> RepairScore:
        untouched = repair.metadata["strength"] == repair.metadata["common_share"] == "0"
        return RepairScore(100.0 if untouched else 1.0, {"en": 0.9 if untouched else 0.8})

    choice = choose_repair(fitted, score)
    np.testing.assert_array_equal(choice.repair.matrix, np.eye(DIMENSION, dtype=np.float32))


def test_of_equally_good_repairs_the_smallest_is_taken() -> None:
    data = clusters(10, ["en", "zh"], 1)
    fitted = fit_language_directions(data.vectors, data.languages)
    choice = choose_repair(fitted, lambda _: RepairScore(1.0, {"en": 0.9}))
    assert (choice.chosen.strength, choice.chosen.common_share) == (0.0, 0.0)


def test_input_that_says_nothing_about_languages_is_refused() -> None:
    vectors = np.eye(4, dtype=np.float32)
    with pytest.raises(InputError, match="two languages"):
        fit_language_directions(vectors, ["en"] * 4)
    with pytest.raises(InputError, match="one language is needed"):
        fit_language_directions(vectors, ["en", "zh"])
    with pytest.raises(InputError, match="zero or not finite"):
        fit_language_directions(np.zeros((2, 4)), ["en", "zh"])
    with pytest.raises(InputError, match="coincide"):
        fit_language_directions(np.ones((2, 4)), ["en", "zh"])
    fitted = fit_language_directions(vectors, ["en", "en", "zh", "zh"])
    with pytest.raises(InputError, match="strength"):
        fitted.affine(1.5)
    with pytest.raises(InputError, match="directions"):
        fitted.affine(directions=2)


def test_a_held_out_query_needs_a_document_in_its_own_language() -> None:
    data = held_out(["en", "zh"])
    lonely = HeldOut(
        data.queries[:1], ["zh"], data.query_groups[:1], data.documents[:80], ["en"] * 80, data.document_groups[:80]
    )
    with pytest.raises(InputError, match="own language"):
        held_out_score(lonely)
