"""Versions of a document pool: the units that are ranked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Versions:
    """Versions of a document pool. A version is a pair (parallel group, language); it can consist of several chunks.

    Versions are numbered in the order of their first documents in the pool.

    :param of_document: int32 [N], version of each document, 0..V-1.
    :param languages: the V languages, as normalized tags.
    :param groups: the V parallel groups.
    """

    of_document: NDArray[np.int32]
    languages: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def whole(self) -> bool:
        """Whether every document is its own version, so that no document is a chunk."""
        return len(self.groups) == len(self.of_document)
