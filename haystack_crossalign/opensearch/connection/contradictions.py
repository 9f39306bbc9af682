"""Answers of the server that cannot all be true, and asking anew until they can.

A document's score is asked for first and counted against afterwards. A server on Java's Vector API (OpenSearch 3) sums
in another order once its just-in-time compiler has been at the code, so that a float32 may have other last bits the
second time. It was seen soon after a start, where the field's space is ``l2`` or ``innerproduct``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from haystack_crossalign.errors import ExternalError

__all__ = ["ContradictionError", "settled"]

T = TypeVar("T")

_TRIES = 5


class ContradictionError(ExternalError):
    """A score or a count differs from what the same server said a moment ago."""


def settled(ask: Callable[[], T]) -> T:
    """What `ask` answers, asked anew where its answers contradict each other.

    :param ask: sends the requests from the first to the last each time it is called.
    :raises ContradictionError: they contradict each other five times in a row.
    """
    for _ in range(_TRIES - 1):
        try:
            return ask()
        except ContradictionError:
            continue
    return ask()
