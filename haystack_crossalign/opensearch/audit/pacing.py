"""Limit the load on a cluster: documents scored per second, over all requests of an audit."""

from __future__ import annotations

import time
from collections.abc import Callable

from haystack_crossalign.errors import InputError


class Pace:
    """Waits before a request, so that on average no more documents are scored per second than allowed.

    A token bucket that may go into debt: it holds at most one second's worth of documents; a request that needs more is
    sent once the bucket is not empty, and followed by a longer wait. So in any time t at most ``rate * (t + 1)``
    documents plus those of one request are scored.

    :param rate: documents per second; None for no limit.
    :param clock: returns monotonic seconds.
    :param sleep: waits for a number of seconds.
    :raises InputError: if the rate is not greater than 0.
    """

    def __init__(
        self,
        rate: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate is not None and not rate > 0:
            raise InputError("no load that can be kept to", source="--max-load", seen=rate, allowed="more than 0")
        self.rate = rate
        self.waited = 0.0
        self._clock = clock
        self._sleep = sleep
        self._left = rate or 0.0
        self._last = clock()

    def spend(self, documents: int) -> None:
        """Wait until the documents of the next request may be scored.

        :param documents: how many it scores.
        """
        if self.rate is None:
            return
        self._refill()
        if self._left < 0:
            pause = -self._left / self.rate
            self.waited += pause
            self._sleep(pause)
            self._refill()
        self._left -= documents

    def batch(self, documents: int, most: int) -> int:
        """Number of queries in one request such that it scores at most a second's worth of documents, if possible.

        :param documents: documents scored for one query.
        :param most: upper bound.
        """
        if self.rate is None or not documents:
            return most
        return max(1, min(most, int(self.rate // documents)))

    def seconds(self, documents: int) -> float:
        """Minimum seconds for scoring a number of documents at this pace."""
        return 0.0 if self.rate is None else documents / self.rate

    def _refill(self) -> None:
        now = self._clock()
        rate = self.rate or 0.0
        self._left = min(rate, self._left + (now - self._last) * rate)
        self._last = now
