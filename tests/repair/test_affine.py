from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import FORMATS, read_matrix_file, write_matrix_file


@pytest.fixture
def repair() -> AffineMap:
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(5, 5)).astype(np.float32)
    return AffineMap(matrix, generator.normal(size=5).astype(np.float32), {"base": "tiny"})


def test_each_vector_is_normalized_moved_and_normalized(repair: AffineMap) -> None:
    vectors = np.random.default_rng(1).normal(size=(3, 5))
    moved = repair.apply(vectors.astype(np.float32))
    for before, after in zip(vectors.astype(np.float32).astype(float), moved, strict=True):
        expected = repair.matrix @ (before / np.sqrt((before**2).sum())) + repair.bias
        np.testing.assert_allclose(after, expected / np.sqrt((expected**2).sum()), rtol=1e-6, atol=1e-7)


def test_length_does_not_matter_and_neither_do_blocks_or_places(repair: AffineMap) -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32)
    vectors[40:] = vectors[0]
    moved = repair.apply(vectors)
    np.testing.assert_array_equal(repair.apply(vectors, block=7), moved)
    np.testing.assert_array_equal(moved[40:], np.tile(moved[0], (10, 1)))
    np.testing.assert_allclose(repair.apply(vectors * 3), moved, atol=1e-7)


def test_an_array_on_disk_can_be_moved_in_place(repair: AffineMap, tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(20, 5)).astype(np.float32)
    expected = repair.apply(vectors)
    np.save(tmp_path / "vectors.npy", vectors)
    on_disk = np.load(tmp_path / "vectors.npy", mmap_mode="r+")
    assert repair.apply(on_disk, out=on_disk, block=6) is on_disk
    on_disk.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), expected)


def test_matrix_file_carries_the_map_and_its_origin(repair: AffineMap, tmp_path: Path) -> None:
    path = tmp_path / "repair.safetensors"
    write_matrix_file(repair, path)
    again = read_matrix_file(path)
    np.testing.assert_array_equal(again.matrix, repair.matrix)
    np.testing.assert_array_equal(again.bias, repair.bias)
    assert again.metadata == {"base": "tiny"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["repair.safetensors"]


def test_vectors_that_do_not_fit_are_named(repair: AffineMap) -> None:
    with pytest.raises(InputError, match=r"\[n, 5\]"):
        repair.apply(np.ones((2, 4)))
    broken = np.ones((3, 5), dtype=np.float32)
    broken[1, 2] = np.nan
    with pytest.raises(InputError, match="row 1"):
        repair.apply(broken)
    with pytest.raises(InputError, match="out"):
        repair.apply(np.ones((2, 5)), out=np.empty((2, 5)))  # type: ignore[arg-type]


def test_a_map_that_makes_all_vectors_the_same_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the matrix is zero"):
        AffineMap(np.zeros((2, 2), np.float32), np.ones(2, np.float32), {})
    tensors = {"matrix": np.zeros((2, 2), np.float32), "bias": np.ones(2, np.float32)}
    save_file(tensors, tmp_path / "zero.safetensors", metadata={"format": next(iter(FORMATS))})
    with pytest.raises(InputError, match="the matrix is zero") as caught:
        read_matrix_file(tmp_path / "zero.safetensors")
    assert Path(str(caught.value.source)).name == "zero.safetensors"


def test_a_map_must_be_square_and_finite() -> None:
    with pytest.raises(InputError, match="square"):
        AffineMap(np.ones((2, 3), np.float32), np.ones(2, np.float32))
    with pytest.raises(InputError, match="bias"):
        AffineMap(np.ones((2, 2), np.float32), np.ones(3, np.float32))
    with pytest.raises(InputError, match="finite"):
        AffineMap(np.full((2, 2), np.inf, np.float32), np.ones(2, np.float32))


def test_files_that_are_no_matrix_files_are_refused(repair: AffineMap, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_matrix_file(tmp_path / "missing")
    (tmp_path / "text").write_text("no tensors", encoding="utf-8")
    with pytest.raises(InputError, match="not a safetensors file"):
        read_matrix_file(tmp_path / "text")
    save_file({"weight": np.ones(2, np.float32)}, tmp_path / "other")
    with pytest.raises(InputError, match="|".join(FORMATS)):
        read_matrix_file(tmp_path / "other")
    with pytest.raises(InputError, match="no such folder"):
        write_matrix_file(repair, tmp_path / "missing" / "file")


def test_a_damaged_matrix_file_is_named_with_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "matrix.safetensors"
    matrix = np.eye(2, dtype=np.float32)
    write_matrix_file(AffineMap(matrix, np.zeros(2, np.float32)), path)
    with safe_open(str(path), framework="numpy") as file:
        metadata = file.metadata()
    matrix[0, 1] = np.nan
    save_file({"matrix": matrix, "bias": np.zeros(2, np.float32)}, path, metadata=metadata)
    with pytest.raises(InputError, match="must be finite") as caught:
        read_matrix_file(path)
    assert caught.value.source == str(path)
