"""Work shared out to threads that each use one core, so that no step waits for another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["full_float32_products", "share_out"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def share_out(items: Iterable[Item], work: Callable[[Iterator[Item]], Result], limit: int) -> list[Result]:
    """Call `work` in as many threads as torch may use (at most `limit`), each taking the next item when it is free.

    torch's own threads are off meanwhile: with one core per thread, products and counts need no barriers, which cost
    more than they gain on blocks that fit a cache. The setting is put back at the end.

    :returns: what each call returned, in no fixed order of items: combine them by exact sums only.
    """
    threads = max(1, min(torch.get_num_threads(), limit))
    queue = _Queue(items)
    if threads == 1:
        return [work(iter(queue))]
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            calls = [pool.submit(work, iter(queue)) for _ in range(threads)]
            try:
                return [call.result() for call in calls]
            finally:
                queue.close()  # on an error or an interrupt the other threads stop after their present item
    finally:
        torch.set_num_threads(before)


class _Queue(Iterable[Item]):
    """An iterator that threads may share."""

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
    """Make sure that float32 products are computed in float32, whatever the process allows; put back at the end.

    ``torch.set_float32_matmul_precision("medium")`` lets them be computed in bf16, which would void the error bounds.
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
    previous = torch.get_float32_matmul_precision()  # the older of torch's two interfaces
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(previous)
