"""The demonstration on a live index, as `make demo-live` runs it, with a small part of the sample."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from requirements import require

from haystack_crossalign.data.sample import sample_folder

pytestmark = pytest.mark.server

DEMO = Path(__file__).resolve().parents[2] / "tools" / "demo_live.py"


@pytest.mark.server
@pytest.mark.usefixtures("offline_model")
def test_the_demonstration_audits_a_live_index_and_stops_its_server(tmp_path: Path) -> None:
    require("server")
    command = [sys.executable, str(DEMO), "--contents", "4"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    with (sample_folder() / "documents.jsonl").open(encoding="utf-8") as file:
        groups = [json.loads(line)["parallel_id"] for line in file]
    first = set(list(dict.fromkeys(groups))[:4])
    written = sum(group in first for group in groups)
    assert f"{written} documents behind the alias 'prod'" in finished.stdout
    report = tmp_path / "demo" / "live-report.html"
    assert f"The report: {report}" in finished.stdout
    assert "known-item" in report.read_text(encoding="utf-8")
    address = re.search(r"http://127\.0\.0\.1:\d+", finished.stdout)
    assert address is not None
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address[0], timeout=5)  # noqa: S310


def test_a_version_that_cannot_be_had_is_one_message(tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--version", "0.0.1"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 2
    assert "invalid choice: '0.0.1'" in finished.stderr
    assert "Traceback" not in finished.stderr
