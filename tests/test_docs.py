"""The CI example of the documentation: a workflow that GitHub accepts in shape, and whose commands do what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from haystack_crossalign.data.sample import sample_folder
from haystack_crossalign.report.junit import junit_xml

BLOCK = re.compile(r"```(?P<language>\w+)\n(?P<text>.*?)```\n", re.DOTALL)
ARTICLES = 6  # twelve versions: more than the top 10 of Complete@10 holds


@pytest.fixture(scope="module")
def blocks(project_root: Path) -> dict[str, str]:
    text = (project_root / "docs" / "ci.md").read_text(encoding="utf-8")
    found = [(match["language"], match["text"]) for match in BLOCK.finditer(text)]
    assert [language for language, _ in found] == ["yaml", "console", "xml"]
    return dict(found)


@pytest.fixture(scope="module")
def workflow(blocks: dict[str, str]) -> dict[Any, Any]:
    loaded = yaml.safe_load(blocks["yaml"])
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    (job,) = workflow["jobs"].values()
    assert job["runs-on"].startswith("ubuntu")
    return list(job["steps"])


def step(steps: list[dict[str, Any]], word: str) -> dict[str, Any]:
    (found,) = [one for one in steps if word in one.get("run", one.get("uses", ""))]
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, offline_model: str, steps: list[dict[str, Any]]) -> Path:
    """A checkout with judged queries in ``search/``: some of the sample, English and Chinese; and the program."""
    assert offline_model in step(steps, "crossalign audit")["run"]
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "search").mkdir()
    groups: dict[str, None] = {}
    for name in ("documents", "queries"):
        lines = (sample_folder() / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        entries = [entry for entry in map(json.loads, lines) if entry.get("language") in ("en", "zh")]
        groups = groups or dict.fromkeys(list(dict.fromkeys(entry["parallel_id"] for entry in entries))[:ARTICLES])
        kept = [entry for entry in entries if entry["parallel_id"] in groups]
        assert {entry["language"] for entry in kept} == {"en", "zh"}
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in kept)
        (folder / "search" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    program = folder / "bin" / "crossalign"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nexec '{sys.executable}' -c 'from haystack_crossalign.cli.main import main; main()' \"$@\"\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return folder


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a step as GitHub does."""
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(folder / "step_summary.md"),
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_workflow_has_the_shape_that_github_reads(workflow: dict[Any, Any], steps: list[dict[str, Any]]) -> None:
    assert workflow["name"]
    assert "pull_request" in workflow[True]  # YAML 1.1 reads the key "on" as a truth value
    assert workflow["permissions"] == {"contents": "read"}
    assert all(("run" in one) != ("uses" in one) for one in steps)
    assert all(re.fullmatch(r"[\w./-]+@v\d+", one["uses"]) for one in steps if "uses" in one)
    order = ["actions/checkout", "actions/setup-python", "pip install", "crossalign audit", "GITHUB_STEP_SUMMARY"]
    places = [steps.index(step(steps, word)) for word in [*order, "actions/upload-artifact"]]
    assert places == list(range(len(steps)))


def test_summary_and_report_are_kept_when_the_gate_fails(steps: list[dict[str, Any]]) -> None:
    audit, upload = step(steps, "crossalign audit"), step(steps, "actions/upload-artifact")
    assert "continue-on-error" not in audit
    assert "!cancelled()" in upload["if"]
    assert "!cancelled()" in step(steps, "GITHUB_STEP_SUMMARY")["if"]
    written = set(re.findall(r"--(?:json|report|junit) (\S+)", audit["run"]))
    assert set(upload["with"]["path"].split()) == written


def test_its_commands_do_what_it_says(steps: list[dict[str, Any]], blocks: dict[str, str], checkout: Path) -> None:
    audit = step(steps, "crossalign audit")["run"]
    assert "--fail-on" in audit
    done = bash(audit, checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert bash(step(steps, "GITHUB_STEP_SUMMARY")["run"], checkout).returncode == 0
    assert (checkout / "step_summary.md").read_text(encoding="utf-8").startswith("## Language bias audit")
    assert (checkout / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    suites = ET.parse(checkout / "gate.xml").getroot()  # noqa: S314 - written by our own program
    assert {suite.get("name") for suite in suites} == {"crossalign.multi", "crossalign.mono-same"}
    assert suites.get("failures") == "0"
    (checkout / "main.json").write_bytes((checkout / "audit.json").read_bytes())
    (compare,) = re.findall(r"^\$ (crossalign .*)$", blocks["console"], re.MULTILINE)
    done = bash(compare, checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (checkout / "difference.md").read_text(encoding="utf-8").startswith("## Language bias, before and after")


def test_the_junit_file_looks_as_shown(blocks: dict[str, str]) -> None:
    outcome = {
        "condition": "Complete@10<50%",
        "scenario": "multi",
        "measure": "Complete@10",
        "pool_languages": ["en", "zh"],
        "limit": 0.5,
        "operator": "<",
    }
    english = {**outcome, "query_language": "en", "value": 0.81, "failed": False}
    chinese = {**outcome, "query_language": "zh", "value": 0.0295, "failed": True}
    assert junit_xml([english, chinese]) == blocks["xml"]


def test_the_picture_of_the_report_is_there_and_small(project_root: Path) -> None:
    picture = (project_root / "docs" / "report.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 400_000
