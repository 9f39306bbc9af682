"""The whitening of a repair: directions in which translations differ count less."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.directions import choose_repair, fit_language_directions
from haystack_crossalign.repair.trials import RepairScore

DIM = 12


def translations(pairs: int = 200, seed: int = 0) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Pairs that differ by an offset, and by noise that is ten times stronger in the first three numbers."""
    draw = np.random.default_rng(seed)
    content = draw.normal(size=(pairs, DIM)) + 4
    noise = draw.normal(size=(pairs, DIM)) * np.where(np.arange(DIM) < 3, 2.0, 0.2)
    offset = np.zeros(DIM)
    offset[-1] = 3
    vectors = np.concatenate([content, content + noise + offset])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, ["en"] * pairs + ["zh"] * pairs, [f"g{number}" for number in range(pairs)] * 2


def found(repair: AffineMap, vectors: NDArray[np.float64]) -> float:
    """Share of documents whose translation is the nearest one of all translations."""
    moved = repair.apply(vectors)
    half = len(moved) // 2
    nearest = (moved[:half] @ moved[half:].T).argmax(axis=1)
    return float((nearest == np.arange(half)).mean())


def test_it_is_the_formula() -> None:
    vectors, languages, groups = translations()
    fitted = fit_language_directions(vectors, languages, groups)
    half = len(vectors) // 2
    left, right = vectors[:half] - vectors[:half].mean(0), vectors[half:] - vectors[half:].mean(0)
    spread = np.zeros((DIM, DIM))
    for one, other in zip(left, right, strict=True):
        middle = (one + other) / 2
        spread += np.outer(one - middle, one - middle) + np.outer(other - middle, other - middle)
    spread /= len(vectors)
    projection = np.eye(DIM) - fitted.basis.T @ fitted.basis
    inner = projection @ spread @ projection
    values, axes = np.linalg.eigh(inner + 0.5 * np.trace(inner) / DIM * np.eye(DIM))
    whitening = axes @ np.diag(values**-0.5) @ axes.T
    whitening /= np.trace(whitening) / DIM
    repair = fitted.affine(1.0, 0.4, whitening=0.5)
    assert np.abs(repair.matrix - whitening @ projection).max() < 1e-6
    assert np.abs(repair.bias + 0.4 * whitening @ projection @ fitted.common).max() < 1e-6
    assert repair.metadata["whitening"] == "0.5"
    assert repair.metadata["parallel_documents"] == "200"


def test_translations_are_found_better_among_documents_that_were_not_fitted_on() -> None:
    fitted = fit_language_directions(*translations())
    others, _, _ = translations(seed=1)
    assert found(fitted.affine(1.0), others) + 0.1 < found(fitted.affine(1.0, whitening=0.1), others)


def test_the_more_shrinkage_the_closer_to_none() -> None:
    fitted = fit_language_directions(*translations())
    plain = fitted.affine(1.0, 0.2)
    distances = [np.abs(fitted.affine(1.0, 0.2, whitening=one).matrix - plain.matrix).max() for one in (1, 100, 1e6)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-4


def test_the_order_of_the_documents_does_not_matter() -> None:
    vectors, languages, groups = translations(40)
    order = np.random.default_rng(5).permutation(len(vectors))
    shuffled = fit_language_directions(
        vectors[order], [languages[row] for row in order], [groups[row] for row in order]
    )
    ours = fit_language_directions(vectors, languages, groups).affine(1.0, whitening=1.0)
    assert np.abs(shuffled.affine(1.0, whitening=1.0).matrix - ours.matrix).max() < 1e-5


def test_without_parallel_documents_there_is_none() -> None:
    vectors, languages, _ = translations(20)
    for groups in (None, [str(row) for row in range(len(vectors))]):
        fitted = fit_language_directions(vectors, languages, groups)
        assert fitted.spread is None
        with pytest.raises(InputError, match="parallel"):
            fitted.affine(whitening=10.0)
        choice = choose_repair(fitted, lambda _: RepairScore(1.0, {"en": 1.0}), whitenings=(None, 10.0))
        assert {trial.whitening for trial in choice.trials} == {None}
    with pytest.raises(InputError, match="groups"):
        fit_language_directions(vectors, languages, ["g"])


@pytest.mark.parametrize("shrinkage", [0.0, -1.0, float("inf"), float("nan")])
def test_the_shrinkage_is_positive_and_finite(shrinkage: float) -> None:
    with pytest.raises(InputError, match="whitening"):
        fit_language_directions(*translations(20)).affine(whitening=shrinkage)


def test_it_is_chosen_only_where_it_is_better_and_harmless() -> None:
    fitted = fit_language_directions(*translations(40))

    def score(bias: float, quality: float):
        def of(repair: AffineMap) -> RepairScore:
            white = "whitening" in repair.metadata
            return RepairScore(bias if white else 5.0, {"en": quality if white else 0.9})

        return of

    def chosen(bias: float, quality: float) -> float | None:
        return choose_repair(fitted, score(bias, quality), whitenings=(None, 10.0)).chosen.whitening

    assert chosen(4.0, 0.9) == 10.0
    assert chosen(5.0, 0.9) is None
    assert chosen(4.0, 0.8) is None
