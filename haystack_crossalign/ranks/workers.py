"""Distribute work to threads that each use one core, so that no step waits for another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_core_each() -> Iterator[int]:
    """Turn off torch's own threads and yield how many there were, for `share_out`; restore them at the end.

    With one core per thread, products and counts need no barriers. These cost more than they gain for blocks that fit a
    cache, and far more if other processes use the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


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


@contextmanager
def full_float32_products() -> Iterator[None]:
    """Compute float32 products in float32 regardless of the process's settings, which are restored at the end.

    ``torch.set_float32_matmul_precision("medium")`` allows bf16, which would invalidate the error bounds.
    """
    settings = getattr(torch.backends.mkldnn, "matmul", None)
    if settings is not None and hasattr(settings, "fp32_precision"):
        before = settings.fp32_precision
        settings.fp32_precision = "ieee"
        try:
            yield
        finally:
            settings.fp32_precision = before
        return
    previous = torch.get_float32_matmul_precision()  # older of torch's two interfaces
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(previous)
