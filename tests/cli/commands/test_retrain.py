"""`crossalign retrain` as a scheduler meets it, and the examples for schedulers."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator
from tiny_models import tiny_model_folder

from haystack_crossalign.retrain.config import read_job
from haystack_crossalign.retrain.outcome import outcome_schema
from haystack_crossalign.training.recipe.recipe import read_recipe
from haystack_crossalign.training.recipe.sections import TRAINING_CORPORA
from haystack_crossalign.triplets.corpora import read_drop_list

__all__ = ["tiny_model_folder"]

LANGUAGES = {f"en_{tag}{kind}": [tag] for tag in ("ar", "es", "th", "vi", "zh") for kind in ("", "_linear")}
LANGUAGES |= {f"en_{tag}_paper": [tag] for tag in ("th", "zh")}


@pytest.fixture
def examples(project_root: Path) -> Path:
    """The folder of the examples."""
    return project_root / "training"


@pytest.fixture
def job_folder(tmp_path: Path, tiny_model_folder: Path) -> Path:
    """A folder with a job that trains the tiny model on 60 parallel documents of two languages of words."""
    lines = []
    for group in range(60):
        for place, tag in enumerate(("en", "zh")):
            words = np.random.default_rng([group, place]).integers(30, size=12) + 30 * place
            text = " ".join(f"w{word}" for word in words)
            title = " ".join(f"w{word}" for word in words[:4])
            line = {"id": f"{tag}{group}", "text": text, "title": title, "language": tag, "parallel_id": f"g{group}"}
            lines.append(json.dumps(line))
    (tmp_path / "documents.jsonl").write_text("\n".join(lines), encoding="utf-8")
    recipe = {
        "model": str(tiny_model_folder),
        "languages": ["zh"],
        "start": "repair",
        "optimiser": {"batch_size": 8, "max_steps": 3, "learning_rate": 1e-3},
        "evaluate": {"every": None, "tolerance": 1.0},
        "precision": "fp32",
        "device": "cpu",
    }
    job = {
        "models": "models",
        "recipe": "recipe.yaml",
        "source": {"files": [{"path": "documents.jsonl"}]},
        "filters": {"language": False},
        "audit": {"share": 0.3, "samples": 100},
        "gate": {"tolerance": None, "keep_own_first": None, "must_improve": False},
        "keep": 2,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    return tmp_path


def read_outcome(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator(outcome_schema()).validate(data)
    return data


def environment(programs: Path, **more: str) -> dict[str, str]:
    """The program first in the path, as an installation has it."""
    paths = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": paths, "OMP_NUM_THREADS": "1"} | more


@pytest.mark.training
def test_the_command_of_the_cron_example_trains_and_publishes(
    examples: Path, job_folder: Path, quick_programs: Path
) -> None:
    lines = [line for line in (examples / "cron.example").read_text().splitlines() if line and not line.startswith("#")]
    assignments, (entry,) = lines[:-1], lines[-1:]
    assert [line.split("=")[0] for line in assignments] == ["PATH", "CROSSALIGN_JOB"]
    minute, hour, day, month, weekday, command = entry.split(maxsplit=5)
    assert (int(minute) < 60, int(hour) < 24, day, month, int(weekday) < 8) == (True, True, "*", "*", True)
    assert "%" not in command  # which cron takes for the end of the line
    around = environment(quick_programs, CROSSALIGN_JOB=str(job_folder))
    done = subprocess.run(["/bin/sh", "-c", command], env=around, check=False)
    log = (job_folder / "retrain.log").read_text()
    assert done.returncode == 0, log
    outcome = read_outcome(job_folder / "models" / "outcome.json")
    assert outcome == read_outcome(job_folder / "last-run.json")
    assert [step["name"] for step in outcome["steps"]] == ["read", "filter", "train", "audit", "gate", "publish"]
    assert outcome["status"] == "published"
    published = job_folder / "models" / "latest"
    assert published.readlink() == Path(outcome["version"])
    for name in ("modules.json", "training.json", "report.html", "README.md", "job/report.html", "job/after.json"):
        assert (published / name).is_file()
    # What the training chose by is a part of what it was given, and none of what judges it.
    data = json.loads((published / "training.json").read_text(encoding="utf-8"))["data"]
    facts = outcome["steps"][1]["facts"]
    assert data["triplets"] + data["held_out"]["triplets"] == facts["train"]
    assert data["held_out"]["triplets"] > 0


@pytest.mark.training
def test_the_slurm_example_trains_through_its_launcher(
    examples: Path, job_folder: Path, tmp_path: Path, quick_programs: Path
) -> None:
    """srun and scontrol are stand-ins on one host, and accelerate one that keeps what would need GPUs."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "scontrol": 'if [ "$1" = show ]; then echo host-1; else echo "$@" >>"$CALLS"; fi',
        "srun": 'echo "cpus $SRUN_CPUS_PER_TASK" >>"$CALLS"; while [ "${1#--}" != "$1" ]; do shift; done; '
        'SLURM_NODEID=0 exec "$@"',
        "accelerate": 'echo "$@" >>"$CALLS"; while [ "$1" != -m ]; do shift; done; exec python "$@"',
    }
    for name, body in scripts.items():
        script = tools / name
        script.write_text(f"#!/bin/bash\n{body}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    around = environment(
        quick_programs,
        CALLS=str(tmp_path / "calls"), SLURM_SUBMIT_DIR=str(examples.parent), SLURM_JOB_NODELIST="host-[1-2]",
        SLURM_JOB_ID="7", SLURM_JOB_NUM_NODES="2", SLURM_GPUS_PER_NODE="a100:4", SLURM_CPUS_PER_TASK="16",
    )  # fmt: skip
    around["PATH"] = f"{tools}{os.pathsep}{around['PATH']}"
    command = ["bash", str(examples / "slurm.sbatch"), "job.yaml"]
    done = subprocess.run(command, env=around, cwd=job_folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome = read_outcome(job_folder / "outcome-7.json")
    assert outcome["status"] == "published"
    assert next(step for step in outcome["steps"] if step["name"] == "train")["facts"] == {"launcher": "srun"}
    called = (tmp_path / "calls").read_text()
    assert "--num_machines 2 --num_processes 8 --machine_rank 0 --main_process_ip host-1" in called
    assert "-m haystack_crossalign train --recipe" in called
    assert "cpus 16\n" in called


@pytest.mark.training
def test_exit_codes_and_outcomes_for_schedulers(crossalign: Any, job_folder: Path) -> None:
    from haystack_crossalign.retrain.store import ModelStore

    config, told = job_folder / "job.yaml", job_folder / "told.json"
    repair = ["--set", "method=repair"]
    base = ["retrain", "--config", config, "--outcome", told]
    done = crossalign(*base, "--set", "keeep=1")
    assert done.code == 2
    assert "--set, field 'keeep': unknown key" in done.err
    assert (read_outcome(told)["status"], read_outcome(told)["exit_code"]) == ("wrong input", 2)
    with ModelStore(job_folder / "models").locked():
        done = crossalign(*base, *repair)
    assert done.code == 75
    assert done.err == f"crossalign: {job_folder / 'models'}: another run is active; this one did nothing\n"
    assert read_outcome(told)["status"] == "another run is active"
    done = crossalign(*base, *repair, "--set", "gate.fail_on=[Max@R>0]")
    assert done.code == 1
    assert "not published: Max@R>0" in done.err
    assert read_outcome(told)["exit_code"] == 1
    done = crossalign(*base, *repair, "--set", "model=no-such/model")
    assert done.code == 3, done.err
    assert read_outcome(told)["status"] == "outside fault"
    done = crossalign(*base, *repair)
    assert done.code == 0, done.err
    assert done.out.startswith(f"published {read_outcome(told)['version']}; latest points to it")
    assert crossalign("retrain", "--config", config, "--outcome", job_folder).code == 2


def test_the_example_configuration_is_read_and_names_every_part(examples: Path) -> None:
    job = read_job(examples / "job.example.yaml")
    assert (job.method, job.keep, job.gate.tolerance) == ("train", 5, 0.005)
    assert job.source is not None
    assert job.source.index is not None
    assert read_recipe(job.file(job.recipe or ""), job.overrides).languages == ("zh",)


def test_the_recipes_are_read_and_name_published_corpora(examples: Path) -> None:
    found = sorted((examples / "recipes").glob("*.yaml"))
    assert [path.stem for path in found] == [*sorted(LANGUAGES), "multilingual", "multilingual_linear"]
    for path in found:
        recipe = read_recipe(path)
        assert list(recipe.languages) == LANGUAGES.get(path.stem, ["zh", "ar", "es", "th", "vi"])
        for source in recipe.data:
            assert source.corpus in TRAINING_CORPORA
            assert source.path is None
            assert source.drop is None or (path.parent / source.drop).is_file()


def test_the_drop_list_of_the_recipes_holds_every_question_of_xquad(examples: Path, shared_data: Path) -> None:
    dropped = read_drop_list(examples / "recipes" / "overlap_with_xquad.json")
    articles = json.loads((shared_data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    ids = {one["id"] for article in articles for text in article["paragraphs"] for one in text["qas"]}
    overlap = read_drop_list(shared_data / "train" / "drop_8gram_overlap_with_xquad.json")
    assert len(ids) == 1190
    assert ids <= dropped <= ids | overlap


def test_the_kubernetes_job_fits_the_schema_of_kubernetes_and_the_exit_codes(examples: Path) -> None:
    import kubernetes_validate

    job = yaml.safe_load((examples / "kubernetes-job.yaml").read_text(encoding="utf-8"))
    kubernetes_validate.validate(job, "1.31", strict=True)
    (rule, _) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [1, 2]
    template = job["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in template["volumes"]}
    # What job.yaml names is there, in a folder, which keys of a config map cannot have.
    job_volume = next(volume for volume in template["volumes"] if volume["name"] == "job")
    example = yaml.safe_load((examples / "job.example.yaml").read_text(encoding="utf-8"))
    paths = {item["path"] for item in job_volume["configMap"]["items"]}
    assert paths == {"job.yaml", example["recipe"]}
    assert template["restartPolicy"] == "Never"  # which a podFailurePolicy needs
    # A wrong one is noticed.
    job["spec"]["backofLimit"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, "1.31", strict=True)


@pytest.mark.parametrize("name", ["slurm.sbatch", "slurm-host.sh"])
def test_the_scripts_are_sound(examples: Path, name: str) -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert shellcheck is not None
    for command in (["bash", "-n"], [shellcheck]):
        done = subprocess.run([*command, str(examples / name)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
