"""Vectors of JSON records: whatever is read quickly has the values, and the messages, of Python's json module."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requirements import require

from haystack_crossalign.data.formats.jsonl import read_documents, read_queries
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files import vectors as vectors_module
from haystack_crossalign.files.reading import parse_json_object
from haystack_crossalign.files.vectors import QuickParser, Vectors

PLAIN = b'{"id": "d1", "text": "a", "language": "en", "embedding": [0.25, -1.5e-3]}\n'


@pytest.fixture
def _native() -> None:
    require("native")


def vector_by_json(text: str) -> np.ndarray | None:
    """The numbers of a JSON array, rounded to float64 and then to float32; None where they make up no vector."""
    try:
        value = json.loads(text)
        if not isinstance(value, list) or not value or not all(type(one) in (int, float) for one in value):
            return None
        with np.errstate(over="ignore"):
            vector = np.array(value, dtype=np.float64).astype(np.float32)
    except (ValueError, OverflowError, RecursionError):
        return None
    return vector if np.isfinite(vector).all() and vector.any() else None


def quick(raw: bytes) -> np.ndarray | None:
    line = QuickParser("embedding")(raw)
    return None if line is None else np.asarray(line.values["embedding"])


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1, 1).map(lambda value: f"{value:.18f}"),
    st.integers(-(10**25), 10**25).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)


def between_two_floats(bits: int, shift: int) -> str:
    """A decimal near the middle of two neighboring float32 numbers, where rounding is decided."""
    below = np.uint32(bits).view(np.float32)
    middle = (float(below) + float(np.nextafter(below, np.float32(np.inf)))) / 2
    return repr(middle * (1 + shift * 2.0**-52))


MIDDLES = st.builds(between_two_floats, st.integers(1, 0x7F000000), st.integers(-12, 12))
ODD = st.sampled_from(
    [
        *(
            "NaN",
            "Infinity",
            "-Infinity",
            "null",
            "true",
            '"1"',
            "[1]",
            "{}",
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
        ),
        *("1 2", "1e400", "-1e400", "1e-400", "-0", "-0.0", "0", "0e0", "9" * 400, "9" * 5000, "0." + "0" * 400 + "1"),
        *("1_0", "0x1", "١", "1\u00a0", "\x0b1", "1\f"),
    ]
)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("_native")
@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(NUMBERS, MIDDLES, ODD), max_size=40), st.sampled_from([",", ", ", " ,\t", ",\r"]))
def test_numbers_are_those_of_the_json_module(numbers: list[str], comma: str) -> None:
    text = f"[{comma.join(numbers)}]"
    found = quick(b'{"embedding":' + text.encode() + b"}")
    if found is not None:
        expected = vector_by_json(text)
        assert expected is not None
        assert found.view(np.uint32).tolist() == expected.view(np.uint32).tolist()  # the sign of a zero too


@pytest.mark.usefixtures("_native")
@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(NUMBERS, MIDDLES), min_size=1, max_size=40))
def test_every_vector_of_plain_numbers_is_read_quickly(numbers: list[str]) -> None:
    text = f"[{', '.join(numbers)}]"
    # What is too small for a normal double is left to the json module.
    if vector_by_json(text) is not None and all(abs(float(one)) > 1e-300 or set(one) <= set("-0.") for one in numbers):
        assert quick(b'{"embedding":' + text.encode() + b"}") is not None


PARTS = st.sampled_from(
    [
        *(
            '"embedding"',
            "[0.5,1]",
            "[1, 2]",
            "[3]",
            "[]",
            "[[1]]",
            "null",
            ":",
            ",",
            "{",
            "}",
            '"',
            "\\",
            " ",
            "\t",
            "\n",
        ),
        *('"id"', '"d1"', "1", '"meta"', '{"embedding":[7]}', '"text"', '"a"', '"language"', '"en"', '\\"embedding\\"'),
        *(
            '"my\\"embedding"',
            "\ufeff",
            "中",
            "\\ud800",
            "\x00",
            '"parallel_id"',
            "NaN",
            "12345678901234567890123",
            "true",
        ),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        ["[0.5,1]", "[1,2]", "[1, 2.5e0]", "[]", "[0,0]", "[NaN]", "[1,2,3]", "null", '"x"', "[[1]]", "{}"]
    ),
    st.lists(NUMBERS, min_size=2, max_size=2).map(lambda two: f"[{','.join(two)}]"),
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line that is nearly a document: fields in any order, some missing, twice, nested, or with a part put in."""
    fields = {
        '"id"': draw(st.sampled_from([f'"d{number}"' for number in range(6)] + ["7", "null", '""'])),
        '"text"': draw(
            st.sampled_from(['"a"', '"中文 \\u4e2d"', '""', "3", '"\\ud800"', '"with [1] and \\"embedding\\":"'])
        ),
        '"language"': draw(st.sampled_from(['"en"', '"zh_CN"', '"xx-nothing"', "null"])),
        '"embedding"': draw(VALUES),
    }
    names = draw(st.permutations([*fields, *draw(st.lists(st.sampled_from([*fields]), max_size=1))]))
    dropped = draw(st.sampled_from([None, None, None, *fields]))
    entries = [f"{name}:{draw(st.sampled_from(['', ' ']))}{fields[name]}" for name in names if name != dropped]
    if draw(st.booleans()):
        entries.insert(draw(st.integers(0, len(entries))), f'"meta": {{"embedding": {draw(VALUES)}, "x": 1}}')
    text = "{" + draw(st.sampled_from([",", ", "])).join(entries) + "}"
    for _ in range(draw(st.integers(0, 2)) if draw(st.booleans()) else 0):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(PARTS) + text[place + draw(st.integers(0, 3)) :]
    raw = text.replace("\n", " ").encode()
    return raw + draw(st.sampled_from([b"", b"", b"", b"\r", b" ", b"\xff", b"}"]))


