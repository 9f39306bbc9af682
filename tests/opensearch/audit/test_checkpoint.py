"""The file of a long audit: what is finished survives, what is torn does not count, what is foreign is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.audit.checkpoint import Checkpoint, fingerprint

PARTS = {"index": fingerprint({"uuid": "a"}), "queries": fingerprint(["q1", "q2"])}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state.jsonl"
    state = Checkpoint(path, PARTS)
    state.add(0, [{"score": 0.1, "text": "日本\u2028"}])
    state.add(3, [{"score": 1 / 3}])
    state.close()
    return path


def test_what_was_added_comes_back_to_the_last_bit_and_more_can_be_added(path: Path) -> None:
    state = Checkpoint(path, PARTS, resume=True)
    assert state.done == {0: [{"score": 0.1, "text": "日本\u2028"}], 3: [{"score": 1 / 3}]}
    state.add(1, [])
    state.close()
    assert sorted(Checkpoint(path, PARTS, resume=True).done) == [0, 1, 3]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_torn_by_an_interruption_does_not_count_and_is_cut_off(path: Path, cut: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    state = Checkpoint(path, PARTS, resume=True)
    assert sorted(state.done) == [0]
    state.add(3, [{"score": 1 / 3}])
    state.close()
    assert path.read_bytes() == whole


def test_another_audits_file_is_refused_by_what_differs(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(InputError, match="belongs to another audit: queries differ") as caught:
        Checkpoint(path, {**PARTS, "queries": fingerprint([])}, resume=True)
    assert caught.value.exit_code == 2
    assert path.read_bytes() == before


def test_a_file_that_is_there_is_not_begun_anew(path: Path) -> None:
    with pytest.raises(InputError, match="--resume to go on"):
        Checkpoint(path, PARTS)
    with pytest.raises(InputError, match="no such file"):
        Checkpoint(path.with_name("other"), PARTS, resume=True)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", 1),
        (b"nothing\n", 1),
        (b'{"schema":"crossalign.audit/1","parts":{}}\n', 1),
        (b"[1]\n", 1),
        (None, 3),
    ],
)
def test_what_is_no_state_is_refused_by_its_line(path: Path, content: bytes | None, line: int) -> None:
    if content is None:
        lines = path.read_bytes().splitlines(keepends=True)
        content = b"".join([*lines[:2], b'{"unit":"x"}\n', *lines[2:]])
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"line {line}: not the state of an audit"):
        Checkpoint(path, PARTS, resume=True)


def test_without_a_file_units_are_kept_for_the_run_alone(tmp_path: Path) -> None:
    state = Checkpoint(None, PARTS)
    state.add(2, "x")
    state.close()
    assert state.done == {2: "x"}
    assert list(tmp_path.iterdir()) == []


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    one: Any = {"a": 1, "b": [1.5, None]}
    assert fingerprint(one) == fingerprint({"b": [1.5, None], "a": 1})
    assert fingerprint(one) != fingerprint({"a": 1, "b": [None, 1.5]})
