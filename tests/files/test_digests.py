"""Remembered hashes: the right one after every change, and none that depends on the cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from haystack_crossalign.files import digests
from haystack_crossalign.files.digests import file_sha256, remembered_sha256

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed."""
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(digests, "file_sha256", counted)
    # Files made a moment ago are not remembered; here an hour passes after they were made.
    monkeypatch.setattr(digests.time, "time", lambda now=time.time: now() + 3600)
    return read


def of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_unchanged_file_is_read_once(tmp_path: Path, hashed: list[Path]) -> None:
    path, cache = tmp_path / "weights", tmp_path / "cache" / "digests.json"
    path.write_bytes(CONTENT)
    assert [remembered_sha256(path, cache) for _ in range(3)] == [of(CONTENT)] * 3
    assert hashed == [path]


def test_a_changed_file_has_its_new_hash_even_with_size_and_time_restored(tmp_path: Path, hashed: list[Path]) -> None:
    path, cache = tmp_path / "weights", tmp_path / "digests.json"
    path.write_bytes(CONTENT)
    before = path.stat()
    assert remembered_sha256(path, cache) == of(CONTENT)
    time.sleep(0.02)  # the clock of the file system
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert remembered_sha256(path, cache) == of(CONTENT[::-1])
    assert len(hashed) == 2


@pytest.mark.usefixtures("hashed")
def test_a_file_in_the_place_of_another_has_its_own_hash(tmp_path: Path) -> None:
    cache = tmp_path / "digests.json"
    for name, content in (("weights", CONTENT), ("other", CONTENT[1:] + b"x")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, ns=(0, 0))
        assert remembered_sha256(tmp_path / name, cache) == of(content)
    (tmp_path / "other").rename(tmp_path / "weights")
    assert remembered_sha256(tmp_path / "weights", cache) == of(CONTENT[1:] + b"x")


def test_a_file_that_was_just_changed_is_not_remembered(tmp_path: Path) -> None:
    path, cache = tmp_path / "weights", tmp_path / "digests.json"
    path.write_bytes(CONTENT)
    assert remembered_sha256(path, cache) == of(CONTENT)
    assert not cache.exists()


def test_small_files_are_not_remembered(tmp_path: Path, hashed: list[Path]) -> None:
    path, cache = tmp_path / "config.json", tmp_path / "digests.json"
    path.write_bytes(CONTENT[1:])
    assert remembered_sha256(path, cache) == of(CONTENT[1:])
    assert not cache.exists()
    assert hashed == [path]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "[" * 100_000, '{"a": "short"}'])
def test_a_damaged_cache_is_written_anew(tmp_path: Path, hashed: list[Path], text: str) -> None:
    path, cache = tmp_path / "weights", tmp_path / "digests.json"
    path.write_bytes(CONTENT)
    cache.write_text(text)
    assert [remembered_sha256(path, cache) for _ in range(2)] == [of(CONTENT)] * 2
    assert hashed == [path]
    assert list(json.loads(cache.read_text()).values()) == [of(CONTENT)]


def test_without_a_place_for_the_cache_the_hash_is_computed(tmp_path: Path, hashed: list[Path]) -> None:
    path = tmp_path / "weights"
    path.write_bytes(CONTENT)
    # A folder cannot be made below a file, by nobody.
    assert [remembered_sha256(path, path / "digests.json") for _ in range(2)] == [of(CONTENT)] * 2
    assert hashed == [path, path]


def test_the_oldest_entries_make_room(tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MOST", 2)
    cache = tmp_path / "digests.json"
    for number in range(3):
        path = tmp_path / str(number)
        path.write_bytes(CONTENT + bytes([number]))
        remembered_sha256(path, cache)
    assert [*json.loads(cache.read_text()).values()] == [of(CONTENT + bytes([number])) for number in (1, 2)]
    assert len(hashed) == 3
