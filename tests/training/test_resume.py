from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_runs import made_recipe, made_triplets

from haystack_crossalign.data.formats.triplets import write_triplets
from haystack_crossalign.errors import InputError
from haystack_crossalign.training.stock_trainer import last_checkpoint
from haystack_crossalign.training.trainer import train

pytestmark = pytest.mark.training

WORKER = Path(__file__).with_name("train_worker.py")
COUNT = 36

Spawn = Callable[..., subprocess.Popen[str]]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def spawn(tmp_path: Path, quick_python: list[str]) -> Spawn:
    """Starts a run in a process of its own."""

    def start(recipe: Any, output: Path, kill_at: int = 0, *options: str, **more: str) -> subprocess.Popen[str]:
        file = tmp_path / "recipe.json"
        file.write_text(json.dumps(recipe.to_dict()), encoding="utf-8")
        command = [*quick_python, str(WORKER), str(file), str(output), str(COUNT), str(kill_at), *options]
        return subprocess.Popen(command, env=environment(**more), stderr=subprocess.PIPE, text=True)

    return start


def same(a: Path, b: Path) -> bool:
    first, second = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def curves(folder: Path) -> Any:
    return json.loads((folder / "training.json").read_text(encoding="utf-8"))["curves"]


def test_a_run_that_was_killed_ends_with_the_weights_of_an_uninterrupted_one(
    tiny_model_folder: Path, tmp_path: Path, spawn: Spawn
) -> None:
    """Killed in the second epoch between two checkpoints; dropout, schedule, optimiser and data go on where they were,
    and the best weights are known from before."""
    recipe = made_recipe(
        tiny_model_folder,
        optimiser={"epochs": 3, "learning_rate": 3e-3},
        distil={"weight": 0.1},
        evaluate={"every": 2},
        checkpoint=3,
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(recipe, whole, triplets=made_triplets(COUNT, target_queries=False))
    killed = spawn(recipe, broken, 8)
    _, errors = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, errors
    assert not broken.exists()
    work = tmp_path / ".broken.training"
    checkpoint = last_checkpoint(work / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-6"
    # Another kill, in the middle of writing a checkpoint, leaves one that is passed over.
    half = work / "checkpoints" / "checkpoint-9"
    half.mkdir()
    (half / "trained.safetensors").write_bytes(b"half")
    (half / "trainer_state.json").write_text('{"global_st', encoding="utf-8")
    train(recipe, broken, triplets=made_triplets(COUNT, target_queries=False), resume=True)
    assert same(whole, broken)
    assert curves(whole) == curves(broken)
    assert len(curves(whole)["evaluations"]) > 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "recipe.json", "whole"]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": {"epochs": 1.5, "schedule": "constant"}, "evaluate": {"every": 2}},
        {
            "optimiser": {"epochs": 4, "learning_rate": 0.05},
            "evaluate": {"every": 1, "patience": 2, "keep": "last"},
        },
    ],
    ids=["all steps", "early stop"],
)
def test_a_run_that_was_killed_after_its_last_step_takes_none_more(
    tiny_model_folder: Path, tmp_path: Path, spawn: Spawn, changes: dict[str, Any]
) -> None:
    recipe = made_recipe(tiny_model_folder, checkpoint=1, **changes)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    triplets = made_triplets(COUNT, target_queries=False)
    train(recipe, whole, triplets=triplets)
    killed = spawn(recipe, broken, -1)
    _, errors = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, errors
    train(recipe, broken, triplets=triplets, resume=True)
    assert same(whole, broken)
    assert curves(whole) == curves(broken)
    steps = [json.loads((folder / "training.json").read_text(encoding="utf-8"))["kept"] for folder in (whole, broken)]
    assert steps[0] == steps[1]
    if "patience" in changes["evaluate"]:
        assert curves(whole)["evaluations"][-1]["step"] < 4 * 5


