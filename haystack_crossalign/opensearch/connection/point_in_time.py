"""A frozen view of an index."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PointInTime:
    """A frozen view of an index: searches in it see neither writes nor deletes that come later.

    :param identifier: the server's id.
    :param keep_alive: how long the server keeps it after each search, for example ``5m``.
    :param index: index or alias that it is of.
    """

    identifier: str = field(repr=False)
    keep_alive: str = "5m"
    index: str = ""
