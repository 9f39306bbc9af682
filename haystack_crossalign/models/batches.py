"""Batches of texts of similar length, to reduce padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def length_batches(lengths: NDArray[np.int64], budget: int, most: int | None = None) -> Iterator[NDArray[np.intp]]:
    """Group texts into batches by length: longest first, each batch at most ``budget`` tokens including padding.

    Texts of equal length keep their order, so the batches depend only on the lengths. A text longer than the budget
    forms its own batch.

    :param lengths: int64 [n], tokens (or characters) of each text, at least 1.
    :param budget: maximum of the number of texts in a batch times its longest text.
    :param most: maximum number of texts in a batch; None for no limit other than the budget.
    :returns: positions of the texts of each batch, intp [texts of the batch].
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        size = size if most is None else min(size, most)
        yield order[start : start + size]
        start += size
