"""Order of documents with equal scores: it favors no language and is the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

TIE_SEED = "crossalign.ties/1"
"""Seed of the order. It determines ranks wherever scores are equal, so it may change only with the version of the
result format.
"""

_KEY = TIE_SEED.encode()
_DIGEST_BYTES = 16


def tie_key(document_id: str) -> bytes:
    """Sort key of a document among those with an equal score: the smallest key ranks first.

    The 16-byte BLAKE2b hash of the id (UTF-8), keyed with `TIE_SEED`, then the id itself, so that keys are unique. Ids
    often begin with the language, so sorting by id would always put one language first.

    :param document_id: id of the document.
    """
    # A lone surrogate cannot be encoded as UTF-8, but an id in a JSON file can contain one.
    data = document_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES, key=_KEY).digest() + data


def tie_order(ids: Sequence[str], *, key: Callable[[str], bytes] = tie_key) -> NDArray[np.int64]:
    """Position of each document when all are sorted by `tie_key`: int64 [N].

    :param ids: N different ids.
    :param key: sort key of an id, if it is not the document's own one.
    """
    keys = [key(document_id) for document_id in ids]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    position = np.empty_like(order)
    position[order] = np.arange(len(order), dtype=np.int64)
    return position
