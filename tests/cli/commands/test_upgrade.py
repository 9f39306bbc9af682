"""`crossalign upgrade`, `rollback` and `cleanup` as a user meets them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from upgrading import KEPT, Bed, check_moved, document, everything

KEEP = ("--keep-fields", ",".join(KEPT))


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    made = Bed(opensearch, tmp_path, documents=60)
    monkeypatch.setenv("CROSSALIGN_HOSTS", opensearch.url)
    monkeypatch.chdir(tmp_path)
    return made


def test_plan_apply_rollback_and_cleanup(crossalign: Any, bed: Bed, tmp_path: Path) -> None:
    old = everything(bed.server, bed.index)
    command = ["upgrade", "--index", bed.alias, "--matrix", str(bed.matrix), "--json", str(tmp_path / "out.json")]
    command += ["--no-gate", *KEEP]
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


def test_documents_left_behind_are_deleted_only_by_a_flag_of_its_own(crossalign: Any, bed: Bed) -> None:
    command = ["upgrade", "--index", bed.alias, "--matrix", str(bed.matrix), "--no-gate", "--apply", *KEEP]
    assert crossalign(*command).code == 0
    new = bed.behind()
    bed.server.request("PUT", f"/{bed.alias}/_doc/new1?refresh=true", document(1, bed.rng))
    back = crossalign("rollback", "--index", bed.alias, "--leave-behind")
    assert back.code == 0, back.err
    assert f"In {new} only (1 documents): new1" in back.out
    refused = crossalign("cleanup", "--index", bed.alias, "--yes")
    assert refused.code == 2
    assert f"{new} (new index, rolled back; 1 of its documents are in no other index)" in refused.out
    assert f"{new}: holds 1 documents that are in no other index" in refused.err
    assert ("new1", None) in everything(bed.server, new)
    # A later upgrade does not make it forgotten.
    assert crossalign(*command).code == 0
    assert crossalign("cleanup", "--index", bed.alias, "--yes").code == 2
    deleted = crossalign("cleanup", "--index", bed.alias, "--yes", "--left-behind")
    assert deleted.code == 0, deleted.err
    assert f"Deleted: {new}" in deleted.out


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


def test_going_without_a_gate_must_be_typed(crossalign: Any, bed: Bed) -> None:
    """This index has no parallel groups to make probes from."""
    finished = crossalign("upgrade", "--index", bed.alias, "--matrix", str(bed.matrix), "--apply", *KEEP)
    assert finished.code == 2
    assert "the gate has nothing to ask" in finished.err
    assert "--queries FILE, or --no-gate" in finished.err
    assert bed.behind() == bed.index
    asked = ("--no-gate", "--fail-on", "NDCG@10<1%", *KEEP)
    finished = crossalign("upgrade", "--index", bed.alias, "--matrix", str(bed.matrix), *asked)
    assert "--no-gate and --fail-on exclude each other" in finished.err


def test_a_rollback_without_an_upgrade_is_one_message(crossalign: Any, bed: Bed) -> None:
    finished = crossalign("rollback", "--index", bed.alias)
    assert finished.code == 2
    assert "up: no upgrade of this alias is in the ledger" in finished.err


def test_the_kubernetes_job_shares_one_upgrade(project_root: Path, tmp_path: Path) -> None:
    job = yaml.safe_load((project_root / "training" / "kubernetes-upgrade.yaml").read_text(encoding="utf-8"))
    kubernetes_validate.validate(job, "1.31", strict=True)
    template = job["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container["name"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in template["volumes"]}
    slices = {
        called(container["command"], tmp_path, JOB_COMPLETION_INDEX=str(number))["--slice"]
        for number in range(job["spec"]["completions"])
    }
    assert slices == {"1/4", "2/4", "3/4", "4/4"}


def test_the_slurm_array_shares_one_upgrade(project_root: Path, tmp_path: Path) -> None:
    script = project_root / "training" / "slurm-upgrade.sbatch"
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert shellcheck is not None
    assert subprocess.run([shellcheck, str(script)], check=False).returncode == 0
    command = ["bash", str(script), "prod", "m.safetensors"]
    given = called(command, tmp_path, SLURM_ARRAY_TASK_ID="2", SLURM_ARRAY_TASK_COUNT="4")
    assert given == {"--index": "prod", "--matrix": "m.safetensors", "--slice": "2/4"}


def called(command: list[str], folder: Path, **environment: str) -> dict[str, str]:
    """The options that a script gives to a `crossalign` that only says them."""
    fake = folder / "crossalign"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    fake.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, env={"PATH": path, **environment}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {name: value for name, value in pairwise(done) if name in ("--index", "--matrix", "--slice")}
