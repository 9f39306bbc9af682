"""Languages that are not fitted: their means, what is removed of them, and that they are not harmed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.language_maps import fit_language_maps
from haystack_crossalign.repair.other_languages import (
    OtherLanguages,
    known_languages,
    language_basis,
    means_of_others,
    read_other_languages,
    shipped_texts,
)
from haystack_crossalign.text.detection import LanguageDetector

DIM = 96


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def versions(tags: list[str], contents: int, seed: int, push: float = 1.0) -> tuple[NDArray[np.float64], list[str]]:
    """Versions of contents, language by language; each language has a direction of its own, whatever the seed."""
    content = np.random.default_rng(seed).normal(size=(contents, DIM)) / 3
    offsets = {tag: np.random.default_rng(list(tag.encode())).normal(size=DIM) * push for tag in tags}
    noise = np.random.default_rng([seed, 1]).normal(size=(len(tags), contents, DIM)) / 30
    rows = [content + offsets[tag] + noise[place] + 4 for place, tag in enumerate(tags)]
    return unit(np.concatenate(rows)), [tag for tag in tags for _ in range(contents)]


def others_of(tags: list[str], contents: int = 12, seed: int = 7) -> OtherLanguages:
    vectors, languages = versions(tags, contents, seed)
    groups = [f"g{number}" for number in range(contents)] * len(tags)
    return known_languages(vectors, languages, groups, tags[0])


def test_the_shipped_texts_are_complete() -> None:
    texts = shipped_texts()
    counts = Counter(document.language for document in texts.passages)
    assert len(counts) == 32
    assert set(counts.values()) == {12}
    assert len({document.text for document in texts.passages}) == 12 * 32
    groups = Counter(document.group for document in texts.passages)
    assert set(groups.values()) == {32}


def test_no_shipped_text_is_in_another_language() -> None:
    passages = shipped_texts().passages
    detector = LanguageDetector.among({document.language for document in passages})
    detected = detector.detect([document.text for document in passages])
    wrong = {
        document.id: found.language
        for document, found in zip(passages, detected, strict=True)
        if found.language not in (document.language, None)
    }
    assert wrong == {}


def test_the_means_of_others_are_moved_by_what_the_fitted_languages_differ_by() -> None:
    others = others_of(["en", "th", "zh"])
    means = np.random.default_rng(1).normal(size=(2, DIM))
    tags, moved = means_of_others(others, ("en", "zh"), means)
    own = {tag: others.vectors[[row for row, name in enumerate(others.tags) if name == tag]].mean(0)
           for tag in others.languages}  # fmt: skip
    assert tags == ("th",)
    assert np.abs(moved[0] - (own["th"] + means.mean(0) - (own["en"] + own["zh"]) / 2)).max() < 1e-12


def test_no_language_in_common_links_by_the_mean_of_all() -> None:
    others = others_of(["el", "th"])
    means = np.random.default_rng(1).normal(size=(2, DIM))
    tags, moved = means_of_others(others, ("en", "zh"), means)
    assert tags == ("el", "th")
    assert np.abs(moved.mean(axis=0) - means.mean(axis=0)).max() < 1e-12


def test_at_full_strength_the_means_of_all_languages_coincide() -> None:
    vectors, languages = versions(["en", "sw"], 60, 3)
    fitted = fit_language_directions(vectors, languages, None, others_of(["en", "sw", "th", "el"]))
    assert fitted.others == ("el", "th")
    assert fitted.other_means is not None
    everything = np.concatenate([fitted.means, fitted.other_means])
    assert np.abs(fitted.common - everything.mean(axis=0)).max() < 1e-12
    matrix = fitted.affine(1.0).matrix.astype(np.float64)
    moved = everything @ matrix.T
    assert np.ptp(moved, axis=0).max() < 1e-6
    assert np.abs(fitted.basis @ fitted.basis.T - np.eye(3)).max() < 1e-10
    # Without th, as if nothing were known of it.
    without = fitted.without_other("th")
    again = fit_language_directions(vectors, languages, None, others_of(["en", "sw", "th", "el"]).without("th"))
    assert np.abs(without.affine(1.0, 0.5).bias - again.affine(1.0, 0.5).bias).max() < 1e-6


def test_directions_of_others_are_removed_whole() -> None:
    vectors, languages = versions(["en", "sw"], 60, 3)
    fitted = fit_language_directions(vectors, languages, None, others_of(["en", "sw", "th"]))
    assert fitted.other_means is not None
    across = fitted.basis[1]
    assert np.abs(fitted.affine(0.6).matrix.astype(float) @ across).max() < 1e-6
    assert np.array_equal(fitted.affine(0.0).matrix, np.eye(DIM, dtype=np.float32))


def test_others_take_an_eighth_of_the_dimensions_at_most_and_fitted_directions_stay() -> None:
    means, others = (np.random.default_rng(seed).normal(size=(count, 32)) for seed, count in ((1, 3), (2, 20)))
    _, alone = language_basis(means, others[:0])
    _, basis = language_basis(means, others)
    assert (len(alone), len(basis)) == (2, 4)
    assert np.array_equal(basis[:2], alone)


def gap(vectors: NDArray[np.float32], contents: int) -> float:
    """By how much strangers in the own language score above strangers in the other one."""
    first, second = vectors[:contents], vectors[contents:]
    off = ~np.eye(contents, dtype=bool)
    return float((second @ second.T)[off].mean() - (second @ first.T)[off].mean())


def test_a_language_that_is_not_fitted_loses_its_head_start_only_if_it_is_protected() -> None:
    vectors, languages = versions(["en", "sw"], 80, 3)
    thai, _ = versions(["en", "th"], 40, 11)
    alone = fit_language_directions(vectors, languages).affine(1.0, 0.6)
    protected = fit_language_directions(vectors, languages, None, others_of(["en", "sw", "th"])).affine(1.0, 0.6)
    before = gap(thai.astype(np.float32), 40)
    assert gap(alone.apply(thai), 40) > before
    assert gap(protected.apply(thai), 40) < 0.2 * before


def test_a_text_in_a_protected_language_gets_the_shared_map() -> None:
    vectors, languages = versions(["en", "sw"], 80, 3)
    groups = [f"g{row % 80}" for row in range(160)]
    fitted = fit_language_directions(vectors, languages, groups, others_of(["en", "sw", "th", "el"]))
    shared = fitted.affine(1.0, 0.4)
    maps = fit_language_maps(shared, vectors, languages, groups, pivot="en", own_share=0.3, others=fitted.other_means)
    for tag, same in (("th", True), ("el", True), ("en", True), ("sw", False)):
        texts, _ = versions([tag], 30, 5)
        difference = np.abs(maps.apply(texts) - shared.apply(texts)).max(axis=1)
        assert bool((difference < 1e-5).all()) is same, tag


def test_a_language_that_a_model_does_not_know_is_left_alone() -> None:
    vectors, languages = versions(["en", "th"], 12, 7)
    same = np.repeat(vectors[:1], 12, axis=0)  # every text of it is the same to the model
    noise = unit(np.random.default_rng(3).normal(size=(12, DIM)))
    groups = [f"g{number}" for number in range(12)] * 4
    known = known_languages(
        np.concatenate([vectors, same, noise]), [*languages, *["xx"] * 12, *["yy"] * 12], groups, "en"
    )
    assert known.languages == ("en", "th")
    assert known.unknown == ("xx", "yy")


def test_a_closed_index_has_no_others(tmp_path: Path) -> None:
    assert read_other_languages(None, closed=True) is None
    with pytest.raises(InputError, match="--closed or --other-languages"):
        read_other_languages(tmp_path / "texts.jsonl", closed=True)
