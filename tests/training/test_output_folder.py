"""A model that a run was killed while replacing comes back before anything else can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.files.writing import take_lock
from haystack_crossalign.training.output_folder import lock_of, recover_output


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "training.json").write_text(content, encoding="utf-8")
    return path


def test_a_kill_between_the_two_renames_loses_no_model(tmp_path: Path) -> None:
    output = tmp_path / "model"
    folder(tmp_path / ".model.replaced", "before")
    recover_output(output)
    assert (output / "training.json").read_text(encoding="utf-8") == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_kill_after_them_leaves_the_new_model_alone(tmp_path: Path) -> None:
    output = folder(tmp_path / "model", "after")
    folder(tmp_path / ".model.replaced", "before")
    recover_output(output)
    assert (output / "training.json").read_text(encoding="utf-8") == "after"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_a_live_run_is_replacing_is_left_to_it(tmp_path: Path) -> None:
    output = tmp_path / "model"
    folder(tmp_path / ".model.replaced", "before")
    lock = take_lock(lock_of(output), ExternalError("busy"))
    try:
        recover_output(output)
        assert not output.exists()
    finally:
        lock.release()


def test_the_command_recovers_also_where_its_recipe_is_wrong(tmp_path: Path) -> None:
    from haystack_crossalign.cli.main import main

    folder(tmp_path / ".model.replaced", "before")
    with pytest.raises(SystemExit) as stop:
        main(["train", "--recipe", str(tmp_path / "none.yaml"), "--output", str(tmp_path / "model")])
    assert stop.value.code == 2
    assert (tmp_path / "model" / "training.json").read_text(encoding="utf-8") == "before"
