"""`crossalign upgrade`, `rollback` and `cleanup` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from upgrading import Bed, check_moved, everything


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    made = Bed(opensearch, tmp_path, documents=60)
    monkeypatch.setenv("CROSSALIGN_HOSTS", opensearch.url)
    monkeypatch.chdir(tmp_path)
    return made


def test_plan_apply_rollback_and_cleanup(crossalign: Any, bed: Bed, tmp_path: Path) -> None:
    old = everything(bed.server, bed.index)
    command = ["upgrade", "--index", bed.alias, "--matrix", str(bed.matrix), "--json", str(tmp_path / "out.json")]
    planned = crossalign(*command)
    assert planned.code == 0
    assert f"Upgrade of 'up': {bed.index} -> up-" in planned.out
    assert "Nothing was written" in planned.out
    assert json.loads((tmp_path / "out.json").read_text())["outcome"] is None
    assert bed.behind() == bed.index
    applied = crossalign(*command, "--apply")
    assert applied.code == 0, applied.err
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["outcome"]["state"] == "switched"
    assert written["plan"]["documents"] == 60
    new = bed.behind()
    assert f"'up' points to {new} now; crossalign rollback --index up goes back" in applied.out
    check_moved(old, everything(bed.server, new), bed.weights)
    back = crossalign("rollback", "--index", bed.alias)
    assert back.code == 0, back.err
    assert bed.behind() == bed.index
    kept = crossalign("cleanup", "--index", bed.alias, "--yes", "--old")
    assert kept.code == 0, kept.err
    assert f"Deleted: {new}" in kept.out
    assert everything(bed.server, bed.index) == old


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "no new vectors; allowed: --matrix FILE, --model NAME or --embedder FILE"),
        (["--matrix", "m", "--model", "n"], "--matrix and --model exclude each other"),
        (["--matrix", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["--matrix", "m", "--slice", "3/2"], "--slice: no part; seen: (3, 2)"),
        (["--matrix", "m", "--slice", "two"], "--slice: not a slice; seen: 'two'"),
    ],
)
def test_what_does_not_fit_is_one_message(
    crossalign: Any, options: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSALIGN_HOSTS", "http://127.0.0.1:9")
    finished = crossalign("upgrade", "--index", "prod", *options)
    assert finished.code == 2
    assert told in finished.err
    assert "Traceback" not in finished.err


def test_a_rollback_without_an_upgrade_is_one_message(crossalign: Any, bed: Bed) -> None:
    finished = crossalign("rollback", "--index", bed.alias)
    assert finished.code == 2
    assert "up: no upgrade of this alias is in the ledger" in finished.err
