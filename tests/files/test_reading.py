"""Text files of users: gzip, encodings, and JSON objects whose keys must be unique."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import TextFile, parse_json, read_json

TEXT = '{"id": "d1", "text": "中"}\n\n{"id": "d2"}\n'


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_gzip_is_told_by_its_first_bytes_and_hashed_as_it_lies_on_disk(tmp_path: Path, name: str) -> None:
    plain, compressed = tmp_path / "plain", tmp_path / name
    plain.write_text(TEXT, encoding="utf-8")
    compressed.write_bytes(gzip.compress(TEXT.encode()))
    file = TextFile(compressed)
    assert list(file) == list(TextFile(plain)) == [(1, '{"id": "d1", "text": "中"}'), (3, '{"id": "d2"}')]
    assert file.source.sha256 == hashlib.sha256(compressed.read_bytes()).hexdigest()


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"[1,") + gzip.compress(b"2]"))
    value, source = read_json(path)
    assert value == [1, 2]
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_plain_file_may_be_called_gz(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_text("a\n")
    assert list(TextFile(path)) == [(1, "a")]


# Without the time of day in it: test ids have to be the same in every process of a parallel run.
WHOLE = gzip.compress(TEXT.encode() * 50, mtime=0)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (WHOLE[:8], "cut off"),
        (WHOLE[:-9], "cut off"),
        (WHOLE[:30] + b"\x00\xff\x00" + WHOLE[33:], "damaged"),
        (WHOLE[:-6] + b"abcdef", "damaged"),
        (WHOLE + b"rest", "damaged"),
        (gzip.compress(b"\xff\n", mtime=0), "not valid UTF-8"),
        ("a".encode("utf-16"), "UTF-16"),
        (b"\xfe\xff\x00a", "UTF-16"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"PK\x03\x04....", "zip"),
        (gzip.compress(b"", mtime=0), "empty"),
    ],
)
def test_what_is_no_text_is_one_message(tmp_path: Path, raw: bytes, problem: str) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(raw)
    for read in (lambda: list(TextFile(path)), lambda: read_json(path)):
        with pytest.raises(InputError) as caught:
            read()
        assert problem in caught.value.problem
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("filling", [b"0", b"x" * 1023 + b"\n"])
def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, filling: bytes) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb") as stream:
        for _ in range(300):
            stream.write(filling * (2**20 // len(filling)))
    for read in (lambda: sum(1 for _ in TextFile(path)), lambda: read_json(path)):
        tracemalloc.start()
        with pytest.raises(InputError, match="expands to more than 200 times its size"):
            read()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 200 * 2**20


def test_a_line_that_is_not_utf8_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n\xff\nb\n")
    errors: list[InputError] = []
    assert list(TextFile(path, errors.append)) == [(1, "a"), (3, "b")]
    assert [error.line for error in errors] == [2]


def test_a_key_twice_is_refused_with_its_line() -> None:
    cases = (
        ('{"id": 1, "id": 2}', 7, "id", 7),
        ('{"id": 1, "meta": {"language": "en", "language": "en"}}', 7, "language", 7),
        ('{"a": [\n  {"b": 1},\n  {"c": 1,\n "c": 2}]}', None, "c", 3),
        ('[\n{"a": {"a": 1}},\n{"\\u0061": 1, "a": 2}]', None, "a", 3),
    )
    for text, line, key, expected in cases:
        with pytest.raises(InputError, match="duplicate key") as caught:
            parse_json(text, Path("f.json"), line)
        assert (caught.value.seen, caught.value.line) == (key, expected)


@pytest.mark.exhaustive
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_without_repeated_keys_is_read_as_the_standard_library_reads_it(value: object) -> None:
    text = json.dumps(value)
    assert parse_json(text, Path("f.json"), 1) == json.loads(text)
