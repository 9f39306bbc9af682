"""Distribute work to threads that each use one core, so that no step waits for another thread."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_threads() -> int:
    """Number of threads for computing: ``OMP_NUM_THREADS``, or else one per core that the process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isascii() and wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


@contextmanager
def one_core_each() -> Iterator[int]:
    """Turn off the threads of BLAS and torch and yield how many there may be, for `share_out`; restore them at the end.

    With one core per thread, products and counts need no barriers. These cost more than they gain for blocks that fit a
    cache, and far more if other processes use the cores.
    """
    torch = sys.modules.get("torch")
    threads = available_threads() if torch is None else torch.get_num_threads()
    with _libraries().limit(limits=1, user_api="blas"):
        if torch is not None:
            torch.set_num_threads(1)
        try:
            yield threads
        finally:
            if torch is not None:
                torch.set_num_threads(threads)


@cache
def _libraries() -> ThreadpoolController:
    """Libraries with threads, looked up once: that takes longer than a small product."""
    return ThreadpoolController()


def share_out(items: Sequence[Item], work: Callable[[Iterator[Item]], Result], threads: int) -> list[Result]:
    """Call `work` in several threads, each of which takes the next item when it is free.

    :param threads: number of threads, see `one_core_each`; at most one per item is used.
    :returns: what each call returned, in no fixed order: combine the values only by exact sums.
    """
    threads = min(threads, len(items))
    queue = _Queue(items)
    if threads <= 1:
        return [work(iter(queue))]
    with ThreadPoolExecutor(threads, initializer=_start) as pool:
        calls = [pool.submit(work, iter(queue)) for _ in range(threads)]
        try:
            return [call.result() for call in calls]
        finally:
            queue.close()  # after an error or an interrupt the other threads stop after their current item


def _start() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # the setting is per thread


class _Queue(Iterable[Item]):
    """An iterator that threads can share."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()
        self._open = True

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._lock:
                if not self._open:
                    return
                try:
                    item = next(self._items)
                except StopIteration:
                    return
            yield item

    def close(self) -> None:
        self._open = False