def test_checkpoints_are_written_without_evaluations(tiny_model_folder: Path, tmp_path: Path, spawn: Spawn) -> None:
    recipe = made_recipe(tiny_model_folder, optimiser={"epochs": 3}, held_out={"share": 0})
    broken = tmp_path / "broken"
    killed = spawn(recipe, broken, 8)
    _, errors = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, errors
    checkpoint = last_checkpoint(tmp_path / ".broken.training" / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-7"


def test_a_resumed_run_must_be_the_same_run(tiny_model_folder: Path, tmp_path: Path, spawn: Spawn) -> None:
    judged = tmp_path / "held_out.jsonl"
    held_out = made_triplets(4, seed=9)
    write_triplets(judged, held_out)
    recipe = made_recipe(tiny_model_folder, checkpoint=1, held_out={"path": str(judged)})
    output = tmp_path / "out"
    killed = spawn(recipe, output, 2)
    _, errors = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, errors
    triplets = made_triplets(COUNT, target_queries=False)
    with pytest.raises(InputError, match="recipe"):
        train(replace(recipe, seed=5), output, triplets=triplets, resume=True)
    with pytest.raises(InputError, match="data"):
        train(recipe, output, triplets=triplets[1:], resume=True)
    write_triplets(judged, held_out[1:])
    with pytest.raises(InputError, match="data"):
        train(recipe, output, triplets=triplets, resume=True)
    # What was left is thrown away without --resume, and where it may start over.
    with pytest.raises(InputError, match="the interrupted run was a different one"):
        train(made_recipe(tiny_model_folder, seed=5), output, triplets=triplets, resume=True)
    left = output.parent / f".{output.name}.training"
    kept = shutil.copytree(left, tmp_path / "kept.json")
    outcome = train(made_recipe(tiny_model_folder, seed=6), output, triplets=triplets, resume=True, or_anew=True)
    assert outcome.data["seed"] == 6
    kept.rename(left)
    train(made_recipe(tiny_model_folder, seed=5), output, triplets=triplets)
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".json", ".jsonl")] == ["out"]


def test_resume_without_an_interrupted_run_starts_at_the_beginning(tiny_model_folder: Path, tmp_path: Path) -> None:
    recipe = made_recipe(tiny_model_folder, optimiser={"max_steps": 1})
    train(recipe, tmp_path / "out", triplets=made_triplets(COUNT), resume=True)
    assert (tmp_path / "out" / "training.json").is_file()


def test_two_processes_train_as_one_with_batches_twice_as_large(
    tiny_model_folder: Path, tmp_path: Path, spawn: Spawn
) -> None:
    """32 triplets (4 are held out) make steps of 12, 12 and 8 in both; negatives are gathered, gradients averaged."""
    changes: dict[str, Any] = {"dropout": 0.0, "held_out": {"share": 0.1}, "evaluate": {"every": 2, "keep": "last"}}
    one = made_recipe(tiny_model_folder, optimiser={"batch_size": 12}, **changes)
    train(one, tmp_path / "one", triplets=made_triplets(COUNT, target_queries=False))
    two = made_recipe(tiny_model_folder, optimiser={"batch_size": 6}, **changes)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # What `accelerate launch --cpu --num_processes 2` sets.
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    shared |= {"ACCELERATE_USE_CPU": "true"}
    workers = [spawn(two, tmp_path / "two", 0, **shared, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    try:
        # Both are read before either is judged: the one that fails second only says that its peer is gone.
        told = [worker.communicate(timeout=240)[1] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], told
    finally:
        for worker in workers:
            worker.kill()
    data = json.loads((tmp_path / "two" / "training.json").read_text(encoding="utf-8"))
    assert data["environment"]["processes"] == 2
    assert data["kept"]["of_steps"] == 3
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    start = load_file(tiny_model_folder / "model.safetensors")
    for name, weight in a.items():
        torch.testing.assert_close(weight, b[name], rtol=1e-3, atol=2e-5, msg=name)
    assert sum(not torch.equal(start[name], weight) for name, weight in a.items()) > 20


def test_the_curve_of_a_resumed_run_is_that_of_an_uninterrupted_one_between_two_entries_of_the_log(
    tiny_model_folder: Path, tmp_path: Path, spawn: Spawn
) -> None:
    recipe = made_recipe(
        tiny_model_folder,
        optimiser={"batch_size": 2, "epochs": 4, "learning_rate": 1e-3},
        held_out={"share": 0},
        checkpoint=5,
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(recipe, whole, triplets=made_triplets(COUNT, target_queries=False))
    killed = spawn(recipe, broken, 8)
    _, errors = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, errors
    train(recipe, broken, triplets=made_triplets(COUNT, target_queries=False), resume=True)
    steps = [entry["step"] for entry in curves(whole)["steps"]]
    assert steps[:3] == [3, 5, 6]  # every third step, and the checkpoints
    assert curves(whole) == curves(broken)
