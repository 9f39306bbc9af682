"""Batches of texts of like length, so that little of the work goes into padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def length_batches(lengths: NDArray[np.int64], budget: int, most: int | None = None) -> Iterator[NDArray[np.intp]]:
    """Cut texts into batches by length: longest first, each batch at most ``budget`` tokens with its padding.

    Texts of one length keep their order, so the batches depend on the lengths alone. A text longer than the budget is
    a batch of its own.

    :param lengths: int64 [n], tokens (or characters) of each text, at least 1.
    :param budget: number of texts of a batch times its longest text stays within it.
    :param most: number of texts of a batch at most; None sets no limit beside the budget.
    :returns: positions of the texts of each batch, intp [texts of the batch].
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        size = size if most is None else min(size, most)
        yield order[start : start + size]
        start += size
