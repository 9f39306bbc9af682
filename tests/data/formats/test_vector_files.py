"""Vectors in files of their own: mapped, matched with the records row by row, and refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from haystack_crossalign.data.formats.read import read_collection
from haystack_crossalign.data.formats.vector_files import read_vectors
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import source_of

IDS = [f"d{number}" for number in range(5)]
TABLE = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def saved(path: Path, table: Any) -> Path:
    np.save(path, table, allow_pickle=True)
    return path


def test_float32_is_mapped_and_other_floats_are_converted(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", TABLE)
    vectors, source = read_vectors(path, IDS, "document")
    assert np.array_equal(vectors, TABLE)
    assert source == source_of(path)
    owner: Any = vectors
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    assert isinstance(owner, np.memmap)
    for table in (TABLE.astype(np.float64), TABLE.astype(">f4"), np.asfortranarray(TABLE), TABLE.astype(np.float16)):
        vectors, _ = read_vectors(saved(tmp_path / "b.npy", table), IDS, "document")
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        assert np.array_equal(vectors, table.astype(np.float32))


def changed(row: int, column: int, value: float) -> np.ndarray:
    table = TABLE.astype(np.float64)
    table[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "problem", "field", "seen"),
    [
        (TABLE[:4], "number of vectors is not that of the documents", None, "4 vectors for 5 documents"),
        (TABLE[0], "not a table of vectors", None, "float32 [3]"),
        (TABLE[None], "not a table of vectors", None, "float32 [1, 5, 3]"),
        (TABLE[:, :0], "not a table of vectors", None, "float32 [5, 0]"),
        (TABLE.astype(np.int32), "not a table of vectors", None, "int32 [5, 3]"),
        (TABLE.astype(np.complex64), "not a table of vectors", None, "complex64 [5, 3]"),
        (np.array([["a"] * 3] * 5), "not a table of vectors", None, "<U1 [5, 3]"),
        (np.array([[None] * 3] * 5), "not a numpy table", None, ...),
        (changed(3, 1, np.nan), "not a finite number", "row 4", np.nan),
        (changed(0, 2, np.inf), "not a finite number", "row 1", np.inf),
        (changed(0, 2, 1e39), "not a finite number", "row 1", np.inf),
        (TABLE * np.array([[1], [1], [0], [1], [1]], dtype=np.float32), "zero vector", "row 3", 0.0),
    ],
)
def test_another_table_is_refused_in_one_line(
    tmp_path: Path, table: np.ndarray, problem: str, field: str | None, seen: object
) -> None:
    path = saved(tmp_path / "a.npy", table)
    with pytest.raises(InputError) as error:
        read_vectors(path, IDS, "document")
    assert problem in error.value.problem
    assert (error.value.source, error.value.field) == (str(path), field)
    assert seen is ... or repr(error.value.seen) == repr(seen)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x93NUMPY",
        b"text\n" * 100,
        "whole[:-1]",
        "whole[:100]",
        "zip",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': [[[[[[",
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, raw: bytes | str) -> None:
    path = saved(tmp_path / "a.npy", TABLE)
    if raw == "zip":
        np.savez(tmp_path / "b.npz", TABLE)
        (tmp_path / "b.npz").rename(path)
    else:
        path.write_bytes(eval(raw, {"whole": path.read_bytes()}) if isinstance(raw, str) else raw)  # noqa: S307
    with pytest.raises(InputError, match="not a numpy table") as error:
        read_vectors(path, IDS, "document")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_vectors(tmp_path / "a.npy", IDS, "document")
    with pytest.raises(InputError, match="is a directory"):
        read_vectors(tmp_path, IDS, "document")


def flat_binary(path: Path, table: np.ndarray, head: tuple[int, ...] | None = None) -> Path:
    path.write_bytes(np.array(head or table.shape, "<u4").tobytes() + table.astype("<f4").tobytes())
    return path


def test_flat_binary_files_are_mapped(tmp_path: Path) -> None:
    vectors, source = read_vectors(flat_binary(tmp_path / "a.fbin", TABLE), IDS, "document")
    assert np.array_equal(vectors, TABLE)
    assert source == source_of(tmp_path / "a.fbin")
    assert vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ((5, 4), 5, "5 vectors of 4 numbers in 68 bytes"),
        ((5, 3), 4, "5 vectors of 3 numbers in 56 bytes"),
        ((5, 0), 0, "5 vectors of 0 numbers in 8 bytes"),
        ((5,), 0, "0 vectors of 0 numbers in 4 bytes"),
        ((0, 3), 0, "0 vectors for 5 documents"),
        ((2**32 - 1, 2**32 - 1), 5, "4,294,967,295 vectors of 4,294,967,295 numbers"),
    ],
)
def test_other_flat_binary_files_are_refused(tmp_path: Path, head: tuple[int, ...], rows: int, message: str) -> None:
    path = flat_binary(tmp_path / "a.fbin", TABLE[:rows], head)
    with pytest.raises(InputError, match=r"not an \.fbin file|number of vectors") as error:
        read_vectors(path, IDS, "document")
    assert message in str(error.value.seen)


def parquet(path: Path, columns: dict[str, Any]) -> Path:
    # Small groups of rows, so that vectors come in several parts.
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


FIXED = pa.FixedSizeListArray.from_arrays(pa.array(TABLE.ravel()), 3)


@pytest.mark.parametrize(
    "columns",
    [
        {"vector": pa.array(TABLE.tolist(), pa.list_(pa.float32()))},
        {"vector": pa.array(TABLE.astype(np.float64).tolist())},
        {"vector": pa.array(TABLE.tolist(), pa.large_list(pa.float32())), "text": pa.array(list("abcde"))},
        {"vector": FIXED, "tags": pa.array([["a"]] * 5)},
        {"id": pa.array(IDS), "embedding": FIXED, "other": pa.array([[1.5]] * 5)},
        {"_id": pa.array(IDS).dictionary_encode(), "embedding": FIXED},
    ],
)
def test_a_column_of_lists_in_parquet_is_read(tmp_path: Path, columns: dict[str, Any]) -> None:
    vectors, source = read_vectors(parquet(tmp_path / "a.parquet", columns), IDS, "document")
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, TABLE)
    assert source == source_of(tmp_path / "a.parquet")


def test_half_floats_in_parquet_are_converted(tmp_path: Path) -> None:
    halves = TABLE.astype(np.float16)
    column = pa.FixedSizeListArray.from_arrays(pa.array(halves.ravel()), 3)
    vectors, _ = read_vectors(parquet(tmp_path / "a.parquet", {"vector": column}), IDS, "document")
    assert np.array_equal(vectors, halves.astype(np.float32))


@pytest.mark.parametrize(
    ("columns", "problem", "field"),
    [
        ({"id": IDS[::-1], "vector": FIXED}, "not in the order of the documents", "row 1, id"),
        ({"id": [*IDS[:4], None], "vector": FIXED}, "not in the order of the documents", "row 5, id"),
        ({"vector": FIXED[:4]}, "number of vectors is not that of the documents", None),
        ({"vector": FIXED[:0]}, "number of vectors is not that of the documents", None),
        ({"id": IDS}, "not one column of vectors", None),
        ({"vector": pa.array([[1, 2, 3]] * 5)}, "not one column of vectors", None),
        ({"a": FIXED, "b": FIXED}, "not one column of vectors", None),
        ({"vector": pa.array([*TABLE[:4].tolist(), None])}, "no vector", "row 5, vector"),
        ({"vector": pa.array([[1.0, 2.0], [1.0, 2.0], [1.0], [1.0], [1.0]])}, "another length", "row 3, vector"),
        ({"vector": pa.array([[]] * 5, pa.list_(pa.float32()))}, "empty vector", "row 1, vector"),
        ({"vector": pa.array([[1.0, 2.0]] * 3 + [[1.0, None]] * 2)}, "missing number", "row 4, vector"),
        ({"vector": pa.array([[1.0, 2.0]] * 3 + [[1.0, np.nan]] * 2)}, "not a finite number", "row 4"),
        ({"vector": pa.array([[1.0, 2.0], [0.0, 0.0]] + [[1.0, 1.0]] * 3)}, "zero vector", "row 2"),
    ],
)
def test_other_columns_are_refused_with_their_row(
    tmp_path: Path, columns: dict[str, Any], problem: str, field: str | None
) -> None:
    with pytest.raises(InputError) as error:
        read_vectors(parquet(tmp_path / "a.parquet", columns), IDS, "document")
    assert problem in error.value.problem
    assert error.value.field == field


@pytest.mark.parametrize("end", [0, 4, 50, -1])
def test_a_parquet_file_that_is_cut_off_is_refused_in_one_line(tmp_path: Path, end: int) -> None:
    path = parquet(tmp_path / "a.parquet", {"vector": FIXED})
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(InputError, match="not a Parquet file, or cut off") as error:
        read_vectors(path, IDS, "document")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.parquet", "a.fbin", "a.npy"])
def test_a_missing_file_is_said_in_every_format(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_vectors(tmp_path / name, IDS, "document")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    documents = [{"id": f"d{number}", "text": "a", "language": "en"} for number in range(5)]
    queries = [{"id": f"q{number}", "text": "a", "language": "en", "relevant": [f"d{number}"]} for number in range(2)]
    for name, rows in (("documents", documents), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    return {
        "documents": tmp_path / "documents.jsonl",
        "queries": tmp_path / "queries.jsonl",
        "document_vectors": saved(tmp_path / "d.npy", TABLE),
        "query_vectors": saved(tmp_path / "q.npy", TABLE[3:]),
    }


def test_rows_belong_to_the_records_in_their_order(files: dict[str, Path]) -> None:
    collection = read_collection(**files)
    assert np.array_equal(collection.documents.vectors, TABLE)
    assert np.array_equal(collection.queries.vectors, TABLE[3:])
    assert [source.name for source in collection.sources] == ["documents.jsonl", "d.npy", "queries.jsonl", "q.npy"]


def test_records_with_vectors_of_their_own_are_refused(files: dict[str, Path]) -> None:
    lines = files["documents"].read_text().splitlines()
    files["documents"].write_text("\n".join(line.replace("}", ', "embedding": [1, 2, 3]}') for line in lines))
    with pytest.raises(InputError, match="documents have vectors of their own"):
        read_collection(**files)


def test_records_that_are_left_out_are_refused_since_rows_would_shift(files: dict[str, Path]) -> None:
    lines = [line for line in files["documents"].read_text().splitlines() if line]
    # As many documents as vectors remain, but not the same ones.
    files["documents"].write_text("\n".join(['{"id": "d9"}', *lines]) + "\n")
    with pytest.raises(InputError, match="documents were left out") as error:
        read_collection(**files, log=ReadingLog(skip_invalid=True))
    assert error.value.seen == "1 left out"
