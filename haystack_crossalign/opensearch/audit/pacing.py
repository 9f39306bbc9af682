"""A budget for the load on a cluster: documents scored per second, over all requests of an audit."""

from __future__ import annotations

import time
from collections.abc import Callable

from haystack_crossalign.errors import InputError


class Pace:
    """Waits before a request, so that on average no more documents are scored per second than allowed.

    A token bucket that may run into debt: it holds one second's worth of documents at most, and a request that takes
    more than is there is sent once the bucket is not empty, and paid for by a longer wait before the next one. So over
    any time t at most ``rate * (t + 1)`` documents and those of one request are scored.

    :param rate: documents per second; None sets no limit.
    :param clock: seconds that only grow.
    :param sleep: waits for a number of seconds.
    :raises InputError: a rate that is not greater than 0.
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
        """Queries in one request, so that one request scores no more than a second's worth where that is possible.

        :param documents: documents that one query scores.
        :param most: upper bound.
        """
        if self.rate is None or not documents:
            return most
        return max(1, min(most, int(self.rate // documents)))

    def seconds(self, documents: int) -> float:
        """Least time that scoring so many documents takes at this pace."""
        return 0.0 if self.rate is None else documents / self.rate

    def _refill(self) -> None:
        now = self._clock()
        rate = self.rate or 0.0
        self._left = min(rate, self._left + (now - self._last) * rate)
        self._last = now
