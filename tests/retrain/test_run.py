"""The retraining job: its configuration, what it publishes, what it refuses, and what a killed run leaves."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator
from sentence_transformers import SentenceTransformer

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.writing import settle_tree
from haystack_crossalign.retrain.config import read_job
from haystack_crossalign.retrain.data import read_files
from haystack_crossalign.retrain.model import job_recipe
from haystack_crossalign.retrain.outcome import AnotherRunActiveError, GateFailedError, outcome_schema
from haystack_crossalign.retrain.run import run_job
from haystack_crossalign.retrain.store import ModelStore, version_name
from haystack_crossalign.training.train_data import read_train_data

pytestmark = pytest.mark.training

WriteJob = Callable[..., Path]
CODE = "from haystack_crossalign.cli.main import main; main()"


@pytest.fixture
def write_job(tmp_path: Path, tiny_model_folder: Path) -> WriteJob:
    """``write_job(**changes)``: a job that repairs the tiny model on 40 parallel texts of two languages of words."""
    lines = []
    for group in range(40):
        texts = {}
        for place, tag in enumerate(("en", "zh")):
            words = np.random.default_rng([group, place]).integers(30, size=12) + 30 * place
            texts[tag] = [f"w{word}" for word in words]
        line = {"query": " ".join(texts["en"][:5]), "passage": " ".join(texts["en"]), "group": f"g{group}"}
        line |= {"targets": {"zh": " ".join(texts["zh"])}, "target_queries": {"zh": " ".join(texts["zh"][:5])}}
        lines.append(json.dumps(line))
    (tmp_path / "triplets.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def write(name: str = "job.yaml", **changes: Any) -> Path:
        values: dict[str, Any] = {
            "name": "tiny",
            "models": "models",
            "method": "repair",
            "model": str(tiny_model_folder),
            "source": {"files": [{"path": "triplets.jsonl"}]},
            "filters": {"language": False},
            "audit": {"share": 0.4, "samples": 100},
            # A model with random weights: whether it gets better is chance.
            "gate": {"tolerance": None, "keep_own_first": None, "must_improve": False},
        }
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values | changes), encoding="utf-8")
        return path

    return write


def outcome_of(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    Draft202012Validator(outcome_schema()).validate(data)
    return data


def run(path: Path, **options: Any) -> dict[str, Any]:
    run_job(read_job(path), environ={}, **options)
    return outcome_of(path.parent / "models")


def start(python: list[str], path: Path, code: str = CODE) -> subprocess.Popen[bytes]:
    command = [*python, "-c", code, "retrain", "--config", str(path), "--quiet"]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)


def start_held(python: list[str], path: Path) -> subprocess.Popen[bytes]:
    """The command, whose audit waits until the file ``go`` stands beside the configuration: it cannot end too early."""
    code = (
        "import faulthandler, signal; faulthandler.register(signal.SIGUSR1, all_threads=True)\n"
        "import pathlib, time; import haystack_crossalign.retrain.run as job; audit = job.audit_model\n"
        "def held(*arguments, **options):\n"
        f"    while not pathlib.Path({str(path.parent / 'go')!r}).exists(): time.sleep(0.01)\n"
        "    return audit(*arguments, **options)\n"
        "job.audit_model = held\n"
        f"{CODE}"
    )
    return start(python, path, code)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def left_behind(models: Path) -> list[str]:
    return sorted(
        path.name for path in models.iterdir() if path.name not in ("outcome.json", "report.html", ".lock", ".order")
    )


def test_a_passing_model_is_published_with_its_audit_and_latest_points_to_it(write_job: WriteJob) -> None:
    path = write_job()
    models = path.parent / "models"
    outcome = run(path)
    assert (outcome["status"], outcome["exit_code"], outcome["error"]) == ("published", 0, None)
    assert [(step["name"], step["status"]) for step in outcome["steps"]] == [
        (name, "done") for name in ("read", "filter", "repair", "audit", "gate", "publish")
    ]
    assert outcome["steps"][1]["facts"]["train"] == 24
    assert outcome["steps"][1]["facts"]["held_out"] == 16
    version = outcome["version"]
    assert left_behind(models) == [version, "latest"]
    assert (models / "latest").readlink() == Path(version)
    assert version.endswith(outcome["model"]["sha256"][:12])
    assert SentenceTransformer(str(models / "latest"), device="cpu").encode(["w1"]).shape == (1, 16)
    inside = json.loads((models / "latest" / "job" / "outcome.json").read_text(encoding="utf-8"))
    Draft202012Validator(outcome_schema()).validate(inside)
    assert inside["version"] == version
    assert {step["status"] for step in inside["steps"]} == {"done"}
    assert str(path.parent) not in (models / "outcome.json").read_text(encoding="utf-8")


def test_nothing_is_published_when_the_gate_fails(write_job: WriteJob) -> None:
    first = run(write_job())["version"]
    gate = {
        "tolerance": None,
        "keep_own_first": None,
        "must_improve": False,
        "fail_on": ["Max@R_norm<100%", "Max@R_norm[zh]<0.1%"],
    }
    path = write_job(gate=gate)
    with pytest.raises(GateFailedError, match=r"not published: Max@R_norm<100% \(multi, queries in en"):
        run(path)
    models = path.parent / "models"
    outcome = outcome_of(models)
    assert (outcome["status"], outcome["exit_code"], outcome["version"]) == ("gate failed", 1, None)
    failed = [(one["condition"], one["query_language"]) for one in outcome["gate"] if one["failed"]]
    assert failed == [("Max@R_norm<100%", "en"), ("Max@R_norm<100%", "zh")]
    assert [step["name"] for step in outcome["steps"]][-1] == "gate"
    assert left_behind(models) == [first, "latest"]
    assert (models / "latest").readlink() == Path(first)


def test_a_model_that_is_not_better_or_harms_a_language_fails_the_gate(write_job: WriteJob, tmp_path: Path) -> None:
    from haystack_crossalign.audit.result import AuditResult
    from haystack_crossalign.retrain.audit import judge

    run(write_job())
    folder = tmp_path / "models" / "latest" / "job"
    before = AuditResult.load(folder / "before.json")
    same = judge(before, before, read_job(write_job(gate={})))
    (failure,) = same.failures
    assert "mean Max@R_norm did not rise" in failure
    # The same audit with Chinese queries less that find their passages in the Chinese pool: one is no loss, two are.
    data = json.loads(before.to_json())
    row = next(
        n for n, one in enumerate(data["rows"]) if (one["scenario"], one["query_language"]) == ("mono-same", "zh")
    )
    column = data["queries"]["measures"]["NDCG@1"]
    places = [n for n in range(len(column)) if data["queries"]["row"][n] == row and column[n] == 1][:2]
    column[places[0]] = 0.0
    once = AuditResult.from_dict(json.loads(json.dumps(data)))
    assert not judge(before, once, read_job(write_job(gate={"must_improve": False}))).failures
    assert judge(before, once, read_job(write_job(gate={"must_improve": False, "tolerance": 0}))).failures
    column[places[1]] = 0.0
    harmed = judge(before, AuditResult.from_dict(data), read_job(write_job(gate={"must_improve": False})))
    (failure,) = harmed.failures
    assert failure.startswith("same-language NDCG@1 in zh went from")
    lenient = read_job(write_job(gate={"must_improve": False, "tolerance": 0.5}))
    assert not judge(before, AuditResult.from_dict(data), lenient).failures
    # And with a smaller share of Chinese queries that find a Chinese document first in the mixed pool.
    mixed = next(one for one in data["rows"] if (one["scenario"], one["query_language"]) == ("multi", "zh"))
    share = mixed["measures"]["Top1[relevant,same]"]
    mixed["measures"]["Top1[relevant,same]"] = share - 0.03
    kept = [
        judge(before, AuditResult.from_dict(data), read_job(write_job(gate={**gate, "keep_own_first": bound})))
        for gate in [{"must_improve": False, "tolerance": 0.5}]
        for bound in ("auto", None, 0.05, 0.02)
    ]
    assert not any(judgment.failures for judgment in kept[:3])
    (failure,) = kept[3].failures
    assert failure.startswith(f"Top1[relevant,same] of queries in zh went from {share:.4f} to {share - 0.03:.4f}")
    # By default as much as a repair may: a tenth, or one query where that is more.
    mixed["measures"]["Top1[relevant,same]"] = share - max(0.1, 1 / mixed["queries"]) - 0.01
    gate = {"must_improve": False, "tolerance": 0.5}
    far = AuditResult.from_dict(data)
    assert [len(judge(before, far, read_job(write_job(gate=part))).failures)
            for part in (gate, {**gate, "keep_own_first": None})] == [1, 0]  # fmt: skip
    mixed["measures"]["Top1[relevant,same]"] = share
    # The languages served alike: the Chinese mean is brought to a quarter of the English one.
    english = next(one for one in data["rows"] if (one["scenario"], one["query_language"]) == ("multi", "en"))
    mixed["measures"]["Max@R_norm"] = english["measures"]["Max@R_norm"] / 4
    gate = {"must_improve": False, "tolerance": 0.5}
    judged = [
        judge(before, AuditResult.from_dict(data), read_job(write_job(gate={**gate, "fail_on": [condition]})))
        for condition in ("Parity[Max@R_norm]<20%", "Parity[Max@R_norm]<30%")
    ]
    assert not judged[0].failures
    assert judged[1].failures == ("Parity[Max@R_norm]<30% (multi, queries in zh: 0.25)",)


def test_old_versions_are_removed_but_never_the_latest(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    names = [version_name(datetime(2026, 1, day, tzinfo=UTC), f"{day:064x}") for day in range(1, 6)]
    assert names[0] == "2026-01-01T00-00-00Z-000000000000"
    for name in names:
        built = tmp_path / "built"
        built.mkdir()
        (built / "file").write_text(name)
        store.publish(built, name)
        assert (tmp_path / "latest" / "file").read_text() == name
    (tmp_path / "mine").mkdir()
    store.point_to(names[1])  # rolled back by hand
    assert store.prune(2) == ([names[0], names[2]], [])
    assert left_behind(tmp_path) == [names[1], names[3], names[4], "latest", "mine"]
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").mkdir()
    with pytest.raises(InputError, match="not a link"):
        store.point_to(names[3])


def test_a_folder_that_cannot_be_written_is_an_outside_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExternalError, match="cannot be made"), ModelStore(tmp_path / "file" / "models").locked():
        pass


def test_where_the_models_cannot_be_written_the_other_outcome_says_so(write_job: WriteJob, tmp_path: Path) -> None:
    with pytest.raises(ExternalError, match="cannot be made"):
        run_job(read_job(write_job(models="/proc/models")), environ={}, outcome_file=tmp_path / "outcome.json")
    found = outcome_of(tmp_path)
    assert (found["status"], found["exit_code"], found["steps"]) == ("outside fault", 3, [])
    assert "cannot be made" in found["error"]


def test_a_version_that_cannot_be_removed_is_no_fault_of_the_published_one(
    write_job: WriteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a network a file that is in use cannot be removed; no local file system refuses the superuser that."""
    models = tmp_path / "models"
    old = version_name(datetime(2026, 1, 1, tzinfo=UTC), "0" * 64)
    (models / old).mkdir(parents=True)
    remove = shutil.rmtree

    def refuse(path: Path, **options: Any) -> None:
        if old in str(path):
            if options.get("ignore_errors"):
                return
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        remove(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        outcome = run(write_job(keep=1))
    assert (outcome["status"], outcome["removed_versions"]) == ("published", [old])
    assert outcome["steps"][-1]["facts"]["not_removed"] == [f"{old}: cannot be removed: Device or resource busy"]
    assert (models / "latest").readlink().name == outcome["version"]
    assert left_behind(models) == [f".trash-{old}", outcome["version"], "latest"]
    assert run(write_job(keep=1))["status"] == "published"
    assert not (models / f".trash-{old}").exists()


def test_of_languages_that_the_job_sets_messages_blame_the_job(write_job: WriteJob, tmp_path: Path) -> None:
    recipe = {"model": "m", "languages": ["zh", "es"], "data": [{"path": "triplets.jsonl"}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")

    def told(**changes: Any) -> str:
        made = job_recipe(read_job(write_job(method="train", recipe="recipe.yaml", **changes))).recipe
        assert made is not None
        with pytest.raises(InputError, match=r"'languages': no triplet .* seen: 'es'") as caught:
            read_train_data(made)
        return str(caught.value)

    assert re.search(r"recipe\.yaml, line \d, field", told())
    assert "job.yaml, field" in told(languages=["zh", "es"])


def test_a_job_for_fewer_languages_takes_their_shares_from_its_recipe(write_job: WriteJob, tmp_path: Path) -> None:
    start = {"kind": "repair", "own_share": {"zh": 0.2, "es": None}}
    recipe = {"model": "m", "languages": ["zh", "es"], "start": start, "freeze_encoder": True}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")

    def shares(*languages: str) -> object:
        job = read_job(write_job(method="train", recipe="recipe.yaml", languages=list(languages) or None))
        made = job_recipe(job).recipe
        assert made is not None
        assert made.languages == (languages or ("zh", "es"))
        return made.start.own_share

    assert shares() == {"zh": 0.2, "es": None}
    assert shares("zh") == {"zh": 0.2}
    with pytest.raises(InputError, match=r"'start\.own_share': a share is needed for each.*one for each of zh, th"):
        shares("zh", "th")


def test_a_second_run_does_nothing_and_says_so(write_job: WriteJob, tmp_path: Path, quick_python: list[str]) -> None:
    """Two real processes: the other one is in its work when this one starts."""
    path = write_job()
    models = tmp_path / "models"
    other = start_held(quick_python, path)
    try:
        wait_for((models / ".work" / "state.json").is_file, other)
        with pytest.raises(AnotherRunActiveError, match="another run is active"):
            run_job(read_job(path), environ={}, outcome_file=tmp_path / "outcome.json")
        assert other.poll() is None
        busy = outcome_of(tmp_path)
        assert (busy["status"], busy["exit_code"], busy["steps"]) == ("another run is active", 75, [])
        running = outcome_of(models)
        assert (running["status"], running["exit_code"], running["finished"]) == ("running", None, None)
        (tmp_path / "go").touch()
        assert other.wait(timeout=120) == 0
    finally:
        other.kill()
        other.communicate()
    assert outcome_of(models)["status"] == "published"


def test_a_killed_run_is_gone_on_with_and_leaves_no_half_of_a_version(
    write_job: WriteJob, tmp_path: Path, quick_python: list[str]
) -> None:
    path = write_job()
    models = tmp_path / "models"
    killed = start_held(quick_python, path)
    state = models / ".work" / "state.json"
    try:
        wait_for(lambda: state.is_file() and "data" in json.loads(state.read_text())["done"], killed)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert left_behind(models) == [".work"]
    outcome = run(path)
    steps = {step["name"]: step["status"] for step in outcome["steps"]}
    assert (steps["read"], steps["repair"], steps["publish"]) == ("skipped", "done", "done")
    assert left_behind(models) == [outcome["version"], "latest"]


def test_a_killed_run_is_not_gone_on_with_when_the_data_of_its_recipe_have_changed(
    write_job: WriteJob, tmp_path: Path, tiny_model_folder: Path, quick_python: list[str]
) -> None:
    recipe = {"model": str(tiny_model_folder), "languages": ["zh"], "data": [{"path": "triplets.jsonl"}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"held_out": {"share": 0.4}}), encoding="utf-8")
    path = write_job(source=None, recipe="recipe.yaml", filters={}, audit={"samples": 100})
    state = tmp_path / "models" / ".work" / "state.json"
    data = tmp_path / "triplets.jsonl"
    for changed in (False, True):
        killed = start_held(quick_python, path)
        try:
            wait_for(lambda: state.is_file() and "model" in json.loads(state.read_text())["done"], killed)
        finally:
            killed.send_signal(signal.SIGKILL)
            killed.communicate()
        if changed:
            data.write_text("\n".join(data.read_text(encoding="utf-8").splitlines()[1:]), encoding="utf-8")
        status = {step["name"]: step["status"] for step in run(path)["steps"]}
        assert status["repair"] == ("done" if changed else "skipped")


def test_a_run_that_the_scheduler_ends_says_so(write_job: WriteJob, tmp_path: Path, quick_python: list[str]) -> None:
    ended = start_held(quick_python, write_job())
    try:
        wait_for((tmp_path / "models" / ".work" / "state.json").is_file, ended)
        ended.send_signal(signal.SIGTERM)
        try:
            assert ended.wait(timeout=120) == 130
        except subprocess.TimeoutExpired:
            ended.send_signal(signal.SIGUSR1)  # prints where it hangs
            time.sleep(1)
            ended.kill()
            pytest.fail(f"it goes on: {ended.communicate()[1].decode()[-4000:]}")
    finally:
        ended.kill()
        ended.communicate()
    outcome = outcome_of(tmp_path / "models")
    assert (outcome["status"], outcome["exit_code"]) == ("interrupted", 130)
    assert left_behind(tmp_path / "models") == [".work"]


def test_another_configuration_does_not_take_up_what_a_killed_run_left(write_job: WriteJob, tmp_path: Path) -> None:
    work = tmp_path / "models" / ".work"
    work.mkdir(parents=True)
    (work / "state.json").write_text(json.dumps({"digest": "other", "started": time.time(), "done": ["data", "model"]}))
    (work / "model").mkdir()
    outcome = run(write_job())
    assert {step["status"] for step in outcome["steps"]} == {"done"}


def test_a_run_killed_between_the_two_renames_of_publishing_is_finished_by_the_next(
    write_job: WriteJob, tmp_path: Path, quick_python: list[str]
) -> None:
    first = run(write_job())["version"]
    path = write_job(seed=1)
    code = (
        "import os, signal; from haystack_crossalign.retrain.store import ModelStore as S;"
        "S.point_to = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        f"{CODE}"
    )
    killed = start(quick_python, path, code)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    models = tmp_path / "models"
    assert (models / "latest").readlink() == Path(first)
    outcome = run(path)
    assert outcome["status"] == "published"
    assert outcome["version"] != first
    assert outcome["steps"][-1]["facts"] == {"of_an_earlier_run": True}
    assert left_behind(models) == [first, outcome["version"], "latest"]
    assert (models / "latest").readlink() == Path(outcome["version"])
    # Who rolls back has the last word.
    killed = start(quick_python, write_job(seed=2), code)
    killed.communicate(timeout=120)
    ModelStore(models).point_to(first)
    left = json.loads((models / ".work" / "state.json").read_text(encoding="utf-8"))["publishing"]
    assert (models / left).is_dir()
    again = run(path)
    assert [step["name"] for step in again["steps"]][:2] == ["read", "filter"]
    assert (models / "latest").readlink() == Path(again["version"]) != Path(left)


def test_a_model_that_could_not_be_published_is_published_by_the_next_run(
    write_job: WriteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("haystack_crossalign.retrain.store.settle_tree", full)
        with pytest.raises(ExternalError, match="cannot be published: No space left"):
            run(write_job())
    assert left_behind(tmp_path / "models") == [".work"]
    steps = {step["name"]: step["status"] for step in run(write_job())["steps"]}
    assert (steps["read"], steps["repair"], steps["publish"]) == ("skipped", "skipped", "done")


def test_nothing_is_gone_on_with_once_a_file_below_an_evaluation_folder_has_changed(
    write_job: WriteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    below = tmp_path / "judged" / "below"
    below.mkdir(parents=True)
    (below / "a.txt").write_text("nothing that is trained on", encoding="utf-8")
    (below / "b.gz").write_bytes(b"not read")
    job = {"filters": {"language": False, "evaluation": ["judged"]}}
    with monkeypatch.context() as patch:
        patch.setattr("haystack_crossalign.retrain.store.settle_tree", full)
        with pytest.raises(ExternalError, match="No space left"):
            run(write_job(**job))
    leaked = json.loads((tmp_path / "triplets.jsonl").read_text(encoding="utf-8").splitlines()[0])["passage"]
    (below / "a.txt").write_text(leaked, encoding="utf-8")
    steps = {step["name"]: step for step in run(write_job(**job))["steps"]}
    assert {step["status"] for step in steps.values()} == {"done"}
    assert steps["filter"]["facts"]["dropped"]["overlap with the evaluation set"] == 1
    assert steps["filter"]["facts"]["evaluation_not_read"] == ["b.gz"]


def test_permissions_are_added_and_none_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o2700)
    (folder / "tool").touch(0o700)
    settle_tree(folder)
    umask = os.umask(0)
    os.umask(umask)
    assert folder.stat().st_mode & 0o7777 == 0o2700 | (0o777 & ~umask)
    assert (folder / "tool").stat().st_mode & 0o7777 == 0o700 | (0o666 & ~umask)


def test_a_training_that_a_killed_run_had_launched_keeps_the_next_one_away(
    write_job: WriteJob, tmp_path: Path, tiny_model_folder: Path
) -> None:
    recipe = {"model": str(tiny_model_folder), "languages": ["zh"], "data": [{"path": "triplets.jsonl"}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    pid = tmp_path / "pid"
    launch = ["bash", "-c", f"echo $$ >{pid}; exec sleep 300", "launcher"]
    # A real one: the death of one that was forked is only seen on its standard error, which the launched one has, too.
    killed = start([sys.executable], write_job(method="train", recipe="recipe.yaml", launch=launch))
    try:
        wait_for(lambda: pid.is_file() and pid.read_text().endswith("\n"), killed)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()  # the launcher has its standard error, too, and keeps it open
    path = write_job()
    try:
        with pytest.raises(AnotherRunActiveError, match="had launched is still running"):
            run_job(read_job(path), environ={})
        assert (tmp_path / "models" / ".work" / "recipe.yaml").is_file()
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:  # the lock goes when the process has gone
        try:
            outcome = run(path)
            break
        except AnotherRunActiveError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert outcome["status"] == "published"
    # Whoever serves the model reads it, too.
    umask = os.umask(0)
    os.umask(umask)
    files = [one for one in (tmp_path / "models" / outcome["version"]).rglob("*") if one.is_file()]
    assert {one.stat().st_mode & 0o777 for one in files} == {0o666 & ~umask}


def test_wrong_configurations_name_file_line_and_key(write_job: WriteJob, tmp_path: Path) -> None:
    for changes, told in (
        ({"metod": "repair"}, r"job\.yaml, line \d+, field 'metod': unknown key.*allowed: models, name, method"),
        ({"gate": {"fail_on": ["Max@R<<1"]}}, r"field 'gate\.fail_on\.0': not a condition"),
        ({"gate": {"tolerence": 1}}, r"field 'gate\.tolerence': unknown key"),
        ({"method": "train"}, r"field 'recipe': training needs a recipe"),
        ({"recipe": "none.yaml"}, r"field 'recipe': no such file"),
        ({"model": "offline:x"}, r"job\.yaml, line \d+, field 'model': not allowed; seen: 'offline:x'.*offline:multi"),
        ({"keep": 0}, r"field 'keep': not allowed; seen: 0; allowed: a whole number, 1 or more"),
        ({"source": {"files": []}}, r"field 'source': nothing to read"),
        ({"launch": ["accelerate", "launch"]}, r"field 'launch'"),
        ({"audit": {"documents": "d.jsonl"}}, r"field 'audit': one without the other"),
        ({"source": None, "recipe": "job.yaml"}, r"field 'filters': only works with a source"),
        ({"source": None, "recipe": "job.yaml", "filters": {}}, r"field 'audit\.share': only works with a source"),
        ({"overrides": ["seed=1"]}, r"field 'overrides': overrides need a recipe"),
        ({"source": {"index": {"index": "x", "password": "y"}}}, r"field 'source\.index\.password': unknown key"),
    ):
        with pytest.raises(InputError, match=told):
            read_job(write_job(**changes))
    launch = ["accelerate", "launch", "--num_machines", "1", "--num_processes", "1"]
    assert read_job(write_job(method="train", recipe="job.yaml", launch=launch)).launch == tuple(launch)
    assert read_job(write_job(), ["gate.tolerance=0.02"]).gate.tolerance == 0.02
    assert not (tmp_path / "models").exists()


def test_conditions_that_no_row_can_answer_stop_the_run_before_the_model(write_job: WriteJob, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gate\.fail_on: matches no row"):
        run(write_job(gate={"fail_on": ["Max@R_norm[th]<1%"]}))
    outcome = outcome_of(tmp_path / "models")
    assert (outcome["status"], [step["name"] for step in outcome["steps"]]) == ("wrong input", ["read", "filter"])
    with pytest.raises(InputError, match="too few parallel groups were held out"):
        run(write_job(audit={"share": 0.01}))


def test_files_that_number_their_groups_alike_are_refused(write_job: WriteJob, tmp_path: Path) -> None:
    texts = {"a": ("cats", "en", "zh"), "b": ("tax law", "en", "ar")}
    for name, (subject, *tags) in texts.items():
        rows = [
            {"id": f"{tag}{row}", "text": f"{subject} {tag} {row}", "language": tag, "parallel_id": str(row)}
            for row in range(3)
            for tag in tags
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    job = read_job(write_job(source={"files": [{"path": "a.jsonl"}, {"path": "b.jsonl"}]}))
    assert job.source is not None
    message = r"b\.jsonl, field 'parallel_id': .* another text in en in a\.jsonl; seen: '0'"
    with pytest.raises(InputError, match=message):
        read_files(job, job.source.files, "en", ())
    # A language in a file of its own is fine.
    assert len(read_files(job, job.source.files[:1], "en", ()).documents.passages) == 6


def test_a_language_that_nothing_judges_stops_the_run_before_the_model(write_job: WriteJob, tmp_path: Path) -> None:
    file = tmp_path / "triplets.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for line in lines[:3]:
        line["targets"]["th"] = line["targets"]["zh"].replace("w", "v")
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    for seed in range(3):  # some of the three are held out, or none
        with pytest.raises(InputError, match=r"too few .* whether th loses anything; seen: '\d queries in th'"):
            run(write_job(gate={"must_improve": False}, seed=seed))
    assert [step["name"] for step in outcome_of(tmp_path / "models")["steps"]] == ["read", "filter"]
    # Languages that the job does not want are not read.
    outcome = run(write_job(gate={"must_improve": False, "tolerance": 1.0, "keep_own_first": None}, languages=["zh"]))
    assert {one["language"] for one in outcome["same_language"]} == {"en", "zh"}


def test_what_judges_has_no_part_in_the_choice_of_a_repair(write_job: WriteJob, tmp_path: Path) -> None:
    outcome = run(write_job())
    facts = {step["name"]: step["facts"] for step in outcome["steps"]}
    assert (facts["filter"]["train"], facts["filter"]["held_out"]) == (24, 16)
    repaired = json.loads((tmp_path / "models" / "latest" / "repair.json").read_text(encoding="utf-8"))
    assert repaired["fitted_on"] == {"en": 12, "zh": 12}
    assert [one["queries"] for one in repaired["same_language"]] == [12, 12]
    assert [one["queries"] for one in outcome["same_language"]] == [16, 16]


def test_a_judged_set_without_same_language_documents_stops_the_run_before_the_model(
    write_job: WriteJob, tmp_path: Path
) -> None:
    documents = [{"id": f"{tag}{n}", "text": f"w{n} {tag}", "language": tag} for n in range(9) for tag in ("en", "zh")]
    queries = [{"id": f"q{n}", "text": f"w{n}", "language": "zh", "relevant": [f"en{n}"]} for n in range(9)]
    for name, rows in (("documents", documents), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    audit = {"documents": "documents.jsonl", "queries": "queries.jsonl", "samples": 100}
    with pytest.raises(InputError, match="no query in zh has a relevant document in zh"):
        run(write_job(audit=audit))
    assert [step["name"] for step in outcome_of(tmp_path / "models")["steps"]] == ["read", "filter"]


def test_files_that_judge_say_enough_of_every_language_and_leave_all_data_to_train_on(
    write_job: WriteJob, tmp_path: Path
) -> None:
    documents = [{"id": f"{tag}{n}", "text": f"w{n} {tag}", "language": tag} for n in range(9) for tag in ("en", "zh")]
    queries = [
        {"id": f"{tag} q{n}", "text": f"w{n} {tag}?", "language": tag, "relevant": [f"{tag}{n}"]}
        for tag, count in (("en", 9), ("zh", 4))
        for n in range(count)
    ]
    for name, rows in (("documents", documents), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    audit = {"documents": "documents.jsonl", "queries": "queries.jsonl", "samples": 100}
    gate = {"must_improve": False, "tolerance": 1.0, "keep_own_first": None}
    with pytest.raises(
        InputError, match=r"'audit\.queries': too few .* whether zh loses anything; seen: '4 queries in zh'"
    ):
        run(write_job(audit=audit, gate=gate))
    assert [step["name"] for step in outcome_of(tmp_path / "models")["steps"]] == ["read", "filter"]
    more = {"id": "zh q4", "text": "w4 zh?", "language": "zh", "relevant": ["zh4"]}
    with (tmp_path / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(more))
    outcome = run(write_job(audit=audit, gate=gate))
    assert {one["language"]: one["queries"] for one in outcome["same_language"]} == {"en": 9, "zh": 5}
    facts = {step["name"]: step["facts"] for step in outcome["steps"]}
    assert (facts["filter"]["train"], facts["filter"]["held_out"]) == (40, 0)


def test_a_model_that_is_not_better_than_the_published_one_can_be_refused(write_job: WriteJob, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (tmp_path / "triplets.jsonl").read_text(encoding="utf-8").splitlines()]
    (tmp_path / "triplets.jsonl").write_text("\n".join(map(json.dumps, rows[:30])), encoding="utf-8")
    texts = [
        (row["group"], tag, text)
        for row in rows[30:]
        for tag, text in (("en", row["passage"]), *row["targets"].items())
    ]
    documents = [{"id": f"{tag}{g}", "text": text, "language": tag, "parallel_id": g} for g, tag, text in texts]
    queries = [
        {
            "id": f"q {one['id']}",
            "text": one["text"][:20],
            "language": one["language"],
            "parallel_id": one["parallel_id"],
        }
        for one in documents
    ]
    for name, lines in (("documents", documents), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    audit = {"documents": "documents.jsonl", "queries": "queries.jsonl", "samples": 100}
    gate = {"tolerance": None, "keep_own_first": None, "must_improve": False, "must_beat_latest": True}
    first = run(write_job(audit=audit, gate=gate))
    assert (first["status"], first["improvement"]["latest"]) == ("published", None)
    with pytest.raises(GateFailedError, match="that of the published version"):
        run(write_job(audit=audit, gate=gate))
    second = outcome_of(tmp_path / "models")
    assert second["improvement"]["latest"] == second["improvement"]["after"] == first["improvement"]["after"]
    facts = {step["name"]: step["facts"] for step in second["steps"]}
    assert facts["audit"]["compared_with"] == first["version"]
    assert ModelStore(tmp_path / "models").latest() == first["version"]
    assert run(write_job(audit=audit))["improvement"]["latest"] is None
    with pytest.raises(InputError, match=r"'gate\.must_beat_latest': the published version may have been trained"):
        read_job(write_job(gate=gate))


def test_a_recipe_is_not_trained_on_what_judges_it(
    write_job: WriteJob, tmp_path: Path, tiny_model_folder: Path
) -> None:
    recipe = {"model": str(tiny_model_folder), "languages": ["zh"], "data": [{"path": "triplets.jsonl"}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    lines = [json.loads(line) for line in (tmp_path / "triplets.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = {"en": lines[7]["passage"], "zh": lines[7]["targets"]["zh"]}
    rows = [{"id": tag, "text": text, "language": tag, "parallel_id": "1"} for tag, text in texts.items()]
    (tmp_path / "documents.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    queries = [{"id": f"q{tag}", "text": "w1", "language": tag, "relevant": [tag]} for tag in texts]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    audit = {"documents": "documents.jsonl", "queries": "queries.jsonl", "samples": 100}
    with pytest.raises(
        InputError, match=r"the recipe's data contain texts that the model is judged by; seen: '1 triplets"
    ):
        run(write_job(source=None, recipe="recipe.yaml", filters={}, audit=audit))


def test_documents_of_one_word_are_counted_and_end_nothing(write_job: WriteJob, tmp_path: Path) -> None:
    lines = []
    for group in range(40):
        for place, tag in enumerate(("en", "zh")):
            words = np.random.default_rng([group, place]).integers(30, size=12) + 30 * place
            lines.append({"text": " ".join(f"w{word}" for word in words), "language": tag, "parallel_id": f"g{group}"})
    for group, (english, chinese) in enumerate((("Yes", "是"), ("Red", "红"), ("The red house stands", "屋"))):
        lines += [
            {"text": text, "language": tag, "parallel_id": f"s{group}"}
            for tag, text in (("en", english), ("zh", chinese))
        ]
    rows = [json.dumps(line | {"id": str(number)}) for number, line in enumerate(lines)]
    (tmp_path / "documents.jsonl").write_text("\n".join(rows), encoding="utf-8")
    outcome = run(write_job(source={"files": [{"path": "documents.jsonl"}]}, filters={"language": False}))
    assert outcome["status"] == "published"
    read = next(step["facts"] for step in outcome["steps"] if step["name"] == "read")
    assert read["left_out"] == {"documents too short for a query": 2}


def test_a_wrong_configuration_does_not_leave_an_old_success_as_the_last_run(
    write_job: WriteJob, tmp_path: Path, quick_python: list[str]
) -> None:
    assert run(write_job())["status"] == "published"
    latest = (tmp_path / "models" / "latest").readlink()
    for changes in ({"gates": {}}, {"name": "tiny", "keep": 0}):
        process = start(quick_python, write_job(**changes))
        assert process.wait(timeout=120) == 2
        outcome = outcome_of(tmp_path / "models")
        assert (outcome["status"], outcome["exit_code"], outcome["job"]) == ("wrong input", 2, "tiny")
        run(write_job())
    for models in ("x" * 300, "~nobody-at-all/models"):
        process = start(quick_python, write_job("other.yaml", models=models))
        _, told = process.communicate(timeout=120)
        assert process.returncode == 2, told
        assert b"Traceback" not in told
    # Another run has the models: what it says of itself stands.
    before = (tmp_path / "models" / "outcome.json").read_bytes()
    with ModelStore(tmp_path / "models").locked():
        assert start(quick_python, write_job(gates={})).wait(timeout=120) == 2
    assert (tmp_path / "models" / "outcome.json").read_bytes() == before
    assert latest != (tmp_path / "models" / "latest").readlink()


def test_what_is_wrong_with_an_override_of_the_recipe_is_told_as_the_jobs(write_job: WriteJob, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("model: m\nlanguages: [zh]\n", encoding="utf-8")
    path = write_job(method="train", recipe="recipe.yaml", overrides=["optimiser.foo=1"])
    with pytest.raises(InputError, match=r"job\.yaml, field 'optimiser\.foo': overrides: unknown key"):
        job_recipe(read_job(path))


def test_a_gate_on_more_versions_than_its_depth_is_refused_before_anything_is_trained(
    write_job: WriteJob, tmp_path: Path
) -> None:
    tags = ["en", "zh", "ar"]
    lines = []
    for group in range(40):
        for place, tag in enumerate(tags):
            words = np.random.default_rng([group, place]).integers(30, size=12) + 30 * place
            line = {"text": " ".join(f"w{word}" for word in words), "language": tag, "parallel_id": f"g{group}"}
            lines.append(json.dumps(line | {"id": f"{tag}{group}"}))
    (tmp_path / "documents.jsonl").write_text("\n".join(lines), encoding="utf-8")
    job = {"source": {"files": [{"path": "documents.jsonl"}]}, "filters": {"language": False}}
    path = write_job(
        **job, gate={"tolerance": None, "keep_own_first": None, "must_improve": False, "fail_on": ["Complete@2<1%"]}
    )
    with pytest.raises(InputError, match=r"Complete@2 has no value.*3 versions do not fit into the top 2"):
        run(path)
    assert [step["name"] for step in outcome_of(tmp_path / "models")["steps"]] == ["read", "filter"]


def test_only_a_repair_of_an_index_that_is_not_closed_reads_texts_of_other_languages(write_job: WriteJob) -> None:
    path = write_job()
    for closed in (False, True):
        run(write_job(closed=closed))
        repaired = json.loads((path.parent / "models" / "latest" / "repair.json").read_text(encoding="utf-8"))
        assert ("languages.jsonl" in json.dumps(repaired)) is not closed


def test_a_closed_index_closes_the_start_of_its_recipe(write_job: WriteJob, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump({"model": "m", "languages": ["zh"], "start": "repair", "data": [{"path": "triplets.jsonl"}]}),
        encoding="utf-8",
    )
    for closed in (False, True):
        job = job_recipe(read_job(write_job(closed=closed, recipe="recipe.yaml")))
        assert job.recipe is not None
        assert job.recipe.start.closed is closed


@pytest.mark.parametrize(
    ("recipe", "bound"),
    [
        ({}, 0.02),
        ({"evaluate": {"keep_own_first": 0.05}}, 0.05),
        ({"held_out": {"share": 0}}, None),
        ({"held_out": {"share": 0, "path": "judged.jsonl"}}, 0.02),
    ],
)
def test_training_keeps_to_what_the_gate_demands(
    write_job: WriteJob, tmp_path: Path, recipe: dict[str, Any], bound: float | None
) -> None:
    values = {"model": "m", "languages": ["zh"], "data": [{"path": "triplets.jsonl"}], **recipe}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    job = job_recipe(read_job(write_job(recipe="recipe.yaml", gate={"keep_own_first": 0.02})))
    assert job.recipe is not None
    assert job.recipe.evaluate.keep_own_first == bound
    # Nothing said is what a repair may give up, and null is any loss.
    for gate, default in (({}, 0.1), ({"keep_own_first": None}, None)):
        job = job_recipe(read_job(write_job(recipe="recipe.yaml", gate=gate)))
        assert job.recipe is not None
        assert job.recipe.evaluate.keep_own_first == (default if bound == 0.02 else bound)
