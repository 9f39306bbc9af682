"""The start of a training protects languages that it is not fitted on, as a repair does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.repair.judging.left_out import head_start
from haystack_crossalign.repair.language_maps import fit_language_maps
from haystack_crossalign.repair.other_languages import OtherLanguages, known_languages
from haystack_crossalign.training.linear_module import fit_own_maps
from haystack_crossalign.training.model_setup import choose_start
from haystack_crossalign.training.recipe.recipe import make_recipe

DIM, TEXTS = 64, 40
TAGS = ("en", "sw", "el", "th")


def versions(tags: tuple[str, ...], seed: int) -> tuple[NDArray[np.float32], list[str], list[str]]:
    """Versions of contents around a common mean; each language has a direction of its own, whatever the seed."""
    content = np.random.default_rng(seed).normal(size=(TEXTS, DIM)) / 2
    offsets = {tag: np.random.default_rng(list(tag.encode())).normal(size=DIM) / 2 for tag in TAGS}
    rows = np.concatenate([content + offsets[tag] + 3 for tag in tags])
    vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    names = [f"{seed}-{number}" for number in range(TEXTS)] * len(tags)
    return vectors.astype(np.float32), [tag for tag in tags for _ in range(TEXTS)], names


def others() -> OtherLanguages:
    return known_languages(*versions(TAGS, 7), "en")


START = {"kind": "repair", "strength": 1.0, "common_share": 0.8, "whitening": None}


@pytest.mark.parametrize("unfitted", ["el", "th"])
def test_a_protected_language_that_is_not_fitted_does_not_get_worse(unfitted: str) -> None:
    start = make_recipe({"model": "m", "languages": ["sw"], "start": START}).start
    passages = versions(("en", "sw"), 3)
    protected, closed = (choose_start(start, *passages, None, known) for known in (others(), None))
    judging, tags, _ = versions((unfitted, "en"), 11)
    own, other = ([row for row, tag in enumerate(tags) if tag == name] for name in (unfitted, "en"))

    def lead(vectors: NDArray[np.float32]) -> float:
        return float(head_start(vectors, own, other).mean())

    before, after = lead(judging), lead(protected.repair.apply(judging))
    assert after < 0.2 * before
    # What is protected is what makes the difference: without it the language gets worse.
    assert lead(closed.repair.apply(judging)) > before
    assert protected.repair.metadata["other_languages"] == "el,th"
    assert "other_languages" not in closed.repair.metadata


def test_maps_for_each_language_leave_the_texts_of_others_to_the_shared_map() -> None:
    recipe = make_recipe(
        {"model": "m", "languages": ["sw"], "start": START | {"own_share": 0.2}, "freeze_encoder": True}
    )
    passages = versions(("en", "sw"), 3)
    choice = choose_start(recipe.start, *passages, None, others())
    maps = fit_own_maps(recipe, choice.repair, *passages, others())
    plain = fit_language_maps(choice.repair, *passages, pivot="en", own_share=0.2, ridge=recipe.start.ridge)
    strangers = versions(("th",), 11)[0]
    shared = choice.repair.apply(strangers)
    moved = [float(np.abs(each.apply(strangers) - shared).max(axis=1).mean()) for each in (maps, plain)]
    assert moved[0] <= moved[1]
    assert np.abs(maps.apply(strangers) - shared).max() < 1e-5