def outcome(read, path: Path, **options):
    """What a reader gives, as plain values, or its message."""
    log = ReadingLog(**options)
    try:
        found = read(path, log=log)
    except InputError as error:
        return str(error)
    if isinstance(found, tuple):
        documents, source = found
        vectors = documents.vectors
        rest = (documents.ids, documents.languages, documents.groups, documents.texts, source)
    else:
        vectors, rest = found.vectors, (found.rows, found.source)
    return (None if vectors is None else (vectors.shape, vectors.tobytes()), rest, log.omissions())


@pytest.mark.exhaustive
@pytest.mark.usefixtures("_native")
@settings(max_examples=600, deadline=None)
@given(
    rows=st.lists(lines(), min_size=1, max_size=4), skip=st.booleans(), start=st.sampled_from([b"", b"\xef\xbb\xbf"])
)
@example(rows=[b'{"id":1,"text":"a","language":"en","meta":{"embedding":[1]},"embedding":[2]}'], skip=False, start=b"")
@example(rows=[b'{"id":1,"text":"a","language":"en","my\\"embedding":[1],"embedding":null}'], skip=False, start=b"")
@example(rows=[b'{"id":1,"text":"a","language":"en","embedding":[1],"embedding":[2]}'], skip=False, start=b"")
def test_files_give_the_same_values_or_the_same_message(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes], skip: bool, start: bytes
) -> None:
    path = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    path.write_bytes(start + b"\n".join(rows) + b"\n")
    found = [outcome(read, path, skip_invalid=skip) for read in (read_documents, read_queries)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors_module, "_numbers", lambda: None)
        assert found == [outcome(read, path, skip_invalid=skip) for read in (read_documents, read_queries)]


@pytest.mark.usefixtures("_native")
def test_a_plain_line_is_read_quickly_and_odd_ones_are_not() -> None:
    line = QuickParser("embedding")(PLAIN)
    assert line is not None
    assert np.asarray(line.values.pop("embedding")).tolist() == [0.25, float(np.float32(-1.5e-3))]
    assert line.values == {"id": "d1", "text": "a", "language": "en"}
    assert line.text == PLAIN.decode().rstrip()
    for raw in (
        b'{"embedding": [1], "embedding": [2]}',
        b'{"meta": {"embedding": [1]}}',
        b'{"my\\"embedding": [1], "embedding": "x"}',
        b'{"embedding": [NaN]}',
        b'{"embedding": []}',
        b'{"embedding": [1]',
        b'{"embedding": [1]} x',
        b'[{"embedding": [1]}]',
        b'{"text": "\xff", "embedding": [1]}',
    ):
        assert QuickParser("embedding")(raw) is None, raw


def test_without_the_library_every_line_is_left_to_the_json_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_module, "_numbers", lambda: None)
    assert QuickParser("embedding")(PLAIN) is None


@pytest.mark.usefixtures("_native")
def test_a_field_that_is_asked_for_something_else_is_told_as_the_json_module_read_it(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_bytes(PLAIN)
    with pytest.raises(InputError) as error:
        read_documents(path, id_field="embedding")
    value = parse_json_object(PLAIN.decode(), path, 1)["embedding"]
    assert (error.value.problem, error.value.field, error.value.line) == ("wrong type of id", "embedding", 1)
    assert error.value.seen == value


def test_rows_of_one_length_become_one_table_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((3000, 7)).astype(np.float32)
    path = tmp_path / "documents.jsonl"
    path.write_text(
        "".join(
            json.dumps({"id": str(number), "text": "a", "language": "en", "embedding": row.tolist()}) + "\n"
            for number, row in enumerate(table)
        )
    )
    documents, _ = read_documents(path)
    assert documents.vectors is not None
    assert np.array_equal(documents.vectors, table)
    assert documents.vectors.flags.owndata  # nothing larger is kept behind it


def test_records_are_dropped_from_tables_of_every_length() -> None:
    from haystack_crossalign.files.records import Record

    vectors = Vectors(strict=False)
    rows = [[1.0, 2.0], [3.0], None, [4.0, 5.0], [6.0, 7.0], [8.0]]
    for row in rows:
        vectors.add(Record({} if row is None else {"embedding": row}, "x"))
    assert vectors.misfits() == [1, 2, 5]
    vectors.drop({1, 2, 5, 3})
    assert vectors.misfits() == []
    array = vectors.array()
    assert array is not None
    assert array.tolist() == [[1.0, 2.0], [6.0, 7.0]]
