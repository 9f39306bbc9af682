from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from sentence_transformers import SentenceTransformer
from tiny_models import tiny_model_folder
from training_runs import made_recipe, made_triplets, quoted_triplets

from haystack_crossalign import train_model
from haystack_crossalign.data.formats.triplets import write_triplets
from haystack_crossalign.errors import ExternalError

pytestmark = pytest.mark.training

__all__ = ["tiny_model_folder"]


@pytest.fixture
def recipe_file(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A recipe with its data beside it."""
    rows = [
        {"id": one.id, "group": one.group, "query": one.query, "passage": one.passage, "targets": dict(one.targets)}
        for one in made_triplets(40)
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = made_recipe(tiny_model_folder, data=[{"path": "data.jsonl", "licence": "CC0"}]).to_dict()
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def test_train_writes_model_card_result_and_report_and_prints_before_and_after(
    crossalign, recipe_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "aligned"
    done = crossalign("train", "--recipe", recipe_file, "--output", output, "--set", "optimiser.max_steps=3")
    assert (done.code, done.err) == (0, "")
    assert "before and after" in done.out
    assert "Max@R_norm" in done.out
    assert {"README.md", "training.json", "report.html", "model.safetensors"} <= {one.name for one in output.iterdir()}
    data = json.loads((output / "training.json").read_text(encoding="utf-8"))
    assert data["kept"]["of_steps"] == 3
    assert data["name"] == "aligned"
    assert "CC0" in (output / "README.md").read_text(encoding="utf-8")
    assert SentenceTransformer(str(output), device="cpu").encode(["w1"]).shape == (1, 16)


def test_quiet_prints_nothing(crossalign, recipe_file: Path, tmp_path: Path) -> None:
    done = crossalign("train", "--recipe", recipe_file, "--output", tmp_path / "out", "-q", "--set", "evaluate.every=1")
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--set", "optimiser.lr=1"], ["--set", "optimiser.lr", "unknown key", "learning_rate"]),
        (["--set", "start={1: 2}"], ["settings of a repair, but start.kind is not repair", "kind: repair"]),
        (["--set", "model=~nobody-here/model"], ["unknown user in the path", "~nobody-here/model"]),
        (["--keep-own-first", "2"], ["--keep-own-first", "seen: 2.0", "0 to 1"]),
        (["--keep-own-first", "0.02", "--set", "held_out.share=0"], ["evaluate.keep_own_first", "held-out part"]),
        (["--set", "data.0.path=missing.jsonl"], ["missing.jsonl", "no such file"]),
        (["--set", "model=nowhere/at/all"], ["model"]),
        (["--set", "lora.targets=[nothing]", "--set", "lora.rank=2"], ["lora.targets", "query"]),
    ],
)
def test_what_is_wrong_is_one_message_and_exit_code_2(
    crossalign, recipe_file: Path, tmp_path: Path, arguments: list[str], messages: list[str]
) -> None:
    done = crossalign("train", "--recipe", recipe_file, "--output", tmp_path / "out", *arguments)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert all(message in done.err for message in messages)
    assert not (tmp_path / "out").exists()


def test_a_bound_that_nothing_keeps_to_is_one_line_and_exit_code_1(
    crossalign, recipe_file: Path, tmp_path: Path
) -> None:
    """A repair that is not trained takes every difference between the languages, and nothing weaker is allowed."""
    start = "{kind: repair, strength: 1, common_share: 1, whitening: null, closed: true, train_dense: false}"
    flags = ["--set", f"start={start}", "--set", "evaluate.keep=last", "--set", "optimiser.max_steps=1"]
    write_triplets(tmp_path / "data.jsonl", quoted_triplets(60, 2))
    write_triplets(tmp_path / "held_out.jsonl", quoted_triplets(30, 1))
    flags += ["--set", "held_out.path=held_out.jsonl"]
    output = tmp_path / "out"
    free = crossalign("train", "--recipe", recipe_file, "--output", output, *flags)
    assert (free.code, free.err) == (0, "")
    assert json.loads((output / "training.json").read_text(encoding="utf-8"))["result"]["own_first_lost"] > 0
    assert "Own language first, where it lost most" in free.out
    done = crossalign(
        "train", "--recipe", recipe_file, "--output", tmp_path / "none", "--keep-own-first", "0", "-q", *flags
    )
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "evaluate.keep_own_first" in done.err
    assert not (tmp_path / "none").exists()


def test_a_wrong_line_of_the_recipe_is_named(crossalign, recipe_file: Path, tmp_path: Path) -> None:
    text = recipe_file.read_text(encoding="utf-8") + "sead: 1\n"
    recipe_file.write_text(text, encoding="utf-8")
    done = crossalign("train", "--recipe", recipe_file, "--output", tmp_path / "out")
    assert done.code == 2
    assert f"line {text.count(chr(10))}, field 'sead'" in done.err


def test_a_folder_that_is_not_ours_is_left_alone(crossalign, recipe_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "photos"
    output.mkdir()
    (output / "one.jpg").write_bytes(b"x")
    done = crossalign("train", "--recipe", recipe_file, "--output", output)
    assert done.code == 2
    assert [one.name for one in output.iterdir()] == ["one.jpg"]


def test_ctrl_c_leaves_with_130_and_a_run_that_can_be_resumed(
    crossalign, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haystack_crossalign.cli.commands.train import _Bar

    def interrupt(self: object, stage: str, done: int, total: int, terms: object) -> None:  # noqa: ARG001
        if stage == "Training" and done == 2:
            raise KeyboardInterrupt

    command = ["train", "--recipe", recipe_file, "--output", tmp_path / "out", "--set", "checkpoint=1"]
    with monkeypatch.context() as patch:
        patch.setattr(_Bar, "__call__", interrupt)
        done = crossalign(*command)
    assert done.code == 130
    assert not (tmp_path / "out").exists()
    left = tmp_path / ".out.training"
    refused = crossalign(*command)
    assert refused.code == 2
    assert "an interrupted run has left checkpoints" in refused.err
    assert any((left / "checkpoints").iterdir())
    done = crossalign(*command, "--resume")
    assert done.code == 0
    assert not left.exists()
    # Finished: nothing replaces the model by mistake.
    written = (tmp_path / "out" / "training.json").read_bytes()
    done = crossalign(*command, "--resume", "--set", "seed=7")
    assert done.code == 2
    assert "there is nothing to resume" in done.err
    assert (tmp_path / "out" / "training.json").read_bytes() == written


def test_without_a_terminal_a_line_every_half_minute_tells_step_loss_and_time_left(capsys: Any) -> None:
    from haystack_crossalign.cli.commands.train import _Bar

    now = iter([0.0, 0.0, 10.0, 31.0, 40.0, 62.0])
    with _Bar(show=True, clock=lambda: next(now)) as bar:
        for step in (0, 10, 31, 40, 62):
            bar("Training", step, 124, {"loss": 1.5})
    assert capsys.readouterr().err.splitlines() == [
        "crossalign: Training: step 31 of 124, loss 1.5000, 1 min 33 s left",
        "crossalign: Training: step 62 of 124, loss 1.5000, 1 min 2 s left",
    ]


@pytest.mark.parametrize(("kilobytes", "checkpoint"), [(20, 1000), (60, 1)], ids=["model", "checkpoint"])
def test_a_disk_that_has_no_room_is_an_outside_fault(
    recipe_file: Path, tmp_path: Path, quick_python: list[str], kilobytes: int, checkpoint: int
) -> None:
    """A limit on the size of files stands for it: safetensors and torch each tell it in their own way."""
    import resource

    command = [*quick_python, "-m", "haystack_crossalign", "train", "--recipe", str(recipe_file), "--quiet"]
    command += ["--output", str(tmp_path / "out"), "--set", f"checkpoint={checkpoint}", "--set", "evaluate.keep=last"]
    size = 1024 * kilobytes
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # Python 3.11 would keep modules that were cut off
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "cannot be written" in done.stderr
    assert "fault of the program" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_told_with_the_line_of_the_recipe(
    crossalign, recipe_file: Path, tmp_path: Path
) -> None:
    text = recipe_file.read_text(encoding="utf-8")
    start = text.index("  name:", text.index("model:"))
    end = text.index("\n", start)
    recipe_file.write_text(text[:start] + "  name: ./nowhere" + text[end:], encoding="utf-8")
    done = crossalign("train", "--recipe", recipe_file, "--output", tmp_path / "out")
    assert done.code == 2
    line = recipe_file.read_text(encoding="utf-8")[:start].count("\n") + 1
    assert f"recipe.yaml, line {line}, field 'model.name': no such model folder; seen: './nowhere'" in done.err


def test_the_card_names_the_terms_that_were_trained_with(crossalign, recipe_file: Path, tmp_path: Path) -> None:
    joint = "the joint loss of cross-lingual alignment"
    command = ["train", "--recipe", recipe_file, "--set", "optimiser.max_steps=2", "--quiet", "--output"]
    assert crossalign(*command, tmp_path / "joint").code == 0
    assert joint in (tmp_path / "joint" / "README.md").read_text(encoding="utf-8")
    pool = ["--set", "loss={alignment_weight: 0, nce_weight: 0, pool_weight: 1}"]
    assert crossalign(*command, tmp_path / "pool", *pool).code == 0
    card = (tmp_path / "pool" / "README.md").read_text(encoding="utf-8")
    assert joint not in card
    assert "trained by a contrast of queries with one pool of passages in all languages." in card
    assert 'SentenceTransformer("path/to/this/folder")' in card


def test_a_folder_in_which_nothing_can_be_made_is_no_other_run(crossalign, recipe_file: Path) -> None:
    done = crossalign("train", "--recipe", recipe_file, "--output", "/proc/model")
    assert done.code == 3
    assert "another training run" not in done.err
    assert "cannot be locked" in done.err


@pytest.mark.parametrize("name", ["accelerate", "datasets"])
def test_a_package_of_the_extra_that_is_missing_is_one_line(
    crossalign, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    done = crossalign("train", "--recipe", recipe_file, "--output", tmp_path / "out")
    assert done.code == 3
    assert f"training needs the package {name}" in done.err
    assert "pip install 'haystack-crossalign[train]'" in done.err
    assert not (tmp_path / "out").exists()
    with pytest.raises(ExternalError, match=f"training needs the package {name}"):
        train_model(recipe_file, tmp_path / "out")
