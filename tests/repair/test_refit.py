"""The linear module of a repair, fitted again to the encoder that was trained before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from training_runs import made_recipe, made_triplets

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.model_folder import repaired_model
from haystack_crossalign.report.training_html import render_training_html
from haystack_crossalign.training.linear_module import encoder_of, head_of, map_of, set_map
from haystack_crossalign.training.outcome import TrainingOutcome
from haystack_crossalign.training.recipe.recipe import make_recipe
from haystack_crossalign.training.trainer import train

pytestmark = pytest.mark.training

START = {"kind": "repair", "strength": 1.0, "common_share": 0.0, "train_dense": False}
TRIPLETS = made_triplets(40)


def run(folder: Path, output: Path, **start: Any) -> TrainingOutcome:
    recipe = made_recipe(
        folder,
        start=START | start,
        held_out={"share": 0},
        dropout=0.0,
        optimiser={"epochs": 6, "learning_rate": 3e-3},
    )
    return train(recipe, output, triplets=TRIPLETS)


def language_gap(output: Path) -> float:
    """Distance of the language means of the training passages, before the last normalization."""
    model = SentenceTransformer(str(output), device="cpu")
    before = SentenceTransformer(modules=[*list(model.children())[:-1]], device="cpu")
    english, chinese = (
        before.encode([one.passage if tag == "en" else one.targets[tag] for one in TRIPLETS]) for tag in ("en", "zh")
    )
    return float(np.linalg.norm(english.mean(0) - chinese.mean(0)))


def test_the_languages_that_training_moved_apart_meet_again(tiny_model_folder: Path, tmp_path: Path) -> None:
    stays = run(tiny_model_folder, tmp_path / "stays")
    fitted = run(tiny_model_folder, tmp_path / "fitted", refit=True)
    one, two = (SentenceTransformer(str(tmp_path / name), device="cpu").state_dict() for name in ("stays", "fitted"))
    moved = {name for name in one if not torch.equal(one[name], two[name])}
    assert moved == {"3.linear.weight"}  # no share of the common mean is taken away: no bias
    # At full strength the means of the texts that it is fitted on coincide.
    assert language_gap(tmp_path / "fitted") < 1e-4
    assert language_gap(tmp_path / "stays") > 10 * language_gap(tmp_path / "fitted")
    assert stays.data["kept"]["refitted"] is None
    assert fitted.data["kept"]["refitted"]["strength"] == "1"
    assert "Fitted after training: strength" in render_training_html(fitted.data)
    assert "Fitted after training" not in render_training_html(stays.data)
    card = (tmp_path / "fitted" / "README.md").read_text(encoding="utf-8")
    assert "fitted to the trained encoder" in card
    assert "fitted to the trained encoder" not in (tmp_path / "stays" / "README.md").read_text(encoding="utf-8")
    again = run(tiny_model_folder, tmp_path / "again", refit=True)
    assert again.data["weights"] == fitted.data["weights"]


def test_a_repaired_model_is_its_encoder_and_its_map(tiny_model: SentenceTransformer) -> None:
    generator = np.random.default_rng(0)
    size = int(tiny_model.get_embedding_dimension() or 0)
    maps = [
        AffineMap(*(generator.normal(size=shape).astype(np.float32) for shape in ((size, size), (size,))), {})
        for _ in range(2)
    ]
    model = repaired_model(tiny_model, maps[0])
    set_map(model, maps[1])
    found = map_of(model)
    np.testing.assert_array_equal(found.matrix, maps[1].matrix)
    np.testing.assert_array_equal(found.bias, maps[1].bias)
    assert [*encoder_of(model).children(), *head_of(model).children()] == list(model.children())
    with pytest.raises(TypeError, match="not a repaired model"):
        set_map(tiny_model, maps[1])


@pytest.mark.parametrize("start", ["base", "repair", {"kind": "base", "train_dense": False}])
def test_a_module_that_is_trained_or_not_there_is_not_fitted_again(start: Any) -> None:
    section = {"kind": start} if isinstance(start, str) else start
    with pytest.raises(InputError, match=r"start\.refit"):
        make_recipe({"model": "m", "languages": ["zh"], "start": {**section, "refit": True}})


def test_a_language_in_a_file_of_its_own_finds_its_counterparts_among_the_passages(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    """The passages with most languages come first and fill the count; the others need their English versions too."""
    several = made_triplets(20, ("zh", "ar"), seed=1)
    alone = [replace(one, id=f"a{one.id}", group=f"a{one.group}") for one in made_triplets(8, ("th",), seed=2)]
    recipe = made_recipe(
        tiny_model_folder,
        languages=["zh", "ar", "th"],
        start=START | {"passages": 10, "refit": True, "own_share": 0.1},
        held_out={"share": 0},
    )
    outcome = train(recipe, tmp_path / "out", triplets=[*several, *alone])
    assert outcome.data["kept"]["refitted"]["own_share"] == "0.1"


def test_a_map_that_cannot_be_fitted_at_the_end_is_said_at_the_start(tiny_model_folder: Path, tmp_path: Path) -> None:
    # The Arabic texts are the English ones, and so is their mean.
    zh, th = made_triplets(8, ("zh",), seed=1), made_triplets(8, ("th",), seed=2)
    both = [replace(one, id=f"{place}", group=f"g{place}") for place, one in enumerate((*zh, *th))]
    ar = [replace(one, id=f"ar{one.id}", targets={"ar": one.passage}, target_queries={}) for one in both]
    recipe = made_recipe(
        tiny_model_folder,
        languages=["ar", "th", "zh"],
        start=START | {"refit": True, "own_share": 0.1},
        held_out={"share": 0},
    )
    with pytest.raises(InputError, match="lies between those of others"):
        train(recipe, tmp_path / "out", triplets=[*both, *ar])
    assert not (tmp_path / "out").exists()
