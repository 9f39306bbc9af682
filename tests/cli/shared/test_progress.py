"""Progress without a terminal: a line for what takes long. No test waits: the delay is a variable."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.cli.shared import progress
from haystack_crossalign.cli.shared.progress import Stages, told_if_slow
from haystack_crossalign.models.quiet import announce_to, announced

_PATIENCE = 60.0


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is printed, at once: the delay is none."""
    told: list[str] = []
    monkeypatch.setattr(progress, "_SILENCE", 0.0)
    monkeypatch.setattr(progress, "say", lambda text, **_: told.append(text))
    return told


def wait_for(condition: Any) -> None:
    turn = threading.Event()
    for _ in range(int(_PATIENCE / 0.01)):
        if condition():
            return
        turn.wait(0.01)
    pytest.fail("nothing was printed")


def test_a_stage_that_reports_once_and_then_takes_long_is_told(lines: list[str]) -> None:
    with Stages(show=True) as stages:
        stages("Embedding queries", 0, 2000)
        wait_for(lambda: lines)
        stages("Embedding queries", 1500, 2000)
        wait_for(lambda: len(lines) > 1)
        stages("Embedding queries", 2000, 2000)
    assert lines[0] == "crossalign: Embedding queries: 0 of 2,000"
    assert lines[1:] == ["crossalign: Embedding queries: 1,500 of 2,000"]


def test_a_stage_that_is_over_is_not_told(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    monkeypatch.setattr(progress, "_SILENCE", _PATIENCE)
    with Stages(show=True) as stages:
        stages("ranks", 0, 1)
        timer = stages._lines._timer if stages._lines is not None else None
        stages("ranks", 1, 1)
    assert timer is not None
    timer.join(_PATIENCE / 2)
    assert not timer.is_alive()
    assert lines == []


def test_a_quiet_command_prints_neither_stages_nor_models(lines: list[str]) -> None:
    with Stages(show=False) as stages:
        stages("ranks", 0, 1)
        with announced("Loading the model m"):
            pass
    assert stages.seconds.keys() == {"ranks"}
    assert lines == []


def test_work_that_cannot_say_how_far_it_is_is_told_once(lines: list[str]) -> None:
    announce_to(told_if_slow)
    try:
        with announced("Loading the model m"), announced("Loading the weights"):
            wait_for(lambda: lines)
    finally:
        announce_to(None)
    assert lines == ["crossalign: Loading the model m …"]


def test_a_command_tells_that_it_loads_a_model_and_the_next_one_starts_anew(
    crossalign: Any, parallel_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def listener(what: str) -> Any:
        told.append(what)
        return told_if_slow(what)

    monkeypatch.setattr(progress, "told_if_slow", listener)
    documents, queries = parallel_files
    text = documents.read_text("utf-8").replace('"embedding"', '"other"')
    documents.write_text(text, encoding="utf-8")
    done = crossalign("audit", "--documents", documents, "--queries", queries, "--model", "/nowhere/at/all")
    assert done.code == 2
    assert told == ["Loading the model /nowhere/at/all"]
    with announced("something"):
        pass
    assert len(told) == 1
