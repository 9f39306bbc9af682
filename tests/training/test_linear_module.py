"""Training the linear module of a repair on embeddings that are made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from training_runs import made_recipe, made_triplets

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.matrix_file import read_matrix_file
from haystack_crossalign.training.linear_module import EmbeddingMemory
from haystack_crossalign.training.outcome import TrainingOutcome
from haystack_crossalign.training.stock_trainer import last_checkpoint
from haystack_crossalign.training.trainer import train

pytestmark = pytest.mark.training

START = {"kind": "repair", "strength": 1.0, "common_share": 0.2}
FROZEN: dict[str, Any] = {
    "start": START,
    "freeze_encoder": True,
    "loss": {"pool_weight": 1.0, "softmax_temperature": 0.1},
    "evaluate": {"every": None, "keep": "last"},
}


def run(folder: Path, output: Path, **changes: Any) -> TrainingOutcome:
    recipe = made_recipe(folder, **(FROZEN | {name: value for name, value in changes.items() if name != "memory"}))
    return train(recipe, output, triplets=made_triplets(40), memory=changes.get("memory"))


def test_only_the_linear_module_moves(tiny_model_folder: Path, tmp_path: Path) -> None:
    outcome = run(tiny_model_folder, tmp_path / "out")
    run(tiny_model_folder, tmp_path / "start", interpolate=0.0)
    before = SentenceTransformer(str(tmp_path / "start"), device="cpu").state_dict()
    after = SentenceTransformer(str(tmp_path / "out"), device="cpu").state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"3.linear.weight", "3.linear.bias"}
    assert {"jsd", "nce", "pool"} <= outcome.data["curves"]["steps"][-1].keys()


def test_the_matrix_file_moves_vectors_of_the_base_to_where_the_model_puts_them(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    run(tiny_model_folder, tmp_path / "out")
    texts = [triplet.passage for triplet in made_triplets(10)]
    base = SentenceTransformer(str(tiny_model_folder), device="cpu").encode(texts)
    tuned = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts)
    moved = read_matrix_file(tmp_path / "out" / "matrix.safetensors").apply(base)
    assert np.abs(moved - tuned).max() < 1e-6
    unit = base / np.linalg.norm(base, axis=1, keepdims=True)
    assert np.abs(moved - unit).max() > 1e-2
    assert "matrix.safetensors" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    hashed = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))["weights"]
    assert "matrix.safetensors" not in hashed  # derived from the weights, and none of them


def test_the_figures_are_those_of_the_whole_model_trained_the_same_way(tiny_model_folder: Path, tmp_path: Path) -> None:
    """Held-out scores come from kept embeddings; a model with the same weights that is run again must agree."""
    outcome = run(tiny_model_folder, tmp_path / "out", optimiser={"max_steps": 3})
    again = train(
        made_recipe(
            tmp_path / "out",
            evaluate={"every": None},
            optimiser={"max_steps": 1, "learning_rate": 1e-12},
            loss={"pool_weight": 1.0},
        ),
        tmp_path / "again",
        triplets=made_triplets(40),
    )
    ours = {row["name"]: row["measures"]["Max@R"]["after"] for row in outcome.data["result"]["rows"]}
    theirs = {row["name"]: row["measures"]["Max@R"]["base"] for row in again.data["result"]["rows"]}
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_a_memory_of_embeddings_changes_nothing_but_rounding(tiny_model_folder: Path, tmp_path: Path) -> None:
    memory = EmbeddingMemory()
    first = run(tiny_model_folder, tmp_path / "first", memory=memory)
    known = len(memory.known)
    assert known > 40
    second = run(tiny_model_folder, tmp_path / "second", memory=memory)
    assert len(memory.known) == known
    assert first.data["weights"] == second.data["weights"]
    run(tiny_model_folder, tmp_path / "without")
    ours, theirs = (read_matrix_file(tmp_path / name / "matrix.safetensors").matrix for name in ("first", "without"))
    assert np.abs(ours - theirs).max() < 1e-3


def test_distillation_takes_the_base_or_the_start_as_teacher(tiny_model_folder: Path, tmp_path: Path) -> None:
    terms = {}
    for teacher in ("base", "start"):
        distil = {"weight": 1.0, "teacher": teacher}
        outcome = run(tiny_model_folder, tmp_path / teacher, distil=distil, optimiser={"max_steps": 1})
        terms[teacher] = outcome.data["curves"]["steps"][0]["distil"]
    # At the first step the student is the start.
    assert terms["start"] < 1e-6 < terms["base"]


def test_an_interrupted_run_is_taken_up_with_the_same_result(tiny_model_folder: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"checkpoint": 2, "optimiser": {"epochs": 3}}
    whole = run(tiny_model_folder, tmp_path / "whole", **changes)

    def stop(stage: str, done: int, total: int, terms: Any) -> None:  # noqa: ARG001 - the interface
        if stage == "Training" and done == 5:
            raise KeyboardInterrupt

    recipe = made_recipe(tiny_model_folder, **(FROZEN | changes))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "broken", triplets=made_triplets(40), progress=stop)
    checkpoint = last_checkpoint(tmp_path / ".broken.training" / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-4"
    resumed = train(recipe, tmp_path / "broken", triplets=made_triplets(40), resume=True)
    assert resumed.data["weights"] == whole.data["weights"]


@pytest.mark.parametrize(
    "changes", [{"start": "base"}, {"start": START | {"train_dense": False}}, {"lora": {"rank": 2}}]
)
def test_there_must_be_a_linear_module_to_train(tiny_model_folder: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="freeze_encoder"):
        made_recipe(tiny_model_folder, **(FROZEN | changes))
